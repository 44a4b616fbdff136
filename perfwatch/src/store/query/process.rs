//! What one process, or all of one name, used over a range: out of the lists that snapshots keep of the busiest.
//!
//! A list belongs to its snapshot and is not averaged: a rollup keeps the first of its bucket. So short ranges read
//! every snapshot and long ones a sample of them, and each point tells how many lists it was made from and how
//! many of them had the process.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use time::OffsetDateTime;

use super::Interval;
use super::pages::Pages;
use super::plan::Question;
use crate::snapshot::MetricType;
use crate::store::rollup::accumulator::{Cell, Stat};
use crate::store::rollup::{Tier, TierRow, floor};
use crate::store::{Result, Store, from_micros, micros, shapes};

/// Lists read for one answer, where a coarser tier can answer with fewer: 6 h at 5 s.
const LISTS: i64 = 4320;
/// Raw rows are about this far apart, s.
const RAW_SPACING: i64 = 5;
/// Names remembered of the processes found.
const NAMES: usize = 16;

/// Whose history.
#[derive(Debug, Clone, Default)]
pub struct Whose {
    pub pid: Option<u32>,
    /// The kernel's name of it (`comm`). Without a pid, processes of this name are added up.
    pub name: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ProcessQuery {
    pub whose: Whose,
    pub start: OffsetDateTime,
    /// Included.
    pub end: OffsetDateTime,
    pub interval: Interval,
    /// Points at most.
    pub limit: usize,
}

/// What was used, by the names of the `processes` document's fields. `None` where no list told.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Use {
    /// Of that name, where several are added up.
    pub processes: Option<f64>,
    pub threads: Option<f64>,
    pub cpu_percent: Option<f64>,
    pub rss_bytes: Option<f64>,
    pub runqueue_wait_ms_per_sec: Option<f64>,
    pub context_switches_per_sec: Option<f64>,
    pub read_bytes_per_sec: Option<f64>,
    pub write_bytes_per_sec: Option<f64>,
    pub ipc: Option<f64>,
    pub llc_mpki: Option<f64>,
    pub branch_mpki: Option<f64>,
    pub dtlb_mpki: Option<f64>,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessPoint {
    /// Start of the bucket.
    pub at: OffsetDateTime,
    /// Lists that were looked at.
    pub snapshots: u64,
    /// Those with the process in them.
    pub listed: u64,
    pub average: Use,
    pub max: Use,
}

/// Reads the points of a query, with never more than a page in memory.
#[derive(Debug)]
pub struct ProcessHistory {
    store: Arc<dyn Store>,
    query: ProcessQuery,
    pages: Pages,
    filling: Option<Bucket>,
    names: BTreeSet<String>,
    given: usize,
    truncated: bool,
}

impl ProcessHistory {
    pub async fn open(store: Arc<dyn Store>, query: ProcessQuery) -> Result<Self> {
        let (from, to) = (micros(query.start), micros(query.end).saturating_add(1));
        let interval = spacing(to - from, query.interval.width());
        let question = Question { metric_type: MetricType::Processes, from, to, interval };
        let pages = Pages::open(Arc::clone(&store), question).await?;
        Ok(Self { store, query, pages, filling: None, names: BTreeSet::new(), given: 0, truncated: false })
    }

    /// True once there turned out to be more points than the limit.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The names the processes found so far had: more than one where a pid was given anew.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The next point, or `None` after the last or the limit.
    pub async fn next(&mut self) -> Result<Option<ProcessPoint>> {
        if self.given == self.query.limit {
            self.truncated = self.truncated || self.next_bucket().await?.is_some();
            return Ok(None);
        }
        let Some(bucket) = self.next_bucket().await? else { return Ok(None) };
        self.given += 1;
        Ok(Some(bucket.point()))
    }

    async fn next_bucket(&mut self) -> Result<Option<Bucket>> {
        loop {
            let Some((tier, row)) = self.pages.next().await? else { return Ok(self.filling.take()) };
            let Some(used) = self.used(tier, &row).await? else { continue };
            let at = floor(row.at, self.query.interval.width());
            let full = match &self.filling {
                Some(bucket) if bucket.at == at => None,
                _ => self.filling.replace(Bucket::new(at)),
            };
            if let Some(bucket) = &mut self.filling {
                bucket.add(used);
            }
            if full.is_some() {
                return Ok(full);
            }
        }
    }

