//! The seam to history: a store of chunks that also puts what is sealed into the outbox.
//!
//! History commits a slot's readings with their minutes, and profiles minute by minute; both pass here. What is computed
//! from them, hours and days, is not sent: hubs compute it themselves.

use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::outbox::Outbox;
use super::protocol::Packet;
use crate::history::tier::Tier;
use crate::host::Host;
use crate::store::chunks::{Batch, Chunk, ChunkStore, Content, Document, Size, Tiers, Turn, Wanted};
use crate::store::policy::Extent;
use crate::store::{Result, StoreError};

/// A machine's store of chunks that also sends.
#[derive(Debug)]
pub struct Forwarding {
    store: Arc<dyn ChunkStore>,
    host: String,
    outbox: Outbox,
}

impl Forwarding {
    pub fn new(store: Arc<dyn ChunkStore>, host: &str, outbox: Outbox) -> Self {
        Self { store, host: host.to_owned(), outbox }
    }
}

#[async_trait]
impl ChunkStore for Forwarding {
    async fn prepare(&self, now: OffsetDateTime) -> Result<()> {
        self.store.prepare(now).await
    }

    async fn introduce(&self, host: &Host) -> Result<()> {
        self.store.introduce(host).await
    }

    async fn hosts(&self) -> Result<Vec<Host>> {
        self.store.hosts().await
    }

    async fn commit(&self, host: &str, batch: &Batch) -> Result<()> {
        self.store.commit(host, batch).await?;
        if host == self.host
            && let Err(error) = put(&self.outbox, packets(host, batch)).await
        {
            // What is stored here must not wait for it.
            self.outbox.note_lost();
            tracing::error!(%error, "the outbox of the fleet cannot be written: hubs will lack some history");
        }
        Ok(())
    }

    async fn find(&self, host: &str, wanted: Wanted, limit: i64) -> Result<Vec<Chunk>> {
        self.store.find(host, wanted, limit).await
    }

    async fn span(&self, host: &str, content: Content, tier: i64) -> Result<Option<(i64, i64)>> {
        self.store.span(host, content, tier).await
    }

    async fn tiers(&self, host: &str) -> Result<Tiers> {
        self.store.tiers(host).await
    }

    async fn remove_before(&self, host: &str, tier: i64, before: i64) -> Result<u64> {
        self.store.remove_before(host, tier, before).await
    }

    async fn extent(&self, host: &str) -> Result<Extent> {
        self.store.extent(host).await
    }

    async fn sizes(&self, host: &str, tier: i64, after: i64) -> Result<Vec<Size>> {
        self.store.sizes(host, tier, after).await
    }

    async fn newest(&self) -> Result<Vec<(String, i64)>> {
        self.store.newest().await
    }

    async fn stale_hosts(&self, tier: i64, until: i64) -> Result<Vec<String>> {
        self.store.stale_hosts(tier, until).await
    }

    async fn turn(&self, host: &str) -> Result<Turn> {
        self.store.turn(host).await
    }

    fn wants_documents(&self) -> bool {
        self.store.wants_documents()
    }

    async fn put_documents(&self, host: &str, documents: &[Document]) -> Result<()> {
        self.store.put_documents(host, documents).await
    }

    async fn remove_documents(&self, host: &str, before: i64) -> Result<u64> {
        self.store.remove_documents(host, before).await
    }
}

/// The store of a machine that only sends: the outbox is all it has.
#[derive(Debug)]
pub struct SendingOnly {
    outbox: Outbox,
}

impl SendingOnly {
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox }
    }
}

#[async_trait]
impl ChunkStore for SendingOnly {
    async fn introduce(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn hosts(&self) -> Result<Vec<Host>> {
        Ok(Vec::new())
    }

    /// What the disk does not take stays in history's log and is tried again.
    async fn commit(&self, host: &str, batch: &Batch) -> Result<()> {
        put(&self.outbox, packets(host, batch)).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull => StoreError::Full,
            _ => StoreError::Unreachable(format!("the outbox of the fleet cannot be written: {error}")),
        })
    }

    async fn find(&self, _: &str, _: Wanted, _: i64) -> Result<Vec<Chunk>> {
        Ok(Vec::new())
    }

    async fn span(&self, _: &str, _: Content, _: i64) -> Result<Option<(i64, i64)>> {
        Ok(None)
    }

    async fn tiers(&self, _: &str) -> Result<Tiers> {
        Ok(Tiers::default())
    }

    async fn remove_before(&self, _: &str, _: i64, _: i64) -> Result<u64> {
        Ok(0)
    }

    async fn extent(&self, _: &str) -> Result<Extent> {
        Ok(Extent { bytes: self.outbox.bytes(), oldest: None, newest: None })
    }

    async fn sizes(&self, _: &str, _: i64, _: i64) -> Result<Vec<Size>> {
        Ok(Vec::new())
    }

    async fn newest(&self) -> Result<Vec<(String, i64)>> {
        Ok(Vec::new())
    }

    async fn stale_hosts(&self, _: i64, _: i64) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

