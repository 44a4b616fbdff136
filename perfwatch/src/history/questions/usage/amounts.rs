//! What was used, and what follows from it.

use std::sync::LazyLock;

use super::accounts::{Row, Span, columns_of_processes};
use crate::history::bucket::{Cell, Stat, Sums};

/// Amounts over a time, of one or several processes. `None`: not counted on this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amounts {
    /// In the order of [`COLUMNS`].
    sums: [Option<f64>; COUNT],
    /// The greatest rate per second within one reading.
    peaks: [Option<f64>; COUNT],
    /// Resident memory, and number of processes.
    memory: Level,
    processes: Level,
}

/// Something that is there at a time, rather than used up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Level {
    /// Times the seconds for which it was there.
    sum: Option<f64>,
    max: Option<f64>,
}

const COUNT: usize = 13;

/// The amounts, by their columns.
const COLUMNS: [&str; COUNT] = [
    "cpu_us",
    "runqueue_wait_us",
    "context_switches",
    "read_bytes",
    "write_bytes",
    "minor_faults",
    "major_faults",
    "cycles",
    "instructions",
    "llc_misses",
    "branch_misses",
    "dtlb_misses",
    "exits",
];

/// Rates and levels, named after the fields of the `processes` document. `None` where nothing was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Use {
    pub processes: Option<f64>,
    pub cpu_percent: Option<f64>,
    pub rss_bytes: Option<f64>,
    pub runqueue_wait_ms_per_sec: Option<f64>,
    pub context_switches_per_sec: Option<f64>,
    pub read_bytes_per_sec: Option<f64>,
    pub write_bytes_per_sec: Option<f64>,
    pub minor_faults_per_sec: Option<f64>,
    pub major_faults_per_sec: Option<f64>,
    pub ipc: Option<f64>,
    pub llc_mpki: Option<f64>,
    pub branch_mpki: Option<f64>,
    pub dtlb_mpki: Option<f64>,
}

/// What ranks rows, largest first.
pub type Order = fn(&Amounts) -> f64;

fn plus(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    // `None` is less than any number.
    if b > a { b } else { a }
}

impl Level {
    /// A bucket has the sum of its minutes' levels.
    fn of(cell: Option<&Cell>, span: Span) -> Self {
        match cell {
            Some(Cell::Number(stat)) => Self { sum: Some(stat.sum * span.minute), max: Some(stat.max) },
            _ => Self::default(),
        }
    }

    fn along(&mut self, other: Self) {
        *self = Self { sum: plus(self.sum, other.sum), max: plus(self.max, other.max) };
    }

    fn then(&mut self, later: Self) {
        *self = Self { sum: plus(self.sum, later.sum), max: larger(self.max, later.max) };
    }
}

impl Amounts {
    /// What a row of a bucket has.
    pub(super) fn of(row: &Row<'_, impl Sums>, span: Span) -> Self {
        static AT: LazyLock<[Option<usize>; COUNT]> = LazyLock::new(|| columns_of_processes(COLUMNS));
        static LEVELS: LazyLock<[Option<usize>; 2]> =
            LazyLock::new(|| columns_of_processes(["rss_bytes", "processes"]));
        let mut used = Self::default();
        for (n, column) in AT.iter().enumerate() {
            let Some(Cell::Number(Stat { sum, max, .. })) = row.cell_at(*column) else { continue };
            used.sums[n] = Some(*sum);
            used.peaks[n] = (span.reading > 0.0).then(|| max / span.reading);
        }
        [used.memory, used.processes] = LEVELS.map(|column| Level::of(row.cell_at(column), span));
        used
    }

    /// Adds what others used in the same time.
    pub(super) fn along(&mut self, others: &Self) {
        for n in 0..COUNT {
            self.sums[n] = plus(self.sums[n], others.sums[n]);
            self.peaks[n] = plus(self.peaks[n], others.peaks[n]);
        }
        self.memory.along(others.memory);
        self.processes.along(others.processes);
    }

    /// Adds what was used later.
    pub(super) fn then(&mut self, later: &Self) {
        for n in 0..COUNT {
            self.sums[n] = plus(self.sums[n], later.sums[n]);
            self.peaks[n] = larger(self.peaks[n], later.peaks[n]);
        }
        self.memory.then(later.memory);
        self.processes.then(later.processes);
    }

    /// The part that others do not have; peaks can't be divided.
    #[must_use]
    pub(super) fn without(&self, others: &Self) -> Self {
        let minus =
            |sum: Option<f64>, other: Option<f64>| sum.map(|sum| (sum - other.unwrap_or(0.0)).max(0.0));
        let level = |all: Level, of: Level| Level { sum: minus(all.sum, of.sum), max: None };
        Self {
            sums: std::array::from_fn(|n| minus(self.sums[n], others.sums[n])),
            peaks: [None; COUNT],
            memory: level(self.memory, others.memory),
            processes: level(self.processes, others.processes),
        }
    }

