//! The resolutions in which history is kept.

/// Each tier but `Raw` is built from a finer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Raw,
    Minute,
    FiveMinutes,
    Hour,
    Day,
}

impl Tier {
    pub const ALL: [Self; 5] = [Self::Raw, Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];
    /// The computed tiers, finest first.
    pub const ROLLUPS: [Self; 4] = [Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];

    pub fn of_seconds(seconds: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.seconds() == seconds)
    }

    /// Seconds per bucket, which also identify the tier in tables. 0 for raw.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Raw => 0,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3600,
            Self::Day => 86400,
        }
    }

    /// Microseconds per bucket.
    pub const fn width(self) -> i64 {
        self.seconds() * 1_000_000
    }

    /// Microseconds per chunk: a maximum for raw readings, exact for rollups.
    pub const fn slot(self) -> i64 {
        const HOUR: i64 = 3_600_000_000;
        match self {
            Self::Raw | Self::Minute => HOUR,
            Self::FiveMinutes => 12 * HOUR,
            Self::Hour => 4 * 24 * HOUR,
            Self::Day => 64 * 24 * HOUR,
        }
    }

    /// The tier used where this one is not complete.
    pub const fn finer(self) -> Self {
        match self {
            Self::Raw | Self::Minute => Self::Raw,
            Self::FiveMinutes => Self::Minute,
            Self::Hour => Self::FiveMinutes,
            Self::Day => Self::Hour,
        }
    }

    pub fn coarser(self) -> Option<Self> {
        Self::ROLLUPS.into_iter().find(|tier| *tier > self)
    }

    /// Start of the bucket that contains a time (µs); raw readings are their own bucket.
    pub const fn floor(self, at: i64) -> i64 {
        if self.width() == 0 { at } else { floor(at, self.width()) }
    }
}

/// The largest multiple of `width` that is at most `at`.
pub const fn floor(at: i64, width: i64) -> i64 {
    at.div_euclid(width) * width
}
