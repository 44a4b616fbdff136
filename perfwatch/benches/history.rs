//! What a month of history costs and how fast it answers, on both engines.
//!
//! `cargo bench -p perfwatch --bench history [-- [--days N] [--interval SECONDS] [--rounds N] [--sizes] [--json FILE]
//! [sqlite|postgresql]]`; with `--sizes` nothing but what a day takes.
//!
//! Seeds a synthetic machine of 8 CPUs through the server's writer, with rollups and retention beside it as they would
//! have run (raw rows are kept for 7 days), then asks for random ranges of every type. A question's time is from the
//! call to the last byte of JSON; its *floor* is fetching the same rows from the same tables and looking at nothing.
//! What a day takes on disk is measured in a database of its own: see `history/sizes.rs`.
#![allow(clippy::print_stdout)]

#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "support/seeding.rs"]
mod seeding;
#[path = "history/sizes.rs"]
mod sizes;
#[path = "support/synthetic.rs"]
mod synthetic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use perfwatch::snapshot::MetricType;
use perfwatch::store::query::compare::{Range, compare};
use perfwatch::store::query::pages::Pages;
use perfwatch::store::query::points::Points;
use perfwatch::store::query::{HistoryQuery, Interval, Stats};
use perfwatch::store::writer::SpoolPlace;
use perfwatch::store::{self, Store};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::signal::unix::{SignalKind, signal};

struct Options {
    days: u32,
    /// Seconds between snapshots; a longer one seeds faster and leaves as many rollups.
    interval: u32,
    /// Questions of each kind.
    rounds: usize,
    /// Nothing but what a day takes.
    sizes: bool,
    json: Option<PathBuf>,
    engines: Vec<String>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options =
            Self { days: 30, interval: 5, rounds: 220, sizes: false, json: None, engines: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|n| n.parse::<u32>().ok());
            match argument.as_str() {
                "--bench" => {} // cargo adds it
                "--days" => options.days = number().context("--days needs a number")?,
                "--interval" => options.interval = number().context("--interval needs a number")?.max(1),
                "--rounds" => options.rounds = number().context("--rounds needs a number")? as usize,
                "--sizes" => options.sizes = true,
                "--json" => options.json = Some(arguments.next().context("--json needs a file")?.into()),
                "sqlite" | "postgresql" => options.engines.push(argument),
                _ => bail!(
                    "unknown argument {argument}; known are --days N, --interval SECONDS, --rounds N, --sizes, --json FILE and engines"
                ),
            }
        }
        if options.engines.is_empty() {
            options.engines = vec!["sqlite".into(), "postgresql".into()];
        }
        Ok(options)
    }
}

