//! Questions that another machine of the fleet answers itself: who may ask it, who did, and what it says if it can't.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde::de::IgnoredAny;

use super::AppState;
use super::error::{Error, Result};
use crate::auth::{Identity, audit};
use crate::fleet::asking::Ask;
use crate::fleet::hub::asking::{AskError, Asking};
use crate::history::History;
use crate::snapshot::rfc3339;
use crate::store::from_micros;

/// What a page asks again and again is in the audit log once in this time.
const AUDITED_AGAIN: Duration = Duration::from_secs(600);
/// Notes of it kept at most.
const MAX_NOTED: usize = 10_000;

/// Another machine that may be asked.
#[derive(Debug)]
pub(super) struct Remote {
    state: AppState,
    history: History,
    asking: Asking,
}

/// Which user asked which host for what, and when that was put into the audit log.
#[derive(Debug, Default)]
pub(super) struct Noted(Mutex<HashMap<(i64, String, &'static str), Instant>>);

impl Noted {
    /// Whether it belongs into the audit log (again).
    fn is_news(&self, user: i64, host: &str, what: &'static str) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_known = |at: &Instant| now.duration_since(*at) < AUDITED_AGAIN;
        let key = (user, host.to_owned(), what);
        if noted.get(&key).is_some_and(is_known) {
            return false;
        }
        if noted.len() >= MAX_NOTED {
            noted.retain(|_, at| is_known(at));
        }
        if noted.len() < MAX_NOTED {
            noted.insert(key, now);
        }
        true
    }
}

impl AppState {
    /// The machine to ask, if it is another than this one.
    pub(super) async fn remote(&self, who: &Identity, host: Option<&str>) -> Result<Option<Remote>> {
        let history = self.history_of(who, host).await?;
        if history.host() == self.history.host() {
            return Ok(None);
        }
        let asking = self.fleet.asking.clone().ok_or_else(no_hub)?;
        Ok(Some(Remote { state: self.clone(), history, asking }))
    }

    /// Puts it into the audit log that someone asks a host for something, unless that was done lately.
    pub(super) async fn note_asked(&self, who: &Identity, address: IpAddr, host: &str, what: &'static str) {
        if self.0.noted.is_news(who.user.id, host, what) {
            let detail = format!("{what} of {host}");
            self.auth.audit(&who.user.username, address, audit::HOST_ASKED, &detail).await;
        }
    }
}

/// Its history is here, but nobody who could ask it.
pub(super) fn no_hub() -> Error {
    Error::BadRequest("Only a hub of the fleet can ask another machine".into())
}

impl Remote {
    /// The machine's answer, as JSON.
    pub(super) async fn answer(self, who: &Identity, address: IpAddr, ask: Ask) -> Result<Vec<u8>> {
        let host = self.history.host();
        let what = match ask {
            Ask::Processes { .. } => "processes",
            Ask::Doctor => "doctor",
            Ask::Sources => "sources",
            Ask::Newest { .. } => "newest",
        };
        self.state.note_asked(who, address, host, what).await;
        let (status, problem) = match self.asking.ask(host, ask).await {
            Ok(json) if is_json(&json) => return Ok(json),
            Ok(_) => (StatusCode::BAD_GATEWAY, "has sent an answer that is no JSON".to_owned()),
            Err(error) => (status(&error), error.to_string()),
        };
        Err(Error::Refused(status, self.sentence(who, &problem).await))
    }

    /// Which host it is, what is wrong, and since when it was heard.
    async fn sentence(&self, who: &Identity, problem: &str) -> String {
        let id = self.history.host();
        let hosts = self.state.visible_hosts(who).await.unwrap_or_default();
        let name = hosts.into_iter().find(|host| host.id == id).map(|host| host.name);
        let called = name.filter(|name| name != id).map_or(id.to_owned(), |name| format!("{name} ({id})"));
        let heard = match self.state.fleet.presence.heard_at(id) {
            Some(at) => format!("last sign of life: {}", rfc3339(at.truncate_to_second())),
            None => {
                let stored = self.history.chunks().newest().await.unwrap_or_default();
                match stored.into_iter().find(|(host, _)| host == id) {
                    Some((_, end)) => {
                        format!(
                            "its stored history ends at {}",
                            rfc3339(from_micros(end).truncate_to_second())
                        )
                    }
                    None => "it has not been heard since this hub started".to_owned(),
                }
            }
        };
        format!("The host {called} {problem}; {heard}")
    }
}

fn status(error: &AskError) -> StatusCode {
    match error {
        AskError::Disconnected | AskError::Absent | AskError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        AskError::Late(_) => StatusCode::GATEWAY_TIMEOUT,
        AskError::Unreadable(_) => StatusCode::BAD_GATEWAY,
    }
}

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_asks_again_and_again_is_noted_once() {
        let noted = Noted::default();
        assert!(noted.is_news(1, "a", "processes"));
        assert!(!noted.is_news(1, "a", "processes"));
        for (user, host, what) in [(2, "a", "processes"), (1, "b", "processes"), (1, "a", "doctor")] {
            assert!(noted.is_news(user, host, what));
        }
    }
}
