//! Reading another store: ours on either engine, or the original's PostgreSQL database.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};
use time::OffsetDateTime;

use super::{From, missing};
use crate::snapshot::MetricType;
use crate::store::rollup::{Tier, TierRow};
use crate::store::{Result, StoreError, from_micros, micros};

/// Every host of a table whose key begins with it, one step down the index each.
const HOSTS: &str = "WITH RECURSIVE hosts (host) AS (
     SELECT min(host) FROM metrics_snapshots
     UNION ALL SELECT (SELECT min(host) FROM metrics_snapshots m WHERE m.host > hosts.host) FROM hosts WHERE host IS NOT NULL)
     SELECT host FROM hosts WHERE host IS NOT NULL";

pub(super) enum Source {
    Sqlite {
        pool: SqlitePool,
        host: String,
    },
    Postgres {
        pool: PgPool,
        host: String,
    },
    /// Raw rows without a host.
    Original {
        pool: PgPool,
        table: &'static str,
        time: &'static str,
        bound: &'static str,
    },
}

impl Source {
    pub(super) async fn open(from: &From) -> Result<Self> {
        if from.url.starts_with("sqlite:") {
            let options =
                SqliteConnectOptions::from_str(&from.url)?.read_only(true).disable_statement_logging();
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            let hosts = sqlx::query_scalar(HOSTS).fetch_all(&pool).await?;
            return Ok(Self::Sqlite { host: choose(hosts, from)?, pool });
        }
        let url = from.url.replacen("+asyncpg://", "://", 1);
        let options = PgConnectOptions::from_str(&url)?
            .options([("timezone", "UTC"), ("default_transaction_read_only", "on")])
            .disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        let table = if from.set_aside { "perfwatch_original.metrics_snapshots" } else { "metrics_snapshots" };
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        )
        .bind(table)
        .fetch_all(&pool)
        .await?;
        let type_of = |name: &str| columns.iter().find(|c| c.0 == name).map(|c| c.1.as_str());
        if type_of("host").is_some() {
            let hosts = sqlx::query_scalar(HOSTS).fetch_all(&pool).await?;
            return Ok(Self::Postgres { host: choose(hosts, from)?, pool });
        }
        // The original's times are UTC, with or without saying so.
        let (time, bound) = match type_of("timestamp") {
            Some("timestamp with time zone") => ("timestamp", "$2"),
            Some(_) => ("(timestamp AT TIME ZONE 'UTC')", "($2 AT TIME ZONE 'UTC')"),
            None => return Err(missing(&format!("the database has no table {table}"))),
        };
        Ok(Self::Original { pool, table, time, bound })
    }

    pub(super) fn has_rollups(&self) -> bool {
        !matches!(self, Self::Original { .. })
    }

    /// Rows up to and after a time (µs).
    pub(super) async fn count(&self, tier: Tier, metric_type: MetricType, after: i64) -> Result<(u64, u64)> {
        let name = metric_type.as_str();
        let (before, left): (i64, i64) = match self {
            Self::Sqlite { pool, host } => {
                let query = sqlx::query_as(if tier == Tier::Raw {
                    "SELECT count(*) FILTER (WHERE timestamp <= $3), count(*) FILTER (WHERE timestamp > $3)
                     FROM metrics_snapshots WHERE host = $1 AND metric_type = $2"
                } else {
                    "SELECT count(*) FILTER (WHERE timestamp <= $3), count(*) FILTER (WHERE timestamp > $3)
                     FROM metrics_rollups WHERE host = $1 AND metric_type = $2 AND tier = $4"
                });
                let query = query.bind(host).bind(name).bind(after);
                let query = if tier == Tier::Raw { query } else { query.bind(tier.seconds()) };
                query.fetch_one(pool).await?
            }
            Self::Postgres { pool, host } => {
                let query = sqlx::query_as(if tier == Tier::Raw {
                    "SELECT count(*) FILTER (WHERE timestamp <= $3), count(*) FILTER (WHERE timestamp > $3)
                     FROM metrics_snapshots WHERE host = $1 AND metric_type = $2"
                } else {
                    "SELECT count(*) FILTER (WHERE timestamp <= $3), count(*) FILTER (WHERE timestamp > $3)
                     FROM metrics_rollups WHERE host = $1 AND metric_type = $2 AND tier = $4::bigint"
                });
                let query = query.bind(host).bind(name).bind(from_micros(after));
                let query = if tier == Tier::Raw { query } else { query.bind(tier.seconds()) };
                query.fetch_one(pool).await?
            }
            Self::Original { pool, table, bound, .. } => {
                let query = format!(
                    "SELECT count(*) FILTER (WHERE timestamp <= {bound}), count(*) FILTER (WHERE timestamp > {bound})
                     FROM {table} WHERE metric_type = $1"
                );
                let query = sqlx::query_as(AssertSqlSafe(query));
                query.bind(name).bind(from_micros(after)).fetch_one(pool).await?
            }
        };
        Ok((before.unsigned_abs(), left.unsigned_abs()))
    }

    /// The first rows after a time (µs), in time order.
    pub(super) async fn page(
        &self,
        tier: Tier,
        metric_type: MetricType,
        after: i64,
        limit: usize,
    ) -> Result<Vec<TierRow>> {
        let name = metric_type.as_str();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        match self {
            Self::Sqlite { pool, host } => {
                let query = sqlx::query(if tier == Tier::Raw {
                    "SELECT timestamp, 0, metric_data FROM metrics_snapshots
                     WHERE host = $1 AND metric_type = $2 AND timestamp > $3 ORDER BY timestamp LIMIT $4"
                } else {
                    "SELECT timestamp, shape, data FROM metrics_rollups
                     WHERE host = $1 AND metric_type = $2 AND timestamp > $3 AND tier = $5
                     ORDER BY timestamp LIMIT $4"
                });
                let query = query.bind(host).bind(name).bind(after).bind(limit);
                let query = if tier == Tier::Raw { query } else { query.bind(tier.seconds()) };
                let rows = query.fetch_all(pool).await?;
                Ok(rows.iter().map(|row| from_sqlite(row, tier)).collect::<sqlx::Result<_>>()?)
            }
            Self::Postgres { pool, host } => {
                let query = sqlx::query(if tier == Tier::Raw {
                    "SELECT timestamp, 0::bigint, metric_data::text FROM metrics_snapshots
                     WHERE host = $1 AND metric_type = $2 AND timestamp > $3 ORDER BY timestamp LIMIT $4"
                } else {
                    "SELECT timestamp, shape, data FROM metrics_rollups
                     WHERE host = $1 AND metric_type = $2 AND timestamp > $3 AND tier = $5::bigint
                     ORDER BY timestamp LIMIT $4"
                });
                let query = query.bind(host).bind(name).bind(from_micros(after)).bind(limit);
                let query = if tier == Tier::Raw { query } else { query.bind(tier.seconds()) };
                let rows = query.fetch_all(pool).await?;
                Ok(rows.iter().map(|row| from_postgres(row, tier)).collect::<sqlx::Result<_>>()?)
            }
            Self::Original { pool, table, time, bound } => {
                // The parts are ours, the values are bound. Indexed by type and time, as the original had it.
                let query = format!(
                    "SELECT {time}, 0::bigint, metric_data::text FROM {table}
                     WHERE metric_type = $1 AND timestamp > {bound} ORDER BY timestamp LIMIT $3"
                );
                let query = sqlx::query(AssertSqlSafe(query)).bind(name).bind(from_micros(after)).bind(limit);
                let rows = query.fetch_all(pool).await?;
                Ok(rows.iter().map(|row| from_postgres(row, tier)).collect::<sqlx::Result<_>>()?)
            }
        }
    }

    /// Up to when the source has left its tiers to coarser ones (µs).
    pub(super) async fn removed(&self) -> Result<Vec<(Tier, i64)>> {
        let query = "SELECT tier, before FROM rollup_removed WHERE host = $1";
        let removed: Vec<(i64, i64)> = match self {
            Self::Sqlite { pool, host } => sqlx::query_as(query).bind(host).fetch_all(pool).await?,
            Self::Postgres { pool, host } => {
                let query = "SELECT tier::bigint, before FROM rollup_removed WHERE host = $1";
                sqlx::query_as(query).bind(host).fetch_all(pool).await?
            }
            Self::Original { .. } => Vec::new(),
        };
        let tier_of = |seconds: i64| Tier::of_seconds(seconds);
        Ok(removed.into_iter().filter_map(|(seconds, before)| Some((tier_of(seconds)?, before))).collect())
    }

    pub(super) async fn shape(&self, key: i64) -> Result<String> {
        let query = "SELECT leaves FROM rollup_shapes WHERE key = $1";
        let leaves = match self {
            Self::Sqlite { pool, .. } => sqlx::query_scalar(query).bind(key).fetch_optional(pool).await?,
            Self::Postgres { pool, .. } => sqlx::query_scalar(query).bind(key).fetch_optional(pool).await?,
            Self::Original { .. } => None,
        };
        leaves.ok_or_else(|| StoreError::Database(format!("the source lacks its rollup shape {key}")))
    }
}

fn from_sqlite(row: &SqliteRow, tier: Tier) -> sqlx::Result<TierRow> {
    let data = match tier {
        Tier::Raw => row.try_get::<String, _>(2)?.into_bytes(),
        _ => row.try_get(2)?,
    };
    Ok(TierRow { at: row.try_get(0)?, shape: row.try_get(1)?, data })
}

fn from_postgres(row: &PgRow, tier: Tier) -> sqlx::Result<TierRow> {
    let data = match tier {
        Tier::Raw => row.try_get::<String, _>(2)?.into_bytes(),
        _ => row.try_get(2)?,
    };
    Ok(TierRow { at: micros(row.try_get::<OffsetDateTime, _>(0)?), shape: row.try_get(1)?, data })
}

fn choose(hosts: Vec<String>, from: &From) -> Result<String> {
    match (&from.host, &hosts[..]) {
        (Some(wanted), _) if hosts.contains(wanted) => Ok(wanted.clone()),
        (Some(wanted), _) => Err(missing(&format!("{wanted} is not among {}", hosts.join(", ")))),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(missing("the database has no history")),
        (None, _) => {
            Err(missing(&format!("choose one of several machines with --host: {}", hosts.join(", "))))
        }
    }
}
