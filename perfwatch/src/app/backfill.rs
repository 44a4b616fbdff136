//! Backfills live charts after a restart with the stored minutes before it.

use std::time::Duration;

use time::OffsetDateTime;

use crate::history::History;
use crate::history::head::Sealed;
use crate::history::writer::Handle;
use crate::snapshot::MetricType;
use crate::store::chunks::Wanted;
use crate::store::{Result, micros};
use crate::stream::Hub;

/// How far live charts reach back across a restart.
const RESTORED_SPAN: Duration = Duration::from_secs(15 * 60);
/// More chunks than a type has in that span.
const MAX_CHUNKS: i64 = 64;
/// Pause between two attempts at a store that is unreachable.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Pause between two checks whether the previous run's data on disk has been stored, which usually takes a few
/// milliseconds.
const POLL_DELAY: Duration = Duration::from_millis(20);

/// Loads the minutes before startup into the head of history as soon as the store has them: it may become available
/// after the server, and the previous run may have left its last snapshots on disk.
pub(super) async fn restore(history: History, hub: Hub, writer: Option<Handle>) {
    let start = OffsetDateTime::now_utc();
    while writer.as_ref().is_some_and(|writer| writer.stats().catching_up()) {
        tokio::time::sleep(POLL_DELAY).await;
    }
    loop {
        match recent(&history, start).await {
            Ok(past) => {
                if !past.chunks.is_empty() {
                    history.head().restore(vec![past]);
                    hub.past_restored();
                }
                return;
            }
            Err(error) if error.may_pass() => tokio::time::sleep(RETRY_DELAY).await,
            Err(error) => return tracing::warn!(%error, "live charts start empty"),
        }
    }
}

async fn recent(history: &History, start: OffsetDateTime) -> Result<Sealed> {
    let mut chunks = Vec::new();
    for metric_type in MetricType::ALL {
        let wanted = Wanted {
            content: metric_type.into(),
            tier: 0,
            from: micros(start - RESTORED_SPAN),
            to: micros(start),
        };
        chunks.extend(history.chunks().find(history.host(), wanted, MAX_CHUNKS).await?);
    }
    Ok(Sealed { slot: 0, chunks: chunks.into(), minutes: None, snapshots: 0 })
}
