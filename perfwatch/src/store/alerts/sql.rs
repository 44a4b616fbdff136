//! The statements for both engines, which differ only in the type of rows.

/// Implements [`AlertStore`](super::AlertStore) for a store whose methods `$read` and `$write` return the pools once the
/// tables are up to date.
macro_rules! implement_alerts {
    ($store:ty, $engine:ty, $row:ty, read: $read:ident, write: $write:ident, lock: $lock:literal) => {
        fn of_episode(row: &$row) -> sqlx::Result<Episode> {
            Ok(Episode {
                id: row.try_get("id")?,
                host: row.try_get("host")?,
                rule: row.try_get("rule")?,
                series: row.try_get("series")?,
                severity: row.try_get("severity")?,
                raised_at: row.try_get("raised_at")?,
                cleared_at: row.try_get("cleared_at")?,
                value: row.try_get("value")?,
                peak: row.try_get("peak")?,
                flapping: row.try_get("flapping")?,
                reason: row.try_get("reason")?,
                acknowledged_by: row.try_get("acknowledged_by")?,
                acknowledged_at: row.try_get("acknowledged_at")?,
                note: row.try_get("note")?,
            })
        }

        fn of_silence(row: &$row) -> sqlx::Result<Silence> {
            Ok(Silence {
                id: row.try_get("id")?,
                rule: row.try_get("rule")?,
                labels: row.try_get("labels")?,
                author: row.try_get("author")?,
                reason: row.try_get("reason")?,
                created_at: row.try_get("created_at")?,
                ends_at: row.try_get("ends_at")?,
            })
        }

        pub(super) async fn put_event(
            transaction: &mut sqlx::Transaction<'_, $engine>,
            host: &str,
            event: &Event,
        ) -> Result<()> {
            sqlx::query(
                "INSERT INTO alert_outbox (key, host, episode, kind, at, payload)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING",
            )
            .bind(&event.key)
            .bind(host)
            .bind(&event.episode)
            .bind(&event.kind)
            .bind(event.at)
            .bind(&event.payload)
            .execute(&mut **transaction)
            .await?;
            Ok(())
        }

        async fn put_episode(
            transaction: &mut sqlx::Transaction<'_, $engine>,
            host: &str,
            episode: &Episode,
        ) -> Result<()> {
            sqlx::query(
                "INSERT INTO alert_episodes
                     (id, host, rule, series, severity, raised_at, cleared_at, value, peak, flapping, reason)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 ON CONFLICT (host, id) DO UPDATE SET severity = excluded.severity, peak = excluded.peak,
                     cleared_at = excluded.cleared_at, flapping = excluded.flapping, reason = excluded.reason,
                     withheld = CASE WHEN excluded.cleared_at IS NULL THEN alert_episodes.withheld END",
            )
            .bind(&episode.id)
            .bind(host)
            .bind(&episode.rule)
            .bind(&episode.series)
            .bind(&episode.severity)
            .bind(episode.raised_at)
            .bind(episode.cleared_at)
            .bind(episode.value)
            .bind(episode.peak)
            .bind(episode.flapping)
            .bind(&episode.reason)
            .execute(&mut **transaction)
            .await?;
            Ok(())
        }

        async fn put_batch(
            transaction: &mut sqlx::Transaction<'_, $engine>,
            host: &str,
            batch: &AlertBatch,
        ) -> Result<()> {
            for (rule, series) in &batch.forget {
                sqlx::query("DELETE FROM alert_states WHERE host = $1 AND rule = $2 AND series = $3")
                    .bind(host)
                    .bind(rule)
                    .bind(series)
                    .execute(&mut **transaction)
                    .await?;
            }
            for AlertState { rule, series, state } in &batch.put {
                sqlx::query(
                    "INSERT INTO alert_states (host, rule, series, state) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (host, rule, series) DO UPDATE SET state = excluded.state",
                )
                .bind(host)
                .bind(rule)
                .bind(series)
                .bind(state)
                .execute(&mut **transaction)
                .await?;
            }
            for episode in &batch.episodes {
                put_episode(transaction, host, episode).await?;
            }
            for event in &batch.events {
                put_event(transaction, host, event).await?;
            }
            Ok(())
        }

        /// `QUERY host IN (…)`, to be continued.
        fn of_hosts(query: &'static str, hosts: &[String]) -> sqlx::QueryBuilder<$engine> {
            let mut builder = sqlx::QueryBuilder::new(query);
            builder.push(" host IN (");
            let mut list = builder.separated(", ");
            for host in hosts {
                list.push_bind(host.clone());
            }
            builder.push(")");
            builder
        }

        #[async_trait]
        impl AlertStore for $store {
            async fn alert_states(&self, host: &str) -> Result<Vec<AlertState>> {
                let rows = sqlx::query("SELECT rule, series, state FROM alert_states WHERE host = $1");
                let rows = rows.bind(host).fetch_all(self.$read().await?).await?;
                let state = |row: &$row| {
                    Ok(AlertState {
                        rule: row.try_get("rule")?,
                        series: row.try_get("series")?,
                        state: row.try_get("state")?,
                    })
                };
                rows.iter().map(state).collect()
            }

            async fn all_alert_states(&self) -> Result<Vec<(String, AlertState)>> {
                let rows = sqlx::query("SELECT host, rule, series, state FROM alert_states");
                let rows = rows.fetch_all(self.$read().await?).await?;
                let state = |row: &$row| {
                    let state = AlertState {
                        rule: row.try_get("rule")?,
                        series: row.try_get("series")?,
                        state: row.try_get("state")?,
                    };
                    Ok((row.try_get("host")?, state))
                };
                rows.iter().map(state).collect()
            }

            async fn save_alerts(&self, host: &str, batch: &AlertBatch) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                put_batch(&mut transaction, host, batch).await?;
                let committed = transaction.commit().await;
                self.queued.fetch_add(1, Ordering::Relaxed);
                Ok(committed?)
            }

            async fn save_all_alerts(&self, lease: Option<&Lease>, batches: &Batches) -> Result<bool> {
                let mut transaction = self.$write().await?.begin().await?;
                if let Some(lease) = lease {
                    // Nobody takes it over until the end of the transaction.
                    let held = sqlx::query(concat!(
                        "SELECT name FROM leases WHERE name = $1 AND holder = $2 AND term = $3", $lock
                    ));
                    let held = held.bind(lease.name).bind(&lease.holder).bind(lease.term);
                    if held.fetch_optional(&mut *transaction).await?.is_none() {
                        return Ok(false);
                    }
                }
                for (host, batch) in batches {
                    put_batch(&mut transaction, host, batch).await?;
                }
                let committed = transaction.commit().await;
                self.queued.fetch_add(1, Ordering::Relaxed);
                committed?;
                Ok(true)
            }

            async fn open_episodes(&self, hosts: &[String]) -> Result<Vec<Episode>> {
                if hosts.is_empty() {
                    return Ok(Vec::new());
                }
                let mut query = of_hosts("SELECT * FROM alert_episodes WHERE", hosts);
                query.push(" AND cleared_at IS NULL ORDER BY raised_at");
                let rows = query.build().fetch_all(self.$read().await?).await?;
                rows.iter().map(|row| Ok(of_episode(row)?)).collect()
            }

            async fn episode(&self, hosts: &[String], id: &str) -> Result<Option<Episode>> {
                if hosts.is_empty() {
                    return Ok(None);
                }
                let mut query = of_hosts("SELECT * FROM alert_episodes WHERE", hosts);
                query.push(" AND id = ").push_bind(id.to_owned());
                let row = query.build().fetch_optional(self.$read().await?).await?;
                Ok(row.as_ref().map(of_episode).transpose()?)
            }

            async fn episodes(
                &self,
                hosts: &[String],
                rule: Option<&str>,
                before: i64,
                limit: i64,
            ) -> Result<Vec<Episode>> {
                if hosts.is_empty() {
                    return Ok(Vec::new());
                }
                let mut query = of_hosts("SELECT * FROM alert_episodes WHERE", hosts);
                query.push(" AND raised_at < ").push_bind(before);
                if let Some(rule) = rule {
                    query.push(" AND rule = ").push_bind(rule.to_owned());
                }
                query.push(" ORDER BY raised_at DESC, id LIMIT ").push_bind(limit);
                let rows = query.build().fetch_all(self.$read().await?).await?;
                rows.iter().map(|row| Ok(of_episode(row)?)).collect()
            }

            async fn episode_counts(&self, hosts: &[String], since: i64) -> Result<Vec<(String, i64, i64)>> {
                if hosts.is_empty() {
                    return Ok(Vec::new());
                }
                let mut query = of_hosts(
                    "SELECT rule, count(*), count(acknowledged_by) FROM alert_episodes WHERE",
                    hosts,
                );
                query.push(" AND raised_at >= ").push_bind(since).push(" GROUP BY rule ORDER BY rule");
                Ok(query.build_query_as().fetch_all(self.$read().await?).await?)
            }

            async fn acknowledge(&self, host: &str, given: &Acknowledgement<'_>) -> Result<bool> {
                let mut transaction = self.$write().await?.begin().await?;
                let updated = sqlx::query(
                    "UPDATE alert_episodes SET acknowledged_by = $3, acknowledged_at = $4, note = $5
                     WHERE host = $1 AND id = $2 AND cleared_at IS NULL AND acknowledged_by IS NULL",
                )
                .bind(host)
                .bind(given.episode)
                .bind(given.by)
                .bind(given.at)
                .bind(given.note)
                .execute(&mut *transaction)
                .await?;
                if updated.rows_affected() == 0 {
                    return Ok(false);
                }
                put_event(&mut transaction, host, given.event).await?;
                let committed = transaction.commit().await;
                self.queued.fetch_add(1, Ordering::Relaxed);
                committed?;
                Ok(true)
            }

            async fn prune_alerts(&self, host: &str, now: i64) -> Result<()> {
                let pool = self.$write().await?;
                let before = now - EPISODES_KEPT;
                sqlx::query("DELETE FROM alert_episodes WHERE host = $1 AND cleared_at < $2")
                    .bind(host)
                    .bind(before)
                    .execute(pool)
                    .await?;
                sqlx::query(
                    "DELETE FROM alert_episodes WHERE host = $1 AND cleared_at IS NOT NULL AND raised_at <= (
                         SELECT raised_at FROM alert_episodes WHERE host = $1 AND cleared_at IS NOT NULL
                         ORDER BY raised_at DESC LIMIT 1 OFFSET $2)",
                )
                .bind(host)
                .bind(MAX_EPISODES)
                .execute(pool)
                .await?;
                sqlx::query("DELETE FROM alert_outbox WHERE host = $1 AND at < $2")
                    .bind(host)
                    .bind(now - EVENTS_KEPT)
                    .execute(pool)
                    .await?;
                sqlx::query(
                    "DELETE FROM alert_outbox WHERE host = $1 AND id <= (
                         SELECT id FROM alert_outbox WHERE host = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
                )
                .bind(host)
                .bind(MAX_OUTBOX)
                .execute(pool)
                .await?;
                sqlx::query("DELETE FROM alert_silences WHERE ends_at < $1").bind(before).execute(pool).await?;
                Ok(())
            }

            async fn alert_rules(&self) -> Result<Vec<StoredRule>> {
                let rows = sqlx::query("SELECT * FROM alert_rules ORDER BY name");
                let rows = rows.fetch_all(self.$read().await?).await?;
                let rule = |row: &$row| {
                    Ok(StoredRule {
                        name: row.try_get("name")?,
                        definition: row.try_get("definition")?,
                        updated_by: row.try_get("updated_by")?,
                        updated_at: row.try_get("updated_at")?,
                    })
                };
                rows.iter().map(rule).collect()
            }

            async fn put_alert_rules(&self, rules: &[StoredRule]) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                for rule in rules {
                    sqlx::query(
                        "INSERT INTO alert_rules (name, definition, updated_by, updated_at) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (name) DO UPDATE SET definition = excluded.definition,
                             updated_by = excluded.updated_by, updated_at = excluded.updated_at",
                    )
                    .bind(&rule.name)
                    .bind(&rule.definition)
                    .bind(&rule.updated_by)
                    .bind(rule.updated_at)
                    .execute(&mut *transaction)
                    .await?;
                }
                Ok(transaction.commit().await?)
            }

            async fn delete_alert_rule(&self, name: &str) -> Result<bool> {
                let deleted = sqlx::query("DELETE FROM alert_rules WHERE name = $1").bind(name);
                Ok(deleted.execute(self.$write().await?).await?.rows_affected() == 1)
            }

            async fn silences(&self, after: i64) -> Result<Vec<Silence>> {
                let rows = sqlx::query("SELECT * FROM alert_silences WHERE ends_at > $1 ORDER BY id");
                let rows = rows.bind(after).fetch_all(self.$read().await?).await?;
                rows.iter().map(|row| Ok(of_silence(row)?)).collect()
            }

            async fn add_silence(&self, silence: &Silence) -> Result<Silence> {
                let row = sqlx::query(
                    "INSERT INTO alert_silences (rule, labels, author, reason, created_at, ends_at)
                     VALUES ($1, $2, $3, $4, $5, $6) RETURNING *",
                )
                .bind(&silence.rule)
                .bind(&silence.labels)
                .bind(&silence.author)
                .bind(&silence.reason)
                .bind(silence.created_at)
                .bind(silence.ends_at)
                .fetch_one(self.$write().await?)
                .await?;
                Ok(of_silence(&row)?)
            }

            async fn end_silence(&self, id: i64, at: i64) -> Result<bool> {
                let ended = sqlx::query("UPDATE alert_silences SET ends_at = $2 WHERE id = $1 AND ends_at > $2");
                Ok(ended.bind(id).bind(at).execute(self.$write().await?).await?.rows_affected() == 1)
            }
        }
    };
}
pub(in crate::store) use implement_alerts;
