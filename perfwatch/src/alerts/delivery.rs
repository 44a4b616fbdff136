//! Delivers queued events: to a webhook, and to Alertmanager.
//!
//! Each destination gets every event, in order. One that fails is tried again, ever later, and holds no other up; what it
//! has already is stored with the event, so that a restart sends little twice and loses nothing. Redirects are not
//! followed: they could lead to addresses that only this machine reaches.

mod alertmanager;

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::answer::silenced;
use super::event::{Kind, Payload};
use super::service::Alerts;
use crate::store;
use crate::store::alerts::{Queued, Silence};

/// Events sent at once.
const BATCH: i64 = 50;
/// The longest that a receiver can ask us to wait.
const MAX_RETRY: Duration = Duration::from_secs(3600);

/// Where events go.
#[derive(Clone)]
pub struct Destinations {
    pub alertmanager: Option<String>,
    pub webhook: Option<String>,
    /// Signs what is sent to the webhook.
    pub webhook_key: Option<String>,
}

impl std::fmt::Debug for Destinations {
    /// Omits URLs and key, which are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Destinations")
    }
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Pause between two looks at the queue.
    pub look: Duration,
    /// For a whole request.
    pub timeout: Duration,
    /// Pause after the first failure; it doubles with each.
    pub first_retry: Duration,
    pub last_retry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(2),
            timeout: Duration::from_secs(10),
            first_retry: Duration::from_secs(5),
            last_retry: Duration::from_secs(900),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Webhook,
    Alertmanager,
}

impl Form {
    /// As stored with events.
    const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
        }
    }
}

struct Target {
    form: Form,
    url: String,
    key: Option<String>,
    failures: u32,
    wait_until: Option<tokio::time::Instant>,
}

/// An event as a webhook gets it.
#[derive(Serialize)]
struct Sent<'a> {
    /// The same for the same event, however often it is sent.
    key: &'a str,
    #[serde(flatten)]
    payload: &'a Payload,
}

/// What a webhook gets.
#[derive(Serialize)]
struct Message<'a> {
    version: u32,
    events: Vec<Sent<'a>>,
}

/// The request failed; the receiver may have said when to come again.
struct Failure {
    why: String,
    retry_after: Option<Duration>,
}

pub struct Delivery {
    alerts: Alerts,
    targets: Vec<Target>,
    agent: ureq::Agent,
    times: Times,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("targets", &self.targets.len()).finish_non_exhaustive()
    }
}

impl Delivery {
    pub fn new(alerts: Alerts, destinations: &Destinations, times: Times) -> Self {
        let target = |form, url: &Option<String>, key: &Option<String>| {
            let url = url.clone()?;
            Some(Target { form, url, key: key.clone(), failures: 0, wait_until: None })
        };
        let targets = [
            target(Form::Webhook, &destinations.webhook, &destinations.webhook_key),
            target(Form::Alertmanager, &destinations.alertmanager, &None),
        ];
        Self { alerts, targets: targets.into_iter().flatten().collect(), agent: agent(times.timeout), times }
    }

    /// Delivers until it is aborted.
    pub fn spawn(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                if let Err(error) = self.step().await {
                    tracing::debug!(%error, "queued events of alerts cannot be read or marked now");
                }
                tokio::time::sleep(self.times.look).await;
            }
        })
    }

    /// Sends what is queued, once.
    async fn step(&mut self) -> store::Result<()> {
        let host = self.alerts.history().host().to_owned();
        let queued = self.alerts.store().queued_events(&host, BATCH).await?;
        if queued.is_empty() {
            return Ok(());
        }
        let now = OffsetDateTime::now_utc();
        let silences = self.alerts.store().silences(store::micros(now)).await?;
        let all: Vec<&'static str> = self.targets.iter().map(|target| target.form.name()).collect();
        let mut done: Vec<Vec<&'static str>> = queued
            .iter()
            .map(|queued| all.iter().copied().filter(|name| queued.has(name)).collect())
            .collect();
        let payloads: Vec<Option<Payload>> = queued.iter().map(|queued| payload(queued, &silences)).collect();
        for target in &mut self.targets {
            if target.wait_until.is_some_and(|until| tokio::time::Instant::now() < until) {
                continue;
            }
            let name = target.form.name();
            let missing: Vec<usize> = (0..queued.len()).filter(|at| !done[*at].contains(&name)).collect();
            let events: Vec<(&str, &Payload)> = missing
                .iter()
                .filter_map(|at| Some((queued[*at].event.key.as_str(), payloads[*at].as_ref()?)))
                .collect();
            let sent = match target.request(&events) {
                None => Ok(()),
                Some(request) => {
                    let agent = self.agent.clone();
                    let sending = tokio::task::spawn_blocking(move || request.send(&agent));
                    let failed =
                        |error: tokio::task::JoinError| Failure { why: error.to_string(), retry_after: None };
                    sending.await.unwrap_or_else(|error| Err(failed(error)))
                }
            };
            match sent {
                Ok(()) => {
                    target.succeeded();
                    missing.iter().for_each(|at| done[*at].push(name));
                }
                Err(failure) => target.failed(&failure, self.times),
            }
        }
        for (queued, done) in queued.iter().zip(done) {
            if done.len() == all.len() {
                self.alerts.store().event_done(queued.id).await?;
            } else if done.iter().any(|name| !queued.has(name)) {
                self.alerts.store().event_delivered(queued.id, &done.join(",")).await?;
            }
        }
        Ok(())
    }
}

