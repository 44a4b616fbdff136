//! Cost of profiling, and of what is kept of it.
//!
//! `cargo bench -p perfwatch --bench profile [-- [--seconds N] [--json FILE]]`
//!
//! - `cpu`: a server on a machine whose CPUs are all busy, at 0, 19 and 99 Hz: the eBPF program, the threads that unwind
//!   and name, and the process that reads symbols, in percent of all CPUs. Needs root. Goals: 0.2 % and 1 %. Beside it
//!   the floor of a sample: an eBPF program that does nothing, and one that only copies the stack.
//! - `kept`: a month of a busy machine's samples, added minute by minute and stored as the server does: bytes per day of
//!   each resolution, and how long a flame graph of an hour, a day and a month takes, without network and browser.
#![allow(clippy::print_stdout)]

#[path = "profile/floor.rs"]
mod floor;
#[path = "profile/kept.rs"]
mod kept;
#[path = "profile/server.rs"]
mod server;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    let (mut seconds, mut path) = (20, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                seconds = arguments.next().and_then(|text| text.parse().ok()).context("--seconds N")?;
            }
            "--json" => path = Some(PathBuf::from(arguments.next().context("--json FILE")?)),
            _ => {}
        }
    }
    let cpu = server::measure(seconds).await?;
    let kept = kept::measure().await?;
    if let Some(path) = path {
        let report = json!({"bench": "profile", "cpu": cpu, "kept": kept});
        std::fs::write(&path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
