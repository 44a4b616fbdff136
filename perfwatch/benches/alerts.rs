//! Cost of alert rules: µs a rule and tick, and a preview over 30 days of history. How often stock rules fire in these.
//!
//! `cargo bench -p perfwatch --bench alerts [-- --days N]`
#![allow(clippy::print_stdout)] // a benchmark tells its figures

#[path = "support/seeding.rs"]
mod seeding;
#[path = "support/synthetic.rs"]
mod synthetic;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use perfwatch::alerts::compile::Compiled;
use perfwatch::alerts::evaluator::{Evaluator, Tick};
use perfwatch::alerts::period::Period;
use perfwatch::alerts::preview;
use perfwatch::alerts::rule::Rule;
use perfwatch::alerts::stock;
use perfwatch::history::History;
use perfwatch::history::writer::LogPlace;
use perfwatch::snapshot::{MetricType, Reading, Snapshot};
use perfwatch::store;
use perfwatch::store::alerts::AlertBatch;
use time::{Duration, OffsetDateTime};

const RULES: usize = 1000;
const TICKS: i64 = 300;
const RETENTION: Period = Period::seconds(30 * 86_400);

/// What rules are about, with how they look at it.
const KINDS: [&str; 9] = [
    "field = \"cpu.usage_percent\"\nfunction = \"average\"\nwindow = \"5m\"",
    "field = \"cpu.per_core\"\nfunction = \"max\"\nwindow = \"5m\"",
    "field = \"memory.used_bytes\"\nof = \"memory.total_bytes\"",
    "field = \"pressure.io.full.avg60\"\nfunction = \"share_above\"\nlevel = 10\nwindow = \"1h\"",
    "field = \"disk.devices.queue_depth\"\nfunction = \"quantile\"\nquantile = 0.9\nwindow = \"15m\"",
    "field = \"disk.partitions.usage_percent\"\nfunction = \"forecast\"\nline = 100\nwindow = \"6h\"",
    "field = \"network.interfaces.bytes_sent\"\nfunction = \"rate\"\nwindow = \"5m\"",
    "field = \"block_io.devices.read.histogram\"\nfunction = \"quantile\"\nquantile = 0.99\nwindow = \"15m\"",
    "field = \"cgroups.groups.memory_bytes\"\nsum = true\nfunction = \"average\"\nwindow = \"5m\"",
];

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

struct Live(Snapshot);

impl Tick for Live {
    type Rows = Reading;

    fn at(&self) -> i64 {
        i64::try_from(self.0.timestamp.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
    }

    fn apart(&self) -> i64 {
        5_000_000
    }

    fn rows(&self, of: MetricType) -> Option<&Reading> {
        self.0.reading(of)
    }

    fn absent(&self, _: MetricType) -> Option<Arc<str>> {
        None
    }
}

fn rule(n: usize, kind: &str) -> Result<(Arc<Rule>, Arc<Compiled>)> {
    let text = format!("name = \"r{n}\"\n{kind}\nwarning = {{ above = {} }}\nfor = \"1m\"", n % 100);
    let rule: Rule = toml::from_str(&text)?;
    let compiled = Compiled::new(&rule, RETENTION).map_err(|problems| anyhow!("{problems:?}"))?;
    Ok((Arc::new(rule), Arc::new(compiled)))
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut machine = synthetic::Machine::new(8);
    let start = OffsetDateTime::now_utc() - Duration::hours(1);
    let ticks: Vec<Live> =
        (0..TICKS).filter_map(|n| machine.snapshot(start + Duration::seconds(5 * n))).map(Live).collect();
    for kind in KINDS {
        let (cost, things) = evaluate(&ticks, (0..100).map(|n| rule(n, kind)).collect::<Result<_>>()?)?;
        println!("{cost:7.2} µs a rule and tick, {things:3} things: {}", kind.replace('\n', ", "));
    }
    let rules = (0..RULES).map(|n| rule(n, KINDS[n % KINDS.len()])).collect::<Result<_>>()?;
    let (cost, things) = evaluate(&ticks, rules)?;
    println!("{cost:7.2} µs a rule and tick, {things} things of {RULES} rules of all kinds");

    let dir = tempfile::tempdir()?;
    let store = store::open(&store::sqlite_url(dir.path())).await?;
    let plan = seeding::Plan {
        end: OffsetDateTime::now_utc(),
        days: options.days,
        span: Duration::DAY,
        interval: Duration::MINUTE,
        cpus: 8,
        types: MetricType::ALL.into_iter().filter(|of| of.is_shown()).collect(),
        documents: 0,
    };
    let log = LogPlace { dir: dir.path().join("log"), max_bytes: 1 << 30 };
    seeding::seed(&store, "bench", &log, &plan, |_| {}).await?;
    let history = History::new(store.clone(), "bench");
    let to = Live(Snapshot::new(plan.end, Vec::new())).at();
    let from = to - i64::from(options.days) * 86_400_000_000;
    for stock in stock::file(RETENTION).rules {
        let rule = stock.what;
        let compiled = Compiled::new(&rule, RETENTION).map_err(|problems| anyhow!("{problems:?}"))?;
        let since = Instant::now();
        let found = preview::run(&history, &rule, &compiled, from, to).await.context("a preview")?;
        let took = since.elapsed().as_secs_f64();
        let (days, things, raised) = (options.days, found.things, found.raised);
        println!("{took:7.3} s for {days} days of {things} things, raised {raised} times: {}", rule.name);
    }
    store.close().await;
    Ok(())
}

/// µs a rule and tick, and the things of all rules.
fn evaluate(ticks: &[Live], rules: Vec<(Arc<Rule>, Arc<Compiled>)>) -> Result<(f64, usize)> {
    let count = rules.len();
    let mut evaluator = Evaluator::new("bench", Vec::new());
    evaluator.set_rules(rules, 0, &mut AlertBatch::default());
    let since = Instant::now();
    for tick in ticks {
        evaluator.evaluate(tick, &mut AlertBatch::default());
    }
    let took = since.elapsed().as_secs_f64() * 1e6;
    let things = evaluator.rules().iter().map(|running| running.things.len()).sum();
    Ok((took / ticks.len() as f64 / count as f64, things))
}
