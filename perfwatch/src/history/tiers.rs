//! Rollups: minutes with the chunk whose readings they sum up, coarser tiers when their hour or day is over.
//!
//! A chunk of readings and the minutes in it are stored together, so minutes are never behind. The hour and the day they
//! belong to are marked stale with them, and computed from minutes and hours once they are over; a mark ends with what
//! was computed, unless something arrived meanwhile. Buckets are put in place of older ones, never added to them, so
//! doing it twice changes nothing.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

use super::bucket::Bucket;
use super::chunk::{Block, decode_buckets, encode_buckets};
use super::plan::Coverage;
use super::tier::{Tier, floor};
use super::{History, micros};
use crate::snapshot::selection::Selection;
use crate::snapshot::{MetricType, Reading};
use crate::store::Result;
use crate::store::chunks::{Batch, Chunk, Stale, Tiers, Wanted};

/// After an hour's end: what is late by less is in it at once.
const GRACE: i64 = 30_000_000;
/// Chunks of one slot, at most: more than a slot of any length has.
const MANY: i64 = 4096;

type Buckets = BTreeMap<i64, Bucket>;

/// What is to be stored of chunks of readings: them, with what is there of the same time, and their minutes.
pub async fn batch_of(history: &History, chunks: &[Chunk]) -> Result<Batch> {
    let coverage = Coverage::of(&history.chunks().tiers(history.host()).await?);
    let mut batch = Batch::default();
    for chunk in chunks {
        let everything = Selection::all(chunk.metric_type);
        match Block::decode(&chunk.data, everything) {
            Ok(block) => add(history, &coverage, chunk, block, &mut batch).await?,
            Err(error) => history.note_damage(chunk, error),
        }
    }
    batch.stale.sort_unstable();
    batch.stale.dedup();
    Ok(batch)
}

async fn add(
    history: &History,
    coverage: &Coverage,
    chunk: &Chunk,
    block: Block,
    batch: &mut Batch,
) -> Result<()> {
    let metric_type = chunk.metric_type;
    let minute = |at: i64| Tier::Minute.floor(at);
    let (from, to) = (minute(chunk.start), minute(chunk.end - 1) + Tier::Minute.width());
    let wanted = Wanted { metric_type, tier: 0, from, to };
    let mut whole = block;
    let mut neighbours: Vec<Block> = Vec::new();
    let mut merged = false;
    for other in history.chunks().find(history.host(), wanted, MANY).await? {
        let other_block = match Block::decode(&other.data, Selection::all(metric_type)) {
            Ok(block) => block,
            Err(error) => {
                history.note_damage(&other, error);
                continue;
            }
        };
        if other.end > chunk.start && other.start < chunk.end {
            // The same time from before: what was there stays as it was.
            whole = other_block.union(&whole);
            batch.remove.push((metric_type, 0, other.start));
            merged = true;
        } else {
            neighbours.push(other_block);
        }
    }
    if merged {
        for chunk in super::head::pack(std::slice::from_ref(&whole)) {
            batch.remove.retain(|removed| *removed != (metric_type, 0, chunk.start));
            batch.put.push(chunk);
        }
    } else {
        batch.put.push(chunk.clone());
    }

    let mut minutes = Buckets::new();
    for block in neighbours.iter().chain([&whole]) {
        for reading in block.readings() {
            let bucket = minute(micros(reading.at));
            // Other minutes of a chunk from before are what they were, and may have readings that were not asked for here.
            if (from..to).contains(&bucket) {
                minutes.entry(bucket).or_insert_with(|| Bucket::new(metric_type)).add(&reading);
            }
        }
    }
    minutes.values_mut().for_each(Bucket::bound);
    // Where readings of a minute are gone, its sums have them, and what came now is added to those.
    let gone = coverage.removed_before(Tier::Raw);
    put_buckets(history, metric_type, Tier::Minute, minutes, gone, batch).await
}

/// Puts buckets into the chunks of their tier, in place of those that are there, or added to them before `gone`; marks
/// what is computed from them.
async fn put_buckets(
    history: &History,
    metric_type: MetricType,
    tier: Tier,
    buckets: Buckets,
    gone: i64,
    batch: &mut Batch,
) -> Result<()> {
    let mut slots: BTreeMap<i64, Vec<(i64, Bucket)>> = BTreeMap::new();
    for (at, bucket) in buckets {
        slots.entry(floor(at, tier.slot())).or_default().push((at, bucket));
        if tier == Tier::Minute {
            batch.stale.push((Tier::Hour.seconds(), Tier::Hour.floor(at)));
            batch.stale.push((Tier::Day.seconds(), Tier::Day.floor(at)));
        }
    }
    for (slot, fresh) in slots {
        let mut all = slot_of(history, metric_type, tier, slot).await?;
        for (at, bucket) in fresh {
            match all.get_mut(&at) {
                Some(known) if at < gone => known.merge(&bucket),
                _ => drop(all.insert(at, bucket)),
            }
        }
        let all: Vec<(i64, Bucket)> = all.into_iter().collect();
        let (Some((first, _)), Some((last, _))) = (all.first(), all.last()) else { continue };
        batch.put.push(Chunk {
            metric_type,
            tier: tier.seconds(),
            start: slot,
            first: *first,
            end: last + tier.width(),
            data: Bytes::from(encode_buckets(metric_type, tier.seconds(), &all)),
        });
    }
    Ok(())
}

