//! A fleet on one machine: simulated machines through a real NATS server and a real hub into a real PostgreSQL.
//!
//! `cargo bench -p perfwatch --bench fleet [-- [--measure agent,10,100,1000] [--json FILE]]`
//!
//! First what a real agent costs this machine. Then so many simulated ones.
//! Each machine sends what a machine of 4 CPUs with all documents records in five minutes at 5 s, all at the same moment,
//! as real ones do: slots end by the clock. Reported are the CPU time and memory of hub, NATS and PostgreSQL, bytes on the
//! wire and on disk, how long after the end of the slot everything can be seen, and how fast the API answers for all hosts.
#![allow(clippy::print_stdout)] // a benchmark tells its figures

#[path = "fleet/agent.rs"]
mod agent;
#[path = "fleet/machines.rs"]
mod machines;
#[path = "../tests/fleet/nats.rs"]
#[allow(dead_code, clippy::unwrap_used, missing_debug_implementations, reason = "made for tests")]
mod nats;
#[path = "fleet/parts.rs"]
mod parts;
#[path = "../tests/support/postgres.rs"]
#[allow(clippy::unwrap_used, clippy::panic, missing_debug_implementations, reason = "made for tests")]
mod postgres;
#[path = "support/synthetic.rs"]
#[allow(dead_code, reason = "only its snapshots are needed")]
mod synthetic;
#[path = "support/threads.rs"]
mod threads;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use machines::{Machines, SLOT, Slot};
use parts::{Hub, Part, disk_bytes};
use perfwatch::snapshot::MetricType;
use perfwatch::store::chunks::Content;
use serde_json::json;
use time::OffsetDateTime;

/// For a test's NATS server and everything else here.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Between slots there are signs of life, and what alert rules want to know. At first a hub fills the windows of its rules;
/// what they compare with from the past is read every five minutes.
const FIRST: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(300);
const SLOTS_A_DAY: f64 = 86_400.0 / SLOT as f64;
/// Documents of each process and cgroup: most of what a machine records.
const BY_PROCESS: [MetricType; 2] = [MetricType::Usage, MetricType::Cgroups];
/// Requests of each question.
const ASKED: usize = 60;

#[derive(Parser)]
struct Options {
    /// `agent`, or numbers of hosts
    #[arg(long, value_delimiter = ',', default_values = ["agent", "10", "100", "1000"])]
    measure: Vec<Subject>,
    #[arg(long)]
    json: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy)]
enum Subject {
    Agent,
    Hosts(usize),
}

impl std::str::FromStr for Subject {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if text == "agent" { Ok(Self::Agent) } else { text.parse().map(Self::Hosts) }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Hosts(count) => count.fmt(f),
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut figures = serde_json::Map::new();
        for subject in options.measure {
            match measure(subject).await? {
                Ok(measured) => {
                    println!("{subject}");
                    for (name, value) in &measured {
                        println!("  {name:<50}{value:>12.3}");
                    }
                    figures.insert(subject.to_string(), json!(measured));
                }
                Err(why) => println!("SKIPPED: fleet: {why}"),
            }
        }
        if let Some(path) = options.json.filter(|_| !figures.is_empty()) {
            std::fs::write(&path, serde_json::to_vec(&figures)?)
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    })
}

/// What an hour costs once it is over is measured by itself, so none may end while the rest is measured.
async fn until_within_an_hour() {
    let (first, last) = (2 * SLOT + 60, 3600 - (FIRST + QUIET).as_secs().cast_signed() - 150);
    loop {
        let into = OffsetDateTime::now_utc().unix_timestamp() % 3600;
        if (first..last).contains(&into) {
            return;
        }
        let wait = (first - into).rem_euclid(3600);
        println!("an hour ends soon or has just ended: waiting for {wait} s");
        tokio::time::sleep(Duration::from_secs(wait.unsigned_abs())).await;
    }
}

type Figures = BTreeMap<String, f64>;

