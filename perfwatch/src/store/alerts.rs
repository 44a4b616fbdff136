//! What is kept of alerts: states, episodes, silences and rules made over the API. Their events go to the outbox, of which
//! [`deliveries`](super::deliveries) is the other end.
//!
//! Times are µs since the epoch. What is in `state`, `definition` and `payload` is the alerts' own.

pub(super) mod sql;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Result;
use super::leases::Lease;

/// Episodes are removed after this, µs: a year.
pub const EPISODES_KEPT: i64 = 366 * 86_400_000_000;
/// What could not be delivered for this long is no news any more, µs: a week.
pub const EVENTS_KEPT: i64 = 7 * 86_400_000_000;
/// Episodes kept of a host at most, open ones aside; the oldest go first.
pub(super) const MAX_EPISODES: i64 = 20_000;
/// Events kept for delivery at most; the oldest go first.
pub(super) const MAX_OUTBOX: i64 = 10_000;

/// The state of one rule for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertState {
    pub rule: String,
    /// Its labels as a JSON object.
    pub series: String,
    pub state: String,
}

/// From raising to clearing.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    pub id: String,
    pub host: String,
    pub rule: String,
    pub series: String,
    /// The worst.
    pub severity: String,
    pub raised_at: i64,
    pub cleared_at: Option<i64>,
    /// When it was raised.
    pub value: f64,
    pub peak: f64,
    pub flapping: bool,
    /// Why it was cleared, if not by its value.
    pub reason: Option<String>,
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<i64>,
    pub note: Option<String>,
}

/// An event to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same event has the same key, however often it is stored or sent.
    pub key: String,
    pub episode: String,
    /// `raised`, `severity_changed`, `cleared` or `acknowledged`.
    pub kind: String,
    pub at: i64,
    pub payload: String,
}

/// Changes stored in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertBatch {
    pub put: Vec<AlertState>,
    /// Rule and series.
    pub forget: Vec<(String, String)>,
    /// An acknowledgement that is stored stays.
    pub episodes: Vec<Episode>,
    pub events: Vec<Event>,
}

impl AlertBatch {
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.forget.is_empty() && self.episodes.is_empty() && self.events.is_empty()
    }
}

/// Changes of several hosts, by host.
pub type Batches = BTreeMap<String, AlertBatch>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement<'a> {
    pub episode: &'a str,
    pub by: &'a str,
    pub at: i64,
    pub note: Option<&'a str>,
    pub event: &'a Event,
}

/// No notifications of some alerts for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    pub id: i64,
    /// `None` for all rules.
    pub rule: Option<String>,
    /// Patterns by label, as a JSON object.
    pub labels: String,
    pub author: String,
    pub reason: String,
    pub created_at: i64,
    pub ends_at: i64,
}

/// A rule made over the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    pub name: String,
    pub definition: String,
    pub updated_by: String,
    pub updated_at: i64,
}

#[async_trait]
pub trait AlertStore: Send + Sync + std::fmt::Debug {
    async fn alert_states(&self, host: &str) -> Result<Vec<AlertState>>;
    /// Those of all hosts, each with its host.
    async fn all_alert_states(&self) -> Result<Vec<(String, AlertState)>>;
    async fn save_alerts(&self, host: &str, batch: &AlertBatch) -> Result<()>;
    /// Saves changes of several hosts in one transaction. `false`: the lease is another's, and nothing was saved.
    async fn save_all_alerts(&self, lease: Option<&Lease>, batches: &Batches) -> Result<bool>;
    /// Episodes of these hosts that are not cleared.
    async fn open_episodes(&self, hosts: &[String]) -> Result<Vec<Episode>>;
    async fn episode(&self, hosts: &[String], id: &str) -> Result<Option<Episode>>;
    /// The newest of these hosts raised before a time, newest first; of one rule or of all.
    async fn episodes(
        &self,
        hosts: &[String],
        rule: Option<&str>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Episode>>;
    /// How often each rule was raised since a time, and how often that was acknowledged.
    async fn episode_counts(&self, hosts: &[String], since: i64) -> Result<Vec<(String, i64, i64)>>;
    /// `false`: there is no such open episode, or somebody was faster.
    async fn acknowledge(&self, host: &str, acknowledgement: &Acknowledgement<'_>) -> Result<bool>;
    /// Removes episodes and silences that ended, and events that were queued too long ago, and what is too much.
    async fn prune_alerts(&self, host: &str, now: i64) -> Result<()>;

    async fn alert_rules(&self) -> Result<Vec<StoredRule>>;
    /// All of them, or none.
    async fn put_alert_rules(&self, rules: &[StoredRule]) -> Result<()>;
    /// `false`: there is no such rule.
    async fn delete_alert_rule(&self, name: &str) -> Result<bool>;

    /// Those that end after a time.
    async fn silences(&self, after: i64) -> Result<Vec<Silence>>;
    /// The store assigns `id`.
    async fn add_silence(&self, silence: &Silence) -> Result<Silence>;
    /// Sets the end of one that has not ended; `false`: there is none.
    async fn end_silence(&self, id: i64, at: i64) -> Result<bool>;
}
