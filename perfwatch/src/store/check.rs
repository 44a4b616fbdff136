//! Checks a store without changing it, also one that is damaged: its structure, its tables, and every chunk.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::chunks::{Chunk, Content};
use super::{Result, StoreError, postgres, sqlite_path};

/// Every table but the chunks.
pub(super) const TABLES: [&str; 24] = [
    "users",
    "revoked_tokens",
    "config",
    "archive_policies",
    "api_tokens",
    "boards",
    "login_failures",
    "familiar_logins",
    "audit_log",
    "hosts",
    "fleet_tokens",
    "fleet_members",
    "stale_tiers",
    "removed_tiers",
    "marks",
    "alert_states",
    "alert_episodes",
    "alert_silences",
    "alert_windows",
    "alert_rules",
    "alert_channels",
    "alert_outbox",
    "alert_deliveries",
    "leases",
];

/// What is wrong with the structure is told up to here.
const MAX_PROBLEMS: usize = 20;
/// Rows read at a time from PostgreSQL.
const PAGE: i64 = 16;
/// Unreadable rows after which the search for readable ones takes longer steps.
const SINGLE_STEPS: u32 = 4096;

/// A chunk and the id of its host.
#[derive(Debug)]
pub struct Stored {
    pub host: String,
    pub chunk: Chunk,
}

/// What became of the chunks of one content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub sound: u64,
    pub damaged: u64,
}

#[derive(Debug, Default)]
pub struct Findings {
    /// Such as `SQLite 3.46.0`; empty if even that can't be read.
    pub version: String,
    /// What is wrong with structure and tables.
    pub problems: Vec<String>,
    pub chunks: BTreeMap<Content, Count>,
}

impl Findings {
    pub fn total(&self) -> Count {
        self.chunks.values().fold(Count::default(), |sum, count| Count {
            sound: sum.sound + count.sound,
            damaged: sum.damaged + count.damaged,
        })
    }

    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.total().damaged == 0
    }

    pub(super) fn add(&mut self, content: Content, sound: bool) {
        let count = self.chunks.entry(content).or_default();
        *(if sound { &mut count.sound } else { &mut count.damaged }) += 1;
    }

    fn note(&mut self, problem: impl ToString) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem.to_string());
        }
    }
}

/// Checks everything; `is_sound` decodes a chunk. Fails only if the store cannot be reached at all.
pub async fn check(url: &str, is_sound: impl Fn(&Chunk) -> bool) -> Result<Findings> {
    match sqlite_path(url) {
        Some(file) => sqlite(&file, is_sound).await,
        None => postgresql(url, is_sound).await,
    }
}

async fn sqlite(file: &Path, is_sound: impl Fn(&Chunk) -> bool) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut connection = match open_damaged(file).await {
        Ok(connection) => connection,
        Err(error) => {
            findings.note(error);
            return Ok(findings);
        }
    };
    // All reads see the same moment while a server goes on writing.
    let begun = sqlx::raw_sql("BEGIN").execute(&mut connection).await;
    let version = sqlx::query_scalar::<_, String>("SELECT sqlite_version()").fetch_one(&mut connection).await;
    match begun.and(version) {
        Ok(version) => findings.version = format!("SQLite {version}"),
        Err(error) => findings.note(StoreError::from(error)),
    }
    match sqlx::query_scalar::<_, String>("PRAGMA quick_check(20)").fetch_all(&mut connection).await {
        Ok(lines) => lines.iter().filter(|line| *line != "ok").for_each(|line| findings.note(line.trim())),
        Err(error) => findings.note(StoreError::from(error)),
    }
    for table in TABLES.iter().chain(&["chunks", "_sqlx_migrations"]) {
        // The names are constants.
        let query = AssertSqlSafe(format!("SELECT 1 FROM {table} LIMIT 1"));
        if let Err(error) = sqlx::query(query).fetch_optional(&mut connection).await {
            findings.note(format!("{table}: {}", StoreError::from(error)));
        }
    }
    let mut walk = SqliteWalk::default();
    while let Some(stored) = walk.next(&mut connection).await {
        findings.add(stored.chunk.content, is_sound(&stored.chunk));
    }
    if walk.skipped {
        count_unread(&mut connection, &mut findings).await;
    }
    connection.close().await?;
    Ok(findings)
}

/// Counts as damaged what the index of the chunks knows and the walk has not found.
pub(super) async fn count_unread(connection: &mut SqliteConnection, findings: &mut Findings) {
    let known: sqlx::Result<Vec<(String, i64)>> = sqlx::query_as(
        "SELECT metric_type, count(*) FROM chunks INDEXED BY sqlite_autoindex_chunks_1 GROUP BY metric_type",
    )
    .fetch_all(connection)
    .await;
    let Ok(known) = known else {
        return findings.note("some chunks cannot be read, and neither can the index that has their number");
    };
    for (name, known) in known {
        let Some(content) = Content::parse(&name) else { continue };
        let count = findings.chunks.entry(content).or_default();
        let read = count.sound + count.damaged;
        count.damaged += known.unsigned_abs().saturating_sub(read);
    }
}

/// For reading only: not even a damaged file is changed.
pub(super) async fn open_damaged(file: &Path) -> Result<SqliteConnection> {
    std::fs::File::open(file)
        .map_err(|error| StoreError::Database(format!("cannot read {}: {error}", file.display())))?;
    let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
    Ok(options.connect().await?)
}

