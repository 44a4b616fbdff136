//! Whether the store works, known at any moment without asking it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Result, Store, StoreError};

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_secs(3);
/// A store that does not answer within this time does not work.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// What the last look found.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Option<StoreError>>>);

impl Watch {
    /// Looks once, so that a start can tell at once, then again and again until the runtime ends or this is the last one.
    pub async fn start(store: Arc<dyn Store>) -> Self {
        let watch = Self::default();
        watch.note(look(store.as_ref()).await);
        let kept = Arc::downgrade(&watch.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let found = look(store.as_ref()).await;
                let Some(kept) = kept.upgrade() else { return };
                Self(kept).note(found);
            }
        });
        watch
    }

    /// Why the store does not work.
    pub fn problem(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells what changes, once.
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
