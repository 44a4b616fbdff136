//! `cargo xtask bench`: what PerfWatch costs, measured.

use anyhow::{Result, bail};

use crate::build_ebpf;
use crate::prerequisites::{self, Purpose};
use crate::step::{command, root, run};

/// Measure what PerfWatch costs on this machine
///
/// Each benchmark prints its figures beside the floor it measures in the same run.
#[derive(clap::Args)]
pub struct Options {
    /// Benchmarks to run, all by default
    names: Vec<String>,
}

pub fn bench(options: &Options) -> Result<()> {
    let known = known()?;
    if let Some(unknown) = options.names.iter().find(|name| !known.contains(name)) {
        bail!("no benchmark {unknown}; there are: {}", known.join(", "));
    }
    prerequisites::ensure(Purpose::Build)?;
    build_ebpf::ensure()?;
    let names = if options.names.is_empty() { &known } else { &options.names };
    for name in names {
        run(name, command("cargo", &["bench", "--locked", "--package", "perfwatch", "--bench", name]))?;
    }
    Ok(())
}

/// The benchmarks that exist: one file each.
fn known() -> Result<Vec<String>> {
    let folder = root().join("perfwatch/benches");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
