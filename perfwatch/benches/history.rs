//! Cost of a month of history, and query latency, on both engines.
//!
//! `cargo bench -p perfwatch --bench history [-- [--days N] [--interval SECONDS] [--rounds N] [--sizes] [--live SECONDS]
//! [--json FILE] [sqlite|postgresql]]`; `--sizes` measures only the size of a day, `--live` only the size of this
//! machine's own readings, sampled at 1 s under load.
//!
//! Seeds a synthetic machine with 8 CPUs through the server's writer, with rollups and retention running as they would
//! have (readings are kept for the whole month), then queries random ranges of every type. A query's time is from the
//! call to the last byte of JSON; its *floor* is fetching the same chunks without decoding them. The size of a day is
//! measured in separate databases: see `history/sizes.rs`.
#![allow(clippy::print_stdout)]

#[path = "history/live.rs"]
mod live;
#[path = "history/numbers.rs"]
mod numbers;
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

use anyhow::{Context, Result, bail, ensure};
use perfwatch::history::History;
use perfwatch::history::plan::{Coverage, plan};
use perfwatch::history::questions::changes::changes;
use perfwatch::history::questions::compare::{Range, compare};
use perfwatch::history::questions::points::Points;
use perfwatch::history::questions::usage::accounts::Whose;
use perfwatch::history::questions::usage::ranking::{By, RankingQuery, ranking};
use perfwatch::history::questions::{HistoryQuery, Interval, Stats};
use perfwatch::history::writer::LogPlace;
use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::layout::Layout;
use perfwatch::snapshot::selection::Selection;
use perfwatch::store::chunks::Wanted;
use perfwatch::store::policy::DownsampleInterval;
use perfwatch::store::{self, Store};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) const HOST: &str = "0123abcd";
/// Days for which PostgreSQL keeps documents beside the chunks by default.
const DOCUMENT_DAYS: u32 = 2;
/// Hours at 1 s from which a day of all types is extrapolated.
const HOURS_OF_SECONDS: u32 = 6;

