//! Boards that users saved: the engines' interface, and the statements for both, which differ only in the types of rows
//! and times.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    pub name: String,
    /// JSON, of which the store knows nothing.
    pub content: String,
    pub updated_at: OffsetDateTime,
}

/// Stores boards by owner and name.
#[async_trait]
pub trait BoardStore: Send + Sync + std::fmt::Debug {
    /// Those of one user, by name.
    async fn boards(&self, user_id: i64) -> Result<Vec<Board>>;
    /// Adds a board, or replaces the one of this name. `false`: the user has `most` others already.
    async fn save_board(&self, user_id: i64, name: &str, content: &str, most: i64) -> Result<bool>;
    /// `false`: there is no such board.
    async fn delete_board(&self, user_id: i64, name: &str) -> Result<bool>;
}

/// Implements [`BoardStore`] for a store whose methods `$read` and `$write` return the pools once the tables are up to
/// date. `$to` converts a time to what the engine binds, `$from` back.
macro_rules! implement_boards {
    ($store:ty, read: $read:ident, write: $write:ident, to: $to:expr, from: $from:expr) => {
        #[async_trait]
        impl BoardStore for $store {
            async fn boards(&self, user_id: i64) -> Result<Vec<Board>> {
                let rows = sqlx::query("SELECT * FROM boards WHERE user_id = $1 ORDER BY name");
                let rows = rows.bind(user_id).fetch_all(self.$read().await?).await?;
                let read = rows.iter().map(|row| {
                    Ok(Board {
                        name: row.try_get("name")?,
                        content: row.try_get("content")?,
                        updated_at: $from(row.try_get("updated_at")?),
                    })
                });
                read.collect()
            }

            async fn save_board(&self, user_id: i64, name: &str, content: &str, most: i64) -> Result<bool> {
                let saved = sqlx::query(
                    "INSERT INTO boards (user_id, name, content, updated_at) SELECT $1, $2, $3, $4
                     WHERE (SELECT count(*) FROM boards WHERE user_id = $1 AND name <> $2) < $5
                     ON CONFLICT (user_id, name)
                     DO UPDATE SET content = excluded.content, updated_at = excluded.updated_at",
                )
                .bind(user_id)
                .bind(name)
                .bind(content)
                .bind($to(OffsetDateTime::now_utc()))
                .bind(most)
                .execute(self.$write().await?)
                .await?;
                Ok(saved.rows_affected() == 1)
            }

            async fn delete_board(&self, user_id: i64, name: &str) -> Result<bool> {
                let deleted = sqlx::query("DELETE FROM boards WHERE user_id = $1 AND name = $2");
                let deleted = deleted.bind(user_id).bind(name).execute(self.$write().await?).await?;
                Ok(deleted.rows_affected() == 1)
            }
        }
    };
}
pub(in crate::store) use implement_boards;
