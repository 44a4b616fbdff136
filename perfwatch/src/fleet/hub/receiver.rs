//! Consumes the stream: each message is checked, stored, and acknowledged after the commit; what can't be used is set
//! aside in a bounded stream of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::header::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{Client, Subscriber};
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::accept::{self, Verdict};
use super::{MAX_NAME, Stats, Turns};
use crate::config;
use crate::config::check::is_host_id;
use crate::fleet::connection::{ConnectError, connect, connected};
use crate::fleet::courses::Courses;
use crate::fleet::presence::Presence;
use crate::fleet::protocol::{
    ALIVE, ASIDE, Alive, CHUNKS, CONSUMER, HEADER_REASON, HEADER_SUBJECT, HOSTS, Introduction, Packet,
    SET_ASIDE, STREAM, Subject,
};
use crate::host::Host;
use crate::store::chunks::ChunkStore;
use crate::store::{Result, Store, StoreError, micros};

/// What the stream keeps at most until hubs take it; then it refuses, and outboxes keep it.
const MAX_STREAM_BYTES: i64 = 1 << 30;
const MAX_ASIDE_BYTES: i64 = 64 << 20;
/// Copies within this time die in the stream; later ones at the store.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// A message that a killed hub had is given to another after this time.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages fetched at once, so that a host's slot is mostly stored in one transaction.
const BATCH: usize = 128;
/// How long to wait for more of what is being sent.
const GATHER: Duration = Duration::from_millis(20);
const FETCH: Duration = Duration::from_secs(5);
/// How long a connection may be down before that is told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failure of NATS or of the store.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// When a message that the store did not take is delivered again.
const REDELIVERY: Duration = Duration::from_secs(2);
/// A message that the store has refused this often is set aside.
const MAX_REFUSALS: i64 = 5;
/// Room for a message's headers within the server's limit.
const HEADERS: usize = 4096;

/// What a hub needs.
#[derive(Debug)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub turns: Turns,
    pub presence: Presence,
    pub courses: Courses,
    pub stats: Stats,
}

/// Consumes until it is closed.
#[derive(Debug)]
pub struct Receiver {
    stop: watch::Sender<bool>,
    consuming: JoinHandle<()>,
    listening: JoinHandle<()>,
    client: Client,
}

impl Receiver {
    pub async fn spawn(fleet: &config::Fleet, parts: Parts) -> std::result::Result<Self, ConnectError> {
        let client = connect(fleet, "perfwatch hub").await?;
        let (stop, stopped) = watch::channel(false);
        let listening = tokio::spawn(listen(client.clone(), parts.presence.clone(), parts.courses.clone()));
        let chunks: Arc<dyn ChunkStore> = parts.store.clone();
        let replicas = fleet.stream_replicas;
        let task = Task { client: client.clone(), chunks, parts, replicas, known: HashSet::new() };
        Ok(Self { stop, consuming: tokio::spawn(task.run(stopped)), listening, client })
    }

    /// The connection, for what is not kept in the stream.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Finishes what it is storing.
    pub async fn close(self) {
        self.stop.send_replace(true);
        self.listening.abort();
        let mut consuming = self.consuming;
        if timeout(Duration::from_secs(2), &mut consuming).await.is_err() {
            // Not acknowledged: another hub gets it, or this one later.
            consuming.abort();
        }
    }
}

/// Packets of one host, each of another content, which are stored together.
struct Group {
    messages: Vec<Message>,
    packets: Vec<Packet>,
}

fn add(groups: &mut Vec<Group>, message: Message, packet: Packet) {
    let last = groups.iter_mut().rfind(|group| group.packets[0].host == packet.host);
    let fits = |group: &&mut Group| group.packets.iter().all(|other| other.content != packet.content);
    match last.filter(fits) {
        Some(group) => {
            group.messages.push(message);
            group.packets.push(packet);
        }
        None => groups.push(Group { messages: vec![message], packets: vec![packet] }),
    }
}

struct Task {
    client: Client,
    chunks: Arc<dyn ChunkStore>,
    parts: Parts,
    /// Copies of the streams that it makes.
    replicas: usize,
    /// Hosts that the store knows.
    known: HashSet<String>,
}

type NatsResult<T> = std::result::Result<T, async_nats::Error>;

