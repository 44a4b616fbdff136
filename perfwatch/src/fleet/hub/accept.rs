//! Storing one packet: checked as anything from others is, and without effect if it was stored before.

use std::sync::Arc;

use bytes::Bytes;

use crate::config::check::is_host_id;
use crate::fleet::protocol::{Packet, Unreadable};
use crate::history::chunk::{Block, Buckets, Outline};
use crate::history::head::Minutes;
use crate::history::plan::Coverage;
use crate::history::rollup::{self, Given};
use crate::history::tier::Tier;
use crate::history::{Damaged, History};
use crate::profiles::archive::Archive;
use crate::profiles::table::Table;
use crate::snapshot::MetricType;
use crate::snapshot::selection::Selection;
use crate::store::chunks::{Batch, Chunk, ChunkStore, Content, Wanted};
use crate::store::{Result, StoreError};

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Stored,
    /// It was there already.
    Duplicate,
    /// It is of a time of which no minutes are kept any more: hours may include it, or not.
    Expired,
    /// It can't be used, and why.
    Unusable(String),
}

/// Checks that a packet is what its subject says, and whole.
pub fn check(host: &str, content: &str, payload: &Bytes) -> std::result::Result<Packet, String> {
    let packet = Packet::decode(payload).map_err(|error: Unreadable| error.to_string())?;
    if packet.host != host || !is_host_id(host) {
        return Err(format!("it is of host {:?}, but was sent as one of {host:?}", shortened(&packet.host)));
    }
    if packet.content.as_str() != content {
        return Err(format!("it has {}, but was sent as {:?}", packet.content.as_str(), shortened(content)));
    }
    sound(&packet).map_err(|error| error.to_string())?;
    Ok(packet)
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Compares what its chunks say of themselves with what they are stored under. What is in their columns is read when it
/// is asked for: a column that cannot be read is a gap.
fn sound(packet: &Packet) -> std::result::Result<(), Damaged> {
    let tiers: Vec<i64> = packet.chunks.iter().map(|chunk| chunk.tier).collect();
    match (packet.content, &tiers[..]) {
        (Content::Readings(_), [0] | [60] | [0, 60]) | (Content::Profiles(_), [60]) => {}
        _ => return Err(Damaged("it has chunks that do not belong together")),
    }
    for chunk in &packet.chunks {
        let (first, end) = match packet.content {
            Content::Readings(of) => {
                let outline = Outline::read(&chunk.data)?;
                if (outline.metric_type, outline.tier) != (of, chunk.tier) {
                    return Err(Damaged("it is not of the type and tier that it claims"));
                }
                let ends = outline.times.first().copied().zip(outline.times.last().copied());
                if chunk.tier == 0 {
                    ends.map(|(first, last)| (first, last.saturating_add(1)))
                } else if outline.times.iter().any(|at| Tier::Minute.floor(*at) != *at) {
                    return Err(Damaged("its minutes are no minutes"));
                } else {
                    ends.map(until_last)
                }
            }
            Content::Profiles(_) => Table::decode(&chunk.data)?.span().map(until_last),
        }
        .ok_or(Damaged("it is empty"))?;
        // Profiles are stored under the time of their first stack, in their first minute.
        let starts = match packet.content {
            Content::Readings(_) => chunk.start == first,
            Content::Profiles(_) => Tier::Minute.floor(chunk.start) <= first && chunk.start < end,
        };
        let is_short = end.saturating_sub(chunk.start.min(first)) <= Tier::Raw.slot() + Tier::Minute.width();
        if (chunk.first, chunk.end) != (first, end) || !starts || !is_short {
            return Err(Damaged("it is not of the time that it claims"));
        }
    }
    Ok(())
}

fn until_last((first, last): (i64, i64)) -> (i64, i64) {
    (first, last.saturating_add(Tier::Minute.width()))
}

/// Stores packets of one host that were [checked](check), readings in one transaction. No two of them have the same
/// content. The caller has the host's turn.
pub async fn store(chunks: &Arc<dyn ChunkStore>, host: &str, packets: &[Packet]) -> Result<Vec<Verdict>> {
    let history = History::new(Arc::clone(chunks), host);
    let coverage = Coverage::of(&chunks.tiers(host).await?);
    let mut batch = Batch::default();
    let mut verdicts = Vec::with_capacity(packets.len());
    for packet in packets {
        verdicts.push(match packet.content {
            Content::Readings(of) => {
                let before = batch.put.len();
                let verdict = add_readings(&history, &coverage, of, packet, &mut batch).await?;
                if batch.put.len() == before { verdict } else { Verdict::Stored }
            }
            Content::Profiles(_) => store_profile(&history, packet).await?,
        });
    }
    if !batch.put.is_empty() {
        chunks.commit(host, &batch).await?;
    }
    Ok(verdicts)
}

async fn store_profile(history: &History, packet: &Packet) -> Result<Verdict> {
    let Some(chunk) = packet.chunks.first() else { return Ok(Verdict::Duplicate) };
    let wanted = Wanted { content: chunk.content, tier: chunk.tier, from: chunk.first, to: chunk.end };
    let stored = history.chunks().find(history.host(), wanted, 64).await?;
    if stored.iter().any(|stored| stored.start == chunk.start && stored.data == chunk.data) {
        return Ok(Verdict::Duplicate);
    }
    Archive::new(Arc::clone(history.chunks()), history.host()).add_late(chunk.clone()).await?;
    Ok(Verdict::Stored)
}

/// Adds what is not stored yet, or says why there is nothing to add.
async fn add_readings(
    history: &History,
    coverage: &Coverage,
    of: MetricType,
    packet: &Packet,
    batch: &mut Batch,
) -> Result<Verdict> {
    let of_tier = |tier: Tier| packet.chunks.iter().find(|chunk| chunk.tier == tier.seconds());
    let (raw, minutes) = (of_tier(Tier::Raw), of_tier(Tier::Minute));
    if let Some(raw) = raw.filter(|raw| raw.end > coverage.removed_before(Tier::Raw)) {
        rollup::add(history, coverage, raw, minutes.map_or(Given::Nothing, Given::Chunk), batch).await?;
        return Ok(Verdict::Duplicate);
    }
    // Where readings were removed, their minutes may include these already: they are only added where there are none.
    let buckets = match (minutes, raw) {
        (Some(minutes), _) => decoded(of, minutes)?,
        (None, Some(raw)) => summed(of, raw)?,
        (None, None) => return Ok(Verdict::Duplicate),
    };
    let kept = coverage.removed_before(Tier::Minute);
    let buckets: Vec<_> =
        buckets.into_iter().map(|((_, at), bucket)| (at, bucket)).filter(|(at, _)| *at >= kept).collect();
    if buckets.is_empty() {
        return Ok(Verdict::Expired);
    }
    rollup::add_missing(history, of, Tier::Minute, buckets, batch).await?;
    Ok(Verdict::Duplicate)
}

fn decoded(of: MetricType, chunk: &Chunk) -> Result<Minutes> {
    let buckets = Buckets::decode(&chunk.data, Selection::all(of)).map_err(unusable)?;
    Ok(buckets.iter().map(|(at, bucket)| ((of, at), bucket)).collect())
}

fn summed(of: MetricType, raw: &Chunk) -> Result<Minutes> {
    let block = Block::decode(&raw.data, Selection::all(of)).map_err(unusable)?;
    Ok(rollup::minutes_of(of, &block))
}

/// Not after a check.
fn unusable(error: Damaged) -> StoreError {
    StoreError::Refused(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::forward::SendingOnly;
    use crate::fleet::outbox::Outbox;
    use crate::profiles::flame::Filter;
    use crate::profiles::testing::{count, functions, who};
    use crate::store::chunks::ProfileKind;
    use crate::store::{self, Store};

    const MINUTE: i64 = 60_000_000;
    const HOUR: i64 = 60 * MINUTE;
    /// A day's beginning.
    const START: i64 = 20_000 * 24 * HOUR;

    /// What two and a half hours of a sample a minute have to send.
    async fn packets(dir: &std::path::Path) -> Vec<Packet> {
        let outbox = Outbox::open(&dir.join("outbox"), 1 << 30).unwrap();
        let archive = Archive::new(Arc::new(SendingOnly::new(outbox.clone())), "here");
        let mut packets = Vec::new();
        for minute in 0..150 {
            let now = START + minute * MINUTE;
            archive.add(ProfileKind::Cpu, now + MINUTE / 2, |builder, minute| {
                builder.add(minute, &who("p", 7), &functions("ab"), count(1));
            });
            archive.keep(now + MINUTE + 5_000_000).await.unwrap();
        }
        while let Some(waiting) = outbox.next(i64::MAX, true) {
            packets.push(outbox.read(&waiting).unwrap().0);
            outbox.done(&waiting);
        }
        packets
    }

    /// Samples of a range, and the coarsest resolution that they came from.
    async fn samples(archive: &Archive) -> (String, i64) {
        let range = (START, START + 3 * HOUR);
        let (flame, covered) =
            archive.flame(ProfileKind::Cpu, range, &Filter::default(), 1000).await.unwrap();
        (flame.folded(|count| count.samples), covered.resolution)
    }

    #[tokio::test]
    async fn profiles_count_once_in_minutes_and_hours_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut packets = packets(dir.path()).await;
        assert_eq!(packets.len(), 15, "one of each ten minutes, however often it grew");
        let store: Arc<dyn Store> = store::open(&store::sqlite_url(dir.path())).await.unwrap();
        let chunks: Arc<dyn ChunkStore> = store;
        let archive = Archive::new(Arc::clone(&chunks), "here");
        // The newest first, and the last hour is computed before the first arrives.
        packets.reverse();
        for (n, packet) in packets.iter().enumerate() {
            let checked = check("here", "profile_cpu", &packet.encode().into()).unwrap();
            assert_eq!(
                super::store(&chunks, "here", std::slice::from_ref(&checked)).await.unwrap(),
                [Verdict::Stored]
            );
            assert_eq!(
                super::store(&chunks, "here", std::slice::from_ref(&checked)).await.unwrap(),
                [Verdict::Duplicate]
            );
            archive.keep(START + 3 * HOUR + 2 * MINUTE).await.unwrap();
            let (sum, resolution) = samples(&archive).await;
            assert_eq!((sum.as_str(), resolution), (format!("p;a;b {}\n", (n + 1) * 10).as_str(), 3600));
        }
    }
}
