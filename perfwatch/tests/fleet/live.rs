//! Ticks over NATS itself: when they are sent, how often, and how large they may be.

use bytes::Bytes;
use futures_util::StreamExt;
use perfwatch::fleet::hub::watching::{State, Watching};
use perfwatch::fleet::live::{Live, Ticks};
use serde_json::Value;

use super::*;

/// With numbers that can't be compressed.
pub fn large(second: i64, numbers: u64) -> Snapshot {
    let mut state = 1 + second.unsigned_abs();
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64
    };
    let per_core: Vec<f64> = (0..numbers).map(|_| next()).collect();
    let cpu = readings::reading(MetricType::Cpu, at(second), &json!({"per_core": per_core}));
    Snapshot::new(at(second), vec![cpu])
}

async fn message(ticks: &perfwatch::stream::Hub, second: i64) -> Bytes {
    let wanted = async || ticks.latest().filter(|tick| tick.timestamp == at(second));
    until("a tick", wanted).await.message()
}

/// The times of the ticks that were published, each as often as it was begun.
async fn published(messages: &mut async_nats::Subscriber) -> Vec<i64> {
    let mut seconds = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(400), messages.next()).await {
        let payload = &message.payload;
        if payload.len() > 16 && payload.starts_with(b"PWP\x01") && payload[12..14] == [0, 0] {
            let micros = i64::from_le_bytes(payload[4..12].try_into().unwrap());
            seconds.push(micros / 1_000_000 - START.unix_timestamp());
        }
    }
    seconds
}

#[tokio::test]
async fn ticks_are_sent_once_while_someone_watches_and_only_then() {
    const TEST: &str = "ticks_are_sent_once_while_someone_watches_and_only_then";
    let started = nats::Nats::start_with("max_payload: 4096", "").await;
    let Some(nats) = or_skipped(TEST, started) else { return };
    let connect = async || async_nats::connect(nats.url()).await.unwrap();
    let anyone = connect().await;
    let mut listening = anyone.subscribe("perfwatch.v1.live.>").await.unwrap();
    let ticks = Ticks::default();
    let _live = Live::spawn(connect().await, HOST, &ticks);
    let watch_subject = "perfwatch.v1.watch.web~1";
    // None of these is a lease.
    let deep = "[".repeat(900);
    for nonsense in [
        "",
        "{",
        "7",
        &deep,
        r#"{"host":"other","seconds":15}"#,
        r#"{"host":"web.1","seconds":0}"#,
        r#"{"host":"web.1","seconds":-1}"#,
        r#"{"host":"web.1"}"#,
        &" ".repeat(4000),
    ] {
        anyone.publish(watch_subject, nonsense.to_owned().into()).await.unwrap();
        ticks.publish(&Arc::new(snapshot(0)));
    }
    assert_eq!(published(&mut listening).await, [0_i64; 0], "nobody watches");

    // Two hubs, each with two who watch.
    let hubs = [connect().await, connect().await].map(|client| Watching::new(client, Presence::default()));
    let mut watched = Vec::new();
    for hub in &hubs {
        watched.push(hub.watch(HOST));
        watched.push(hub.watch(HOST));
    }
    assert!(Arc::ptr_eq(&watched[0], &watched[1]) && !Arc::ptr_eq(&watched[1], &watched[2]));
    for watched in &watched {
        assert_eq!(message(&watched.hub, 0).await, snapshot(0).message(), "the newest comes at once");
    }
    ticks.publish(&Arc::new(snapshot(1)));
    for watched in &watched {
        assert_eq!(message(&watched.hub, 1).await, snapshot(1).message());
    }
    let times = published(&mut listening).await;
    assert_eq!(times.iter().filter(|second| **second == 1).count(), 1, "once for all: {times:?}");

    // What is no tick shows nothing, and harms nothing.
    let sound = perfwatch::fleet::parts::split(9, b"{\"type\":\"metrics\",\"timestamp\":7}", 4096).unwrap();
    for nonsense in
        [Bytes::from_static(b"PWP\x01"), Bytes::from_static(b"hello"), Bytes::new(), sound[0].clone()]
    {
        anyone.publish("perfwatch.v1.live.web~1", nonsense).await.unwrap();
    }
    // In several parts.
    let tick = large(2, 1500);
    ticks.publish(&Arc::new(large(2, 1500)));
    assert!(tick.message().len() > 8192);
    assert_eq!(message(&watched[2].hub, 2).await, tick.message());
    // More than is sent: every document says why.
    ticks.publish(&Arc::new(large(3, 60_000).every(Duration::from_secs(1))));
    let told: Value = serde_json::from_slice(&message(&watched[0].hub, 3).await).unwrap();
    let error = told["data"]["cpu"]["_error"].as_str().unwrap().to_owned();
    assert!(error.contains("max_payload is ") && told["data"]["cpu"]["per_core"].is_null(), "{error}");

    // However long a lease claims to be, it ends.
    let forever = json!({"host": HOST, "seconds": u64::MAX}).to_string();
    anyone.publish(watch_subject, forever.into()).await.unwrap();
    anyone.flush().await.unwrap();
    let mut state = watched[0].state();
    assert_eq!(*state.borrow_and_update(), State::Live);
    drop(watched.drain(1..));
    // Without ticks, it is told that the host is silent since the last.
    state.wait_for(|state| *state == State::Silent(Some(at(3)))).await.unwrap();
    ticks.publish(&Arc::new(snapshot(4)));
    state.wait_for(|state| *state == State::Live).await.unwrap();
    drop(watched);
    let ended = Instant::now();
    let mut second = 4;
    until("the end of the lease", async || {
        second += 1;
        ticks.publish(&Arc::new(snapshot(second)));
        published(&mut listening).await.is_empty().then_some(())
    })
    .await;
    assert!(ended.elapsed() < Duration::from_secs(25), "{:?}", ended.elapsed());
}
