//! Streams the points of a range: pieces in, JSON out, with only a few chunks in memory.

use super::{HistoryQuery, Interval};
use crate::history::bucket::{Bucket, Show, Sums, write_json};
use crate::history::reader::{Piece, Pieces};
use crate::history::tier::floor;
use crate::history::{History, from_micros, micros};
use crate::snapshot::json::write_time;
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use crate::store::Result;

/// One bucket as `{"timestamp":…,"data":{…}[,"min":{…},"max":{…},"count":n]}`.
#[derive(Debug, Clone)]
pub struct Point {
    /// Start of the bucket, µs since the epoch.
    pub at: i64,
    pub json: Vec<u8>,
}

/// A bucket being filled. A single piece stays as it is until a second one arrives.
#[derive(Debug)]
enum Filling {
    Piece(Piece),
    Sum(Box<Bucket>),
}

impl Filling {
    fn sum(&mut self) -> &mut Bucket {
        if let Self::Piece(piece) = self {
            *self = Self::Sum(Box::new(piece.bucket()));
        }
        match self {
            Self::Sum(sum) => sum,
            Self::Piece(_) => unreachable!("turned into a sum above"),
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
    /// Bytes of the longest point so far; sizes the next buffer.
    longest: usize,
}

impl Points {
    pub async fn open(history: &History, query: HistoryQuery) -> Result<Self> {
        let pieces = Pieces::open(history, query.question(), query.selection.clone()).await?;
        let numbers = query.selection.numbers(Layout::of(query.metric_type));
        Ok(Self { query, numbers, pieces, filling: None, given: 0, truncated: false, longest: 0 })
    }

    /// True once there are more points than the limit.
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
        let point = self.write(at, filling);
        self.longest = self.longest.max(point.json.len());
        Ok(Some(point))
    }

    /// The next bucket's sums, ignoring the limit: for callers who want numbers instead of text.
    pub async fn next_sum(&mut self) -> Result<Option<(i64, Bucket)>> {
        let Some((at, mut filling)) = self.next_bucket().await? else { return Ok(None) };
        let metric_type = self.query.metric_type;
        Ok(Some((at, std::mem::replace(filling.sum(), Bucket::new(metric_type)))))
    }

    /// Calls `visit` with the next bucket's start and sums, as they are read; false after the last one or the limit.
    pub async fn visit_next(&mut self, visit: impl FnOnce(i64, &dyn Sums)) -> Result<bool> {
        if self.given == self.query.limit {
            self.truncated = self.truncated || self.next_bucket().await?.is_some();
            return Ok(false);
        }
        let Some((at, mut filling)) = self.next_bucket().await? else { return Ok(false) };
        self.given += 1;
        let at = self.start(at);
        match &filling {
            Filling::Piece(Piece::Bucket(buckets, n)) => visit(at, &buckets.at(*n)),
            _ => visit(at, filling.sum()),
        }
        Ok(true)
    }

    /// Writes sums returned by [`Self::next_sum`] as a point.
    pub fn point(&self, at: i64, sum: Bucket) -> Point {
        self.write(at, Filling::Sum(Box::new(sum)))
    }

    async fn next_bucket(&mut self) -> Result<Option<(i64, Filling)>> {
        loop {
            let Some(piece) = self.pieces.next().await? else { return Ok(self.filling.take()) };
            let bucket = floor(piece.at(), self.query.interval.width());
            match &mut self.filling {
                Some((at, filling)) if *at == bucket => piece.add_to(filling.sum()),
                _ => {
                    if let Some(full) = self.filling.replace((bucket, Filling::Piece(piece))) {
                        return Ok(Some(full));
                    }
                }
            }
        }
    }

    /// The start of a point. The whole range's bucket began long before.
    fn start(&self, at: i64) -> i64 {
        if self.query.interval == Interval::WHOLE { micros(self.query.start) } else { at }
    }

    fn write(&self, at: i64, mut filling: Filling) -> Point {
        let stats = self.query.stats;
        let at = self.start(at);
        // Points of one query have about the same length.
        let mut json = Vec::with_capacity(self.longest + 64);
        json.extend_from_slice(br#"{"timestamp":""#);
        write_time(from_micros(at), &mut json);
        json.extend_from_slice(br#"","data":"#);
        let count = match &filling {
            Filling::Piece(Piece::Reading(block, n)) if !stats.min && !stats.max => {
                block.write_json(*n, &self.query.selection, &mut json);
                1
            }
            Filling::Piece(Piece::Bucket(buckets, n)) => self.write_sums(&buckets.at(*n), &mut json),
            _ => self.write_sums(filling.sum(), &mut json),
        };
        if stats.count {
            json.extend_from_slice(format!(",\"count\":{count}").as_bytes());
        }
        json.push(b'}');
        Point { at, json }
    }

    /// Returns the number of readings in the sums.
    fn write_sums(&self, sums: &impl Sums, json: &mut Vec<u8>) -> u64 {
        write_json(sums, &self.query.selection, Show::Average, json);
        let stats = self.query.stats;
        for (wanted, name, show) in [(stats.min, "min", Show::Min), (stats.max, "max", Show::Max)] {
            if wanted {
                json.extend_from_slice(format!(",\"{name}\":").as_bytes());
                write_json(sums, &self.numbers, show, json);
            }
        }
        sums.readings().count
    }
}
