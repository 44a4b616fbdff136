use proptest::prelude::*;

use super::frame::Frame;
use super::*;
use crate::history::bucket::{Bucket, Cell, Show, Sums, write_json};
use crate::history::testing::readings;
use crate::history::tier::Tier;
use crate::history::{Damaged, micros};
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use crate::snapshot::{MetricType, Reading};

const TYPES: [MetricType; 4] =
    [MetricType::Cpu, MetricType::Network, MetricType::PerfEvents, MetricType::BlockIo];

fn block_of(readings: &[Reading]) -> Block {
    let mut block = Block::new(readings[0].metric_type);
    for reading in readings {
        assert!(block.push(reading));
    }
    block
}

fn everything(metric_type: MetricType) -> &'static Selection {
    Selection::all(metric_type)
}

fn sum(readings: &[Reading]) -> Bucket {
    let mut bucket = Bucket::new(readings[0].metric_type);
    readings.iter().for_each(|reading| bucket.add(reading));
    bucket
}

/// Compares sums of the same readings, ignoring floating-point noise.
fn same(a: &Bucket, b: &Bucket) -> Result<(), TestCaseError> {
    prop_assert_eq!((a.samples(), a.failed(), a.first_at()), (b.samples(), b.failed(), b.first_at()));
    for (table, of) in Layout::of(a.metric_type()).tables.iter().enumerate() {
        prop_assert_eq!(a.keys_of(table), b.keys_of(table));
        for row in 0..a.keys_of(table).len() {
            for (column, (a, b)) in a.row(table, row).iter().zip(b.row(table, row)).enumerate() {
                match (a, b) {
                    (Cell::Number(a), Cell::Number(b)) => {
                        prop_assert_eq!((a.min, a.max, a.count), (b.min, b.max, b.count));
                        prop_assert!((a.sum - b.sum).abs() <= 1e-9 * a.sum.abs().max(1.0), "{:?} {:?}", a, b);
                    }
                    (a, b) => prop_assert_eq!(a, b, "{} {}", of.path, &of.columns[column].name),
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn readings_come_back_from_a_chunk(
        all in proptest::sample::select(&TYPES[..]).prop_flat_map(|of| readings(of, 24)),
    ) {
        let chunk = block_of(&all).encode();
        let block = Block::decode(&chunk, everything(all[0].metric_type)).unwrap();
        prop_assert!(block.readings().eq(all.iter().cloned()));
    }

    /// Of readings as of their buckets.
    #[test]
    fn what_is_looked_at_is_there_if_nothing_else_is_read(
        all in proptest::sample::select(&TYPES[..]).prop_flat_map(|of| readings(of, 24)),
        (from, to) in (0usize..24, 0usize..24),
    ) {
        let everything = everything(all[0].metric_type);
        let at = |n: usize| all.get(n).map_or(i64::MAX, |reading| micros(reading.at));
        let times = at(from.min(to))..at(from.max(to));
        let chunk = block_of(&all).encode();
        let [whole, part] = [i64::MIN..i64::MAX, times.clone()]
            .map(|times| Block::decode_within(&chunk, everything, times).unwrap());
        prop_assert_eq!(part.times(), whole.times());
        for n in whole.within(times.start, times.end) {
            prop_assert_eq!(part.reading(n), whole.reading(n));
        }
        let buckets: Vec<(i64, Bucket)> =
            all.iter().map(|one| (micros(one.at), sum(std::slice::from_ref(one)))).collect();
        let buckets: Vec<(i64, &Bucket)> = buckets.iter().map(|(at, bucket)| (*at, bucket)).collect();
        let chunk = encode_buckets(all[0].metric_type, 60, &buckets);
        let part = Buckets::decode_within(&chunk, everything, times.clone()).unwrap();
        for (n, (_, bucket)) in buckets.iter().enumerate().filter(|(_, (at, _))| times.contains(at)) {
            same(&part.bucket(n), bucket)?;
        }
    }

    #[test]
    fn a_block_that_was_cleared_is_as_new(
        before in readings(MetricType::BlockIo, 12),
        all in readings(MetricType::BlockIo, 12),
    ) {
        let mut block = block_of(&before);
        block.clear();
        prop_assert!(block.is_empty());
        all.iter().for_each(|reading| assert!(block.push(reading)));
        prop_assert_eq!(block.encode(), block_of(&all).encode());
    }

    #[test]
    fn a_column_alone_is_the_same_as_among_all(all in readings(MetricType::Network, 12)) {
        let layout = Layout::of(MetricType::Network);
        let selection = Selection::of(layout, &["interfaces.bytes_recv".into(), "drops_in".into()]);
        let block = Block::decode(&block_of(&all).encode(), &selection).unwrap();
        for (few, whole) in block.readings().zip(&all) {
            let mut texts = [Vec::new(), Vec::new()];
            few.write_json(&selection, &mut texts[0]);
            whole.write_json(&selection, &mut texts[1]);
            prop_assert_eq!(String::from_utf8_lossy(&texts[0]), String::from_utf8_lossy(&texts[1]));
        }
    }

    /// Whether it was read from a chunk or is only in memory.
    #[test]
    fn what_was_not_asked_for_is_not_written(all in readings(MetricType::Cpu, 4)) {
        let layout = Layout::of(MetricType::Cpu);
        for fields in [vec!["load_avg.1".to_owned()], vec!["user".to_owned(), "load_avg.1".to_owned()]] {
            let selection = Selection::of(layout, &fields);
            let whole = block_of(&all);
            let read = Block::decode(&whole.encode(), &selection).unwrap();
            for (n, reading) in all.iter().enumerate() {
                let mut texts = [Vec::new(), Vec::new(), Vec::new()];
                read.write_json(n, &selection, &mut texts[0]);
                whole.write_json(n, &selection, &mut texts[1]);
                reading.write_json(&selection, &mut texts[2]);
                let texts = texts.map(|text| String::from_utf8(text).unwrap());
                prop_assert_eq!(&texts[0], &texts[1]);
                prop_assert_eq!(&texts[0], &texts[2]);
                prop_assert!(!texts[0].contains("usage_percent"), "{}", texts[0]);
            }
        }
    }

    #[test]
    fn a_reading_is_written_the_same_from_a_chunk(
        all in proptest::sample::select(&TYPES[..]).prop_flat_map(|of| readings(of, 12)),
    ) {
        let everything = everything(all[0].metric_type);
        let block = Block::decode(&block_of(&all).encode(), everything).unwrap();
        for (n, reading) in all.iter().enumerate() {
            let mut written = Vec::new();
            block.write_json(n, everything, &mut written);
            let json = reading.json();
            prop_assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn a_bucket_is_written_the_same_from_a_chunk(
        all in proptest::sample::select(&TYPES[..]).prop_flat_map(|of| readings(of, 12)),
    ) {
        let metric_type = all[0].metric_type;
        let fields = match metric_type {
            MetricType::Network => vec!["interfaces.bytes_recv".to_owned(), "drops_in".to_owned()],
            _ => Vec::new(),
        };
        let halves: Vec<Bucket> = all.chunks(6).map(sum).collect();
        let numbered: Vec<(i64, &Bucket)> = (0..).step_by(60_000_000).zip(&halves).collect();
        let chunk = encode_buckets(metric_type, 60, &numbered);
        let layout = Layout::of(metric_type);
        for selection in [everything(metric_type).clone(), Selection::of(layout, &fields)] {
            let stored = Buckets::decode(&chunk, &selection).unwrap();
            for (n, (_, bucket)) in stored.iter().enumerate() {
                for (selection, show) in
                    [(selection.clone(), Show::Average), (selection.numbers(layout), Show::Max)]
                {
                    let mut written = [Vec::new(), Vec::new()];
                    write_json(&stored.at(n), &selection, show, &mut written[0]);
                    write_json(&bucket, &selection, show, &mut written[1]);
                    let [at_once, summed] = written.map(|text| String::from_utf8(text).unwrap());
                    prop_assert_eq!(at_once, summed);
                }
                prop_assert_eq!(stored.at(n).readings().count, halves[n].samples());
            }
        }
    }

    #[test]
    fn sums_are_the_same_however_they_are_made(
        all in proptest::sample::select(&TYPES[..]).prop_flat_map(|of| readings(of, 24)),
        cuts in proptest::collection::vec(0usize..24, 0..4),
    ) {
        let metric_type = all[0].metric_type;
        let whole = sum(&all);

        let decoded: Vec<Reading> =
            Block::decode(&block_of(&all).encode(), everything(metric_type)).unwrap().readings().collect();
        same(&whole, &sum(&decoded))?;

        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
        cuts.extend([0, all.len()]);
        cuts.sort_unstable();
        let parts: Vec<(i64, Bucket)> = cuts
            .windows(2)
            .filter(|cut| cut[0] < cut[1])
            .map(|cut| (Tier::Minute.floor(micros(all[cut[0]].at)), sum(&all[cut[0]..cut[1]])))
            .collect();
        let mut merged = Bucket::new(metric_type);
        parts.iter().for_each(|(_, part)| merged.merge(part));
        same(&whole, &merged)?;

        // Parts that start in the same minute share one bucket.
        let mut minutes: Vec<(i64, Bucket)> = Vec::new();
        for (at, part) in parts {
            match minutes.last_mut() {
                Some((last, bucket)) if *last == at => bucket.merge(&part),
                _ => minutes.push((at, part)),
            }
        }
        let minutes: Vec<(i64, &Bucket)> = minutes.iter().map(|(at, bucket)| (*at, bucket)).collect();
        let chunk = encode_buckets(metric_type, 60, &minutes);
        let mut stored = Bucket::new(metric_type);
        for (_, part) in Buckets::decode(&chunk, everything(metric_type)).unwrap().iter() {
            stored.merge(&part);
        }
        same(&whole, &stored)?;
    }

    /// Any bytes are either rejected or read, in bounded time and memory.
    #[test]
    fn damaged_chunks_never_panic(
        all in readings(MetricType::BlockIo, 6), at: prop::sample::Index, to: u8, cut: prop::sample::Index,
    ) {
        let metric_type = MetricType::BlockIo;
        let rolled = encode_buckets(metric_type, 60, &[(Tier::Minute.floor(micros(all[0].at)), &sum(&all))]);
        for chunk in [block_of(&all).encode(), rolled] {
            let mut wrong = chunk.clone();
            let place = at.index(wrong.len());
            wrong[place] = to;
            if wrong != chunk {
                prop_assert!(Frame::read(&wrong).is_err(), "the checksum has everything in it");
            }
            wrong.truncate(cut.index(wrong.len()));
            prop_assert!(Frame::read(&wrong).is_err());
            // With a valid checksum, as an attacker could write it.
            let mut forged = chunk.clone();
            let place = 8 + at.index(forged.len() - 8);
            forged[place] = to;
            let checksum = crc32fast::hash(&forged[8..]).to_le_bytes();
            forged[4..8].copy_from_slice(&checksum);
            let _ = Block::decode(&forged, everything(metric_type));
            let _ = Buckets::decode(&forged, everything(metric_type));
        }
    }
}

#[test]
fn chunks_of_other_versions_and_kinds_are_refused_with_the_reason() {
    let all = [crate::history::testing::cpu(0, 1.0), crate::history::testing::cpu(1, 2.0)];
    let chunk = block_of(&all).encode();
    let mut later = chunk;
    later[3] = 200;
    let decode = |bytes: &[u8]| Block::decode(bytes, everything(MetricType::Cpu)).map(|_| ());
    assert_eq!(decode(&later), Err(Damaged("it is of an unknown version")));
    assert_eq!(decode(b"SQLite format 3"), Err(Damaged("it is no chunk")));
    let rolled = encode_buckets(MetricType::Cpu, 60, &[(micros(crate::history::testing::START), &sum(&all))]);
    assert_eq!(decode(&rolled), Err(Damaged("it holds rollups")));
}

/// Prometheus, history and the web page all show the quantile of all values, not the mean of several quantiles.
#[test]
fn a_quantile_of_a_longer_time_is_that_of_the_merged_histogram() {
    let latency = |counts: &[(u16, u64)]| {
        let histogram = crate::snapshot::histogram::Histogram::from_counts(
            crate::snapshot::histogram::Unit::Nanoseconds,
            counts.iter().copied(),
            1_000_000,
            u64::MAX >> 1,
        );
        serde_json::to_value(crate::snapshot::latency::Latency::of(histogram)).unwrap()
    };
    // 999 fast waits, then a single slow one: the overall 99th percentile is fast.
    let fast = serde_json::json!({"off_cpu": latency(&[(160, 999)])});
    let slow = serde_json::json!({"off_cpu": latency(&[(400, 1)])});
    let all = [
        crate::history::testing::reading(MetricType::Scheduler, 0, &fast),
        crate::history::testing::reading(MetricType::Scheduler, 1, &slow),
    ];
    let mut json = Vec::new();
    write_json(&sum(&all), everything(MetricType::Scheduler), Show::Average, &mut json);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["off_cpu"]["p99_us"], fast["off_cpu"]["p99_us"]);
    assert_eq!(json["off_cpu"]["max_us"], slow["off_cpu"]["max_us"]);
}
