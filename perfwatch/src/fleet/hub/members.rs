//! Machines that join: by a token, once, they get credentials of their own, which end when they are revoked.
//!
//! A revocation is stored first and then put into the account's JWT, which NATS keeps and obeys at once. Every hub compares
//! the two every half minute, so that none is forgotten if NATS was away, or lost what it kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::MAX_NAME;
use crate::config;
use crate::config::check::is_host_id;
use crate::fleet::connection::{ConnectError, connect_system, connected};
use crate::fleet::keys::{Keys, KeysError};
use crate::host::Host;
use crate::store::fleet::{JoinToken, Joined, Member};
use crate::store::{Store, StoreError, micros};

/// Prefix of every token, so that people and secret scanners recognise it.
const PREFIX: &str = "pwj_";
/// For a hub of another clock, s.
const CLOCKS_DIFFER: i64 = 3600;
/// How long a token that expired is still told from one that never was, µs.
const REMEMBERED: i64 = 30 * 86_400 * 1_000_000;
const SYNC_EVERY: Duration = Duration::from_secs(30);
const NATS_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a machine may not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("This token is unknown here: make a new one in the hub's settings")]
    UnknownToken,
    #[error("This token has expired: make a new one in the hub's settings")]
    ExpiredToken,
    #[error("This token was used before: make a new one in the hub's settings, one for each machine")]
    UsedToken,
    #[error(
        "Another machine has joined with this ID. If this one is a copy of it, set PERFWATCH_HOST_ID here; if it is the \
         same one, revoke it in the hub's settings first"
    )]
    HostTaken,
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A machine that asks.
#[derive(Debug)]
pub struct Asking<'a> {
    pub public_key: &'a str,
    pub host: &'a str,
    pub name: &'a str,
    /// Where it asks from.
    pub address: String,
}

/// What it gets.
#[derive(Debug)]
pub struct Ticket {
    pub jwt: String,
    pub servers: Vec<String>,
    /// PEM.
    pub ca: Option<String>,
}

/// Clones share it.
#[derive(Debug, Clone)]
pub struct Members(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    store: Arc<dyn Store>,
    system: Client,
    servers: Vec<String>,
    ca: Option<String>,
    /// Whether NATS may not know of a revocation.
    is_behind: AtomicBool,
}

impl Members {
    /// `None`: this hub has no keys, so machines are let in by hand.
    pub async fn start(fleet: &config::Fleet, store: Arc<dyn Store>) -> Result<Option<Self>, ConnectError> {
        let Some(keys) = &fleet.keys else { return Ok(None) };
        let keys = Keys::parse(keys)?;
        let ca = match &fleet.ca {
            Some(ca) => Some(tokio::fs::read_to_string(ca).await.map_err(ConnectError::Authorities)?),
            None => None,
        };
        let told = if fleet.public_servers.is_empty() { &fleet.servers } else { &fleet.public_servers };
        let servers = told.iter().map(|url| without_login(url)).collect();
        let system = connect_system(fleet, &keys).await?;
        let is_behind = AtomicBool::new(false);
        Ok(Some(Self(Arc::new(Inner { keys, store, system, servers, ca, is_behind }))))
    }

    /// Tells NATS of revocations, again and again, until it is aborted.
    pub fn keep(&self) -> JoinHandle<()> {
        let members = self.clone();
        tokio::spawn(async move {
            loop {
                connected(&members.0.system).await;
                members.tell_nats().await;
                tokio::time::sleep(SYNC_EVERY).await;
            }
        })
    }

    /// Makes a token that lets one machine join.
    pub async fn invite(
        &self,
        author: &str,
        lifetime: Duration,
    ) -> Result<(String, OffsetDateTime), StoreError> {
        invite(&*self.0.store, author, lifetime).await
    }

