//! Rollups: minutes together with their chunk of readings, coarser tiers when their hour or day is over.
//!
//! A chunk of readings and its minutes are stored together, so minutes are never behind. This marks their hour and day
//! as stale; those are computed from minutes and hours once they are over, and the mark is cleared unless more data
//! arrived meanwhile. Buckets replace older ones and are never added to them, so computing them twice changes nothing.

use bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::bucket::Bucket;
use super::chunk::{self, Block, encode_buckets};
use super::head::Minutes;
use super::plan::Coverage;
use super::tier::{Tier, floor};
use super::{History, micros};
use crate::snapshot::selection::Selection;
use crate::snapshot::{MetricType, Reading};
use crate::store::Result;
use crate::store::chunks::{Batch, Chunk, ChunkStore, Content, Stale, Tiers, Wanted};

/// Delay after an hour's end, so that slightly late data is included at once.
const GRACE: i64 = 30_000_000;
/// Maximum chunks of one slot: more than a slot of any length has.
const MANY: i64 = 4096;

type Buckets = BTreeMap<i64, Bucket>;

/// The minutes of a chunk of readings, where they need not be computed.
#[derive(Debug, Clone, Copy)]
pub enum Given<'a> {
    Nothing,
    Buckets(&'a Minutes),
    /// Encoded, and of this chunk alone.
    Chunk(&'a Chunk),
}

/// What to store for chunks of readings: the chunks, merged with stored ones of the same time, and their minutes, which
/// are computed here unless given.
pub async fn batch_of(history: &History, chunks: &[Chunk], minutes: Option<&Minutes>) -> Result<Batch> {
    let coverage = Coverage::of(&history.chunks().tiers(history.host()).await?);
    let mut batch = Batch::default();
    for chunk in chunks {
        add(history, &coverage, chunk, minutes.map_or(Given::Nothing, Given::Buckets), &mut batch).await?;
    }
    Ok(batch)
}

/// Adds a chunk of readings with its minutes to a batch, which has nothing of its type and time yet. One that is stored
/// already adds nothing.
pub async fn add(
    history: &History,
    coverage: &Coverage,
    chunk: &Chunk,
    minutes: Given<'_>,
    batch: &mut Batch,
) -> Result<()> {
    let Content::Readings(metric_type) = chunk.content else { return Ok(()) };
    let minute = |at: i64| Tier::Minute.floor(at);
    let (from, to) = (minute(chunk.start), minute(chunk.end - 1) + Tier::Minute.width());
    let wanted = Wanted { content: metric_type.into(), tier: 0, from, to };
    // Where a minute's readings are gone, its stored sums include them, and new readings are added to those.
    let gone = coverage.removed_before(Tier::Raw);
    let others = history.chunks().find(history.host(), wanted, MANY).await?;
    if others.iter().any(|other| other.start == chunk.start && other.data == chunk.data) {
        return Ok(());
    }
    match minutes {
        Given::Buckets(minutes) if others.is_empty() => {
            batch.put.push(chunk.clone());
            let minutes = minutes.range((metric_type, from)..(metric_type, to));
            let minutes: Vec<(i64, &Bucket)> = minutes.map(|((_, at), bucket)| (*at, bucket)).collect();
            return put_minutes(history, metric_type, &minutes, gone, batch).await;
        }
        Given::Chunk(minutes) if others.is_empty() => {
            let wanted = Wanted { tier: Tier::Minute.seconds(), ..wanted };
            if history.chunks().find(history.host(), wanted, 1).await?.is_empty() {
                batch.put.extend([chunk.clone(), minutes.clone()]);
                // It is shorter than an hour.
                [minutes.first, minutes.end - 1].into_iter().for_each(|at| mark_stale(at, batch));
                return Ok(());
            }
        }
        _ => {}
    }
    let mut whole = match Block::decode(&chunk.data, Selection::all(metric_type)) {
        Ok(block) => block,
        Err(error) => {
            history.note_damage(chunk, error);
            return Ok(());
        }
    };
    let mut neighbours: Vec<Block> = Vec::new();
    let mut merged = false;
    for other in others {
        let other_block = match Block::decode(&other.data, Selection::all(metric_type)) {
            Ok(block) => block,
            Err(error) => {
                history.note_damage(&other, error);
                continue;
            }
        };
        if other.end > chunk.start && other.start < chunk.end {
            // An earlier chunk of the same time: its readings win.
            whole = other_block.union(&whole);
            batch.remove.push((metric_type.into(), 0, other.start));
            merged = true;
        } else {
            neighbours.push(other_block);
        }
    }
    if merged {
        for chunk in super::head::pack(std::slice::from_ref(&whole)) {
            batch.remove.retain(|removed| *removed != (metric_type.into(), 0, chunk.start));
            batch.put.push(chunk);
        }
    } else {
        batch.put.push(chunk.clone());
    }

    let mut minutes = Buckets::new();
    for block in neighbours.iter().chain([&whole]) {
        for reading in block.readings() {
            let bucket = minute(micros(reading.at));
            // An earlier chunk's other minutes are unchanged, and may include readings that were not loaded here.
            if (from..to).contains(&bucket) {
                minutes.entry(bucket).or_insert_with(|| Bucket::new(metric_type)).add(&reading);
            }
        }
    }
    minutes.values_mut().for_each(|minute| minute.bound(Tier::Minute));
    let minutes: Vec<(i64, &Bucket)> = minutes.iter().map(|(at, bucket)| (*at, bucket)).collect();
    put_minutes(history, metric_type, &minutes, gone, batch).await
}

/// The minutes of a block by itself.
pub fn minutes_of(metric_type: MetricType, block: &Block) -> Minutes {
    let mut minutes = Minutes::new();
    for reading in block.readings() {
        let minute = (metric_type, Tier::Minute.floor(micros(reading.at)));
        minutes.entry(minute).or_insert_with(|| Bucket::new(metric_type)).add(&reading);
    }
    minutes.values_mut().for_each(|minute| minute.bound(Tier::Minute));
    minutes
}

/// Puts minutes into a chunk of their own, merged with stored ones of the same time; an hour's chunks become one when
/// the hour is over. Marks the coarser tiers as stale.
async fn put_minutes(
    history: &History,
    metric_type: MetricType,
    minutes: &[(i64, &Bucket)],
    gone: i64,
    batch: &mut Batch,
) -> Result<()> {
    let (Some((first, _)), Some((last, _))) = (minutes.first(), minutes.last()) else { return Ok(()) };
    minutes.iter().for_each(|(at, _)| mark_stale(*at, batch));
    let range = (*first, last + Tier::Minute.width());
    let Stored { buckets: mut known, starts } = stored(history, metric_type, Tier::Minute, range).await?;
    if known.is_empty() {
        batch.put.push(chunk_of(metric_type, Tier::Minute, *first, minutes));
        return Ok(());
    }
    for (at, bucket) in minutes {
        match known.get_mut(at) {
            Some(known) if *at < gone => known.merge(*bucket),
            _ => drop(known.insert(*at, (*bucket).clone())),
        }
    }
    replace(metric_type, Tier::Minute, &known, &starts, batch);
    Ok(())
}

/// The coarser buckets of a time are to be computed again.
fn mark_stale(at: i64, batch: &mut Batch) {
    for tier in [Tier::Hour, Tier::Day] {
        batch.stale.push((tier.seconds(), tier.floor(at)));
    }
}

/// Replaces chunks by a single one.
fn replace(metric_type: MetricType, tier: Tier, buckets: &Buckets, starts: &[i64], batch: &mut Batch) {
    batch.remove.extend(starts.iter().map(|start| (metric_type.into(), tier.seconds(), *start)));
    let all: Vec<(i64, &Bucket)> = buckets.iter().map(|(at, bucket)| (*at, bucket)).collect();
    if let Some((first, _)) = all.first() {
        batch.put.push(chunk_of(metric_type, tier, *first, &all));
    }
}

fn chunk_of(metric_type: MetricType, tier: Tier, start: i64, buckets: &[(i64, &Bucket)]) -> Chunk {
    let first = buckets.first().map_or(start, |(at, _)| *at);
    let last = buckets.last().map_or(start, |(at, _)| *at);
    let data = Bytes::from(encode_buckets(metric_type, tier.seconds(), buckets));
    Chunk { content: metric_type.into(), tier: tier.seconds(), start, first, end: last + tier.width(), data }
}

/// Puts buckets into the chunks of their tier, replacing stored ones, or merging with them before `gone`.
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
    }
    for (slot, fresh) in slots {
        let mut all = stored(history, metric_type, tier, (slot, slot + tier.slot())).await?.buckets;
        for (at, bucket) in fresh {
            match all.get_mut(&at) {
                Some(known) if at < gone => known.merge(&bucket),
                _ => drop(all.insert(at, bucket)),
            }
        }
        let all: Vec<(i64, &Bucket)> = all.iter().map(|(at, bucket)| (*at, bucket)).collect();
        batch.put.push(chunk_of(metric_type, tier, slot, &all));
    }
    Ok(())
}

