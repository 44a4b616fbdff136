use super::*;
use crate::snapshot::{MetricType, Reading};
use time::OffsetDateTime;

fn snapshot(second: i64) -> Arc<Snapshot> {
    let at = OffsetDateTime::from_unix_timestamp(second).unwrap();
    let reading = Reading::new(MetricType::Cpu, at, &serde_json::json!({ "interrupts": second })).unwrap();
    Arc::new(Snapshot::new(at, vec![reading]))
}

fn second(update: &Update) -> i64 {
    update.snapshot.timestamp.unix_timestamp()
}

#[tokio::test]
async fn a_new_subscriber_sees_the_newest_at_once() {
    let hub = Hub::default();
    hub.publish(&snapshot(1));
    hub.publish(&snapshot(2));
    let mut subscription = hub.subscribe();
    let update = subscription.next().await;
    assert_eq!((second(&update), update.skipped), (2, 0));
    assert_eq!(hub.latest().unwrap().timestamp.unix_timestamp(), 2);
}

#[tokio::test]
async fn one_that_comes_before_the_first_snapshot_waits_for_it() {
    let hub = Hub::default();
    let mut subscription = hub.subscribe();
    let waiting = tokio::spawn(async move { subscription.next().await });
    tokio::task::yield_now().await;
    hub.publish(&snapshot(1));
    let update = waiting.await.unwrap();
    assert_eq!((second(&update), update.skipped), (1, 0));
}

#[tokio::test]
async fn a_slow_subscriber_skips_to_the_newest_and_learns_how_many_it_missed() {
    let hub = Hub::default();
    let mut subscription = hub.subscribe();
    hub.publish(&snapshot(1));
    assert_eq!(subscription.next().await.skipped, 0);
    for i in 2..=5 {
        hub.publish(&snapshot(i));
    }
    let update = subscription.next().await;
    assert_eq!((second(&update), update.skipped), (5, 3));
}

fn seconds(past: &[Arc<Snapshot>]) -> Vec<i64> {
    past.iter().map(|snapshot| snapshot.timestamp.unix_timestamp()).collect()
}

#[tokio::test]
async fn bridge_and_live_neither_repeat_nor_miss() {
    let hub = Hub::default();
    for i in 1..=7 {
        hub.publish(&snapshot(i));
    }
    let (past, mut subscription) = hub.subscribe_with_bridge();
    assert_eq!(seconds(&past), [4, 5, 6]);
    assert_eq!(second(&subscription.next().await), 7);
}

#[test]
fn subscribers_are_counted_while_they_live() {
    let hub = Hub::default();
    let (a, b) = (hub.subscribe(), hub.subscribe());
    assert_eq!(hub.subscribers(), 2);
    drop((a, b));
    assert_eq!(hub.subscribers(), 0);
}

#[test]
fn all_subscribers_share_one_serialization() {
    let hub = Hub::default();
    hub.publish(&snapshot(1));
    let (a, b) = (hub.latest().unwrap().message(), hub.latest().unwrap().message());
    assert_eq!(a.as_ptr(), b.as_ptr());
}

#[tokio::test]
async fn who_watched_before_an_earlier_run_was_read_learns_that_there_is_more() {
    let hub = Hub::default();
    hub.publish(&snapshot(3));
    let early = hub.subscribe();
    assert!(!early.missed_past());
    hub.past_restored();
    assert!(early.missed_past());
    assert!(!hub.subscribe().missed_past());
}
