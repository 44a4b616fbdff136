//! Alerts that wait for delivery, and a receiver over HTTP that fails, hangs, redirects, or asks to wait.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perfwatch::alerts::channel::Channel;
use perfwatch::alerts::channels::Options;
use perfwatch::alerts::delivery::{Delivery, Times};
use perfwatch::alerts::service::Alerts;
use perfwatch::history::History;
use perfwatch::store::alerts::{AlertBatch, Episode, Event};
use perfwatch::store::{self, Store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub const HOST: &str = "0123abcd";
pub const TIMES: Times = Times {
    look: Duration::from_millis(10),
    group_wait: Duration::ZERO,
    first_retry: Duration::from_millis(20),
    last_retry: Duration::from_millis(100),
    resend: Duration::from_millis(200),
    hour: Duration::from_secs(3600),
};

/// What a receiver does with a request.
#[derive(Clone, PartialEq)]
pub enum Reaction {
    /// A status line, and further lines of the head.
    Answer(String),
    /// Reads it and never answers.
    Hang,
    /// Closes the connection amid it.
    Close,
}

/// One request: its head in lower case, and its body.
pub type Request = (String, Value);

/// A receiver that reacts to its requests in turn, and takes all further ones.
pub struct Receiver {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    listening: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Receiver {
    pub async fn start(reactions: &[Reaction]) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), reactions)
    }

    pub fn at(listener: TcpListener, reactions: &[Reaction]) -> Self {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut reactions) = (Arc::clone(&requests), VecDeque::from(reactions.to_vec()));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reaction = reactions.pop_front().unwrap_or_else(|| Reaction::Answer("200 OK".into()));
                tokio::spawn(react(stream, reaction, Arc::clone(&kept)));
            }
        });
        Self { url, requests, listening }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Scheme, host and port.
    pub fn base(&self) -> &str {
        self.url.trim_end_matches("/hook")
    }

    /// The requests, as soon as they are as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        for _ in 0..3000 {
            let requests = self.requests();
            if wanted(&requests) {
                return requests;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {what}: {:?}", self.requests());
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
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    };
    requests.lock().unwrap().push((head, serde_json::from_str(&body).unwrap_or(Value::String(body))));
    match reaction {
        Reaction::Answer(answer) => {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            // Whoever asked may be gone.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        _ => std::future::pending().await,
    }
}

/// An event of an episode of the rule `disk-full`.
pub fn event(episode: &str, kind: &str, severity: &str, at: i64) -> Event {
    let payload = json!({
        "event": kind, "episode": episode, "host": HOST, "rule": "disk-full", "labels": {"mountpoint": format!("/{episode}")},
        "severity": severity, "summary": format!("/{episode} is full"), "runbook": "delete",
        "at": format!("2026-01-01T00:00:{at:02}Z"), "raised_at": "2026-01-01T00:00:01Z", "value": 95.0, "peak": 95.0,
        "flapping": false, "reason": null, "field": "disk.partitions.usage_percent", "unit": "%", "level": 90.0,
    });
    Event {
        key: format!("{episode}:{kind}:{at}"),
        episode: episode.into(),
        kind: kind.into(),
        at,
        payload: payload.to_string(),
    }
}

/// The batch that an evaluation would store with these events.
pub fn batch(events: Vec<Event>) -> AlertBatch {
    let mut episodes: Vec<Episode> = Vec::new();
    for event in &events {
        let cleared_at = (event.kind == "cleared").then_some(event.at);
        match episodes.iter_mut().find(|known| known.id == event.episode) {
            Some(known) => known.cleared_at = known.cleared_at.or(cleared_at),
            None => episodes.push(Episode {
                host: HOST.into(),
                id: event.episode.clone(),
                rule: "disk-full".into(),
                series: "{}".into(),
                severity: "warning".into(),
                raised_at: 1,
                cleared_at,
                value: 95.0,
                peak: 95.0,
                flapping: false,
                reason: None,
                acknowledged_by: None,
                acknowledged_at: None,
                note: None,
            }),
        }
    }
    AlertBatch { episodes, events, ..AlertBatch::default() }
}

/// A server's alerts without the server.
pub struct Setup {
    pub dir: tempfile::TempDir,
    pub store: Arc<dyn Store>,
    pub alerts: Alerts,
}

/// Receivers that hang are to be given up in the time of a test.
fn impatient() -> Options {
    Options { timeout: Duration::from_secs(2), ..Options::default() }
}

impl Setup {
    /// With channels as in files.
    pub async fn new(channels: &str) -> Self {
        Self::with(channels, impatient()).await
    }

    pub async fn with(channels: &str, options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
        let alerts = alerts(&store, &dir, channels, options).await;
        Self { dir, store, alerts }
    }

    /// The same with other channels, as after a restart.
    pub async fn again(&mut self, channels: &str) {
        self.alerts = alerts(&self.store, &self.dir, channels, impatient()).await;
    }

    pub async fn happened(&self, events: Vec<Event>) {
        self.store.save_alerts(HOST, &batch(events)).await.unwrap();
    }

    pub fn delivering(&self, times: Times) -> JoinHandle<()> {
        Delivery::new(self.alerts.clone(), tokio::runtime::Handle::current(), times).spawn()
    }

    /// Delivers until nothing is queued.
    pub async fn deliver(&self) {
        let delivering = self.delivering(TIMES);
        for _ in 0..3000 {
            let unrouted = self.store.unrouted_events(Some(HOST), 9).await.unwrap();
            if unrouted.is_empty() && self.store.due_channels(Some(HOST)).await.unwrap().is_empty() {
                delivering.abort();
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("events are never delivered: {:?}", self.alerts.channels().health());
    }
}

async fn alerts(store: &Arc<dyn Store>, dir: &tempfile::TempDir, channels: &str, options: Options) -> Alerts {
    #[derive(serde::Deserialize)]
    struct All {
        #[serde(default)]
        channel: Vec<Channel>,
    }
    let given = toml::from_str::<All>(channels).unwrap().channel;
    let options = Options { given, ..options };
    let history = History::new(store.clone(), HOST);
    let alerts = Alerts::new(store.clone(), history, dir.path().join("alerts.d"), options);
    alerts.reload().await.unwrap();
    for of in alerts.channels().listed().unwrap().iter() {
        assert!(of.problems.is_empty(), "{}: {:?}", of.channel.name, of.problems);
    }
    alerts
}
