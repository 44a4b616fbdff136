//! Which data PerfWatch keeps, and how it responds, during failures.
//!
//! `cargo bench -p perfwatch --bench faults [-- [--kills N] [--json FILE] [kills|frozen|full|viewers]...]`
//!
//! - `kills`: the server is killed at random moments while ticking every second, on both engines; counts ticks that a
//!   client saw more than a second before the kill and that are not stored exactly once.
//! - `frozen`: PostgreSQL hangs; measures the latency of requests and of the stream meanwhile.
//! - `full`: the data directory's disk is full for a while and the server is killed meanwhile; counts the same ticks.
//! - `viewers`: 64 viewers run the most expensive query at once; measures `/health`, login and memory.
#![allow(clippy::print_stdout)]

#[path = "faults/frozen.rs"]
mod frozen;
#[path = "faults/full.rs"]
mod full;
#[path = "faults/kills.rs"]
mod kills;
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "support/seeding.rs"]
mod seeding;
#[path = "faults/server.rs"]
mod server;
#[path = "support/synthetic.rs"]
mod synthetic;
#[path = "faults/viewers.rs"]
mod viewers;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

const ALL: [&str; 4] = ["kills", "frozen", "full", "viewers"];

struct Options {
    kills: usize,
    json: Option<PathBuf>,
    wanted: Vec<String>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { kills: 50, json: None, wanted: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {} // cargo adds it
                "--kills" => {
                    let number = arguments.next().and_then(|n| n.parse().ok());
                    options.kills = number.context("--kills needs a number")?;
                }
                "--json" => options.json = Some(arguments.next().context("--json needs a file")?.into()),
                _ if ALL.contains(&argument.as_str()) => options.wanted.push(argument),
                _ => {
                    bail!("unknown argument {argument}; known are --kills N, --json FILE, {}", ALL.join(", "))
                }
            }
        }
        if options.wanted.is_empty() {
            options.wanted = ALL.map(str::to_owned).into();
        }
        Ok(options)
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Returning from here stops servers and removes databases.
    tokio::select! {
        done = bench(Options::parse()?) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn bench(options: Options) -> Result<()> {
    let mut report = json!({ "bench": "faults" });
    for wanted in &options.wanted {
        report[wanted] = match wanted.as_str() {
            "kills" => kills::measure(options.kills).await?,
            "frozen" => frozen::measure().await?,
            "full" => full::measure().await?,
            _ => viewers::measure().await?,
        };
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
