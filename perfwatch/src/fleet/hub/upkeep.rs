//! The background work on every host's history: hours and days every minute, cleanup as often as the policy says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Turns;
use crate::history::maintenance::evidence::Evidence;
use crate::history::maintenance::{Reach, clean_by};
use crate::history::tier::Tier;
use crate::history::{History, from_micros, rollup};
use crate::profiles::archive::{self, Archive};
use crate::store::overrides::{self, policy_of};
use crate::store::settings::SettingsStore;
use crate::store::{Result, micros};

const EVERY: Duration = Duration::from_secs(60);
/// Profiles arrive when their ten minutes are over, so their hours are computed later; µs.
const PROFILES_LATE: i64 = 15 * 60 * 1_000_000;

#[derive(Debug)]
pub struct Upkeep {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Of which store.
#[derive(Debug)]
pub struct Parts {
    pub history: History,
    pub profiles: Archive,
    pub settings: Arc<dyn SettingsStore>,
    pub turns: Turns,
}

impl Upkeep {
    /// Starts on the current runtime.
    pub fn spawn(parts: Parts) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(run(parts, stopped)) }
    }

    /// Stops at the next transaction boundary; unfinished work is resumed at the next start.
    pub async fn close(self) {
        let Self { stop, task } = self;
        stop.send_replace(true);
        task.await.unwrap_or_else(|error| tracing::error!(%error, "the fleet's maintenance failed"));
    }
}

async fn run(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut evidence = Evidence::default();
    let mut profiled = HashMap::new();
    let mut is_failing = false;
    loop {
        let passed = tokio::select! {
            // Dropping a transaction rolls it back.
            _ = async { stopped.wait_for(|stop| *stop).await.map(drop) } => return,
            passed = pass(&parts, &mut evidence, &mut profiled, OffsetDateTime::now_utc()) => passed,
        };
        if let Err(error) = &passed
            && !error.may_pass()
            && !is_failing
        {
            tracing::error!(%error, "rollups and clean-up of the fleet failed; retrying");
        }
        is_failing = passed.is_err();
        tokio::select! {
            _ = async { stopped.wait_for(|stop| *stop).await.map(drop) } => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// `profiled` is until which hour the profiles of each host were looked at.
async fn pass(
    parts: &Parts,
    evidence: &mut Evidence,
    profiled: &mut HashMap<String, i64>,
    now: OffsetDateTime,
) -> Result<()> {
    let Parts { history, profiles, settings, turns } = parts;
    let chunks = history.chunks();
    let newest = chunks.newest().await?;
    evidence.look(now, Instant::now(), newest.iter().map(|(_, newest)| *newest).max().map(from_micros));
    chunks.prepare(now).await?;
    let hosts = chunks.hosts().await?;
    for host in rollup::due(chunks.as_ref(), micros(now)).await? {
        let _turn = turns.take(&host).await?;
        rollup::roll(&history.of_host(&host), micros(now)).await?;
    }
    let profiled_until = micros(now) - PROFILES_LATE;
    let hour = archive::over(Tier::Hour, profiled_until);
    for host in &hosts {
        if profiled.get(&host.id) == Some(&hour) {
            continue;
        }
        let _turn = turns.take(&host.id).await?;
        profiles.of_host(&host.id).keep(profiled_until).await?;
        profiled.insert(host.id.clone(), hour);
    }
    let policy = settings.archive_policy().await?;
    let interval = time::Duration::minutes(policy.cleanup_interval_minutes);
    // A last run in the future means that the clock was set back; it must not block the cleanup.
    let is_due = policy.last_archive_run.is_none_or(|last| now - last >= interval || last > now);
    if evidence.allows_removal(Instant::now()) && policy.cleanup_enabled && is_due {
        let overrides = overrides::load(settings.as_ref()).await?;
        for host in &hosts {
            let _turn = turns.take(&host.id).await?;
            let policy = policy_of(&host.labels(), &policy, &overrides);
            clean_by(&policy, &history.of_host(&host.id), settings.as_ref(), now, Reach::Part).await?;
        }
    }
    Ok(())
}
