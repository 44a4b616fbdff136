//! Machines as a hub sees them: what one records in a slot, sent under many IDs.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::jetstream::{self, context::PublishAckFuture};
use perfwatch::fleet::forward::SendingOnly;
use perfwatch::fleet::outbox::Outbox;
use perfwatch::fleet::protocol::{Alive, Introduction, Packet, alive_subject, chunk_subject, host_subject};
use perfwatch::history::{History, rollup};
use perfwatch::host::Host;
use perfwatch::snapshot::Reading;
use perfwatch::store::micros;
use time::{Duration, OffsetDateTime};

use crate::nats::Nats;
use crate::synthetic::Machine;

/// Seconds.
pub(crate) const SLOT: i64 = 300;
const INTERVAL: i64 = 5;
const CPUS: usize = 4;
/// Messages that wait for the stream's acknowledgement at a time.
const UNCONFIRMED: usize = 256;
/// No outbox is full here.
const ROOM: u64 = 1 << 30;

/// What a machine records in five minutes, as it would send it.
pub(crate) struct Slot(Vec<Packet>);

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
        let mut readings: Vec<Reading> = snapshots.iter().flat_map(|one| one.readings().to_vec()).collect();
        readings.sort_by_key(|reading| (reading.metric_type, reading.at));
        rollup::store_readings(&history, &readings, Vec::new()).await?;
        let mut packets = Vec::new();
        while let Some(waiting) = outbox.next(i64::MAX, true) {
            let (packet, _) = outbox.read(&waiting).context("a packet that was just written")?;
            packets.push(packet);
            outbox.done(&waiting);
        }
        ensure!(!packets.is_empty(), "the machine recorded nothing");
        Ok(Self(packets))
    }
}

pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
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

    pub(crate) async fn introduce(&self) -> Result<()> {
        for n in 0..self.count {
            let host = Host::new(&self.id(n), &format!("host-{n:04}"));
            let json = serde_json::to_vec(&Introduction::of(&host))?;
            self.stream.publish(host_subject(&host.id), json.into()).await?.await?;
        }
        self.live().await
    }

    pub(crate) async fn live(&self) -> Result<()> {
        for n in 0..self.count {
            let alive = Alive { host: self.id(n), sent: micros(OffsetDateTime::now_utc()) };
            self.client.publish(alive_subject(&alive.host), serde_json::to_vec(&alive)?.into()).await?;
        }
        Ok(self.client.flush().await?)
    }

    /// All machines send a slot, as fast as the stream takes it.
    pub(crate) async fn send(&self, slot: &Slot) -> Result<Sent> {
        let mut sent = Sent { messages: 0, bytes: 0 };
        let mut unconfirmed: Vec<PublishAckFuture> = Vec::with_capacity(UNCONFIRMED);
        for n in 0..self.count {
            for packet in &slot.0 {
                let packet = Packet { host: self.id(n), ..packet.clone() };
                let bytes = packet.encode();
                let mut headers = HeaderMap::new();
                headers.insert(NATS_MESSAGE_ID, packet.message_id(&bytes));
                sent.messages += 1;
                sent.bytes += bytes.len() as u64;
                let subject = chunk_subject(&packet.host, packet.content);
                unconfirmed.push(self.stream.publish_with_headers(subject, headers, bytes.into()).await?);
                if unconfirmed.len() == UNCONFIRMED {
                    confirm(&mut unconfirmed).await?;
                }
            }
        }
        confirm(&mut unconfirmed).await?;
        Ok(sent)
    }
}

async fn confirm(unconfirmed: &mut Vec<PublishAckFuture>) -> Result<()> {
    for one in unconfirmed.drain(..) {
        one.await?;
    }
    Ok(())
}
