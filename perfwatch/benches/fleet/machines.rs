//! Machines as a hub sees them: what one records in a slot, sent under many IDs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::jetstream;
use futures_util::StreamExt as _;
use perfwatch::alerts::inputs::{Gatherer, Wanted};
use perfwatch::fleet::forward::SendingOnly;
use perfwatch::fleet::hub::accept;
use perfwatch::fleet::measures::Measures;
use perfwatch::fleet::outbox::Outbox;
use perfwatch::fleet::protocol::{
    Alive, Introduction, Origin, Packet, WANTED, alive_subject, chunk_subject, host_subject, inputs_subject,
};
use perfwatch::fleet::sender::delay_of;
use perfwatch::history::{History, rollup};
use perfwatch::host::Host;
use perfwatch::snapshot::{Reading, Snapshot};
use perfwatch::store::chunks::{ChunkStore, Content};
use perfwatch::store::{self, Store};
use rustix::time::{ClockId, clock_gettime};
use time::{Duration, OffsetDateTime};
use tokio::time::{sleep_until, timeout};

use crate::TIMEOUT;
use crate::nats::Nats;
use crate::synthetic::Machine;

/// Seconds.
pub(crate) const SLOT: i64 = 300;
const INTERVAL: i64 = 5;
const CPUS: usize = 4;
/// No outbox is full here.
const ROOM: u64 = 1 << 30;

/// What a machine records in five minutes, as it would send it.
pub(crate) struct Slot {
    packets: Vec<Packet>,
    last: Snapshot,
}

impl Slot {
    /// The slot that starts at this second.
    pub(crate) async fn record(start: i64) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let outbox = Outbox::open(dir.path(), ROOM)?;
        let history = History::new(Arc::new(SendingOnly::new(outbox.clone())), "template");
        let mut machine = Machine::new(CPUS);
        let start = OffsetDateTime::from_unix_timestamp(start)?;
        let ticks = (0..SLOT / INTERVAL).map(|tick| start + Duration::seconds(tick * INTERVAL));
        let snapshots: Vec<_> = ticks.filter_map(|at| machine.snapshot(at)).collect();
        let mut readings: Vec<Reading> = snapshots.iter().flat_map(|one| one.readings.to_vec()).collect();
        readings.sort_by_key(|reading| (reading.metric_type, reading.at));
        rollup::store_readings(&history, &readings, Vec::new()).await?;
        let mut packets = Vec::new();
        while let Some(waiting) = outbox.next(i64::MAX, true) {
            let (packet, _) = outbox.read(&waiting).context("a packet that was just written")?;
            packets.push(packet);
            outbox.done(&waiting);
        }
        ensure!(!packets.is_empty(), "the machine recorded nothing");
        let last = snapshots.into_iter().next_back().context("a tick")?;
        Ok(Self { packets, last })
    }
}

#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) bytes: BTreeMap<Content, u64>,
}

/// Milliseconds of CPU that a machine's hour takes once it is over: five-minute and hourly values of what it sent.
pub(crate) async fn hour_cpu_ms(database: &str) -> Result<f64> {
    const HOSTS: usize = 10;
    let store: Arc<dyn Store> = store::open(database).await?;
    let chunks: Arc<dyn ChunkStore> = store.clone();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let start = now - now % 3600 - 3600;
    for slot in 0..3600 / SLOT {
        let slot = Slot::record(start + slot * SLOT).await?;
        for n in 0..HOSTS {
            accept::store(&chunks, &name(n), &slot.packets).await?;
        }
    }
    let before = cpu_ms();
    for n in 0..HOSTS {
        let history = History::new(Arc::clone(&chunks), &name(n));
        ensure!(
            rollup::roll(&history, (start + 3600 + 60) * 1_000_000).await? > 0,
            "there was no hour to compute"
        );
    }
    let took = (cpu_ms() - before) / HOSTS as f64;
    store.close().await;
    Ok(took)
}

/// CPU time of this process.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

