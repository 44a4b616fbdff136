//! How long the tasks and requests of each group waited, from what was counted at slots.

use std::collections::HashMap;

use super::group::Group;
use super::slots::Slots;
use crate::probes::sched::interval::Interval;
use crate::snapshot::histogram::{Histogram, Unit};

/// Of one group with those in it; `None` where some of it was counted elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Times {
    pub(super) wait: Option<Histogram>,
    pub(super) off_cpu: Option<Histogram>,
    /// Requests to disks, from issue to completion.
    pub(super) block: Option<Histogram>,
}

/// What was counted since the last reading.
pub(super) struct Counted<'a> {
    pub(super) interval: &'a Interval,
    /// The positions of the groups in which tasks ran themselves.
    pub(super) active: &'a [usize],
    /// Latency of requests to disks, by slot; `None` if it is not known.
    pub(super) requests: Option<Vec<(u8, Histogram)>>,
}

/// The positions of the groups in which tasks ran themselves.
pub(super) fn active(interval: &Interval, positions: &HashMap<u64, usize>) -> Vec<usize> {
    let ran = interval.tasks.iter().map(|task| task.cgroup);
    let mut active: Vec<usize> = ran.filter_map(|group| positions.get(&group).copied()).collect();
    active.sort_unstable();
    active.dedup();
    active
}

/// By position.
pub(super) fn of_groups(
    groups: &[Group],
    positions: &HashMap<u64, usize>,
    slots: &Slots,
    Counted { interval, active, requests }: Counted<'_>,
) -> Vec<Times> {
    let empty = || Histogram::empty(Unit::Nanoseconds);
    let has_requests = requests.is_some();
    let mut all = vec![(empty(), empty(), empty()); groups.len()];
    // What happened in a group that is gone, only the root knows.
    let position =
        |slot: u8| slots.owner(slot).and_then(|owner| positions.get(&owner).copied()).unwrap_or_default();
    for group in &interval.groups {
        if let Some((wait, off_cpu, _)) = all.get_mut(position(group.slot)) {
            add(wait, &group.wait);
            add(off_cpu, &group.off_cpu);
        }
    }
    for (slot, latency) in requests.into_iter().flatten() {
        if let Some((_, _, block)) = all.get_mut(position(slot)) {
            add(block, &latency);
        }
    }
    for at in (1..groups.len()).rev() {
        let (above, from_here) = all.split_at_mut(at);
        if let (Some(parent), Some(own)) = (above.get_mut(groups[at].parent), from_here.first()) {
            add(&mut parent.0, &own.0);
            add(&mut parent.1, &own.1);
            add(&mut parent.2, &own.2);
        }
    }
    let mut counted_above = vec![false; groups.len()];
    let mut is_parent = vec![false; groups.len()];
    for at in active {
        let mut at = *at;
        while at != 0 && !slots.counted_all(groups[at].inode) {
            counted_above[at] = true;
            at = groups[at].parent;
        }
    }
    groups.iter().skip(1).for_each(|group| is_parent[group.parent] = true);
    (0..)
        .zip(all)
        .map(|(at, (wait, off_cpu, block))| {
            let is_whole = !counted_above[at];
            // Others may write what one has left in the page cache: that nothing ran tells nothing of its requests.
            let has_requests =
                has_requests && (at == 0 || is_parent[at] || slots.counted_all(groups[at].inode));
            Times {
                wait: is_whole.then_some(wait),
                off_cpu: is_whole.then_some(off_cpu),
                block: (is_whole && has_requests).then_some(block),
            }
        })
        .collect()
}

fn add(sum: &mut Histogram, more: &Histogram) {
    if more.count() > 0 {
        let same_unit = sum.merge(more);
        debug_assert!(same_unit, "all are of times");
    }
}
