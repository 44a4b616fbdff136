//! Chunks.

use std::time::Duration;

use sqlx::postgres::Postgres;

use super::PostgresStore;
use super::pool::Pool;
use crate::host::{Host, facts::Facts};
use crate::snapshot::MetricType;
use crate::store::chunks::sql::chunk_statements;
use crate::store::chunks::{
    Batch, Chunk, Content, REMOVED_AT_A_TIME, Size, Stale, Tiers, Turn, Wanted, longest,
};
use crate::store::policy::Extent;
use crate::store::{Result, StoreError, from_micros};

chunk_statements!(Pool, Postgres);

/// Pause between two attempts to get a turn, which others need for some milliseconds.
const TURN_POLL: Duration = Duration::from_millis(20);

/// A lock that ends with its transaction, also if this process is killed, and through a pooler.
pub(super) async fn turn(pool: &Pool, host: &str) -> Result<Turn> {
    // Whoever waits needs no connection meanwhile: whoever has the turn needs a second one.
    loop {
        let mut transaction = pool.begin().await?;
        let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(format!("perfwatch host {host}"))
            .fetch_one(&mut *transaction)
            .await?;
        if is_ours {
            return Ok(Turn::held_by(transaction));
        }
        transaction.rollback().await?;
        tokio::time::sleep(TURN_POLL).await;
    }
}

pub(super) async fn remove_before(store: &PostgresStore, host: &str, tier: i64, before: i64) -> Result<u64> {
    let mut gone = 0;
    loop {
        let some = remove_some(store.ready().await?, host, tier, before).await?;
        gone += some;
        if some == 0 {
            return Ok(gone);
        }
    }
}

pub(super) async fn extent(store: &PostgresStore, host: &str) -> Result<Extent> {
    let pool = store.ready().await?;
    let bytes: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
         FROM pg_inherits WHERE inhparent IN ('chunks'::regclass, 'metrics_snapshots'::regclass)",
    )
    .fetch_one(pool)
    .await?;
    let (oldest, newest) = ends(pool, host).await?;
    Ok(Extent {
        bytes: bytes.unsigned_abs(),
        oldest: oldest.map(from_micros),
        // A chunk ends after its last reading.
        newest: newest.map(|end| from_micros(end - 1)),
    })
}
