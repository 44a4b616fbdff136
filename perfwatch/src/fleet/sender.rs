//! Publishes what is in the outbox, one packet at a time, and forgets it once the stream has acknowledged it.
//!
//! The newest goes first. A backlog, of an outage or an earlier run, is sent in the time that is left, slowly enough for
//! hubs to take everyone's at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::{Client, jetstream};
use bytes::Bytes;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{ConnectError, connect_machine, connected};
use super::inputs::Inputs;
use super::live::Ticks;
use super::measures::Measures;
use super::outbox::{Outbox, Waiting};
use super::protocol::{Alive, Introduction, Origin, Packet, alive_subject, chunk_subject, host_subject};
use crate::config;
use crate::host::Host;
use crate::store::micros;

/// Pause after each packet of a backlog: 20 a second, where a machine makes one in 20 seconds.
const BACKLOG_PAUSE: Duration = Duration::from_millis(50);
/// How long the stream may take to acknowledge.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be down before that is told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed attempt, doubled up to the longest.
const RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(15);
/// A packet may be due without news, once it is grown.
const LOOK: Duration = Duration::from_secs(5);
const INTRODUCE_EVERY: Duration = Duration::from_secs(3600);
const ALIVE_EVERY: Duration = Duration::from_secs(10);
/// How long shutdown waits for the last packets before it leaves them on disk.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(800);
/// Room for a message's headers within the server's limit.
const HEADERS: usize = 1024;

/// Whether the stream takes what is sent.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    pub fn failing(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note_failure(&self, error: &dyn std::fmt::Display) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the fleet's stream does not take history; it waits in the outbox");
        }
    }

    fn note_success(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("the fleet's stream takes history again, with what waited in the outbox");
        }
    }
}

/// What others see of a sender.
#[derive(Debug, Clone)]
pub struct Sending {
    pub health: Health,
    pub outbox: Outbox,
}

/// Sends until it is closed.
#[derive(Debug)]
pub struct Sender {
    stop: watch::Sender<bool>,
    sending: JoinHandle<()>,
    living: JoinHandle<()>,
    seen: Sending,
    client: Client,
    inputs: Inputs,
    life: Life,
}

impl Sender {
    /// `interval` is that of its snapshots, see [`delay_of`].
    pub async fn spawn(
        fleet: &config::Fleet,
        host: Host,
        outbox: Outbox,
        interval: Duration,
    ) -> Result<Self, ConnectError> {
        let delay = delay_of(&host.id, interval);
        let client = connect_machine(fleet, &host).await?;
        let (stop, stopped) = watch::channel(false);
        let health = Health::default();
        let life = Life::new(client.clone(), host.clone());
        let living = tokio::spawn(life.clone().tell());
        let inputs = Inputs::spawn(client.clone(), &host.id);
        let mut stream = jetstream::new(client.clone());
        stream.set_timeout(ACK_TIMEOUT);
        let task = Task {
            client: client.clone(),
            stream,
            host,
            outbox: outbox.clone(),
            health: health.clone(),
            introduced: None,
            delay,
        };
        let sending = tokio::spawn(task.run(stopped));
        let seen = Sending { health, outbox };
        Ok(Self { stop, sending, living, seen, client, inputs, life })
    }

    /// The connection, for what is not kept in the stream.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn seen(&self) -> Sending {
        self.seen.clone()
    }

    /// Where to publish each tick.
    pub fn ticks(&self) -> Ticks {
        self.life.ticks.clone()
    }

    /// What hubs want for their rules, and the way there.
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Sends what is new, or leaves it on disk if that takes too long; and that nothing is wrong with this machine.
    pub async fn close(self) {
        let Self { stop, mut sending, living, life, .. } = self;
        living.abort();
        stop.send_replace(true);
        if timeout(CLOSE_TIMEOUT, &mut sending).await.is_err() {
            sending.abort();
        }
        let _ = timeout(CLOSE_TIMEOUT, life.say(true)).await;
    }
}

struct Task {
    client: Client,
    stream: jetstream::Context,
    host: Host,
    outbox: Outbox,
    health: Health,
    /// When the stream last took who this is.
    introduced: Option<Instant>,
    delay: Duration,
}

/// How long a machine waits after the end of a slot, which is at the same moment everywhere: up to two intervals,
/// depending on its ID. Hubs then get the parts of one machine's slot together, and are not asked for everything at once.
pub fn delay_of(host: &str, interval: Duration) -> Duration {
    (interval * 2).mul_f64(f64::from(crc32fast::hash(host.as_bytes())) / f64::from(u32::MAX))
}

