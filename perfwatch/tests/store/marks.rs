//! Marks: what was noted of a machine.

use perfwatch::store::marks::Mark;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::{Fresh, HOST, on_every_engine};

on_every_engine!(marks_are_found_by_their_time, only_so_many_marks_are_kept);

const NOON: OffsetDateTime = datetime!(2026-02-01 12:00:00.000_001 UTC);

fn mark(minute: i64) -> Mark {
    Mark {
        id: 0,
        at: NOON + Duration::minutes(minute),
        username: "ann".into(),
        text: format!("minute {minute} — ‘naïve’"),
        labels: r#"{"version":"1.42"}"#.into(),
    }
}

async fn found(fresh: &Fresh, host: &str, minutes: std::ops::RangeInclusive<i64>, limit: i64) -> Vec<Mark> {
    let at = |minute: &i64| NOON + Duration::minutes(*minute);
    fresh.store.marks(host, at(minutes.start()), at(minutes.end()), limit).await.unwrap()
}

async fn marks_are_found_by_their_time(fresh: &Fresh) {
    let mut noted = Vec::new();
    for minute in [5, 1, 3] {
        let id = fresh.store.add_mark(HOST, &mark(minute), 100).await.unwrap();
        noted.push(Mark { id, ..mark(minute) });
    }
    fresh.store.add_mark("another", &mark(2), 100).await.unwrap();
    let [five, one, three] = noted.try_into().unwrap();
    assert_eq!(found(fresh, HOST, 1..=5, 100).await, [one.clone(), three.clone(), five.clone()]);
    assert_eq!(found(fresh, HOST, 1..=5, 2).await, [three.clone(), five]);
    assert_eq!(found(fresh, HOST, 1..=4, 100).await, [one, three]);
    assert_eq!(found(fresh, HOST, 6..=9, 100).await, []);
}

async fn only_so_many_marks_are_kept(fresh: &Fresh) {
    fresh.store.add_mark("another", &mark(0), 3).await.unwrap();
    for minute in 1..=7 {
        fresh.store.add_mark(HOST, &mark(minute), 3).await.unwrap();
    }
    let minutes: Vec<_> = found(fresh, HOST, 0..=9, 100).await.iter().map(|kept| kept.at).collect();
    assert_eq!(minutes, [5, 6, 7].map(|minute| NOON + Duration::minutes(minute)));
    assert_eq!(found(fresh, "another", 0..=9, 100).await.len(), 1);
}
