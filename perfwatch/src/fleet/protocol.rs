//! What travels: subjects, message IDs and packets. docs/fleet.md describes them for others.
//!
//! A packet is what one slot has of one content, with the host that it is of: a chunk of readings together with its
//! minutes, minutes alone, or a chunk of profiles. It starts with a magic, a version and a checksum.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::measures::Measures;
use crate::history::Damaged;
use crate::history::chunk::Block;
use crate::history::chunk::bytes::{Bytes as Cursor, put_count, put_str, put_varint, unzigzag, zigzag};
use crate::history::head::pack;
use crate::history::tier::Tier;
use crate::host::Host;
use crate::host::facts::Facts;
use crate::store::chunks::{Chunk, Content};

/// The stream of everything that hubs store.
pub const STREAM: &str = "PERFWATCH";
/// The stream of what hubs can't use.
pub const ASIDE: &str = "PERFWATCH_ASIDE";
/// The consumer that all hubs share.
pub const CONSUMER: &str = "hub";

pub const CHUNKS: &str = "perfwatch.v1.chunk";
pub const HOSTS: &str = "perfwatch.v1.host";
pub const ALIVE: &str = "perfwatch.v1.alive";
/// What the rules of hubs read; hubs ask, and hear each other ask.
pub const WANTED: &str = "perfwatch.v1.wanted";
/// The answers.
pub const INPUTS: &str = "perfwatch.v1.inputs";
pub const SET_ASIDE: &str = "perfwatch.v1.aside";
/// Asks a machine for its ticks, carries them, and asks it anything else.
const WATCH: &str = "perfwatch.v1.watch";
const LIVE: &str = "perfwatch.v1.live";
const ASK: &str = "perfwatch.v1.ask";

/// Names what a message set aside was, and why.
pub const HEADER_SUBJECT: &str = "Perfwatch-Subject";
pub const HEADER_REASON: &str = "Perfwatch-Reason";

const MAGIC: &[u8; 3] = b"PWF";
const VERSION: u8 = 1;
/// Readings and their minutes.
const MAX_PARTS: usize = 2;

/// A host's ID as one token of a subject, where dots separate tokens.
fn token(host: &str) -> String {
    host.replace('.', "~")
}

fn host_of(token: &str) -> String {
    token.replace('~', ".")
}

pub fn chunk_subject(host: &str, content: Content) -> String {
    format!("{CHUNKS}.{}.{}", token(host), content.as_str())
}

pub fn host_subject(host: &str) -> String {
    format!("{HOSTS}.{}", token(host))
}

pub fn alive_subject(host: &str) -> String {
    format!("{ALIVE}.{}", token(host))
}

pub fn watch_subject(host: &str) -> String {
    format!("{WATCH}.{}", token(host))
}

pub fn live_subject(host: &str) -> String {
    format!("{LIVE}.{}", token(host))
}

pub fn ask_subject(host: &str) -> String {
    format!("{ASK}.{}", token(host))
}

pub fn inputs_subject(host: &str) -> String {
    format!("{INPUTS}.{}", token(host))
}

/// Everything that a machine may send.
pub fn own_subjects(host: &str) -> Vec<String> {
    let host = token(host);
    vec![format!("perfwatch.v1.*.{host}"), format!("perfwatch.v1.*.{host}.>")]
}

/// What a machine may read, besides its replies.
pub fn read_subjects(host: &str) -> Vec<String> {
    vec![watch_subject(host), ask_subject(host), WANTED.to_owned()]
}

/// Where a machine gets its replies, which no other may read.
pub fn inbox_of(host: &str) -> String {
    format!("_INBOX.{}", token(host))
}

/// What a subject says that a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Chunk { host: String, content: String },
    Host(String),
    Alive(String),
    Inputs(String),
}

impl Subject {
    pub fn parse(subject: &str) -> Option<Self> {
        let tokens: Vec<&str> = subject.split('.').collect();
        Some(match tokens[..] {
            ["perfwatch", "v1", "chunk", host, content] => {
                Self::Chunk { host: host_of(host), content: content.to_owned() }
            }
            ["perfwatch", "v1", "host", host] => Self::Host(host_of(host)),
            ["perfwatch", "v1", "alive", host] => Self::Alive(host_of(host)),
            ["perfwatch", "v1", "inputs", host] => Self::Inputs(host_of(host)),
            _ => return None,
        })
    }
}

/// Who sends: its facts, kept in the stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Introduction {
    pub host: String,
    pub name: String,
    pub facts: Facts,
    /// As `role=web,site=fra`.
    #[serde(default)]
    pub labels: String,
}

impl Introduction {
    pub fn of(host: &Host) -> Self {
        Self {
            host: host.id.clone(),
            name: host.name.clone(),
            facts: host.facts.clone(),
            labels: host.own_labels.to_string(),
        }
    }
}

/// A sign of life, which nothing keeps.
#[derive(Debug, Serialize, Deserialize)]
pub struct Alive {
    pub host: String,
    /// By the sender's clock, µs.
    pub sent: i64,
    /// How it is; empty before the first tick.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
    /// Whose it is; missing from what others than PerfWatch send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The last one: it stops, and nothing is wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// Which process a sign of life is of: two machines that were copied from one image have the same ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Random, chosen at its start.
    pub instance: String,
    pub name: String,
    /// As NATS sees it.
    pub address: String,
}

/// Asks a machine for its ticks for a while.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lease {
    pub host: String,
    /// At most [`MAX_LEASE`].
    pub seconds: u64,
    /// Someone begins to watch, and wants the newest tick at once.
    #[serde(default)]
    pub begins: bool,
}

/// No lease lasts longer, whatever it says.
pub const MAX_LEASE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub host: String,
    pub content: Content,
    /// Readings first.
    pub chunks: Vec<Chunk>,
}

