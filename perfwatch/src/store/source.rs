//! Reads another store's history without changing it: ours on either engine, or the original's PostgreSQL database.

use std::str::FromStr;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions};
use time::OffsetDateTime;

use super::chunks::{Chunk, Content, Document};
use super::{Result, StoreError, from_micros, micros};
use crate::snapshot::MetricType;

/// Where to import from.
#[derive(Debug, Clone)]
pub struct From {
    pub url: String,
    /// The machine to import, by name or id, if the store has several; its data becomes this machine's.
    pub host: Option<String>,
    /// Read the tables set aside when the original's database was converted to ours.
    pub set_aside: bool,
}

#[derive(Debug)]
pub enum Source {
    Sqlite {
        pool: SqlitePool,
        host: String,
    },
    Postgres {
        pool: PgPool,
        host: String,
    },
    /// Documents without a host column.
    Original {
        pool: PgPool,
        table: &'static str,
        time: &'static str,
        bound: &'static str,
    },
}

const HOSTS: &str = "SELECT id, name FROM hosts ORDER BY name, id";
const COUNT: &str =
    "SELECT count(*) FROM chunks WHERE host = $1 AND metric_type = $2 AND tier = $3 AND start > $4";
const PAGE: &str = "SELECT start, begins, ends, data FROM chunks
     WHERE host = $1 AND metric_type = $2 AND tier = $3 AND start > $4 ORDER BY start LIMIT $5";
const REMOVED: &str = "SELECT tier, before FROM removed_tiers WHERE host = $1";

impl Source {
    pub async fn open(from: &From) -> Result<Self> {
        if from.url.starts_with("sqlite:") {
            let options =
                SqliteConnectOptions::from_str(&from.url)?.read_only(true).disable_statement_logging();
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            let hosts = sqlx::query_as(HOSTS).fetch_all(&pool).await?;
            return Ok(Self::Sqlite { host: choose(hosts, from)?, pool });
        }
        let options = super::postgres::options(&from.url)?
            .options([("timezone", "UTC"), ("default_transaction_read_only", "on")]);
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
            let hosts = sqlx::query_as(HOSTS).fetch_all(&pool).await?;
            return Ok(Self::Postgres { host: choose(hosts, from)?, pool });
        }
        // The original's times are UTC, with or without a time zone.
        let (time, bound) = match type_of("timestamp") {
            Some("timestamp with time zone") => ("timestamp", "$2"),
            Some(_) => ("(timestamp AT TIME ZONE 'UTC')", "($2 AT TIME ZONE 'UTC')"),
            None => return Err(missing(&format!("the database has no table {table}"))),
        };
        Ok(Self::Original { pool, table, time, bound })
    }

    /// Whether it has documents instead of chunks.
    pub const fn is_original(&self) -> bool {
        matches!(self, Self::Original { .. })
    }

    /// Chunks that start after a time (µs), or documents after it.
    pub async fn count(&self, content: Content, tier: i64, after: i64) -> Result<u64> {
        let name = content.as_str();
        let count: i64 = match self {
            Self::Sqlite { pool, host } => {
                sqlx::query_scalar(COUNT).bind(host).bind(name).bind(tier).bind(after).fetch_one(pool).await?
            }
            Self::Postgres { pool, host } => {
                sqlx::query_scalar(COUNT).bind(host).bind(name).bind(tier).bind(after).fetch_one(pool).await?
            }
            Self::Original { pool, table, bound, .. } => {
                // The parts are constants, the values are bound.
                let query =
                    format!("SELECT count(*) FROM {table} WHERE metric_type = $1 AND timestamp > {bound}");
                let query = sqlx::query_scalar(AssertSqlSafe(query));
                query.bind(name).bind(from_micros(after)).fetch_one(pool).await?
            }
        };
        Ok(count.unsigned_abs())
    }

    /// The first chunks that start after a time (µs).
    pub async fn chunks(&self, content: Content, tier: i64, after: i64, limit: i64) -> Result<Vec<Chunk>> {
        let name = content.as_str();
        let rows: Vec<(i64, i64, i64, Vec<u8>)> = match self {
            Self::Sqlite { pool, host } => {
                let query = sqlx::query_as(PAGE).bind(host).bind(name).bind(tier).bind(after).bind(limit);
                query.fetch_all(pool).await?
            }
            Self::Postgres { pool, host } => {
                let query = sqlx::query_as(PAGE).bind(host).bind(name).bind(tier).bind(after).bind(limit);
                query.fetch_all(pool).await?
            }
            Self::Original { .. } => Vec::new(),
        };
        let chunk = |(start, first, end, data): (i64, i64, i64, Vec<u8>)| Chunk {
            content,
            tier,
            start,
            first,
            end,
            data: data.into(),
        };
        Ok(rows.into_iter().map(chunk).collect())
    }

    /// The first documents after a time (µs).
    pub async fn documents(&self, metric_type: MetricType, after: i64, limit: i64) -> Result<Vec<Document>> {
        let Self::Original { pool, table, time, bound } = self else { return Ok(Vec::new()) };
        // The original has an index on type and time.
        let query = format!(
            "SELECT {time}, metric_data::text FROM {table}
             WHERE metric_type = $1 AND timestamp > {bound} ORDER BY timestamp LIMIT $3"
        );
        let query = sqlx::query_as(AssertSqlSafe(query));
        let rows: Vec<(OffsetDateTime, String)> =
            query.bind(metric_type.as_str()).bind(from_micros(after)).bind(limit).fetch_all(pool).await?;
        let document = |(at, json): (OffsetDateTime, String)| Document {
            at: micros(at),
            metric_type,
            json: json.into(),
        };
        Ok(rows.into_iter().map(document).collect())
    }

    /// A tier's seconds, and the time (µs) before which the source has only coarser tiers.
    pub async fn removed(&self) -> Result<Vec<(i64, i64)>> {
        Ok(match self {
            Self::Sqlite { pool, host } => sqlx::query_as(REMOVED).bind(host).fetch_all(pool).await?,
            Self::Postgres { pool, host } => sqlx::query_as(REMOVED).bind(host).fetch_all(pool).await?,
            Self::Original { .. } => Vec::new(),
        })
    }
}

fn choose(hosts: Vec<(String, String)>, from: &From) -> Result<String> {
    let names = || hosts.iter().map(|(id, name)| format!("{name} ({id})")).collect::<Vec<_>>().join(", ");
    match (&from.host, &hosts[..]) {
        (Some(wanted), _) => {
            let found: Vec<&(String, String)> =
                hosts.iter().filter(|(id, name)| id == wanted || name == wanted).collect();
            match found[..] {
                [(id, _)] => Ok(id.clone()),
                [] => Err(missing(&format!("{wanted} is not among {}", names()))),
                _ => Err(missing(&format!(
                    "several machines are called {wanted}; name the id of one: {}",
                    names()
                ))),
            }
        }
        (None, [(only, _)]) => Ok(only.clone()),
        (None, []) => Err(missing("the database has no history")),
        (None, _) => Err(missing(&format!("choose one of several machines with --host: {}", names()))),
    }
}

fn missing(what: &str) -> StoreError {
    StoreError::Database(format!("nothing to import: {what}"))
}
