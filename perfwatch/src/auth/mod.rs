//! Who may come in: passwords, tokens, attempt limits and the first password.
//!
//! Knows accounts only through the [`Store`] trait and nothing of HTTP.

pub mod attempts;
pub mod first;
pub mod passwords;
mod private_file;
pub mod tokens;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::store::{Store, StoreError, User};
use attempts::Attempts;
use passwords::{PasswordError, Passwords};
use tokens::{Claims, Tokens};

/// What an admin may do that a viewer may not: change anything.
pub const ADMIN: &str = "admin";
pub const VIEWER: &str = "viewer";

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Wrong password, unknown user or dead token: which of them is not told.
    #[error("credentials not accepted")]
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

/// Someone who showed a valid token.
#[derive(Debug, Clone)]
pub struct Identity {
    pub user: User,
    pub token: Claims,
}

impl Identity {
    pub fn is_admin(&self) -> bool {
        self.user.role == ADMIN
    }
}

/// A fresh token.
#[derive(Debug)]
pub struct Login {
    pub token: String,
    pub lifetime: Duration,
    pub user: User,
}

#[derive(Debug)]
pub struct Auth {
    store: Arc<dyn Store>,
    passwords: Passwords,
    tokens: Tokens,
    attempts: Attempts,
    data_dir: PathBuf,
    /// Moves whenever a token may have died before its time.
    revocations: watch::Sender<u64>,
}

impl Auth {
    pub fn new(
        store: Arc<dyn Store>,
        passwords: Passwords,
        tokens: Tokens,
        attempts: Attempts,
        data_dir: PathBuf,
    ) -> Self {
        Self { store, passwords, tokens, attempts, data_dir, revocations: watch::Sender::new(0) }
    }

    /// Exchanges a name and password for a token. `None` stands for text that is no Unicode: it is refused
    /// like any wrong name or password, after the same work.
    pub async fn login(
        &self,
        username: Option<&str>,
        password: Option<&str>,
        address: IpAddr,
    ) -> Result<Login, AuthError> {
        let attempt = self.attempt(username.unwrap_or_default(), address)?;
        // PostgreSQL cannot hold a NUL in text, so no account has one.
        let known = match username.filter(|name| !name.contains('\0')) {
            Some(name) => self.store.user_by_name(name).await?,
            None => None,
        };
        let hash = known.as_ref().map(|user| user.password_hash.clone());
        let accepted = self.passwords.verify(password, hash).await?;
        let (true, Some(user)) = (accepted, known) else { return Err(AuthError::Refused) };
        attempt.succeeded();
        let now = OffsetDateTime::now_utc();
        self.store.record_login(user.id, now).await?;
        let token = self
            .tokens
            .issue(user.id, user.token_generation, now)
            .map_err(|error| AuthError::Signing(error.to_string()))?;
        Ok(Login { token, lifetime: self.tokens.lifetime(), user: User { last_login: Some(now), ..user } })
    }

    /// Whom a token belongs to, if it is valid now.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, AuthError> {
        let claims = self.tokens.verify(token, OffsetDateTime::now_utc()).ok_or(AuthError::Refused)?;
        self.still_valid(&claims).await
    }

    /// As [`authenticate`](Self::authenticate), for a token whose signature has been checked before.
    pub async fn still_valid(&self, claims: &Claims) -> Result<Identity, AuthError> {
        if claims.expires_at <= OffsetDateTime::now_utc() {
            return Err(AuthError::Refused);
        }
        let user = self.store.user_by_id(claims.user_id).await?.ok_or(AuthError::Refused)?;
        if user.token_generation != claims.generation || self.store.is_token_revoked(&claims.id).await? {
            return Err(AuthError::Refused);
        }
        Ok(Identity { user, token: claims.clone() })
    }

    /// Ends this one token.
    pub async fn logout(&self, identity: &Identity) -> Result<(), AuthError> {
        self.store.revoke_token(&identity.token.id, identity.token.expires_at).await?;
        self.tokens_died();
        Ok(())
    }

    /// Sets a new password, which ends every token of the account. `Refused`: `current` is wrong.
    pub async fn change_password(
        &self,
        identity: &Identity,
        current: &str,
        new: &str,
        address: IpAddr,
    ) -> Result<(), AuthError> {
        passwords::check_new(new)?;
        // Whoever found an unlocked browser must not guess the password here any faster than at the login.
        let attempt = self.attempt(&identity.user.username, address)?;
        let hash = Some(identity.user.password_hash.clone());
        if !self.passwords.verify(Some(current), hash).await? {
            return Err(AuthError::Refused);
        }
        attempt.succeeded();
        let hash = self.passwords.hash(new).await?;
        self.store.set_password(identity.user.id, &hash).await?;
        first::forget(&self.data_dir, &identity.user.username);
        self.tokens_died();
        Ok(())
    }

    /// Changes when a token may have died before its time: time to ask [`still_valid`](Self::still_valid) again.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    fn attempt(&self, username: &str, address: IpAddr) -> Result<attempts::Attempt<'_>, AuthError> {
        self.attempts
            .begin(username, address)
            .map_err(|retry_after| AuthError::TooManyAttempts { retry_after })
    }

    fn tokens_died(&self) {
        self.revocations.send_modify(|count| *count += 1);
    }
}
