//! Points of a range, one after another: pieces in, JSON out, never more than a few chunks in memory.

use super::HistoryQuery;
use crate::history::bucket::{Bucket, Show};
use crate::history::reader::{Piece, Pieces};
use crate::history::tier::floor;
use crate::history::{History, from_micros};
use crate::snapshot::Reading;
use crate::snapshot::layout::Layout;
use crate::snapshot::rfc3339;
use crate::snapshot::selection::Selection;
use crate::store::Result;

/// One bucket as `{"timestamp":…,"data":{…}[,"min":{…},"max":{…},"count":n]}`.
#[derive(Debug, Clone)]
pub struct Point {
    /// Start of the bucket, µs since the epoch.
    pub at: i64,
    pub json: Vec<u8>,
}

/// A bucket being filled. A single reading stays as it is until a second one comes.
#[derive(Debug)]
enum Filling {
    Reading(Box<Reading>),
    Sum(Box<Bucket>),
}

impl Filling {
    fn sum(&mut self) -> &mut Bucket {
        if let Self::Reading(reading) = self {
            let mut sum = Bucket::new(reading.metric_type);
            sum.add(reading);
            *self = Self::Sum(Box::new(sum));
        }
        match self {
            Self::Sum(sum) => sum,
            Self::Reading(_) => unreachable!("turned into a sum above"),
        }
    }

    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Reading(reading) => self.sum().add(&reading),
            Piece::Bucket(_, bucket) => self.sum().merge(&bucket),
        }
    }
}

impl From<Piece> for Filling {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Reading(reading) => Self::Reading(Box::new(reading)),
            Piece::Bucket(_, bucket) => Self::Sum(Box::new(bucket)),
        }
    }
}

/// Reads the points of a query.
#[derive(Debug)]
pub struct Points {
    query: HistoryQuery,
    numbers: Selection,
    pieces: Pieces,
    filling: Option<(i64, Filling)>,
    given: usize,
    truncated: bool,
}

impl Points {
    pub async fn open(history: &History, query: HistoryQuery) -> Result<Self> {
        let pieces = Pieces::open(history, query.question(), query.selection.clone()).await?;
        let numbers = query.selection.numbers(Layout::of(query.metric_type));
        Ok(Self { query, numbers, pieces, filling: None, given: 0, truncated: false })
    }

    /// True once there turned out to be more points than the limit.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The next point, or `None` after the last or the limit.
    pub async fn next(&mut self) -> Result<Option<Point>> {
        if self.given == self.query.limit {
            self.truncated = self.truncated || self.next_bucket().await?.is_some();
            return Ok(None);
        }
        let Some((at, filling)) = self.next_bucket().await? else { return Ok(None) };
        self.given += 1;
        Ok(Some(self.write(at, filling)))
    }

    /// The next bucket's sums, past any limit: for who wants numbers and not text.
    pub async fn next_sum(&mut self) -> Result<Option<(i64, Bucket)>> {
        let Some((at, mut filling)) = self.next_bucket().await? else { return Ok(None) };
        let metric_type = self.query.metric_type;
        Ok(Some((at, std::mem::replace(filling.sum(), Bucket::new(metric_type)))))
    }

    /// Writes sums taken by [`Self::next_sum`] as a point.
    pub fn point(&self, at: i64, sum: Bucket) -> Point {
        self.write(at, Filling::Sum(Box::new(sum)))
    }

    async fn next_bucket(&mut self) -> Result<Option<(i64, Filling)>> {
        loop {
            let Some(piece) = self.pieces.next().await? else { return Ok(self.filling.take()) };
            let bucket = floor(piece.at(), self.query.interval.width());
            match &mut self.filling {
                Some((at, filling)) if *at == bucket => filling.add(piece),
                _ => {
                    if let Some(full) = self.filling.replace((bucket, piece.into())) {
                        return Ok(Some(full));
                    }
                }
            }
        }
    }

    fn write(&self, at: i64, mut filling: Filling) -> Point {
        let stats = self.query.stats;
        let mut json = Vec::with_capacity(2048);
        json.extend_from_slice(br#"{"timestamp":""#);
        json.extend_from_slice(rfc3339(from_micros(at)).as_bytes());
        json.extend_from_slice(br#"","data":"#);
        let count = match &filling {
            Filling::Reading(reading) if !stats.min && !stats.max => {
                reading.write_json(&self.query.selection, &mut json);
                1
            }
            _ => {
                let sum = filling.sum();
                sum.write_json(&self.query.selection, Show::Average, &mut json);
                for (wanted, name, show) in [(stats.min, "min", Show::Min), (stats.max, "max", Show::Max)] {
                    if wanted {
                        json.extend_from_slice(format!(",\"{name}\":").as_bytes());
                        sum.write_json(&self.numbers, show, &mut json);
                    }
                }
                sum.samples()
            }
        };
        if stats.count {
            json.extend_from_slice(format!(",\"count\":{count}").as_bytes());
        }
        json.push(b'}');
        Point { at, json }
    }
}