    /// What a row's list says; `None` if it has no list, as when the source failed.
    async fn used(&mut self, tier: Tier, row: &TierRow) -> Result<Option<Option<Added>>> {
        let list = if tier == Tier::Raw {
            serde_json::from_slice::<Document>(&row.data).ok().and_then(|document| document.top)
        } else {
            let sum = shapes::decode(self.store.as_ref(), row).await?;
            sum.shape().position("top").and_then(|i| match &sum.cells()[i] {
                Cell::Other(json) => serde_json::from_slice(json).ok(),
                _ => None,
            })
        };
        let Some(list): Option<Vec<Listed>> = list else { return Ok(None) };
        let mut added = None;
        for listed in list.iter().filter(|listed| self.query.whose.is(listed)) {
            added.get_or_insert_with(Added::default).add(listed);
            if self.names.len() < NAMES && !self.names.contains(&listed.comm) {
                self.names.insert(listed.comm.clone());
            }
        }
        Ok(Some(added))
    }
}

/// The width (µs) of the tier to read: the finest that is not finer than needed and whose rows are few enough.
fn spacing(range: i64, interval: i64) -> i64 {
    let enough = |tier: &Tier| range / tier.width() <= LISTS;
    if range <= LISTS * RAW_SPACING * 1_000_000 {
        return RAW_SPACING * 1_000_000;
    }
    let tier = Tier::ROLLUPS.into_iter().find(enough).unwrap_or(Tier::Day);
    tier.width().min(interval)
}

impl Whose {
    fn is(&self, listed: &Listed) -> bool {
        self.pid.is_none_or(|pid| pid == listed.pid)
            && self.name.as_ref().is_none_or(|name| *name == listed.comm)
    }
}

#[derive(Deserialize)]
struct Document {
    top: Option<Vec<Listed>>,
}

/// What is read of a listed process.
#[derive(Debug, Deserialize)]
struct Listed {
    pid: u32,
    comm: String,
    threads: Option<f64>,
    rss_bytes: Option<f64>,
    cpu_percent: Option<f64>,
    runqueue_wait_ms_per_sec: Option<f64>,
    context_switches_per_sec: Option<f64>,
    read_bytes_per_sec: Option<f64>,
    write_bytes_per_sec: Option<f64>,
    cycles: Option<f64>,
    instructions: Option<f64>,
    llc_mpki: Option<f64>,
    branch_mpki: Option<f64>,
    dtlb_mpki: Option<f64>,
}

/// Amounts that processes of one list add up to.
const AMOUNTS: usize = 8;
/// Misses by cause.
const MISSES: usize = 3;

/// What the processes asked for add up to in one list. Ratios are made from the sums.
#[derive(Debug, Default)]
struct Added {
    amounts: [Option<f64>; AMOUNTS],
    counts: Counts,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    cycles: f64,
    instructions: f64,
    /// Misses, and the instructions among which they were counted.
    misses: [(f64, f64); MISSES],
}

impl Added {
    fn add(&mut self, listed: &Listed) {
        let amounts = [
            Some(1.0),
            listed.threads,
            listed.cpu_percent,
            listed.rss_bytes,
            listed.runqueue_wait_ms_per_sec,
            listed.context_switches_per_sec,
            listed.read_bytes_per_sec,
            listed.write_bytes_per_sec,
        ];
        for (sum, amount) in self.amounts.iter_mut().zip(amounts) {
            if let Some(amount) = amount {
                *sum = Some(sum.unwrap_or(0.0) + amount);
            }
        }
        if let (Some(cycles), Some(instructions)) = (listed.cycles, listed.instructions) {
            self.counts.cycles += cycles;
            self.counts.instructions += instructions;
        }
        let rates = [listed.llc_mpki, listed.branch_mpki, listed.dtlb_mpki];
        for (sum, per_thousand) in self.counts.misses.iter_mut().zip(rates) {
            if let (Some(per_thousand), Some(instructions)) = (per_thousand, listed.instructions) {
                sum.0 += per_thousand / 1000.0 * instructions;
                sum.1 += instructions;
            }
        }
    }
}

impl Counts {
    fn plus(&mut self, other: &Self) {
        self.cycles += other.cycles;
        self.instructions += other.instructions;
        for (sum, other) in self.misses.iter_mut().zip(&other.misses) {
            sum.0 += other.0;
            sum.1 += other.1;
        }
    }

