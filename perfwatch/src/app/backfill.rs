//! What live charts begin with after a restart: the last minutes that the store has of the run before.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::snapshot::Snapshot;
use crate::store::query::recent::recent;
use crate::store::writer::Handle;
use crate::store::{Store, StoreError};
use crate::stream::Hub;

/// How far live charts reach back over a restart.
const RESTORED: Duration = Duration::from_secs(15 * 60);
/// Pause between two attempts at a store that is away.
const AGAIN: Duration = Duration::from_secs(1);
/// Pause between two looks whether the store has what the run before left on disk: a few milliseconds, as a rule.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Puts the last minutes before the start into the live charts' backfill as soon as the store has them: it may come
/// later than the server, and the run before may have left its last snapshots on disk because it was away then, too.
pub(super) async fn restore(store: Arc<dyn Store>, hub: Hub, writer: Option<Handle>) {
    let start = OffsetDateTime::now_utc();
    while writer.as_ref().is_some_and(|writer| writer.stats().catching_up()) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    loop {
        match recent(store.as_ref(), start - RESTORED, start).await {
            Ok(snapshots) => {
                return hub.restore(snapshots.iter().map(Snapshot::message).collect());
            }
            Err(StoreError::Unreachable(_)) => tokio::time::sleep(AGAIN).await,
            Err(error) => return tracing::warn!(%error, "live charts start empty"),
        }
    }
}
