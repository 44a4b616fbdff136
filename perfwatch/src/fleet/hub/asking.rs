//! Asks one machine, and reads its answer. What its memory has of history is asked for at most every other second,
//! however many questions need it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, StatusCode, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::accept;
use crate::fleet::asking::{Ask, Asked, decode, decode_chunks};
use crate::fleet::parts::Joined;
use crate::fleet::protocol::ask_subject;
use crate::history::Damaged;
use crate::history::elsewhere::Elsewhere;
use crate::store::chunks::{Chunk, Content};

/// How long a list of processes or a diagnosis may take, on a busy machine with many processes.
const TIMEOUT: Duration = Duration::from_secs(8);
/// How long a question about history waits for what is not stored.
const NEWEST_TIMEOUT: Duration = Duration::from_secs(1);
/// How long what a machine's memory had is the newest.
const FRESH: Duration = Duration::from_secs(2);
/// How long a machine that did not answer is not asked for its newest again.
const SILENT: Duration = Duration::from_secs(5);
/// Answers kept at most.
const MAX_KEPT: usize = 2000;

/// Why there is no answer; completes "the host …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("cannot be asked: this hub has no connection to NATS")]
    Disconnected,
    /// Nobody listens on its subject.
    #[error("is not connected to the fleet")]
    Absent,
    #[error("has not answered within {} s", .0.as_secs())]
    Late(Duration),
    #[error("does not answer: {0}")]
    Refused(String),
    #[error("has sent an answer that cannot be read: {0}")]
    Unreadable(Damaged),
}

#[derive(Debug, Clone)]
pub struct Asking(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    /// When a machine did not answer.
    silent: Mutex<HashMap<String, Instant>>,
    kept: Mutex<HashMap<(String, Content), Arc<Newest>>>,
}

/// What a machine's memory had of one content; locked while it is asked, so that it is asked once.
type Newest = tokio::sync::Mutex<Option<(Instant, Vec<Chunk>)>>;

impl Asking {
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Shared { client, silent: Mutex::default(), kept: Mutex::default() }))
    }

    pub async fn ask(&self, host: &str, ask: Ask) -> Result<Vec<u8>, AskError> {
        self.ask_within(host, ask, TIMEOUT).await
    }

    async fn ask_within(&self, host: &str, ask: Ask, limit: Duration) -> Result<Vec<u8>, AskError> {
        let client = &self.0.client;
        // Otherwise the question would wait in the client.
        if client.connection_state() != State::Connected {
            return Err(AskError::Disconnected);
        }
        let asked = Asked { host: host.to_owned(), ask };
        let json = serde_json::to_vec(&asked).unwrap_or_default();
        let inbox = client.new_inbox();
        let replies = client.subscribe(inbox.clone()).await.map_err(|_| AskError::Disconnected)?;
        let published = client.publish_with_reply(ask_subject(host), inbox, json.into()).await;
        published.map_err(|_| AskError::Disconnected)?;
        timeout(limit, answer(replies)).await.unwrap_or(Err(AskError::Late(limit)))
    }

    async fn ask_for_newest(&self, host: &str, of: Content, from: i64) -> Result<Vec<Chunk>, AskError> {
        let content = Bytes::from(self.ask_within(host, Ask::Newest { of, from }, NEWEST_TIMEOUT).await?);
        let mut chunks = Vec::new();
        for packet in decode_chunks(&content).map_err(AskError::Unreadable)? {
            match accept::check(host, of.as_str(), &packet) {
                Ok(packet) => chunks.extend(packet.chunks),
                Err(reason) => tracing::warn!(host, reason, "what a host has in memory cannot be used"),
            }
        }
        Ok(chunks)
    }

    fn is_silent(&self, host: &str) -> bool {
        self.silent().get(host).is_some_and(|since| since.elapsed() < SILENT)
    }

    fn silent(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, host: &str, of: Content) -> Arc<Newest> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            // Those in use are made anew by the next question.
            kept.clear();
        }
        Arc::clone(kept.entry((host.to_owned(), of)).or_default())
    }
}

async fn answer(mut replies: Subscriber) -> Result<Vec<u8>, AskError> {
    let mut joined = Joined::default();
    while let Some(message) = replies.next().await {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(AskError::Absent);
        }
        if let Some(whole) = joined.add(&message.payload).map_err(AskError::Unreadable)? {
            return decode(whole).map_err(AskError::Unreadable)?.map_err(AskError::Refused);
        }
    }
    Err(AskError::Disconnected)
}

#[async_trait]
impl Elsewhere for Asking {
    async fn newest(&self, host: &str, of: Content, from: i64) -> Vec<Chunk> {
        let kept = self.kept(host, of);
        let mut kept = kept.lock().await;
        if let Some((at, chunks)) = &*kept
            && at.elapsed() < FRESH
        {
            return chunks.clone();
        }
        if self.is_silent(host) {
            return Vec::new();
        }
        match self.ask_for_newest(host, of, from).await {
            Ok(chunks) => {
                *kept = Some((Instant::now(), chunks.clone()));
                chunks
            }
            Err(error) => {
                tracing::debug!(host, %error, "a question is answered without what is not stored yet");
                *kept = None;
                let mut silent = self.silent();
                silent.retain(|_, since| since.elapsed() < SILENT);
                silent.insert(host.to_owned(), Instant::now());
                Vec::new()
            }
        }
    }
}
