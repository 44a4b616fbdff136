use super::*;
use crate::history::chunk::Block;
use crate::history::testing::{readings, snapshot};
use crate::mutation::{mutate, mutations};
use proptest::prelude::*;

fn times(sealed: &Sealed) -> Vec<i64> {
    let chunk = &sealed.chunks[0];
    Block::of(chunk).unwrap().times().to_vec()
}

fn open(dir: &Path) -> Log {
    Log::open(dir, 1 << 20).unwrap()
}

#[test]
fn what_was_noted_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    (0..5).for_each(|second| log.note(1, &snapshot(second)).unwrap());
    (60..63).for_each(|second| log.note(2, &snapshot(second)).unwrap());
    assert_eq!((log.len(), log.snapshots()), (2, 8));
    drop(log);
    let mut log = open(dir.path());
    for expected in [5, 3] {
        let slot = log.oldest().unwrap();
        assert!(slot <= 0, "{slot} is of an earlier run");
        let replayed = log.read(slot).unwrap().unwrap();
        assert_eq!((replayed.sealed.snapshots, replayed.damaged), (expected, 0));
        assert_eq!(times(&replayed.sealed).len() as u64, expected);
        log.forget(slot).unwrap();
    }
    assert!(log.is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Data after the damage can't be read either: it is kept aside, and what came before is stored.
#[test]
fn a_log_is_cut_where_it_is_damaged_and_the_rest_kept_aside() {
    let noted = |dir: &Path| {
        let mut log = open(dir);
        (0..4).for_each(|second| log.note(1, &snapshot(second)).unwrap());
        let path = dir.join("000000000001.log");
        let ends: Vec<usize> = (1..4)
            .map(|count| {
                let mut bytes = HEADER.to_vec();
                let snapshots: Vec<_> = (0..count).map(snapshot).collect();
                let before = |n: usize| n.checked_sub(1).map(|n| &*snapshots[n]);
                (0..snapshots.len()).for_each(|n| record::put(&snapshots[n], before(n), &mut bytes));
                bytes.len()
            })
            .collect();
        (path.clone(), std::fs::read(path).unwrap(), ends)
    };
    for (flipped, cut) in [(None, Some(3)), (Some(2), None), (Some(0), None)] {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut bytes, ends) = noted(dir.path());
        if let Some(record) = flipped {
            bytes[ends[record] + 9] ^= 0x40;
        }
        bytes.truncate(bytes.len() - cut.unwrap_or(0));
        std::fs::write(&path, &bytes).unwrap();
        let whole = flipped.map_or(3, |record| record + 1);
        let mut log = open(dir.path());
        let replayed = log.read(0).unwrap().unwrap();
        assert_eq!(replayed.sealed.snapshots, whole as u64);
        assert_eq!(replayed.damaged, bytes.len() - ends[whole - 1]);
        assert_eq!(std::fs::read(path.with_extension(DAMAGED)).unwrap(), bytes[ends[whole - 1]..]);
        // Only once: reading it again finds no damage.
        assert_eq!(log.read(0).unwrap().unwrap().damaged, 0);
    }
}

/// The disk rejects writes for a while: each slot still has its own file, and none is mistaken for another.
#[test]
fn slots_that_could_not_be_written_are_not_taken_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    // Blocks the second slot's file.
    let obstacle = dir.path().join("000000000002.log");
    std::fs::create_dir(&obstacle).unwrap();
    log.note(1, &snapshot(0)).unwrap();
    assert!(log.note(2, &snapshot(60)).is_err());
    assert!(log.note(2, &snapshot(61)).is_err());
    log.note(3, &snapshot(120)).unwrap();
    assert_eq!((log.snapshots_of(1), log.snapshots_of(2), log.snapshots_of(3)), (1, 0, 1));
    log.forget(1).unwrap();
    std::fs::remove_dir(obstacle).unwrap();
    assert!(log.read(2).unwrap().is_none());
    assert_eq!(log.oldest(), Some(3));
    log.note(3, &snapshot(121)).unwrap();
    drop(log);
    assert_eq!(open(dir.path()).read(0).unwrap().unwrap().sealed.snapshots, 2);
}

#[test]
fn what_cannot_be_read_at_all_is_set_aside_and_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("000000000001.log"), [0; 300]).unwrap();
    std::fs::write(dir.path().join("000000000002.chunks"), b"\xff\xff\xff").unwrap();
    let mut log = open(dir.path());
    log.note(1, &snapshot(1)).unwrap();
    while let Some(slot) = log.oldest()
        && slot < 1
    {
        assert!(log.read(slot).unwrap().is_none());
    }
    assert_eq!(log.read(1).unwrap().unwrap().sealed.snapshots, 1);
    let aside = std::fs::read_dir(dir.path()).unwrap().flatten();
    let aside: Vec<_> =
        aside.map(|entry| entry.path()).filter(|path| path.extension().unwrap() == DAMAGED).collect();
    assert_eq!(aside.len(), 2);
}