/// What machines send while no slot ends.
async fn between(machines: &Machines, slot: &Slot, time: Duration) -> Result<()> {
    let since = Instant::now();
    let living = async {
        while since.elapsed() < time {
            machines.live(slot).await?;
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::try_join!(living, machines.answer(slot, since + time))?;
    Ok(())
}

/// `Err` within says why it can't be measured here.
async fn measure(subject: Subject) -> Result<std::result::Result<Figures, String>> {
    let nats = match nats::Nats::start().await {
        Ok(nats) => nats,
        Err(why) => return Ok(Err(why)),
    };
    let cluster = match postgres::Cluster::start_durable().await {
        Ok(cluster) => cluster,
        Err(why) => return Ok(Err(why)),
    };
    let figures = match subject {
        Subject::Agent => {
            // It makes the stream, and takes what the agent sends.
            let _hub = Hub::start(&nats, &cluster.database().await).await?;
            agent::measure(&nats).await?
        }
        Subject::Hosts(count) => {
            until_within_an_hour().await;
            of_hosts(count, &nats, &cluster).await?
        }
    };
    Ok(Ok(figures))
}

async fn of_hosts(count: usize, nats: &nats::Nats, cluster: &postgres::Cluster) -> Result<Figures> {
    let hour_ms = machines::hour_cpu_ms(&cluster.database().await).await?;
    let database = cluster.database().await;
    let hub = Hub::start(nats, &database).await?;
    let parts = [
        ("hub", hub.part()),
        ("nats", Part::new(nats.pid())),
        ("postgresql", Part::new(u32::try_from(cluster.pid())?)),
    ];

    let now = OffsetDateTime::now_utc().unix_timestamp();
    // Two slots that are over: the first one fills caches, and makes tables and hosts.
    let machines = Machines::connect(nats, count).await?;
    let first = Slot::record(now - now % SLOT - 2 * SLOT).await?;
    let second = Slot::record(now - now % SLOT - SLOT).await?;
    machines.introduce(&first).await?;
    let sent = machines.send(&first).await?.messages;
    hub.until_stored(sent, Instant::now()).await?;

    let mut figures = Figures::new();
    let (disk, before) = (disk_bytes(&database).await?, parts.each_ref().map(|(_, part)| part.cpu()));
    let since = Instant::now();
    // How much is stored is known only once all of it is sent, so both are watched at once.
    let all = sent + sent;
    let (of_slot, delays) = tokio::try_join!(machines.send(&second), hub.until_stored(all, since))?;
    let after = parts.each_ref().map(|(_, part)| part.cpu());
    between(&machines, &second, FIRST).await?;
    let settled = parts.each_ref().map(|(_, part)| part.cpu());
    let quiet = Instant::now();
    between(&machines, &second, QUIET).await?;
    let later = parts.each_ref().map(|(_, part)| part.cpu());
    let minutes = quiet.elapsed().as_secs_f64() / 60.0;
    let hosts = count as f64;
    for (n, (name, part)) in parts.iter().enumerate() {
        let slot = (after[n] - before[n]) / (SLOT as f64 / 60.0);
        let quiet = (later[n] - settled[n]) / minutes;
        let [cpu, memory] = match *name {
            "hub" => ["hub_cpu_ms_per_host_minute", "hub_anonymous_mib"],
            "nats" => ["nats_cpu_ms_per_host_minute", "nats_anonymous_mib"],
            _ => ["postgresql_cpu_ms_per_host_minute", "postgresql_anonymous_mib"],
        };
        let each = (slot + quiet) * 1e3 / hosts;
        figures.insert(memory.to_owned(), part.anonymous_mib());
        // Within these minutes no hour ends.
        let of_hour = if *name == "hub" { hour_ms / 60.0 } else { 0.0 };
        figures.insert(cpu.to_owned(), each + of_hour);
        for (of, ms) in [("slots", slot * 1e3 / hosts), ("between", quiet * 1e3 / hosts), ("hours", of_hour)]
        {
            figures.insert(format!("{cpu}.{of}"), ms);
        }
    }
    let grown = disk_bytes(&database).await?.saturating_sub(disk);
    let day = |bytes: u64| bytes as f64 / hosts * SLOTS_A_DAY / 1e6;
    for (content, bytes) in &of_slot.bytes {
        figures.insert(format!("wire_mb_per_host_day.{}", content.as_str()), day(*bytes));
    }
    figures.insert("disk_mb_per_host_day".to_owned(), day(grown));
    let all: u64 = of_slot.bytes.values().sum();
    let by_process: u64 = BY_PROCESS.iter().filter_map(|of| of_slot.bytes.get(&Content::Readings(*of))).sum();
    let share = (all - by_process) as f64 / all as f64;
    figures.insert("disk_mb_per_host_day.without_accounts_and_cgroups".to_owned(), day(grown) * share);
    figures.insert("wire_mb_per_host_day".to_owned(), day(all));
    figures.insert("visible_after_p50_s".to_owned(), delays.p50);
    figures.insert("visible_after_p99_s".to_owned(), delays.p99);
    let questions = [
        ("overview_p99_ms", "/api/fleet/overview?courses=true".to_owned(), ASKED),
        ("one_host_hour_p99_ms", hub.hour_of(&machines.id(0), now), ASKED),
        ("field_over_hosts_p50_ms", hub.field_over_hosts(now), 3),
    ];
    for (name, path, times) in questions {
        let mut took = hub.ask(&path, times).await?;
        took.sort_by(f64::total_cmp);
        let share = if name.contains("p99") { 0.99 } else { 0.5 };
        figures.insert(name.to_owned(), took[((took.len() as f64 * share) as usize).min(took.len() - 1)]);
    }
    Ok(figures)
}
