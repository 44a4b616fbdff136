//! Settings and the retention policy.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::pool::Pool;
use crate::store::Result;
use crate::store::policy::{ArchivePolicy, DownsampleInterval};
use crate::store::settings::sql::settings_statements;

settings_statements!(Pool, sqlx::Postgres, PgRow, to: std::convert::identity, from: std::convert::identity);
