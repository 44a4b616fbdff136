//! The ticks of machines that someone watches at this hub: one subscription and one lease for each, whoever watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_nats::connection::State as Connection;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::IgnoredAny;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::fleet::parts::Joined;
use crate::fleet::presence::Presence;
use crate::fleet::protocol::{Lease, MAX_LEASE, live_subject, watch_subject};
use crate::snapshot::Snapshot;
use crate::stream::Hub;

/// A lease is renewed so often, so that two may be lost.
const RENEW: Duration = Duration::from_secs(5);
/// How often silence is looked for; a silent host is also asked so often.
const LOOK: Duration = Duration::from_secs(1);
/// A host is silent after three missing ticks, and at least this.
const MIN_SILENCE: Duration = Duration::from_secs(3);
/// The usual time between ticks, until one has told.
const USUAL: Duration = Duration::from_secs(5);
/// What every tick begins with, for the stream to say in it what was skipped.
const BEGINNING: &str = r#"{"type":"metrics","#;

/// Whether the ticks of a host come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was just asked.
    Asked,
    Live,
    /// The time of its last tick, or of its last sign of life.
    Silent(Option<OffsetDateTime>),
}

#[derive(Debug, Clone)]
pub struct Watching(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    presence: Presence,
    hosts: Mutex<HashMap<String, Weak<Watched>>>,
}

/// A host that is watched until the last of these is dropped.
#[derive(Debug)]
pub struct Watched {
    pub hub: Hub,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Watching {
    pub fn new(client: Client, presence: Presence) -> Self {
        Self(Arc::new(Shared { client, presence, hosts: Mutex::default() }))
    }

    /// Begins to watch a host, or joins those who do.
    pub fn watch(&self, host: &str) -> Arc<Watched> {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = hosts.get(host).and_then(Weak::upgrade) {
            return watched;
        }
        hosts.retain(|_, watched| watched.strong_count() > 0);
        let hub = Hub::default();
        let (tell, state) = watch::channel(State::Asked);
        let task = Task {
            client: self.0.client.clone(),
            presence: self.0.presence.clone(),
            host: host.to_owned(),
            hub: hub.clone(),
            state: tell,
            joined: Joined::default(),
            newest: None,
            heard: Instant::now(),
            silence: MIN_SILENCE,
            leased: None,
        };
        let watched = Arc::new(Watched { hub, state, task: tokio::spawn(task.run()) });
        hosts.insert(host.to_owned(), Arc::downgrade(&watched));
        watched
    }
}

impl Watched {
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Its subscription ends with it, and the lease soon.
        self.task.abort();
    }
}

struct Task {
    client: Client,
    presence: Presence,
    host: String,
    hub: Hub,
    state: watch::Sender<State>,
    joined: Joined,
    /// The time of the newest tick, by the host's clock.
    newest: Option<OffsetDateTime>,
    /// When it came.
    heard: Instant,
    /// How long no tick may come.
    silence: Duration,
    leased: Option<Instant>,
}

impl Task {
    async fn run(mut self) {
        let mut ticks: Option<Subscriber> = None;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = next(&mut ticks) => match message {
                    Some(message) => self.take(&message),
                    None => ticks = None,
                },
                _ = look.tick() => {
                    if ticks.is_none() && self.is_connected() {
                        ticks = self.client.subscribe(live_subject(&self.host)).await.ok();
                    }
                    if ticks.is_some() {
                        self.renew().await;
                    }
                    self.judge();
                }
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == Connection::Connected
    }

    async fn renew(&mut self) {
        let is_due = self.leased.is_none_or(|leased| leased.elapsed() >= RENEW);
        let is_silent = *self.state.borrow() != State::Live;
        // While there is no connection, leases would only wait in the client.
        if !(is_due || is_silent) || !self.is_connected() {
            return;
        }
        let lease =
            Lease { host: self.host.clone(), seconds: MAX_LEASE.as_secs(), begins: self.leased.is_none() };
        let json = serde_json::to_vec(&lease).unwrap_or_default();
        if self.client.publish(watch_subject(&self.host), json.into()).await.is_ok() {
            self.leased = Some(Instant::now());
        }
    }

