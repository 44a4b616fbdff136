//! The partitions of `chunks`: one per week of UTC, named after its first day. What is of no week that has one, such as
//! imported history, is in `chunks_other`.
//!
//! An index of one week fits into memory where that of all of them does not, and the space of a week whose rows retention
//! has removed goes back to the system.

use sqlx::AssertSqlSafe;
use time::{Date, Duration, OffsetDateTime};

use super::partitions::{first_days, named};
use super::{PostgresStore, lock};
use crate::store::{Result, micros};

const PREFIX: &str = "chunks_";
/// Weeks before this one whose partition is kept, even if nothing is in it: machines that were cut off send late.
const KEPT: i32 = 2;
/// How long to wait for those who read a partition before it is removed another time.
const PATIENCE: &str = "1s";

/// Makes those of this week and the next, and removes old ones that are empty. Does nothing within the same week.
pub(super) async fn keep(store: &PostgresStore, now: OffsetDateTime) -> Result<()> {
    let this = week_of(now.to_offset(time::UtcOffset::UTC).date());
    if *lock(&store.week) == Some(this) {
        return Ok(());
    }
    for first in [this, this + Duration::WEEK] {
        make(store, first).await?;
    }
    for first in weeks(store).await? {
        if first < this - Duration::WEEK * KEPT {
            remove_if_empty(store, first).await?;
        }
    }
    *lock(&store.week) = Some(this);
    Ok(())
}

/// Its Monday.
fn week_of(day: Date) -> Date {
    day - Duration::days(day.weekday().number_days_from_monday().into())
}

/// One that exists is left alone. Rows that came before it move into it.
async fn make(store: &PostgresStore, first: Date) -> Result<()> {
    let name = name(first)?;
    let at = |day: Date| micros(day.midnight().assume_utc());
    let (from, to) = (at(first), at(first + Duration::WEEK));
    // DDL takes no parameters; these are digits only.
    let create = format!(
        "DO $$ BEGIN
             PERFORM pg_advisory_xact_lock(hashtextextended('perfwatch weeks', 0));
             IF to_regclass('{name}') IS NULL THEN
                 CREATE TABLE {name} (LIKE chunks INCLUDING ALL);
                 WITH moved AS (DELETE FROM chunks_other WHERE start >= {from} AND start < {to} RETURNING *)
                     INSERT INTO {name} SELECT * FROM moved;
                 ALTER TABLE chunks ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});
             END IF;
         END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(store.ready().await?).await?;
    Ok(())
}

/// What comes later of that week goes to `chunks_other`.
async fn remove_if_empty(store: &PostgresStore, first: Date) -> Result<()> {
    let name = name(first)?;
    let pool = store.ready().await?;
    let is_used: bool = sqlx::query_scalar(AssertSqlSafe(format!("SELECT EXISTS (SELECT FROM {name})")))
        .fetch_one(pool)
        .await?;
    if is_used {
        return Ok(());
    }
    let remove = format!(
        "DO $$ BEGIN
             SET LOCAL lock_timeout = '{PATIENCE}';
             LOCK TABLE ONLY chunks IN ACCESS EXCLUSIVE MODE;
             LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE;
             IF NOT EXISTS (SELECT FROM {name}) THEN
                 DROP TABLE {name};
             END IF;
         EXCEPTION
             -- Another has removed it, or it is in use: the next week.
             WHEN undefined_table OR lock_not_available THEN NULL;
         END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(remove)).execute(pool).await?;
    Ok(())
}

fn name(first: Date) -> Result<String> {
    named(PREFIX, first)
}

/// The weeks that have a partition, by their first day.
pub(super) async fn weeks(store: &PostgresStore) -> Result<Vec<Date>> {
    first_days(store, "chunks", PREFIX).await
}
