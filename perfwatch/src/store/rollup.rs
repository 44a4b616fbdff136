//! Rollups: what a bucket of documents becomes, independent of the engine that keeps it.
//!
//! A document is flattened into leaves (numbers, histograms, anything else) at paths; the list of paths is
//! a [`Shape`](shape::Shape), shared by nearly all documents of a type. An
//! [`Accumulator`](accumulator::Accumulator) sums leaves by position, a [codec](codec) turns it into a few hundred
//! bytes, and merging those is merging the documents they came from: raw → 1 min → 5 min → 1 h → 1 day.

pub mod accumulator;
pub mod codec;
pub mod events;
pub mod histogram;
pub mod pattern;
pub mod shape;
pub mod template;
mod text;

/// The resolutions history is kept in. Each but `Raw` is built from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Raw,
    Minute,
    FiveMinutes,
    Hour,
    Day,
}

impl Tier {
    /// The tiers that are computed, finest first.
    pub const ROLLUPS: [Self; 4] = [Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];

    /// Seconds a bucket covers; this is also how tables name the tier. 0 for raw.
    /// The tier whose buckets have this width.
    pub fn of_seconds(seconds: i64) -> Option<Self> {
        [Self::Raw].into_iter().chain(Self::ROLLUPS).find(|tier| tier.seconds() == seconds)
    }

    pub const fn seconds(self) -> i64 {
        match self {
            Self::Raw => 0,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3600,
            Self::Day => 86400,
        }
    }

    /// Microseconds a bucket covers.
    pub const fn width(self) -> i64 {
        self.seconds() * 1_000_000
    }

    /// What this tier is built from.
    pub const fn finer(self) -> Self {
        match self {
            Self::Raw | Self::Minute => Self::Raw,
            Self::FiveMinutes => Self::Minute,
            Self::Hour => Self::FiveMinutes,
            Self::Day => Self::Hour,
        }
    }

    /// What is built from this tier.
    pub fn coarser(self) -> Option<Self> {
        Self::ROLLUPS.into_iter().find(|tier| *tier > self)
    }

    /// Start of the bucket a time (µs) falls in; raw rows are their own bucket.
    pub const fn floor(self, at: i64) -> i64 {
        if self.width() == 0 { at } else { floor(at, self.width()) }
    }
}

/// The largest multiple of `width` that is not after `at`.
pub const fn floor(at: i64, width: i64) -> i64 {
    at.div_euclid(width) * width
}

/// One stored row of any tier: a raw document's JSON, or an encoded rollup with the shape it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierRow {
    /// Time of the document or start of the bucket, µs since the epoch.
    pub at: i64,
    /// Key of the shape; 0 for raw rows.
    pub shape: i64,
    pub data: Vec<u8>,
}

/// A bucket whose rollup lacks rows that arrived since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    pub bucket: i64,
    /// Changes with every arrival, so that a rollup computed meanwhile is not taken for complete.
    pub generation: i64,
}
