//! How the rows of `usage` become fewer without losing anything: a process's row is added to that of its name, a name's to
//! that of its cgroup, a cgroup's to the rest of the machine.
//!
//! Minutes and five minutes have rows of processes, hours and days of names; in each, the largest keep a row of their own.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Bucket, BucketTable, Cell, Stat};
use crate::history::tier::Tier;
use crate::snapshot::MetricType;
use crate::snapshot::layout::TableLayout;
use crate::snapshot::value::{Key, Label};

/// The path of the table.
const TABLE: &str = "processes";
/// That of the names of their cgroups.
const GROUPS: &str = "groups";

/// Rows per bucket.
const fn max_rows(tier: Tier) -> usize {
    match tier {
        Tier::Raw | Tier::Minute | Tier::FiveMinutes => 160,
        Tier::Hour => 224,
        Tier::Day => 320,
    }
}

/// What is known of one process only, or of all of a name.
const OF_A_PROCESS: [&str; 2] = ["parent_pid", "started"];
const OF_A_NAME: [&str; 3] = ["user", "executable", "command"];

/// Columns whose values are not added up over time.
const LEVELS: [&str; 2] = ["rss_bytes", "processes"];

/// The amounts by whose share of the whole a row is large.
const WEIGHED: [&str; 5] = ["cpu_us", "runqueue_wait_us", "read_bytes", "write_bytes", "rss_bytes"];

/// Who a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Process,
    Name,
    Cgroup,
    Rest,
}

fn level(key: &[Label]) -> Level {
    match key {
        [_, _, Label::Number(1..)] => Level::Process,
        [_, Label::Text(comm), _] if !comm.is_empty() => Level::Name,
        [Label::Text(_), ..] => Level::Cgroup,
        _ => Level::Rest,
    }
}

/// The key of what a row is part of.
fn parent(key: &[Label]) -> Key {
    let nothing = || Label::text("");
    let key = match (level(key), key) {
        (Level::Process, [cgroup, comm, _]) => [cgroup.clone(), comm.clone(), Label::Number(0)],
        (Level::Name, [cgroup, ..]) => [cgroup.clone(), nothing(), Label::Number(0)],
        _ => [Label::Unnamed, nothing(), Label::Number(0)],
    };
    Box::new(key)
}

impl Bucket {
    /// As hours and days have it: processes by name.
    #[must_use]
    pub fn by_name(&self) -> Cow<'_, Self> {
        if self.metric_type != MetricType::Usage {
            return Cow::Borrowed(self);
        }
        let mut folded = self.clone();
        if let Some((table, layout)) = folded.table(TABLE) {
            by_name(table, layout);
        }
        Cow::Owned(folded)
    }

    /// Called when the readings of a bucket of `usage` have been added.
    pub(super) fn bound_accounts(&mut self, tier: Tier) {
        let readings = self.samples();
        let Some((table, layout)) = self.table(TABLE) else { return };
        if tier == Tier::Minute {
            settle(table, layout, readings);
        }
        bound(table, layout, tier);
        let cgroups: HashSet<Label> = table.keys.iter().map(|key| key[0].clone()).collect();
        if let Some((groups, layout)) = self.table(GROUPS) {
            groups.keep(layout, |key, _| cgroups.contains(&key[0]));
        }
    }

    fn table(&mut self, path: &str) -> Option<(&mut BucketTable, &'static TableLayout)> {
        let layout = self.layout();
        let at = layout.tables.iter().position(|table| table.path == path)?;
        Some((&mut self.tables[at], &layout.tables[at]))
    }
}

/// Called when the minute is over. A process was there for all of it, however often it was reported; one that has ended,
/// only while it was.
fn settle(table: &mut BucketTable, layout: &TableLayout, readings: u64) {
    let width = layout.columns.len();
    let exits = layout.column("exits");
    for column in LEVELS.iter().filter_map(|name| layout.column(name)) {
        for row in 0..table.keys.len() {
            let of = |column: usize| &table.cells[row * width + column];
            let ended = level(&table.keys[row]) == Level::Process
                && matches!(exits.map(of), Some(Cell::Number(exits)) if exits.sum > 0.0);
            if let Cell::Number(stat) = &mut table.cells[row * width + column] {
                let level = if layout.columns[column].name == LEVELS[0] { stat.average() } else { stat.max };
                let share = if ended { (stat.count as f64 / readings.max(1) as f64).min(1.0) } else { 1.0 };
                *stat = Stat { sum: level * share, count: 1, ..*stat };
            }
        }
    }
}

