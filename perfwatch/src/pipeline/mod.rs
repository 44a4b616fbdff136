//! The tick: at every multiple of the sampling interval all sources are sampled and one [`Snapshot`] goes
//! to whoever consumes it. Nothing flows back, and no consumer or source can make a tick wait.

mod clock;
mod sampler;

use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::snapshot::source::{Board, Settings, Source};
use crate::snapshot::{Snapshot, rfc3339};

/// Where snapshots go.
pub struct Outputs<S, G> {
    /// Every snapshot, for whoever is watching.
    pub live: S,
    /// The snapshots on the grid, for history.
    pub store: G,
}

impl<S, G> std::fmt::Debug for Outputs<S, G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outputs")
    }
}

/// Samples until `shutdown` turns true.
///
/// The first snapshot is taken at once and only shown, so that nobody waits an interval for a first sight;
/// it also primes the rates. All others fall on multiples of the interval and are stored too.
pub async fn run<S, G>(
    sources: Vec<Box<dyn Source>>,
    board: Board,
    mut settings: watch::Receiver<Settings>,
    mut outputs: Outputs<S, G>,
    mut shutdown: watch::Receiver<bool>,
) where
    S: FnMut(&Arc<Snapshot>),
    G: FnMut(&Arc<Snapshot>),
{
    let mut sampler = sampler::Sampler::new(sources, board);
    let mut current = settings.borrow_and_update().clone();

    let started = OffsetDateTime::now_utc();
    let first = sampler.sample(started, &current).await;
    (outputs.live)(&Arc::new(first));

    let mut schedule = clock::Schedule::new(started);
    loop {
        let tick = tokio::select! {
            tick = schedule.next(current.interval) => tick,
            changed = settings.changed() => {
                if changed.is_err() {
                    return;
                }
                current = settings.borrow_and_update().clone();
                tracing::info!(interval = ?current.interval, "settings changed");
                continue;
            }
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        let snapshot = Arc::new(sampler.sample(tick, &current).await);
        tracing::trace!(timestamp = rfc3339(tick), "tick");
        (outputs.live)(&snapshot);
        (outputs.store)(&snapshot);
    }
}

#[cfg(test)]
mod tests;