    fn sum(&self, column: &str) -> Option<f64> {
        COLUMNS.iter().position(|name| *name == column).and_then(|n| self.sums[n])
    }

    pub fn cpu_us(&self) -> f64 {
        self.sums[0].unwrap_or(0.0)
    }

    /// A rank by which whoever uses much of anything is among the first: as much CPU time as a slow disk takes for it.
    pub fn cpu_or_storage(&self) -> f64 {
        let bytes = self.sum("read_bytes").unwrap_or(0.0) + self.sum("write_bytes").unwrap_or(0.0);
        let memory = self.memory.sum.unwrap_or(0.0);
        self.cpu_us() + bytes / 50.0 + memory / 1e5
    }

    /// One of the sums, by its column.
    pub fn total(&self, column: &str) -> Option<f64> {
        self.sum(column)
    }

    /// What rows can be ranked by, by the names of [`Use`].
    pub fn order(name: &str) -> Option<Order> {
        Some(match name {
            "cpu_percent" => Self::cpu_us,
            "rss_bytes" => |used| used.memory.sum.unwrap_or(-1.0),
            "runqueue_wait_ms_per_sec" => |used| used.sum("runqueue_wait_us").unwrap_or(-1.0),
            "context_switches_per_sec" => |used| used.sum("context_switches").unwrap_or(-1.0),
            "read_bytes_per_sec" => |used| used.sum("read_bytes").unwrap_or(-1.0),
            "write_bytes_per_sec" => |used| used.sum("write_bytes").unwrap_or(-1.0),
            "minor_faults_per_sec" => |used| used.sum("minor_faults").unwrap_or(-1.0),
            "major_faults_per_sec" => |used| used.sum("major_faults").unwrap_or(-1.0),
            "processes" => |used| used.processes.max.unwrap_or(-1.0),
            "exits" => |used| used.sum("exits").unwrap_or(-1.0),
            "instructions" => |used| used.sum("instructions").unwrap_or(-1.0),
            _ => return None,
        })
    }

    /// The mean over this time.
    pub fn mean(&self, seconds: f64) -> Use {
        let rate = |column| self.sum(column).filter(|_| seconds > 0.0).map(|sum| sum / seconds);
        let level = |level: Level| level.sum.filter(|_| seconds > 0.0).map(|sum| sum / seconds);
        let [ipc, llc_mpki, branch_mpki, dtlb_mpki] = self.ratios();
        Use {
            processes: level(self.processes),
            rss_bytes: level(self.memory),
            cpu_percent: rate("cpu_us").map(|us| us / 1e4),
            runqueue_wait_ms_per_sec: rate("runqueue_wait_us").map(|us| us / 1e3),
            context_switches_per_sec: rate("context_switches"),
            read_bytes_per_sec: rate("read_bytes"),
            write_bytes_per_sec: rate("write_bytes"),
            minor_faults_per_sec: rate("minor_faults"),
            major_faults_per_sec: rate("major_faults"),
            ipc,
            llc_mpki,
            branch_mpki,
            dtlb_mpki,
        }
    }

    /// The greatest at any time.
    pub fn peak(&self) -> Use {
        let peak = |column| COLUMNS.iter().position(|name| *name == column).and_then(|n| self.peaks[n]);
        Use {
            processes: self.processes.max,
            rss_bytes: self.memory.max,
            cpu_percent: peak("cpu_us").map(|us| us / 1e4),
            runqueue_wait_ms_per_sec: peak("runqueue_wait_us").map(|us| us / 1e3),
            context_switches_per_sec: peak("context_switches"),
            read_bytes_per_sec: peak("read_bytes"),
            write_bytes_per_sec: peak("write_bytes"),
            // Read once a minute, and ratios are not comparable where little was counted.
            ..Use::default()
        }
    }

    /// Instructions per cycle, then misses per thousand instructions.
    fn ratios(&self) -> [Option<f64>; 4] {
        let ratio = |above: &str, below: &str, factor: f64| {
            let (above, below) = (self.sum(above)?, self.sum(below).filter(|below| *below > 0.0)?);
            Some(factor * above / below)
        };
        [
            ratio("instructions", "cycles", 1.0),
            ratio("llc_misses", "instructions", 1000.0),
            ratio("branch_misses", "instructions", 1000.0),
            ratio("dtlb_misses", "instructions", 1000.0),
        ]
    }
}