/// Puts buckets of another store where there are none.
pub async fn add_missing(
    history: &History,
    metric_type: MetricType,
    tier: Tier,
    buckets: Vec<(i64, Bucket)>,
    batch: &mut Batch,
) -> Result<()> {
    let mut missing = Buckets::new();
    let mut slot = None;
    let mut known = Buckets::new();
    for (at, bucket) in buckets {
        let of = floor(at, tier.slot());
        if slot != Some(of) {
            known = slot_of(history, metric_type, tier, of).await?;
            slot = Some(of);
        }
        if !known.contains_key(&at) {
            missing.insert(at, bucket);
        }
    }
    put_buckets(history, metric_type, tier, missing, i64::MIN, batch).await
}

/// All buckets of a slot.
async fn slot_of(history: &History, metric_type: MetricType, tier: Tier, slot: i64) -> Result<Buckets> {
    let wanted = Wanted { metric_type, tier: tier.seconds(), from: slot, to: slot + tier.slot() };
    let mut all = Buckets::new();
    for chunk in history.chunks().find(history.host(), wanted, MANY).await? {
        if chunk.start != slot {
            continue;
        }
        match decode_buckets(&chunk.data, Selection::all(metric_type)) {
            Ok(buckets) => all.extend(buckets),
            Err(error) => history.note_damage(&chunk, error),
        }
    }
    Ok(all)
}

/// Computes what is stale of hours and days that ended before `now` (µs); returns how many of them.
pub async fn roll(history: &History, now: i64) -> Result<usize> {
    let chunks = history.chunks();
    let mut done = 0;
    let stale = |tier: Tier, tiers: &Tiers| -> Vec<Stale> {
        let over = |stale: &&Stale| {
            stale.tier == tier.seconds()
                && stale.start.saturating_add(tier.width()).saturating_add(GRACE) <= now
        };
        tiers.stale.iter().filter(over).copied().collect()
    };
    for hour in stale(Tier::Hour, &chunks.tiers(history.host()).await?) {
        compute_hour(history, hour).await?;
        done += 1;
    }
    let tiers = chunks.tiers(history.host()).await?;
    let waiting: BTreeSet<i64> = tiers
        .stale
        .iter()
        .filter(|stale| stale.tier == Tier::Hour.seconds())
        .map(|stale| Tier::Day.floor(stale.start))
        .collect();
    for day in stale(Tier::Day, &tiers) {
        if !waiting.contains(&day.start) {
            compute_day(history, day).await?;
            done += 1;
        }
    }
    Ok(done)
}

/// The five minutes and the hour that minutes add up to.
async fn compute_hour(history: &History, stale: Stale) -> Result<()> {
    let mut batch = Batch { computed: vec![stale], ..Batch::default() };
    let gone = Coverage::of(&history.chunks().tiers(history.host()).await?).removed_before(Tier::Minute);
    for metric_type in MetricType::ALL {
        let slot = floor(stale.start, Tier::Minute.slot());
        let mut minutes = slot_of(history, metric_type, Tier::Minute, slot).await?;
        minutes.retain(|at, _| Tier::Hour.floor(*at) == stale.start);
        if minutes.is_empty() {
            continue;
        }
        for tier in [Tier::FiveMinutes, Tier::Hour] {
            let sums = summed(metric_type, &minutes, tier);
            put_buckets(history, metric_type, tier, sums, gone, &mut batch).await?;
        }
    }
    history.chunks().commit(history.host(), &batch).await
}

/// The day that hours add up to.
async fn compute_day(history: &History, stale: Stale) -> Result<()> {
    let mut batch = Batch { computed: vec![stale], ..Batch::default() };
    let gone = Coverage::of(&history.chunks().tiers(history.host()).await?).removed_before(Tier::Hour);
    for metric_type in MetricType::ALL {
        let slot = floor(stale.start, Tier::Hour.slot());
        let mut hours = slot_of(history, metric_type, Tier::Hour, slot).await?;
        hours.retain(|at, _| Tier::Day.floor(*at) == stale.start);
        if !hours.is_empty() {
            let sums = summed(metric_type, &hours, Tier::Day);
            put_buckets(history, metric_type, Tier::Day, sums, gone, &mut batch).await?;
        }
    }
    history.chunks().commit(history.host(), &batch).await
}

fn summed(metric_type: MetricType, parts: &Buckets, tier: Tier) -> Buckets {
    let mut sums = Buckets::new();
    for (at, part) in parts {
        sums.entry(tier.floor(*at)).or_insert_with(|| Bucket::new(metric_type)).merge(part);
    }
    sums.values_mut().for_each(Bucket::bound);
    sums
}

/// Stores readings of any time, as an import has them.
pub async fn store_readings(
    history: &History,
    readings: &[Reading],
    settings: Vec<(String, String)>,
) -> Result<()> {
    let mut blocks: Vec<Block> = Vec::new();
    for reading in readings {
        let at = micros(reading.at);
        let fits = |block: &Block| {
            let first = block.times().first().copied().unwrap_or(at);
            block.metric_type() == reading.metric_type
                && floor(first, Tier::Raw.slot()) == floor(at, Tier::Raw.slot())
                && block.times().len() < READINGS
        };
        match blocks.last_mut().filter(|block| fits(block)) {
            Some(block) => drop(block.push(reading)),
            None => {
                let mut block = Block::new(reading.metric_type);
                block.push(reading);
                blocks.push(block);
            }
        }
    }
    let mut settings = Some(settings);
    let count = blocks.len();
    for (n, block) in blocks.iter().enumerate() {
        let mut batch = batch_of(history, &super::head::pack(std::slice::from_ref(block))).await?;
        if n + 1 == count {
            batch.settings = settings.take().unwrap_or_default();
        }
        history.chunks().commit(history.host(), &batch).await?;
    }
    Ok(())
}

/// Readings of a chunk that is made of imported ones, at most.
const READINGS: usize = 720;

#[cfg(test)]
mod tests;
