//! Settings and the retention policy.

use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use time::OffsetDateTime;

use crate::store::Result;
use crate::store::policy::{ArchivePolicy, DownsampleInterval};
use crate::store::settings::sql::settings_statements;

settings_statements!(PgPool, sqlx::Postgres, PgRow, to: std::convert::identity, from: std::convert::identity);