pub(crate) struct Machines {
    client: async_nats::Client,
    stream: jetstream::Context,
    count: usize,
}

impl Machines {
    pub(crate) async fn connect(nats: &Nats, count: usize) -> Result<Self> {
        let client = async_nats::connect(nats.url()).await?;
        Ok(Self { stream: jetstream::new(client.clone()), client, count })
    }

    pub(crate) fn id(&self, n: usize) -> String {
        format!("{n:032x}")
    }

    pub(crate) async fn introduce(&self, slot: &Slot) -> Result<()> {
        for n in 0..self.count {
            let host = Host::new(&self.id(n), &name(n));
            let json = serde_json::to_vec(&Introduction::of(&host))?;
            self.stream.publish(host_subject(&host.id), json.into()).await?.await?;
        }
        self.live(slot).await
    }

    /// Signs of life of all.
    pub(crate) async fn live(&self, slot: &Slot) -> Result<()> {
        let measures = Measures::of(&slot.last);
        for n in 0..self.count {
            let origin = Origin { instance: self.id(n), name: name(n), address: "192.0.2.1".to_owned() };
            let sent = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000)?;
            let alive = Alive { host: self.id(n), sent, measures, origin: Some(origin), leaving: false };
            self.client.publish(alive_subject(&alive.host), serde_json::to_vec(&alive)?.into()).await?;
        }
        Ok(self.client.flush().await?)
    }

    /// What the hub's rules want to know of all, until `end`: a tick every five seconds.
    pub(crate) async fn answer(&self, slot: &Slot, end: Instant) -> Result<()> {
        let mut asked = self.client.subscribe(WANTED).await?;
        let wanted = timeout(TIMEOUT, asked.next()).await?.context("the hub asks for nothing")?;
        let wanted = Wanted::parse(&wanted.payload).context("what the hub wants")?;
        let wanted = Arc::new(wanted);
        let mut gatherers: Vec<Gatherer> =
            (0..self.count).map(|n| Gatherer::new(&self.id(n), Arc::clone(&wanted))).collect();
        while Instant::now() < end {
            let next = Instant::now() + std::time::Duration::from_secs(INTERVAL.unsigned_abs());
            let tick = Snapshot::new(OffsetDateTime::now_utc(), slot.last.readings.clone());
            for (n, gatherer) in gatherers.iter_mut().enumerate() {
                gatherer.add(&tick, |_| None);
                if let Some(message) = gatherer.finish() {
                    self.client.publish(inputs_subject(&self.id(n)), message).await?;
                }
            }
            self.client.flush().await?;
            sleep_until(next.into()).await;
        }
        Ok(())
    }

    /// All machines send a slot that has just ended: each waits for its turn, and then sends one packet after another.
    pub(crate) async fn send(&self, slot: &Slot) -> Result<Sent> {
        let each = (0..self.count).map(|n| async move {
            let id = self.id(n);
            tokio::time::sleep(delay_of(&id, std::time::Duration::from_secs(INTERVAL.unsigned_abs()))).await;
            let mut sent = Sent::default();
            for packet in &slot.packets {
                let packet = Packet { host: id.clone(), ..packet.clone() };
                let bytes = packet.encode();
                let mut headers = HeaderMap::new();
                headers.insert(NATS_MESSAGE_ID, packet.message_id(&bytes));
                sent.messages += 1;
                *sent.bytes.entry(packet.content).or_default() += bytes.len() as u64;
                let subject = chunk_subject(&packet.host, packet.content);
                self.stream.publish_with_headers(subject, headers, bytes.into()).await?.await?;
            }
            Ok::<_, anyhow::Error>(sent)
        });
        let mut all = Sent::default();
        for sent in futures_util::future::try_join_all(each).await? {
            all.messages += sent.messages;
            for (content, bytes) in sent.bytes {
                *all.bytes.entry(content).or_default() += bytes;
            }
        }
        Ok(all)
    }
}

fn name(n: usize) -> String {
    format!("host-{n:04}")
}
