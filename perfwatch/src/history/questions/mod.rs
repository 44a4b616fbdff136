//! Queries on history: points of a range ([`points`]; [`columns`] has them by field), two ranges side by side ([`compare`]), what differs between them
//! ([`changes`]), what explains a range ([`explain`]), one field on many hosts ([`across`]), any range as a file ([`export`]), and resource use of processes and cgroups ([`usage`]).

pub mod across;
pub mod changes;
pub mod columns;
pub mod compare;
pub mod explain;
pub mod export;
pub mod points;
pub mod usage;

use time::OffsetDateTime;

use super::micros;
use super::reader::Question;
use super::tier::floor;
use crate::snapshot::MetricType;
use crate::snapshot::selection::Selection;

/// µs.
const MILLISECOND: i64 = 1000;

/// Width of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    name: &'static str,
    seconds: i64,
}

impl Interval {
    /// The widths a client may ask for, in addition to `auto`.
    pub const ALL: [Self; 10] = [
        Self { name: "1s", seconds: 1 },
        Self { name: "5s", seconds: 5 },
        Self { name: "10s", seconds: 10 },
        Self { name: "30s", seconds: 30 },
        Self { name: "1m", seconds: 60 },
        Self { name: "5m", seconds: 300 },
        Self { name: "15m", seconds: 900 },
        Self { name: "1h", seconds: 3600 },
        Self { name: "6h", seconds: 21600 },
        Self { name: "1d", seconds: 86400 },
    ];

    /// The whole range as one point, whatever its length: longer than all of time.
    pub const WHOLE: Self = Self { name: "range", seconds: 3_652_500 * 86400 };

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|i| i.name == name)
    }

    /// Fine for short ranges, then the finest that keeps the answer within 1000 points.
    pub fn auto(start: OffsetDateTime, end: OffsetDateTime) -> Self {
        const HOUR: i64 = 3600;
        const LONGEST: [(i64, &str); 5] = [
            (HOUR / 2, "5s"),
            (6 * HOUR, "1m"),
            (24 * HOUR, "5m"),
            (999 * HOUR, "1h"),
            (999 * 6 * HOUR, "6h"),
        ];
        let range = (end - start).whole_seconds();
        let name = LONGEST.into_iter().find(|(longest, _)| range <= *longest).map_or("1d", |(_, name)| name);
        Self::parse(name).expect("all names above are in ALL")
    }

    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Microseconds.
    pub const fn width(self) -> i64 {
        self.seconds * 1_000_000
    }
}

/// Which statistics are included with the average of each point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub min: bool,
    pub max: bool,
    pub count: bool,
}

impl Stats {
    /// `min,max,count` in any order; `None` if the list has anything else.
    pub fn parse(list: &str) -> Option<Self> {
        let mut stats = Self::default();
        for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            match name {
                "min" => stats.min = true,
                "max" => stats.max = true,
                "count" => stats.count = true,
                _ => return None,
            }
        }
        Some(stats)
    }
}

/// One range of one metric type.
#[derive(Debug, Clone)]
pub struct HistoryQuery {
    pub metric_type: MetricType,
    pub start: OffsetDateTime,
    /// Inclusive.
    pub end: OffsetDateTime,
    pub interval: Interval,
    /// Maximum number of points.
    pub limit: usize,
    /// Which fields of the documents to show.
    pub selection: Selection,
    pub stats: Stats,
}

impl HistoryQuery {
    /// A query for all fields, with points of `auto` width.
    pub fn new(metric_type: MetricType, start: OffsetDateTime, end: OffsetDateTime) -> Self {
        Self {
            metric_type,
            start,
            end,
            interval: Interval::auto(start, end),
            limit: 1000,
            selection: Selection::all(metric_type).clone(),
            stats: Stats::default(),
        }
    }

    pub fn question(&self) -> Question {
        Question {
            metric_type: self.metric_type,
            from: micros(self.start),
            // All of its last millisecond, so that what ends one before an hour is made of whole hours.
            to: floor(micros(self.end), MILLISECOND).saturating_add(MILLISECOND),
            interval: self.interval.width(),
        }
    }
}

#[cfg(test)]
mod tests;
