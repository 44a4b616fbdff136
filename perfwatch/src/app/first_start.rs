//! What startup needs from the store: the first account, the settings and the failed sign-ins. If the store is
//! unreachable, the server starts without them and retries until it responds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;

use crate::auth::Auth;
use crate::auth::first::{self, First, FirstError};
use crate::auth::passwords::Passwords;
use crate::config::Config;
use crate::snapshot::source::Settings;
use crate::store::{Store, settings};

/// Pause between two attempts.
const RETRY_DELAY: Duration = Duration::from_secs(1);

pub(super) struct FirstStart<'a, A> {
    pub config: &'a Config,
    pub store: &'a Arc<dyn Store>,
    pub auth: Arc<Auth>,
    pub passwords: Passwords,
    /// Called with the lines about the first login.
    pub announce: &'a A,
    pub settings: watch::Sender<Settings>,
}

impl<A: Fn(&str)> FirstStart<'_, A> {
    /// False if the store does not respond.
    pub(super) async fn attempt(&self) -> Result<bool> {
        // Not fatal: it is then done at the first login.
        if let Err(error) = self.auth.warm_up().await {
            tracing::warn!(%error, "the first login with an unknown name will take longer than others");
        }
        match self.account().await {
            Err(FirstError::Store(error)) if error.may_pass() => return Ok(false),
            made => made.context("cannot create the first account")?,
        }
        match settings::load(self.store.as_ref(), &initial(self.config)).await {
            Err(error) if error.may_pass() => return Ok(false),
            loaded => {
                let loaded = loaded.context("cannot read the settings")?;
                self.settings.send_if_modified(|current| {
                    let changed = *current != loaded;
                    *current = loaded;
                    changed
                });
            }
        }
        match self.auth.restore_attempts().await {
            Err(error) if error.may_pass() => Ok(false),
            restored => restored.map(|()| true).context("cannot read the failed sign-ins"),
        }
    }

    /// Retries until the store responds. Ends early only with an error that no retry will fix.
    pub(super) async fn complete(&self) -> Result<()> {
        while !self.attempt().await? {
            tokio::time::sleep(RETRY_DELAY).await;
        }
        Ok(())
    }

    async fn account(&self) -> Result<(), FirstError> {
        let accounts = &self.config.accounts;
        let made = first::ensure(
            self.store.as_ref(),
            &self.passwords,
            &self.config.storage.data_dir,
            &accounts.admin_username,
            accounts.admin_password.as_deref(),
            self.config.server.is_public(),
        );
        match made.await? {
            First::Exists | First::Configured { weak: false } => {}
            First::Configured { weak: true } => {
                tracing::warn!("ADMIN_PASSWORD is easy to guess; change it");
            }
            First::Generated { password, file } => {
                (self.announce)(&format!("first login: {} / {password}", accounts.admin_username));
                (self.announce)(&format!(
                    "             (also stored in {} until it is changed)",
                    file.display()
                ));
            }
        }
        Ok(())
    }
}

/// Initial values, until changed through the API.
fn initial(config: &Config) -> settings::First {
    settings::First {
        sampling: config.sampling.settings.clone(),
        cleanup_enabled: config.retention.cleanup_enabled,
        cleanup_interval: config.retention.cleanup_interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::attempts::Attempts;
    use crate::auth::tokens::Tokens;

    #[tokio::test]
    async fn a_start_warms_up_what_the_first_unknown_name_needs() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_str().unwrap();
        let set = |name: &str| (name == "PERFWATCH_DATA_DIR").then(|| data.to_owned());
        let config = Config::load(|_| None, set, None).unwrap();
        let store = crate::store::open(&crate::store::sqlite_url(dir.path())).await.unwrap();
        let tokens = Tokens::new(&[7; 32], Duration::from_secs(60));
        let attempts = Attempts::new(10);
        let auth = Auth::new(store.clone(), Passwords::new(4, 1), tokens, attempts, dir.path().to_owned());
        let start = FirstStart {
            config: &config,
            store: &store,
            auth: Arc::new(auth),
            passwords: Passwords::new(4, 1),
            announce: &|_: &str| {},
            settings: watch::Sender::new(config.sampling.settings.clone()),
        };
        assert!(!start.auth.is_warm());
        assert!(start.attempt().await.unwrap());
        assert!(start.auth.is_warm());
    }
}
