//! One attempt to store something.

use std::time::Duration;

use tokio::time::Instant;

use crate::history::chunk::Block;
use crate::history::head::{Sealed, assemble};
use crate::history::{History, micros, rollup};
use crate::snapshot::Snapshot;
use crate::store::chunks::Document;
use crate::store::{Result, StoreError};

/// When an attempt is given up, in case the server vanished silently.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Number of snapshots whose documents are stored at a time.
const DOCUMENTS: usize = 64;

/// Stores a slot. A late slot also gets its documents stored, as their own attempt is past.
pub(super) async fn store(history: History, sealed: Sealed, with_documents: bool) -> Result<()> {
    let batch = rollup::batch_of(&history, &sealed.chunks, sealed.minutes.as_deref()).await?;
    history.chunks().commit(history.host(), &batch).await?;
    if with_documents {
        let blocks: Vec<Block> = sealed.chunks.iter().filter_map(|chunk| Block::of(chunk).ok()).collect();
        for snapshots in assemble(blocks.iter()).chunks(DOCUMENTS) {
            match history.chunks().put_documents(history.host(), &documents_of(snapshots.iter())).await {
                Ok(()) => {}
                Err(error) if error.may_pass() => return Err(error),
                // The readings are stored; documents that the database rejects as JSON are missing from its views only.
                Err(error) => {
                    tracing::error!(%error, "the database rejects JSON documents; they are missing in SQL views");
                }
            }
        }
    }
    Ok(())
}

pub(super) fn documents_of<'s>(snapshots: impl Iterator<Item = &'s Snapshot>) -> Vec<Document> {
    snapshots
        .flat_map(|snapshot| {
            let at = micros(snapshot.timestamp);
            let shown = snapshot.readings.iter().filter(|reading| reading.metric_type.is_shown());
            shown.map(move |reading| Document { at, metric_type: reading.metric_type, json: reading.json() })
        })
        .collect()
}

pub(super) async fn limited(attempt: impl Future<Output = Result<()>>) -> Result<()> {
    match tokio::time::timeout(ATTEMPT_TIMEOUT, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Unreachable(format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs()))),
    }
}

/// Without a time, never completes.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
