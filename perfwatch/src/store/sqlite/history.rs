//! Snapshots and their rollups.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use sqlx::{Either, Executor, QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::packing::{pack, unpack};
use crate::snapshot::MetricType;
use crate::store::query::plan::Coverage;
use crate::store::roller::Computed;
use crate::store::rollup::accumulator::Accumulator;
use crate::store::rollup::{Stale, Tier, TierRow};
use crate::store::{Result, Row, StoreError, micros};

/// Rows per INSERT: few enough that one statement's text stays small, enough to amortise the call.
const INSERT_ROWS: usize = 64;
/// What storing one tick takes at most, usually.
const OF_ONE_TICK: Duration = Duration::from_millis(3);

/// Rows of raw documents, as `scan` reads them.
pub(super) const SCAN_RAW: &str = "SELECT timestamp, 0, metric_data FROM packed_snapshots
     WHERE host = $1 AND metric_type = $2 AND timestamp >= $3 AND timestamp < $4
     ORDER BY timestamp LIMIT $5";
/// Likewise, of a rollup tier.
pub(super) const SCAN_ROLLUPS: &str = "SELECT timestamp, shape, data FROM metrics_rollups
     WHERE host = $1 AND metric_type = $2 AND timestamp >= $3 AND timestamp < $4 AND tier = $6
     ORDER BY timestamp LIMIT $5";
pub(super) const COVERAGE: &str = "SELECT 0, tier, before FROM rollup_removed WHERE host = $1
     UNION ALL
     SELECT 1, tier, bucket FROM rollup_stale
     WHERE host = $1 AND tier IN (60, 300, 3600, 86400) AND bucket >= $2 AND bucket < $3";
pub(super) const STALE: &str = "SELECT bucket, generation FROM rollup_stale
     WHERE host = $1 AND tier = $2 AND bucket >= $3 AND bucket <= $4 ORDER BY bucket LIMIT $5";

pub(super) async fn append(store: &SqliteStore, rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let generation = store.generation.fetch_add(1, Ordering::Relaxed);
    let inserted = write(&store.write, &store.host, rows, generation).await?;
    let stored = rows.iter().map(|row| (micros(row.timestamp), row.metric_type, &row.json[..]));
    store.minutes.add(stored, inserted == rows.len() as u64);
    Ok(())
}

/// Stores rows and marks their buckets stale, in one transaction; returns how many rows were new.
///
/// All of its statements go to the connection's thread as one, which saves two wake-ups for each.
async fn write(pool: &SqlitePool, host: &str, rows: &[Row], generation: i64) -> Result<u64> {
    let mut script = QueryBuilder::<Sqlite>::new("BEGIN IMMEDIATE; ");
    let chunks = rows.chunks(INSERT_ROWS);
    let inserts = chunks.len();
    for chunk in chunks {
        script.push("INSERT INTO packed_snapshots (host, timestamp, metric_type, metric_data) ");
        script.push_values(chunk, |mut values, row| {
            values
                .push_bind(host.to_owned())
                .push_bind(micros(row.timestamp))
                .push_bind(row.metric_type.as_str())
                .push_bind(pack(row.metric_type, &row.json));
        });
        script.push(" ON CONFLICT DO NOTHING; ");
    }
    let buckets: BTreeSet<(i64, i64)> = rows
        .iter()
        .flat_map(|row| Tier::ROLLUPS.map(|tier| (tier.seconds(), tier.floor(micros(row.timestamp)))))
        .collect();
    let buckets: Vec<_> = buckets.into_iter().collect();
    for chunk in buckets.chunks(INSERT_ROWS) {
        script.push("INSERT INTO rollup_stale (host, tier, bucket, generation) ");
        script.push_values(chunk, |mut values, (tier, bucket)| {
            values.push_bind(host.to_owned()).push_bind(tier).push_bind(bucket).push_bind(generation);
        });
        script.push(" ON CONFLICT DO UPDATE SET generation = excluded.generation; ");
    }
    script.push("COMMIT");

    // A task of its own: a caller that gives up amid the script must not leave a transaction open.
    let mut connection = pool.acquire().await?;
    // The script of one tick is always the same.
    let always_the_same = rows.len() <= MetricType::ALL.len();
    let writing = tokio::spawn(async move {
        let outcome = run(&mut connection, script, inserts, always_the_same).await;
        if outcome.is_err() {
            // Nothing to roll back is an error too.
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
        }
        outcome
    });
    writing.await.unwrap_or_else(|error| Err(StoreError::Database(error.to_string())))
}

/// Runs the script of [`write`]; returns how many rows its `inserts` inserted.
async fn run(
    connection: &mut SqliteConnection,
    mut script: QueryBuilder<Sqlite>,
    inserts: usize,
    keep: bool,
) -> Result<u64> {
    // BEGIN answers first.
    let mut answers = connection.fetch_many(script.build().persistent(keep)).enumerate();
    let mut next = answers.poll_next_unpin(&mut Context::from_waker(Waker::noop()));
    if keep && next.is_pending() {
        // Each statement's answer would wake us, and none is waited for. After this there is mostly nothing to wait for.
        tokio::time::sleep(OF_ONE_TICK).await;
    }
    let mut inserted = 0;
    loop {
        let answer = match std::mem::replace(&mut next, Poll::Pending) {
            Poll::Ready(answer) => answer,
            Poll::Pending => answers.next().await,
        };
        let Some((statement, answer)) = answer else { break };
        if let Either::Left(done) = answer?
            && (1..=inserts).contains(&statement)
        {
            inserted += done.rows_affected();
        }
    }
    Ok(inserted)
}

