//! Settings and the retention policy.

use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use time::OffsetDateTime;

use crate::store::policy::{ArchivePolicy, DownsampleInterval};
use crate::store::settings::sql::settings_statements;
use crate::store::{Result, from_micros, micros};

settings_statements!(SqlitePool, sqlx::Sqlite, SqliteRow, to: micros, from: from_micros);