struct Options {
    days: u32,
    /// Seconds between snapshots; a longer interval seeds faster and leaves as many rollups.
    interval: u32,
    /// Queries of each kind.
    rounds: usize,
    /// Only measure the size of a day.
    sizes: bool,
    /// Only measure this many seconds of this machine's own readings.
    live: Option<u32>,
    json: Option<PathBuf>,
    engines: Vec<String>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            days: 30,
            interval: 5,
            rounds: 220,
            sizes: false,
            live: None,
            json: None,
            engines: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|n| n.parse::<u32>().ok());
            match argument.as_str() {
                "--bench" => {} // cargo adds it
                "--days" => options.days = number().context("--days needs a number")?,
                "--interval" => options.interval = number().context("--interval needs a number")?.max(1),
                "--rounds" => options.rounds = number().context("--rounds needs a number")? as usize,
                "--sizes" => options.sizes = true,
                "--live" => options.live = Some(number().context("--live needs seconds")?.max(10)),
                "--json" => options.json = Some(arguments.next().context("--json needs a file")?.into()),
                "sqlite" | "postgresql" => options.engines.push(argument),
                _ => bail!(
                    "unknown argument {argument}; known are --days N, --interval SECONDS, --rounds N, --sizes, --live SECONDS, --json FILE and engines"
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
    // Returning from here removes the databases.
    tokio::select! {
        done = bench(Options::parse()?) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn bench(options: Options) -> Result<()> {
    let mut report = json!({ "bench": "history" });
    let readings = options.live.map(live::sample).transpose()?;
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
        if let Some(snapshots) = &readings {
            println!("\n{engine}");
            report[engine]["live"] = live::store(&place, snapshots).await?;
            continue;
        }
        let mut figures = json!({});
        if !options.sizes {
            println!("\n{engine}, {} days at {} s", options.days, options.interval);
            let (store, _) = place.database("month").await?;
            figures = measure(&store, place.log("month"), &options).await?;
            store.close().await;
        } else {
            println!("\n{engine}");
        }
        for (name, types) in [("eleven_at_1_s", sizes::ELEVEN), ("all_at_1_s", &MetricType::ALL[..])] {
            figures["documents_a_day"][name] =
                sizes::of_seconds(&place, name, types, HOURS_OF_SECONDS).await?;
        }
        figures["documents_a_day"]["the_originals_six"] = sizes::of_the_originals(&place).await?;
        report[engine] = figures;
        println!("took {:.0} s", since.elapsed().as_secs_f64());
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Where an engine's databases are created.
struct Place<'a> {
    dir: &'a Path,
    /// `None` for SQLite.
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

    fn log(&self, name: &str) -> LogPlace {
        LogPlace { dir: self.dir.join(format!("{name}-spool")), max_bytes: 256 << 20 }
    }
}

/// The largest processes, names or cgroups of a range.
fn who(start: OffsetDateTime, end: OffsetDateTime, round: usize) -> RankingQuery {
    let by = [By::Process, By::Name, By::Cgroup][round % 3];
    RankingQuery { whose: Whose::default(), start, end, by, order: |used| used.cpu_us(), limit: 20 }
}

async fn measure(store: &Arc<dyn Store>, log: LogPlace, options: &Options) -> Result<Value> {
    // Readings of the whole month are queried, too.
    let mut policy = store.archive_policy().await?;
    policy.downsample_interval = DownsampleInterval::FiveSeconds;
    policy.retention_days = 90;
    store.set_archive_policy(&policy).await?;
    let end = OffsetDateTime::now_utc();
    let plan = seeding::Plan {
        end,
        days: options.days,
        span: Duration::DAY,
        interval: Duration::seconds(options.interval.into()),
        cpus: 8,
        types: MetricType::ALL.to_vec(),
        documents: if store.wants_documents() { DOCUMENT_DAYS } else { 0 },
    };
    // The first day is written without anything running beside it; for the last ones documents are kept.
    let (mut alone, mut beside, mut with_documents) = (0.0, Vec::new(), Vec::new());
    let mut keeping = 0.0;
    let mut days = 0;
    seeding::seed(store, HOST, &log, &plan, |day| {
        tracing::debug!(date = %day.date, day.snapshots, ?day.keeping, "seeded");
        let per_second = day.snapshots as f64 / day.writing.as_secs_f64();
        days += 1;
        keeping += day.keeping.as_secs_f64() / f64::from(options.days);
        if days > options.days - plan.documents.min(options.days) {
            with_documents.push(per_second);
        } else if days == 1 {
            alone = per_second;
        } else {
            beside.push(per_second);
        }
    })
    .await?;
    let mean = |all: &[f64]| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    let (beside, with_documents) = (mean(&beside), mean(&with_documents));
    let alone = (alone > 0.0).then_some(alone);
    for (figure, what) in [
        (alone, "alone"),
        (beside, "with rollups and retention beside it"),
        (with_documents, "with these, and documents for SQL as well"),
    ] {
        if let Some(figure) = figure {
            println!("written: {figure:.0} snapshots/s {what}");
        }
    }
    println!("rollups and retention of a day take {keeping:.2} s");
    let extent = store.extent(HOST).await?;
    println!("all on disk: {:.0} MB", extent.bytes as f64 / 1e6);
    // A day is enough to count; its last hour's minutes are still in small chunks.
    numbers::tell(store.as_ref(), HOST, options.interval.into(), sizes::micros(end - Duration::DAY)?).await?;

    let history = History::new(store.clone(), HOST);
    // Accounts are asked for by name (`who`), and of cgroups the page asks for one, or for a column.
    let streamed: Vec<_> = MetricType::ALL.into_iter().filter(|of| of.is_streamed()).collect();
    let mut questions = Vec::new();
    println!("{:<14} {:>9} {:>9} {:>9} {:>10} {:>11}", "ms", "p50", "p99", "max", "floor p50", "bytes p50");
    for (name, span) in [
        ("1 h", Duration::HOUR),
        ("24 h", Duration::DAY),
        ("24 h of cgroups", Duration::DAY),
        ("7 d", Duration::WEEK),
        ("30 d", Duration::days(30)),
        ("compare week", Duration::WEEK),
        ("changes 30 d", Duration::days(30)),
        ("field 30 d raw", Duration::days(30)),
        ("who 10 min", Duration::minutes(10)),
        ("who 24 h", Duration::DAY),
        ("who 30 d", Duration::days(30)),
    ] {
        let rounds = match name {
            "changes 30 d" | "field 30 d raw" => options.rounds.div_ceil(20),
            _ => options.rounds,
        };
        let mut asked = Asked::default();
        for round in 0..rounds {
            let metric_type = match name {
                "24 h of cgroups" => MetricType::Cgroups,
                _ => streamed[round % streamed.len()],
            };
            // A third of the queries end now, as the web page's do; the others at any time.
            let days = options.days.max(1) as usize;
            let back = if round % 3 == 0 { 0 } else { i32::try_from(round * 7919 % days).unwrap_or(0) };
            let to = end - Duration::seconds(977) * back - Duration::DAY * back;
            let query = HistoryQuery {
                interval: Interval::auto(to - span, to),
                stats: Stats { min: true, max: true, count: true },
                ..HistoryQuery::new(metric_type, to - span, to)
            };
            match name {
                "compare week" => {
                    let before = HistoryQuery {
                        start: query.start - Duration::WEEK,
                        end: query.end - Duration::WEEK,
                        ..query.clone()
                    };
                    asked.floor(&history, &[&query, &before]).await?;
                    let [now, before] = [&query, &before].map(|q| Range { start: q.start, end: q.end });
                    let since = Instant::now();
                    let both =
                        compare([(&history, now), (&history, before)], metric_type, query.interval, 1000)
                            .await?;
                    let points = both.current.points.iter().chain(&both.comparison.points);
                    asked.note(since, points.map(|point| point.json.len()).sum());
                }
                "changes 30 d" => {
                    // Compared with a day earlier, so that both ranges have data; reads every type.
                    let now = Range { start: end - span, end };
                    let before = Range { start: now.start - Duration::DAY, end: now.end - Duration::DAY };
                    let since = Instant::now();
                    changes([(&history, now), (&history, before)], 100).await?;
                    asked.note(since, 0);
                }
                name if name.starts_with("who ") => {
                    let since = Instant::now();
                    let ranking = ranking(&history, who(to - span, to, round)).await?;
                    ensure!(!ranking.rows.is_empty() || round % 3 != 0, "nobody used anything in {name}");
                    asked.note(since, 0);
                }
                "field 30 d raw" => {
                    let query = HistoryQuery {
                        interval: Interval::ALL[0],
                        limit: usize::MAX,
                        stats: Stats::default(),
                        selection: Selection::of(Layout::of(MetricType::Cpu), &["usage_percent".to_owned()]),
                        ..HistoryQuery::new(MetricType::Cpu, end - span, end)
                    };
                    asked.floor(&history, &[&query]).await?;
                    asked.points(&history, query).await?;
                }
                _ => {
                    asked.floor(&history, &[&query]).await?;
                    asked.points(&history, query).await?;
                }
            }
        }
        questions.push(asked.tell(name));
    }
    Ok(json!({
        "writing_per_s": alone,
        "with_rollups_and_retention_per_s": beside,
        "with_documents_per_s": with_documents,
        "questions": questions,
    }))
}

/// Queries of one kind: ms and bytes.
#[derive(Default)]
struct Asked {
    times: Vec<f64>,
    floors: Vec<f64>,
    bytes: Vec<f64>,
}

impl Asked {
    async fn points(&mut self, history: &History, query: HistoryQuery) -> Result<()> {
        let since = Instant::now();
        let mut points = Points::open(history, query).await?;
        let mut length = 0;
        while let Some(point) = points.next().await? {
            length += point.json.len();
        }
        self.note(since, length);
        Ok(())
    }

    fn note(&mut self, since: Instant, length: usize) {
        self.times.push(since.elapsed().as_secs_f64() * 1e3);
        self.bytes.push(length as f64);
    }

    async fn floor(&mut self, history: &History, queries: &[&HistoryQuery]) -> Result<()> {
        let since = Instant::now();
        for query in queries {
            floor(history, query).await?;
        }
        self.floors.push(since.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    fn tell(mut self, name: &str) -> Value {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|p| quantile(&mut self.times, p));
        let (floor, size) = (quantile(&mut self.floors, 0.5), quantile(&mut self.bytes, 0.5));
        println!("{name:<14} {p50:>9.2} {p99:>9.2} {max:>9.2} {floor:>10.2} {size:>11.0}");
        let (us, floor_us) = (p50 * 1e3, floor * 1e3);
        let median = match self.floors.is_empty() {
            true => json!({ "us": us }),
            false => json!({ "us": us, "floor_us": floor_us, "ratio": us / floor_us.max(1.0) }),
        };
        json!({
            "name": name,
            "p50": median,
            "p99_ms": p99,
            "max_ms": max,
            "p50_bytes": size,
        })
    }
}

/// Fetches the chunks that answer a query, without decoding them.
async fn floor(history: &History, query: &HistoryQuery) -> Result<()> {
    const PAGE: i64 = 16;
    let question = query.question();
    let coverage = Coverage::of(&history.chunks().tiers(HOST).await?);
    for segment in plan(&coverage, question.from, question.to, question.interval) {
        let mut from = segment.from;
        loop {
            let wanted = Wanted {
                content: question.metric_type.into(),
                tier: segment.tier.seconds(),
                from,
                to: segment.to,
            };
            let page = history.chunks().find(HOST, wanted, PAGE).await?;
            match page.last() {
                Some(last) if i64::try_from(page.len()) == Ok(PAGE) => from = last.end,
                _ => break,
            }
        }
    }
    Ok(())
}

fn quantile(values: &mut [f64], p: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let index = ((values.len() as f64 * p).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(index).copied().unwrap_or_default()
}
