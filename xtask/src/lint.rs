//! `cargo xtask lint`: what a change must satisfy before its tests run.

use anyhow::Result;

use crate::step::{command, run};

pub fn run_lints() -> Result<()> {
    run("rustfmt", command("cargo", &["fmt", "--all", "--check"]))?;
    run(
        "clippy",
        command("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    )
}