impl Task {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let prepared = async {
                up(&self.client).await?;
                prepare(&self.client, self.replicas).await
            };
            let prepared = tokio::select! {
                prepared = prepared => prepared,
                _ = async { stopped.wait_for(|stop| *stop).await.map(drop) } => return,
            };
            let ended = match prepared {
                Ok(consumer) => {
                    if self.parts.stats.0.unread.swap(false, Ordering::Relaxed) {
                        tracing::info!("the fleet's stream is read again");
                    }
                    self.consume(&consumer, &mut stopped).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                if !self.parts.stats.0.unread.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the fleet's stream cannot be read; trying again");
                }
                sleep(RETRY_DELAY).await;
            }
        }
        // The last acknowledgements.
        let _ = self.client.flush().await;
    }

    /// Until it is stopped.
    async fn consume(
        &mut self,
        consumer: &PullConsumer,
        stopped: &mut watch::Receiver<bool>,
    ) -> NatsResult<()> {
        loop {
            // Otherwise a request waits in the client for as long as it takes.
            up(&self.client).await?;
            let mut batch = consumer.batch().max_messages(BATCH).expires(FETCH).messages().await?;
            loop {
                let messages = tokio::select! {
                    biased;
                    _ = async { stopped.wait_for(|stop| *stop).await.map(drop) } => return Ok(()),
                    messages = gather(&mut batch) => messages?,
                };
                if messages.is_empty() {
                    break;
                }
                self.take(messages).await?;
            }
        }
    }

    /// An error is one of NATS; what is not acknowledged is then delivered again.
    async fn take(&mut self, messages: Vec<Message>) -> NatsResult<()> {
        let mut groups: Vec<Group> = Vec::new();
        let mut is_there = true;
        for message in messages {
            match Subject::parse(&message.subject) {
                Some(Subject::Chunk { host, content }) => {
                    match accept::check(&host, &content, &message.payload) {
                        Ok(packet) => add(&mut groups, message, packet),
                        Err(reason) => self.settle(&message, Verdict::Unusable(reason)).await?,
                    }
                }
                Some(Subject::Host(host)) => match introduction(&host, &message.payload) {
                    Some(introduced) => {
                        let stored = self.introduce(&introduced).await.map(|()| vec![Verdict::Stored]);
                        is_there &= self.finish(&[message], stored).await?;
                    }
                    None => {
                        let reason = "it introduces no host of this ID".to_owned();
                        self.settle(&message, Verdict::Unusable(reason)).await?;
                    }
                },
                _ => self.settle(&message, Verdict::Unusable("its subject is unknown".to_owned())).await?,
            }
        }
        let mut groups = groups.into_iter();
        while is_there && let Some(group) = groups.next() {
            is_there = self.put(&group.messages, &group.packets).await?;
        }
        if !is_there {
            for group in groups {
                give_back(&group.messages).await?;
            }
            self.wait_for_store().await;
        }
        Ok(())
    }

    /// Stores packets of one host; false if the store does not take them now.
    async fn put(&mut self, messages: &[Message], packets: &[Packet]) -> NatsResult<bool> {
        let stored = self.store(packets).await;
        if packets.len() > 1
            && let Err(error) = &stored
            && !error.may_pass()
        {
            // It is one of them.
            for n in 0..packets.len() {
                if !Box::pin(self.put(&messages[n..=n], &packets[n..=n])).await? {
                    give_back(&messages[n + 1..]).await?;
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        self.finish(messages, stored).await
    }

    /// Acknowledges what was stored; false if the store does not take it now.
    async fn finish(&mut self, messages: &[Message], stored: Result<Vec<Verdict>>) -> NatsResult<bool> {
        let verdicts = match stored {
            Ok(verdicts) => verdicts,
            Err(error) => {
                let refused = |message: &Message| message.info().map_or(0, |info| info.delivered);
                if error.may_pass() || messages.iter().any(|message| refused(message) < MAX_REFUSALS) {
                    self.note_failure(&error);
                    // It may be another database afterwards.
                    self.known.clear();
                    give_back(messages).await?;
                    return Ok(false);
                }
                vec![Verdict::Unusable(error.to_string()); messages.len()]
            }
        };
        if self.parts.stats.0.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the database takes the fleet's history again");
        }
        for (message, verdict) in messages.iter().zip(verdicts) {
            self.settle(message, verdict).await?;
        }
        Ok(true)
    }

    async fn settle(&self, message: &Message, verdict: Verdict) -> NatsResult<()> {
        let counts = &self.parts.stats.0;
        let counter = match verdict {
            Verdict::Stored => &counts.stored,
            Verdict::Duplicate => &counts.duplicates,
            Verdict::Expired => &counts.expired,
            Verdict::Unusable(reason) => {
                self.set_aside(message, &reason).await?;
                counts.set_aside.fetch_add(1, Ordering::Relaxed);
                return message.ack_with(AckKind::Term).await;
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        message.ack().await
    }

    /// Packets of one host.
    async fn store(&mut self, packets: &[Packet]) -> Result<Vec<Verdict>> {
        let Some(Packet { host, .. }) = packets.first() else { return Ok(Vec::new()) };
        self.know(host).await?;
        let _turn = self.parts.turns.take(host).await?;
        let verdicts = accept::store(&self.chunks, host, packets).await?;
        for packet in packets {
            // Readings first; a minute ends after its last one.
            if let Some(chunk) = packet.chunks.first() {
                self.parts.courses.note_stored(host, chunk.end - 1);
            }
        }
        Ok(verdicts)
    }

    async fn introduce(&mut self, host: &Host) -> Result<()> {
        self.chunks.introduce(host).await?;
        self.known.insert(host.id.clone());
        Ok(())
    }

    /// A host whose introduction was lost is known by its ID.
    async fn know(&mut self, host: &str) -> Result<()> {
        if self.known.contains(host) {
            return Ok(());
        }
        self.known = self.chunks.hosts().await?.into_iter().map(|host| host.id).collect();
        if !self.known.contains(host) {
            self.introduce(&Host::new(host, host)).await?;
        }
        Ok(())
    }

    async fn set_aside(&self, message: &Message, reason: &str) -> NatsResult<()> {
        tracing::warn!(
            subject = message.subject.as_str(),
            bytes = message.payload.len(),
            reason,
            "a message of the fleet cannot be used and is set aside"
        );
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_SUBJECT, plain(&message.subject));
        headers.insert(HEADER_REASON, plain(reason));
        let most = self.client.max_payload().saturating_sub(HEADERS);
        let payload = message.payload.slice(..message.payload.len().min(most));
        let stream = jetstream::new(self.client.clone());
        stream.publish_with_headers(SET_ASIDE, headers, payload).await?.await?;
        Ok(())
    }

    fn note_failure(&self, error: &StoreError) {
        if !self.parts.stats.0.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database does not take the fleet's history; it waits in the stream");
        }
    }

    /// Without it, everything in the stream would be delivered again and again.
    async fn wait_for_store(&self) {
        loop {
            sleep(RETRY_DELAY).await;
            if self.parts.store.ping().await.is_ok() {
                return;
            }
        }
    }
}

/// The next message, and those that follow at once; none when the batch is over.
async fn gather(batch: &mut pull::Batch) -> NatsResult<Vec<Message>> {
    let mut messages = Vec::new();
    // A connection that broke may leave it without an end.
    let mut patience = FETCH * 2;
    while let Ok(Some(message)) = timeout(patience, batch.next()).await {
        messages.push(message?);
        patience = GATHER;
    }
    Ok(messages)
}

async fn give_back(messages: &[Message]) -> NatsResult<()> {
    for message in messages {
        message.ack_with(AckKind::Nak(Some(REDELIVERY))).await?;
    }
    Ok(())
}

async fn up(client: &Client) -> NatsResult<()> {
    timeout(CONNECT_TIMEOUT, connected(client)).await.map_err(|_| "there is no connection".into())
}

/// A header has one line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(512).collect()
}

