//! The store's current health, available at any time without a query.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Engine, Result, Store, StoreError};

/// Pause between two checks.
const INTERVAL: Duration = Duration::from_secs(3);
/// The same of a file, which does not go away as a server does.
const INTERVAL_OF_FILE: Duration = Duration::from_secs(10);
/// A store that doesn't respond within this time counts as failed.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// Result of the last check.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Option<StoreError>>>);

impl Watch {
    /// Checks once, so that the result is known at startup, then repeatedly until the runtime ends or the last handle
    /// is dropped.
    pub async fn start(store: Arc<dyn Store>) -> Self {
        let watch = Self::default();
        watch.note(look(store.as_ref()).await);
        let kept = Arc::downgrade(&watch.0);
        let interval = match store.engine() {
            Engine::Sqlite => INTERVAL_OF_FILE,
            Engine::Postgresql => INTERVAL,
        };
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let found = look(store.as_ref()).await;
                let Some(kept) = kept.upgrade() else { return };
                Self(kept).note(found);
            }
        });
        watch
    }

    /// Why the store doesn't work.
    pub fn problem(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs changes, once each.
    fn note(&self, found: Result<()>) {
        let mut problem = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*problem, &found) {
            (None, Err(error)) => {
                tracing::error!(%error, "the database does not respond; snapshots wait on disk");
            }
            (Some(_), Ok(())) => tracing::info!("the database responds again"),
            (Some(known), Err(error)) if known.to_string() != error.to_string() => {
                tracing::error!(%error, "the database still does not respond");
            }
            _ => {}
        }
        *problem = found.err();
    }
}

async fn look(store: &dyn Store) -> Result<()> {
    tokio::time::timeout(TIMEOUT, store.ping())
        .await
        .unwrap_or_else(|_| Err(StoreError::Unreachable("no answer within 2.5 s".into())))
}
