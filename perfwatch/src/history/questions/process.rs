//! What one process, or all with one name, used over a range: from the busiest-process lists in readings and their
//! rollups. Each point says how many lists it covers, and how many of them had the process.

use std::collections::BTreeSet;
use std::sync::Arc;

use time::OffsetDateTime;

use super::Interval;
use crate::history::bucket::{Cell, Stat, longest};
use crate::history::reader::{Pieces, Question};
use crate::history::tier::floor;
use crate::history::{self, History, from_micros, micros};
use crate::snapshot::MetricType;
use crate::snapshot::layout::{Layout, TableLayout};
use crate::snapshot::selection::Selection;
use crate::snapshot::value::{Key, Label, Value};
use crate::store::Result;

/// Names remembered of the processes found.
const NAMES: usize = 16;

/// Which processes.
#[derive(Debug, Clone, Default)]
pub struct Whose {
    pub pid: Option<u32>,
    /// The kernel's name of the process (`comm`). Without a pid, all processes of this name are added up.
    pub name: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ProcessQuery {
    pub whose: Whose,
    pub start: OffsetDateTime,
    /// Inclusive.
    pub end: OffsetDateTime,
    pub interval: Interval,
    /// Maximum number of points.
    pub limit: usize,
}

/// Usage, named after the fields of the `processes` document. `None` where no list had the value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Use {
    /// Number of processes of that name, where several are added up.
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
    /// Lists in this bucket.
    pub snapshots: u64,
    /// Lists that had the process.
    pub listed: u64,
    pub average: Use,
    pub max: Use,
}

/// Reads the points of a query.
#[derive(Debug)]
pub struct ProcessHistory {
    query: ProcessQuery,
    pieces: Pieces,
    filling: Option<Bucket>,
    names: BTreeSet<String>,
    given: usize,
    truncated: bool,
}

impl ProcessHistory {
    pub async fn open(history: &History, query: ProcessQuery) -> Result<Self> {
        let layout = Layout::of(MetricType::Processes);
        let question = Question {
            metric_type: MetricType::Processes,
            from: micros(query.start),
            to: micros(query.end).saturating_add(1),
            interval: query.interval.width(),
        };
        let selection = Selection::of(layout, &[TABLE.to_owned()]);
        let pieces = Pieces::open(history, question, selection).await?;
        Ok(Self { query, pieces, filling: None, names: BTreeSet::new(), given: 0, truncated: false })
    }

    /// True once there are more points than the limit.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Names of the processes found so far: more than one if a pid was reused.
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
            let Some(piece) = self.pieces.next().await? else { return Ok(self.filling.take()) };
            let at = floor(piece.at(), self.query.interval.width());
            let sum = piece.bucket();
            // A source that failed has no list.
            if sum.samples() == sum.failed() {
                continue;
            }
            let full = match &self.filling {
                Some(bucket) if bucket.at == at => None,
                _ => self.filling.replace(Bucket::new(at)),
            };
            self.add(&sum);
            if full.is_some() {
                return Ok(full);
            }
        }
    }

    /// Adds what lists have of the selected processes.
    fn add(&mut self, sum: &history::bucket::Bucket) {
        let layout = Layout::of(MetricType::Processes);
        let Some(table) = layout.tables.iter().position(|table| table.path == TABLE) else { return };
        let mut added = None;
        for (row, key) in sum.keys_of(table).iter().enumerate() {
            let listed = Listed { cells: sum.row(table, row), table: &layout.tables[table] };
            let Some(comm) = listed.comm() else { continue };
            if !self.query.whose.is(key, &comm) {
                continue;
            }
            added.get_or_insert_with(Added::default).add(&listed);
            if self.names.len() < NAMES && !self.names.contains(&*comm) {
                self.names.insert(comm.to_string());
            }
        }
        if let Some(bucket) = &mut self.filling {
            bucket.add(sum.samples() - sum.failed(), added);
        }
    }
}

/// The list of the busiest processes.
const TABLE: &str = "top";

impl Whose {
    fn is(&self, key: &Key, comm: &str) -> bool {
        self.pid.is_none_or(|pid| key.last() == Some(&Label::Number(pid.into())))
            && self.name.as_ref().is_none_or(|name| *name == comm)
    }
}

