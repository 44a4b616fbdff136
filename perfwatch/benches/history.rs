//! What a month of history costs and how fast it answers, on both engines.
//!
//! `cargo bench -p perfwatch --bench history [-- [--days N] [--interval SECONDS] [--rounds N] [--json FILE] [sqlite|postgresql]]`
//!
//! Seeds a synthetic machine through the server's writer with rollups and retention as they would have run (raw
//! rows are kept for 7 days), then asks for random ranges of every type. A question's time is from the call to the last
//! byte of JSON; its *floor* is fetching the same rows from the same tables and looking at nothing.
#![allow(clippy::print_stdout)]

#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "support/seeding.rs"]
mod seeding;
#[path = "support/synthetic.rs"]
mod synthetic;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use perfwatch::snapshot::MetricType;
use perfwatch::store::query::compare::{Range, compare};
use perfwatch::store::query::plan::plan;
use perfwatch::store::query::points::Points;
use perfwatch::store::query::{HistoryQuery, Interval, Stats};
use perfwatch::store::writer::SpoolPlace;
use perfwatch::store::{self, Engine, Store};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

struct Options {
    days: u32,
    /// Seconds between snapshots; a longer one seeds faster and leaves as many rollups.
    interval: u32,
    /// Questions of each kind.
    rounds: usize,
    json: Option<PathBuf>,
    engines: Vec<String>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { days: 30, interval: 5, rounds: 220, json: None, engines: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|n| n.parse::<u32>().ok());
            match argument.as_str() {
                "--bench" => {} // cargo adds it
                "--days" => options.days = number().context("--days needs a number")?,
                "--interval" => options.interval = number().context("--interval needs a number")?.max(1),
                "--rounds" => options.rounds = number().context("--rounds needs a number")? as usize,
                "--json" => options.json = Some(arguments.next().context("--json needs a file")?.into()),
                "sqlite" | "postgresql" => options.engines.push(argument),
                _ => bail!(
                    "unknown argument {argument}; known are --days N, --interval SECONDS, --rounds N, --json FILE and engines"
                ),
            }
        }
        if options.engines.is_empty() {
            options.engines = vec!["sqlite".into(), "postgresql".into()];
        }
        Ok(options)
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    let mut report = json!({ "bench": "history" });
    for engine in &options.engines {
        let dir = tempfile::tempdir()?;
        let cluster;
        let url = if engine == "sqlite" {
            store::sqlite_url(dir.path())
        } else {
            match postgres::Cluster::start_durable().await {
                Ok(started) => cluster = started,
                Err(reason) => {
                    println!("SKIPPED: {engine}: {reason}");
                    continue;
                }
            }
            cluster.database().await
        };
        println!("\n{engine}, {} days at {} s", options.days, options.interval);
        let store = store::open(&url).await?;
        report[engine] = measure(&store, &url, dir.path().join("spool"), &options).await?;
        store.close().await;
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn measure(store: &Arc<dyn Store>, url: &str, spool: PathBuf, options: &Options) -> Result<Value> {
    let end = OffsetDateTime::now_utc();
    let plan = seeding::Plan {
        end,
        days: options.days,
        interval: Duration::seconds(options.interval.into()),
        cpus: 8,
    };
    let spool = SpoolPlace { dir: spool, max_bytes: 256 << 20 };
    let (mut writing, mut rolling_up, mut cleaning) = (0.0, 0.0, 0.0);
    let total = seeding::seed(store, spool, &plan, |day| {
        writing += day.writing.as_secs_f64();
        rolling_up += day.rolling_up.as_secs_f64();
        cleaning += day.cleaning.as_secs_f64();
        tracing::debug!(date = %day.date, day.snapshots, "seeded");
    })
    .await? as f64;
    println!(
        "ingest: {:.0} snapshots a minute; {:.0} with rollups; {:.0} with rollups and retention",
        total * 60.0 / writing,
        total * 60.0 / (writing + rolling_up),
        total * 60.0 / (writing + rolling_up + cleaning),
    );
    let sizes = sizes(store, url).await?;

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
            let since = Instant::now();
            floor(store, &query).await?;
            floors.push(since.elapsed().as_secs_f64() * 1e3);
            let since = Instant::now();
            bytes.push(if name.starts_with("compare") {
                let current = Range { start: to - span, end: to };
                let before =
                    Range { start: current.start - Duration::WEEK, end: current.end - Duration::WEEK };
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
        "writing_per_s": total / writing,
        "with_rollups_and_retention_per_s": total / (writing + rolling_up + cleaning),
        "documents_a_day": sizes,
        "questions": questions,
    }))
}