async fn put(outbox: &Outbox, packets: Vec<Packet>) -> std::io::Result<()> {
    if packets.is_empty() {
        return Ok(());
    }
    let outbox = outbox.clone();
    let written =
        tokio::task::spawn_blocking(move || packets.iter().try_for_each(|packet| outbox.put(packet)));
    written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// What a batch has to send: chunks of readings, each with its minutes, and profiles of minutes.
fn packets(host: &str, batch: &Batch) -> Vec<Packet> {
    // The minutes of an hour that is over are only put together.
    if !batch.computed.is_empty() {
        return Vec::new();
    }
    let mut packets: Vec<Packet> = Vec::new();
    for chunk in batch.put.iter().filter(|chunk| chunk.tier <= Tier::Minute.seconds()) {
        let is_with = |packet: &&mut Packet| {
            packet.content == chunk.content
                && chunk.tier == Tier::Minute.seconds()
                && packet.chunks.iter().all(|other| other.tier == Tier::Raw.seconds())
        };
        match packets.iter_mut().find(is_with) {
            Some(packet) => packet.chunks.push(chunk.clone()),
            None => packets.push(Packet {
                host: host.to_owned(),
                content: chunk.content,
                chunks: vec![chunk.clone()],
            }),
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;
    use crate::history::maintenance::DocumentDays;
    use crate::history::testing::{history, snapshot};
    use crate::history::writer::{LogPlace, Writer};
    use crate::snapshot::MetricType;
    use crate::store::chunks::{ProfileKind, Stale};

    fn chunk(content: Content, tier: i64) -> Chunk {
        Chunk { content, tier, start: 1, first: 1, end: 2, data: b"x"[..].into() }
    }

    #[test]
    fn readings_go_with_their_minutes_and_what_is_computed_stays() {
        let (cpu, disk) = (MetricType::Cpu.into(), MetricType::Disk.into());
        let profile = Content::Profiles(ProfileKind::Cpu);
        let put = [(cpu, 0), (cpu, 60), (disk, 0), (disk, 60), (profile, 60), (profile, 3600)];
        let put = put.map(|(content, tier)| chunk(content, tier)).to_vec();
        let batch = Batch { put, ..Batch::default() };
        let sent: Vec<(Content, usize)> =
            packets("a", &batch).iter().map(|packet| (packet.content, packet.chunks.len())).collect();
        assert_eq!(sent, [(cpu, 2), (disk, 2), (profile, 1)]);
        let computed = vec![Stale { tier: 3600, start: 0, generation: 1 }];
        assert!(packets("a", &Batch { computed, ..batch }).is_empty());
    }

    /// Both kinds of senders seal the same packets from the same snapshots.
    #[tokio::test]
    async fn a_server_sends_what_an_agent_sends() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = history(dir.path()).await;
        let outboxes = ["server", "agent"].map(|name| Outbox::open(&dir.path().join(name), 1 << 30).unwrap());
        let stores: [Arc<dyn ChunkStore>; 2] = [
            Arc::new(Forwarding::new(store.clone(), "here", outboxes[0].clone())),
            Arc::new(SendingOnly::new(outboxes[1].clone())),
        ];
        for (n, chunks) in stores.into_iter().enumerate() {
            let place = LogPlace { dir: dir.path().join(format!("log{n}")), max_bytes: 1 << 20 };
            let writer = Writer::spawn(History::new(chunks, "here"), place, DocumentDays(0)).unwrap();
            for second in 0..150 {
                writer.submit_waiting(snapshot(second)).await;
            }
            writer.drained().await;
            writer.close().await;
        }
        let sent = outboxes.map(|outbox| {
            let mut packets = Vec::new();
            while let Some(next) = outbox.next(i64::MAX, true) {
                packets.push(outbox.read(&next).unwrap().0);
                outbox.done(&next);
            }
            packets
        });
        assert_eq!(sent[0], sent[1]);
        let chunks = sent[0].iter().map(|packet| packet.chunks.len());
        assert_eq!(chunks.collect::<Vec<_>>(), [2, 2, 2], "three slots, each with its minutes");
    }
}
