//! Store errors, with messages that never contain secrets.

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer; trying again later may work.
    #[error("the database is unreachable: {0}")]
    Unreachable(String),
    /// The disk has no space for what is to be written.
    #[error("no space left on the device of the database")]
    Full,
    #[error("{0} already exists")]
    Conflict(&'static str),
    /// The database lacks something that was set up: its tables, a partition, or a privilege.
    #[error("the database lacks its tables or the right to use them: {0}")]
    Changed(String),
    /// The data violates a rule of the database, so retrying never helps.
    #[error("the database rejects it: {0}")]
    Refused(String),
    #[error("{0}")]
    Database(String),
}

impl StoreError {
    /// Whether a retry may succeed without any action here.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Full | Self::Changed(_))
    }

    /// What the database itself said.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Unreachable(reason)
            | Self::Changed(reason)
            | Self::Refused(reason)
            | Self::Database(reason) => reason,
            Self::Conflict(what) => what,
            Self::Full => "no space left on the device",
        }
    }
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// SQLite's primary result codes after which a later attempt may succeed: BUSY, LOCKED, NOMEM, READONLY,
/// IOERR, CANTOPEN.
const SQLITE_TRANSIENT: [u32; 6] = [5, 6, 7, 8, 10, 14];
const SQLITE_FULL: u32 = 13;
/// CORRUPT, NOTADB.
const SQLITE_DAMAGED: [u32; 2] = [11, 26];

/// PostgreSQL's SQLSTATE classes after which a later attempt may succeed: connection exception, invalid
/// authorization (a password being changed), insufficient resources, operator intervention (shutdown,
/// statement cancelled), system error, read-only transaction (a demoted primary).
const POSTGRES_TRANSIENT: [&str; 6] = ["08", "28", "53", "57", "58", "25"];

/// disk_full.
const POSTGRES_FULL: &str = "53100";

/// SQLite's primary result codes for data that it will never accept: TOOBIG, CONSTRAINT, MISMATCH.
const SQLITE_REFUSED: [u32; 3] = [18, 19, 20];

/// PostgreSQL's SQLSTATE classes for the same: data exception, integrity constraint violation, program limit exceeded.
const POSTGRES_REFUSED: [&str; 3] = ["22", "23", "54"];

/// No such table, schema or database; no privilege; no partition for a row. Each may be fixed in the database, or by
/// setting it up again.
const POSTGRES_CHANGED: [&str; 5] = ["42P01", "3F000", "3D000", "42501", "23514"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(e) => Self::Unreachable(e.to_string()),
            // A configuration error may quote the URL, including the password.
            E::Configuration(_) => Self::Database("the database URL is not valid".into()),
            E::Tls(_) => Self::Unreachable("no TLS connection could be made".into()),
            E::PoolTimedOut => Self::Unreachable("no connection within the time limit".into()),
            E::PoolClosed => Self::Unreachable("the store is closed".into()),
            E::WorkerCrashed | E::Protocol(_) | E::BeginFailed => {
                Self::Unreachable("the connection broke".into())
            }
            E::Database(e) => {
                let code = e.code().unwrap_or_default().into_owned();
                let class = code.get(..2).unwrap_or_default();
                let message = e.message().to_owned();
                if e.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                    // Extended codes carry the primary code in their low byte.
                    match code.parse::<u32>().map_or(0, |code| code & 0xff) {
                        code if SQLITE_TRANSIENT.contains(&code) => Self::Unreachable(message),
                        SQLITE_FULL => Self::Full,
                        code if SQLITE_DAMAGED.contains(&code) => Self::Database(format!(
                            "{message}; stop the server and run `perfwatch db salvage`"
                        )),
                        code if SQLITE_REFUSED.contains(&code) => Self::Refused(message),
                        _ => Self::Database(message),
                    }
                } else if code == POSTGRES_FULL {
                    Self::Full
                } else if POSTGRES_CHANGED.contains(&&*code) {
                    Self::Changed(message)
                } else if POSTGRES_TRANSIENT.contains(&class) {
                    Self::Unreachable(message)
                } else if POSTGRES_REFUSED.contains(&class) {
                    Self::Refused(message)
                } else {
                    Self::Database(message)
                }
            }
            _ => Self::Database(error.to_string()),
        }
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
