//! What can go wrong with a store, told without repeating anything secret.

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer; trying again later may work.
    #[error("the database is unreachable: {0}")]
    Unreachable(String),
    #[error("{0} already exists")]
    Conflict(&'static str),
    #[error("{0}")]
    Database(String),
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// SQLite's primary result codes after which a later attempt may succeed: BUSY, LOCKED, NOMEM, READONLY,
/// IOERR, FULL, CANTOPEN.
const SQLITE_TRANSIENT: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];

/// PostgreSQL's SQLSTATE classes after which a later attempt may succeed: connection exception, invalid
/// authorization (a password being changed), insufficient resources, operator intervention (shutdown,
/// statement cancelled), system error, read-only transaction (a demoted primary).
const POSTGRES_TRANSIENT: [&str; 6] = ["08", "28", "53", "57", "58", "25"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(e) => Self::Unreachable(e.to_string()),
            // A configuration error may quote the URL, and with it the password.
            E::Configuration(_) => Self::Database("the database URL is not valid".into()),
            E::Tls(_) => Self::Unreachable("no TLS connection could be made".into()),
            E::PoolTimedOut => Self::Unreachable("no connection within the time limit".into()),
            E::PoolClosed => Self::Unreachable("the store is closed".into()),
            E::WorkerCrashed | E::Protocol(_) | E::BeginFailed => {
                Self::Unreachable("the connection broke".into())
            }
            E::Database(e) => {
                let code = e.code().unwrap_or_default().into_owned();
                if code.get(..2) == Some("28") {
                    // The message names the role; the log of the server has it.
                    Self::Unreachable("the database server rejected user or password".into())
                } else if transient(e.as_ref(), &code) {
                    Self::Unreachable(e.message().to_owned())
                } else {
                    Self::Database(e.message().to_owned())
                }
            }
            _ => Self::Database(error.to_string()),
        }
    }
}

fn transient(error: &dyn sqlx::error::DatabaseError, code: &str) -> bool {
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // Extended codes carry the primary code in their low byte.
        code.parse::<u32>().is_ok_and(|c| SQLITE_TRANSIENT.contains(&(c & 0xff)))
    } else {
        code.get(..2).is_some_and(|class| POSTGRES_TRANSIENT.contains(&class))
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError as M;
        match error {
            M::Execute(e) | M::ExecuteMigration(e, _) => e.into(),
            M::VersionMissing(v) => Self::Database(format!(
                "this database was written by a newer PerfWatch (its migration {v} is unknown here); update PerfWatch"
            )),
            other => Self::Database(other.to_string()),
        }
    }
}
