//! Removing what is past its time without holding the writer up.

use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::snapshot::MetricType;
use crate::store::policy::Extent;
use crate::store::rollup::Tier;
use crate::store::{Result, from_micros};

/// Rows per transaction: a few milliseconds.
const CHUNK: i64 = 1000;
/// Freed pages given back to the file system per transaction.
const VACUUM_PAGES: &str = "PRAGMA incremental_vacuum(256)";

pub(super) async fn remove_before(
    store: &SqliteStore,
    tier: Tier,
    mut before: i64,
    replaced: bool,
) -> Result<u64> {
    if replaced {
        before = announce(store, tier, before).await?;
    }
    let mut removed = 0;
    // Raw rows go by time, all types together, as their index has them.
    let series: &[MetricType] = if tier == Tier::Raw { &MetricType::ALL[..1] } else { &MetricType::ALL };
    for &metric_type in series {
        loop {
            let mut transaction = store.write.begin().await?;
            let chunk = remove_chunk(store, &mut transaction, tier, metric_type, before, replaced).await?;
            transaction.commit().await?;
            removed += chunk;
            if chunk < CHUNK.unsigned_abs() {
                break;
            }
            // Let a waiting batch of snapshots in.
            tokio::task::yield_now().await;
        }
    }
    if !replaced && tier != Tier::Raw {
        // Nothing is left to compute these from.
        sqlx::query("DELETE FROM rollup_stale WHERE host = $1 AND tier = $2 AND bucket < $3")
            .bind(&store.host)
            .bind(tier.seconds())
            .bind(before)
            .execute(&store.write)
            .await?;
    }
    if removed > 0 {
        while free_pages(store).await? > 32 {
            sqlx::query(VACUUM_PAGES).execute(&store.write).await?;
            tokio::task::yield_now().await;
        }
    }
    Ok(removed)
}

async fn free_pages(store: &SqliteStore) -> Result<i64> {
    Ok(sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&store.write).await?)
}

/// Tells the planner that a tier ends at `before`, or earlier where the next tier is not complete; returns that.
async fn announce(store: &SqliteStore, tier: Tier, before: i64) -> Result<i64> {
    let mut transaction = store.write.begin().await?;
    let waiting: Option<i64> = sqlx::query_scalar(
        "SELECT min(bucket) FROM rollup_stale WHERE host = $1 AND tier = $4 AND bucket < $3
         AND bucket >= coalesce((SELECT before FROM rollup_removed WHERE host = $1 AND tier = $2), bucket)",
    )
    .bind(&store.host)
    .bind(tier.seconds())
    .bind(before)
    .bind(tier.coarser().map(Tier::seconds))
    .fetch_one(&mut *transaction)
    .await?;
    // Whole hours: see `retention::clean`.
    let before = waiting.map_or(before, |bucket| Tier::Hour.floor(bucket).min(before));
    let before: i64 = sqlx::query_scalar(
        "INSERT INTO rollup_removed (host, tier, before) VALUES ($1, $2, $3)
         ON CONFLICT DO UPDATE SET before = max(before, excluded.before) RETURNING before",
    )
    .bind(&store.host)
    .bind(tier.seconds())
    .bind(before)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(before)
}

async fn remove_chunk(
    store: &SqliteStore,
    connection: &mut SqliteConnection,
    tier: Tier,
    metric_type: MetricType,
    before: i64,
    replaced: bool,
) -> Result<u64> {
    // Late rows may have come since `announce`: they stay until they are rolled up, which consumes them.
    let next = tier.coarser().filter(|_| replaced);
    let query = if tier == Tier::Raw {
        sqlx::query(
            "DELETE FROM packed_snapshots WHERE id IN (
                 SELECT id FROM packed_snapshots WHERE host = $1 AND $2 IS NOT NULL AND timestamp < $3
                 AND timestamp / $6 * $6 NOT IN (SELECT bucket FROM rollup_stale WHERE host = $1 AND tier = $7)
                 ORDER BY timestamp LIMIT $4)",
        )
    } else {
        sqlx::query(
            "DELETE FROM metrics_rollups WHERE host = $1 AND metric_type = $2 AND tier = $5 AND timestamp IN (
                 SELECT timestamp FROM metrics_rollups
                 WHERE host = $1 AND metric_type = $2 AND tier = $5 AND timestamp < $3
                 AND timestamp / $6 * $6 NOT IN (SELECT bucket FROM rollup_stale WHERE host = $1 AND tier = $7)
                 ORDER BY timestamp LIMIT $4)",
        )
    };
    let query = query
        .bind(&store.host)
        .bind(metric_type.as_str())
        .bind(before)
        .bind(CHUNK)
        .bind(tier.seconds())
        .bind(next.map_or(1, Tier::width))
        .bind(next.map(Tier::seconds));
    Ok(query.execute(connection).await?.rows_affected())
}

/// Removes the rows of one bucket, all types.
pub(super) async fn remove_range(
    store: &SqliteStore,
    connection: &mut SqliteConnection,
    tier: Tier,
    from: i64,
    to: i64,
) -> Result<()> {
    if tier == Tier::Raw {
        sqlx::query("DELETE FROM packed_snapshots WHERE host = $1 AND timestamp >= $2 AND timestamp < $3")
            .bind(&store.host)
            .bind(from)
            .bind(to)
            .execute(connection)
            .await?;
        return Ok(());
    }
    for metric_type in MetricType::ALL {
        sqlx::query(
            "DELETE FROM metrics_rollups
             WHERE host = $1 AND metric_type = $2 AND timestamp >= $3 AND timestamp < $4 AND tier = $5",
        )
        .bind(&store.host)
        .bind(metric_type.as_str())
        .bind(from)
        .bind(to)
        .bind(tier.seconds())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn extent(store: &SqliteStore) -> Result<Extent> {
    let bytes: i64 =
        sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(&store.read)
            .await?;
    // Each subquery is one step down an index.
    let (mut oldest, mut newest): (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT min(timestamp) FROM packed_snapshots WHERE host = $1),
                (SELECT max(timestamp) FROM packed_snapshots WHERE host = $1)",
    )
    .bind(&store.host)
    .fetch_one(&store.read)
    .await?;
    for metric_type in MetricType::ALL {
        let rolled: Option<i64> = sqlx::query_scalar(
            "SELECT min(timestamp) FROM metrics_rollups WHERE host = $1 AND metric_type = $2 AND tier = $3",
        )
        .bind(&store.host)
        .bind(metric_type.as_str())
        .bind(Tier::Hour.seconds())
        .fetch_one(&store.read)
        .await?;
        oldest = oldest.into_iter().chain(rolled).min();
        newest = newest.into_iter().chain(rolled).max();
    }
    Ok(Extent {
        bytes: bytes.unsigned_abs(),
        oldest: oldest.map(from_micros),
        newest: newest.map(from_micros),
    })
}
