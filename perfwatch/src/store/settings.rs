//! The sampling settings in the `config` table: set by users, with initial values from the configuration.

pub(super) mod sql;

use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Result;
use super::policy::ArchivePolicy;
use crate::snapshot::source::{Settings, SourceSettings};

/// Keeps settings and the retention policy.
#[async_trait]
pub trait SettingsStore: Send + Sync + std::fmt::Debug {
    async fn archive_policy(&self) -> Result<ArchivePolicy>;
    async fn set_archive_policy(&self, policy: &ArchivePolicy) -> Result<()>;
    async fn record_archive_run(&self, at: OffsetDateTime) -> Result<()>;
    /// A setting's stored value.
    async fn config(&self, key: &str) -> Result<Option<String>>;
    /// Stores settings, all or none.
    async fn set_config(&self, values: &[(&str, String)]) -> Result<()>;
}

const INTERVAL: &str = "sampling_interval_seconds";
const PERF_ENABLED: &str = "perf_events_enabled";
const PERF_CPUS: &str = "perf_events_cpu_cores";
const PERF_INTERVAL: &str = "perf_events_interval_ms";
const PROFILE_HZ: &str = "profile_hz";

/// The value of `perf_events_cpu_cores` that means all online CPUs.
pub const ALL_CPUS: &str = "all";

/// The configuration's values for a store's first start; afterwards the stored values apply.
#[derive(Debug, Clone)]
pub struct First {
    pub sampling: Settings,
    pub cleanup_enabled: bool,
    pub cleanup_interval: Duration,
}

/// The stored settings. At the first start `first` is stored and applies; an unreadable stored value also falls back to
/// it.
pub async fn load(store: &dyn SettingsStore, first: &First) -> Result<Settings> {
    let Some(interval) = store.config(INTERVAL).await? else {
        let mut policy = store.archive_policy().await?;
        policy.cleanup_enabled = first.cleanup_enabled;
        policy.cleanup_interval_minutes =
            i64::try_from(first.cleanup_interval.as_secs() / 60).unwrap_or(i64::MAX).max(1);
        store.set_archive_policy(&policy).await?;
        // Last, because its presence marks the first start as done.
        save(store, &first.sampling).await?;
        return Ok(first.sampling.clone());
    };
    let first = &first.sampling;
    let interval = interval.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let enabled = store.config(PERF_ENABLED).await?.and_then(|text| text.parse().ok());
    let cpus = match store.config(PERF_CPUS).await?.as_deref() {
        None => first.sources.perf_events_cpu_cores.clone(),
        Some(ALL_CPUS) => None,
        Some(list) => list.parse().ok().or_else(|| first.sources.perf_events_cpu_cores.clone()),
    };
    let perf_interval = store.config(PERF_INTERVAL).await?;
    let perf_interval = perf_interval.and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let profile_hz = store.config(PROFILE_HZ).await?;
    Ok(Settings {
        interval: interval.unwrap_or(first.interval),
        sources: SourceSettings {
            perf_events_enabled: enabled.unwrap_or(first.sources.perf_events_enabled),
            perf_events_cpu_cores: cpus,
            perf_events_interval: perf_interval.unwrap_or(first.sources.perf_events_interval),
            profile_hz: profile_hz.and_then(|text| text.parse().ok()).unwrap_or(first.sources.profile_hz),
        },
    })
}

pub async fn save(store: &dyn SettingsStore, settings: &Settings) -> Result<()> {
    let sources = &settings.sources;
    let cpus =
        sources.perf_events_cpu_cores.as_ref().map_or_else(|| ALL_CPUS.to_owned(), ToString::to_string);
    let values = [
        (INTERVAL, settings.interval.as_secs().to_string()),
        (PERF_ENABLED, sources.perf_events_enabled.to_string()),
        (PERF_CPUS, cpus),
        (PERF_INTERVAL, sources.perf_events_interval.as_millis().to_string()),
        (PROFILE_HZ, sources.profile_hz.to_string()),
    ];
    store.set_config(&values).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{open, sqlite_url};

    fn first(seconds: u64, cleanup_minutes: u64) -> First {
        First {
            sampling: Settings { interval: Duration::from_secs(seconds), sources: SourceSettings::default() },
            cleanup_enabled: false,
            cleanup_interval: Duration::from_secs(cleanup_minutes * 60),
        }
    }

    #[tokio::test]
    async fn the_first_start_decides_until_a_user_does() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&sqlite_url(dir.path())).await.unwrap();
        let at_first = first(7, 15);
        assert_eq!(load(&*store, &at_first).await.unwrap(), at_first.sampling);
        assert_eq!(
            load(&*store, &first(2, 99)).await.unwrap(),
            at_first.sampling,
            "the environment changed, the stored value holds"
        );
        let policy = store.archive_policy().await.unwrap();
        assert_eq!((policy.cleanup_enabled, policy.cleanup_interval_minutes), (false, 15));
        let chosen = Settings {
            interval: Duration::from_secs(60),
            sources: SourceSettings {
                perf_events_enabled: false,
                perf_events_cpu_cores: Some("0-1".parse().unwrap()),
                perf_events_interval: Duration::from_millis(250),
                profile_hz: 99,
            },
        };
        save(&*store, &chosen).await.unwrap();
        assert_eq!(load(&*store, &at_first).await.unwrap(), chosen);
        store.set_config(&[(INTERVAL, "often".into()), (PERF_CPUS, "x".into())]).await.unwrap();
        let repaired = load(&*store, &at_first).await.unwrap();
        assert_eq!(
            (repaired.interval, repaired.sources.perf_events_enabled),
            (at_first.sampling.interval, false)
        );
    }
}