/// One process in the lists.
struct Listed<'a> {
    cells: &'a [Cell],
    table: &'a TableLayout,
}

impl Listed<'_> {
    fn cell(&self, name: &str) -> Option<&Cell> {
        self.table.column(name).map(|column| &self.cells[column])
    }

    fn stat(&self, name: &str) -> Option<Stat> {
        match self.cell(name)? {
            Cell::Number(stat) => Some(*stat),
            _ => None,
        }
    }

    fn comm(&self) -> Option<Arc<str>> {
        match self.cell("comm")? {
            Cell::States(states) => match longest(states)? {
                Value::Text(text) => Some(Arc::clone(text)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Number of lists that have it.
    fn lists(&self) -> u64 {
        match self.cell("comm") {
            Some(Cell::States(states)) => states.iter().map(|(_, count)| count).sum(),
            _ => 0,
        }
    }
}

/// Number of amounts that are summed over the processes of a list.
const AMOUNTS: usize = 8;
/// Misses by cause.
const MISSES: usize = 3;

/// Instructions per cycle, and misses by cause, per thousand instructions.
const RATIOS: [&str; 1 + MISSES] = ["ipc", "llc_mpki", "branch_mpki", "dtlb_mpki"];

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    // `None` is less than any number.
    if b > a { b } else { a }
}

/// Sum over the selected processes. Ratios are computed from the sums.
#[derive(Debug, Default)]
struct Added {
    lists: u64,
    amounts: [Option<Stat>; AMOUNTS],
    counts: Counts,
    /// Maximum of a single process in a single list.
    ratios: [Option<f64>; 1 + MISSES],
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    cycles: f64,
    instructions: f64,
    /// Misses, and the instructions during which they were counted.
    misses: [(f64, f64); MISSES],
}

impl Added {
    fn add(&mut self, listed: &Listed<'_>) {
        let lists = listed.lists();
        self.lists = self.lists.max(lists);
        let one = Stat { sum: lists as f64, min: 1.0, max: 1.0, count: lists };
        let amounts = [
            Some(one),
            listed.stat("threads"),
            listed.stat("cpu_percent"),
            listed.stat("rss_bytes"),
            listed.stat("runqueue_wait_ms_per_sec"),
            listed.stat("context_switches_per_sec"),
            listed.stat("read_bytes_per_sec"),
            listed.stat("write_bytes_per_sec"),
        ];
        for (sum, amount) in self.amounts.iter_mut().zip(amounts) {
            let Some(amount) = amount else { continue };
            *sum = Some(sum.map_or(amount, |sum| Stat {
                sum: sum.sum + amount.sum,
                min: sum.min.min(amount.min),
                max: sum.max + amount.max,
                count: sum.count.max(amount.count),
            }));
        }
        let instructions = listed.stat("instructions");
        if let (Some(cycles), Some(instructions)) = (listed.stat("cycles"), instructions) {
            self.counts.cycles += cycles.sum;
            self.counts.instructions += instructions.sum;
        }
        for (greatest, name) in self.ratios.iter_mut().zip(RATIOS) {
            *greatest = larger(*greatest, listed.stat(name).map(|stat| stat.max));
        }
        for (sum, name) in self.counts.misses.iter_mut().zip(&RATIOS[1..]) {
            if let (Some(per_thousand), Some(instructions)) = (listed.stat(name), instructions) {
                sum.0 += per_thousand.average() / 1000.0 * instructions.sum;
                sum.1 += instructions.sum;
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
    /// Maximum of a single list.
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

    fn add(&mut self, lists: u64, used: Option<Added>) {
        self.snapshots += lists;
        let Some(used) = used else { return };
        self.listed += used.lists;
        for (stat, amount) in self.amounts.iter_mut().zip(used.amounts) {
            match (&mut *stat, amount) {
                (Some(stat), Some(amount)) => stat.merge(&amount),
                (None, Some(amount)) => *stat = Some(amount),
                (_, None) => {}
            }
        }
        self.counts.plus(&used.counts);
        for (greatest, ratio) in self.ratios.iter_mut().zip(used.ratios) {
            *greatest = larger(*greatest, ratio);
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
