//! The tick: at every multiple of the sampling interval all sources are sampled and one [`Snapshot`] is passed on.
//! Nothing flows back, and no consumer or source can delay a tick.

mod clock;
mod deadline;
mod missed;
mod rounds;
mod sampler;
mod timekeeper;

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use crate::snapshot::Snapshot;
use crate::snapshot::source::{Settings, Source, SourceStatus};
use sampler::Sampler;
use timekeeper::Timekeeper;

/// Receives a snapshot. Called from the sampling thread, so it must not block.
pub type Output = Box<dyn FnMut(&Arc<Snapshot>) + Send>;

/// Where snapshots go.
pub struct Outputs {
    /// Every snapshot, for live clients.
    pub live: Output,
    /// The snapshots on the grid, for history.
    pub store: Output,
}

impl std::fmt::Debug for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outputs")
    }
}

/// All sources, ready to be sampled.
pub struct Pipeline {
    sampler: Sampler,
    settings: watch::Receiver<Settings>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipeline")
    }
}

impl Pipeline {
    /// Belongs to the current runtime.
    pub fn new(
        sources: Vec<Box<dyn Source>>,
        source_status: SourceStatus,
        settings: watch::Receiver<Settings>,
        outputs: Outputs,
    ) -> io::Result<Self> {
        Self::by(Timekeeper::Machine, sources, source_status, settings, outputs)
    }

    fn by(
        time: Timekeeper,
        sources: Vec<Box<dyn Source>>,
        source_status: SourceStatus,
        mut settings: watch::Receiver<Settings>,
        outputs: Outputs,
    ) -> io::Result<Self> {
        let sampler =
            Sampler::new(sources, source_status, outputs, settings.borrow_and_update().clone(), time)?;
        Ok(Self { sampler, settings })
    }

    /// Samples until `shutdown` turns true; a round in progress is still published.
    ///
    /// The first snapshot is taken at once and only shown live, so that clients don't wait for an interval; it also
    /// primes the rates. All others fall on multiples of the interval and are stored too.
    ///
    /// A single thread does everything in a tick, because waking others costs more than most sources do. This task only
    /// supervises it, and otherwise sleeps.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let Self { mut sampler, mut settings } = self;
        let overseeing = async {
            sampler.start().await;
            loop {
                tokio::select! {
                    () = sampler.overdue() => sampler.replace().await,
                    changed = settings.changed() => {
                        if changed.is_err() {
                            break;
                        }
                        let current = settings.borrow_and_update().clone();
                        tracing::info!(interval = ?current.interval, "settings changed");
                        sampler.apply(current);
                    }
                }
            }
        };
        tokio::select! {
            () = overseeing => {}
            // Err: sender dropped; treat as shutdown.
            _ = async { shutdown.wait_for(|stop| *stop).await.map(drop) } => {}
        }
        sampler.stop().await;
    }
}

#[cfg(test)]
mod tests;
