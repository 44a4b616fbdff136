//! Some processes over time.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::accounts::{Accounts, PROCESSES, Part, Span, Whose, rows};
use super::amounts::Amounts;
use crate::history::bucket::Sums;
use crate::history::questions::Interval;
use crate::history::tier::floor;
use crate::history::{History, from_micros};
use crate::store::Result;

/// Names remembered of the processes found.
const NAMES: usize = 16;

#[derive(Debug, Clone)]
pub struct UsageQuery {
    pub whose: Whose,
    pub start: OffsetDateTime,
    /// Inclusive.
    pub end: OffsetDateTime,
    pub interval: Interval,
    /// Maximum number of points.
    pub limit: usize,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct UsagePoint {
    /// Start of the bucket.
    pub at: OffsetDateTime,
    /// Number of snapshots in it.
    pub snapshots: u64,
    /// `None` if the process used nothing noticeable.
    pub used: Option<Amounts>,
    /// Time that the amounts cover.
    pub seconds: f64,
}

/// The processes that match, over time.
#[derive(Debug)]
pub struct UsageHistory {
    query: UsageQuery,
    accounts: Accounts,
    filling: Option<UsagePoint>,
    names: BTreeSet<String>,
    given: usize,
    truncated: bool,
}

impl UsageHistory {
    pub async fn open(history: &History, query: UsageQuery) -> Result<Self> {
        let range = (query.start, query.end);
        let accounts = Accounts::open(history, range, &query.whose, query.interval.width(), false).await?;
        Ok(Self { query, accounts, filling: None, names: BTreeSet::new(), given: 0, truncated: false })
    }

    /// True once there are more points than the limit.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Names of the processes found so far: more than one if a pid was reused, or in a cgroup.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The next point, or `None` after the last or the limit.
    pub async fn next(&mut self) -> Result<Option<UsagePoint>> {
        if self.given == self.query.limit {
            self.truncated = self.truncated || self.next_point().await?.is_some();
            return Ok(None);
        }
        let point = self.next_point().await?;
        self.given += usize::from(point.is_some());
        Ok(point)
    }

    async fn next_point(&mut self) -> Result<Option<UsagePoint>> {
        loop {
            let full = match self.accounts.next().await? {
                None => return Ok(self.filling.take()),
                Some(Part::Made(made)) => self.add(made.at, &*made.bucket),
                Some(Part::Stored(buckets, n)) => self.add(buckets.times()[n], &buckets.at(n)),
            };
            if full.is_some() {
                return Ok(full);
            }
        }
    }

    /// Adds a bucket; returns the point before it once that is complete.
    fn add(&mut self, at: i64, sums: &impl Sums) -> Option<UsagePoint> {
        let readings = sums.readings();
        // A source that failed has no rows.
        if readings.count == readings.failed {
            return None;
        }
        let at = from_micros(floor(at, self.query.interval.width()));
        let full = match &self.filling {
            Some(point) if point.at == at => None,
            _ => self.filling.replace(UsagePoint { at, snapshots: 0, used: None, seconds: 0.0 }),
        };
        let span = Span::of(sums);
        let mut used: Option<Amounts> = None;
        for row in rows(sums, PROCESSES).filter(|row| self.query.whose.is(row)) {
            used.get_or_insert_default().along(&Amounts::of(&row, span));
            if self.names.len() < NAMES
                && let Some(name) = row.name()
                && !self.names.contains(&**name)
            {
                self.names.insert(name.to_string());
            }
        }
        if let Some(point) = &mut self.filling {
            point.snapshots += readings.count - readings.failed;
            point.seconds += span.seconds;
            if let Some(used) = used {
                point.used.get_or_insert_default().then(&used);
            }
        }
        full
    }
}
