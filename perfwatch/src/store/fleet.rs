//! Who may join the fleet, who has, and who may no longer: the engines' interface, and the statements for both. Times are
//! µs since the epoch.

use async_trait::async_trait;

use super::Result;
use crate::config::labels::Labels;

/// What lets one machine join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub hash: String,
    /// Who made it.
    pub author: String,
    pub created_at: i64,
    pub expires_at: i64,
}

/// A machine that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// NATS knows it by this.
    pub public_key: String,
    pub host: String,
    /// Its name when it joined.
    pub name: String,
    /// Where it joined from.
    pub address: String,
    /// Who made its token.
    pub author: String,
    pub joined_at: i64,
    pub revoked_at: Option<i64>,
}

/// What became of an attempt to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    Yes,
    UnknownToken,
    ExpiredToken,
    UsedToken,
    /// Another machine has joined with this ID.
    HostTaken,
}

#[async_trait]
pub trait FleetStore: Send + Sync + std::fmt::Debug {
    /// Also forgets those that expired before `forget`.
    async fn add_join_token(&self, token: &JoinToken, forget: i64) -> Result<()>;
    /// Uses up the token for a machine, whose `author` is the token's. The same machine may ask again with the same token,
    /// in case it did not hear the answer.
    async fn join(&self, token_hash: &str, machine: &Member) -> Result<Joined>;
    /// All that ever joined, the oldest first.
    async fn members(&self) -> Result<Vec<Member>>;
    /// `false`: no machine has joined with this ID, or it is revoked already.
    async fn revoke_member(&self, host: &str, at: i64) -> Result<bool>;
    /// Sets what administrators say of a host. `false`: there is no such host.
    async fn set_host_labels(&self, host: &str, labels: &Labels) -> Result<bool>;
}

/// Implements [`FleetStore`] for a store whose methods `$read` and `$write` return the pools once the tables are up to
/// date.
macro_rules! implement_fleet {
    ($store:ty, read: $read:ident, write: $write:ident) => {
        #[async_trait]
        impl FleetStore for $store {
            async fn add_join_token(&self, token: &JoinToken, forget: i64) -> Result<()> {
                let old = sqlx::query("DELETE FROM fleet_tokens WHERE expires_at < $1");
                old.bind(forget).execute(self.$write().await?).await?;
                let added = sqlx::query(
                    "INSERT INTO fleet_tokens (token_hash, author, created_at, expires_at) VALUES ($1, $2, $3, $4)",
                );
                let added = added.bind(&token.hash).bind(&token.author);
                added.bind(token.created_at).bind(token.expires_at).execute(self.$write().await?).await?;
                Ok(())
            }

            async fn join(&self, token_hash: &str, machine: &Member) -> Result<Joined> {
                let mut transaction = self.$write().await?.begin().await?;
                let author: Option<String> = sqlx::query_scalar(
                    "UPDATE fleet_tokens SET used_by = $2 WHERE token_hash = $1 AND expires_at > $3
                     AND (used_by IS NULL OR used_by = $2) RETURNING author",
                )
                .bind(token_hash)
                .bind(&machine.public_key)
                .bind(machine.joined_at)
                .fetch_optional(&mut *transaction)
                .await?;
                let Some(author) = author else {
                    let used = sqlx::query_scalar("SELECT used_by IS NOT NULL FROM fleet_tokens WHERE token_hash = $1");
                    let used: Option<bool> = used.bind(token_hash).fetch_optional(&mut *transaction).await?;
                    return Ok(match used {
                        None => Joined::UnknownToken,
                        Some(true) => Joined::UsedToken,
                        Some(false) => Joined::ExpiredToken,
                    });
                };
                sqlx::query(
                    "INSERT INTO fleet_members (public_key, host, name, address, author, joined_at)
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                )
                .bind(&machine.public_key)
                .bind(&machine.host)
                .bind(&machine.name)
                .bind(&machine.address)
                .bind(author)
                .bind(machine.joined_at)
                .execute(&mut *transaction)
                .await?;
                let is_there: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM fleet_members
                     WHERE public_key = $1 AND host = $2 AND revoked_at IS NULL)",
                )
                .bind(&machine.public_key)
                .bind(&machine.host)
                .fetch_one(&mut *transaction)
                .await?;
                if !is_there {
                    // The token stays as it was.
                    return Ok(Joined::HostTaken);
                }
                transaction.commit().await?;
                Ok(Joined::Yes)
            }

            async fn members(&self) -> Result<Vec<Member>> {
                let rows = sqlx::query("SELECT * FROM fleet_members ORDER BY joined_at, public_key");
                let rows = rows.fetch_all(self.$read().await?).await?;
                let member = rows.iter().map(|row| {
                    Ok(Member {
                        public_key: row.try_get("public_key")?,
                        host: row.try_get("host")?,
                        name: row.try_get("name")?,
                        address: row.try_get("address")?,
                        author: row.try_get("author")?,
                        joined_at: row.try_get("joined_at")?,
                        revoked_at: row.try_get("revoked_at")?,
                    })
                });
                member.collect()
            }

            async fn revoke_member(&self, host: &str, at: i64) -> Result<bool> {
                let revoked = sqlx::query(
                    "UPDATE fleet_members SET revoked_at = $2 WHERE host = $1 AND revoked_at IS NULL",
                );
                let revoked = revoked.bind(host).bind(at).execute(self.$write().await?).await?;
                Ok(revoked.rows_affected() == 1)
            }

            async fn set_host_labels(&self, host: &str, labels: &Labels) -> Result<bool> {
                let set = sqlx::query("UPDATE hosts SET given_labels = $2 WHERE id = $1");
                let set = set.bind(host).bind(labels.to_string()).execute(self.$write().await?).await?;
                Ok(set.rows_affected() == 1)
            }
        }
    };
}
pub(in crate::store) use implement_fleet;
