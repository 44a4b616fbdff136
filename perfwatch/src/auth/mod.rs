//! Access control: passwords, session tokens, API tokens, attempt limits, accounts, and the audit log.
//!
//! Knows accounts only through the [`Store`] trait, and nothing about HTTP.

pub mod accounts;
pub mod api_tokens;
pub mod attempts;
pub mod audit;
pub mod first;
mod login;
pub mod names;
pub mod passwords;
mod private_file;
mod remembered;
pub mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::config::labels::{Labels, Selector};
use crate::store::{AccountStore, StoreError, User};
use accounts::AccountError;
use api_tokens::{PREFIX, Scopes};
use attempts::Attempts;
use passwords::{PasswordError, Passwords};
use remembered::Remembered;
use tokens::{Claims, Tokens};

/// What an admin may do that a viewer may not: change anything.
pub const ADMIN: &str = "admin";
pub const VIEWER: &str = "viewer";
/// Precision of an API token's `last_used`: a script that polls every second should not write every second.
const USE_RECORDED: time::Duration = time::Duration::minutes(1);

/// How long the store may take to validate a token.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a token that it validated before, which is accepted if the store does not answer.
const KNOWN_CHECK_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Wrong password, unknown user or dead token; which of them is not disclosed.
    #[error("wrong credentials")]
    Refused,
    #[error("too many attempts")]
    TooManyAttempts { retry_after: Duration },
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot sign a token: {0}")]
    Signing(String),
}

/// The holder of a valid token.
#[derive(Debug, Clone)]
pub struct Identity {
    pub user: User,
    pub credential: Credential,
}

/// The kind of credential.
#[derive(Debug, Clone)]
pub enum Credential {
    Login(Claims),
    ApiToken { hash: String, scopes: Scopes, expires_at: OffsetDateTime },
}

impl Identity {
    pub fn is_admin(&self) -> bool {
        self.user.role == ADMIN
    }

    /// Whether it may see every host.
    pub fn sees_all(&self) -> bool {
        self.is_admin() || self.user.hosts.is_empty()
    }

    /// Whether it may see a host with these labels.
    pub fn sees(&self, labels: &Labels) -> bool {
        // What can't be read selects nothing, rather than everything.
        let selects = || self.user.hosts.parse::<Selector>().is_ok_and(|hosts| hosts.selects(labels));
        self.sees_all() || selects()
    }

    pub fn expires_at(&self) -> OffsetDateTime {
        match &self.credential {
            Credential::Login(claims) => claims.expires_at,
            Credential::ApiToken { expires_at, .. } => *expires_at,
        }
    }
}

#[derive(Debug)]
pub struct Auth {
    store: Arc<dyn AccountStore>,
    passwords: Passwords,
    tokens: Tokens,
    attempts: Attempts,
    data_dir: PathBuf,
    remembered: Remembered,
    /// Changes whenever a token may have ended early.
    revocations: watch::Sender<u64>,
}

impl Auth {
    pub fn new(
        store: Arc<dyn AccountStore>,
        passwords: Passwords,
        tokens: Tokens,
        attempts: Attempts,
        data_dir: PathBuf,
    ) -> Self {
        let (remembered, revocations) = (Remembered::default(), watch::Sender::new(0));
        Self { store, passwords, tokens, attempts, data_dir, remembered, revocations }
    }

    /// Restores the attempts counted by an earlier run.
    pub async fn restore_attempts(&self) -> Result<(), StoreError> {
        let now = OffsetDateTime::now_utc();
        let failures = self.store.login_failures(now - attempts::WINDOW).await?;
        let familiar = self.store.familiar_logins(now - attempts::FAMILIAR).await?;
        self.attempts.restore(&failures, &familiar);
        Ok(())
    }

    /// Makes the first login with an unknown name take as long as any other.
    pub async fn warm_up(&self) -> Result<(), PasswordError> {
        self.passwords.warm_up().await
    }

    #[cfg(test)]
    pub(crate) fn is_warm(&self) -> bool {
        self.passwords.is_warm()
    }