/// Goes through the chunks of a file by their row number, around what cannot be read.
#[derive(Debug, Default)]
pub(super) struct SqliteWalk {
    row: i64,
    failures: u32,
    step: i64,
    /// Whether something could not be read.
    pub skipped: bool,
}

type Row = (i64, String, String, i64, i64, i64, i64, Vec<u8>);

impl SqliteWalk {
    pub async fn next(&mut self, connection: &mut SqliteConnection) -> Option<Stored> {
        loop {
            // The index may be damaged as well, and a chunk needs none.
            let row: sqlx::Result<Option<Row>> = sqlx::query_as(
                "SELECT rowid, host, metric_type, tier, start, begins, ends, data FROM chunks NOT INDEXED
                 WHERE rowid >= $1 ORDER BY rowid LIMIT 1",
            )
            .bind(self.row)
            .fetch_optional(&mut *connection)
            .await;
            match row {
                Ok(None) => return None,
                Ok(Some((row, host, content, tier, start, first, end, data))) => {
                    (self.row, self.failures, self.step) = (row.checked_add(1)?, 0, 1);
                    let Some(content) = Content::parse(&content) else {
                        self.skipped = true;
                        continue;
                    };
                    let chunk = Chunk { content, tier, start, first, end, data: data.into() };
                    return Some(Stored { host, chunk });
                }
                Err(_) => {
                    self.skipped = true;
                    self.failures += 1;
                    // A page of the tree has at most some thousand rows below it.
                    self.step = if self.failures > SINGLE_STEPS { self.step.checked_mul(2)? } else { 1 };
                    self.row = self.row.checked_add(self.step)?;
                }
            }
        }
    }
}

async fn postgresql(url: &str, is_sound: impl Fn(&Chunk) -> bool) -> Result<Findings> {
    let mut connection: PgConnection = postgres::options(url)?.connect().await?;
    let mut findings = Findings::default();
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    findings.version = format!("PostgreSQL {version}");
    for table in TABLES.iter().chain(&["chunks", "metrics_snapshots", "_sqlx_migrations"]) {
        // The names are constants.
        let query = AssertSqlSafe(format!("SELECT 1 FROM {table} LIMIT 1"));
        if let Err(error) = sqlx::query(query).fetch_optional(&mut connection).await {
            findings.note(format!("{table}: {}", StoreError::from(error)));
        }
    }
    let mut walk = PostgresWalk::default();
    loop {
        match walk.next(&mut connection).await {
            Ok(None) => break,
            Ok(Some(Ok(stored))) => findings.add(stored.chunk.content, is_sound(&stored.chunk)),
            Ok(Some(Err(content))) => findings.add(content, false),
            Err(error) => {
                findings.note(format!("chunks: {error}"));
                break;
            }
        }
    }
    connection.close().await?;
    Ok(findings)
}

type KeyedRow = (String, String, i64, i64, i64, i64, Vec<u8>);

/// Goes through the chunks by key; a row whose data cannot be read is one by itself.
#[derive(Debug, Default)]
struct PostgresWalk {
    after: (String, String, i64, i64),
    page: VecDeque<Stored>,
}

impl PostgresWalk {
    /// A chunk, or the content of one that cannot be read.
    async fn next(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<std::result::Result<Stored, Content>>> {
        if self.page.is_empty() {
            let read = match self.read(connection, PAGE).await {
                Ok(page) => Ok(page),
                Err(_) => self.read(connection, 1).await,
            };
            match read {
                Ok(page) => self.page = page.into(),
                Err(_) => return self.step_over(connection).await,
            }
        }
        Ok(self.page.pop_front().map(|stored| {
            let chunk = &stored.chunk;
            let content = chunk.content.as_str().to_owned();
            self.after = (stored.host.clone(), content, chunk.tier, chunk.start);
            Ok(stored)
        }))
    }

    async fn read(&self, connection: &mut PgConnection, limit: i64) -> Result<Vec<Stored>> {
        let (host, content, tier, start) = &self.after;
        let rows: Vec<KeyedRow> = sqlx::query_as(
            "SELECT host, metric_type, tier, start, begins, ends, data FROM chunks
             WHERE (host, metric_type, tier, start) > ($1, $2, $3, $4)
             ORDER BY host, metric_type, tier, start LIMIT $5",
        )
        .bind(host)
        .bind(content)
        .bind(tier)
        .bind(start)
        .bind(limit)
        .fetch_all(connection)
        .await?;
        let stored = rows.into_iter().map(|(host, name, tier, start, first, end, data)| {
            let content = content_of(&name)?;
            Ok(Stored { host, chunk: Chunk { content, tier, start, first, end, data: data.into() } })
        });
        stored.collect()
    }

    async fn step_over(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<std::result::Result<Stored, Content>>> {
        let (host, content, tier, start) = &self.after;
        let next: Option<(String, String, i64, i64)> = sqlx::query_as(
            "SELECT host, metric_type, tier, start FROM chunks
             WHERE (host, metric_type, tier, start) > ($1, $2, $3, $4)
             ORDER BY host, metric_type, tier, start LIMIT 1",
        )
        .bind(host)
        .bind(content)
        .bind(tier)
        .bind(start)
        .fetch_optional(connection)
        .await?;
        let Some(next) = next else { return Ok(None) };
        let content = content_of(&next.1)?;
        self.after = next;
        Ok(Some(Err(content)))
    }
}

fn content_of(name: &str) -> Result<Content> {
    Content::parse(name).ok_or_else(|| StoreError::Database(format!("chunks of an unknown type {name:?}")))
}
