//! Snapshots and their rollups.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use sqlx::{PgConnection, Row as _};

use super::{PostgresStore, arrivals, partitions};
use crate::snapshot::MetricType;
use crate::store::query::pages::page_length;
use crate::store::query::plan::{Coverage, Question, Segment};
use crate::store::roller::Computed;
use crate::store::rollup::accumulator::Accumulator;
use crate::store::rollup::{Stale, Tier, TierRow};
use crate::store::{Result, Row, from_micros, micros};

/// Rows that one connection stores as fast as several would.
const OF_ONE_PART: usize = 256;
/// What more rows are divided into, at most.
const PARTS: usize = 3;

/// Rows of raw documents, as `scan` reads them.
pub(super) const SCAN_RAW: &str = "SELECT timestamp, 0::bigint, metric_data::text FROM metrics_snapshots
     WHERE host = $1 AND metric_type = $2 AND timestamp >= $3 AND timestamp < $4
     ORDER BY timestamp LIMIT $5";
/// Likewise, of a rollup tier.
pub(super) const SCAN_ROLLUPS: &str = "SELECT timestamp, shape, data FROM metrics_rollups
     WHERE host = $1 AND metric_type = $2 AND timestamp >= $3 AND timestamp < $4 AND tier = $6
     ORDER BY timestamp LIMIT $5";
/// Rows of segments of all tiers. Each subquery walks one index; times that are a segment's leave out the partitions they
/// are not in when the statement runs.
pub(super) const READ: &str = "SELECT s.place, r.timestamp, r.shape, r.data, r.document
     FROM unnest($3::int[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY AS s (tier, since, until, place)
     CROSS JOIN LATERAL (
         (SELECT timestamp, shape, data, NULL::text AS document FROM metrics_rollups
          WHERE host = $1 AND metric_type = $2 AND tier = s.tier AND timestamp >= s.since AND timestamp < s.until
          ORDER BY timestamp LIMIT $6)
         UNION ALL
         (SELECT timestamp, 0::bigint, NULL::bytea, metric_data::text FROM metrics_snapshots
          WHERE s.tier = 0 AND host = $1 AND metric_type = $2 AND timestamp >= s.since AND timestamp < s.until
          ORDER BY timestamp LIMIT $6)
     ) AS r
     ORDER BY s.place, r.timestamp LIMIT $6";
/// Likewise, where none is raw.
pub(super) const READ_ROLLUPS: &str = "SELECT s.place, r.timestamp, r.shape, r.data
     FROM unnest($3::int[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY AS s (tier, since, until, place)
     CROSS JOIN LATERAL (
         SELECT timestamp, shape, data FROM metrics_rollups
         WHERE host = $1 AND metric_type = $2 AND tier = s.tier AND timestamp >= s.since AND timestamp < s.until
         ORDER BY timestamp LIMIT $6
     ) AS r
     ORDER BY s.place, r.timestamp LIMIT $6";
pub(super) const COVERAGE: &str = "SELECT false, tier, before FROM rollup_removed WHERE host = $1
     UNION ALL
     SELECT true, tier, bucket FROM rollup_stale
     WHERE host = $1 AND tier = ANY ($4) AND bucket >= $2 AND bucket < $3";
pub(super) const STALE: &str = "SELECT bucket, generation FROM rollup_stale
     WHERE host = $1 AND tier = $2 AND bucket >= $3 AND bucket <= $4 ORDER BY bucket LIMIT $5";

pub(super) async fn append(store: &PostgresStore, rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    partitions::make_for(store, rows).await?;
    let parts = parts(rows);
    // Each in a transaction of its own. Should one fail, all rows are offered again, and are stored once.
    let stored = join_all(parts.iter().map(|part| append_part(store, part))).await;
    let inserted = stored.into_iter().sum::<Result<u64>>()?;
    let stored = parts.iter().flat_map(|part| part.rows.iter().zip(&part.documents));
    let stored = stored.map(|(row, text)| (micros(row.timestamp), row.metric_type, text.as_bytes()));
    store.minutes.add(stored, inserted == rows.len() as u64);
    Ok(())
}

async fn append_part(store: &PostgresStore, part: &Part<'_>) -> Result<u64> {
    let mut transaction = store.ready().await?.begin().await?;
    let inserted = arrivals::insert(store, &mut transaction, &part.rows, &part.documents).await?;
    mark_stale(store, &mut transaction, &part.rows).await?;
    transaction.commit().await?;
    Ok(inserted)
}

/// What one transaction stores.
#[derive(Default)]
struct Part<'a> {
    rows: Vec<&'a Row>,
    /// Of the rows.
    documents: Vec<String>,
    bytes: usize,
}

/// One part, or for many rows (an import, a spool that is replayed) a few about as large, each with all rows of its
/// types: one process of the server would parse the documents one after the other.
fn parts(rows: &[Row]) -> Vec<Part<'_>> {
    let mut types = MetricType::ALL.map(|_| Part::default());
    for row in rows {
        let part = &mut types[row.metric_type as usize];
        let text = jsonb_text(&row.json);
        part.bytes += text.len();
        part.rows.push(row);
        part.documents.push(text);
    }
    let mut parts: Vec<Part<'_>> = Vec::new();
    let most = if rows.len() > OF_ONE_PART { PARTS } else { 1 };
    types.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    for of_type in types.into_iter().filter(|part| !part.rows.is_empty()) {
        let full = parts.len() >= most;
        match parts.iter_mut().filter(|_| full).min_by_key(|part| part.bytes) {
            Some(least) => least.extend(of_type),
            None => parts.push(of_type),
        }
    }
    parts
}

impl Part<'_> {
    fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.documents.extend(other.documents);
        self.bytes += other.bytes;
    }
}

