//! Which tier answers which part of a range.
//!
//! The coarsest tier whose buckets fit into a point is read, so any range costs about the same. Where that tier is not
//! computed yet (the current hour and day, or late data), and at ragged ends, the next finer one is used; where
//! retention removed the finer ones, the finest that is left.

use std::collections::BTreeSet;

use super::tier::Tier;
use crate::store::chunks::Tiers;

/// Part of a range, answered by one tier. Half-open, µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub tier: Tier,
    pub from: i64,
    pub to: i64,
}

/// What is known of a host's tiers.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// A tier has been removed before this time (µs): raw, 1 min, 5 min, 1 h, 1 d.
    removed_before: [i64; 5],
    /// Hours whose 5 min and 1 h tiers, and days whose 1 d tier, must still be computed.
    stale_hours: BTreeSet<i64>,
    stale_days: BTreeSet<i64>,
}

impl Coverage {
    pub fn of(tiers: &Tiers) -> Self {
        let mut coverage = Self { removed_before: [i64::MIN; 5], ..Self::default() };
        for (seconds, before) in &tiers.removed {
            if let Some(tier) = Tier::of_seconds(*seconds) {
                coverage.removed_before[tier as usize] = *before;
            }
        }
        for stale in &tiers.stale {
            match Tier::of_seconds(stale.tier) {
                Some(Tier::Hour) => drop(coverage.stale_hours.insert(stale.start)),
                Some(Tier::Day) => drop(coverage.stale_days.insert(stale.start)),
                _ => {}
            }
        }
        coverage
    }

    pub fn removed_before(&self, tier: Tier) -> i64 {
        self.removed_before[tier as usize]
    }

    /// The first incomplete time of the tier, starting at a bucket.
    fn next_stale(&self, tier: Tier, bucket: i64) -> i64 {
        let (marks, width) = match tier {
            Tier::Raw | Tier::Minute => return i64::MAX,
            Tier::FiveMinutes | Tier::Hour => (&self.stale_hours, Tier::Hour),
            Tier::Day => (&self.stale_days, Tier::Day),
        };
        let mark = marks.range(width.floor(bucket)..).next().copied();
        mark.map_or(i64::MAX, |mark| mark.max(bucket))
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
    // Times removed from this tier are answered by the coarser ones that replaced it.
    let removed = coverage.removed_before(tier).min(to);
    if from < removed {
        // Days before that are gone, though a chunk may still contain some.
        if let Some(coarser) = tier.coarser() {
            cover_left(coverage, coarser, from, removed, out);
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
            // Nothing finer is left here: use the whole bucket.
            push(out, tier, bucket, next);
        } else {
            cover(coverage, tier.finer(), at, next.min(to), out);
        }
        at = next;
    }
}

/// The finest tier left where finer rows are gone.
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

/// Appends a segment, or extends the previous one if it continues it.
fn push(out: &mut Vec<Segment>, tier: Tier, from: i64, to: i64) {
    match out.last_mut() {
        Some(last) if last.tier == tier && last.to >= from => last.to = last.to.max(to),
        _ if from < to => out.push(Segment { tier, from, to }),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
