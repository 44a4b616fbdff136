//! Fills a store with the history of a [synthetic](super::synthetic) machine, the way the server would have.

use std::sync::Arc;

use anyhow::{Result, ensure};
use perfwatch::store::writer::{SpoolPlace, Writer};
use perfwatch::store::{Store, retention, roller};
use time::{Duration, OffsetDateTime};

use super::synthetic::{Machine, ticks};

/// What a day of the machine took.
pub struct Day {
    pub date: time::Date,
    pub snapshots: u64,
    pub writing: std::time::Duration,
    pub rolling_up: std::time::Duration,
    pub cleaning: std::time::Duration,
}

pub struct Plan {
    pub end: OffsetDateTime,
    pub days: u32,
    pub interval: Duration,
    pub cpus: usize,
}

/// Writes day by day through the server's writer, with rollups and retention after each as they would have been then.
pub async fn seed(
    store: &Arc<dyn Store>,
    spool: SpoolPlace,
    plan: &Plan,
    mut done: impl FnMut(&Day),
) -> Result<u64> {
    let mut machine = Machine::new(plan.cpus);
    let writer = Writer::spawn(Arc::clone(store), spool);
    let mut total = 0;
    for day in (0..plan.days).rev() {
        let end = plan.end - Duration::days(i64::from(day));
        let since = std::time::Instant::now();
        let mut snapshots = 0;
        for at in ticks(end, Duration::DAY, plan.interval) {
            if let Some(snapshot) = machine.snapshot(at) {
                writer.submit_waiting(Arc::new(snapshot)).await;
                snapshots += 1;
            }
        }
        writer.drained().await;
        let writing = since.elapsed();
        let now = i64::try_from(end.unix_timestamp_nanos() / 1000)?;
        roller::roll(store.as_ref(), now).await?;
        let rolling_up = since.elapsed() - writing;
        retention::clean(store.as_ref(), end).await?;
        let cleaning = since.elapsed() - writing - rolling_up;
        total += snapshots;
        done(&Day { date: end.date(), snapshots, writing, rolling_up, cleaning });
    }
    let stats = writer.stats();
    writer.close().await;
    ensure!(stats.dropped() == 0 && stats.written() == total, "not every snapshot was stored: {stats:?}");
    Ok(total)
}
