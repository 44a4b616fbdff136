//! A machine of a fleet answers what hubs' rules want to know of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::alerts::inputs::{Gatherer, Wanted};
use crate::fleet::inputs::Inputs;
use crate::snapshot::Snapshot;
use crate::snapshot::source::SourceStatus;

/// Ticks of this time go together.
const GATHERED: Duration = Duration::from_secs(5);
/// A tick may come a little earlier than the others.
const TOLERANCE: Duration = Duration::from_millis(500);
/// Snapshots that wait to be sent.
const QUEUE: usize = 16;

/// Takes snapshots, and ends when it is dropped.
#[derive(Debug)]
pub(super) struct AlertInputs {
    inputs: Inputs,
    queue: mpsc::Sender<Arc<Snapshot>>,
}

impl AlertInputs {
    pub(super) fn start(inputs: &Inputs, host: &str, sources: SourceStatus) -> Self {
        let (queue, snapshots) = mpsc::channel(QUEUE);
        tokio::spawn(answer(inputs.clone(), host.to_owned(), sources, snapshots));
        Self { inputs: inputs.clone(), queue }
    }

    /// Never waits, and does nothing while nobody asks.
    pub(super) fn submit(&self, snapshot: &Arc<Snapshot>) {
        if self.inputs.is_wanted() {
            let _ = self.queue.try_send(Arc::clone(snapshot));
        }
    }
}

async fn answer(
    inputs: Inputs,
    host: String,
    sources: SourceStatus,
    mut snapshots: mpsc::Receiver<Arc<Snapshot>>,
) {
    let mut gatherer: Option<Gatherer> = None;
    let mut sent: Option<Instant> = None;
    while let Some(snapshot) = snapshots.recv().await {
        let Some(text) = inputs.wanted() else { continue };
        if gatherer.as_ref().is_none_or(|gatherer| gatherer.wanted().text() != text) {
            gatherer = Wanted::parse(&text).map(|wanted| Gatherer::new(&host, Arc::new(wanted)));
        }
        let Some(gatherer) = &mut gatherer else { continue };
        gatherer.add(&snapshot, |of| sources.absent(of));
        if sent.is_some_and(|sent| sent.elapsed() + TOLERANCE < GATHERED) {
            continue;
        }
        if let Some(message) = gatherer.finish() {
            inputs.answer(message).await;
            sent = Some(Instant::now());
        }
    }
}
