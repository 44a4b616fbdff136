//! `cargo xtask seed`: sample history of a machine that does not exist.

use anyhow::Result;

use crate::build_ebpf;
use crate::prerequisites::{self, Purpose};
use crate::step::{command, run};

/// Fill a store with realistic history of a fictional machine
///
/// Goes through the server's own writer, rollups and retention, into the store that DATABASE_URL or PERFWATCH_DATA_DIR
/// names. Do not point it at a store you care about.
#[derive(clap::Args)]
pub struct Options {
    /// Days of history, up to now
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Seconds between two snapshots
    #[arg(long, default_value_t = 5)]
    interval: u32,
}

pub fn seed(options: &Options) -> Result<()> {
    prerequisites::ensure(Purpose::Build)?;
    build_ebpf::ensure()?;
    let (days, interval) = (options.days.to_string(), options.interval.to_string());
    let seed = ["run", "--locked", "--release", "--package", "perfwatch", "--example", "seed", "--"];
    let arguments = [&seed[..], &["--days", &days, "--interval", &interval]].concat();
    run("seed", command("cargo", &arguments))
}
