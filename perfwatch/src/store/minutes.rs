//! The minutes that are being written, summed up as their documents are stored, so that rolling them up neither reads
//! nor parses what was just in hand.
//!
//! Memory is only believed where it has all that the table has: each document was new when it was stored, they came in
//! time order, and the table holds as many as memory counted. Anything else (a restart amid the minute, late data, a
//! second server) leaves the minute to be computed from the table, with the same result.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use super::micros;
use super::rollup::Tier;
use super::rollup::accumulator::Accumulator;
use super::rollup::pattern::Reader;
use crate::snapshot::MetricType;

/// A minute is rolled up some seconds after its end, when the next has begun.
const KEPT: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Minutes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    readers: [Reader; MetricType::ALL.len()],
    /// Oldest first.
    minutes: VecDeque<Minute>,
}

#[derive(Debug)]
struct Minute {
    bucket: i64,
    documents: u64,
    series: [Series; MetricType::ALL.len()],
    /// There is something in the table that memory has not.
    broken: bool,
}

#[derive(Debug)]
struct Series {
    newest: i64,
    sum: Accumulator,
}

/// All documents of a minute.
#[derive(Debug)]
pub(super) struct Summed {
    pub documents: u64,
    /// By type; a type without documents has none.
    pub sums: Vec<(MetricType, Accumulator)>,
}

impl Minutes {
    /// Takes over documents that were stored: time (µs), type and text. `new` tells that the table had none of them.
    pub(super) fn add<'a>(&self, stored: impl Iterator<Item = (i64, MetricType, &'a [u8])>, new: bool) {
        let oldest = Tier::Minute.floor(micros(OffsetDateTime::now_utc())) - Tier::Minute.width();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { readers, minutes } = &mut *kept;
        for (at, metric_type, json) in stored {
            // What is imported or was waiting in the spool is history already.
            let bucket = Tier::Minute.floor(at);
            if bucket >= oldest
                && let Some(minute) = minute_of(minutes, bucket)
            {
                minute.broken |= !new;
                minute.add(at, metric_type, json, &mut readers[metric_type as usize]);
            }
        }
    }

    /// What memory has of a minute, which it then forgets.
    pub(super) fn take(&self, bucket: i64) -> Option<Summed> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.minutes.iter().position(|minute| minute.bucket == bucket)?;
        let minute = kept.minutes.remove(at).filter(|minute| !minute.broken)?;
        let sums = MetricType::ALL.into_iter().zip(minute.series);
        let sums =
            sums.map(|(metric_type, series)| (metric_type, series.sum)).filter(|(_, sum)| !sum.is_empty());
        Some(Summed { documents: minute.documents, sums: sums.collect() })
    }
}

fn minute_of(minutes: &mut VecDeque<Minute>, bucket: i64) -> Option<&mut Minute> {
    let at = minutes.partition_point(|minute| minute.bucket < bucket);
    if minutes.get(at).is_none_or(|minute| minute.bucket != bucket) {
        minutes.insert(at, Minute::new(bucket));
        if minutes.len() > KEPT {
            minutes.pop_front();
            return minutes.get_mut(at.checked_sub(1)?);
        }
    }
    minutes.get_mut(at)
}

impl Minute {
    fn new(bucket: i64) -> Self {
        let series = std::array::from_fn(|_| Series { newest: i64::MIN, sum: Accumulator::default() });
        Self { bucket, documents: 0, series, broken: false }
    }

    fn add(&mut self, at: i64, metric_type: MetricType, json: &[u8], reader: &mut Reader) {
        let series = &mut self.series[metric_type as usize];
        // Sums depend on the order where documents contradict each other.
        self.broken |= at <= series.newest;
        self.documents += 1;
        series.newest = at;
        if !self.broken {
            series.sum.read_document(reader, at, json);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = Tier::Minute.width();

    fn now() -> i64 {
        Tier::Minute.floor(micros(OffsetDateTime::now_utc()))
    }

    fn add(minutes: &Minutes, at: i64, new: bool) {
        let json = format!(r#"{{"_timestamp":"t","n":{}}}"#, at - now());
        minutes.add([(at, MetricType::Cpu, json.as_bytes())].into_iter(), new);
    }

    #[test]
    fn a_minute_is_its_documents_and_is_given_once() {
        let (minutes, start) = (Minutes::default(), now());
        for second in [1, 2, 3, 60] {
            add(&minutes, start + second * 1_000_000, true);
        }
        let summed = minutes.take(start).unwrap();
        assert_eq!(summed.documents, 3);
        let (metric_type, sum) = &summed.sums[0];
        assert_eq!((*metric_type, sum.samples(), sum.first_at()), (MetricType::Cpu, 3, start + 1_000_000));
        assert!(minutes.take(start).is_none());
        assert_eq!(minutes.take(start + MINUTE).unwrap().documents, 1);
    }

    #[test]
    fn what_was_there_before_or_comes_out_of_order_is_not_believed() {
        for (second, new) in [(3, false), (2, true), (1, true)] {
            let (minutes, start) = (Minutes::default(), now());
            add(&minutes, start + 2_000_000, true);
            add(&minutes, start + second * 1_000_000, new);
            add(&minutes, start + 9_000_000, true);
            assert!(minutes.take(start).is_none(), "{second} {new}");
        }
    }

    #[test]
    fn few_minutes_are_kept_and_no_old_ones() {
        let (minutes, start) = (Minutes::default(), now());
        add(&minutes, start - 60 * MINUTE, true);
        assert!(minutes.take(start - 60 * MINUTE).is_none());
        for n in (0i64..).take(KEPT + 1) {
            add(&minutes, start + n * MINUTE, true);
        }
        assert!(minutes.take(start).is_none());
        assert!(minutes.take(start + MINUTE).is_some());
    }
}
