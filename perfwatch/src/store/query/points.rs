//! Points of a range, one after another: pages of rows in, JSON out, never more than a page in memory.

use std::sync::Arc;

use super::HistoryQuery;
use super::pages::Pages;
use crate::snapshot::rfc3339;
use crate::store::rollup::accumulator::Accumulator;
use crate::store::rollup::pattern::Reader;
use crate::store::rollup::shape::Shape;
use crate::store::rollup::template::{Show, Template};
use crate::store::rollup::{Tier, TierRow, floor};
use crate::store::{Result, Store, from_micros, shapes};

/// Shapes whose templates are kept while a range is read.
const TEMPLATES: usize = 8;

/// One bucket as `{"timestamp":…,"data":{…}[,"min":{…},"max":{…},"count":n]}`.
#[derive(Debug, Clone)]
pub struct Point {
    /// Start of the bucket, µs since the epoch.
    pub at: i64,
    pub json: Vec<u8>,
}

/// A bucket being filled. A single raw document stays as it is until a second one comes.
#[derive(Debug)]
enum Filling {
    Raw(TierRow),
    Sum(Box<Accumulator>),
}

impl Filling {
    fn sum(&mut self, reader: &mut Reader) -> &mut Accumulator {
        if let Self::Raw(row) = self {
            let mut sum = Accumulator::default();
            sum.read_document(reader, row.at, &row.data);
            *self = Self::Sum(Box::new(sum));
        }
        match self {
            Self::Sum(sum) => sum,
            Self::Raw(_) => unreachable!("turned into a sum above"),
        }
    }
}

/// Reads the points of a query.
#[derive(Debug)]
pub struct Points {
    store: Arc<dyn Store>,
    query: HistoryQuery,
    pages: Pages,
    reader: Reader,
    templates: Vec<(Template, Template)>,
    filling: Option<(i64, Filling)>,
    given: usize,
    truncated: bool,
}

impl Points {
    pub async fn open(store: Arc<dyn Store>, query: HistoryQuery) -> Result<Self> {
        let pages = Pages::open(Arc::clone(&store), query.question()).await?;
        Ok(Self {
            store,
            query,
            pages,
            reader: Reader::default(),
            templates: Vec::new(),
            filling: None,
            given: 0,
            truncated: false,
        })
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
    pub async fn next_sum(&mut self) -> Result<Option<(i64, Accumulator)>> {
        let Some((at, mut filling)) = self.next_bucket().await? else { return Ok(None) };
        Ok(Some((at, std::mem::take(filling.sum(&mut self.reader)))))
    }

    /// Writes sums taken by [`Self::next_sum`] as a point.
    pub fn point(&mut self, at: i64, sum: Accumulator) -> Point {
        self.write(at, Filling::Sum(Box::new(sum)))
    }

    async fn next_bucket(&mut self) -> Result<Option<(i64, Filling)>> {
        loop {
            let Some((tier, row)) = self.pages.next().await? else { return Ok(self.filling.take()) };
            let bucket = floor(row.at, self.query.interval.width());
            let fresh = if tier == Tier::Raw {
                Filling::Raw(row)
            } else {
                Filling::Sum(Box::new(shapes::decode(self.store.as_ref(), &row).await?))
            };
            match &mut self.filling {
                Some((at, filling)) if *at == bucket => match fresh {
                    Filling::Raw(row) => {
                        filling.sum(&mut self.reader).read_document(&mut self.reader, row.at, &row.data);
                    }
                    Filling::Sum(sum) => filling.sum(&mut self.reader).merge(*sum),
                },
                _ => {
                    if let Some(full) = self.filling.replace((bucket, fresh)) {
                        return Ok(Some(full));
                    }
                }
            }
        }
    }

    fn write(&mut self, at: i64, mut filling: Filling) -> Point {
        let stats = self.query.stats;
        let mut json = Vec::with_capacity(2048);
        json.extend_from_slice(br#"{"timestamp":""#);
        json.extend_from_slice(rfc3339(from_micros(at)).as_bytes());
        json.extend_from_slice(br#"","data":"#);
        let count = match &filling {
            Filling::Raw(row) if self.query.fields.is_all() && !stats.min && !stats.max => {
                json.extend_from_slice(&row.data);
                1
            }
            _ => {
                let sum = filling.sum(&mut self.reader);
                let (all, numbers) = self.template(sum.shape());
                all.write(sum, Show::Average, &mut json);
                for (wanted, name, show) in [(stats.min, "min", Show::Min), (stats.max, "max", Show::Max)] {
                    if wanted {
                        json.extend_from_slice(format!(",\"{name}\":").as_bytes());
                        numbers.write(sum, show, &mut json);
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

    fn template(&mut self, shape: &Arc<Shape>) -> &(Template, Template) {
        let known = self.templates.iter().position(|(all, _)| all.fits(shape));
        let i = known.unwrap_or_else(|| {
            if self.templates.len() == TEMPLATES {
                self.templates.remove(0);
            }
            let fields = &self.query.fields;
            self.templates.push((Template::new(shape, fields, false), Template::new(shape, fields, true)));
            self.templates.len() - 1
        });
        &self.templates[i]
    }
}
