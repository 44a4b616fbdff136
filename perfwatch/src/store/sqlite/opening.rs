//! Opens the file, and handles what can be wrong with it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteError};
use sqlx::{ConnectOptions, Connection};

use crate::store::{Result, StoreError};

/// How long another process may lock the file: a backup, a `VACUUM`, a server that is shutting down.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// SQLite's primary result codes.
const BUSY: [u32; 2] = [5, 6];
const DAMAGED: [u32; 2] = [11, 26];
const NOT_WRITABLE: [u32; 3] = [8, 14, 23];
const FULL: u32 = 13;
/// What SQLite says if there is no space for the files that it needs beside its own.
const NO_FILE: [u32; 2] = [10, 14];
/// More than it needs for these.
const ROOM: u64 = 64 << 10;

/// Checks that the file exists, is a database, is writable, and is not locked by another process.
pub(super) async fn check(options: &SqliteConnectOptions) -> Result<()> {
    let path = options.get_filename();
    create_private(path).map_err(|e| not_writable(path, &e.to_string()))?;
    let since = Instant::now();
    let mut told = false;
    loop {
        let Err(error) = try_out(options).await else { return Ok(()) };
        let error = MigrateError::from(error);
        if is_full(path, &error) {
            // Stored data stays readable, and new data waits until there is space.
            return Ok(());
        }
        if !code(&error).is_some_and(|code| BUSY.contains(&code)) || since.elapsed() > LOCK_TIMEOUT {
            return Err(explain(path, error));
        }
        if !told {
            told = true;
            tracing::warn!(path = %path.display(), "another process has locked the database; waiting for it");
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Reads and writes, but leaves everything unchanged.
async fn try_out(options: &SqliteConnectOptions) -> sqlx::Result<()> {
    let mut connection: SqliteConnection = options.clone().busy_timeout(RETRY_DELAY).connect().await?;
    sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
    let same = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
    sqlx::raw_sql(same).execute(&mut connection).await?;
    connection.close().await
}

/// Creates the file readable only by its owner (it contains password hashes); the WAL inherits the mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// SQLite's primary result code.
fn code(error: &MigrateError) -> Option<u32> {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return None;
    };
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    // Extended codes carry the primary code in their low byte.
    Some(sqlx::error::DatabaseError::code(error)?.parse::<u32>().ok()? & 0xff)
}

/// Whether an existing database could not be opened because the disk is full.
pub(super) fn is_full(path: &Path, error: &MigrateError) -> bool {
    let no_space = || {
        let space = path.parent().and_then(|directory| rustix::fs::statvfs(directory).ok());
        space.is_some_and(|space| space.f_bavail * space.f_frsize < ROOM)
    };
    path.metadata().is_ok_and(|file| file.len() > 0)
        && code(error).is_some_and(|code| code == FULL || NO_FILE.contains(&code) && no_space())
}

fn not_writable(path: &Path, reason: &str) -> StoreError {
    StoreError::Database(format!(
        "cannot write {} ({reason}): its directory must exist, and both must belong to the user that runs perfwatch; \
         PERFWATCH_DATA_DIR or DATABASE_URL sets another place",
        path.display()
    ))
}

pub(super) fn explain(path: &Path, error: MigrateError) -> StoreError {
    let file = path.display();
    let Some(code) = code(&error) else { return error.into() };
    let error = StoreError::from(error);
    match code {
        code if DAMAGED.contains(&code) => StoreError::Database(format!(
            "{file} is corrupt or not an SQLite database ({}): `perfwatch db salvage` moves it aside and copies what \
             can be read into a new one",
            error.reason()
        )),
        code if NOT_WRITABLE.contains(&code) => not_writable(path, error.reason()),
        FULL => StoreError::Database(format!("cannot write {file}: no space left on the device")),
        code if BUSY.contains(&code) => StoreError::Unreachable(format!(
            "another process has locked {file} for {} s; `fuser {file}` shows which",
            LOCK_TIMEOUT.as_secs()
        )),
        _ => error,
    }
}
