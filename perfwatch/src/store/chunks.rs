//! The engines' interface for history: storing and finding chunks. Their content is opaque to the engine.

pub(super) mod sql;

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Result;
use super::policy::Extent;
use crate::host::Host;
use crate::snapshot::MetricType;

/// What a chunk has: readings of one type, or profiles of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Content {
    Readings(MetricType),
    Profiles(ProfileKind),
}

/// What stacks were taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProfileKind {
    /// What ran.
    Cpu,
    /// What waited for something other than a CPU.
    OffCpu,
}

impl ProfileKind {
    pub const ALL: [Self; 2] = [Self::Cpu, Self::OffCpu];

    /// The name in JSON and query parameters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::OffCpu => "off_cpu",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl Content {
    pub fn all() -> impl Iterator<Item = Self> {
        let readings = MetricType::ALL.into_iter().map(Self::Readings);
        readings.chain(ProfileKind::ALL.into_iter().map(Self::Profiles))
    }

    /// The type of its readings, if it has readings.
    pub const fn readings(self) -> Option<MetricType> {
        match self {
            Self::Readings(of) => Some(of),
            Self::Profiles(_) => None,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Readings(of) => of.as_str(),
            Self::Profiles(ProfileKind::Cpu) => "profile_cpu",
            Self::Profiles(ProfileKind::OffCpu) => "profile_off_cpu",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|content| content.as_str() == name)
    }
}

impl From<Content> for &'static str {
    fn from(content: Content) -> Self {
        content.as_str()
    }
}

impl TryFrom<String> for Content {
    type Error = &'static str;

    fn try_from(name: String) -> std::result::Result<Self, Self::Error> {
        Self::parse(&name).ok_or("no chunk has such content")
    }
}

impl From<MetricType> for Content {
    fn from(of: MetricType) -> Self {
        Self::Readings(of)
    }
}

impl From<ProfileKind> for Content {
    fn from(of: ProfileKind) -> Self {
        Self::Profiles(of)
    }
}

/// A chunk: a period of one content in one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub content: Content,
    /// Seconds per bucket; 0 for raw readings.
    pub tier: i64,
    /// Time of the first reading (raw), or start of the slot (rollups); µs.
    pub start: i64,
    /// Time of the first reading or bucket; µs.
    pub first: i64,
    /// End of the last reading or bucket, exclusive; µs.
    pub end: i64,
    pub data: Bytes,
}

/// Which chunks to find: those that may overlap `from..to` (µs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub content: Content,
    pub tier: i64,
    pub from: i64,
    pub to: i64,
}

/// A period of a tier that lacks data which arrived in a finer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// Seconds of the tier to compute.
    pub tier: i64,
    /// Start of the hour or day, µs.
    pub start: i64,
    /// Changes with every arrival, so that a result isn't taken for complete if data arrived meanwhile.
    pub generation: i64,
}

/// What the planner needs to know about a host's tiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tiers {
    /// A tier's seconds, and the time (µs) before which it has been removed.
    pub removed: Vec<(i64, i64)>,
    pub stale: Vec<Stale>,
}

/// Chunks of one content and tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub bytes: i64,
    /// µs.
    pub first: i64,
    /// µs.
    pub end: i64,
}

/// Changes committed in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub put: Vec<Chunk>,
    /// Content, tier and start of chunks that were replaced.
    pub remove: Vec<(Content, i64, i64)>,
    /// Tier and start of periods to compute again.
    pub stale: Vec<(i64, i64)>,
    /// Periods that were computed; their marks are cleared unless data arrived meanwhile.
    pub computed: Vec<Stale>,
    /// A tier's seconds, and the time (µs) before which it has no data.
    pub removed: Vec<(i64, i64)>,
    /// Settings to store in the same transaction.
    pub settings: Vec<(String, String)>,
}

/// Chunks of each type removed per transaction: a few milliseconds.
pub(super) const REMOVED_AT_A_TIME: i64 = 16;

/// The longest time that a chunk of a tier covers, µs.
pub(super) const fn longest(tier: i64) -> i64 {
    const HOUR: i64 = 3_600_000_000;
    match tier {
        0 | 60 => HOUR,
        300 => 24 * HOUR,
        3600 => 4 * 24 * HOUR,
        _ => 64 * 24 * HOUR,
    }
}

/// One process's right to change what a host's history is computed from, until it is dropped.
#[derive(Default)]
pub struct Turn(Option<Box<dyn Any + Send>>);

impl Turn {
    /// Held by what gives it back when dropped, such as a transaction.
    pub(super) fn held_by(holder: impl Any + Send) -> Self {
        Self(Some(Box::new(holder)))
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Turn({})", self.0.is_some())
    }
}

/// Stores the chunks of many hosts.
#[async_trait]
pub trait ChunkStore: Send + Sync + std::fmt::Debug {
    /// Prepares for the next days. Called at startup and then every minute.
    async fn prepare(&self, _now: OffsetDateTime) -> Result<()> {
        Ok(())
    }

    /// Registers a host: its name and the facts about it may change, its id doesn't.
    async fn introduce(&self, host: &Host) -> Result<()>;
    /// All hosts that have ever stored data here.
    async fn hosts(&self) -> Result<Vec<Host>>;

    async fn commit(&self, host: &str, batch: &Batch) -> Result<()>;
    /// The first `limit` of the wanted chunks, by start.
    async fn find(&self, host: &str, wanted: Wanted, limit: i64) -> Result<Vec<Chunk>>;
    /// The start of the first chunk of a content and tier, and the end of the last (µs).
    async fn span(&self, host: &str, content: Content, tier: i64) -> Result<Option<(i64, i64)>>;
    async fn tiers(&self, host: &str) -> Result<Tiers>;
    /// Removes chunks that end before a time (µs), a few at a time so that no writer waits long; returns the number of
    /// chunks. The first transaction also updates what the planner reads.
    async fn remove_before(&self, host: &str, tier: i64, before: i64) -> Result<u64>;
    async fn extent(&self, host: &str) -> Result<Extent>;
    /// The chunks of a tier that start after a time (µs), of each content together.
    async fn sizes(&self, host: &str, tier: i64, after: i64) -> Result<Vec<Size>>;
    /// The end of the newest chunk of each host that has any, µs.
    async fn newest(&self) -> Result<Vec<(String, i64)>>;
    /// Hosts with periods of a tier to compute that start no later than a time (µs).
    async fn stale_hosts(&self, tier: i64, until: i64) -> Result<Vec<String>>;
    /// Waits until no other process that asks for it has the right to change a host's history: needed where several
    /// write the same host's. An engine that only one process writes has no others.
    async fn turn(&self, _host: &str) -> Result<Turn> {
        Ok(Turn::default())
    }

    /// Whether to store documents beside the chunks, for SQL readers.
    fn wants_documents(&self) -> bool {
        false
    }
    /// Stores the documents of one time each as JSON; existing ones stay.
    async fn put_documents(&self, _host: &str, _documents: &[Document]) -> Result<()> {
        Ok(())
    }
    /// Removes documents before a time (µs).
    async fn remove_documents(&self, _host: &str, _before: i64) -> Result<u64> {
        Ok(0)
    }
}

/// A reading as the views of PostgreSQL see it.
#[derive(Debug, Clone)]
pub struct Document {
    /// µs.
    pub at: i64,
    pub metric_type: MetricType,
    pub json: Bytes,
}
