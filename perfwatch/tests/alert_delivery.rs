//! Delivery of alerts to real receivers that fail, hang, redirect, and ask to wait.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perfwatch::alerts::delivery::{Delivery, Destinations, Times};
use perfwatch::alerts::service::Alerts;
use perfwatch::history::History;
use perfwatch::store::alerts::{AlertBatch, Event, Silence};
use perfwatch::store::{self, Store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HOST: &str = "0123abcd";
const TIMES: Times = Times {
    look: Duration::from_millis(10),
    timeout: Duration::from_millis(300),
    first_retry: Duration::from_millis(20),
    last_retry: Duration::from_millis(100),
};

/// What a receiver does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Reaction {
    Answer(&'static str),
    /// Reads it and never answers.
    Hang,
    /// Closes the connection amid it.
    Close,
}

/// One request: its head and its body.
type Request = (String, Value);

/// A receiver that reacts to its requests in turn, and takes all further ones.
struct Receiver {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    async fn start(reactions: &[Reaction]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut reactions) = (Arc::clone(&requests), VecDeque::from(reactions.to_vec()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reaction = reactions.pop_front().unwrap_or(Reaction::Answer("200 OK"));
                tokio::spawn(react(stream, reaction, Arc::clone(&kept)));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn react(mut stream: TcpStream, reaction: Reaction, requests: Arc<Mutex<Vec<Request>>>) {
    if reaction == Reaction::Close {
        return;
    }
    let mut read = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (head, body.to_owned());
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await.unwrap() {
            0 => return,
            count => read.extend_from_slice(&buffer[..count]),
        }
    };
    requests.lock().unwrap().push((head, serde_json::from_str(&body).unwrap()));
    match reaction {
        Reaction::Answer(status) => {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        _ => std::future::pending().await,
    }
}

fn event(episode: &str, kind: &str, severity: &str, at: i64) -> Event {
    let payload = json!({
        "event": kind, "episode": episode, "host": HOST, "rule": "disk-full", "labels": {"mountpoint": "/"},
        "severity": severity, "summary": "/ is full", "runbook": "delete", "at": format!("2026-01-01T00:00:{at:02}Z"),
        "raised_at": "2026-01-01T00:00:01Z", "value": 95.0, "peak": 95.0, "flapping": false, "reason": null,
    });
    Event {
        key: format!("{episode}:{kind}:{at}"),
        episode: episode.into(),
        kind: kind.into(),
        at,
        payload: payload.to_string(),
    }
}

async fn queued(events: Vec<Event>) -> (tempfile::TempDir, Arc<dyn Store>, Alerts) {
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    store.save_alerts(HOST, &AlertBatch { events, ..AlertBatch::default() }).await.unwrap();
    let history = History::new(store.clone(), HOST);
    let alerts = Alerts::new(store.clone(), history, dir.path().join("alerts.d"));
    (dir, store, alerts)
}

/// Delivers until nothing is queued.
async fn deliver(store: &Arc<dyn Store>, alerts: &Alerts, destinations: &Destinations) {
    let delivering = Delivery::new(alerts.clone(), destinations, TIMES).spawn();
    for _ in 0..1000 {
        if store.queued_events(HOST, 9).await.unwrap().is_empty() {
            delivering.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("events are never delivered");
}

fn webhook(url: &str) -> Destinations {
    Destinations { webhook: Some(url.to_owned()), webhook_key: Some("a key".into()), alertmanager: None }
}

fn keys(request: &Request) -> Vec<String> {
    request.1["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["key"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_receiver_that_fails_hangs_and_asks_to_wait_gets_everything_in_order() {
    let events = vec![event("e", "raised", "warning", 1), event("e", "cleared", "warning", 9)];
    let wanted: Vec<String> = events.iter().map(|event| event.key.clone()).collect();
    let (_dir, store, alerts) = queued(events).await;
    let receiver = Receiver::start(&[
        Reaction::Close,
        Reaction::Answer("500 Internal Server Error"),
        Reaction::Hang,
        Reaction::Answer("429 Too Many Requests\r\nRetry-After: 1"),
    ])
    .await;
    let since = std::time::Instant::now();
    deliver(&store, &alerts, &webhook(&receiver.url)).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4, "once more after each failure, and not again");
    assert!(requests.iter().all(|request| keys(request) == wanted));
    assert!(requests[0].0.contains("x-perfwatch-signature: sha256="), "{}", requests[0].0);
    assert!(since.elapsed() >= Duration::from_secs(1), "it was asked to wait that long");
    assert_eq!(requests[0].1["events"][0]["summary"], "/ is full");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (_dir, store, alerts) = queued(vec![event("e", "raised", "warning", 1)]).await;
    let inside = Receiver::start(&[]).await;
    let location = format!("302 Found\r\nLocation: {}", inside.url);
    let receiver = Receiver::start(&[Reaction::Answer(Box::leak(location.into_boxed_str()))]).await;
    deliver(&store, &alerts, &webhook(&receiver.url)).await;
    assert_eq!((receiver.requests().len(), inside.requests().len()), (2, 0));
}

#[tokio::test]
async fn a_destination_that_is_down_holds_no_other_up_and_a_restart_doubles_nothing() {
    let events = vec![
        event("e", "raised", "warning", 1),
        event("e", "severity_changed", "critical", 5),
        event("e", "acknowledged", "critical", 6),
        event("e", "cleared", "critical", 9),
    ];
    let (_dir, store, alerts) = queued(events).await;
    let receiver = Receiver::start(&[]).await;
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let down = Destinations { alertmanager: Some(format!("http://{port}")), ..webhook(&receiver.url) };
    let delivering = Delivery::new(alerts.clone(), &down, TIMES).spawn();
    while receiver.requests().is_empty()
        || !store.queued_events(HOST, 9).await.unwrap().iter().all(|queued| queued.has("webhook"))
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Killed, and started again when Alertmanager is there.
    delivering.abort();
    let alertmanager = Receiver::start(&[]).await;
    let url = alertmanager.url.trim_end_matches("/hook").to_owned();
    deliver(&store, &alerts, &Destinations { alertmanager: Some(url), ..webhook(&receiver.url) }).await;
    assert_eq!(receiver.requests().len(), 1, "it has it already");
    let requests = alertmanager.requests();
    assert!(requests[0].0.starts_with("post /api/v2/alerts "), "{}", requests[0].0);
    let told: Vec<(&str, &str)> = requests[0]
        .1
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| (alert["labels"]["severity"].as_str().unwrap(), alert["endsAt"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("warning", "9999-01-01T00:00:00Z"),
            ("warning", "2026-01-01T00:00:05Z"),
            ("critical", "9999-01-01T00:00:00Z"),
            ("critical", "2026-01-01T00:00:09Z"),
        ]
    );
    let labels = &requests[0].1[0]["labels"];
    assert_eq!((&labels["alertname"], &labels["mountpoint"]), (&json!("disk-full"), &json!("/")));
}

#[tokio::test]
async fn what_is_silenced_is_not_sent_and_its_end_is() {
    let (_dir, store, alerts) =
        queued(vec![event("e", "raised", "warning", 1), event("e", "cleared", "warning", 9)]).await;
    let silence = Silence {
        id: 0,
        rule: Some("disk-*".into()),
        labels: "{}".into(),
        author: "ann".into(),
        reason: "new disk".into(),
        created_at: 0,
        ends_at: i64::MAX,
    };
    store.add_silence(&silence).await.unwrap();
    let receiver = Receiver::start(&[]).await;
    deliver(&store, &alerts, &webhook(&receiver.url)).await;
    assert_eq!(keys(&receiver.requests()[0]), ["e:cleared:9"]);
}