/// Adds up the processes of each name.
fn by_name(table: &mut BucketTable, layout: &TableLayout) {
    fold(table, layout, |_, key| level(key) == Level::Process);
}

/// Keeps the largest rows, and adds the others to what they are part of.
fn bound(table: &mut BucketTable, layout: &TableLayout, tier: Tier) {
    for of in [Level::Process, Level::Name, Level::Cgroup] {
        let surplus = table.keys.len().saturating_sub(max_rows(tier));
        if surplus == 0 {
            return;
        }
        let weights = weights(table, layout);
        let mut rows: Vec<usize> =
            (0..table.keys.len()).filter(|row| level(&table.keys[*row]) == of).collect();
        rows.sort_by(|a, b| weights[*a].total_cmp(&weights[*b]));
        // Their sums need rows, too.
        rows.truncate(surplus + surplus / 4 + 1);
        rows.sort_unstable();
        fold(table, layout, |row, _| rows.binary_search(&row).is_ok());
    }
}

/// The greatest share that each row has of anything.
fn weights(table: &BucketTable, layout: &TableLayout) -> Vec<f64> {
    let width = layout.columns.len();
    let mut weights = vec![0.0_f64; table.keys.len()];
    for column in WEIGHED.iter().filter_map(|name| layout.column(name)) {
        let sum = |row: usize| match &table.cells[row * width + column] {
            Cell::Number(stat) => stat.sum,
            _ => 0.0,
        };
        let total: f64 = (0..weights.len()).map(sum).sum();
        if total > 0.0 {
            for (row, weight) in weights.iter_mut().enumerate() {
                *weight = weight.max(sum(row) / total);
            }
        }
    }
    weights
}

/// Adds some rows to what they are part of.
fn fold(table: &mut BucketTable, layout: &TableLayout, is_folded: impl Fn(usize, &Key) -> bool) {
    let width = layout.columns.len();
    let old = std::mem::take(table);
    let mut rows = old.keys.into_iter().zip(old.cells.chunks_exact(width)).enumerate();
    let mut folded: Vec<(Key, &[Cell])> = Vec::new();
    for (row, (key, cells)) in rows.by_ref() {
        if is_folded(row, &key) {
            folded.push((key, cells));
        } else {
            table.keys.push(key);
            table.cells.extend_from_slice(cells);
        }
    }
    for (key, cells) in folded {
        let into = parent(&key);
        let keeps_names = level(&into) == Level::Name;
        let sums = table.cells_of(usize::MAX, &into, width);
        for ((sum, cell), column) in sums.iter_mut().zip(cells).zip(&layout.columns) {
            let name = &&*column.name;
            if !OF_A_PROCESS.contains(name) && (keeps_names || !OF_A_NAME.contains(name)) {
                add(sum, cell);
            }
        }
    }
}