/// Stores another store's buckets where there are none yet.
pub async fn add_missing(
    history: &History,
    metric_type: MetricType,
    tier: Tier,
    buckets: Vec<(i64, Bucket)>,
    batch: &mut Batch,
) -> Result<()> {
    let (Some((first, _)), Some((last, _))) = (buckets.first(), buckets.last()) else { return Ok(()) };
    let known = stored(history, metric_type, tier, (*first, last + tier.width())).await?.buckets;
    let missing: Buckets = buckets.into_iter().filter(|(at, _)| !known.contains_key(at)).collect();
    if tier == Tier::Minute {
        let missing: Vec<(i64, &Bucket)> = missing.iter().map(|(at, bucket)| (*at, bucket)).collect();
        return put_minutes(history, metric_type, &missing, i64::MIN, batch).await;
    }
    put_buckets(history, metric_type, tier, missing, i64::MIN, batch).await
}

/// The contents of a tier's chunks that overlap a range, and their starts.
#[derive(Default)]
struct Stored {
    buckets: Buckets,
    starts: Vec<i64>,
}

async fn stored(
    history: &History,
    metric_type: MetricType,
    tier: Tier,
    (from, to): (i64, i64),
) -> Result<Stored> {
    let wanted = Wanted { content: metric_type.into(), tier: tier.seconds(), from, to };
    let mut stored = Stored::default();
    for chunk in history.chunks().find(history.host(), wanted, MANY).await? {
        match chunk::Buckets::decode(&chunk.data, Selection::all(metric_type)) {
            Ok(buckets) => {
                stored.buckets.extend(buckets.iter());
                stored.starts.push(chunk.start);
            }
            Err(error) => history.note_damage(&chunk, error),
        }
    }
    Ok(stored)
}

