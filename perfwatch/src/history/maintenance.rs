//! The background work of history: rollups every minute, cleanup as often as the policy says.

pub(crate) mod evidence;

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use evidence::Evidence;

use super::plan::Coverage;
use super::tier::{Tier, floor};
use super::{History, micros, rollup};
use crate::host::Host;
use crate::store::Result;
use crate::store::policy::ArchivePolicy;
use crate::store::settings::SettingsStore;

/// Delay after the end of the minute.
const AFTER_MINUTE: Duration = Duration::from_secs(8);

/// The most that one cleanup removes, unless an eighth of the history is more.
const MAX_DAYS: time::Duration = time::Duration::days(2);

#[derive(Debug)]
pub struct Maintenance {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// How long documents are kept beside the chunks, if they are stored.
#[derive(Debug, Clone, Copy)]
pub struct DocumentDays(pub u32);

impl Maintenance {
    /// Starts on the current runtime.
    pub fn spawn(
        history: History,
        settings: Arc<dyn SettingsStore>,
        host: Host,
        documents: DocumentDays,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let work = Work { history, settings, host, documents };
        Self { stop, task: tokio::spawn(run(work, stopped)) }
    }

    /// Stops at the next transaction boundary; unfinished work is resumed at the next start.
    pub async fn close(self) {
        let Self { stop, task } = self;
        let _ = stop.send(true);
        task.await.unwrap_or_else(|error| tracing::error!(%error, "history maintenance failed"));
    }
}

struct Work {
    history: History,
    settings: Arc<dyn SettingsStore>,
    host: Host,
    documents: DocumentDays,
}

async fn run(work: Work, mut stopped: watch::Receiver<bool>) {
    let mut failing = false;
    let mut evidence = Evidence::default();
    loop {
        let pass = tokio::select! {
            // Dropping a transaction rolls it back.
            _ = stopped.wait_for(|stop| *stop) => return,
            pass = pass(&work, &mut evidence, OffsetDateTime::now_utc()) => pass,
        };
        match pass {
            Ok(()) if failing => tracing::info!("rollups and clean-up are working again"),
            // The writer reports outages.
            Err(ref error) if error.may_pass() => {}
            Err(ref error) if !failing => tracing::error!(%error, "rollups and clean-up failed; retrying"),
            _ => {}
        }
        failing = matches!(pass, Err(ref error) if !error.may_pass());
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

async fn pass(work: &Work, evidence: &mut Evidence, now: OffsetDateTime) -> Result<()> {
    let Work { history, settings, host, documents } = work;
    let newest =
        if evidence.is_first() { history.chunks().extent(history.host()).await?.newest } else { None };
    evidence.look(now, Instant::now(), newest);
    history.chunks().prepare(now).await?;
    history.chunks().introduce(host).await?;
    rollup::roll(history, micros(now)).await?;
    if !evidence.allows_removal(Instant::now()) {
        return Ok(());
    }
    let old = now - time::Duration::days(i64::from(documents.0));
    history.chunks().remove_documents(history.host(), micros(old)).await?;
    let policy = settings.archive_policy().await?;
    let interval = time::Duration::minutes(policy.cleanup_interval_minutes);
    // A last run in the future means that the clock was set back; it must not block the cleanup.
    let due = policy.last_archive_run.is_none_or(|last| now - last >= interval || last > now);
    if policy.cleanup_enabled && due {
        let done = clean(history, settings.as_ref(), now, Reach::Part).await?;
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
    /// Chunks removed because they were past retention, raw and rolled up.
    pub deleted_count: u64,
    /// Chunks of readings that were replaced by rollups.
    pub downsampled_count: u64,
    pub last_archive_run: OffsetDateTime,
}

/// How much one cleanup may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everything past retention: a user asked for it.
    All,
    /// At most two days, or an eighth of the history: more than ever expires between two cleanups, but little enough to
    /// leave time to notice a wrong clock.
    Part,
}

/// Applies the policy as of `now`.
pub async fn clean(
    history: &History,
    settings: &dyn SettingsStore,
    now: OffsetDateTime,
    reach: Reach,
) -> Result<Cleanup> {
    let policy = settings.archive_policy().await?;
    clean_by(&policy, history, settings, now, reach).await
}

/// Applies another policy than the stored one.
pub async fn clean_by(
    policy: &ArchivePolicy,
    history: &History,
    settings: &dyn SettingsStore,
    now: OffsetDateTime,
    reach: Reach,
) -> Result<Cleanup> {
    let (chunks, host) = (history.chunks(), history.host());
    let mut deleted_count = 0;
    let extent = chunks.extent(host).await?;
    // How far a partial cleanup reaches, from `first` or the oldest data.
    let most = |first: i64| match (reach, extent.oldest, extent.newest) {
        (Reach::Part, Some(oldest), Some(newest)) => {
            let oldest = oldest.max(super::from_micros(first));
            micros(oldest + MAX_DAYS.max((newest - oldest) / 8))
        }
        _ => i64::MAX,
    };
    let days_ago = |days: i64| micros(now - time::Duration::days(days));
    let expired = days_ago(policy.retention_days);
    let part = most(i64::MIN);
    if part < expired {
        tracing::warn!(
            until = crate::snapshot::rfc3339(super::from_micros(part)),
            "much of history is past its time: only its oldest part is removed now, more at the next cleanup"
        );
    }
    let expired = expired.min(part);
    for tier in Tier::ALL {
        // A rollup is removed only when its whole bucket is past retention.
        deleted_count += chunks.remove_before(host, tier.seconds(), tier.floor(expired)).await?;
    }
    let mut downsampled_count = 0;
    if policy.archive_enabled {
        // Pending rollups must be computed before their finer tier is removed.
        rollup::roll(history, micros(now)).await?;
        // Whole hours, so that no bucket loses half of its input.
        let gone = Coverage::of(&chunks.tiers(host).await?).removed_before(Tier::Raw);
        let old = days_ago(policy.downsample_after_days).min(most(gone));
        let mut before = floor(old, Tier::Hour.width());
        let waiting = chunks.tiers(host).await?.stale;
        for tier in policy.downsample_interval.replaces().iter().filter_map(|tier| Tier::of_seconds(*tier)) {
            // Minutes are stored with their readings; hours and days may still have to be computed.
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
