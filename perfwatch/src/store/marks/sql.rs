//! The statements for both engines, which differ only in the types of rows and times.

/// Implements [`MarkStore`](super::MarkStore) for a store whose methods `$read` and `$write` return the pools once the
/// tables are up to date. `$to` converts a time to what the engine binds, `$from` back.
macro_rules! implement_marks {
    ($store:ty, $row:ty, read: $read:ident, write: $write:ident, to: $to:expr, from: $from:expr) => {
        fn mark(row: &$row) -> sqlx::Result<Mark> {
            Ok(Mark {
                id: row.try_get("id")?,
                at: $from(row.try_get("at")?),
                username: row.try_get("username")?,
                text: row.try_get("text")?,
                labels: row.try_get("labels")?,
            })
        }

        #[async_trait]
        impl MarkStore for $store {
            async fn add_mark(&self, host: &str, mark: &Mark, keep: i64) -> Result<i64> {
                let mut transaction = self.$write().await?.begin().await?;
                let id: i64 = sqlx::query_scalar(
                    "INSERT INTO marks (host, at, username, text, labels) VALUES ($1, $2, $3, $4, $5)
                     RETURNING id",
                )
                .bind(host)
                .bind($to(mark.at))
                .bind(&mark.username)
                .bind(&mark.text)
                .bind(&mark.labels)
                .fetch_one(&mut *transaction)
                .await?;
                sqlx::query(
                    "DELETE FROM marks WHERE host = $1 AND id <= (
                         SELECT id FROM marks WHERE host = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
                )
                .bind(host)
                .bind(keep)
                .execute(&mut *transaction)
                .await?;
                transaction.commit().await?;
                Ok(id)
            }

            async fn marks(
                &self,
                host: &str,
                from: OffsetDateTime,
                to: OffsetDateTime,
                limit: i64,
            ) -> Result<Vec<Mark>> {
                let rows = sqlx::query(
                    "SELECT * FROM marks WHERE host = $1 AND at BETWEEN $2 AND $3 ORDER BY at DESC, id DESC LIMIT $4",
                )
                .bind(host)
                .bind($to(from))
                .bind($to(to))
                .bind(limit)
                .fetch_all(self.$read().await?)
                .await?;
                rows.iter().rev().map(|row| Ok(mark(row)?)).collect()
            }
        }
    };
}
pub(in crate::store) use implement_marks;