    fn take(&mut self, message: &Bytes) {
        let tick = match self.joined.add(message) {
            Ok(None) => return,
            Ok(Some(plain)) => Tick::read(plain),
            Err(error) => {
                tracing::debug!(host = self.host, %error, "a part of a tick cannot be used");
                return;
            }
        };
        // Sent again for another hub, it is no news.
        let Some(tick) = tick.filter(|tick| self.newest != Some(tick.at)) else { return };
        self.newest = Some(tick.at);
        self.heard = Instant::now();
        self.silence = (tick.interval.unwrap_or(USUAL) * 3).max(MIN_SILENCE);
        self.hub.publish(&Arc::new(Snapshot::received(tick.at, tick.message)));
        self.tell(State::Live);
    }

    fn judge(&self) {
        if self.heard.elapsed() > self.silence {
            self.tell(State::Silent(self.newest.or_else(|| self.presence.heard_at(&self.host))));
        }
    }

    fn tell(&self, state: State) {
        self.state.send_if_modified(|told| {
            // Since when it is silent is told once.
            let is_same = matches!((*told, state), (State::Silent(_), State::Silent(_))) || *told == state;
            if !is_same {
                *told = state;
            }
            !is_same
        });
    }
}

async fn next(ticks: &mut Option<Subscriber>) -> Option<Bytes> {
    match ticks {
        Some(ticks) => ticks.next().await.map(|message| message.payload),
        None => std::future::pending().await,
    }
}

/// A message of the stream, made by the machine.
#[derive(Debug)]
struct Tick {
    at: OffsetDateTime,
    interval: Option<Duration>,
    message: Bytes,
}

impl Tick {
    /// `None` if it is anything but a message of the stream.
    fn read(message: Vec<u8>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            timestamp: &'a str,
            interval_ms: Option<u64>,
            #[serde(rename = "data")]
            _data: HashMap<&'a str, IgnoredAny>,
        }
        let text = std::str::from_utf8(&message).ok().filter(|text| text.starts_with(BEGINNING))?;
        let Message { timestamp, interval_ms, .. } = serde_json::from_str(text).ok()?;
        let at = OffsetDateTime::parse(timestamp, &Rfc3339).ok()?;
        // A day between ticks is more than can be set.
        let interval = interval_ms.map(|millis| Duration::from_millis(millis.min(86_400_000)));
        Some(Self { at, interval, message: message.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_of_the_stream_are_passed_on() {
        let read = |text: &str| Tick::read(text.as_bytes().to_vec());
        let sound = r#"{"type":"metrics","timestamp":"2026-01-02T03:04:05Z","interval_ms":5000,"data":{"cpu":{"a":[1]}}}"#;
        let tick = read(sound).unwrap();
        assert_eq!((&tick.message[..], tick.interval), (sound.as_bytes(), Some(Duration::from_secs(5))));
        for other in [
            "",
            "{}",
            r#"{"type":"metrics","timestamp":"2026-01-02T03:04:05Z"}"#,
            r#"{"type":"metrics","timestamp":"yesterday","data":{}}"#,
            r#"{"type":"metrics","timestamp":"2026-01-02T03:04:05Z","data":{}"#,
            r#"{"type":"metrics","timestamp":"2026-01-02T03:04:05Z","data":[]}"#,
            r#"{"type":"history","snapshots":[]}"#,
            r#"{"timestamp":"2026-01-02T03:04:05Z","type":"metrics","data":{}}"#,
        ] {
            assert!(read(other).is_none(), "{other}");
        }
        assert!(Tick::read(sound.replace('a', "\u{0}").into_bytes()).is_none());
        assert!(Tick::read([sound.as_bytes(), b"\xff"].concat()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = Tick::read(format!("{BEGINNING}{text}").into_bytes());
        }
    }
}
