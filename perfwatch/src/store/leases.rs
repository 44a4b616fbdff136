//! Leases: what only one of several processes may do at a time, and who does it. The engines' interface, and the statements
//! for both, which differ only in how they tell the time.
//!
//! Only the database's clock counts, so that those of the machines may differ.

use std::time::Duration;

use async_trait::async_trait;

use super::Result;

/// What a process holds until it is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: &'static str,
    pub holder: String,
    /// Counts the times that it was taken over: as long as it is the same, nobody else had it, also if it ended meanwhile.
    pub term: i64,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Whoever asked.
    Ours(Lease),
    /// This one.
    By(String),
}

#[async_trait]
pub trait LeaseStore: Send + Sync + std::fmt::Debug {
    /// Takes or renews a lease for some time, unless another holds it.
    async fn take_lease(&self, name: &'static str, holder: &str, lasts: Duration) -> Result<Held>;
    /// Whether nobody can have taken it over.
    async fn has_lease(&self, lease: &Lease) -> Result<bool>;
    /// Lets others have it at once.
    async fn end_lease(&self, lease: &Lease) -> Result<()>;
}

/// Implements [`LeaseStore`] for a store whose methods `$read` and `$write` return the pools once the tables are up to date.
/// `$now` is the database's time in µs.
macro_rules! implement_leases {
    ($store:ty, read: $read:ident, write: $write:ident, now: $now:literal) => {
        #[async_trait]
        impl LeaseStore for $store {
            async fn take_lease(&self, name: &'static str, holder: &str, lasts: Duration) -> Result<Held> {
                let taken = sqlx::query_scalar(concat!(
                    "INSERT INTO leases (name, holder, term, ends_at) VALUES ($1, $2, 1, ", $now, " + $3)
                     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at,
                         term = leases.term + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END
                         WHERE leases.holder = excluded.holder OR leases.ends_at <= ", $now, "
                     RETURNING term"
                ));
                let lasts = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX);
                let taken = taken.bind(name).bind(holder).bind(lasts);
                if let Some(term) = taken.fetch_optional(self.$write().await?).await? {
                    return Ok(Held::Ours(Lease { name, holder: holder.to_owned(), term }));
                }
                let by = sqlx::query_scalar("SELECT holder FROM leases WHERE name = $1").bind(name);
                let by: Option<String> = by.fetch_optional(self.$read().await?).await?;
                Ok(Held::By(by.unwrap_or_default()))
            }

            async fn has_lease(&self, lease: &Lease) -> Result<bool> {
                let held = sqlx::query_scalar(concat!(
                    "SELECT count(*) FROM leases WHERE name = $1 AND holder = $2 AND term = $3 AND ends_at > ", $now
                ));
                let held = held.bind(lease.name).bind(&lease.holder).bind(lease.term);
                let held: i64 = held.fetch_one(self.$read().await?).await?;
                Ok(held == 1)
            }

            async fn end_lease(&self, lease: &Lease) -> Result<()> {
                let ended = sqlx::query(
                    "UPDATE leases SET ends_at = 0 WHERE name = $1 AND holder = $2 AND term = $3",
                );
                let ended = ended.bind(lease.name).bind(&lease.holder).bind(lease.term);
                ended.execute(self.$write().await?).await?;
                Ok(())
            }
        }
    };
}
pub(in crate::store) use implement_leases;
