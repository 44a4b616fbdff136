//! Calls a URL regularly while rules are evaluated and the store responds: whoever waits for the calls is told when they
//! stay away, also if this machine is gone.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::channel::{Secret, Secrets};
use super::send::Conversation;
use super::send::http::Request;
use super::service::Alerts;
use crate::snapshot::source::Settings;

/// Rules may go without being evaluated for so many intervals, and a while.
const MISSED: u32 = 3;
const GRACE: Duration = Duration::from_secs(30);
/// How long the store may take to respond.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Heartbeat {
    pub url: Secret,
    pub interval: Duration,
    /// How often rules are to be evaluated.
    pub settings: watch::Receiver<Settings>,
}

impl Heartbeat {
    /// Calls until it is aborted.
    pub fn spawn(self, alerts: Alerts) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(self.interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut reason: Option<String> = None;
            loop {
                ticks.tick().await;
                let now = self.beat(&alerts).await.err();
                match (&reason, &now) {
                    (None, Some(why)) => tracing::warn!(why, "the heartbeat stops"),
                    (Some(_), None) => tracing::info!("the heartbeat goes on"),
                    _ => {}
                }
                reason = now;
            }
        })
    }

    /// `Err`: why it was not called, or not reached.
    async fn beat(&self, alerts: &Alerts) -> Result<(), String> {
        // Another hub evaluates, and calls.
        if alerts.duty().charge().is_none() && !alerts.duty().is_nobodys() {
            return Ok(());
        }
        let longest = MISSED * self.settings.borrow().interval + GRACE;
        if alerts.since_evaluated().is_none_or(|since| since > longest) {
            return Err("no rule was evaluated for too long".to_owned());
        }
        if alerts.is_failing() {
            return Err("the database does not take alerts".to_owned());
        }
        match tokio::time::timeout(STORE_TIMEOUT, alerts.store().ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the database does not respond".to_owned()),
        }
        let secrets = Secrets { url: Some(self.url.clone()), ..Secrets::default() };
        let url = self.url.reveal().to_owned();
        let request = Request { method: "GET", url, headers: Vec::new(), body: Vec::new() };
        let sent = alerts.channels().sender().request(request, false, &mut Conversation::new(&secrets)).await;
        sent.map_err(|failure| failure.why)
    }
}
