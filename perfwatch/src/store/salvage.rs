//! Copies what can be read of a damaged SQLite file into a new one.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use time::OffsetDateTime;
use time::macros::format_description;

use super::check::{Findings, SqliteWalk, TABLES, count_unread, open_damaged};
use super::chunks::Chunk;
use super::{Result, StoreError};

/// Chunks written per transaction.
const AT_A_TIME: u64 = 256;

#[derive(Debug)]
pub struct Salvaged {
    /// Where the damaged file is now.
    pub aside: PathBuf,
    pub accounts: u64,
    /// Rows of all tables but those of accounts and chunks.
    pub other: u64,
    /// Chunks that were copied, and those that were not.
    pub findings: Findings,
}

/// Builds a new file beside the damaged one, and puts it in its place when it is complete. Nobody may use the file
/// meanwhile.
pub async fn salvage(file: &Path, is_sound: impl Fn(&Chunk) -> bool) -> Result<Salvaged> {
    let new = beside(file, ".salvaged");
    // A run that was interrupted left it.
    remove(&new)?;
    let salvaged = match copy(file, &new, is_sound).await {
        Ok(salvaged) => salvaged,
        Err(error) => {
            let _ = remove(&new);
            return Err(error);
        }
    };
    // Root may salvage what belongs to the service.
    let about = std::fs::metadata(file).map_err(|error| failed(file, &error))?;
    std::os::unix::fs::chown(&new, Some(about.uid()), Some(about.gid()))
        .map_err(|error| failed(&new, &error))?;
    // A log belongs to its file: it must never meet the new one.
    let ([_, log, shared], [_, log_aside, _]) = (parts(file), parts(&salvaged.aside));
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        std::fs::rename(&log, log_aside).map_err(|error| failed(&log, &error))?;
    }
    for made_by_reading in [log, shared] {
        remove_one(&made_by_reading)?;
    }
    std::fs::rename(file, &salvaged.aside).map_err(|error| failed(file, &error))?;
    std::fs::rename(&new, file).map_err(|error| failed(&new, &error))?;
    Ok(salvaged)
}

async fn copy(file: &Path, new: &Path, is_sound: impl Fn(&Chunk) -> bool) -> Result<Salvaged> {
    let url = super::url_of_file(new);
    super::open(&url).await?.close().await;
    let mut target: SqliteConnection =
        SqliteConnectOptions::from_str(&url)?.disable_statement_logging().connect().await?;
    let mut salvaged =
        Salvaged { aside: beside(file, &suffix()), accounts: 0, other: 0, findings: Findings::default() };
    // If it can't even be opened, there is nothing to copy.
    if let Ok(mut source) = open_damaged(file).await {
        for table in TABLES {
            let copied = copy_table(&mut source, &mut target, table).await?;
            *(if table == "users" { &mut salvaged.accounts } else { &mut salvaged.other }) += copied;
        }
        copy_chunks(&mut source, &mut target, &mut salvaged.findings, is_sound).await?;
        source.close().await?;
    }
    target.close().await?;
    Ok(salvaged)
}

fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Database(format!("{}: {error}", path.display()))
}

fn suffix() -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let now = OffsetDateTime::now_utc();
    format!(".damaged-{}", now.format(format).unwrap_or_else(|_| now.unix_timestamp().to_string()))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}

/// The file and what SQLite keeps beside it.
fn parts(file: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| beside(file, suffix))
}

fn remove(file: &Path) -> Result<()> {
    parts(file).iter().try_for_each(|part| remove_one(part))
}

fn remove_one(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, &error)),
        _ => Ok(()),
    }
}

/// Copies the rows that can be read, from either end up to what cannot; returns how many.
async fn copy_table(
    source: &mut SqliteConnection,
    target: &mut SqliteConnection,
    table: &str,
) -> Result<u64> {
    let Some((columns, order)) = columns(source, target, table).await? else { return Ok(0) };
    let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
    let (columns, quoted) = (columns.join(", "), quoted.join(" || ',' || "));
    let mut copied = 0;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *target).await?;
    for direction in ["ASC", "DESC"] {
        let order = order.replace(',', &format!(" {direction},"));
        // All names are those of our schema.
        let select = format!("SELECT {quoted} FROM {table} ORDER BY {order} {direction} LIMIT 1 OFFSET $1");
        let mut complete = false;
        for offset in 0i64.. {
            let row = sqlx::query_scalar::<_, String>(AssertSqlSafe(select.as_str()));
            let row = match row.bind(offset).fetch_optional(&mut *source).await {
                Ok(Some(row)) => row,
                Ok(None) => {
                    complete = true;
                    break;
                }
                Err(_) => break,
            };
            // SQLite has quoted the values itself.
            let insert = format!("INSERT OR IGNORE INTO {table} ({columns}) VALUES ({row})");
            // A token whose account is lost is refused.
            if let Ok(done) = sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *target).await {
                copied += done.rows_affected();
            }
        }
        if complete {
            break;
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut *target).await?;
    Ok(copied)
}

/// The columns that both files' table has, and those that order it. `None` if the damaged file lacks it.
async fn columns(
    source: &mut SqliteConnection,
    target: &mut SqliteConnection,
    table: &str,
) -> Result<Option<(Vec<String>, String)>> {
    const COLUMNS: &str = "SELECT name, pk FROM pragma_table_info($1)";
    let new: Vec<(String, i64)> = sqlx::query_as(COLUMNS).bind(table).fetch_all(target).await?;
    let old: sqlx::Result<Vec<(String, i64)>> = sqlx::query_as(COLUMNS).bind(table).fetch_all(source).await;
    let Ok(old) = old else { return Ok(None) };
    let names: Vec<String> = new
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| old.iter().any(|old| old.0 == *name))
        .collect();
    let mut key: Vec<&(String, i64)> = old.iter().filter(|(_, place)| *place > 0).collect();
    key.sort_by_key(|(_, place)| *place);
    let order = match key[..] {
        [] => "rowid".to_owned(),
        _ => key.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(","),
    };
    Ok((!names.is_empty()).then_some((names, order)))
}

async fn copy_chunks(
    source: &mut SqliteConnection,
    target: &mut SqliteConnection,
    findings: &mut Findings,
    is_sound: impl Fn(&Chunk) -> bool,
) -> Result<()> {
    let mut walk = SqliteWalk::default();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *target).await?;
    while let Some(stored) = walk.next(source).await {
        let chunk = &stored.chunk;
        let sound = is_sound(chunk);
        findings.add(chunk.content, sound);
        if !sound {
            continue;
        }
        sqlx::query(
            "INSERT OR IGNORE INTO chunks (host, metric_type, tier, start, begins, ends, data)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&stored.host)
        .bind(chunk.content.as_str())
        .bind(chunk.tier)
        .bind(chunk.start)
        .bind(chunk.first)
        .bind(chunk.end)
        .bind(&chunk.data[..])
        .execute(&mut *target)
        .await?;
        if findings.total().sound.is_multiple_of(AT_A_TIME) {
            sqlx::raw_sql("COMMIT; BEGIN IMMEDIATE").execute(&mut *target).await?;
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut *target).await?;
    if walk.skipped {
        count_unread(source, findings).await;
    }
    Ok(())
}
