//! Fuzz targets of the chunk reader: whatever a store returns is refused or read, without a panic and in bounded memory.

use proptest::prelude::*;

use super::bytes::{Bytes, put_count};
use super::*;
use crate::history::bucket::{Bucket, Show, write_json};
use crate::history::micros;
use crate::history::testing::readings;
use crate::history::tier::Tier;
use crate::mutation::{Mutation, mutate, mutations};
use crate::snapshot::MetricType;
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;

/// Magic number, version and checksum.
const HEAD: usize = 8;

/// A chunk with mutations in its directory, before compression, and in its columns; the checksum is right.
fn forged(chunk: &[u8], directory: &[Mutation], columns: &[Mutation]) -> Vec<u8> {
    let mut bytes = Bytes::new(&chunk[HEAD..]);
    let length = bytes.count(1 << 24).unwrap();
    let packed = bytes.count(1 << 24).unwrap();
    let mut plain = zstd::bulk::decompress(bytes.take(packed).unwrap(), length).unwrap();
    let mut rest = bytes.rest().to_vec();
    mutate(&mut plain, directory);
    mutate(&mut rest, columns);
    let packed = zstd::bulk::compress(&plain, 1).unwrap();
    let mut body = Vec::new();
    put_count(plain.len(), &mut body);
    put_count(packed.len(), &mut body);
    body.extend_from_slice(&packed);
    body.extend_from_slice(&rest);
    sealed(chunk, &body)
}

fn sealed(chunk: &[u8], body: &[u8]) -> Vec<u8> {
    [&chunk[..4], &crc32fast::hash(body).to_le_bytes(), body].concat()
}

/// Reads everything that a question could.
fn read(chunk: &[u8], metric_type: MetricType) {
    let layout = Layout::of(metric_type);
    let some = Selection::of(layout, &["per_core".to_owned(), "interfaces".to_owned()]);
    let mut json = Vec::new();
    for selection in [Selection::all(metric_type), &some] {
        if let Ok(block) = Block::decode(chunk, selection)
            && block.metric_type() == metric_type
        {
            (0..block.times().len()).for_each(|n| block.write_json(n, selection, &mut json));
            let mut sum = Bucket::new(metric_type);
            block.readings().for_each(|reading| sum.add(&reading));
            let _ = block.union(&block).encode();
        }
        if let Ok(buckets) = Buckets::decode(chunk, selection) {
            let numbers = selection.numbers(layout);
            for (n, (at, bucket)) in buckets.iter().enumerate() {
                if bucket.metric_type() == metric_type {
                    write_json(&buckets.at(n), selection, Show::Average, &mut json);
                    write_json(&buckets.at(n), &numbers, Show::Max, &mut json);
                    let mut twice = bucket.clone();
                    twice.merge(&bucket);
                    let _ = encode_buckets(metric_type, 60, &[(at, &twice)]);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn mutated_chunks_are_refused_or_read(
        (metric_type, all) in proptest::sample::select(&MetricType::ALL[..])
            .prop_flat_map(|of| readings(of, 20).prop_map(move |all| (of, all))),
        directory in mutations(),
        columns in mutations(),
        body in mutations(),
    ) {
        let mut block = Block::new(metric_type);
        let mut minutes: Vec<(i64, Bucket)> = Vec::new();
        for reading in &all {
            block.push(reading);
            let minute = Tier::Minute.floor(micros(reading.at));
            if minutes.last().is_none_or(|(at, _)| *at != minute) {
                minutes.push((minute, Bucket::new(metric_type)));
            }
            if let Some((_, bucket)) = minutes.last_mut() {
                bucket.add(reading);
            }
        }
        let minutes: Vec<(i64, &Bucket)> = minutes.iter().map(|(at, bucket)| (*at, bucket)).collect();
        for chunk in [block.encode(), encode_buckets(metric_type, 60, &minutes)] {
            read(&chunk, metric_type);
            read(&forged(&chunk, &directory, &[]), metric_type);
            read(&forged(&chunk, &[], &columns), metric_type);
            read(&forged(&chunk, &directory, &columns), metric_type);
            let mut wrong = chunk[HEAD..].to_vec();
            mutate(&mut wrong, &body);
            read(&sealed(&chunk, &wrong), metric_type);
        }
    }
}
