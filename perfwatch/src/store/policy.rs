//! Retention: how long history is kept, and at which resolution.

use time::OffsetDateTime;

/// What replaces raw rows once they are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownsampleInterval {
    /// Raw rows stay.
    FiveSeconds,
    Minute,
    FiveMinutes,
    Hour,
}

impl DownsampleInterval {
    pub const ALL: [Self; 4] = [Self::FiveSeconds, Self::Minute, Self::FiveMinutes, Self::Hour];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FiveSeconds => "5s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|i| i.as_str() == name)
    }

    /// The tiers, in seconds per bucket, that are removed once this one has replaced them; 0 is raw.
    pub const fn replaces(self) -> &'static [i64] {
        match self {
            Self::FiveSeconds => &[],
            Self::Minute => &[0],
            Self::FiveMinutes => &[0, 60],
            Self::Hour => &[0, 60, 300],
        }
    }
}

/// The row of `archive_policies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivePolicy {
    pub id: i64,
    /// Everything older is removed. 1 to 365.
    pub retention_days: i64,
    /// Whether anything is downsampled.
    pub archive_enabled: bool,
    /// 0 to `retention_days`.
    pub downsample_after_days: i64,
    pub downsample_interval: DownsampleInterval,
    pub cleanup_enabled: bool,
    pub cleanup_interval_minutes: i64,
    pub last_archive_run: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl ArchivePolicy {
    /// The policy of a new database.
    pub fn initial(now: OffsetDateTime) -> Self {
        Self {
            id: 1,
            retention_days: 30,
            archive_enabled: true,
            downsample_after_days: 7,
            downsample_interval: DownsampleInterval::Minute,
            cleanup_enabled: true,
            cleanup_interval_minutes: 60,
            last_archive_run: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// How much history there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// On disk, including indexes and rollups.
    pub bytes: u64,
    pub oldest: Option<OffsetDateTime>,
    pub newest: Option<OffsetDateTime>,
}
