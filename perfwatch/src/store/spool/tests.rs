use super::*;
use crate::snapshot::MetricType;
use std::time::Duration;
use time::macros::datetime;

fn snapshot(second: u64) -> Vec<Row> {
    let timestamp = datetime!(2026-01-01 00:00:00 UTC) + Duration::from_secs(second);
    [MetricType::Cpu, MetricType::Tcp]
        .map(|metric_type| Row {
            timestamp,
            metric_type,
            json: format!(
                r#"{{"second":{second},"noise":"{:x}"}}"#,
                second.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
            .into(),
        })
        .into()
}

fn push(spool: &mut Spool, seconds: std::ops::Range<u64>) -> u64 {
    let snapshots: Vec<_> = seconds.map(snapshot).collect();
    let mut written = 0;
    let dropped = spool.push(&snapshots, &mut written).unwrap();
    assert_eq!(written, snapshots.len());
    dropped
}

/// The seconds that a replay gives, each checked to be whole.
fn drain(spool: &mut Spool) -> Vec<u64> {
    let mut seconds = Vec::new();
    loop {
        let rows = spool.oldest().unwrap();
        if rows.is_empty() {
            assert_eq!((spool.len(), spool.bytes()), (0, 0));
            return seconds;
        }
        for pair in rows.chunks(2) {
            let second =
                (pair[0].timestamp - datetime!(2026-01-01 00:00:00 UTC)).whole_seconds().unsigned_abs();
            let expected = snapshot(second);
            assert!(
                pair.iter().zip(&expected).all(|(a, b)| a.json == b.json && a.metric_type == b.metric_type)
            );
            seconds.push(second);
        }
        spool.advance().unwrap();
    }
}

#[test]
fn what_was_pushed_comes_back_in_order_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
    assert!(spool.oldest().unwrap().is_empty());
    push(&mut spool, 0..100);
    drop(spool);
    let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
    assert_eq!(spool.len(), 100);
    push(&mut spool, 100..150);
    assert_eq!(drain(&mut spool), (0..150).collect::<Vec<_>>());
    push(&mut spool, 150..160);
    assert_eq!(drain(&mut spool), (150..160).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a drained spool leaves no files");
}

#[test]
fn what_was_not_advanced_past_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
    push(&mut spool, 0..3);
    let first = spool.oldest().unwrap().len();
    push(&mut spool, 3..4);
    assert_eq!((first, spool.oldest().unwrap().len()), (6, 8));
    assert_eq!(drain(&mut spool), [0, 1, 2, 3]);
}

#[test]
fn the_oldest_makes_room_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let max = 16 << 10;
    let mut spool = Spool::open(dir.path(), max).unwrap();
    let mut dropped = 0;
    for second in 0..500 {
        dropped += push(&mut spool, second..second + 1);
        assert!(spool.bytes() <= max);
    }
    let on_disk: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= max, "{on_disk}");
    assert!(dropped > 0 && spool.bytes() > max * 3 / 4);
    assert_eq!(drain(&mut spool), (dropped..500).collect::<Vec<_>>());
}

#[test]
fn dropping_what_is_being_replayed_does_not_confuse() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 16 << 10).unwrap();
    push(&mut spool, 0..50);
    assert!(!spool.oldest().unwrap().is_empty());
    let dropped = push(&mut spool, 50..400);
    // The chunk is stored meanwhile, but it is not what is oldest now.
    spool.advance().unwrap();
    assert_eq!(drain(&mut spool), (dropped..400).collect::<Vec<_>>());
}

#[test]
fn a_record_cut_short_by_a_crash_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
    push(&mut spool, 0..10);
    let path = spool.path(1);
    drop(spool);
    let whole = std::fs::read(&path).unwrap();
    for cut in 1..40 {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
        push(&mut spool, 10..12);
        assert_eq!(drain(&mut spool), (0..9).chain(10..12).collect::<Vec<_>>());
    }
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
    let left = drain(&mut spool);
    assert!(left.len() < 10 && left.iter().copied().eq(0..left.len() as u64), "{left:?}");
}

#[test]
fn a_failed_write_leaves_no_half_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
    push(&mut spool, 0..5);
    // A file opened for reading refuses writes, as a full disk does.
    spool.tail = Some(File::open(spool.path(1)).unwrap());
    let mut written = 0;
    assert!(spool.push(&[snapshot(5)], &mut written).is_err());
    assert_eq!(written, 0);
    push(&mut spool, 6..8);
    assert_eq!(drain(&mut spool), [0, 1, 2, 3, 4, 6, 7]);
}

#[test]
fn what_was_noted_comes_back_like_what_was_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 16 << 10).unwrap();
    push(&mut spool, 0..20);
    let snapshots: Vec<_> = (20..60).map(snapshot).collect();
    let mut written = 0;
    spool.note(&snapshots, &mut written).unwrap();
    assert_eq!(written, 40);
    let mut spool = Spool::open(dir.path(), 16 << 10).unwrap();
    assert_eq!(drain(&mut spool), (0..60).collect::<Vec<_>>());
}

#[test]
fn what_is_stored_is_forgotten_record_by_record_and_file_by_file() {
    for forgotten in [0, 1, 7, 30, 59, 60] {
        let dir = tempfile::tempdir().unwrap();
        // Files of 1 KiB.
        let mut spool = Spool::open(dir.path(), 16 << 10).unwrap();
        let mut written = 0;
        spool.note(&(0..60).map(snapshot).collect::<Vec<_>>(), &mut written).unwrap();
        assert!(spool.files.len() > 2);
        spool.forget(forgotten).unwrap();
        assert_eq!(spool.len(), 60 - forgotten);
        push(&mut spool, 60..62);
        assert_eq!(drain(&mut spool), (forgotten..62).collect::<Vec<_>>());
    }
}

#[test]
fn a_long_snapshot_is_noted_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
    for length in [65_000, 65_535, 65_536, 200_000] {
        let json: bytes::Bytes = format!("\"{}\"", "x".repeat(length)).into();
        let row = Row { json: json.clone(), ..snapshot(1).swap_remove(0) };
        spool.note(&[vec![row]], &mut 0).unwrap();
        let rows = spool.oldest().unwrap();
        assert_eq!((rows.len(), &rows[0].json), (1, &json));
        spool.advance().unwrap();
    }
}
