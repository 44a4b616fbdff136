//! Which rows of a bucket are kept where rows come and go without end.

use super::{BucketTable, Cell};
use crate::snapshot::layout::TableLayout;
use crate::snapshot::value::Key;

/// Rows kept per table; where rows come and go without end, the busiest are kept.
pub(super) const MAX_THINGS: usize = 4096;
const MAX_PROCESSES: usize = 40;
/// Services and containers stay, jobs come and go; as many as a document lists.
const MAX_CGROUPS: usize = 256;

/// Rows of some tables live for minutes rather than days.
pub(super) fn max_rows(layout: &TableLayout) -> usize {
    match layout.labels.first() {
        Some(&"pid") => MAX_PROCESSES,
        Some(&"cgroup") => MAX_CGROUPS,
        _ => MAX_THINGS,
    }
}

impl BucketTable {
    /// Keeps half of the rows for those that used the CPUs most, the others for those with the most memory.
    pub(super) fn keep_heaviest(&mut self, layout: &TableLayout, most: usize) {
        let width = layout.columns.len();
        let number = |row: usize, column: usize| match &self.cells[row * width + column] {
            Cell::Number(stat) => Some(*stat),
            _ => None,
        };
        // Without either column, how long a row was there.
        let seen =
            |row| (0..width).find_map(|column| number(row, column)).map_or(0.0, |stat| stat.count as f64);
        let ranked = |name: &str| {
            let weighed = layout.column(name)?;
            Some(self.ranked(|row| number(row, weighed).map_or(0.0, |stat| stat.sum)))
        };
        let by_memory = ranked("memory_bytes").or_else(|| ranked("rss_bytes"));
        let by_cpu = ranked("cpu_percent").unwrap_or_else(|| self.ranked(seen));
        let first = if by_memory.is_some() { most / 2 } else { most };
        let mut kept = vec![false; self.keys.len()];
        by_cpu.iter().take(first).for_each(|row| kept[*row] = true);
        let others = by_memory.iter().flatten().filter(|row| !by_cpu[..first].contains(row));
        others.take(most - first).for_each(|row| kept[*row] = true);
        self.keep(layout, |_, row| kept[row]);
    }

    /// The rows by a weight, heaviest first.
    fn ranked(&self, weight: impl Fn(usize) -> f64) -> Vec<usize> {
        let mut rows: Vec<(f64, usize)> = (0..self.keys.len()).map(|row| (weight(row), row)).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        rows.into_iter().map(|(_, row)| row).collect()
    }

    pub(super) fn keep(&mut self, layout: &TableLayout, mut is_kept: impl FnMut(&Key, usize) -> bool) {
        let width = layout.columns.len();
        let mut kept = Self::default();
        for (row, key) in self.keys.iter().enumerate() {
            if is_kept(key, row) {
                kept.keys.push(key.clone());
                kept.cells.extend_from_slice(&self.cells[row * width..(row + 1) * width]);
            }
        }
        *self = kept;
    }
}
