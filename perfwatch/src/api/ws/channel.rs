//! Whose ticks a stream shows: this machine's, or those of another that is watched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::watch;

use super::frame::Frames;
use crate::fleet::hub::watching::{State, Watched};
use crate::history::History;
use crate::snapshot::{Snapshot, rfc3339};
use crate::stream::{Hub, Subscription};

/// One for all streams of a host, but for the subscriptions.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub history: History,
    pub hub: Hub,
    pub frames: Arc<Frames>,
    /// Of another machine, which is watched as long as this is held.
    pub watched: Option<Arc<Watched>>,
}

/// The frames of each host that is shown: compressed once for all of its streams.
#[derive(Debug, Default)]
pub(in crate::api) struct FramesOfHosts(Mutex<HashMap<String, Weak<Frames>>>);

impl FramesOfHosts {
    pub(super) fn of(&self, host: &str) -> Arc<Frames> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frames) = hosts.get(host).and_then(Weak::upgrade) {
            return frames;
        }
        hosts.retain(|_, frames| frames.strong_count() > 0);
        let frames = Arc::<Frames>::default();
        hosts.insert(host.to_owned(), Arc::downgrade(&frames));
        frames
    }
}

/// What a stream starts with.
#[derive(Debug)]
pub(super) struct Start {
    /// Up to `backfill` messages before the newest snapshot.
    pub past: Vec<Bytes>,
    pub updates: Subscription,
    /// The time of the last of the past, if the first update may be that again.
    pub until: Option<time::OffsetDateTime>,
}

impl Channel {
    /// Up to `backfill` messages before the newest snapshot, and a subscription that continues with that.
    pub(super) async fn subscribe(&self, backfill: usize) -> Start {
        let elsewhere = match &self.watched {
            Some(_) if backfill > 0 => {
                Some(self.history.window(backfill + 1).await.unwrap_or_else(|error| {
                    tracing::warn!(host = self.history.host(), %error, "a stream starts without its past");
                    Vec::new()
                }))
            }
            _ => None,
        };
        let (bridge, updates) = self.hub.subscribe_with_bridge();
        if backfill == 0 {
            return Start { past: Vec::new(), updates, until: None };
        }
        let newest = updates.newest_at();
        let mut past = elsewhere.unwrap_or_else(|| self.history.head().recent(backfill + 1));
        past.retain(|snapshot| newest.is_none_or(|newest| snapshot.timestamp < newest));
        let mut messages: Vec<Bytes> = past.iter().map(Snapshot::message).collect();
        // Snapshots that the past does not have yet, or never gets if history is not recorded.
        let last = past.last().map(|snapshot| snapshot.timestamp);
        let missing: Vec<_> =
            bridge.iter().filter(|snapshot| last.is_none_or(|last| snapshot.timestamp > last)).collect();
        let until = missing.last().map(|snapshot| snapshot.timestamp).or(last).filter(|_| newest.is_none());
        messages.extend(missing.iter().map(|snapshot| snapshot.message()));
        let surplus = messages.len().saturating_sub(backfill);
        messages.drain(..surplus);
        Start { past: messages, updates, until }
    }

    pub(super) fn states(&self) -> Option<watch::Receiver<State>> {
        self.watched.as_ref().map(|watched| watched.state())
    }
}

/// The next state of a host that is worth telling, as a message.
pub(super) async fn told(states: &mut Option<watch::Receiver<State>>) -> String {
    if let Some(states) = states {
        while states.changed().await.is_ok() {
            match *states.borrow_and_update() {
                State::Asked => {}
                State::Live => return r#"{"type":"host","state":"live"}"#.to_owned(),
                State::Silent(since) => {
                    let since = since.map_or("null".to_owned(), |at| format!("\"{}\"", rfc3339(at)));
                    return format!(r#"{{"type":"host","state":"silent","since":{since}}}"#);
                }
            }
        }
    }
    std::future::pending().await
}
