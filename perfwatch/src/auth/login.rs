//! Logging in and out, and changing one's own password.

use std::net::IpAddr;
use std::time::Duration;

use time::OffsetDateTime;

use super::Credential;
use super::{Auth, AuthError, Identity, attempts, audit, first, passwords};
use crate::store::User;
use crate::store::access::LOGIN_REFUSED;

/// A fresh token.
#[derive(Debug)]
pub struct Login {
    pub token: String,
    pub lifetime: Duration,
    pub user: User,
}

impl Auth {
    /// Exchanges a name and password for a token. `None` means text that is not Unicode: it is refused
    /// like any wrong name or password, after the same work.
    pub async fn login(
        &self,
        username: Option<&str>,
        password: Option<&str>,
        address: IpAddr,
    ) -> Result<Login, AuthError> {
        let attempt = self.attempt(username.unwrap_or_default(), address)?;
        attempt.turn().await;
        let (accepted, known) = match self.check(username, password).await {
            Ok(checked) => checked,
            Err(error) => {
                // The store or the hasher failed; this was not a failed guess.
                attempt.undecided();
                return Err(error);
            }
        };
        let (true, Some(user)) = (accepted, &known) else {
            self.remember_failure(&attempt).await;
            // Unknown names are not recorded: one may well be somebody's password.
            let name = known.as_ref().map_or("(unknown)", |user| &user.username);
            self.audit(name, address, LOGIN_REFUSED, "").await;
            return Err(AuthError::Refused);
        };
        self.remember_success(attempt).await;
        let now = OffsetDateTime::now_utc();
        match self.store.record_login(user.id, now).await {
            // On a full disk, say: whoever comes to look into it must get in.
            Err(error) if error.may_pass() => tracing::warn!(%error, "cannot store the time of a sign-in"),
            recorded => recorded?,
        }
        let token = self
            .tokens
            .issue(user.id, user.token_generation, now)
            .map_err(|error| AuthError::Signing(error.to_string()))?;
        self.audit(&user.username, address, audit::LOGIN, "").await;
        let user = User { last_login: Some(now), ..user.clone() };
        Ok(Login { token, lifetime: self.tokens.lifetime(), user })
    }

    /// Ends this one session. An API token is ended only by revoking it.
    pub async fn logout(&self, identity: &Identity, address: IpAddr) -> Result<(), AuthError> {
        if let Credential::Login(claims) = &identity.credential {
            self.store.revoke_token(&claims.id, claims.expires_at).await?;
            self.tokens_died();
            self.audit(&identity.user.username, address, audit::LOGOUT, "").await;
        }
        Ok(())
    }

    /// Sets a new password, which ends all sessions of the account. `Refused`: `current` is wrong.
    pub async fn change_password(
        &self,
        identity: &Identity,
        current: &str,
        new: &str,
        address: IpAddr,
    ) -> Result<(), AuthError> {
        passwords::check_new(new)?;
        let user = &identity.user;
        // Someone at an unlocked browser must not be able to guess faster here than at the login.
        let attempt = self.attempt(&user.username, address)?;
        attempt.turn().await;
        let right = match self.passwords.verify(Some(current), Some(user.password_hash.clone())).await {
            Ok(right) => right,
            Err(error) => {
                attempt.undecided();
                return Err(error.into());
            }
        };
        if !right {
            self.remember_failure(&attempt).await;
            self.audit(&user.username, address, audit::PASSWORD_REFUSED, "").await;
            return Err(AuthError::Refused);
        }
        self.remember_success(attempt).await;
        let hash = self.passwords.hash(new).await?;
        self.store.set_password(user.id, &hash).await?;
        first::forget(&self.data_dir, &user.username);
        self.tokens_died();
        self.audit(&user.username, address, audit::PASSWORD_CHANGED, "").await;
        Ok(())
    }

    /// Whether the password matches, and the account, after the same work in any case.
    async fn check(
        &self,
        username: Option<&str>,
        password: Option<&str>,
    ) -> Result<(bool, Option<User>), AuthError> {
        // PostgreSQL cannot store a NUL in text, so no account has one.
        let known = match username.filter(|name| !name.contains('\0')) {
            Some(name) => self.store.user_by_name(name).await?,
            None => None,
        };
        let hash = known.as_ref().map(|user| user.password_hash.clone());
        Ok((self.passwords.verify(password, hash).await?, known))
    }

    /// Begins an attempt to get in; it counts as failed unless it is told otherwise.
    pub fn attempt(&self, username: &str, address: IpAddr) -> Result<attempts::Attempt<'_>, AuthError> {
        self.attempts
            .begin(username, address)
            .map_err(|retry_after| AuthError::TooManyAttempts { retry_after })
    }

    async fn remember_failure(&self, attempt: &attempts::Attempt<'_>) {
        let record = attempt.record();
        let since = record.at - attempts::WINDOW;
        if let Err(error) = self.store.record_failure(&record, since).await {
            tracing::warn!(%error, "cannot store a failed sign-in; it will be forgotten at the next start");
        }
    }

    async fn remember_success(&self, attempt: attempts::Attempt<'_>) {
        let record = attempt.record();
        attempt.succeeded();
        let since = record.at - attempts::FAMILIAR;
        if let Err(error) = self.store.record_familiar(&record, since).await {
            tracing::warn!(%error, "cannot store a known address; it will be forgotten at the next start");
        }
    }
}