#[tokio::main(worker_threads = 3)]
async fn main() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Leaving through here removes the databases.
    tokio::select! {
        done = bench(Options::parse()?) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn bench(options: Options) -> Result<()> {
    let mut report = json!({ "bench": "history" });
    for engine in &options.engines {
        let dir = tempfile::tempdir()?;
        let mut cluster = None;
        if engine != "sqlite" {
            match postgres::Cluster::start_durable().await {
                Ok(started) => cluster = Some(started),
                Err(reason) => {
                    println!("SKIPPED: {engine}: {reason}");
                    continue;
                }
            }
        }
        let since = Instant::now();
        let place = Place { dir: dir.path(), cluster: cluster.as_ref() };
        if options.sizes {
            println!("\n{engine}");
            report[engine]["documents_a_day"]["the_originals_six"] = sizes::a_day_on_disk(&place).await?;
            continue;
        }
        println!("\n{engine}, {} days at {} s", options.days, options.interval);
        let (store, url) = place.database("month").await?;
        let mut figures = measure(&store, &url, place.spool("month"), &options).await?;
        store.close().await;
        figures["documents_a_day"]["the_originals_six"] = sizes::a_day_on_disk(&place).await?;
        report[engine] = figures;
        println!("took {:.0} s", since.elapsed().as_secs_f64());
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Where databases of an engine are made.
struct Place<'a> {
    dir: &'a Path,
    /// Without one it is SQLite.
    cluster: Option<&'a postgres::Cluster>,
}

impl Place<'_> {
    async fn database(&self, name: &str) -> Result<(Arc<dyn Store>, String)> {
        let url = match self.cluster {
            Some(cluster) => cluster.database().await,
            None => {
                let dir = self.dir.join(name);
                std::fs::create_dir(&dir)?;
                store::sqlite_url(&dir)
            }
        };
        Ok((store::open(&url).await?, url))
    }

    fn spool(&self, name: &str) -> SpoolPlace {
        SpoolPlace { dir: self.dir.join(format!("{name}-spool")), max_bytes: 256 << 20 }
    }
}

async fn measure(store: &Arc<dyn Store>, url: &str, spool: SpoolPlace, options: &Options) -> Result<Value> {
    let end = OffsetDateTime::now_utc();
    let plan = seeding::Plan {
        end,
        days: options.days,
        interval: Duration::seconds(options.interval.into()),
        cpus: 8,
        types: MetricType::ALL.to_vec(),
    };
    // Nothing runs beside the writing of the first day.
    let mut alone = 0.0;
    let since = Instant::now();
    let total = seeding::seed(store, spool, &plan, |day| {
        if alone == 0.0 {
            alone = day.snapshots as f64 / day.writing.as_secs_f64();
        }
        tracing::debug!(date = %day.date, day.snapshots, ?day.keeping, "seeded");
    })
    .await? as f64;
    let beside = total / since.elapsed().as_secs_f64();
    println!(
        "ingest: {:.0} snapshots a minute; {:.0} with rollups and retention beside it",
        alone * 60.0,
        beside * 60.0
    );
    let documents = sizes::documents(store, url).await?;

    let mut questions = Vec::new();
    println!("{:<14} {:>9} {:>9} {:>9} {:>10} {:>11}", "ms", "p50", "p99", "max", "floor p50", "bytes p50");
    for (name, span) in [
        ("1 h", Duration::HOUR),
        ("24 h", Duration::DAY),
        ("7 d", Duration::WEEK),
        ("30 d", Duration::days(30)),
        ("compare week", Duration::WEEK),
    ] {
        let mut times = Vec::new();
        let mut floors = Vec::new();
        let mut bytes = Vec::new();
        for round in 0..options.rounds {
            let metric_type = MetricType::ALL[round % MetricType::ALL.len()];
            // A third of the questions are about now, as a page's are; the others about any time.
            let days = options.days.max(1) as usize;
            let back = if round % 3 == 0 { 0 } else { i32::try_from(round * 7919 % days).unwrap_or(0) };
            let to = end - Duration::seconds(977) * back - Duration::DAY * back;
            let query = HistoryQuery {
                interval: Interval::auto(to - span, to),
                stats: Stats { min: true, max: true, count: true },
                ..HistoryQuery::new(metric_type, to - span, to)
            };
            let comparison = name.starts_with("compare").then(|| HistoryQuery {
                start: query.start - Duration::WEEK,
                end: query.end - Duration::WEEK,
                ..query.clone()
            });
            let since = Instant::now();
            for query in [&query].into_iter().chain(&comparison) {
                floor(store, query).await?;
            }
            floors.push(since.elapsed().as_secs_f64() * 1e3);
            let since = Instant::now();
            bytes.push(if let Some(before) = comparison {
                let [current, before] = [&query, &before].map(|q| Range { start: q.start, end: q.end });
                let both = compare(store, metric_type, (current, before), query.interval, 1000).await?;
                both.current.points.iter().chain(&both.comparison.points).map(|p| p.json.len()).sum::<usize>()
            } else {
                let mut points = Points::open(Arc::clone(store), query).await?;
                let mut length = 0;
                while let Some(point) = points.next().await? {
                    length += point.json.len();
                }
                length
            } as f64);
            times.push(since.elapsed().as_secs_f64() * 1e3);
        }
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|p| quantile(&mut times, p));
        let (floor, size) = (quantile(&mut floors, 0.5), quantile(&mut bytes, 0.5));
        println!("{name:<14} {p50:>9.2} {p99:>9.2} {max:>9.2} {floor:>10.2} {size:>11.0}");
        let (us, floor_us) = (p50 * 1e3, floor * 1e3);
        questions.push(json!({
            "name": name,
            "p50": { "us": us, "floor_us": floor_us, "ratio": us / floor_us.max(1.0) },
            "p99_ms": p99,
            "max_ms": max,
            "p50_bytes": size,
        }));
    }
    Ok(json!({
        "writing_per_s": alone,
        "with_rollups_and_retention_per_s": beside,
        "documents_a_day": documents,
        "questions": questions,
    }))
}

/// Fetches the rows that answer a query, and nothing else.
async fn floor(store: &Arc<dyn Store>, query: &HistoryQuery) -> Result<()> {
    let mut pages = Pages::open(Arc::clone(store), query.question()).await?;
    while pages.next().await?.is_some() {}
    Ok(())
}

fn quantile(values: &mut [f64], p: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let index = ((values.len() as f64 * p).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(index).copied().unwrap_or_default()
}
