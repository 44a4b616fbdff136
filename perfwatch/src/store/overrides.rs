//! Retention of some hosts of a hub, by their labels, in the stored settings.

use serde::{Deserialize, Serialize};

use super::policy::ArchivePolicy;
use super::settings::SettingsStore;
use super::{Result, StoreError};
use crate::config::labels::{Labels, Selector};

const KEY: &str = "retention_overrides";

/// Some hosts keep history for another time than the policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Labels of the hosts.
    pub hosts: String,
    /// 1 to 365.
    pub retention_days: i64,
    /// 0 to `retention_days`.
    pub downsample_after_days: i64,
}

/// The policy for a host with these labels: by the first override that is about it.
pub fn policy_of(labels: &Labels, policy: &ArchivePolicy, overrides: &[Override]) -> ArchivePolicy {
    let is_about = |one: &&Override| one.hosts.parse::<Selector>().is_ok_and(|hosts| hosts.selects(labels));
    let mut policy = policy.clone();
    if let Some(first) = overrides.iter().find(is_about) {
        policy.retention_days = first.retention_days;
        policy.downsample_after_days = first.downsample_after_days;
    }
    policy
}

/// In their order.
pub async fn load(store: &dyn SettingsStore) -> Result<Vec<Override>> {
    let Some(stored) = store.config(KEY).await? else { return Ok(Vec::new()) };
    // Without them, a host could lose what it was to keep.
    serde_json::from_str(&stored).map_err(|_| StoreError::Database(format!("{KEY} cannot be read")))
}

pub async fn save(store: &dyn SettingsStore, overrides: &[Override]) -> Result<()> {
    let text = serde_json::to_string(overrides).unwrap_or_default();
    store.set_config(&[(KEY, text)]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_override_about_a_host_counts() {
        let policy = ArchivePolicy::initial(time::OffsetDateTime::UNIX_EPOCH);
        let one = |hosts: &str, days| Override {
            hosts: hosts.into(),
            retention_days: days,
            downsample_after_days: 1,
        };
        let overrides = [one("env=test,role=web", 2), one("env=test", 3), one("nonsense", 4)];
        let days = |labels: &str| policy_of(&labels.parse().unwrap(), &policy, &overrides).retention_days;
        assert_eq!((days("env=test,role=web"), days("env=test"), days("env=live"), days("")), (2, 3, 30, 30));
    }
}
