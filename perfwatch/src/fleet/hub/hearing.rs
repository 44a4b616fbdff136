//! What a hub hears besides history: the answers to what its rules need, and whether it hears anything at all.
//!
//! A connection of its own, so that no packet of history delays it. Each hub hears what hubs ask, also what it asked itself:
//! while it does not, silence says something about NATS or the hub, and nothing about machines.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::config;
use crate::config::check::is_host_id;
use crate::fleet::connection::{ConnectError, connect, connected};
use crate::fleet::inputs::ASKED_EVERY;
use crate::fleet::presence::Presence;
use crate::fleet::protocol::{INPUTS, Subject, WANTED};
use crate::snapshot::{MetricType, Reading};
use crate::store::micros;

/// Two questions were not heard.
const DEAF: Duration = Duration::from_secs(25);
/// Whoever lives is heard within this time after the hub began to listen.
const LISTENED: Duration = Duration::from_secs(60);
/// History is from up to so long before a machine was last alive.
const SLOT: Duration = Duration::from_secs(300);
/// After a clean stop, so much silence is no silence.
const LEAVE: Duration = Duration::from_secs(3600);
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Answers that wait to be evaluated.
const QUEUE: usize = 4096;

/// Since when a hub hears what hubs ask. Clones share it.
#[derive(Debug, Clone)]
pub struct Line {
    client: Client,
    times: Arc<Mutex<Option<Times>>>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    since: Instant,
    last: Instant,
}

impl Times {
    /// Something was heard.
    fn note(times: &mut Option<Self>, now: Instant) {
        let since = times.filter(|times| now - times.last < DEAF).map_or(now, |times| times.since);
        *times = Some(Self { since, last: now });
    }
}

impl Line {
    fn new(client: Client) -> Self {
        Self { client, times: Arc::default() }
    }

    fn times(&self) -> MutexGuard<'_, Option<Times>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long all was heard; `None` if nothing is heard now. A connection that is lost begins anew.
    pub fn listening(&self) -> Option<Duration> {
        let mut times = self.times();
        if self.client.connection_state() != State::Connected {
            *times = None;
        }
        times.filter(|times| times.last.elapsed() < DEAF).map(|times| times.since.elapsed())
    }
}

#[derive(Serialize)]
struct Body {
    silent_seconds: Option<f64>,
    clock_skew_seconds: Option<f64>,
}

/// The document `presence` of a host: `listening` is for how long all was heard, `newest` the end of its history (µs).
pub fn reading(
    presence: &Presence,
    listening: Duration,
    host: &str,
    newest: Option<i64>,
    at: OffsetDateTime,
) -> Reading {
    let body = Body {
        silent_seconds: silence(presence.heard(host), listening, newest, micros(at))
            .map(|silence| silence.as_secs_f64()),
        clock_skew_seconds: presence.skew(host).map(|skew| skew as f64 / 1e6),
    };
    Reading::new(MetricType::Presence, at, &body)
        .unwrap_or_else(|error| Reading::failed(MetricType::Presence, at, &error.to_string()))
}

/// How long nothing was heard of a host. What was not listened to is no silence, except if history has none of it either.
fn silence(
    heard: Option<(Duration, bool)>,
    listening: Duration,
    newest: Option<i64>,
    now: i64,
) -> Option<Duration> {
    let age = newest.map(|newest| Duration::from_micros(now.saturating_sub(newest).max(0).unsigned_abs()));
    let lived = age.map(|age| age.saturating_sub(SLOT));
    match heard {
        Some((ago, true)) => Some(ago.saturating_sub(LEAVE)),
        // Newer history is a sign of life as well.
        Some((ago, false)) if ago <= listening => Some(age.map_or(ago, |age| age.min(ago))),
        _ if listening < LISTENED => None,
        Some((ago, false)) => Some(lived.map_or(ago, |lived| lived.min(ago))),
        // Not since this hub started: what was before is only known from history.
        None => Some(lived.unwrap_or(listening)),
    }
}

/// Asks and listens until it is closed.
#[derive(Debug)]
pub struct Hearing {
    tasks: [JoinHandle<()>; 3],
}

/// What a hub hears, and the way to ask.
#[derive(Debug)]
pub struct Heard {
    pub hearing: Hearing,
    pub line: Line,
    /// By host.
    pub answers: mpsc::Receiver<(String, Bytes)>,
    pub wanted: watch::Sender<Option<Bytes>>,
}

