use super::*;
use crate::history::chunk::Block;
use crate::history::testing::{readings, snapshot};
use crate::snapshot::selection::Selection;
use proptest::prelude::*;

fn times(sealed: &Sealed) -> Vec<i64> {
    let chunk = &sealed.chunks[0];
    Block::decode(&chunk.data, Selection::all(chunk.metric_type)).unwrap().times().to_vec()
}

fn open(dir: &Path) -> Log {
    Log::open(dir, 1 << 20).unwrap()
}

#[test]
fn what_was_noted_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    (0..5).for_each(|second| log.note(&snapshot(second)).unwrap());
    log.end_slot();
    (60..63).for_each(|second| log.note(&snapshot(second)).unwrap());
    assert_eq!((log.len(), log.snapshots()), (2, 8));
    drop(log);
    let mut log = open(dir.path());
    for expected in [5, 3] {
        let replayed = log.oldest().unwrap().unwrap();
        assert_eq!((replayed.sealed.snapshots, replayed.damaged), (expected, 0));
        assert_eq!(times(&replayed.sealed).len() as u64, expected);
        log.forget_oldest().unwrap();
    }
    assert!(log.oldest().unwrap().is_none());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_record_that_is_cut_off_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    (0..4).for_each(|second| log.note(&snapshot(second)).unwrap());
    drop(log);
    let path = dir.path().join("000000000001.log");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let replayed = open(dir.path()).oldest().unwrap().unwrap();
    assert_eq!(replayed.sealed.snapshots, 3);
    assert!(replayed.damaged > 0);
}

/// The disk takes nothing for a while: each slot still has its own file, and none is taken for another.
#[test]
fn slots_that_could_not_be_written_are_not_taken_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    // What stands in the way of the second slot's file.
    std::fs::create_dir(dir.path().join("000000000002.log")).unwrap();
    log.note(&snapshot(0)).unwrap();
    log.end_slot();
    assert!(log.note(&snapshot(60)).is_err());
    assert!(log.note(&snapshot(61)).is_err());
    log.end_slot();
    log.note(&snapshot(120)).unwrap();
    assert_eq!(log.len(), 3);
    log.forget_oldest().unwrap();
    std::fs::remove_dir(dir.path().join("000000000002.log")).unwrap();
    log.forget_oldest().unwrap();
    log.note(&snapshot(121)).unwrap();
    drop(log);
    let replayed = open(dir.path()).oldest().unwrap().unwrap();
    assert_eq!(replayed.sealed.snapshots, 2);
}

#[test]
fn a_slot_that_could_not_be_written_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    std::fs::create_dir(dir.path().join("000000000001.log")).unwrap();
    assert!(log.note(&snapshot(0)).is_err());
    log.end_slot();
    std::fs::remove_dir(dir.path().join("000000000001.log")).unwrap();
    log.note(&snapshot(60)).unwrap();
    log.end_slot();
    assert_eq!(log.oldest().unwrap().unwrap().sealed.snapshots, 1);
    assert_eq!(log.len(), 1);
}

#[test]
fn what_cannot_be_read_at_all_is_set_aside_and_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("000000000001.log"), [0; 300]).unwrap();
    std::fs::write(dir.path().join("000000000002.chunks"), b"\xff\xff\xff").unwrap();
    let mut log = open(dir.path());
    log.note(&snapshot(1)).unwrap();
    log.end_slot();
    assert_eq!(log.oldest().unwrap().unwrap().sealed.snapshots, 1);
    let aside = std::fs::read_dir(dir.path()).unwrap().flatten();
    let aside: Vec<_> =
        aside.map(|entry| entry.path()).filter(|path| path.extension().unwrap() == DAMAGED).collect();
    assert_eq!(aside.len(), 2);
}

#[test]
fn slots_that_wait_long_are_packed_and_read_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let mut block = Block::new(MetricType::Cpu);
    for second in 0..60 {
        log.note(&snapshot(second)).unwrap();
        block.push(&snapshot(second).readings[0]);
    }
    log.end_slot();
    log.note(&snapshot(60)).unwrap();
    let sealed = Sealed { chunks: pack(&[block]).into(), minutes: None, snapshots: 60 };
    let before = log.bytes();
    assert_eq!(log.pack(&sealed, 1).unwrap(), 0);
    assert!(log.bytes() < before, "{} of {before} bytes", log.bytes());
    drop(log);
    let mut log = open(dir.path());
    let replayed = log.oldest().unwrap().unwrap();
    assert_eq!((replayed.sealed.snapshots, times(&replayed.sealed)), (60, times(&sealed)));
    log.forget_oldest().unwrap();
    assert_eq!(log.oldest().unwrap().unwrap().sealed.snapshots, 1);
}

#[test]
fn a_full_log_drops_the_oldest_and_counts_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), 2000).unwrap();
    let mut dropped = 0;
    for slot in 0..20 {
        let mut block = Block::new(MetricType::Cpu);
        for second in 0..10 {
            let snapshot = snapshot(slot * 60 + second);
            log.note(&snapshot).unwrap();
            block.push(&snapshot.readings[0]);
        }
        log.end_slot();
        dropped +=
            log.pack(&Sealed { chunks: pack(&[block]).into(), minutes: None, snapshots: 10 }, 0).unwrap();
        assert!(log.bytes() <= 2000, "{}", log.bytes());
    }
    assert_eq!(dropped + log.snapshots(), 200);
    assert!(dropped > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn records_come_back(cpu in readings(MetricType::Cpu, 6), network in readings(MetricType::Network, 6)) {
        let mut bytes = Vec::new();
        let mut noted: Vec<Snapshot> = Vec::new();
        for (cpu, network) in cpu.into_iter().zip(network) {
            let at = cpu.at;
            let network = crate::snapshot::Reading::from_tables(
                MetricType::Network, at, network.error.clone(), network.tables().to_vec(),
            );
            let snapshot = Snapshot::new(at, vec![cpu, network]);
            record::put(&snapshot, noted.last(), &mut bytes);
            noted.push(snapshot);
        }
        let mut rest = &bytes[..];
        let mut before: Option<Snapshot> = None;
        for expected in &noted {
            let (snapshot, after) = record::take(rest, before.as_ref()).unwrap();
            prop_assert_eq!(&snapshot.readings, &expected.readings);
            before = Some(snapshot);
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = replay(&[&HEADER[..], &bytes].concat());
        let _ = record::take_chunks(&bytes);
    }
}
