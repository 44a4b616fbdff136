//! Recently valid tokens, for when the store is down: measurements stay visible then, too.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::Identity;

/// Since the store last confirmed the token.
const REMEMBERED: Duration = Duration::from_secs(3600);
const MAX_TOKENS: usize = 1000;
/// After a timeout, the store is not waited for again for this long.
const RETRY_DELAY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By the token's digest.
    tokens: HashMap<String, (Identity, Instant)>,
    /// When the store last timed out.
    hung: Option<Instant>,
}

impl Remembered {
    pub(super) fn add(&self, digest: String, identity: &Identity, now: Instant) {
        let mut table = self.table();
        table.hung = None;
        if table.tokens.len() >= MAX_TOKENS && !table.tokens.contains_key(&digest) {
            table.tokens.retain(|_, (_, at)| now.saturating_duration_since(*at) < REMEMBERED);
            let oldest = table.tokens.iter().min_by_key(|(_, (_, at))| *at).map(|(digest, _)| digest.clone());
            if let Some(oldest) = oldest.filter(|_| table.tokens.len() >= MAX_TOKENS) {
                table.tokens.remove(&oldest);
            }
        }
        table.tokens.insert(digest, (identity.clone(), now));
    }

    /// The token's owner when the store last confirmed it.
    pub(super) fn get(&self, digest: &str, now: Instant, clock: OffsetDateTime) -> Option<Identity> {
        let table = self.table();
        let (identity, at) = table.tokens.get(digest)?;
        let is_valid = now.saturating_duration_since(*at) < REMEMBERED && identity.expires_at() > clock;
        is_valid.then(|| identity.clone())
    }

    pub(super) fn forget(&self, digest: &str) {
        self.table().tokens.remove(digest);
    }

    pub(super) fn forget_all(&self) {
        self.table().tokens.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table().tokens.is_empty()
    }

    pub(super) fn store_hung(&self, now: Instant) {
        self.table().hung = Some(now);
    }

    /// Whether it is too early to wait for the store again.
    pub(super) fn hung_lately(&self, now: Instant) -> bool {
        self.table().hung.is_some_and(|hung| now.saturating_duration_since(hung) < RETRY_DELAY)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credential, Scopes};
    use crate::store::User;

    fn identity(expires_at: OffsetDateTime) -> Identity {
        let user = User {
            id: 1,
            username: "eve".into(),
            password_hash: String::new(),
            role: "viewer".into(),
            hosts: String::new(),
            token_generation: 0,
            created_at: OffsetDateTime::UNIX_EPOCH,
            last_login: None,
        };
        let scopes = Scopes { read: true, metrics: false, events: false };
        Identity { user, credential: Credential::ApiToken { hash: String::new(), scopes, expires_at } }
    }

    #[test]
    fn tokens_are_remembered_for_a_while_and_never_past_their_end() {
        let remembered = Remembered::default();
        let (now, clock) = (Instant::now(), OffsetDateTime::now_utc());
        remembered.add("long".into(), &identity(clock + Duration::from_secs(86_400)), now);
        remembered.add("short".into(), &identity(clock + Duration::from_secs(60)), now);
        let known =
            |digest: &str, later: Duration| remembered.get(digest, now + later, clock + later).is_some();
        assert!(
            known("long", Duration::ZERO)
                && known("short", Duration::ZERO)
                && !known("other", Duration::ZERO)
        );
        assert!(known("long", Duration::from_secs(61)) && !known("short", Duration::from_secs(61)));
        assert!(!known("long", REMEMBERED));
        remembered.forget("long");
        assert!(!known("long", Duration::ZERO));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let remembered = Remembered::default();
        let (now, clock) = (Instant::now(), OffsetDateTime::now_utc());
        let one = identity(clock + Duration::from_secs(86_400));
        for n in 0..MAX_TOKENS + 10 {
            remembered.add(n.to_string(), &one, now + Duration::from_micros(n as u64));
        }
        assert_eq!(remembered.table().tokens.len(), MAX_TOKENS);
        assert!(remembered.get("0", now, clock).is_none() && remembered.get("1009", now, clock).is_some());
    }
}