/// Adds what was there at the same time.
fn add(sum: &mut Cell, cell: &Cell) {
    match (&mut *sum, cell) {
        (Cell::Number(sum), Cell::Number(stat)) => {
            *sum = Stat {
                sum: sum.sum + stat.sum,
                min: sum.min + stat.min,
                max: sum.max + stat.max,
                count: sum.count.max(stat.count),
            };
        }
        (sum, cell) => sum.merge(cell),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;
    use crate::snapshot::Reading;
    use crate::snapshot::layout::Layout;

    /// Cgroup, name, PID, CPU time and resident memory.
    type Used<'a> = (Option<&'a str>, &'a str, u32, u64, Option<u64>);

    fn reading(second: i64, rows: &[Used<'_>]) -> Reading {
        let row = |(cgroup, comm, pid, cpu_us, rss): &Used<'_>| {
            json!({"cgroup": cgroup, "comm": comm, "pid": pid, "processes": 1, "exits": 0, "cpu_us": cpu_us,
                "rss_bytes": rss, "user": "me", "parent_pid": 1, "command": format!("{comm} --now")})
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        let at = OffsetDateTime::from_unix_timestamp(second).unwrap();
        Reading::new(MetricType::Usage, at, &json!({"elapsed_ms": 1000, "processes": rows})).unwrap()
    }

    fn key(cgroup: Option<&str>, comm: &str, pid: u64) -> [Label; 3] {
        [cgroup.map_or(Label::Unnamed, Label::text), Label::text(comm), Label::Number(pid)]
    }

    fn total(bucket: &Bucket, column: &str) -> f64 {
        let layout = Layout::of(MetricType::Usage);
        let table = layout.tables.iter().position(|table| table.path == TABLE).unwrap();
        let column = layout.tables[table].column(column).unwrap();
        (0..bucket.keys_of(table).len())
            .map(|row| match &bucket.row(table, row)[column] {
                Cell::Number(stat) => stat.sum,
                _ => 0.0,
            })
            .sum()
    }

    #[test]
    fn memory_is_a_level_and_cpu_time_an_amount() {
        let mut minute = Bucket::new(MetricType::Usage);
        let of = |pid, cpu, rss| (Some("/a"), "worker", pid, cpu, Some(rss));
        minute.add(&reading(0, &[of(7, 100, 1000), of(8, 50, 4000)]));
        minute.add(&reading(1, &[of(7, 100, 3000)]));
        minute.bound(Tier::Minute);
        let stat = |bucket: &Bucket, pid, column| {
            *bucket.stat_of(TABLE, &key(Some("/a"), "worker", pid), column).unwrap()
        };
        assert_eq!(stat(&minute, 7, "rss_bytes").average(), 2000.0);
        assert_eq!(stat(&minute, 7, "cpu_us").sum, 200.0);

        let mut hour = Bucket::new(MetricType::Usage);
        hour.merge(&*minute.by_name());
        hour.merge(&*minute.by_name());
        hour.bound(Tier::Hour);
        let rss = stat(&hour, 0, "rss_bytes");
        assert_eq!((rss.sum, rss.count, rss.max), (12_000.0, 2, 7000.0), "of both at the same time");
        assert_eq!(stat(&hour, 0, "cpu_us").sum, 500.0);
        assert_eq!(stat(&hour, 0, "processes").max, 2.0);
    }

    #[test]
    fn ten_short_lived_processes_one_after_another_hold_the_memory_of_one() {
        let mut minute = Bucket::new(MetricType::Usage);
        for second in 0..10 {
            let pid = u32::try_from(second).unwrap() + 1;
            let mut ended =
                serde_json::to_value(json!({"cgroup": "/a", "comm": "cc", "pid": pid, "processes": 1,
                "exits": 1, "cpu_us": 5, "rss_bytes": 1000}))
                .unwrap();
            ended["user"] = json!("me");
            let at = OffsetDateTime::from_unix_timestamp(second).unwrap();
            let body = json!({"elapsed_ms": 1000, "processes": [ended]});
            minute.add(&Reading::new(MetricType::Usage, at, &body).unwrap());
        }
        minute.bound(Tier::Minute);
        assert!((total(&minute, "rss_bytes") - 1000.0).abs() < 0.1);
        assert!((total(&minute, "processes") - 1.0).abs() < 0.1);
    }

    proptest! {
        /// However many there are, and whichever way they are summed.
        #[test]
        fn the_parts_are_the_whole_in_every_tier(
            minutes in proptest::collection::vec(
                proptest::collection::vec((0u8..200, 0u8..40, 0u32..600, 1u64..1_000_000), 1..400),
                1..4,
            ),
        ) {
            let mut given = 0.0;
            let (mut hour, mut day) = (Bucket::new(MetricType::Usage), Bucket::new(MetricType::Usage));
            for (n, rows) in (0..).zip(&minutes) {
                let names: Vec<(String, String)> =
                    rows.iter().map(|(cgroup, comm, ..)| (format!("/g{cgroup}"), format!("c{comm}"))).collect();
                let mut taken = HashSet::new();
                let rows: Vec<Used<'_>> = rows
                    .iter()
                    .zip(&names)
                    .map(|((.., pid, cpu), (cgroup, comm))| (Some(&**cgroup), &**comm, *pid, *cpu, None))
                    .filter(|(cgroup, comm, pid, ..)| taken.insert((*cgroup, *comm, *pid)))
                    .collect();
                given += rows.iter().map(|row| row.3 as f64).sum::<f64>();
                let mut minute = Bucket::new(MetricType::Usage);
                minute.add(&reading(60 * n, &rows));
                minute.bound(Tier::Minute);
                hour.merge(&*minute.by_name());
            }
            hour.bound(Tier::Hour);
            day.merge(&*hour.by_name());
            day.bound(Tier::Day);
            prop_assert_eq!((given, given), (total(&hour, "cpu_us"), total(&day, "cpu_us")));
            let rows = |bucket: &Bucket| bucket.keys_of(1).len();
            prop_assert!(rows(&hour) <= max_rows(Tier::Hour) && rows(&day) <= max_rows(Tier::Day));
        }
    }
}