/// A document as JSONB accepts it: it holds no NUL character, which JSON may spell `\u0000`.
fn jsonb_text(json: &[u8]) -> String {
    const NUL: &str = "\\u0000";
    let text = String::from_utf8_lossy(json);
    if text.contains(NUL) {
        // An escaped backslash before `u0000` is text; there the replacement changes one letter of it.
        text.replace(NUL, "\\ufffd")
    } else {
        text.into_owned()
    }
}

async fn mark_stale(store: &PostgresStore, connection: &mut PgConnection, rows: &[&Row]) -> Result<()> {
    // In one order everywhere, so that two servers of one host cannot wait for each other.
    let buckets: BTreeSet<(i32, i64)> = rows
        .iter()
        .flat_map(|row| Tier::ROLLUPS.map(|tier| (column(tier), tier.floor(micros(row.timestamp)))))
        .collect();
    let (tiers, buckets): (Vec<i32>, Vec<i64>) = buckets.into_iter().unzip();
    sqlx::query(
        "INSERT INTO rollup_stale (host, tier, bucket, generation)
         SELECT $1, t, b, $2 FROM unnest($3::int[], $4::bigint[]) AS buckets (t, b)
         ON CONFLICT (host, tier, bucket) DO UPDATE SET generation = excluded.generation",
    )
    .bind(&store.host)
    .bind(store.generation.fetch_add(1, Ordering::Relaxed))
    .bind(tiers)
    .bind(buckets)
    .execute(connection)
    .await?;
    Ok(())
}

/// How tables name a tier.
pub(super) fn column(tier: Tier) -> i32 {
    i32::try_from(tier.seconds()).expect("a day has 86400 seconds")
}

pub(super) async fn coverage(
    connection: &mut PgConnection,
    host: &str,
    from: i64,
    to: i64,
) -> Result<Coverage> {
    let rows: Vec<(bool, i32, i64)> = sqlx::query_as(COVERAGE)
        .bind(host)
        // Bucket starts of the coarsest tier may lie a day before the range.
        .bind(Tier::Day.floor(from))
        .bind(to)
        .bind(Tier::ROLLUPS.map(column))
        .fetch_all(connection)
        .await?;
    let mut coverage = Coverage::default();
    for (stale, seconds, at) in rows {
        coverage.note(stale, seconds.into(), at);
    }
    Ok(coverage)
}

/// Both on one connection, which keeps the two statements prepared.
pub(super) async fn ask(
    store: &PostgresStore,
    question: &Question,
) -> Result<(Vec<Segment>, Vec<(usize, TierRow)>)> {
    let mut connection = store.ready().await?.acquire().await?;
    let coverage = coverage(&mut connection, &store.host, question.from, question.to).await?;
    let segments = question.plan(&coverage);
    let rows =
        read(&mut connection, &store.host, question.metric_type, &segments, page_length(&segments)).await?;
    Ok((segments, rows))
}

pub(super) async fn read(
    connection: &mut PgConnection,
    host: &str,
    metric_type: MetricType,
    segments: &[Segment],
    limit: usize,
) -> Result<Vec<(usize, TierRow)>> {
    if segments.is_empty() {
        return Ok(Vec::new());
    }
    let has_raw = segments.iter().any(|segment| segment.tier == Tier::Raw);
    let rows = sqlx::query(if has_raw { READ } else { READ_ROLLUPS })
        .bind(host)
        .bind(metric_type.as_str())
        .bind(segments.iter().map(|s| column(s.tier)).collect::<Vec<_>>())
        .bind(segments.iter().map(|s| from_micros(s.from)).collect::<Vec<_>>())
        .bind(segments.iter().map(|s| from_micros(s.to)).collect::<Vec<_>>())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or_default();
            let data = match segments.get(place).map(|segment| segment.tier) {
                Some(Tier::Raw) => row.try_get::<String, _>(4)?.into_bytes(),
                _ => row.try_get(3)?,
            };
            Ok((place, TierRow { at: micros(row.try_get(1)?), shape: row.try_get(2)?, data }))
        })
        .collect()
}

pub(super) async fn scan(
    store: &PostgresStore,
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
        .bind(from_micros(from))
        .bind(from_micros(to))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let query = if tier == Tier::Raw { query } else { query.bind(column(tier)) };
    let rows = query.fetch_all(store.ready().await?).await?;
    rows.iter()
        .map(|row| {
            let data = match tier {
                Tier::Raw => row.try_get::<String, _>(2)?.into_bytes(),
                _ => row.try_get(2)?,
            };
            Ok(TierRow { at: micros(row.try_get(0)?), shape: row.try_get(1)?, data })
        })
        .collect()
}

