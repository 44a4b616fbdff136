//! The background work of history: rollups every minute, cleanup as often as the policy says.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::tier::{Tier, floor};
use super::{History, micros, rollup};
use crate::store::settings::SettingsStore;
use crate::store::{Result, StoreError};

/// After the minute's end.
const AFTER_MINUTE: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub struct Maintenance {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// How long documents are kept beside the chunks, where they are.
#[derive(Debug, Clone, Copy)]
pub struct DocumentDays(pub u32);

impl Maintenance {
    /// Starts on the current runtime.
    pub fn spawn(
        history: History,
        settings: Arc<dyn SettingsStore>,
        host_name: &str,
        documents: DocumentDays,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let work = Work { history, settings, host_name: host_name.to_owned(), documents };
        Self { stop, task: tokio::spawn(run(work, stopped)) }
    }

    /// Ends at the next transaction boundary; whatever was under way is taken up again at the next start.
    pub async fn close(self) {
        let Self { stop, task } = self;
        let _ = stop.send(true);
        task.await.unwrap_or_else(|error| tracing::error!(%error, "history maintenance failed"));
    }
}

struct Work {
    history: History,
    settings: Arc<dyn SettingsStore>,
    host_name: String,
    documents: DocumentDays,
}

async fn run(work: Work, mut stopped: watch::Receiver<bool>) {
    let mut failing = false;
    loop {
        let pass = tokio::select! {
            // Dropping a transaction rolls it back.
            _ = stopped.wait_for(|stop| *stop) => return,
            pass = pass(&work, OffsetDateTime::now_utc()) => pass,
        };
        match pass {
            Ok(()) if failing => tracing::info!("rollups and clean-up are working again"),
            // An outage is the writer's to tell.
            Err(StoreError::Unreachable(_)) => {}
            Err(ref error) if !failing => tracing::error!(%error, "rollups and clean-up failed; retrying"),
            _ => {}
        }
        failing = matches!(pass, Err(ref error) if !matches!(error, StoreError::Unreachable(_)));
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(until_next(OffsetDateTime::now_utc())) => {}
        }
    }
}

fn until_next(now: OffsetDateTime) -> Duration {
    let into = Duration::new(u64::from(now.second()), now.nanosecond());
    (Duration::from_secs(60) + AFTER_MINUTE - into).min(Duration::from_secs(60))
}

async fn pass(work: &Work, now: OffsetDateTime) -> Result<()> {
    let Work { history, settings, host_name, documents } = work;
    history.chunks().prepare(now).await?;
    history.chunks().introduce(history.host(), host_name).await?;
    rollup::roll(history, micros(now)).await?;
    let old = now - time::Duration::days(i64::from(documents.0));
    history.chunks().remove_documents(history.host(), micros(old)).await?;
    let policy = settings.archive_policy().await?;
    let interval = time::Duration::minutes(policy.cleanup_interval_minutes);
    // A last run in the future means that the clock was set back; it must not stop the cleanup.
    let due = policy.last_archive_run.is_none_or(|last| now - last >= interval || last > now);
    if policy.cleanup_enabled && due {
        let done = clean(history, settings.as_ref(), now).await?;
        if done.deleted_count + done.downsampled_count > 0 {
            tracing::info!(
                deleted = done.deleted_count,
                downsampled = done.downsampled_count,
                "retention clean-up"
            );
        }
    }
    Ok(())
}

/// What one cleanup did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanup {
    /// Chunks removed because they were older than the retention, raw and rolled up.
    pub deleted_count: u64,
    /// Chunks of readings that were replaced by rollups.
    pub downsampled_count: u64,
    pub last_archive_run: OffsetDateTime,
}

/// Applies the policy as of `now`.
pub async fn clean(history: &History, settings: &dyn SettingsStore, now: OffsetDateTime) -> Result<Cleanup> {
    let policy = settings.archive_policy().await?;
    let (chunks, host) = (history.chunks(), history.host());
    let mut deleted_count = 0;
    let expired = micros(now - time::Duration::days(policy.retention_days));
    for tier in Tier::ALL {
        // A rollup goes when all of its bucket is past.
        deleted_count += chunks.remove_before(host, tier.seconds(), tier.floor(expired)).await?;
    }
    let mut downsampled_count = 0;
    if policy.archive_enabled {
        // What is still to be rolled up must be before its finer tier may go.
        rollup::roll(history, micros(now)).await?;
        // Whole hours, so that no bucket loses half of what it was made from.
        let old = micros(now - time::Duration::days(policy.downsample_after_days));
        let mut before = floor(old, Tier::Hour.width());
        let waiting = chunks.tiers(host).await?.stale;
        for tier in policy.downsample_interval.replaces().iter().filter_map(|tier| Tier::of_seconds(*tier)) {
            // Minutes are stored with their readings; hours and days may have to be computed yet.
            let needs = match tier {
                Tier::Raw => None,
                Tier::Minute => Some(Tier::Hour),
                _ => Some(Tier::Day),
            };
            let oldest =
                waiting.iter().filter(|stale| needs.is_some_and(|tier| stale.tier == tier.seconds()));
            before = oldest.map(|stale| stale.start).fold(before, i64::min);
            let removed = chunks.remove_before(host, tier.seconds(), before).await?;
            if tier == Tier::Raw {
                downsampled_count += removed;
            }
        }
    }
    settings.record_archive_run(now).await?;
    Ok(Cleanup { deleted_count, downsampled_count, last_archive_run: now })
}
