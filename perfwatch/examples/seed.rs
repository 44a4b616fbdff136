//! Fills a store with realistic history of a machine that does not exist, for trying the page and for benchmarks.
//!
//! `cargo xtask seed --days 30`: into the store that DATABASE_URL or the data directory names, through the server's
//! own writer, with rollups and retention as they would have run.
#![allow(clippy::print_stdout)] // a command line talks to its user

#[path = "../benches/support/seeding.rs"]
mod seeding;
#[path = "../benches/support/synthetic.rs"]
mod synthetic;

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perfwatch::config::Config;
use perfwatch::history::writer::LogPlace;
use perfwatch::host;
use perfwatch::snapshot::MetricType;
use perfwatch::store;
use time::{Duration, OffsetDateTime};

#[derive(Parser)]
#[command(name = "seed", about = "Fill a store with realistic history of a machine that does not exist")]
struct Options {
    /// Days of history, up to now
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Seconds between two snapshots
    #[arg(long, default_value_t = 5)]
    interval: u32,
    /// CPUs of the machine
    #[arg(long, default_value_t = 8)]
    cpus: usize,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let options = Options::parse();
    let config = Config::load(|_| None, |name| std::env::var(name).ok(), None)?;
    let storage = &config.storage;
    std::fs::create_dir_all(&storage.data_dir)?;
    let url = storage.database_url.clone().unwrap_or_else(|| store::sqlite_url(&storage.data_dir));
    let store = store::open(&url).await?;
    let log = LogPlace { dir: storage.data_dir.join("seed-spool"), max_bytes: storage.spool_max_bytes };
    let plan = seeding::Plan {
        end: OffsetDateTime::now_utc(),
        days: options.days,
        span: Duration::DAY,
        interval: Duration::seconds(i64::from(options.interval.max(1))),
        cpus: options.cpus.max(1),
        types: MetricType::ALL.to_vec(),
        documents: storage.jsonb_days,
    };
    // The server finds it as its own.
    let host = host::this(&config)?;
    let since = Instant::now();
    let total = seeding::seed(&store, &host.id, &log, &plan, |day| {
        println!(
            "{}: {} snapshots in {:.1} s; rollups and retention {:.1} s",
            day.date,
            day.snapshots,
            day.writing.as_secs_f64(),
            day.keeping.as_secs_f64(),
        );
    })
    .await?;
    let minutes = since.elapsed().as_secs_f64() / 60.0;
    println!("{total} snapshots, {:.0} a minute, rollups and retention included", total as f64 / minutes);
    store.close().await;
    Ok(())
}
