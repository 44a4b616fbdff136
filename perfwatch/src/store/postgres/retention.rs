//! Removing what is past its time: whole partitions where a day is over, rows where it is not.

use sqlx::{AssertSqlSafe, PgConnection};
use time::{Date, OffsetDateTime};

use super::history::column;
use super::{PostgresStore, partitions};
use crate::snapshot::MetricType;
use crate::store::policy::Extent;
use crate::store::rollup::Tier;
use crate::store::{Result, from_micros, micros};

/// Rows per transaction: a few milliseconds.
const CHUNK: i64 = 1000;
/// What dropping a partition waits for readers of the table, with new writers waiting behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '50ms'";

pub(super) async fn remove_before(
    store: &PostgresStore,
    tier: Tier,
    mut before: i64,
    replaced: bool,
) -> Result<u64> {
    if replaced {
        before = announce(store, tier, before).await?;
    }
    let mut removed = 0;
    if tier == Tier::Raw {
        for day in partitions::days(store).await? {
            let Some(end) = day.next_day() else { continue };
            if micros(end.midnight().assume_utc()) <= before {
                removed += drop_partition(store, day, replaced).await?;
            }
        }
    }
    for metric_type in MetricType::ALL {
        loop {
            let chunk = remove_chunk(store, tier, metric_type, before, replaced).await?;
            removed += chunk;
            if chunk < CHUNK.unsigned_abs() {
                break;
            }
        }
    }
    if !replaced && tier != Tier::Raw {
        // Nothing is left to compute these from.
        sqlx::query("DELETE FROM rollup_stale WHERE host = $1 AND tier = $2 AND bucket < $3")
            .bind(&store.host)
            .bind(column(tier))
            .bind(before)
            .execute(store.ready().await?)
            .await?;
    }
    Ok(removed)
}

/// Drops a day if all of it is ours and done with; returns how many rows went. 0 also where it has to stay:
/// the rows that may go are then deleted one chunk at a time.
async fn drop_partition(store: &PostgresStore, day: Date, replaced: bool) -> Result<u64> {
    let name = partitions::name(day)?;
    let mut transaction = store.ready().await?.begin().await?;
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    // From here on nothing can arrive in it. The name is made of digits.
    let lock = format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE");
    if sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *transaction).await.is_err() {
        return Ok(0);
    }
    let count =
        format!("SELECT count(*) FILTER (WHERE host = $1), count(*) FILTER (WHERE host <> $1) FROM {name}");
    let (ours, others): (i64, i64) =
        sqlx::query_as(AssertSqlSafe(count)).bind(&store.host).fetch_one(&mut *transaction).await?;
    let start = micros(day.midnight().assume_utc());
    let waiting: bool = sqlx::query_scalar(
        "SELECT $4 AND EXISTS (SELECT 1 FROM rollup_stale
         WHERE host = $1 AND tier = $5 AND bucket >= $2 AND bucket < $3)",
    )
    .bind(&store.host)
    .bind(start)
    .bind(start + Tier::Day.width())
    .bind(replaced)
    .bind(column(Tier::Minute))
    .fetch_one(&mut *transaction)
    .await?;
    if others > 0 || waiting {
        return Ok(0);
    }
    let drop = format!("DROP TABLE {name}");
    if sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *transaction).await.is_err() {
        return Ok(0);
    }
    // Before the commit: an append that comes later makes the partition anew.
    partitions::forget(store, day);
    transaction.commit().await?;
    Ok(ours.unsigned_abs())
}

/// Tells the planner that a tier ends at `before`, or earlier where the next tier is not complete; returns that.
async fn announce(store: &PostgresStore, tier: Tier, before: i64) -> Result<i64> {
    let mut transaction = store.ready().await?.begin().await?;
    let waiting: Option<i64> = sqlx::query_scalar(
        "SELECT min(bucket) FROM rollup_stale WHERE host = $1 AND tier = $4 AND bucket < $3
         AND bucket >= coalesce((SELECT before FROM rollup_removed WHERE host = $1 AND tier = $2), bucket)",
    )
    .bind(&store.host)
    .bind(column(tier))
    .bind(before)
    .bind(tier.coarser().map(column))
    .fetch_one(&mut *transaction)
    .await?;
    // Whole hours: see `retention::clean`.
    let before = waiting.map_or(before, |bucket| Tier::Hour.floor(bucket).min(before));
    let before: i64 = sqlx::query_scalar(
        "INSERT INTO rollup_removed AS r (host, tier, before) VALUES ($1, $2, $3)
         ON CONFLICT (host, tier) DO UPDATE SET before = greatest(r.before, excluded.before) RETURNING before",
    )
    .bind(&store.host)
    .bind(column(tier))
    .bind(before)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(before)
}