pub(super) async fn minute(
    store: &PostgresStore,
    bucket: i64,
) -> Result<Option<Vec<(MetricType, Accumulator)>>> {
    let Some(summed) = store.minutes.take(bucket) else { return Ok(None) };
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM metrics_snapshots
         WHERE host = $1 AND metric_type = ANY ($2) AND timestamp >= $3 AND timestamp < $4",
    )
    .bind(&store.host)
    .bind(MetricType::ALL.map(MetricType::as_str))
    .bind(from_micros(bucket))
    .bind(from_micros(bucket + Tier::Minute.width()))
    .fetch_one(store.ready().await?)
    .await?;
    Ok((stored.unsigned_abs() == summed.documents).then_some(summed.sums))
}

pub(super) async fn shape(store: &PostgresStore, key: i64) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT leaves FROM rollup_shapes WHERE key = $1")
        .bind(key)
        .fetch_optional(store.ready().await?)
        .await?)
}

pub(super) async fn put_shape(store: &PostgresStore, key: i64, leaves: &str) -> Result<()> {
    sqlx::query("INSERT INTO rollup_shapes (key, leaves) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(key)
        .bind(leaves)
        .execute(store.ready().await?)
        .await?;
    Ok(())
}

pub(super) async fn stale(
    store: &PostgresStore,
    tier: Tier,
    from: i64,
    to: i64,
    limit: usize,
) -> Result<Vec<Stale>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(STALE)
        .bind(&store.host)
        .bind(column(tier))
        .bind(from)
        .bind(to)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(store.ready().await?)
        .await?;
    Ok(rows.into_iter().map(|(bucket, generation)| Stale { bucket, generation }).collect())
}

pub(super) async fn put_rollups(store: &PostgresStore, tier: Tier, computed: &[Computed]) -> Result<usize> {
    let mut transaction = store.ready().await?.begin().await?;
    let (buckets, generations): (Vec<i64>, Vec<i64>) =
        computed.iter().map(|c| (c.stale.bucket, c.stale.generation)).unzip();
    // An append that is under way holds its mark: this waits for it and then finds the generation changed.
    let unchanged: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM rollup_stale USING unnest($3::bigint[], $4::bigint[]) AS computed (b, g)
         WHERE host = $1 AND tier = $2 AND bucket = b AND generation = g RETURNING bucket",
    )
    .bind(&store.host)
    .bind(column(tier))
    .bind(buckets)
    .bind(generations)
    .fetch_all(&mut *transaction)
    .await?;
    let written: Vec<&Computed> = computed.iter().filter(|c| unchanged.contains(&c.stale.bucket)).collect();
    let rows = || written.iter().flat_map(|c| &c.rows);
    sqlx::query(
        "INSERT INTO metrics_rollups (host, metric_type, tier, timestamp, shape, data)
         SELECT $1, m, $2, t, s, d
         FROM unnest($3::text[], $4::timestamptz[], $5::bigint[], $6::bytea[]) AS rows (m, t, s, d)
         ON CONFLICT (host, metric_type, tier, timestamp)
         DO UPDATE SET shape = excluded.shape, data = excluded.data",
    )
    .bind(&store.host)
    .bind(column(tier))
    .bind(rows().map(|(metric_type, _)| metric_type.as_str()).collect::<Vec<_>>())
    .bind(rows().map(|(_, row)| from_micros(row.at)).collect::<Vec<_>>())
    .bind(rows().map(|(_, row)| row.shape).collect::<Vec<_>>())
    .bind(rows().map(|(_, row)| row.data.as_slice()).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    for bucket in written.iter().filter(|c| c.consume) {
        let start = bucket.stale.bucket;
        super::retention::remove_range(store, &mut transaction, tier.finer(), start, start + tier.width())
            .await?;
    }
    transaction.commit().await?;
    Ok(written.len())
}

pub(super) async fn adopt(
    store: &PostgresStore,
    tier: Tier,
    metric_type: MetricType,
    rows: &[TierRow],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO metrics_rollups (host, metric_type, tier, timestamp, shape, data)
         SELECT $1, $2, $3, t, s, d FROM unnest($4::timestamptz[], $5::bigint[], $6::bytea[]) AS rows (t, s, d)
         ON CONFLICT DO NOTHING",
    )
    .bind(&store.host)
    .bind(metric_type.as_str())
    .bind(column(tier))
    .bind(rows.iter().map(|row| from_micros(row.at)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.shape).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.data.as_slice()).collect::<Vec<_>>())
    .execute(store.ready().await?)
    .await?;
    Ok(())
}

pub(super) async fn adopt_removed(store: &PostgresStore, tier: Tier, before: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO rollup_removed AS r (host, tier, before) VALUES ($1, $2, $3)
         ON CONFLICT (host, tier) DO UPDATE SET before = greatest(r.before, excluded.before)",
    )
    .bind(&store.host)
    .bind(column(tier))
    .bind(before)
    .execute(store.ready().await?)
    .await?;
    Ok(())
}
