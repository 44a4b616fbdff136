//! A machine's end of what hubs' rules need: hubs ask every few seconds, and as long as one asks, answers go out. Nothing
//! keeps them: what is lost is measured again soon. What questions and answers say is nothing to the fleet.

use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::connected;
use super::protocol::{WANTED, inputs_subject};

/// Hubs ask this often.
pub const ASKED_EVERY: Duration = Duration::from_secs(10);
/// Nobody wants anything any more after this time.
const FORGOTTEN: Duration = Duration::from_secs(60);
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Clones share it. It ends with the last of them.
#[derive(Debug, Clone)]
pub struct Inputs {
    client: Client,
    subject: String,
    wanted: watch::Receiver<Option<Bytes>>,
}

impl Inputs {
    pub(super) fn spawn(client: Client, host: &str) -> Self {
        let (sender, wanted) = watch::channel(None);
        tokio::spawn(listen(client.clone(), sender));
        Self { client, subject: inputs_subject(host), wanted }
    }

    pub fn is_wanted(&self) -> bool {
        self.wanted.borrow().is_some()
    }

    /// What is asked; `None` if nobody asked lately.
    pub fn wanted(&self) -> Option<Bytes> {
        self.wanted.borrow().clone()
    }

    pub async fn answer(&self, message: Bytes) {
        if message.len() > self.client.max_payload() {
            return tracing::debug!(bytes = message.len(), "readings for hubs' rules exceed max_payload");
        }
        let _ = self.client.publish(self.subject.clone(), message).await;
    }
}

/// Until nobody is interested in what is asked.
async fn listen(client: Client, wanted: watch::Sender<Option<Bytes>>) {
    loop {
        tokio::select! {
            () = connected(&client) => {}
            () = wanted.closed() => return,
        }
        match client.subscribe(WANTED).await {
            Ok(mut asked) => {
                let mut forgotten = Instant::now() + FORGOTTEN;
                loop {
                    tokio::select! {
                        () = wanted.closed() => return,
                        () = sleep_until(forgotten) => {
                            wanted.send_if_modified(|wanted| wanted.take().is_some());
                            forgotten = Instant::now() + FORGOTTEN;
                        }
                        message = asked.next() => {
                            let Some(message) = message else { break };
                            forgotten = Instant::now() + FORGOTTEN;
                            let text = Some(message.payload).filter(|text| !text.is_empty());
                            wanted.send_if_modified(|wanted| {
                                let is_new = *wanted != text;
                                *wanted = text;
                                is_new
                            });
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot hear what hubs want for their rules"),
        }
        sleep(RETRY_DELAY).await;
    }
}
