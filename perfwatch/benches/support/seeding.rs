//! Fills a store with the history of a [synthetic](super::synthetic) machine, as the server would have.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use perfwatch::history::History;
use perfwatch::history::maintenance::{DocumentDays, Reach, clean};
use perfwatch::history::rollup::roll;
use perfwatch::history::writer::{LogPlace, Writer};
use perfwatch::host::Host;
use perfwatch::snapshot::{MetricType, Reading, Snapshot};
use perfwatch::store::Store;
use time::{Duration, OffsetDateTime};
use tokio::task::JoinHandle;

use super::synthetic::{Machine, ticks};

/// Time taken for one day of the machine.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "not every benchmark tells how fast it was")]
pub struct Day {
    pub date: time::Date,
    pub snapshots: u64,
    /// Excludes generating the snapshots.
    pub writing: std::time::Duration,
    /// Rollups and retention, while the next day is being written.
    pub keeping: std::time::Duration,
}

pub struct Plan {
    pub end: OffsetDateTime,
    pub days: u32,
    /// Only this much at the end of each day.
    pub span: Duration,
    pub interval: Duration,
    pub cpus: usize,
    pub types: Vec<MetricType>,
    /// Number of days, the last ones, for which documents are kept beside the chunks, if the engine keeps any.
    pub documents: u32,
}

/// Snapshots generated at a time before they are written.
const AT_A_TIME: usize = 2048;

/// Writes day by day through the server's writer. As in the server, rollups and retention run concurrently: a day's, as
/// they would have run at its end, while the next day is written.
pub async fn seed(
    store: &Arc<dyn Store>,
    host: &str,
    place: &LogPlace,
    plan: &Plan,
    mut done: impl FnMut(&Day),
) -> Result<u64> {
    let mut machine = Machine::new(plan.cpus);
    let mut total = 0;
    let mut before: Option<(Day, JoinHandle<Result<std::time::Duration>>)> = None;
    store.introduce(&Host::new(host, "seeded")).await?;
    store.prepare(plan.end).await?;
    let mut writer = None;
    let mut writes_documents = false;
    let mut written = 0;
    for day in (0..plan.days).rev() {
        let end = plan.end - Duration::days(i64::from(day));
        let wants_documents = day < plan.documents;
        if writer.is_none() || wants_documents != writes_documents {
            written += close(writer.take()).await?;
            let documents = DocumentDays(if wants_documents { plan.documents } else { 0 });
            let history = History::new(store.clone(), host);
            writer = Some(Writer::spawn(history, place.clone(), documents)?);
            writes_documents = wants_documents;
        }
        let Some(writer) = &writer else { continue };
        let mut snapshots = 0;
        let mut writing = std::time::Duration::ZERO;
        let mut times = ticks(end, plan.span, plan.interval).peekable();
        while times.peek().is_some() {
            let made: Vec<Arc<Snapshot>> = times
                .by_ref()
                .take(AT_A_TIME)
                .filter_map(|at| machine.snapshot(at))
                .map(|snapshot| {
                    let wanted = |reading: &Reading| plan.types.contains(&reading.metric_type);
                    let readings = snapshot.readings.into_iter().filter(wanted).collect();
                    Arc::new(Snapshot::new(snapshot.timestamp, readings))
                })
                .collect();
            let since = Instant::now();
            snapshots += made.len() as u64;
            for snapshot in made {
                writer.submit_waiting(snapshot).await;
            }
            writing += since.elapsed();
        }
        let since = Instant::now();
        writer.drained().await;
        writing += since.elapsed();
        total += snapshots;
        if let Some((day, keeping)) = before.take() {
            done(&Day { keeping: keeping.await??, ..day });
        }
        let written = Day { date: end.date(), snapshots, writing, keeping: std::time::Duration::ZERO };
        before = Some((written, tokio::spawn(keep(Arc::clone(store), host.to_owned(), end))));
    }
    if let Some((day, keeping)) = before {
        done(&Day { keeping: keeping.await??, ..day });
    }
    written += close(writer).await?;
    ensure!(written == total, "{written} of {total} snapshots were stored");
    Ok(total)
}

async fn close(writer: Option<Writer>) -> Result<u64> {
    let Some(writer) = writer else { return Ok(0) };
    writer.drained().await;
    let stats = writer.stats();
    writer.close().await;
    ensure!(stats.dropped() == 0 && stats.refused() == 0, "not every snapshot was stored: {stats:?}");
    Ok(stats.written())
}

async fn keep(store: Arc<dyn Store>, host: String, now: OffsetDateTime) -> Result<std::time::Duration> {
    let since = Instant::now();
    let history = History::new(store.clone(), &host);
    roll(&history, i64::try_from(now.unix_timestamp_nanos() / 1000)?).await?;
    clean(&history, store.as_ref(), now, Reach::All).await?;
    Ok(since.elapsed())
}