impl Hearing {
    pub async fn spawn(fleet: &config::Fleet, presence: Presence) -> Result<Heard, ConnectError> {
        let client = connect(fleet, "perfwatch hub, alerts").await?;
        let line = Line::new(client.clone());
        let (answered, answers) = mpsc::channel(QUEUE);
        let (wanted, asked) = watch::channel(None);
        let tasks = [
            tokio::spawn(ask(client.clone(), asked)),
            tokio::spawn(hear_questions(client.clone(), line.clone())),
            tokio::spawn(hear_answers(client, presence, answered)),
        ];
        Ok(Heard { hearing: Self { tasks }, line, answers, wanted })
    }

    pub fn close(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What is wanted, now and then, and as soon as it changes.
async fn ask(client: Client, mut wanted: watch::Receiver<Option<Bytes>>) {
    loop {
        connected(&client).await;
        let text = wanted.borrow_and_update().clone();
        if let Some(text) = text {
            let _ = client.publish(WANTED, text).await;
            let _ = client.flush().await;
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = sleep(ASKED_EVERY) => {}
        }
    }
}

async fn hear_questions(client: Client, line: Line) {
    loop {
        connected(&client).await;
        match client.subscribe(WANTED).await {
            Ok(mut heard) => {
                while heard.next().await.is_some() {
                    Times::note(&mut line.times(), Instant::now());
                }
            }
            Err(error) => tracing::warn!(%error, "cannot hear what hubs ask"),
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn hear_answers(client: Client, presence: Presence, answered: mpsc::Sender<(String, Bytes)>) {
    loop {
        connected(&client).await;
        match client.subscribe(format!("{INPUTS}.*")).await {
            Ok(mut heard) => {
                while let Some(message) = heard.next().await {
                    let Some(Subject::Inputs(host)) = Subject::parse(&message.subject) else { continue };
                    presence.note_heard(&host);
                    // With so many waiting, one more would come too late anyway.
                    if is_host_id(&host) && answered.try_send((host, message.payload)).is_err() {
                        if answered.is_closed() {
                            return;
                        }
                        tracing::debug!("readings for alerts are dropped: too many wait");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot hear the readings that alerts need"),
        }
        sleep(RETRY_DELAY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const NOW: i64 = 1_000_000_000_000_000;

    fn minutes_ago(minutes: u32) -> Option<i64> {
        Some(NOW - i64::try_from((minutes * MINUTE).as_micros()).unwrap())
    }

    #[test]
    fn silence_is_what_was_listened_to() {
        let heard = |minutes, is_leaving| Some((minutes * MINUTE, is_leaving));
        let silence = |heard, listening, newest| {
            silence(heard, listening * MINUTE, newest, NOW).map(|silence| silence.as_secs() / 60)
        };
        // Usual: it was heard while the hub listened.
        assert_eq!(silence(heard(4, false), 60, minutes_ago(9)), Some(4));
        // The hub did not hear NATS for ten minutes: at first nobody is silent, then who does not come back is.
        assert_eq!(silence(heard(10, false), 0, minutes_ago(12)), None);
        assert_eq!(
            silence(heard(12, false), 2, minutes_ago(14)),
            Some(9),
            "it lived five minutes after its history"
        );
        // The hub has just started, and the host is gone for two hours, or was never heard.
        assert_eq!(silence(None, 0, minutes_ago(120)), None);
        assert_eq!(silence(None, 1, minutes_ago(120)), Some(115));
        assert_eq!(silence(None, 6, None), Some(6));
        // It died a minute before the hub started: its history is of five minutes before.
        assert_eq!(silence(None, 1, minutes_ago(7)), Some(2));
        // It was stopped.
        assert_eq!(silence(heard(59, true), 90, minutes_ago(60)), Some(0));
        assert_eq!(silence(heard(66, true), 90, minutes_ago(66)), Some(6));
    }

    #[test]
    fn a_line_that_was_interrupted_begins_anew() {
        let start = Instant::now();
        let mut times = None;
        let mut since = |seconds| {
            Times::note(&mut times, start + Duration::from_secs(seconds));
            times.unwrap().since.duration_since(start).as_secs()
        };
        assert_eq!([since(0), since(10), since(20), since(50), since(60)], [0, 0, 0, 50, 50]);
    }
}
