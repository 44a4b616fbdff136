//! Computes stale rollups: incremental, idempotent, in any order of arrival.
//!
//! Every append marks the buckets it touched stale, in the same transaction. A bucket is computed from all
//! of its finer rows, written, and unmarked in one transaction, but only if nothing arrived meanwhile; so a
//! crash at any moment and late data of any age only mean that it is computed again. Where the finer rows
//! are gone, what is there is merged into the old rollup and removed in the same transaction.

use std::sync::Arc;

use super::query::points::ShapeBook;
use super::rollup::accumulator::Accumulator;
use super::rollup::shape::Shape;
use super::rollup::{Stale, Tier, TierRow, codec};
use super::{Result, Store};
use crate::snapshot::MetricType;

/// Buckets taken up at a time.
const BATCH: usize = 30;
/// Rows read at a time.
const PAGE: usize = 512;

/// A computed bucket on its way to the store.
#[derive(Debug)]
pub struct Computed {
    pub stale: Stale,
    /// By type; a type without rows in this bucket has none.
    pub rows: Vec<(MetricType, TierRow)>,
    /// Remove the finer rows: they were merged into what was already rolled up.
    pub consume: bool,
}

/// Computes every stale bucket that ended before `now` (µs); returns how many.
pub async fn roll(store: &dyn Store, now: i64) -> Result<usize> {
    let mut roller = Roller { store, shapes: ShapeBook::default(), last_shape: Arc::default() };
    let mut done = 0;
    for tier in Tier::ROLLUPS {
        // A bucket that changes while it is computed stays stale; `after` keeps this pass from spinning on it.
        let mut after = i64::MIN;
        loop {
            let batch = store.stale(tier, after, now.saturating_sub(tier.width()), BATCH).await?;
            let Some(last) = batch.last() else { break };
            after = last.bucket + 1;
            done += roller.compute(tier, &batch).await?;
        }
    }
    Ok(done)
}

struct Roller<'a> {
    store: &'a dyn Store,
    shapes: ShapeBook,
    last_shape: Arc<Shape>,
}

impl Roller<'_> {
    async fn compute(&mut self, tier: Tier, batch: &[Stale]) -> Result<usize> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(0) };
        let coverage = self.store.coverage(first.bucket, last.bucket + tier.width()).await?;
        let removed = coverage.removed_before(tier.finer());
        // A bucket waits for the finer ones in it.
        let unfinished = |stale: &Stale| {
            tier.finer() != Tier::Raw
                && coverage.stale[tier.finer() as usize - 1]
                    .range(stale.bucket..stale.bucket + tier.width())
                    .next()
                    .is_some()
        };
        let mut computed: Vec<Computed> = batch
            .iter()
            .filter(|stale| !unfinished(stale))
            .map(|&stale| Computed { stale, rows: Vec::new(), consume: stale.bucket < removed })
            .collect();
        for metric_type in MetricType::ALL {
            self.sum_type(tier, metric_type, &mut computed).await?;
        }
        self.store.put_rollups(tier, &computed).await
    }

    async fn sum_type(
        &mut self,
        tier: Tier,
        metric_type: MetricType,
        computed: &mut [Computed],
    ) -> Result<()> {
        // Neighbouring buckets are read in one go.
        let mut start = 0;
        while start < computed.len() {
            let run = computed[start..]
                .windows(2)
                .take_while(|w| w[1].stale.bucket - w[0].stale.bucket == tier.width())
                .count();
            let run = &mut computed[start..=start + run];
            self.sum_run(tier, metric_type, run).await?;
            start += run.len();
        }
        Ok(())
    }

    async fn sum_run(&mut self, tier: Tier, metric_type: MetricType, run: &mut [Computed]) -> Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let (mut from, to) = (first.stale.bucket, last.stale.bucket + tier.width());
        let mut sums: Vec<Accumulator> = Vec::new();
        for bucket in run.iter() {
            let mut sum = Accumulator::default();
            if bucket.consume {
                let at = bucket.stale.bucket;
                for row in self.store.scan(tier, metric_type, at, at + 1, 1).await? {
                    sum = self.shapes.decode(self.store, &row).await?;
                }
            }
            sums.push(sum);
        }
        loop {
            let rows = self.store.scan(tier.finer(), metric_type, from, to, PAGE).await?;
            for row in &rows {
                let index = (tier.floor(row.at) - run[0].stale.bucket) / tier.width();
                let Some(sum) = usize::try_from(index).ok().and_then(|i| sums.get_mut(i)) else { continue };
                if tier.finer() == Tier::Raw {
                    sum.add_document(row.at, &row.data);
                } else {
                    sum.merge(self.shapes.decode(self.store, row).await?);
                }
            }
            match rows.last() {
                Some(last) if rows.len() == PAGE => from = last.at + 1,
                _ => break,
            }
        }
        for (bucket, sum) in run.iter_mut().zip(sums) {
            if !sum.is_empty() {
                let shape = self.keep_shape(sum.shape()).await?;
                let at = bucket.stale.bucket;
                let row = TierRow { at, shape, data: codec::encode(&sum, at) };
                bucket.rows.push((metric_type, row));
            }
        }
        Ok(())
    }

    /// Stores a shape before the first row that needs it.
    async fn keep_shape(&mut self, shape: &Arc<Shape>) -> Result<i64> {
        if !Arc::ptr_eq(&self.last_shape, shape) && self.last_shape.leaves() != shape.leaves() {
            self.store.put_shape(shape.key(), &shape.to_text()).await?;
            self.last_shape = Arc::clone(shape);
        }
        Ok(shape.key())
    }
}