/// Fetches the rows that answer a query, and nothing else.
async fn floor(store: &Arc<dyn Store>, query: &HistoryQuery) -> Result<()> {
    let micros = |at: OffsetDateTime| i64::try_from(at.unix_timestamp_nanos() / 1000);
    let (from, to) = (micros(query.start)?, micros(query.end)?);
    for segment in plan(&store.coverage(from, to).await?, from, to, query.interval.width()) {
        let mut from = segment.from;
        loop {
            let rows = store.scan(segment.tier, query.metric_type, from, segment.to, 256).await?;
            match rows.last() {
                Some(last) if rows.len() == 256 => from = last.at + 1,
                _ => break,
            }
        }
    }
    Ok(())
}

/// Megabytes of documents a day, of each type in each tier, and what the whole takes on disk.
async fn sizes(store: &Arc<dyn Store>, url: &str) -> Result<Value> {
    let rows: Vec<(String, i64, f64, f64)> = match store.engine() {
        Engine::Sqlite => {
            let query = "SELECT metric_type, 0, avg(length(metric_data)) * 1.0, 17280.0 FROM metrics_snapshots GROUP BY 1
                 UNION ALL SELECT metric_type, tier, avg(length(data)), 86400.0 / tier FROM metrics_rollups GROUP BY 1, 2
                 ORDER BY 1, 2";
            sqlx::query_as(query).fetch_all(&sqlx::SqlitePool::connect(url).await?).await?
        }
        Engine::Postgresql => {
            let query = "SELECT metric_type, 0::bigint, avg(pg_column_size(metric_data))::float8, 17280::float8
                 FROM metrics_snapshots GROUP BY 1
                 UNION ALL SELECT metric_type, tier::bigint, avg(pg_column_size(data))::float8, (86400.0 / tier)::float8
                 FROM metrics_rollups GROUP BY 1, 2 ORDER BY 1, 2";
            sqlx::query_as(query).fetch_all(&sqlx::PgPool::connect(url).await?).await?
        }
    };
    println!("{:<18} {:>9} {:>9} {:>9} {:>9} {:>9}", "MB a day", "raw", "1 min", "5 min", "1 h", "1 d");
    let mut table = serde_json::Map::new();
    for metric_type in MetricType::ALL {
        let of_tier = |tier: i64| {
            let row = rows.iter().find(|r| r.0 == metric_type.as_str() && r.1 == tier);
            row.map_or(0.0, |(_, _, bytes, per_day)| bytes * per_day / 1e6)
        };
        let tiers = [0, 60, 300, 3600, 86_400].map(of_tier);
        let [raw, minute, five, hour, day] = tiers;
        println!("{:<18} {raw:>9.2} {minute:>9.3} {five:>9.3} {hour:>9.4} {day:>9.5}", metric_type.as_str());
        let tiers = ["raw_mb", "1_min_mb", "5_min_mb", "1_h_mb", "1_d_mb"].into_iter().zip(tiers);
        let tiers: serde_json::Map<String, Value> =
            tiers.map(|(name, mb)| (name.into(), json!(mb))).collect();
        table.insert(metric_type.as_str().to_owned(), tiers.into());
    }
    const ORIGINALS: [MetricType; 6] = [
        MetricType::Cpu,
        MetricType::Memory,
        MetricType::Network,
        MetricType::Disk,
        MetricType::PerfEvents,
        MetricType::MemoryBandwidth,
    ];
    let sum = |raw: bool| -> f64 {
        let tiers = ORIGINALS.into_iter().filter_map(|t| table[t.as_str()].as_object()).flatten();
        tiers.filter(|(tier, _)| (*tier == "raw_mb") == raw).filter_map(|(_, mb)| mb.as_f64()).sum()
    };
    let (raw, downsampled) = (sum(true), sum(false));
    let extent = store.extent().await?;
    println!(
        "the original's six types: raw {raw:.1} MB a day, downsampled {downsampled:.2} (the original: 102.6); all on disk {:.0} MB",
        extent.bytes as f64 / 1e6
    );
    table.insert("the_originals_six".into(), json!({"raw_mb": raw, "downsampled_mb": downsampled}));
    table.insert("all_on_disk_bytes".into(), json!(extent.bytes));
    Ok(table.into())
}

fn quantile(values: &mut [f64], p: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let index = ((values.len() as f64 * p).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(index).copied().unwrap_or_default()
}