    /// The owner of a token, if it is valid now; while the store is down, if it was valid recently.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, AuthError> {
        let digest = digest(token);
        let known = self.remembered.get(&digest, Instant::now(), OffsetDateTime::now_utc());
        if let Some(known) = &known
            && self.remembered.hung_lately(Instant::now())
        {
            return Ok(known.clone());
        }
        let revocations = *self.revocations.borrow();
        let limit = if known.is_some() { KNOWN_CHECK_TIMEOUT } else { CHECK_TIMEOUT };
        let checked = tokio::time::timeout(limit, self.check_token(token)).await.unwrap_or_else(|_| {
            self.remembered.store_hung(Instant::now());
            Err(StoreError::Unreachable(format!("no answer within {} s", limit.as_secs())).into())
        });
        match (&checked, known) {
            // Don't remember a token that ended during the look-up.
            (Ok(_), _) if *self.revocations.borrow() != revocations => {}
            (Ok(identity), _) => self.remembered.add(digest, identity, Instant::now()),
            (Err(AuthError::Store(StoreError::Unreachable(_) | StoreError::Full)), Some(known)) => {
                return Ok(known);
            }
            (Err(_), _) => self.remembered.forget(&digest),
        }
        checked
    }

    async fn check_token(&self, token: &str) -> Result<Identity, AuthError> {
        if token.starts_with(PREFIX) {
            return self.by_api_token(&api_tokens::hash(token)).await;
        }
        let claims = self.tokens.verify(token, OffsetDateTime::now_utc()).ok_or(AuthError::Refused)?;
        self.by_login(&claims).await
    }

    /// Whether a credential that was valid still is.
    pub async fn still_valid(&self, credential: &Credential) -> Result<Identity, AuthError> {
        match credential {
            Credential::Login(claims) => self.by_login(claims).await,
            Credential::ApiToken { hash, .. } => self.by_api_token(hash).await,
        }
    }

    async fn by_login(&self, claims: &Claims) -> Result<Identity, AuthError> {
        if claims.expires_at <= OffsetDateTime::now_utc() {
            return Err(AuthError::Refused);
        }
        let user = self.store.user_by_id(claims.user_id).await?.ok_or(AuthError::Refused)?;
        if user.token_generation != claims.generation || self.store.is_token_revoked(&claims.id).await? {
            return Err(AuthError::Refused);
        }
        Ok(Identity { user, credential: Credential::Login(claims.clone()) })
    }

    async fn by_api_token(&self, hash: &str) -> Result<Identity, AuthError> {
        let token = self.store.api_token_by_hash(hash).await?.ok_or(AuthError::Refused)?;
        let now = OffsetDateTime::now_utc();
        let scopes = token.scopes.parse().map_err(|()| AuthError::Refused)?;
        if token.expires_at <= now {
            return Err(AuthError::Refused);
        }
        let user = self.store.user_by_id(token.user_id).await?.ok_or(AuthError::Refused)?;
        if token.last_used.is_none_or(|used| now - used >= USE_RECORDED)
            && let Err(error) = self.store.record_token_use(token.id, now).await
        {
            tracing::debug!(%error, "cannot record the use of an API token");
        }
        let credential = Credential::ApiToken { hash: hash.to_owned(), scopes, expires_at: token.expires_at };
        Ok(Identity { user, credential })
    }

    /// Creates a token for a user's scripts: the token, which is not stored, and its stored record.
    pub async fn create_api_token(
        &self,
        user_id: i64,
        name: &str,
        scopes: Scopes,
        expires_at: OffsetDateTime,
    ) -> Result<(String, crate::store::access::ApiToken), AuthError> {
        let token = api_tokens::generate().map_err(|error| AuthError::Signing(error.to_string()))?;
        let (scopes, hash) = (scopes.to_string(), api_tokens::hash(&token));
        let new =
            crate::store::access::NewApiToken { user_id, name, scopes: &scopes, hash: &hash, expires_at };
        Ok((token, self.store.create_api_token(&new).await?))
    }

    /// `false`: no such token.
    pub async fn revoke_api_token(&self, id: i64) -> Result<bool, AuthError> {
        let revoked = self.store.delete_api_token(id).await?;
        self.tokens_died();
        Ok(revoked)
    }

    /// `hosts`: labels of those that a viewer sees; empty for all.
    pub async fn add_user(
        &self,
        name: &str,
        password: &str,
        role: &str,
        hosts: &str,
    ) -> Result<User, AccountError> {
        accounts::add(&*self.store, &self.passwords, name, password, role, hosts).await
    }

    /// Changes each part that is given; ends all sessions of the account.
    pub async fn change_user(
        &self,
        user: &User,
        password: Option<&str>,
        role: Option<&str>,
        hosts: Option<&str>,
    ) -> Result<(), AccountError> {
        // Check everything that can be refused before anything takes effect.
        password.map_or(Ok(()), passwords::check_new)?;
        let next_role = role.unwrap_or(&user.role);
        // Whoever becomes an administrator sees all.
        let hosts = hosts.or_else(|| (next_role == ADMIN && !user.hosts.is_empty()).then_some(""));
        let hosts = hosts.map(|hosts| accounts::check_hosts(hosts, next_role)).transpose()?;
        if let Some(role) = role {
            accounts::set_role(&*self.store, user.id, role).await?;
        }
        if let Some(password) = password {
            accounts::set_password(&*self.store, &self.passwords, user.id, password).await?;
            first::forget(&self.data_dir, &user.username);
        }
        if let Some(hosts) = hosts {
            self.store.set_hosts(user.id, &hosts).await?;
        }
        self.tokens_died();
        Ok(())
    }

    pub async fn delete_user(&self, id: i64) -> Result<(), AccountError> {
        accounts::delete(&*self.store, id).await?;
        self.tokens_died();
        Ok(())
    }

    /// Says that users may see other hosts than before, so that open streams look again.
    pub fn rights_changed(&self) {
        self.tokens_died();
    }

    /// Changes when a token may have ended early: time to call [`still_valid`](Self::still_valid) again.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// Notices accounts changed by the command line, so that open streams and remembered tokens do too. Never returns.
    pub async fn watch_accounts(&self, every: Duration) {
        let mut known = None;
        loop {
            tokio::time::sleep(every).await;
            if self.revocations.receiver_count() == 0 && self.remembered.is_empty() {
                continue;
            }
            // While the store is unreachable, what was valid stays so. The first look may come after a change.
            if let Ok(version) = self.store.accounts_version().await
                && known.replace(version) != Some(version)
            {
                self.tokens_died();
            }
        }
    }

    fn tokens_died(&self) {
        self.remembered.forget_all();
        self.revocations.send_modify(|count| *count += 1);
    }
}

/// SHA-256 in hexadecimal.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
