//! `cargo xtask build`: the whole server, page and eBPF objects inside, at `target/release/perfwatch`.

use std::path::PathBuf;

use anyhow::Result;

use crate::prerequisites::{self, Purpose};
use crate::step::{command, root, run};
use crate::{build_ebpf, page};

/// Builds what is missing or out of date; returns the server's path.
pub fn build() -> Result<PathBuf> {
    prerequisites::ensure(Purpose::Build)?;
    build_ebpf::ensure()?;
    page::build()?;
    run(
        "Compiling the server",
        command("cargo", &["build", "--release", "--locked", "--package", "perfwatch"]),
    )?;
    Ok(root().join("target/release/perfwatch"))
}
