//! Whose alerts a user sees: those of this machine; on a hub, those of the hosts that the user may see.

use std::collections::BTreeMap;

use crate::alerts::catalogue::Over;
use crate::api::AppState;
use crate::api::error::{Error, Result};
use crate::auth::Identity;

/// Hosts by ID, with their names.
#[derive(Debug)]
pub(super) struct Shown(BTreeMap<String, String>);

impl Shown {
    /// All of them, or the one that the user asks for by ID or name.
    pub(super) async fn of(state: &AppState, who: &Identity, host: Option<&str>) -> Result<Self> {
        let this = state.alerts.history().host();
        if state.alerts.over() == Over::Machine {
            let name = &state.alerts.channels().place().host_name;
            return match host {
                Some(other) if other != this && other != name => {
                    Err(Error::BadRequest("Alerts of other hosts are evaluated by hubs".into()))
                }
                _ if !state.sees_this(who).await? => Ok(Self(BTreeMap::new())),
                _ => Ok(Self(BTreeMap::from([(this.to_owned(), name.clone())]))),
            };
        }
        state.alerts.refresh().await?;
        let mut hosts: BTreeMap<String, String> =
            state.visible_hosts(who).await?.into_iter().map(|host| (host.id, host.name)).collect();
        if host.is_some() {
            let wanted = state.history_of(who, host).await?;
            hosts.retain(|id, _| id == wanted.host());
        }
        Ok(Self(hosts))
    }

    pub(super) fn has(&self, host: &str) -> bool {
        self.0.contains_key(host)
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// What people call a host.
    pub(super) fn name<'a>(&'a self, host: &'a str) -> &'a str {
        self.0.get(host).map(String::as_str).filter(|name| !name.is_empty()).unwrap_or(host)
    }
}