/// Why a packet can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it is of version {0}, which is unknown here")]
    Version(u8),
    #[error("it is of an unknown type: {0}")]
    Content(String),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Packet {
    /// Its readings in two packets, without their minutes, which hubs then compute; `None` if there are no two.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let readings = self.chunks.iter().find(|chunk| chunk.tier == Tier::Raw.seconds())?;
        let all = Block::of(readings).ok()?;
        let middle = all.times().len() / 2;
        let half = |times: std::ops::Range<usize>| {
            let mut half = Block::new(all.metric_type());
            for time in times {
                half.push(&all.reading(time));
            }
            let chunks = pack(std::slice::from_ref(&half));
            (!chunks.is_empty()).then(|| Self { host: self.host.clone(), content: self.content, chunks })
        };
        Some([half(0..middle)?, half(middle..all.times().len())?])
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(64 + self.chunks.iter().map(|chunk| chunk.data.len() + 32).sum::<usize>());
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&[0; 4]);
        put_str(&self.host, &mut out);
        put_str(self.content.as_str(), &mut out);
        put_count(self.chunks.len(), &mut out);
        for chunk in &self.chunks {
            for number in [chunk.tier, chunk.start, chunk.first, chunk.end] {
                put_varint(zigzag(number), &mut out);
            }
            put_count(chunk.data.len(), &mut out);
            out.extend_from_slice(&chunk.data);
        }
        let checksum = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub fn decode(packet: &Bytes) -> Result<Self, Unreadable> {
        let mut cursor = Cursor::new(packet);
        let [m, a, g, version] = cursor.array()?;
        if [m, a, g] != *MAGIC {
            return Err(Damaged("it is no packet").into());
        }
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        if u32::from_le_bytes(cursor.array()?) != crc32fast::hash(cursor.rest()) {
            return Err(Damaged("its checksum is wrong").into());
        }
        let host = cursor.str()?.to_owned();
        let name = cursor.str()?;
        let content =
            Content::parse(name).ok_or_else(|| Unreadable::Content(name.chars().take(64).collect()))?;
        let count = cursor.count(MAX_PARTS)?;
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            let mut number = || cursor.varint().map(unzigzag);
            let (tier, start, first, end) = (number()?, number()?, number()?, number()?);
            let length = cursor.count(cursor.rest().len())?;
            let data = packet.slice_ref(cursor.take(length)?);
            chunks.push(Chunk { content, tier, start, first, end, data });
        }
        if chunks.is_empty() || !cursor.rest().is_empty() {
            return Err(Damaged("it has no chunk, or something after them").into());
        }
        Ok(Self { host, content, chunks })
    }

    /// The finest tier that it has, and when that starts (µs): with host and content, what it is about.
    pub fn key(&self) -> (i64, i64) {
        self.chunks.first().map_or((0, 0), |chunk| (chunk.tier, chunk.start))
    }

    /// The same for the stream, which drops copies: equal only if all bytes are.
    pub fn message_id(&self, encoded: &[u8]) -> String {
        let (tier, start) = self.key();
        let hash: String = Sha256::digest(encoded).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}/{}/{tier}/{start}/{hash}", self.host, self.content.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::MetricType;

    fn packet() -> Packet {
        let content = Content::Readings(MetricType::Cpu);
        let chunk = |tier, data: &'static [u8]| Chunk {
            content,
            tier,
            start: 1_700_000_000_000_000,
            first: 1_700_000_000_000_000,
            end: 1_700_000_300_000_001,
            data: Bytes::from_static(data),
        };
        Packet {
            host: "web.1".to_owned(),
            content,
            chunks: vec![chunk(0, b"readings"), chunk(60, b"minutes")],
        }
    }

    #[test]
    fn a_packet_arrives_as_it_was_sent() {
        let packet = packet();
        assert_eq!(Packet::decode(&packet.encode().into()), Ok(packet.clone()));
        let mut other = packet.clone();
        other.chunks.pop();
        assert_ne!(packet.message_id(&packet.encode()), other.message_id(&other.encode()));
        assert_eq!(packet.key(), (0, 1_700_000_000_000_000));
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = packet().encode();
        bytes[3] = 2;
        assert_eq!(Packet::decode(&bytes.into()), Err(Unreadable::Version(2)));
        let mut bytes = packet().encode();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(Packet::decode(&bytes.into()), Err(Damaged("its checksum is wrong").into()));
    }

    #[test]
    fn subjects_are_read_as_they_are_written() {
        let content = Content::Readings(MetricType::Cpu);
        let subject = chunk_subject("web.1", content);
        assert_eq!(subject, "perfwatch.v1.chunk.web~1.cpu");
        let expected = Subject::Chunk { host: "web.1".to_owned(), content: "cpu".to_owned() };
        assert_eq!(Subject::parse(&subject), Some(expected));
        assert_eq!(Subject::parse(&host_subject("a")), Some(Subject::Host("a".to_owned())));
        assert_eq!(Subject::parse(&alive_subject("a")), Some(Subject::Alive("a".to_owned())));
        assert_eq!(Subject::parse(&inputs_subject("a.b")), Some(Subject::Inputs("a.b".to_owned())));
        assert_eq!(Subject::parse("perfwatch.v2.host.a"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_mutated_packet_panics(mutations in crate::mutation::mutations()) {
            let mut bytes = packet().encode();
            crate::mutation::mutate(&mut bytes, &mutations);
            // A right checksum lets the rest of the mutations in.
            if bytes.len() >= 8 {
                let checksum = crc32fast::hash(&bytes[8..]);
                bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
            }
            let _ = Packet::decode(&bytes.into());
        }
    }
}
