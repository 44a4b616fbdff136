//! Computes stale rollups: incremental, idempotent, in any order of arrival.
//!
//! Every append marks the buckets it touched stale, in the same transaction. A bucket is computed from all
//! of its finer rows, written, and unmarked in one transaction, but only if nothing arrived meanwhile; so a
//! crash at any moment and late data of any age only mean that it is computed again. Where the finer rows
//! are gone, what is there is merged into the old rollup and removed in the same transaction. A minute that has just
//! been written is in [memory](super::minutes) already, and only its number of rows is asked for.

use std::collections::HashSet;
use std::sync::Arc;

use super::rollup::accumulator::Accumulator;
use super::rollup::pattern::Reader;
use super::rollup::shape::Shape;
use super::rollup::{Stale, Tier, TierRow, codec};
use super::{Result, Store, shapes};
use crate::snapshot::MetricType;

/// Buckets taken up at a time.
const BATCH: usize = 30;
/// Rows read at a time.
const PAGE: usize = 512;
/// Shapes known to be stored; some days' worth of devices that come and go.
const MOST_SHAPES: usize = 4096;

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
    Roller::default().roll(store, now).await
}

/// Rolls up one store, pass after pass, and remembers what all passes need.
#[derive(Debug, Default)]
pub struct Roller {
    readers: [Reader; MetricType::ALL.len()],
    /// Of the rollup written last of each type.
    last_shapes: [Arc<Shape>; MetricType::ALL.len()],
    /// Keys of shapes that the store has.
    stored_shapes: HashSet<i64>,
}

impl Roller {
    /// As the function of this name; a roller belongs to one store.
    pub async fn roll(&mut self, store: &dyn Store, now: i64) -> Result<usize> {
        let mut done = 0;
        for tier in Tier::ROLLUPS {
            // A bucket that changes while it is computed stays stale; `after` keeps this pass from spinning on it.
            let mut after = i64::MIN;
            loop {
                let batch = store.stale(tier, after, now.saturating_sub(tier.width()), BATCH).await?;
                let Some(last) = batch.last() else { break };
                after = last.bucket + 1;
                done += self.compute(store, tier, &batch).await?;
            }
        }
        Ok(done)
    }

    async fn compute(&mut self, store: &dyn Store, tier: Tier, batch: &[Stale]) -> Result<usize> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(0) };
        let coverage = store.coverage(first.bucket, last.bucket + tier.width()).await?;
        let removed = coverage.removed_before(tier.finer());
        // A bucket waits for the finer ones in it.
        let unfinished = |stale: &Stale| {
            tier.finer() != Tier::Raw
                && coverage.stale[tier.finer() as usize - 1]
                    .range(stale.bucket..stale.bucket + tier.width())
                    .next()
                    .is_some()
        };
        let (mut in_memory, mut computed) = (Vec::new(), Vec::new());
        for &stale in batch.iter().filter(|stale| !unfinished(stale)) {
            let consume = stale.bucket < removed;
            let summed =
                if tier == Tier::Minute && !consume { store.minute(stale.bucket).await? } else { None };
            let mut bucket = Computed { stale, rows: Vec::new(), consume };
            match summed {
                None => computed.push(bucket),
                Some(sums) => {
                    for (metric_type, sum) in sums {
                        self.keep(store, &mut bucket, metric_type, &sum).await?;
                    }
                    in_memory.push(bucket);
                }
            }
        }
        if !computed.is_empty() {
            for metric_type in MetricType::ALL {
                self.sum_type(store, tier, metric_type, &mut computed).await?;
            }
        }
        computed.append(&mut in_memory);
        store.put_rollups(tier, &computed).await
    }

    async fn sum_type(
        &mut self,
        store: &dyn Store,
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
            self.sum_run(store, tier, metric_type, run).await?;
            start += run.len();
        }
        Ok(())
    }

    async fn sum_run(
        &mut self,
        store: &dyn Store,
        tier: Tier,
        metric_type: MetricType,
        run: &mut [Computed],
    ) -> Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let (mut from, to) = (first.stale.bucket, last.stale.bucket + tier.width());
        let mut sums: Vec<Accumulator> = Vec::new();
        for bucket in run.iter() {
            let mut sum = Accumulator::default();
            if bucket.consume {
                let at = bucket.stale.bucket;
                for row in store.scan(tier, metric_type, at, at + 1, 1).await? {
                    sum = shapes::decode(store, &row).await?;
                }
            }
            sums.push(sum);
        }
        loop {
            let rows = store.scan(tier.finer(), metric_type, from, to, PAGE).await?;
            for row in &rows {
                let index = (tier.floor(row.at) - run[0].stale.bucket) / tier.width();
                let Some(sum) = usize::try_from(index).ok().and_then(|i| sums.get_mut(i)) else { continue };
                if tier.finer() == Tier::Raw {
                    sum.read_document(&mut self.readers[metric_type as usize], row.at, &row.data);
                } else {
                    sum.merge(shapes::decode(store, row).await?);
                }
            }
            match rows.last() {
                Some(last) if rows.len() == PAGE => from = last.at + 1,
                _ => break,
            }
        }
        for (bucket, sum) in run.iter_mut().zip(sums) {
            if !sum.is_empty() {
                self.keep(store, bucket, metric_type, &sum).await?;
            }
        }
        Ok(())
    }

    /// Makes a sum one of the rows of its bucket.
    async fn keep(
        &mut self,
        store: &dyn Store,
        bucket: &mut Computed,
        metric_type: MetricType,
        sum: &Accumulator,
    ) -> Result<()> {
        let at = bucket.stale.bucket;
        let shape = self.keep_shape(store, metric_type, sum.shape()).await?;
        bucket.rows.push((metric_type, TierRow { at, shape, data: codec::encode(sum, at) }));
        Ok(())
    }

    /// Stores a shape before the first row that needs it.
    async fn keep_shape(
        &mut self,
        store: &dyn Store,
        metric_type: MetricType,
        shape: &Arc<Shape>,
    ) -> Result<i64> {
        let last = &mut self.last_shapes[metric_type as usize];
        if !Arc::ptr_eq(last, shape) && last.leaves() != shape.leaves() {
            *last = Arc::clone(shape);
        }
        // An equal shape has its key already, which takes long to compute.
        let key = last.key();
        if !self.stored_shapes.contains(&key) {
            store.put_shape(key, &last.to_text()).await?;
            if self.stored_shapes.len() == MOST_SHAPES {
                self.stored_shapes.clear();
            }
            self.stored_shapes.insert(key);
        }
        Ok(key)
    }
}
