//! Chunks, and returning the space of removed ones.

use sqlx::sqlite::{Sqlite, SqlitePool};

use super::SqliteStore;
use crate::host::{Host, facts::Facts};
use crate::snapshot::MetricType;
use crate::store::chunks::sql::chunk_statements;
use crate::store::chunks::{Batch, Chunk, Content, REMOVED_AT_A_TIME, Size, Stale, Tiers, Wanted, longest};
use crate::store::policy::Extent;
use crate::store::{Result, StoreError, from_micros};

chunk_statements!(SqlitePool, Sqlite);

/// Free pages returned to the file system per transaction.
const VACUUM_PAGES: &str = "PRAGMA incremental_vacuum(256)";

pub(super) async fn remove_before(store: &SqliteStore, host: &str, tier: i64, before: i64) -> Result<u64> {
    let mut gone = 0;
    loop {
        let some = remove_some(store.write()?, host, tier, before).await?;
        gone += some;
        if some == 0 {
            break;
        }
        // Let a waiting writer in.
        tokio::task::yield_now().await;
    }
    if gone > 0 {
        let mut free = free_pages(store).await?;
        while free > 32 {
            sqlx::query(VACUUM_PAGES).execute(store.write()?).await?;
            let left = free_pages(store).await?;
            // A file created without incremental vacuum keeps its free pages and reuses them.
            if left >= free {
                break;
            }
            free = left;
            tokio::task::yield_now().await;
        }
    }
    Ok(gone)
}

async fn free_pages(store: &SqliteStore) -> Result<i64> {
    Ok(sqlx::query_scalar("PRAGMA freelist_count").fetch_one(store.write()?).await?)
}

pub(super) async fn extent(store: &SqliteStore, host: &str) -> Result<Extent> {
    let bytes: i64 =
        sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(store.read()?)
            .await?;
    let (oldest, newest) = ends(store.read()?, host).await?;
    Ok(Extent {
        bytes: bytes.unsigned_abs(),
        oldest: oldest.map(from_micros),
        // A chunk ends after its last reading.
        newest: newest.map(|end| from_micros(end - 1)),
    })
}