    /// Instructions per cycle, then misses per thousand instructions.
    fn ratios(&self) -> [Option<f64>; 1 + MISSES] {
        let ratio = |above: f64, below: f64| (below > 0.0).then(|| above / below);
        let [llc, branch, dtlb] = self.misses.map(|(misses, among)| ratio(misses * 1000.0, among));
        [ratio(self.instructions, self.cycles), llc, branch, dtlb]
    }
}

/// A bucket being filled.
#[derive(Debug)]
struct Bucket {
    /// Its start, µs since the epoch.
    at: i64,
    snapshots: u64,
    listed: u64,
    amounts: [Option<Stat>; AMOUNTS],
    counts: Counts,
    /// The greatest of a single list.
    ratios: [Option<f64>; 1 + MISSES],
}

impl Bucket {
    fn new(at: i64) -> Self {
        Self {
            at,
            snapshots: 0,
            listed: 0,
            amounts: [None; AMOUNTS],
            counts: Counts::default(),
            ratios: [None; 1 + MISSES],
        }
    }

    fn add(&mut self, used: Option<Added>) {
        self.snapshots += 1;
        let Some(used) = used else { return };
        self.listed += 1;
        for (stat, amount) in self.amounts.iter_mut().zip(used.amounts) {
            match (&mut *stat, amount) {
                (Some(stat), Some(amount)) => stat.merge(&Stat::one(amount)),
                (None, Some(amount)) => *stat = Some(Stat::one(amount)),
                (_, None) => {}
            }
        }
        self.counts.plus(&used.counts);
        for (greatest, ratio) in self.ratios.iter_mut().zip(used.counts.ratios()) {
            // `None` is less than any number.
            if ratio > *greatest {
                *greatest = ratio;
            }
        }
    }

    fn point(&self) -> ProcessPoint {
        let averages = self.amounts.map(|stat| stat.map(|stat| stat.average()));
        let greatest = self.amounts.map(|stat| stat.map(|stat| stat.max));
        ProcessPoint {
            at: from_micros(self.at),
            snapshots: self.snapshots,
            listed: self.listed,
            average: Use::of(averages, self.counts.ratios()),
            max: Use::of(greatest, self.ratios),
        }
    }
}

impl Use {
    fn of(amounts: [Option<f64>; AMOUNTS], ratios: [Option<f64>; 1 + MISSES]) -> Self {
        let [processes, threads, cpu_percent, rss_bytes, wait, switches, read, write] = amounts;
        let [ipc, llc_mpki, branch_mpki, dtlb_mpki] = ratios;
        Self {
            processes,
            threads,
            cpu_percent,
            rss_bytes,
            runqueue_wait_ms_per_sec: wait,
            context_switches_per_sec: switches,
            read_bytes_per_sec: read,
            write_bytes_per_sec: write,
            ipc,
            llc_mpki,
            branch_mpki,
            dtlb_mpki,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn short_ranges_read_every_snapshot_and_long_ones_few_enough() {
        let minute = 60 * SECOND;
        let hour = 60 * minute;
        assert_eq!(spacing(6 * hour, minute), RAW_SPACING * SECOND);
        assert_eq!(spacing(24 * hour, 5 * minute), minute);
        assert_eq!(spacing(7 * 24 * hour, hour), 5 * minute);
        assert_eq!(spacing(365 * 24 * hour, 24 * hour), 24 * hour);
        // Finer points than that were asked for.
        assert_eq!(spacing(24 * hour, 5 * SECOND), 5 * SECOND);
    }

    #[test]
    fn ratios_are_made_from_sums() {
        let listed = |cycles: f64, instructions: f64, llc_mpki| Listed {
            pid: 1,
            comm: "x".into(),
            threads: None,
            rss_bytes: None,
            cpu_percent: None,
            runqueue_wait_ms_per_sec: None,
            context_switches_per_sec: None,
            read_bytes_per_sec: None,
            write_bytes_per_sec: None,
            cycles: Some(cycles),
            instructions: Some(instructions),
            llc_mpki,
            branch_mpki: None,
            dtlb_mpki: None,
        };
        let mut bucket = Bucket::new(0);
        for process in [listed(1000.0, 3000.0, Some(2.0)), listed(1000.0, 1000.0, None)] {
            let mut added = Added::default();
            added.add(&process);
            bucket.add(Some(added));
        }
        bucket.add(None);
        let point = bucket.point();
        assert_eq!((point.snapshots, point.listed), (3, 2));
        assert_eq!((point.average.ipc, point.max.ipc), (Some(2.0), Some(3.0)));
        // Those whose misses were not counted do not dilute the others'.
        assert_eq!((point.average.llc_mpki, point.average.branch_mpki), (Some(2.0), None));
        assert_eq!((point.average.processes, point.average.cpu_percent), (Some(1.0), None));
    }
}
