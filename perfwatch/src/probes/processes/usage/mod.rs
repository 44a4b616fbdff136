//! Document `usage`: what every process used, for history.
//!
//! The document `processes` lists the busiest of a tick; this one is exact over any time: its rows add up to what the
//! machine used.

mod command;
pub(super) mod facts;
mod largest;
mod ledger;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use self::facts::FactBook;
use self::largest::Largest;
use self::ledger::{Account, Ledger, Name};
use super::derive::add_up;
use super::lister::ProcessLister;
use super::memory::Memory;
use super::names::{Names, called};
use super::walk::{Present, Walk};
use crate::cgroups;
use crate::probes::Common;
use crate::probes::sched::SharedSched;
use crate::probes::sched::interval::{Interval, Usage};
use crate::snapshot::derive::round;
use crate::snapshot::processes::CgroupName;
use crate::snapshot::processes::listing::Facts;
use crate::snapshot::source::{Method, Report, Source, SourceError, State, Tick};
use crate::snapshot::{MetricType, Reading};

pub(in crate::probes) const NAME: &str = "usage";

pub(in crate::probes) struct Accounts {
    sched: SharedSched,
    lister: Arc<ProcessLister>,
    names: Names,
    groups: cgroups::Names,
    memory: Memory,
    ledger: Ledger,
    facts: FactBook,
    largest: Largest,
    /// Processes that the last interval found ended.
    ended: HashSet<u32>,
    /// A walk over `/proc` may serve several ticks.
    last_walk: Option<Arc<Walk>>,
}

/// Which amounts are counted on this machine.
#[derive(Debug, Clone, Copy)]
struct Counts {
    waits: bool,
    storage: bool,
    /// A bit for each counter.
    counters: u32,
}

#[derive(Debug, Serialize)]
struct Document {
    elapsed_ms: Option<f64>,
    processes: Vec<Row>,
    groups: Vec<Group>,
}

/// A cgroup with a process in the list.
#[derive(Debug, Serialize)]
struct Group {
    cgroup: Arc<str>,
    #[serde(flatten)]
    named: CgroupName,
}

#[derive(Debug, Serialize)]
struct Row {
    cgroup: Option<Arc<str>>,
    comm: Arc<str>,
    pid: u32,
    processes: u64,
    exits: Option<u64>,
    cpu_us: u64,
    runqueue_wait_us: Option<u64>,
    context_switches: Option<u64>,
    read_bytes: Option<u64>,
    write_bytes: Option<u64>,
    cycles: Option<u64>,
    instructions: Option<u64>,
    llc_misses: Option<u64>,
    branch_misses: Option<u64>,
    dtlb_misses: Option<u64>,
    rss_bytes: Option<u64>,
    minor_faults: Option<u64>,
    major_faults: Option<u64>,
    #[serde(flatten)]
    facts: Arc<Facts>,
}

impl Accounts {
    pub(in crate::probes) fn new(common: &Common<'_>) -> Self {
        let procfs = common.roots.procfs.clone();
        Self {
            sched: common.sched.share(),
            lister: Arc::clone(&common.lister),
            names: Names::new(common.roots),
            groups: common.names.clone(),
            memory: Memory::new(procfs.clone()),
            ledger: Ledger::default(),
            facts: FactBook::new(common.roots, common.options.command_lines),
            largest: Largest::new(procfs),
            ended: HashSet::new(),
            last_walk: None,
        }
    }

    /// Adds what the tasks used; returns the time that covers.
    fn add_tasks(&mut self, interval: &Interval) -> Duration {
        let mut listed = Usage::default();
        let before = std::mem::take(&mut self.ended);
        let mut exits = 0;
        for process in add_up(&interval.tasks) {
            listed = listed.plus(&process.usage);
            let name = Name {
                cgroup: self.names.cgroup(process.cgroup, process.pid).map(Arc::from),
                comm: process.comm.into(),
                pid: process.pid,
            };
            // One that ends while it is read may be read once more.
            let ends = process.exited && !before.contains(&process.pid);
            if process.exited {
                self.ended.insert(process.pid);
            }
            exits += u64::from(ends);
            let account = Account {
                usage: process.usage,
                processes: 1,
                exits: ends.into(),
                uid: Some(process.uid),
                ..Account::default()
            };
            self.ledger.add(name, account);
        }
        // Threads that were not read in time.
        let usage = interval.used.minus(&listed);
        let exits = interval.exits.saturating_sub(exits);
        self.ledger.add(Name::rest(), Account { usage, exits, ..Account::default() });
        interval.elapsed
    }

    fn add_walk(&mut self, walk: &Walk) -> Option<Duration> {
        let elapsed = walk.elapsed?;
        let seconds = elapsed.as_secs_f64();
        let amount = |rate: Option<f64>| (rate.unwrap_or(0.0) * seconds).round() as u64;
        let cpu_ns = |percent: Option<f64>| amount(percent.map(|percent| percent * 1e7));
        let mut listed = 0;
        for Present { pid, comm, uid, details, used, .. } in &walk.present {
            let usage = Usage {
                cpu_ns: cpu_ns(used.cpu_percent),
                read_bytes: amount(used.read_bytes_per_sec),
                write_bytes: amount(used.write_bytes_per_sec),
                ..Usage::default()
            };
            if !used.is_any() {
                continue;
            }
            listed += usage.cpu_ns;
            let name =
                Name { cgroup: details.cgroup.as_deref().map(Arc::from), comm: (&**comm).into(), pid: *pid };
            let account = Account {
                usage,
                storage_unknown: used.read_bytes_per_sec.is_none(),
                processes: 1,
                uid: Some(*uid),
                rss_bytes: details.rss_bytes,
                ..Account::default()
            };
            self.ledger.add(name, account);
        }
        // Hidden processes, and those that have ended.
        let usage =
            Usage { cpu_ns: cpu_ns(walk.total_cpu_percent).saturating_sub(listed), ..Usage::default() };
        self.ledger.add(Name::rest(), Account { usage, storage_unknown: true, ..Account::default() });
        Some(elapsed)
    }