/// Hosts for which [`roll`] has something to do.
pub async fn due(chunks: &dyn ChunkStore, now: i64) -> Result<BTreeSet<String>> {
    let mut hosts = BTreeSet::new();
    for tier in [Tier::Hour, Tier::Day] {
        hosts.extend(chunks.stale_hosts(tier.seconds(), last_over(tier, now)).await?);
    }
    Ok(hosts)
}

/// The latest start of a bucket that was over before `now`, µs.
const fn last_over(tier: Tier, now: i64) -> i64 {
    now.saturating_sub(tier.width()).saturating_sub(GRACE)
}

/// Computes stale hours and days that ended before `now` (µs); returns how many.
pub async fn roll(history: &History, now: i64) -> Result<usize> {
    let chunks = history.chunks();
    let mut done = 0;
    let stale = |tier: Tier, tiers: &Tiers| -> Vec<Stale> {
        let over = |stale: &&Stale| stale.tier == tier.seconds() && stale.start <= last_over(tier, now);
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

/// Computes an hour, and its five-minute buckets, from minutes.
async fn compute_hour(history: &History, stale: Stale) -> Result<()> {
    let mut batch = Batch { computed: vec![stale], ..Batch::default() };
    let gone = Coverage::of(&history.chunks().tiers(history.host()).await?).removed_before(Tier::Minute);
    for metric_type in MetricType::ALL {
        let hour = (stale.start, stale.start + Tier::Hour.width());
        let Stored { buckets: minutes, starts } = stored(history, metric_type, Tier::Minute, hour).await?;
        if minutes.is_empty() {
            continue;
        }
        if starts.len() > 1 {
            replace(metric_type, Tier::Minute, &minutes, &starts, &mut batch);
        }
        for tier in [Tier::FiveMinutes, Tier::Hour] {
            let sums = summed(metric_type, &minutes, tier);
            put_buckets(history, metric_type, tier, sums, gone, &mut batch).await?;
        }
    }
    history.chunks().commit(history.host(), &batch).await
}

/// Computes a day from hours.
async fn compute_day(history: &History, stale: Stale) -> Result<()> {
    let mut batch = Batch { computed: vec![stale], ..Batch::default() };
    let gone = Coverage::of(&history.chunks().tiers(history.host()).await?).removed_before(Tier::Hour);
    for metric_type in MetricType::ALL {
        let day = (stale.start, stale.start + Tier::Day.width());
        let mut hours = stored(history, metric_type, Tier::Hour, day).await?.buckets;
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
        let sum = sums.entry(tier.floor(*at)).or_insert_with(|| Bucket::new(metric_type));
        sum.merge(&*if tier == Tier::Hour { part.by_name() } else { Cow::Borrowed(part) });
    }
    sums.values_mut().for_each(|sum| sum.bound(tier));
    sums
}

/// Stores readings of any time, such as imported ones.
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
        let mut batch = batch_of(history, &super::head::pack(std::slice::from_ref(block)), None).await?;
        if n + 1 == count {
            batch.settings = settings.take().unwrap_or_default();
        }
        history.chunks().commit(history.host(), &batch).await?;
    }
    Ok(())
}

/// Maximum readings per chunk of imported data.
const READINGS: usize = 720;

#[cfg(test)]
mod tests;