/// A file that can't be read or removed stays in place, and doesn't block anything.
#[test]
fn what_the_disk_does_not_give_back_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.note(1, &snapshot(0)).unwrap();
    log.note(2, &snapshot(60)).unwrap();
    let path = dir.path().join("000000000001.log");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(log.read(1).is_err());
    log.leave(1);
    assert_eq!(log.oldest(), Some(2));
    assert!(path.exists());
    // Something that isn't a file isn't mistaken for one.
    assert_eq!(open(dir.path()).len(), 1);
}

#[test]
fn slots_that_wait_long_are_packed_and_read_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let mut block = Block::new(MetricType::Cpu);
    for second in 0..60 {
        log.note(1, &snapshot(second)).unwrap();
        block.push(&snapshot(second).readings[0]);
    }
    log.note(2, &snapshot(60)).unwrap();
    let sealed = Sealed { slot: 1, chunks: pack(&[block]).into(), minutes: None, snapshots: 60 };
    let before = log.bytes();
    log.pack(&sealed).unwrap();
    assert!(log.bytes() < before, "{} of {before} bytes", log.bytes());
    drop(log);
    let mut log = open(dir.path());
    let replayed = log.read(-1).unwrap().unwrap();
    assert_eq!((replayed.sealed.snapshots, times(&replayed.sealed)), (60, times(&sealed)));
    log.forget(-1).unwrap();
    assert_eq!(log.read(0).unwrap().unwrap().sealed.snapshots, 1);
}

/// While neither store nor disk accepted writes, it was in memory; once the disk accepts writes again, it is on disk.
#[test]
fn a_slot_that_could_not_be_noted_is_packed_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.note(1, &snapshot(0)).unwrap();
    log.note(3, &snapshot(120)).unwrap();
    let mut block = Block::new(MetricType::Cpu);
    block.push(&snapshot(60).readings[0]);
    log.pack(&Sealed { slot: 2, chunks: pack(&[block]).into(), minutes: None, snapshots: 1 }).unwrap();
    drop(log);
    let mut log = open(dir.path());
    let mut seconds = Vec::new();
    while let Some(slot) = log.oldest() {
        seconds.extend(times(&log.read(slot).unwrap().unwrap().sealed));
        log.forget(slot).unwrap();
    }
    assert_eq!(seconds, [0, 60, 120].map(|second| crate::history::micros(snapshot(second).timestamp)));
}

#[test]
fn a_full_log_drops_the_oldest_and_counts_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut slots = 1..;
    let mut dropped = 0;
    // The second run finds the first run's files.
    for _ in 0..2 {
        let mut log = Log::open(dir.path(), 2000).unwrap();
        for slot in 1..=10 {
            let mut block = Block::new(MetricType::Cpu);
            let minute = slots.next().unwrap();
            for second in 0..10 {
                let snapshot = snapshot(minute * 60 + second);
                log.note(slot, &snapshot).unwrap();
                block.push(&snapshot.readings[0]);
            }
            let chunks = pack(&[block]).into();
            log.pack(&Sealed { slot, chunks, minutes: None, snapshots: 10 }).unwrap();
            dropped += log.bound().unwrap();
            assert!(log.bytes() <= 2000, "{}", log.bytes());
        }
    }
    let mut log = open(dir.path());
    let mut left = 0;
    while let Some(slot) = log.oldest() {
        left += log.read(slot).unwrap().unwrap().sealed.snapshots;
        log.forget(slot).unwrap();
    }
    assert_eq!(dropped + left, 200);
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

proptest! {
    /// Whatever is on disk is replayed as far as it can be read.
    #[test]
    fn mutated_records_are_refused_or_read(all in readings(MetricType::Network, 6), mutations in mutations()) {
        let mut bytes = Vec::new();
        let mut before = None;
        let mut ends = vec![0];
        for reading in all {
            let snapshot = Snapshot::new(reading.at, vec![reading]);
            record::put(&snapshot, before.as_ref(), &mut bytes);
            before = Some(snapshot);
            ends.push(bytes.len());
        }
        // A valid length and checksum, as someone with access to the disk could write them.
        let mut forged = HEADER.to_vec();
        for ends in ends.windows(2) {
            let mut body = bytes[ends[0] + 8..ends[1]].to_vec();
            mutate(&mut body, &mutations);
            forged.extend_from_slice(&(body.len() as u32).to_le_bytes());
            forged.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
            forged.extend_from_slice(&body);
        }
        let _ = replay(&forged);
        let mut damaged = [&HEADER[..], &bytes].concat();
        mutate(&mut damaged, &mutations);
        let _ = replay(&damaged);
    }

    #[test]
    fn mutated_chunks_of_a_slot_are_refused_or_read(all in readings(MetricType::Cpu, 6), mutations in mutations()) {
        let mut block = Block::new(MetricType::Cpu);
        assert!(all.iter().all(|reading| block.push(reading)));
        let mut bytes = Vec::new();
        record::put_chunks(
            &Sealed { slot: 1, chunks: pack(&[block]).into(), minutes: None, snapshots: 6 },
            &mut bytes,
        );
        prop_assert!(record::take_chunks(&bytes).is_ok());
        mutate(&mut bytes, &mutations);
        let _ = record::take_chunks(&bytes);
    }
}
