//! A machine's answers to what hubs ask it: read-only, a few at a time, each on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_nats::{Client, Message, Subject};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::asking::{Answer, Ask, Asked, MAX_QUESTION, encode};
use super::connection::connected;
use super::parts;
use super::protocol::ask_subject;

/// Answered at the same time.
const AT_ONCE: usize = 2;
/// Answered or waiting; further ones are told to come back.
const ADMITTED: usize = 16;
/// How long a question waits for its turn; whoever asked has given up by then.
const WAIT: Duration = Duration::from_secs(5);
/// Pause after the subscription ended.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Room for what NATS adds.
const MARGIN: usize = 256;

/// The machine that is asked.
pub trait Machine: Send + Sync + 'static {
    /// Answers, or says why not. May take long: it is called on a thread of its own, whose priority it should lower.
    fn answer(&self, ask: Ask) -> Answer;
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Answering(JoinHandle<()>);

impl Answering {
    pub fn spawn(client: Client, host: &str, machine: Arc<dyn Machine>) -> Self {
        let task = Task {
            client,
            host: host.to_owned(),
            machine,
            admitted: Arc::new(Semaphore::new(ADMITTED)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            number: Arc::default(),
        };
        Self(tokio::spawn(task.run()))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone)]
struct Task {
    client: Client,
    host: String,
    machine: Arc<dyn Machine>,
    admitted: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    number: Arc<AtomicI64>,
}

impl Task {
    async fn run(self) {
        loop {
            connected(&self.client).await;
            match self.client.subscribe(ask_subject(&self.host)).await {
                Ok(mut questions) => {
                    while let Some(question) = questions.next().await {
                        self.take(question).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "hubs cannot ask this machine anything"),
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn take(&self, message: Message) {
        // Nobody waits for an answer.
        let Some(reply) = message.reply else { return };
        let asked = if message.payload.len() > MAX_QUESTION {
            None
        } else {
            serde_json::from_slice::<Asked>(&message.payload).ok()
        };
        let Some(asked) = asked.filter(|asked| asked.host == self.host) else {
            let unknown = "the question is unknown to its version of PerfWatch";
            return self.reply(reply, Err(unknown.to_owned())).await;
        };
        match Arc::clone(&self.admitted).try_acquire_owned() {
            Ok(admitted) => {
                let task = self.clone();
                tokio::spawn(async move { task.answer(asked.ask, reply, admitted).await });
            }
            Err(_) => self.reply(reply, Err("it is asked too much at once".to_owned())).await,
        }
    }

    async fn answer(self, ask: Ask, reply: Subject, _admitted: OwnedSemaphorePermit) {
        let Ok(Ok(turn)) = timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await else {
            return self.reply(reply, Err("it is asked too much at once".to_owned())).await;
        };
        let (done, answered) = oneshot::channel();
        let (task, most) = (self.clone(), self.max_payload());
        let answering = std::thread::Builder::new().name("answer".into()).spawn(move || {
            // Held by the work itself, however long it takes.
            let _turn = turn;
            // The receiver may be gone.
            let _ = done.send(task.packed(task.machine.answer(ask), most));
        });
        let parts = match answering {
            Ok(_) => answered.await.ok(),
            Err(error) => Some(self.packed(Err(format!("it cannot start a thread: {error}")), most)),
        };
        self.send(reply, parts.unwrap_or_default()).await;
    }

    async fn reply(&self, reply: Subject, answer: Answer) {
        self.send(reply, self.packed(answer, self.max_payload())).await;
    }

    fn packed(&self, answer: Answer, most: usize) -> Vec<bytes::Bytes> {
        let id = self.number.fetch_add(1, Ordering::Relaxed);
        parts::split(id, &encode(answer), most).unwrap_or_else(|error| {
            let refusal = encode(Err(format!("its answer is too large: {error}")));
            parts::split(id, &refusal, most).unwrap_or_default()
        })
    }

    fn max_payload(&self) -> usize {
        self.client.max_payload().saturating_sub(MARGIN)
    }

    async fn send(&self, reply: Subject, parts: Vec<bytes::Bytes>) {
        for part in parts {
            // Whoever asked finds that there is no answer.
            let _ = self.client.publish(reply.clone(), part).await;
        }
    }
}