impl Task {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut delay = RETRY_DELAY;
        let mut backlog_at = Instant::now();
        loop {
            if timeout(CONNECT_TIMEOUT, connected(&self.client)).await.is_err() {
                self.health.note_failure(&"there is no connection");
                continue;
            }
            let is_stopping = *stopped.borrow();
            let now = micros(OffsetDateTime::now_utc());
            let next = self.outbox.next(now, Instant::now() >= backlog_at);
            let sent = match next {
                Some(waiting) => self.send(&waiting).await,
                None if is_stopping => return,
                None => self.introduce().await,
            };
            match (sent, next) {
                (Ok(()), Some(waiting)) => {
                    self.health.note_success();
                    delay = RETRY_DELAY;
                    if waiting.is_backlog {
                        backlog_at = Instant::now() + BACKLOG_PAUSE;
                    }
                }
                (Ok(()), None) => {
                    let has_backlog = self.outbox.next(now, true).is_some();
                    if !has_backlog {
                        self.health.note_success();
                    }
                    let stopping = async { stopped.wait_for(|stop| *stop).await.map(drop) };
                    let is_slot_over = tokio::select! {
                        () = self.outbox.news() => !has_backlog,
                        () = sleep(if has_backlog { BACKLOG_PAUSE } else { LOOK }) => false,
                        _ = stopping => false,
                    };
                    if is_slot_over {
                        let _ = timeout(self.delay, stopped.wait_for(|stop| *stop)).await;
                    }
                }
                (Err(error), _) => {
                    self.health.note_failure(&error);
                    sleep(delay).await;
                    delay = (delay * 2).min(MAX_RETRY_DELAY);
                }
            }
        }
    }

    async fn send(&mut self, waiting: &Waiting) -> Result<(), jetstream::context::PublishError> {
        self.introduce().await?;
        let (outbox, wanted) = (self.outbox.clone(), *waiting);
        let Ok(Some((packet, bytes))) = tokio::task::spawn_blocking(move || outbox.read(&wanted)).await
        else {
            return Ok(());
        };
        let most = self.client.max_payload().saturating_sub(HEADERS);
        if bytes.len() > most {
            self.shorten(waiting, packet, most).await;
            return Ok(());
        }
        let id = packet.message_id(&bytes);
        self.publish(chunk_subject(&self.host.id, packet.content), Some(id), bytes).await?;
        self.outbox.done(waiting);
        Ok(())
    }

    /// Replaces a packet that exceeds what NATS takes by its halves. If a single reading does, only its minute is left.
    async fn shorten(&self, waiting: &Waiting, packet: Packet, most: usize) {
        let (outbox, content) = (self.outbox.clone(), packet.content);
        let halved = tokio::task::spawn_blocking(move || outbox.halve(&packet)).await;
        if matches!(halved, Ok(Ok(true))) {
            return;
        }
        if !self.outbox.keep_minutes(waiting) {
            self.outbox.note_lost();
            self.outbox.done(waiting);
        }
        tracing::error!(
            content = content.as_str(),
            most,
            "a packet exceeds the NATS server's max_payload: of its readings only the minutes are sent, if they fit"
        );
    }

    /// Hubs should know who it is before they get its history.
    async fn introduce(&mut self) -> Result<(), jetstream::context::PublishError> {
        if self.introduced.is_some_and(|at| at.elapsed() < INTRODUCE_EVERY) {
            return Ok(());
        }
        let json = serde_json::to_vec(&Introduction::of(&self.host)).unwrap_or_default();
        self.publish(host_subject(&self.host.id), None, json.into()).await?;
        self.introduced = Some(Instant::now());
        Ok(())
    }

    async fn publish(
        &self,
        subject: String,
        id: Option<String>,
        payload: Bytes,
    ) -> Result<(), jetstream::context::PublishError> {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            headers.insert(NATS_MESSAGE_ID, id);
        }
        self.stream.publish_with_headers(subject, headers, payload).await?.await.map(drop)
    }
}

/// Tells that this machine lives, what its clock says and how it is, while anyone may listen.
#[derive(Debug, Clone)]
struct Life {
    client: Client,
    host: Host,
    /// A restart has another one, and the earlier one never again.
    instance: String,
    ticks: Ticks,
}

impl Life {
    fn new(client: Client, host: Host) -> Self {
        let mut instance = [0; 8];
        let _ = getrandom::fill(&mut instance);
        let instance = format!("{:016x}", u64::from_be_bytes(instance));
        Self { client, host, instance, ticks: Ticks::default() }
    }

    async fn tell(self) {
        loop {
            connected(&self.client).await;
            self.say(false).await;
            sleep(ALIVE_EVERY).await;
        }
    }

    async fn say(&self, leaving: bool) {
        let address = self.client.server_info().client_ip;
        let origin = Some(Origin { instance: self.instance.clone(), name: self.host.name.clone(), address });
        let sent = micros(OffsetDateTime::now_utc());
        let measures = self.ticks.fresh().map(|snapshot| Measures::of(&snapshot)).unwrap_or_default();
        let alive = Alive { host: self.host.id.clone(), sent, measures, origin, leaving };
        let json = serde_json::to_vec(&alive).unwrap_or_default();
        // The next one tells as much.
        let _ = self.client.publish(alive_subject(&self.host.id), json.into()).await;
        let _ = self.client.flush().await;
    }
}
