//! A machine's live ticks: published while a hub has asked for them, which holds for seconds and is renewed.
//!
//! Any number of hubs and watchers cost one publication a tick; without any, not even its JSON is made.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::connected;
use super::parts;
use super::protocol::{Lease, MAX_LEASE, live_subject, watch_subject};
use crate::snapshot::Snapshot;
use crate::store::micros;

/// The newest tick is sent again at once for someone who begins to watch, but no sooner.
const AGAIN: Duration = Duration::from_millis(500);
/// Pause after the subscription ended.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// No lease is longer.
const MAX_MESSAGE: usize = 1024;
/// A tick that is due for longer than this does not come.
const OUTDATED: Duration = Duration::from_secs(30);
/// Room for what NATS adds.
const MARGIN: usize = 256;

/// Takes every tick; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Ticks(watch::Sender<Option<Tick>>);

#[derive(Debug)]
struct Tick {
    at: Instant,
    snapshot: Arc<Snapshot>,
}

impl Ticks {
    pub fn publish(&self, snapshot: &Arc<Snapshot>) {
        self.0.send_replace(Some(Tick { at: Instant::now(), snapshot: Arc::clone(snapshot) }));
    }

    pub fn newest(&self) -> Option<Arc<Snapshot>> {
        self.0.borrow().as_ref().map(|tick| Arc::clone(&tick.snapshot))
    }

    /// Nothing once it is out of date, as while sampling hangs.
    pub(super) fn fresh(&self) -> Option<Arc<Snapshot>> {
        let newest = self.0.borrow();
        let is_fresh =
            |tick: &&Tick| tick.at.elapsed() < tick.snapshot.interval().unwrap_or_default() + OUTDATED;
        newest.as_ref().filter(is_fresh).map(|tick| Arc::clone(&tick.snapshot))
    }
}

/// Publishes until it is dropped.
#[derive(Debug)]
pub struct Live(JoinHandle<()>);

impl Live {
    pub fn spawn(client: Client, host: &str, ticks: &Ticks) -> Self {
        let task = Task {
            client,
            host: host.to_owned(),
            ticks: ticks.0.subscribe(),
            until: Instant::now(),
            sent: None,
            again_at: None,
            too_large: false,
        };
        Self(tokio::spawn(task.run()))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Task {
    client: Client,
    host: String,
    ticks: watch::Receiver<Option<Tick>>,
    /// The end of the longest lease.
    until: Instant,
    /// When a tick was sent last.
    sent: Option<Instant>,
    /// When it is sent again for someone who has begun to watch since.
    again_at: Option<Instant>,
    /// Whether the last tick was.
    too_large: bool,
}

impl Task {
    async fn run(mut self) {
        loop {
            connected(&self.client).await;
            match self.client.subscribe(watch_subject(&self.host)).await {
                Ok(mut leases) => loop {
                    let is_watched = Instant::now() < self.until;
                    let again_at = self.again_at;
                    tokio::select! {
                        lease = leases.next() => match lease {
                            Some(lease) => self.take(&lease).await,
                            None => break,
                        },
                        Ok(()) = self.ticks.changed(), if is_watched => self.send().await,
                        () = sleep_until(again_at.unwrap_or(self.until)), if again_at.is_some() => self.send().await,
                        () = sleep_until(self.until), if is_watched => {}
                    }
                },
                Err(error) => tracing::warn!(%error, "cannot hear whether someone watches this machine"),
            }
            sleep(RETRY_DELAY).await;
        }
    }

    /// What is not a lease for this machine is ignored.
    async fn take(&mut self, message: &Message) {
        if message.payload.len() > MAX_MESSAGE {
            return;
        }
        let Ok(lease) = serde_json::from_slice::<Lease>(&message.payload) else { return };
        if lease.host != self.host || lease.seconds == 0 {
            return;
        }
        let now = Instant::now();
        let was_watched = now < self.until;
        self.until = self.until.max(now + Duration::from_secs(lease.seconds).min(MAX_LEASE));
        if lease.begins || !was_watched {
            match self.sent.map(|sent| sent + AGAIN).filter(|again_at| *again_at > now) {
                None => self.send().await,
                later => self.again_at = later,
            }
        }
    }

    /// Sends the newest tick.
    async fn send(&mut self) {
        self.again_at = None;
        let newest = self.ticks.borrow_and_update().as_ref().map(|tick| Arc::clone(&tick.snapshot));
        let Some(snapshot) = newest else { return };
        self.sent = Some(Instant::now());
        let most = self.client.max_payload().saturating_sub(MARGIN);
        let id = micros(snapshot.timestamp);
        let parts = match parts::split(id, &snapshot.message(), most) {
            Ok(parts) => {
                self.too_large = false;
                parts
            }
            Err(error) => {
                let reason = format!("The tick is not shown: {error}");
                if !std::mem::replace(&mut self.too_large, true) {
                    tracing::error!(%error, "ticks of this machine cannot be watched at hubs");
                }
                let short = snapshot.failed(&reason);
                parts::split(id, &short.message(), most).unwrap_or_default()
            }
        };
        for part in parts {
            // The next tick tells as much.
            let _ = self.client.publish(live_subject(&self.host), part).await;
        }
    }
}