    pub async fn join(&self, token: &str, asking: Asking<'_>) -> Result<Ticket, JoinError> {
        let Asking { public_key, host, name, address } = asking;
        let is_user = KeyPair::from_public_key(public_key)
            .is_ok_and(|key| matches!(key.key_pair_type(), KeyPairType::User));
        if !is_user {
            return Err(JoinError::Invalid("Expected the public key of a user of NATS"));
        }
        if !is_host_id(host) {
            return Err(JoinError::Invalid("Expected an ID of 1 to 64 letters, digits and -_."));
        }
        let is_name = !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
        if !is_name {
            return Err(JoinError::Invalid("Expected a name of one line"));
        }
        let now = OffsetDateTime::now_utc();
        // Before the token is used up.
        let jwt = self.0.keys.machine_user(public_key, host, now.unix_timestamp())?;
        let member = Member {
            public_key: public_key.to_owned(),
            host: host.to_owned(),
            name: name.to_owned(),
            address,
            author: String::new(),
            joined_at: micros(now),
            revoked_at: None,
        };
        let store = &self.0.store;
        match store.join(&hash(token), &member).await? {
            Joined::Yes => {}
            Joined::UnknownToken => return Err(JoinError::UnknownToken),
            Joined::ExpiredToken => return Err(JoinError::ExpiredToken),
            Joined::UsedToken => return Err(JoinError::UsedToken),
            Joined::HostTaken => return Err(JoinError::HostTaken),
        }
        // One that was here before keeps its facts.
        if !store.hosts().await?.iter().any(|known| known.id == host) {
            store.introduce(&Host::new(host, name)).await?;
        }
        Ok(Ticket { jwt, servers: self.0.servers.clone(), ca: self.0.ca.clone() })
    }

    /// Ends a machine's rights for ever. `None`: no machine has joined with this ID. Otherwise whether NATS knows it
    /// already.
    pub async fn revoke(&self, host: &str) -> Result<Option<bool>, StoreError> {
        if !self.0.store.revoke_member(host, micros(OffsetDateTime::now_utc())).await? {
            return Ok(None);
        }
        Ok(Some(self.tell_nats().await))
    }

    /// True while a revoked machine may still be let in.
    pub fn is_behind(&self) -> bool {
        self.0.is_behind.load(Ordering::Relaxed)
    }

    async fn tell_nats(&self) -> bool {
        let Inner { store, is_behind, .. } = &*self.0;
        // While the store can't be read, the state is what it was.
        let Ok(members) = store.members().await else { return false };
        let revoked = members.into_iter().filter_map(|member| {
            let at = member.revoked_at?.max(member.joined_at) / 1_000_000;
            Some((member.public_key, at + CLOCKS_DIFFER))
        });
        let revoked: BTreeMap<String, i64> = revoked.collect();
        if revoked.is_empty() {
            return true;
        }
        let told = match timeout(NATS_TIMEOUT, self.push(&revoked)).await {
            Ok(told) => told,
            Err(_) => Err("it does not answer".into()),
        };
        match told {
            Ok(()) => is_behind.store(false, Ordering::Relaxed),
            Err(error) => {
                if !is_behind.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "NATS cannot be told which machines are revoked; trying again");
                }
                return false;
            }
        }
        true
    }

    async fn push(&self, revoked: &BTreeMap<String, i64>) -> Result<(), async_nats::Error> {
        let Inner { keys, system, .. } = &*self.0;
        if system.connection_state() != State::Connected {
            return Err("there is no connection to its system account".into());
        }
        let asked = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP", keys.account());
        let account = system.request(asked, "".into()).await?.payload;
        let account = std::str::from_utf8(&account)?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let Some(changed) = keys.revoke(account, revoked, now)? else { return Ok(()) };
        let answer = system.request("$SYS.REQ.CLAIMS.UPDATE", changed.into()).await?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        match answer.get("error") {
            None => Ok(()),
            Some(error) => Err(error.to_string().into()),
        }
    }
}

/// Makes a token that lets one machine join, and says until when.
pub async fn invite(
    store: &dyn Store,
    author: &str,
    lifetime: Duration,
) -> Result<(String, OffsetDateTime), StoreError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| StoreError::Database(format!("cannot get random numbers: {error}")))?;
    let token = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
    let now = OffsetDateTime::now_utc();
    let expires_at = now + lifetime;
    let stored = JoinToken {
        hash: hash(&token),
        author: author.to_owned(),
        created_at: micros(now),
        expires_at: micros(expires_at),
    };
    store.add_join_token(&stored, micros(now) - REMEMBERED).await?;
    Ok((token, expires_at))
}

/// What is stored of a token. A fast hash is enough for something that cannot be guessed.
fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hub's own password is not for machines.
fn without_login(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, server)) => format!("{scheme}://{server}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_s_password_is_not_told() {
        assert_eq!(without_login("tls://hub:hu@sh@nats:4222"), "tls://nats:4222");
        assert_eq!(without_login("nats://nats:4222"), "nats://nats:4222");
    }
}
