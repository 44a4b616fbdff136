//! The statements for both engines, which differ only in the type of rows.

/// Implements [`DeliveryStore`](super::DeliveryStore) for a store whose methods `$read` and `$write` return the pools once
/// the tables are up to date.
macro_rules! implement_deliveries {
    ($store:ty, $row:ty, read: $read:ident, write: $write:ident) => {
        fn of_queued(row: &$row) -> sqlx::Result<Queued> {
            Ok(Queued {
                id: row.try_get("id")?,
                host: row.try_get("host")?,
                event: Event {
                    key: row.try_get("key")?,
                    episode: row.try_get("episode")?,
                    kind: row.try_get("kind")?,
                    at: row.try_get("at")?,
                    payload: row.try_get("payload")?,
                },
            })
        }

        #[async_trait]
        impl DeliveryStore for $store {
            async fn alert_channels(&self) -> Result<Vec<StoredChannel>> {
                let rows = sqlx::query("SELECT * FROM alert_channels ORDER BY name");
                let rows = rows.fetch_all(self.$read().await?).await?;
                let channel = |row: &$row| {
                    Ok(StoredChannel {
                        name: row.try_get("name")?,
                        definition: row.try_get("definition")?,
                        secrets: row.try_get("secrets")?,
                        updated_by: row.try_get("updated_by")?,
                        updated_at: row.try_get("updated_at")?,
                    })
                };
                rows.iter().map(channel).collect()
            }

            async fn put_alert_channel(&self, channel: &StoredChannel) -> Result<()> {
                sqlx::query(
                    "INSERT INTO alert_channels (name, definition, secrets, updated_by, updated_at)
                     VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, secrets = excluded.secrets,
                         updated_by = excluded.updated_by, updated_at = excluded.updated_at",
                )
                .bind(&channel.name)
                .bind(&channel.definition)
                .bind(&channel.secrets)
                .bind(&channel.updated_by)
                .bind(channel.updated_at)
                .execute(self.$write().await?)
                .await?;
                Ok(())
            }

            async fn delete_alert_channel(&self, name: &str) -> Result<bool> {
                let mut transaction = self.$write().await?.begin().await?;
                let deleted = sqlx::query("DELETE FROM alert_channels WHERE name = $1").bind(name);
                let deleted = deleted.execute(&mut *transaction).await?.rows_affected() == 1;
                sqlx::query(
                    "DELETE FROM alert_outbox WHERE routed
                         AND id IN (SELECT event FROM alert_deliveries WHERE channel = $1)
                         AND id NOT IN (SELECT event FROM alert_deliveries WHERE channel <> $1)",
                )
                .bind(name)
                .execute(&mut *transaction)
                .await?;
                sqlx::query("DELETE FROM alert_deliveries WHERE channel = $1")
                    .bind(name)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(deleted)
            }

            async fn unrouted_events(&self, host: Option<&str>, limit: i64) -> Result<Vec<Queued>> {
                let rows = sqlx::query(
                    "SELECT * FROM alert_outbox WHERE ($1 IS NULL OR host = $1) AND NOT routed ORDER BY id LIMIT $2",
                );
                let rows = rows.bind(host).bind(limit).fetch_all(self.$read().await?).await?;
                rows.iter().map(|row| Ok(of_queued(row)?)).collect()
            }

            async fn route_event(
                &self,
                host: &str,
                queued: &Queued,
                channels: &[String],
                is_kept: bool,
            ) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                for channel in channels {
                    sqlx::query(
                        "INSERT INTO alert_deliveries (channel, event) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    )
                    .bind(channel)
                    .bind(queued.id)
                    .execute(&mut *transaction)
                    .await?;
                }
                let settled = match channels.is_empty() {
                    true => "DELETE FROM alert_outbox WHERE id = $1",
                    false => "UPDATE alert_outbox SET routed = TRUE WHERE id = $1",
                };
                sqlx::query(settled).bind(queued.id).execute(&mut *transaction).await?;
                if is_kept {
                    sqlx::query("UPDATE alert_episodes SET told = $3, withheld = NULL WHERE host = $1 AND id = $2")
                        .bind(host)
                        .bind(&queued.event.episode)
                        .bind(joined(channels))
                        .execute(&mut *transaction)
                        .await?;
                }
                Ok(transaction.commit().await?)
            }

            async fn withhold_event(&self, host: &str, queued: &Queued) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                sqlx::query(
                    "UPDATE alert_episodes SET withheld = $3 WHERE host = $1 AND id = $2 AND cleared_at IS NULL",
                )
                .bind(host)
                .bind(&queued.event.episode)
                .bind(&queued.event.payload)
                .execute(&mut *transaction)
                .await?;
                sqlx::query("DELETE FROM alert_outbox WHERE id = $1")
                    .bind(queued.id)
                    .execute(&mut *transaction)
                    .await?;
                Ok(transaction.commit().await?)
            }

            async fn withheld_events(&self, host: Option<&str>) -> Result<Vec<Withheld>> {
                let rows = sqlx::query(
                    "SELECT host, withheld, told FROM alert_episodes
                     WHERE ($1 IS NULL OR host = $1) AND withheld IS NOT NULL ORDER BY raised_at",
                );
                let rows = rows.bind(host).fetch_all(self.$read().await?).await?;
                let withheld = |row: &$row| {
                    let told: String = row.try_get("told")?;
                    Ok(Withheld { host: row.try_get("host")?, payload: row.try_get("withheld")?, told: split(&told) })
                };
                rows.iter().map(withheld).collect()
            }

            async fn release_event(&self, host: &str, event: &Event) -> Result<bool> {
                let mut transaction = self.$write().await?.begin().await?;
                let released = sqlx::query(
                    "UPDATE alert_episodes SET withheld = NULL
                     WHERE host = $1 AND id = $2 AND withheld IS NOT NULL AND cleared_at IS NULL",
                )
                .bind(host)
                .bind(&event.episode)
                .execute(&mut *transaction)
                .await?;
                if released.rows_affected() == 0 {
                    return Ok(false);
                }
                put_event(&mut transaction, host, event).await?;
                let committed = transaction.commit().await;
                self.queued.fetch_add(1, Ordering::Relaxed);
                committed?;
                Ok(true)
            }

            fn times_queued(&self) -> u64 {
                self.queued.load(Ordering::Relaxed)
            }

            async fn told(&self, host: &str, episode: &str) -> Result<Vec<String>> {
                let told = sqlx::query_scalar("SELECT told FROM alert_episodes WHERE host = $1 AND id = $2");
                let told: Option<String> =
                    told.bind(host).bind(episode).fetch_optional(self.$read().await?).await?;
                Ok(split(&told.unwrap_or_default()))
            }

            async fn open_told(&self, host: Option<&str>) -> Result<Vec<Told>> {
                let rows = sqlx::query(
                    "SELECT id, host, rule, told FROM alert_episodes
                     WHERE ($1 IS NULL OR host = $1) AND cleared_at IS NULL AND told <> '' ORDER BY raised_at",
                );
                let rows = rows.bind(host).fetch_all(self.$read().await?).await?;
                let told = |row: &$row| {
                    let channels: String = row.try_get("told")?;
                    let (episode, host, rule) = (row.try_get("id")?, row.try_get("host")?, row.try_get("rule")?);
                    Ok(Told { episode, host, rule, channels: split(&channels) })
                };
                rows.iter().map(told).collect()
            }

            async fn due_channels(&self, host: Option<&str>) -> Result<Vec<String>> {
                let names = sqlx::query_scalar(
                    "SELECT DISTINCT channel FROM alert_deliveries JOIN alert_outbox ON id = event
                     WHERE ($1 IS NULL OR host = $1) ORDER BY channel",
                );
                Ok(names.bind(host).fetch_all(self.$read().await?).await?)
            }

            async fn due_events(
                &self,
                host: Option<&str>,
                channel: &str,
                limit: i64,
            ) -> Result<Vec<Queued>> {
                let rows = sqlx::query(
                    "SELECT alert_outbox.* FROM alert_deliveries JOIN alert_outbox ON id = event
                     WHERE ($1 IS NULL OR host = $1) AND channel = $2 ORDER BY id LIMIT $3",
                );
                let rows = rows.bind(host).bind(channel).bind(limit).fetch_all(self.$read().await?).await?;
                rows.iter().map(|row| Ok(of_queued(row)?)).collect()
            }

            async fn events_delivered(&self, channel: &str, ids: &[i64]) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                for id in ids {
                    sqlx::query("DELETE FROM alert_deliveries WHERE channel = $1 AND event = $2")
                        .bind(channel)
                        .bind(id)
                        .execute(&mut *transaction)
                        .await?;
                    sqlx::query(
                        "DELETE FROM alert_outbox WHERE id = $1 AND routed
                             AND NOT EXISTS (SELECT 1 FROM alert_deliveries WHERE event = $1)",
                    )
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
                }
                Ok(transaction.commit().await?)
            }
        }
    };
}
pub(in crate::store) use implement_deliveries;
