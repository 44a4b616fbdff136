//! Chunk statements for both engines, whose tables are the same.

/// Rows of one statement.
pub(in crate::store) const ROWS: usize = 64;

/// Defines an engine's functions on `chunks` and related tables.
macro_rules! chunk_statements {
    ($pool:ty, $engine:ty) => {
        pub(super) async fn introduce(pool: &$pool, host: &Host) -> Result<()> {
            let Host { id, name, facts, own_labels, .. } = host;
            sqlx::query(
                "INSERT INTO hosts (id, name, os, kernel, architecture, cpu_model, cpu_count, memory_total_bytes, time_zone, labels)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, os = excluded.os, kernel = excluded.kernel,
                     architecture = excluded.architecture, cpu_model = excluded.cpu_model,
                     cpu_count = excluded.cpu_count, memory_total_bytes = excluded.memory_total_bytes,
                     time_zone = excluded.time_zone, labels = excluded.labels",
            )
            .bind(id)
            .bind(name)
            .bind(&facts.os)
            .bind(&facts.kernel)
            .bind(&facts.architecture)
            .bind(&facts.cpu_model)
            .bind(facts.cpu_count.map(i64::from))
            .bind(facts.memory_total_bytes.and_then(|bytes| i64::try_from(bytes).ok()))
            .bind(&facts.time_zone)
            .bind(own_labels.to_string())
            .execute(pool)
            .await?;
            Ok(())
        }

        pub(super) async fn hosts(pool: &$pool) -> Result<Vec<Host>> {
            type Text = Option<String>;
            type Row =
                (String, String, Text, Text, Text, Text, Option<i64>, Option<i64>, Text, String, String);
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT id, name, os, kernel, architecture, cpu_model, cpu_count, memory_total_bytes, time_zone,
                     labels, given_labels
                 FROM hosts ORDER BY name, id",
            )
            .fetch_all(pool)
            .await?;
            let host = |(id, name, os, kernel, architecture, cpu_model, cpus, memory, time_zone, own, given): Row| {
                // Only `introduce` and `set_host_labels` write them.
                let labels = |text: String| text.parse().unwrap_or_default();
                let cpu_count = cpus.and_then(|cpus| u32::try_from(cpus).ok());
                let memory_total_bytes = memory.and_then(|bytes| u64::try_from(bytes).ok());
                let facts =
                    Facts { os, kernel, architecture, cpu_model, cpu_count, memory_total_bytes, time_zone };
                Host { id, name, facts, own_labels: labels(own), given_labels: labels(given) }
            };
            Ok(rows.into_iter().map(host).collect())
        }

        pub(super) async fn commit(
            transaction: &mut sqlx::Transaction<'_, $engine>,
            host: &str,
            batch: &Batch,
        ) -> Result<()> {
            let connection = &mut **transaction;
            for (content, tier, start) in &batch.remove {
                sqlx::query(
                    "DELETE FROM chunks WHERE host = $1 AND metric_type = $2 AND tier = $3 AND start = $4",
                )
                .bind(host)
                .bind(content.as_str())
                .bind(tier)
                .bind(start)
                .execute(&mut *connection)
                .await?;
            }
            // Many rows in one statement: a host's slot has a few dozen.
            for chunks in batch.put.chunks(crate::store::chunks::sql::ROWS) {
                let mut insert = sqlx::QueryBuilder::<$engine>::new(
                    "INSERT INTO chunks (host, metric_type, tier, start, begins, ends, data) ",
                );
                insert.push_values(chunks, |mut row, chunk| {
                    row.push_bind(host).push_bind(chunk.content.as_str()).push_bind(chunk.tier);
                    row.push_bind(chunk.start).push_bind(chunk.first).push_bind(chunk.end);
                    row.push_bind(&chunk.data[..]);
                });
                insert.push(
                    " ON CONFLICT (host, metric_type, tier, start)
                     DO UPDATE SET begins = excluded.begins, ends = excluded.ends, data = excluded.data",
                );
                insert.build().execute(&mut *connection).await?;
            }
            let stale: std::collections::BTreeSet<&(i64, i64)> = batch.stale.iter().collect();
            for (tier, start) in stale {
                sqlx::query(
                    "INSERT INTO stale_tiers (host, tier, start, generation) VALUES ($1, $2, $3, 1)
                     ON CONFLICT (host, tier, start) DO UPDATE SET generation = stale_tiers.generation + 1",
                )
                .bind(host)
                .bind(tier)
                .bind(start)
                .execute(&mut *connection)
                .await?;
            }
            for stale in &batch.computed {
                sqlx::query(
                    "DELETE FROM stale_tiers WHERE host = $1 AND tier = $2 AND start = $3 AND generation = $4",
                )
                .bind(host)
                .bind(stale.tier)
                .bind(stale.start)
                .bind(stale.generation)
                .execute(&mut *connection)
                .await?;
            }
            for (tier, before) in &batch.removed {
                removed(&mut *connection, host, *tier, *before).await?;
            }
            Ok(())
        }

        async fn removed(
            connection: &mut <$engine as sqlx::Database>::Connection,
            host: &str,
            tier: i64,
            before: i64,
        ) -> Result<()> {
            sqlx::query(
                "INSERT INTO removed_tiers (host, tier, before) VALUES ($1, $2, $3)
                 ON CONFLICT (host, tier) DO UPDATE SET before = excluded.before
                 WHERE removed_tiers.before < excluded.before",
            )
            .bind(host)
            .bind(tier)
            .bind(before)
            .execute(connection)
            .await?;
            Ok(())
        }

        pub(super) async fn find(pool: &$pool, host: &str, wanted: Wanted, limit: i64) -> Result<Vec<Chunk>> {
            // No chunk is longer than its tier's slots, so one that starts earlier can't overlap the range.
            let rows: sqlx::Result<Vec<Row>> = sqlx::query_as(
                "SELECT start, begins, ends, data FROM chunks
                 WHERE host = $1 AND metric_type = $2 AND tier = $3 AND start > $4 AND start < $5 AND ends > $6
                 ORDER BY start LIMIT $7",
            )
            .bind(host)
            .bind(wanted.content.as_str())
            .bind(wanted.tier)
            .bind(wanted.from.saturating_sub(longest(wanted.tier)))
            .bind(wanted.to)
            .bind(wanted.from)
            .bind(limit)
            .fetch_all(pool)
            .await;
            match rows.map_err(StoreError::from) {
                Ok(rows) => Ok(rows.into_iter().map(|row| chunk(wanted, row)).collect()),
                Err(StoreError::Database(_)) => find_readable(pool, host, wanted, limit).await,
                Err(error) => Err(error),
            }
        }

        pub(super) async fn sizes(pool: &$pool, host: &str, tier: i64, after: i64) -> Result<Vec<Size>> {
            let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
                "SELECT CAST(sum(length(data)) AS BIGINT), min(begins), max(ends) FROM chunks
                 WHERE host = $1 AND tier = $2 AND start > $3 GROUP BY metric_type",
            )
            .bind(host)
            .bind(tier)
            .bind(after)
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().map(|(bytes, first, end)| Size { bytes, first, end }).collect())
        }

        type Row = (i64, i64, i64, Vec<u8>);

        fn chunk(wanted: Wanted, (start, first, end, data): Row) -> Chunk {
            let Wanted { content, tier, .. } = wanted;
            Chunk { content, tier, start, first, end, data: data.into() }
        }

        /// Row by row: one that the database itself cannot read must not hide the others. It is a chunk without data,
        /// which readers count as damaged.
        async fn find_readable(
            pool: &$pool,
            host: &str,
            wanted: Wanted,
            limit: i64,
        ) -> Result<Vec<Chunk>> {
            // The key is in the index, which may be whole.
            let starts: Vec<i64> = sqlx::query_scalar(
                "SELECT start FROM chunks
                 WHERE host = $1 AND metric_type = $2 AND tier = $3 AND start > $4 AND start < $5 ORDER BY start",
            )
            .bind(host)
            .bind(wanted.content.as_str())
            .bind(wanted.tier)
            .bind(wanted.from.saturating_sub(longest(wanted.tier)))
            .bind(wanted.to)
            .fetch_all(pool)
            .await?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let mut chunks = Vec::new();
            for start in starts {
                let row: sqlx::Result<Option<Row>> = sqlx::query_as(
                    "SELECT start, begins, ends, data FROM chunks
                     WHERE host = $1 AND metric_type = $2 AND tier = $3 AND start = $4",
                )
                .bind(host)
                .bind(wanted.content.as_str())
                .bind(wanted.tier)
                .bind(start)
                .fetch_optional(pool)
                .await;
                match row.map_err(StoreError::from) {
                    Ok(Some(row)) if row.2 > wanted.from => chunks.push(chunk(wanted, row)),
                    Err(StoreError::Database(_)) if start >= wanted.from => {
                        chunks.push(chunk(wanted, (start, start, start + 1, Vec::new())));
                    }
                    Ok(_) | Err(StoreError::Database(_)) => {}
                    Err(error) => return Err(error),
                }
                if chunks.len() == limit {
                    break;
                }
            }
            Ok(chunks)
        }

        pub(super) async fn span(
            pool: &$pool,
            host: &str,
            content: Content,
            tier: i64,
        ) -> Result<Option<(i64, i64)>> {
            // Each subquery is a single index lookup.
            let (first, end): (Option<i64>, Option<i64>) = sqlx::query_as(
                "SELECT (SELECT begins FROM chunks WHERE host = $1 AND metric_type = $2 AND tier = $3
                      ORDER BY start LIMIT 1),
                     (SELECT ends FROM chunks WHERE host = $1 AND metric_type = $2 AND tier = $3
                      ORDER BY start DESC LIMIT 1)",
            )
            .bind(host)
            .bind(content.as_str())
            .bind(tier)
            .fetch_one(pool)
            .await?;
            Ok(first.zip(end))
        }

        pub(super) async fn newest(pool: &$pool) -> Result<Vec<(String, i64)>> {
            // Each subquery is a single index lookup. Every host has `cpu`; where its readings were removed, coarser tiers
            // tell when it was last heard of.
            let rows: Vec<(String, Option<i64>)> = sqlx::query_as(
                "SELECT id, COALESCE(
                     (SELECT ends FROM chunks WHERE host = id AND metric_type = 'cpu' AND tier = 0
                      ORDER BY start DESC LIMIT 1),
                     (SELECT ends FROM chunks WHERE host = id AND metric_type = 'cpu' AND tier = 60
                      ORDER BY start DESC LIMIT 1),
                     (SELECT ends FROM chunks WHERE host = id AND metric_type = 'cpu' AND tier = 3600
                      ORDER BY start DESC LIMIT 1))
                 FROM hosts",
            )
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().filter_map(|(host, end)| Some((host, end?))).collect())
        }

        pub(super) async fn stale_hosts(pool: &$pool, tier: i64, until: i64) -> Result<Vec<String>> {
            let hosts =
                sqlx::query_scalar("SELECT DISTINCT host FROM stale_tiers WHERE tier = $1 AND start <= $2");
            Ok(hosts.bind(tier).bind(until).fetch_all(pool).await?)
        }

        pub(super) async fn tiers(pool: &$pool, host: &str) -> Result<Tiers> {
            let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
                "SELECT tier, before, 0 AS generation FROM removed_tiers WHERE host = $1
                 UNION ALL SELECT tier, start, generation FROM stale_tiers WHERE host = $1",
            )
            .bind(host)
            .fetch_all(pool)
            .await?;
            let mut tiers = Tiers::default();
            for (tier, at, generation) in rows {
                match generation {
                    0 => tiers.removed.push((tier, at)),
                    generation => tiers.stale.push(Stale { tier, start: at, generation }),
                }
            }
            Ok(tiers)
        }

        /// Removes some chunks that end before a time, and records it for the planner; returns how many.
        pub(super) async fn remove_some(pool: &$pool, host: &str, tier: i64, before: i64) -> Result<u64> {
            let mut transaction = pool.begin().await?;
            removed(&mut *transaction, host, tier, before).await?;
            let mut gone = 0;
            for content in Content::all() {
                let done = sqlx::query(
                    "DELETE FROM chunks WHERE host = $1 AND metric_type = $2 AND tier = $3 AND start IN (
                         SELECT start FROM chunks WHERE host = $1 AND metric_type = $2 AND tier = $3
                         AND start < $4 AND ends <= $4 ORDER BY start LIMIT $5)",
                )
                .bind(host)
                .bind(content.as_str())
                .bind(tier)
                .bind(before)
                .bind(REMOVED_AT_A_TIME)
                .execute(&mut *transaction)
                .await?;
                gone += done.rows_affected();
            }
            // The data to compute these from is gone.
            sqlx::query("DELETE FROM stale_tiers WHERE host = $1 AND tier = $2 AND start < $3")
                .bind(host)
                .bind(tier)
                .bind(before)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(gone)
        }

        /// The start of the oldest chunk and the end of the newest.
        pub(super) async fn ends(pool: &$pool, host: &str) -> Result<(Option<i64>, Option<i64>)> {
            let (mut oldest, mut newest) = (None, None);
            for metric_type in MetricType::ALL {
                for tier in [0i64, 3600] {
                    let (first, last) = span(pool, host, metric_type.into(), tier).await?.unzip();
                    oldest = first.into_iter().chain(oldest).min();
                    newest = last.filter(|_| tier == 0).into_iter().chain(newest).max();
                }
            }
            Ok((oldest, newest))
        }
    };
}
pub(in crate::store) use chunk_statements;