async fn remove_chunk(
    store: &PostgresStore,
    tier: Tier,
    metric_type: MetricType,
    before: i64,
    replaced: bool,
) -> Result<u64> {
    // Late rows may have come since `announce`: they stay until they are rolled up, which consumes them.
    let next = tier.coarser().filter(|_| replaced);
    let query = if tier == Tier::Raw {
        sqlx::query(
            "DELETE FROM metrics_snapshots
             WHERE host = $1 AND metric_type = $2 AND timestamp < $3 AND timestamp IN (
                 SELECT timestamp FROM metrics_snapshots
                 WHERE host = $1 AND metric_type = $2 AND timestamp < $3 AND $5::int IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM rollup_stale WHERE host = $1 AND tier = $7
                     AND bucket = (extract(epoch FROM timestamp) * 1000000)::bigint / $6 * $6)
                 ORDER BY timestamp LIMIT $4)",
        )
    } else {
        sqlx::query(
            "DELETE FROM metrics_rollups
             WHERE host = $1 AND metric_type = $2 AND tier = $5 AND timestamp < $3 AND timestamp IN (
                 SELECT timestamp FROM metrics_rollups
                 WHERE host = $1 AND metric_type = $2 AND tier = $5 AND timestamp < $3
                 AND NOT EXISTS (SELECT 1 FROM rollup_stale WHERE host = $1 AND tier = $7
                     AND bucket = (extract(epoch FROM timestamp) * 1000000)::bigint / $6 * $6)
                 ORDER BY timestamp LIMIT $4)",
        )
    };
    let removed = query
        .bind(&store.host)
        .bind(metric_type.as_str())
        .bind(from_micros(before))
        .bind(CHUNK)
        .bind(column(tier))
        .bind(next.map_or(1, Tier::width))
        .bind(next.map(column))
        .execute(store.ready().await?)
        .await?;
    Ok(removed.rows_affected())
}

/// Removes the rows of one bucket, all types.
pub(super) async fn remove_range(
    store: &PostgresStore,
    connection: &mut PgConnection,
    tier: Tier,
    from: i64,
    to: i64,
) -> Result<()> {
    let query = if tier == Tier::Raw {
        sqlx::query("DELETE FROM metrics_snapshots WHERE host = $1 AND timestamp >= $2 AND timestamp < $3")
    } else {
        sqlx::query(
            "DELETE FROM metrics_rollups
             WHERE host = $1 AND timestamp >= $2 AND timestamp < $3 AND tier = $4 AND metric_type = ANY ($5)",
        )
    };
    let query = query.bind(&store.host).bind(from_micros(from)).bind(from_micros(to));
    let types = MetricType::ALL.map(MetricType::as_str);
    let query = if tier == Tier::Raw { query } else { query.bind(column(tier)).bind(types.to_vec()) };
    query.execute(connection).await?;
    Ok(())
}

pub(super) async fn extent(store: &PostgresStore) -> Result<Extent> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT (coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
                           WHERE inhparent = 'metrics_snapshots'::regclass), 0)
                 + pg_total_relation_size('metrics_rollups') + pg_total_relation_size('rollup_shapes'))::bigint",
    )
    .fetch_one(store.ready().await?)
    .await?;
    let (mut oldest, mut newest) = (None::<OffsetDateTime>, None::<OffsetDateTime>);
    for metric_type in MetricType::ALL {
        let (first, last, rolled): (
            Option<OffsetDateTime>,
            Option<OffsetDateTime>,
            Option<OffsetDateTime>,
        ) = sqlx::query_as(
            "SELECT (SELECT min(timestamp) FROM metrics_snapshots WHERE host = $1 AND metric_type = $2),
                    (SELECT max(timestamp) FROM metrics_snapshots WHERE host = $1 AND metric_type = $2),
                    (SELECT min(timestamp) FROM metrics_rollups WHERE host = $1 AND metric_type = $2 AND tier = $3)",
        )
        .bind(&store.host)
        .bind(metric_type.as_str())
        .bind(column(Tier::Hour))
        .fetch_one(store.ready().await?)
        .await?;
        oldest = oldest.into_iter().chain(first).chain(rolled).min();
        newest = newest.into_iter().chain(last).chain(rolled).max();
    }
    Ok(Extent { bytes: bytes.unsigned_abs(), oldest, newest })
}
