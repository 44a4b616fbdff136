//! `perfwatch snapshot` and `perfwatch doctor`: a few ticks without a server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};

use super::{lister, place, sources};
use crate::config::Config;
use crate::doctor::{self, Diagnosis, Recording};
use crate::pipeline::{Outputs, Pipeline};
use crate::probes::Feed;
use crate::snapshot::source::{Settings, SourceStatus, State};
use crate::snapshot::{MetricType, Snapshot};

/// Documents that every Linux machine has.
const EVERYWHERE: [MetricType; 5] =
    [MetricType::Cpu, MetricType::Memory, MetricType::Network, MetricType::Disk, MetricType::MemoryBandwidth];

/// Measures for one interval and prints the snapshot as the stream would send it; fails if nearly all of it is missing.
pub async fn snapshot(config: &Config, print: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let settings = config.sampling.settings.clone();
    let mut reports = Vec::new();
    let snapshot = measure(config, settings, |_, status| {
        reports = status.reports();
        true
    })
    .await?;
    print(&String::from_utf8_lossy(&snapshot.message()))?;
    let missing: Vec<String> = reports
        .iter()
        .filter(|report| report.state != State::Active && EVERYWHERE.contains(&report.metric_type))
        .map(|report| format!("{}: {}", report.name, report.reason.as_deref().unwrap_or("no reason given")))
        .collect();
    if missing.len() > EVERYWHERE.len() / 2 {
        bail!(
            "nearly all sources failed; is the host's /proc at {} (PERFWATCH_PROCFS)?\n  - {}",
            config.roots.procfs.display(),
            missing.join("\n  - ")
        );
    }
    Ok(())
}

/// Samples for a second and reports the state of every source; takes some seconds longer if a busy machine delays
/// responses or first readings.
pub async fn examine(config: Config) -> Result<Diagnosis> {
    const MAX_TICKS: usize = 5;
    let settings = Settings { interval: Duration::from_secs(1), ..config.sampling.settings.clone() };
    let store = place(&config).inspect().await;
    let recording = if config.storage.background_collection { Recording::Elsewhere } else { Recording::Off };
    let mut ticks = 0;
    let mut before = None;
    let mut newest = None;
    measure(&config, settings, |snapshot, source_status| {
        let reports = source_status.reports();
        let now = doctor::diagnose(&config.roots, &store, recording, &reports, Some(snapshot));
        ticks += 1;
        let answered = reports.iter().all(|report| report.state != State::Failed);
        let settled = answered && before.replace(now.statuses()) == Some(now.statuses());
        let enough = now.healthy() || settled || ticks == MAX_TICKS;
        newest = Some(now);
        enough
    })
    .await?;
    newest.context("sampling ended without a snapshot")
}

/// The first snapshot only primes the rates; returns the first later one that is `enough`.
async fn measure(
    config: &Config,
    settings: Settings,
    mut enough: impl FnMut(&Snapshot, &SourceStatus) -> bool,
) -> Result<Arc<Snapshot>> {
    let (_settings, settings) = watch::channel(settings);
    let (stop, stopping) = watch::channel(false);
    let source_status = SourceStatus::default();
    let (send, mut snapshots) = mpsc::unbounded_channel();
    let outputs = Outputs {
        live: Box::new(|_| {}),
        store: Box::new(move |snapshot| {
            // The receiver may be gone already.
            let _ = send.send(Arc::clone(snapshot));
        }),
    };
    let sources = sources(config, &lister(config), &Feed::default());
    let pipeline =
        Pipeline::new(sources, source_status.clone(), settings, outputs).context("cannot start sampling")?;
    let until_enough = async {
        loop {
            let snapshot = snapshots.recv().await.context("sampling ended without a snapshot")?;
            if enough(&snapshot, &source_status) {
                stop.send_replace(true);
                return Ok(snapshot);
            }
        }
    };
    tokio::join!(until_enough, pipeline.run(stopping)).0
}