    /// Adds the largest in memory.
    fn add_largest(&mut self, interval: Duration) {
        if !self.names.sees_host() {
            return;
        }
        let pids = self.largest.end_minute(interval);
        let carried = self.ledger.name_of(&pids);
        for pid in pids {
            let Some((comm, uid, cgroup)) = self.facts.identity(pid, &self.names) else { continue };
            let name = carried.get(&pid).cloned().unwrap_or(Name { cgroup, comm, pid });
            self.ledger.keep(name, uid);
        }
    }

    fn row(&mut self, name: Name, account: Account, counts: Counts, end_of_minute: bool) -> Row {
        let of_one = name.pid != 0;
        let lives = of_one && account.exits == 0 && self.names.sees_host();
        let resident =
            if lives { account.rss_bytes.or_else(|| self.memory.resident(name.pid)) } else { None };
        let facts = if of_one {
            self.facts.of(name.pid, &name.comm, account.uid, &mut self.names)
        } else {
            Arc::new(Facts::default())
        };
        let faults = (lives && end_of_minute).then(|| self.facts.faults(name.pid)).flatten();
        let Usage { cpu_ns, wait_ns, switches, read_bytes, write_bytes, counters } = account.usage;
        let counter = |n: usize| (counts.counters & 1 << n != 0).then_some(counters[n]);
        let stored = |bytes| Some(bytes).filter(|_| counts.storage && !account.storage_unknown);
        Row {
            cgroup: name.cgroup,
            comm: name.comm,
            pid: name.pid,
            processes: account.processes,
            exits: counts.waits.then_some(account.exits),
            cpu_us: cpu_ns / 1000,
            runqueue_wait_us: counts.waits.then_some(wait_ns / 1000),
            context_switches: counts.waits.then_some(switches),
            read_bytes: stored(read_bytes),
            write_bytes: stored(write_bytes),
            cycles: counter(0),
            instructions: counter(1),
            llc_misses: counter(2),
            branch_misses: counter(3),
            dtlb_misses: counter(4),
            rss_bytes: resident,
            minor_faults: faults.map(|(minor, _)| minor),
            major_faults: faults.map(|(_, major)| major),
            facts,
        }
    }
}

impl Source for Accounts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Usage
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let mut counts = Counts { waits: false, storage: true, counters: 0 };
        let elapsed = if let Some(interval) = self.sched.interval(tick) {
            let counters = if interval.counted.starved() { 0 } else { interval.counting };
            counts = Counts { waits: true, storage: interval.storage, counters };
            Some(self.add_tasks(&interval))
        } else {
            // Without the programs, the document `processes` has walked over `/proc`.
            let walk = self.lister.walked_at(&tick.timestamp);
            let is_new = walk.as_ref().map(Arc::as_ptr) != self.last_walk.as_ref().map(Arc::as_ptr);
            let elapsed = walk.as_ref().filter(|_| is_new).and_then(|walk| self.add_walk(walk));
            self.last_walk = walk;
            elapsed
        };
        self.memory.begin_tick();
        let mut document = Document { elapsed_ms: None, processes: Vec::new(), groups: Vec::new() };
        let end_of_minute = minute(tick.at + tick.interval) != minute(tick.at);
        if let Some(elapsed) = elapsed {
            document.elapsed_ms = Some(round(elapsed.as_secs_f64() * 1e3, 3));
            let rows = if end_of_minute {
                self.add_largest(tick.interval);
                self.ledger.take_all()
            } else {
                self.largest.tick();
                self.ledger.take_noticeable(elapsed)
            };
            document.processes = rows
                .into_iter()
                .map(|(name, account)| self.row(name, account, counts, end_of_minute))
                .collect();
            let cgroups: BTreeSet<&Arc<str>> =
                document.processes.iter().filter_map(|row| row.cgroup.as_ref()).collect();
            document.groups = cgroups
                .into_iter()
                .map(|cgroup| Group { cgroup: Arc::clone(cgroup), named: called(&self.groups, cgroup) })
                .collect();
            if end_of_minute {
                self.facts.end_minute();
            }
        }
        Ok(Reading::new(MetricType::Usage, tick.at, &document)?)
    }

    fn report(&self) -> Report {
        let report = self.sched.report(Report::active(NAME, MetricType::Usage, Method::Ebpf));
        if !self.sched.may_not_run() {
            return report;
        }
        let why = report.reason.unwrap_or_default();
        Report {
            state: State::Active,
            method: Method::Procfs,
            reason: Some(format!("CPU time, memory and I/O only, from /proc: {why}")),
            ..report
        }
    }
}

fn minute(at: OffsetDateTime) -> i64 {
    at.unix_timestamp().div_euclid(60)
}
