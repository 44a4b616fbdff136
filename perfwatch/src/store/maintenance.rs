//! Maintenance windows of alerts: the engines' interface, and the statements for both, which differ only in the type of
//! rows. Times are µs since the epoch.

use async_trait::async_trait;

use super::Result;
use super::alerts::Silence;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWindow {
    /// The store assigns it.
    pub id: i64,
    /// JSON, of which the store knows nothing.
    pub definition: String,
    pub author: String,
    pub created_at: i64,
    /// The end of the last silence that it became.
    pub silenced_until: i64,
}

#[async_trait]
pub trait MaintenanceStore: Send + Sync + std::fmt::Debug {
    async fn alert_windows(&self) -> Result<Vec<StoredWindow>>;
    /// Returns its id.
    async fn add_alert_window(&self, window: &StoredWindow) -> Result<i64>;
    /// `false`: there is no such window.
    async fn delete_alert_window(&self, id: i64) -> Result<bool>;
    /// Adds the silence that a window becomes, unless it has become one that ends no earlier.
    async fn begin_alert_window(&self, id: i64, silence: &Silence) -> Result<()>;
}

/// Implements [`MaintenanceStore`] for a store whose methods `$read` and `$write` return the pools once the tables are up
/// to date.
macro_rules! implement_maintenance {
    ($store:ty, read: $read:ident, write: $write:ident) => {
        #[async_trait]
        impl MaintenanceStore for $store {
            async fn alert_windows(&self) -> Result<Vec<StoredWindow>> {
                let rows = sqlx::query("SELECT * FROM alert_windows ORDER BY id");
                let rows = rows.fetch_all(self.$read().await?).await?;
                let window = rows.iter().map(|row| {
                    Ok(StoredWindow {
                        id: row.try_get("id")?,
                        definition: row.try_get("definition")?,
                        author: row.try_get("author")?,
                        created_at: row.try_get("created_at")?,
                        silenced_until: row.try_get("silenced_until")?,
                    })
                });
                window.collect()
            }

            async fn add_alert_window(&self, window: &StoredWindow) -> Result<i64> {
                let id = sqlx::query_scalar(
                    "INSERT INTO alert_windows (definition, author, created_at, silenced_until)
                     VALUES ($1, $2, $3, $4) RETURNING id",
                );
                let id = id
                    .bind(&window.definition)
                    .bind(&window.author)
                    .bind(window.created_at)
                    .bind(window.silenced_until);
                Ok(id.fetch_one(self.$write().await?).await?)
            }

            async fn delete_alert_window(&self, id: i64) -> Result<bool> {
                let deleted = sqlx::query("DELETE FROM alert_windows WHERE id = $1");
                Ok(deleted.bind(id).execute(self.$write().await?).await?.rows_affected() == 1)
            }

            async fn begin_alert_window(&self, id: i64, silence: &Silence) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                let begun = sqlx::query(
                    "UPDATE alert_windows SET silenced_until = $2 WHERE id = $1 AND silenced_until < $2",
                );
                let begun = begun.bind(id).bind(silence.ends_at).execute(&mut *transaction).await?;
                if begun.rows_affected() == 1 {
                    sqlx::query(
                        "INSERT INTO alert_silences (rule, labels, author, reason, created_at, ends_at)
                         VALUES ($1, $2, $3, $4, $5, $6)",
                    )
                    .bind(&silence.rule)
                    .bind(&silence.labels)
                    .bind(&silence.author)
                    .bind(&silence.reason)
                    .bind(silence.created_at)
                    .bind(silence.ends_at)
                    .execute(&mut *transaction)
                    .await?;
                }
                Ok(transaction.commit().await?)
            }
        }
    };
}
pub(in crate::store) use implement_maintenance;
