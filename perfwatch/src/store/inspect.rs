//! Inspects a store without opening it for use: nothing is created, migrated or written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use time::OffsetDateTime;

use super::{Result, StoreError, from_micros, postgres, sqlite_path};

/// A database that takes longer counts as unreachable.
const TIMEOUT: Duration = Duration::from_secs(3);

const NEWEST: &str =
    "SELECT max(newest) FROM (SELECT (SELECT ends FROM chunks WHERE host = hosts.id AND metric_type = 'cpu'
     AND tier = 0 ORDER BY start DESC LIMIT 1) AS newest FROM hosts) AS each_host";
const MIGRATION: &str = "SELECT max(version) FROM _sqlx_migrations";

/// Where the configured store is.
#[derive(Clone)]
pub struct Place {
    pub url: String,
    /// Directory of the snapshot log, and by default of the SQLite file.
    pub data_dir: PathBuf,
}

impl std::fmt::Debug for Place {
    /// Omits the URL, which may contain a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub struct Inspection {
    /// The SQLite file; `None` on PostgreSQL.
    pub file: Option<PathBuf>,
    /// `None`: the SQLite file does not exist yet.
    pub database: Option<Result<Database>>,
    /// What cannot be written, and why.
    pub read_only: Option<String>,
    /// The file systems of the SQLite file and of the data directory: directory, and bytes free.
    pub space: Vec<(PathBuf, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Such as `SQLite 3.46.0`.
    pub version: String,
    /// The newest migration applied.
    pub migration: i64,
    /// The newest migration this program knows.
    pub known_migration: i64,
    /// Time of the newest stored snapshot.
    pub newest: Option<OffsetDateTime>,
}

impl Place {
    pub async fn inspect(&self) -> Inspection {
        let mut directories = vec![existing(&self.data_dir)];
        let file = sqlite_path(&self.url);
        let mut read_only = None;
        let database = if let Some(file) = &file {
            let directory = existing(file.parent().unwrap_or(&self.data_dir));
            read_only = unwritable(&directory).or_else(|| unwritable(file));
            directories.insert(0, directory);
            match file.try_exists() {
                Ok(false) => None,
                // For a file, the reason alone is enough.
                Ok(true) => Some(limited(sqlite(file)).await.map_err(|error| match error {
                    StoreError::Unreachable(reason) => StoreError::Database(reason),
                    other => other,
                })),
                Err(error) => Some(Err(StoreError::Database(error.to_string()))),
            }
        } else {
            let looked = limited(postgresql(&self.url)).await;
            if let Ok((_, true)) = looked {
                read_only =
                    Some("the PostgreSQL server accepts no changes (it is a standby or read-only)".into());
            }
            Some(looked.map(|(database, _)| database))
        };
        read_only = read_only.or_else(|| unwritable(&existing(&self.data_dir)));
        directories.dedup();
        let space = directories.into_iter().filter_map(|directory| {
            let free = rustix::fs::statvfs(&directory).ok()?;
            Some((directory, free.f_bavail * free.f_frsize))
        });
        Inspection { file, database, read_only, space: space.collect() }
    }
}

/// The directory, or its nearest existing ancestor.
fn existing(directory: &Path) -> PathBuf {
    let found =
        directory.ancestors().find(|directory| !directory.as_os_str().is_empty() && directory.exists());
    found.unwrap_or(Path::new(".")).to_owned()
}

fn unwritable(path: &Path) -> Option<String> {
    match rustix::fs::access(path, rustix::fs::Access::WRITE_OK) {
        Err(error) if error != rustix::io::Errno::NOENT => {
            Some(format!("cannot write {}: {error}", path.display()))
        }
        _ => None,
    }
}

async fn limited<T>(look: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || StoreError::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs()));
    tokio::time::timeout(TIMEOUT, look).await.unwrap_or_else(|_| Err(late()))
}

async fn sqlite(file: &Path) -> Result<Database> {
    // If an existing file can't be opened, report the system's reason, not SQLite's.
    std::fs::File::open(file).map_err(|error| StoreError::Database(error.to_string()))?;
    let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
    let mut connection: SqliteConnection = options.connect().await?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await?;
    let migration: Option<i64> = sqlx::query_scalar(MIGRATION).fetch_one(&mut connection).await?;
    let newest: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(Database {
        version: format!("SQLite {version}"),
        migration: migration.unwrap_or_default(),
        known_migration: newest_of(&sqlx::migrate!("../migrations/sqlite")),
        newest: newest.map(from_micros),
    })
}

/// The database, and whether it is read-only.
async fn postgresql(url: &str) -> Result<(Database, bool)> {
    let mut connection: PgConnection = postgres::options(url)?.connect().await?;
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    let read_only: String =
        sqlx::query_scalar("SHOW transaction_read_only").fetch_one(&mut connection).await?;
    let tables: bool =
        sqlx::query_scalar("SELECT to_regclass('chunks') IS NOT NULL").fetch_one(&mut connection).await?;
    let (mut migration, mut newest) = (None, None);
    if tables {
        migration = sqlx::query_scalar::<_, Option<i64>>(MIGRATION).fetch_one(&mut connection).await?;
        newest = sqlx::query_scalar::<_, Option<i64>>(NEWEST).fetch_one(&mut connection).await?;
    }
    connection.close().await?;
    let database = Database {
        version: format!("PostgreSQL {version}"),
        migration: migration.unwrap_or_default(),
        known_migration: newest_of(&sqlx::migrate!("../migrations/postgres")),
        newest: newest.map(from_micros),
    };
    Ok((database, read_only == "on"))
}

fn newest_of(migrator: &sqlx::migrate::Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{open, sqlite_url};

    #[tokio::test]
    async fn looking_creates_nothing_and_finds_version_and_space() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("not/there");
        let place = Place { url: sqlite_url(&data_dir), data_dir: data_dir.clone() };
        let seen = place.inspect().await;
        assert!(seen.database.is_none() && seen.read_only.is_none(), "{seen:?}");
        assert_eq!(seen.space.len(), 1, "one file system, told once: {seen:?}");
        assert!(!data_dir.exists());

        std::fs::create_dir_all(&data_dir).unwrap();
        open(&place.url).await.unwrap().close().await;
        let database = place.inspect().await.database.unwrap().unwrap();
        assert!(database.version.starts_with("SQLite 3."), "{database:?}");
        assert_eq!((database.migration, database.newest), (database.known_migration, None));

        std::fs::write(place.inspect().await.file.unwrap(), "a letter to my aunt, and no database").unwrap();
        assert!(place.inspect().await.database.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_unreachable() {
        let dir = tempfile::tempdir().unwrap();
        let url = "postgres://u:secret@127.0.0.1:1/d".to_owned();
        let place = Place { url, data_dir: dir.path().to_owned() };
        assert!(!format!("{place:?}").contains("secret"));
        assert!(matches!(place.inspect().await.database, Some(Err(StoreError::Unreachable(_)))));
    }
}
