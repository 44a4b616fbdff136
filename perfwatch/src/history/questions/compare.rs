//! Two ranges of one metric type side by side, of one machine or of two, and the change of its primary value.

use time::{Duration, OffsetDateTime};

use super::points::{Point, Points};
use super::{HistoryQuery, Interval};
use crate::history::History;
use crate::history::bucket::Bucket;
use crate::snapshot::MetricType;
use crate::snapshot::value::Label;
use crate::store::Result;

/// Both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub start: OffsetDateTime,
    pub end: OffsetDateTime,
}

/// The ranges of `period=hour|day|week&compare_to=yesterday|last_week`; `None` for other words.
pub fn relative(period: &str, compare_to: &str, now: OffsetDateTime) -> Option<(Range, Range)> {
    let length = match period {
        "hour" => Duration::HOUR,
        "day" => Duration::DAY,
        "week" => Duration::WEEK,
        _ => return None,
    };
    let back = match compare_to {
        "yesterday" => Duration::DAY,
        "last_week" => Duration::WEEK,
        _ => return None,
    };
    let current = Range { start: now - length, end: now };
    Some((current, Range { start: current.start - back, end: current.end - back }))
}

/// The number that represents a metric type in a comparison, as a sum of fields: table, row and name.
const fn primary(metric_type: MetricType) -> &'static [(&'static str, &'static str, &'static str)] {
    match metric_type {
        MetricType::Cpu | MetricType::Memory => &[("", "", "usage_percent")],
        MetricType::Network => &[("", "", "bytes_sent_per_sec"), ("", "", "bytes_recv_per_sec")],
        MetricType::Disk => &[("", "", "io.read_bytes_per_sec"), ("", "", "io.write_bytes_per_sec")],
        MetricType::PerfEvents => &[("events", "cpu-clock", "value")],
        MetricType::MemoryBandwidth => &[("", "", "page_io_bytes_per_sec")],
        MetricType::Scheduler => &[("", "", "context_switches")],
        MetricType::Tcp => &[("", "", "retransmits")],
        MetricType::Pressure => &[("", "", "cpu.some.avg10")],
        MetricType::BlockIo
        | MetricType::Processes
        | MetricType::Cgroups
        | MetricType::Usage
        | MetricType::Profile
        | MetricType::Presence => &[],
        MetricType::Agent => &[("", "", "failing")],
    }
}

/// Average of the primary value, weighted by readings.
#[derive(Debug)]
struct Average {
    fields: &'static [(&'static str, &'static str, &'static str)],
    sum: f64,
    count: u64,
}

impl Average {
    fn new(metric_type: MetricType) -> Self {
        Self { fields: primary(metric_type), sum: 0.0, count: 0 }
    }

    fn add(&mut self, bucket: &Bucket) {
        let stats = self.fields.iter().filter_map(|(table, thing, name)| match *table {
            "" => bucket.stat(name),
            table => bucket.stat_of(table, &[Label::text(thing)], name),
        });
        let (sum, count) = stats.fold((0.0, 0), |(sum, count), s| (sum + s.sum, s.count.max(count)));
        self.sum += sum;
        self.count += count;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[derive(Debug)]
pub struct Side {
    pub range: Range,
    pub points: Vec<Point>,
    pub truncated: bool,
    /// Of the primary value over the whole range; `None` where there is no data.
    pub average: Option<f64>,
}

#[derive(Debug)]
pub struct Comparison {
    pub current: Side,
    pub comparison: Side,
    /// Of `current` against `comparison`; `None` when the base is 0 or missing.
    pub change_percent: Option<f64>,
}

pub async fn compare(
    [(history, current), (other, comparison)]: [(&History, Range); 2],
    metric_type: MetricType,
    interval: Interval,
    limit: usize,
) -> Result<Comparison> {
    // While one side waits for the store, the other one can run.
    let current = side(history, metric_type, current, interval, limit);
    let comparison = side(other, metric_type, comparison, interval, limit);
    let (current, comparison) = tokio::try_join!(current, comparison)?;
    let change_percent = match (current.average, comparison.average) {
        (Some(now), Some(base)) if base != 0.0 => Some((now - base) / base * 100.0),
        _ => None,
    };
    Ok(Comparison { current, comparison, change_percent })
}

async fn side(
    history: &History,
    metric_type: MetricType,
    range: Range,
    interval: Interval,
    limit: usize,
) -> Result<Side> {
    let query = HistoryQuery { interval, limit, ..HistoryQuery::new(metric_type, range.start, range.end) };
    let mut average = Average::new(metric_type);
    let mut read = Points::open(history, query).await?;
    let mut points = Vec::new();
    let mut truncated = false;
    while let Some((at, bucket)) = read.next_sum().await? {
        average.add(&bucket);
        if points.len() < limit {
            points.push(read.point(at, bucket));
        } else {
            truncated = true;
        }
    }
    Ok(Side { range, points, truncated, average: average.value() })
}
