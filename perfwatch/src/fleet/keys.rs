//! What a hub holds to let machines join: the keys that sign for the fleet's account, for the system account, and what the
//! account may do.
//!
//! Every JWT is valid until it is revoked: a machine that was off for a year still has history to send, and one that lost
//! its clock must still get in.

use std::collections::BTreeMap;

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::jwt::{SigningError, claims, credentials, sign};
use super::protocol::{inbox_of, own_subjects, read_subjects};

/// How many messages may answer one request, and how long, ns.
const MAX_ANSWERS: i64 = 1000;
const ANSWER_NANOS: i64 = 120_000_000_000;

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    // Don't repeat any of it.
    #[error("PERFWATCH_FLEET_KEYS is not the content of a hub.keys that `perfwatch fleet init` made")]
    Unreadable,
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// The content of `hub.keys`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    /// Signs for the operator: accounts.
    pub(super) operator_seed: String,
    pub(super) account: String,
    /// Signs for the fleet's account: hubs and machines.
    pub(super) account_seed: String,
    pub(super) system_account: String,
    /// Signs for the system account: who may change accounts.
    pub(super) system_seed: String,
}

impl std::fmt::Debug for Keys {
    /// Omits the seeds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Keys {
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let keys: Self = serde_json::from_str(text).map_err(|_| KeysError::Unreadable)?;
        let is_key = |seed: &str, wanted| key(seed).is_ok_and(|key| key.key_pair_type() == wanted);
        let are_keys = is_key(&keys.operator_seed, KeyPairType::Operator)
            && is_key(&keys.account_seed, KeyPairType::Account)
            && is_key(&keys.system_seed, KeyPairType::Account);
        if are_keys { Ok(keys) } else { Err(KeysError::Unreadable) }
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    /// A new user of a hub, as a credentials file: it may do everything in the fleet's account.
    pub fn hub_user(&self, now: i64) -> Result<String, KeysError> {
        new_user(&key(&self.account_seed)?, &self.account, "perfwatch hub", now)
    }

    /// A new user of the system account, as a credentials file.
    pub fn system_user(&self, now: i64) -> Result<String, KeysError> {
        new_user(&key(&self.system_seed)?, &self.system_account, "perfwatch hub", now)
    }

    /// The JWT of a machine's user: it sends under its own ID, hears what is asked of it, and reads its own replies.
    pub fn machine_user(&self, public_key: &str, host: &str, now: i64) -> Result<String, KeysError> {
        let mut readable = read_subjects(host);
        readable.push(format!("{}.>", inbox_of(host)));
        let nats = json!({
            "pub": {"allow": own_subjects(host)},
            "sub": {"allow": readable},
            "resp": {"max": MAX_ANSWERS, "ttl": ANSWER_NANOS},
        });
        Ok(sign(&key(&self.account_seed)?, public_key, host, now, &user(nats, &self.account))?)
    }

    /// The account's JWT with the users that are revoked, each with the time of that (s); `None` if it has them all.
    pub fn revoke(
        &self,
        account_jwt: &str,
        revoked: &BTreeMap<String, i64>,
        now: i64,
    ) -> Result<Option<String>, KeysError> {
        let mut claims = claims(account_jwt).ok_or(KeysError::Unreadable)?;
        let issued_at = claims.get("iat").and_then(Value::as_i64).unwrap_or_default();
        let name = claims.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let nats = claims.get_mut("nats").ok_or(KeysError::Unreadable)?;
        let known: BTreeMap<String, i64> =
            serde_json::from_value(nats["revocations"].clone()).unwrap_or_default();
        let is_known = |(key, at): (&String, &i64)| known.get(key).is_some_and(|known| known >= at);
        if revoked.iter().all(is_known) {
            return Ok(None);
        }
        // What an administrator has revoked by other means stays.
        let mut all = known;
        for (key, at) in revoked {
            let known = all.entry(key.clone()).or_insert(*at);
            *known = (*known).max(*at);
        }
        nats["revocations"] = json!(all);
        // NATS keeps the newer one, also where the clock was set back.
        let now = now.max(issued_at + 1);
        Ok(Some(sign(&key(&self.operator_seed)?, &self.account, &name, now, nats)?))
    }
}

fn key(seed: &str) -> Result<KeyPair, KeysError> {
    KeyPair::from_seed(seed).map_err(|_| KeysError::Unreadable)
}

fn new_user(issuer: &KeyPair, account: &str, name: &str, now: i64) -> Result<String, KeysError> {
    let pair = KeyPair::new_user();
    let jwt = sign(issuer, &pair.public_key(), name, now, &user(json!({"pub": {}, "sub": {}}), account))?;
    let seed = pair.seed().map_err(|_| KeysError::Unreadable)?;
    Ok(credentials(&jwt, &seed))
}

/// The claims of a user with these rights.
fn user(mut rights: Value, account: &str) -> Value {
    for limit in ["subs", "data", "payload"] {
        rights[limit] = (-1).into();
    }
    rights["issuer_account"] = account.into();
    rights["type"] = "user".into();
    rights["version"] = 2.into();
    rights
}