/// What to send of an event; nothing if a silence applies. The end of what was raised is always told.
fn payload(queued: &Queued, silences: &[Silence]) -> Option<Payload> {
    let payload: Payload = serde_json::from_str(&queued.event.payload).ok()?;
    let may_be_silenced = matches!(payload.event, Kind::Raised | Kind::SeverityChanged);
    (!may_be_silenced || silenced(silences, &payload.rule, &payload.labels).is_none()).then_some(payload)
}

/// A request to be sent.
struct Request {
    url: String,
    body: Vec<u8>,
    signature: Option<String>,
}

impl Target {
    /// `None` if there is nothing to say.
    fn request(&self, events: &[(&str, &Payload)]) -> Option<Request> {
        if events.is_empty() {
            return None;
        }
        match self.form {
            Form::Webhook => {
                let events = events.iter().map(|(key, payload)| Sent { key, payload }).collect();
                let body = serde_json::to_vec(&Message { version: 1, events }).unwrap_or_default();
                let signature = self.key.as_ref().map(|key| signature(key, &body));
                Some(Request { url: self.url.clone(), body, signature })
            }
            Form::Alertmanager => {
                let alerts = alertmanager::alerts(events.iter().map(|(_, payload)| *payload));
                let url = format!("{}/api/v2/alerts", self.url.trim_end_matches('/'));
                let body = serde_json::to_vec(&alerts).unwrap_or_default();
                (!alerts.is_empty()).then_some(Request { url, body, signature: None })
            }
        }
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            tracing::info!(to = self.form.name(), "alerts are delivered again");
        }
        (self.failures, self.wait_until) = (0, None);
    }

    fn failed(&mut self, failure: &Failure, times: Times) {
        if self.failures == 0 {
            tracing::error!(
                to = self.form.name(),
                error = failure.why,
                "alerts cannot be delivered; they are tried again"
            );
        }
        let doubled = times.first_retry.saturating_mul(1 << self.failures.min(16)).min(times.last_retry);
        let wait = failure.retry_after.unwrap_or(doubled).min(MAX_RETRY);
        self.failures += 1;
        self.wait_until = Some(tokio::time::Instant::now() + wait);
    }
}

impl Request {
    fn send(self, agent: &ureq::Agent) -> Result<(), Failure> {
        let mut request = agent.post(&self.url).header("content-type", "application/json");
        if let Some(signature) = &self.signature {
            request = request.header("x-perfwatch-signature", signature);
        }
        // An error of the client does not repeat the URL.
        let response = request
            .send(&self.body)
            .map_err(|error| Failure { why: error.to_string(), retry_after: None })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let after =
            response.headers().get("retry-after").and_then(|after| after.to_str().ok()?.trim().parse().ok());
        let why = match status.is_redirection() {
            true => format!("it answered {status}; redirects are not followed, so set the final URL"),
            false => format!("it answered {status}"),
        };
        Err(Failure { why, retry_after: after.map(Duration::from_secs) })
    }
}

/// HMAC-SHA256 of the body.
fn signature(key: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        unreachable!("a key may have any length")
    };
    mac.update(body);
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

fn agent(timeout: Duration) -> ureq::Agent {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of this system cannot be read");
    }
    let certificates: Vec<Certificate<'static>> =
        found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
        .build();
    ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("perfwatch/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .new_agent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn failures_wait_ever_longer_or_as_long_as_asked() {
        let mut target =
            Target { form: Form::Webhook, url: String::new(), key: None, failures: 0, wait_until: None };
        let times = Times::default();
        let mut wait = |retry_after: Option<u64>| {
            let failure = Failure { why: String::new(), retry_after: retry_after.map(Duration::from_secs) };
            target.failed(&failure, times);
            let left = target.wait_until.unwrap() - tokio::time::Instant::now();
            left.as_secs_f64().ceil() as u64
        };
        assert_eq!([None, None, None, Some(60), Some(u64::MAX)].map(&mut wait), [5, 10, 20, 60, 3600]);
        for _ in 0..100 {
            wait(None);
        }
        assert_eq!(wait(None), 900);
    }
}