pub(super) async fn coverage(store: &SqliteStore, from: i64, to: i64) -> Result<Coverage> {
    let rows: Vec<(bool, i64, i64)> = sqlx::query_as(COVERAGE)
        .bind(&store.host)
        // Bucket starts of the coarsest tier may lie a day before the range.
        .bind(Tier::Day.floor(from))
        .bind(to)
        .fetch_all(&store.read)
        .await?;
    let mut coverage = Coverage::default();
    for (stale, seconds, at) in rows {
        coverage.note(stale, seconds, at);
    }
    Ok(coverage)
}

pub(super) async fn scan(
    store: &SqliteStore,
    tier: Tier,
    metric_type: MetricType,
    from: i64,
    to: i64,
    limit: usize,
) -> Result<Vec<TierRow>> {
    let query = sqlx::query(if tier == Tier::Raw { SCAN_RAW } else { SCAN_ROLLUPS });
    let query = query
        .bind(&store.host)
        .bind(metric_type.as_str())
        .bind(from)
        .bind(to)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let query = if tier == Tier::Raw { query } else { query.bind(tier.seconds()) };
    let rows = query.fetch_all(&store.read).await?;
    rows.iter()
        .map(|row| {
            let data = match tier {
                // TEXT and BLOB are the same bytes; sqlx wants to know which it is.
                Tier::Raw => unpack(metric_type, row.try_get::<&str, _>(2)?.as_bytes()),
                _ => row.try_get(2)?,
            };
            Ok(TierRow { at: row.try_get(0)?, shape: row.try_get(1)?, data })
        })
        .collect()
}

pub(super) async fn minute(
    store: &SqliteStore,
    bucket: i64,
) -> Result<Option<Vec<(MetricType, Accumulator)>>> {
    let Some(summed) = store.minutes.take(bucket) else { return Ok(None) };
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM packed_snapshots WHERE host = $1 AND timestamp >= $2 AND timestamp < $3",
    )
    .bind(&store.host)
    .bind(bucket)
    .bind(bucket + Tier::Minute.width())
    .fetch_one(&store.read)
    .await?;
    Ok((stored.unsigned_abs() == summed.documents).then_some(summed.sums))
}

pub(super) async fn shape(store: &SqliteStore, key: i64) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT leaves FROM rollup_shapes WHERE key = $1")
        .bind(key)
        .fetch_optional(&store.read)
        .await?)
}

pub(super) async fn put_shape(store: &SqliteStore, key: i64, leaves: &str) -> Result<()> {
    sqlx::query("INSERT INTO rollup_shapes (key, leaves) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(key)
        .bind(leaves)
        .execute(&store.write)
        .await?;
    Ok(())
}

pub(super) async fn stale(
    store: &SqliteStore,
    tier: Tier,
    from: i64,
    to: i64,
    limit: usize,
) -> Result<Vec<Stale>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(STALE)
        .bind(&store.host)
        .bind(tier.seconds())
        .bind(from)
        .bind(to)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&store.read)
        .await?;
    Ok(rows.into_iter().map(|(bucket, generation)| Stale { bucket, generation }).collect())
}

pub(super) async fn put_rollups(store: &SqliteStore, tier: Tier, computed: &[Computed]) -> Result<usize> {
    let mut transaction = store.write.begin().await?;
    let mut written = 0;
    for bucket in computed {
        let unchanged = sqlx::query(
            "DELETE FROM rollup_stale WHERE host = $1 AND tier = $2 AND bucket = $3 AND generation = $4",
        )
        .bind(&store.host)
        .bind(tier.seconds())
        .bind(bucket.stale.bucket)
        .bind(bucket.stale.generation)
        .execute(&mut *transaction)
        .await?;
        if unchanged.rows_affected() == 0 {
            continue;
        }
        written += 1;
        for rows in bucket.rows.chunks(INSERT_ROWS) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO metrics_rollups (host, metric_type, tier, timestamp, shape, data) ",
            );
            insert.push_values(rows, |mut values, (metric_type, row)| {
                values
                    .push_bind(&store.host)
                    .push_bind(metric_type.as_str())
                    .push_bind(tier.seconds())
                    .push_bind(row.at)
                    .push_bind(row.shape)
                    .push_bind(&row.data);
            });
            insert.push(" ON CONFLICT DO UPDATE SET shape = excluded.shape, data = excluded.data");
            insert.build().execute(&mut *transaction).await?;
        }
        if bucket.consume {
            let end = bucket.stale.bucket + tier.width();
            super::retention::remove_range(store, &mut transaction, tier.finer(), bucket.stale.bucket, end)
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(written)
}

pub(super) async fn adopt(
    store: &SqliteStore,
    tier: Tier,
    metric_type: MetricType,
    rows: &[TierRow],
) -> Result<()> {
    let mut transaction = store.write.begin().await?;
    for row in rows {
        sqlx::query(
            "INSERT INTO metrics_rollups (host, metric_type, tier, timestamp, shape, data)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(&store.host)
        .bind(metric_type.as_str())
        .bind(tier.seconds())
        .bind(row.at)
        .bind(row.shape)
        .bind(&row.data)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn adopt_removed(store: &SqliteStore, tier: Tier, before: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO rollup_removed (host, tier, before) VALUES ($1, $2, $3)
         ON CONFLICT DO UPDATE SET before = max(before, excluded.before)",
    )
    .bind(&store.host)
    .bind(tier.seconds())
    .bind(before)
    .execute(&store.write)
    .await?;
    Ok(())
}
