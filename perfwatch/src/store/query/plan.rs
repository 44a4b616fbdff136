//! Which tier answers for which part of a range.
//!
//! The coarsest tier whose buckets fit into a point is read, so any range costs about the same. Where a
//! bucket of that tier is stale (rows arrived since it was computed, always so for the current one), and at
//! ragged ends, the next finer tier answers; where finer rows were removed by retention, the finest that is left.

use std::collections::BTreeSet;

use super::super::rollup::Tier;
use crate::snapshot::MetricType;

/// One type over a range. Half-open, µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub metric_type: MetricType,
    pub from: i64,
    pub to: i64,
    /// The width of a point, µs.
    pub interval: i64,
}

impl Question {
    pub fn plan(&self, coverage: &Coverage) -> Vec<Segment> {
        plan(coverage, self.from, self.to, self.interval)
    }
}

/// Part of a range, answered by one tier. Half-open, µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub tier: Tier,
    pub from: i64,
    pub to: i64,
}

/// What the store knows of its tiers.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Before this time (µs) a tier has been removed: raw, 1 min, 5 min, 1 h, 1 d.
    pub removed_before: [i64; 5],
    /// Stale buckets of 1 min, 5 min, 1 h, 1 d.
    pub stale: [BTreeSet<i64>; 4],
}

impl Coverage {
    /// Adds that a bucket of the tier of so many seconds is stale, or else that the tier was removed before a time.
    pub fn note(&mut self, stale: bool, seconds: i64, at: i64) {
        match (stale, Tier::of_seconds(seconds)) {
            (false, Some(tier)) => self.removed_before[tier as usize] = at,
            (true, None | Some(Tier::Raw)) | (false, None) => {}
            (true, Some(tier)) => drop(self.stale[tier as usize - 1].insert(at)),
        }
    }

    pub fn removed_before(&self, tier: Tier) -> i64 {
        self.removed_before[tier as usize]
    }

    /// The first stale bucket of a rollup tier from `bucket` on.
    fn next_stale(&self, tier: Tier, bucket: i64) -> i64 {
        self.stale[tier as usize - 1].range(bucket..).next().copied().unwrap_or(i64::MAX)
    }
}

/// Splits `from..to` into segments, in time order, for points `interval` wide.
pub fn plan(coverage: &Coverage, from: i64, to: i64, interval: i64) -> Vec<Segment> {
    let tier = Tier::ROLLUPS.into_iter().rev().find(|tier| interval % tier.width() == 0).unwrap_or(Tier::Raw);
    let mut segments = Vec::new();
    cover(coverage, tier, from, to, &mut segments);
    segments
}

fn cover(coverage: &Coverage, tier: Tier, from: i64, to: i64, out: &mut Vec<Segment>) {
    if from >= to {
        return;
    }
    // What this tier no longer has is answered by the coarser ones that replaced it.
    let removed = coverage.removed_before(tier).min(to);
    if from < removed {
        match tier.coarser() {
            Some(coarser) => cover_left(coverage, coarser, from, removed, out),
            None => push(out, tier, from, removed),
        }
        return cover(coverage, tier, removed, to, out);
    }
    if tier == Tier::Raw {
        return push(out, tier, from, to);
    }
    let width = tier.width();
    let mut at = from;
    while at < to {
        let bucket = tier.floor(at);
        let next = bucket.saturating_add(width);
        let clean_until = coverage.next_stale(tier, bucket).min(tier.floor(to));
        if at == bucket && clean_until > at {
            push(out, tier, at, clean_until);
            at = clean_until;
            continue;
        }
        if coverage.removed_before(tier.finer()) > at {
            // Nothing finer is left here: the whole bucket stands for its part.
            push(out, tier, bucket, next);
        } else {
            cover(coverage, tier.finer(), at, next.min(to), out);
        }
        at = next;
    }
}

/// The finest tier left for times whose finer rows are gone.
fn cover_left(coverage: &Coverage, tier: Tier, from: i64, to: i64, out: &mut Vec<Segment>) {
    let kept = coverage.removed_before(tier).clamp(from, to);
    if from < kept
        && let Some(coarser) = tier.coarser()
    {
        cover_left(coverage, coarser, from, kept, out);
    }
    if kept < to {
        push(out, tier, tier.floor(kept), to);
    }
}

/// Appends, joining what continues the segment before it.
fn push(out: &mut Vec<Segment>, tier: Tier, from: i64, to: i64) {
    match out.last_mut() {
        Some(last) if last.tier == tier && last.to >= from => last.to = last.to.max(to),
        _ if from < to => out.push(Segment { tier, from, to }),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
