//! Fills a store with the history of a [synthetic](super::synthetic) machine, the way the server would have.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use perfwatch::snapshot::{Document, MetricType, Snapshot};
use perfwatch::store::writer::{SpoolPlace, Writer};
use perfwatch::store::{Store, retention, roller};
use time::{Duration, OffsetDateTime};
use tokio::task::JoinHandle;

use super::synthetic::{Machine, ticks};

/// What a day of the machine took.
#[derive(Debug, Clone, Copy)]
pub struct Day {
    pub date: time::Date,
    pub snapshots: u64,
    pub writing: std::time::Duration,
    /// Rollups and retention, while the next day was written.
    pub keeping: std::time::Duration,
}

pub struct Plan {
    pub end: OffsetDateTime,
    pub days: u32,
    pub interval: Duration,
    pub cpus: usize,
    pub types: Vec<MetricType>,
}

/// Writes day by day through the server's writer. As in the server, rollups and retention run beside it: those of a
/// day, as they would have been at its end, while the next one is written.
pub async fn seed(
    store: &Arc<dyn Store>,
    spool: SpoolPlace,
    plan: &Plan,
    mut done: impl FnMut(&Day),
) -> Result<u64> {
    let mut machine = Machine::new(plan.cpus);
    let writer = Writer::spawn(Arc::clone(store), spool)?;
    let mut total = 0;
    let mut before: Option<(Day, JoinHandle<Result<std::time::Duration>>)> = None;
    for day in (0..plan.days).rev() {
        let end = plan.end - Duration::days(i64::from(day));
        let since = Instant::now();
        let mut snapshots = 0;
        for at in ticks(end, Duration::DAY, plan.interval) {
            if let Some(snapshot) = machine.snapshot(at) {
                let wanted = |d: &Document| plan.types.contains(&d.metric_type);
                let documents = snapshot.documents.into_iter().filter(wanted).collect();
                writer.submit_waiting(Arc::new(Snapshot::new(at, documents))).await;
                snapshots += 1;
            }
        }
        writer.drained().await;
        let writing = since.elapsed();
        total += snapshots;
        if let Some((day, keeping)) = before.take() {
            done(&Day { keeping: keeping.await??, ..day });
        }
        let written = Day { date: end.date(), snapshots, writing, keeping: std::time::Duration::ZERO };
        before = Some((written, tokio::spawn(keep(Arc::clone(store), end))));
    }
    if let Some((day, keeping)) = before {
        done(&Day { keeping: keeping.await??, ..day });
    }
    let stats = writer.stats();
    writer.close().await;
    ensure!(stats.dropped() == 0 && stats.written() == total, "not every snapshot was stored: {stats:?}");
    Ok(total)
}

async fn keep(store: Arc<dyn Store>, now: OffsetDateTime) -> Result<std::time::Duration> {
    let since = Instant::now();
    roller::roll(store.as_ref(), i64::try_from(now.unix_timestamp_nanos() / 1000)?).await?;
    retention::clean(store.as_ref(), now).await?;
    Ok(since.elapsed())
}
