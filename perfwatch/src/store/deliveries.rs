//! Channels that alerts are told to, and which of them is still to be told what.

pub(super) mod sql;

use async_trait::async_trait;

use super::Result;
use super::alerts::Event;

/// An event in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    pub id: i64,
    pub host: String,
    pub event: Event,
}

/// A raised alert, and the channels that were told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub episode: String,
    pub host: String,
    pub rule: String,
    pub channels: Vec<String>,
}

/// The newest event of a raised alert that nobody was told, as it was silenced; and the channels that were told of the alert
/// before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    pub host: String,
    pub payload: String,
    pub told: Vec<String>,
}

/// A channel made over the API.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredChannel {
    pub name: String,
    /// Without secrets.
    pub definition: String,
    /// Sealed.
    pub secrets: String,
    pub updated_by: String,
    pub updated_at: i64,
}

impl std::fmt::Debug for StoredChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredChannel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Names of channels, as they are stored with an episode.
pub(super) fn joined(channels: &[String]) -> String {
    channels.join(",")
}

pub(super) fn split(channels: &str) -> Vec<String> {
    channels.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[async_trait]
pub trait DeliveryStore: Send + Sync + std::fmt::Debug {
    async fn alert_channels(&self) -> Result<Vec<StoredChannel>>;
    async fn put_alert_channel(&self, channel: &StoredChannel) -> Result<()>;
    /// Also forgets what it was still to be told. `false`: there is no such channel.
    async fn delete_alert_channel(&self, name: &str) -> Result<bool>;

    /// Events of which it is not decided yet who is to be told, oldest first; of one host or of all.
    async fn unrouted_events(&self, host: Option<&str>, limit: i64) -> Result<Vec<Queued>>;
    /// Decides who is to be told, and notes these with the episode if `is_kept`: then nothing of it is withheld any more. An event
    /// for nobody is removed.
    async fn route_event(
        &self,
        host: &str,
        queued: &Queued,
        channels: &[String],
        is_kept: bool,
    ) -> Result<()>;
    /// Keeps an event that is silenced with its episode, instead of an earlier one.
    async fn withhold_event(&self, host: &str, queued: &Queued) -> Result<()>;
    /// What is withheld of alerts that are raised; of one host or of all.
    async fn withheld_events(&self, host: Option<&str>) -> Result<Vec<Withheld>>;
    /// Queues what was withheld of an episode. `false`: nothing is.
    async fn release_event(&self, host: &str, event: &Event) -> Result<bool>;
    /// How often this process may have queued events since it started: while that stays the same, nothing new is queued
    /// unless another process writes to the same store.
    fn times_queued(&self) -> u64;
    /// The channels that were told of an episode.
    async fn told(&self, host: &str, episode: &str) -> Result<Vec<String>>;
    /// Episodes that are not cleared, and of which somebody was told; of one host or of all.
    async fn open_told(&self, host: Option<&str>) -> Result<Vec<Told>>;
    /// Channels that something of one host or of all is queued for.
    async fn due_channels(&self, host: Option<&str>) -> Result<Vec<String>>;
    /// What is queued for a channel, oldest first.
    async fn due_events(&self, host: Option<&str>, channel: &str, limit: i64) -> Result<Vec<Queued>>;
    /// A channel has these, by `id`; those that all channels have are removed.
    async fn events_delivered(&self, channel: &str, ids: &[i64]) -> Result<()>;
}