fn introduction(host: &str, payload: &[u8]) -> Option<Host> {
    let Introduction { host: id, name, facts, labels } = serde_json::from_slice(payload).ok()?;
    let is_right = id == host && is_host_id(&id) && !name.is_empty() && name.len() <= MAX_NAME;
    let own_labels = labels.parse().ok()?;
    is_right.then(|| Host { facts, own_labels, ..Host::new(&id, &name) })
}

/// Makes what does not exist yet; what an administrator has changed stays.
async fn prepare(client: &Client, replicas: usize) -> NatsResult<PullConsumer> {
    let context = jetstream::new(client.clone());
    context
        .get_or_create_stream(stream::Config {
            name: ASIDE.to_owned(),
            subjects: vec![SET_ASIDE.to_owned()],
            max_bytes: MAX_ASIDE_BYTES,
            num_replicas: replicas,
            ..stream::Config::default()
        })
        .await?;
    let stream = context
        .get_or_create_stream(stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![format!("{CHUNKS}.>"), format!("{HOSTS}.>")],
            // What is acknowledged is removed.
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: MAX_STREAM_BYTES,
            num_replicas: replicas,
            duplicate_window: DUPLICATE_WINDOW,
            ..stream::Config::default()
        })
        .await?;
    let consumer = stream
        .get_or_create_consumer(
            CONSUMER,
            pull::Config {
                durable_name: Some(CONSUMER.to_owned()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: ACK_WAIT,
                max_deliver: -1,
                ..pull::Config::default()
            },
        )
        .await?;
    Ok(consumer)
}

/// Notes signs of life.
async fn listen(client: Client, presence: Presence, courses: Courses) {
    loop {
        connected(&client).await;
        match client.subscribe(format!("{ALIVE}.*")).await {
            Ok(heard) => note_all(heard, &presence, &courses).await,
            Err(error) => tracing::warn!(%error, "cannot hear which hosts are alive"),
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn note_all(mut heard: Subscriber, presence: &Presence, courses: &Courses) {
    while let Some(message) = heard.next().await {
        let received = micros(OffsetDateTime::now_utc());
        let alive = serde_json::from_slice::<Alive>(&message.payload);
        if let (Some(Subject::Alive(host)), Ok(alive)) = (Subject::parse(&message.subject), alive)
            && alive.host == host
            && is_host_id(&host)
        {
            presence.note(&host, alive.sent, received);
            courses.note(&host, received, &alive.measures);
            if let Some(origin) = &alive.origin {
                presence.copies().note(&host, origin, Instant::now());
            }
            if alive.leaving {
                presence.note_leaving(&host);
            }
        }
    }
}
