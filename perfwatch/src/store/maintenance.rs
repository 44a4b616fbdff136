//! The background work of a store: rollups every minute, cleanup as often as the policy says.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::roller::Roller;
use super::{Result, Store, StoreError, micros, retention, writer};

/// After the minute's end: its last batch is in the table by then, and a late one is rolled up a minute later.
const AFTER_MINUTE: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub struct Maintenance {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Maintenance {
    /// Starts on the current runtime; rests while the writer replays its spool.
    pub fn spawn(store: Arc<dyn Store>, writer: Option<writer::Handle>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(run(store, writer, stopped)) }
    }

    /// Ends at the next transaction boundary; whatever was under way is taken up again at the next start.
    pub async fn close(self) {
        let Self { stop, task } = self;
        let _ = stop.send(true);
        task.await.unwrap_or_else(|error| tracing::error!(%error, "the store's maintenance failed"));
    }
}

async fn run(store: Arc<dyn Store>, writer: Option<writer::Handle>, mut stopped: watch::Receiver<bool>) {
    let mut roller = Roller::default();
    let mut failing = false;
    loop {
        let pass = tokio::select! {
            // Dropping a transaction rolls it back.
            _ = stopped.wait_for(|stop| *stop) => return,
            pass = pass(store.as_ref(), &mut roller, writer.as_ref(), OffsetDateTime::now_utc()) => pass,
        };
        match pass {
            Ok(()) if failing => tracing::info!("rollups and cleanup work again"),
            // An outage is the writer's to tell.
            Err(StoreError::Unreachable(_)) => {}
            Err(ref error) if !failing => tracing::error!(%error, "rollups and cleanup have to wait"),
            _ => {}
        }
        if pass.is_err() {
            // What it remembers is of a database that may have been exchanged.
            roller = Roller::default();
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

async fn pass(
    store: &dyn Store,
    roller: &mut Roller,
    writer: Option<&writer::Handle>,
    now: OffsetDateTime,
) -> Result<()> {
    store.prepare(now).await?;
    if let Some(writer) = writer {
        // A minute is rolled up once it is whole.
        writer.flush(now).await;
        // A crash may have left rows in the spool that are in the table already. They are replayed to no effect as long
        // as retention has not merged them away meanwhile.
        if writer.stats().catching_up() {
            return Ok(());
        }
    }
    roller.roll(store, micros(now)).await?;
    let policy = store.archive_policy().await?;
    let interval = time::Duration::minutes(policy.cleanup_interval_minutes);
    // A last run in the future means that the clock was set back; it must not stop the cleanup.
    let due = policy.last_archive_run.is_none_or(|last| now - last >= interval || last > now);
    if policy.cleanup_enabled && due {
        let done = retention::clean(store, now).await?;
        if done.deleted_count + done.downsampled_count > 0 {
            tracing::info!(
                deleted = done.deleted_count,
                downsampled = done.downsampled_count,
                "retention cleanup"
            );
        }
    }
    Ok(())
}
