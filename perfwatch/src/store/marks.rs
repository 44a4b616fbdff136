//! What people and scripts have noted of a machine: deployments, test runs.

pub(super) mod sql;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The store assigns it.
    pub id: i64,
    pub at: OffsetDateTime,
    /// Who noted it.
    pub username: String,
    pub text: String,
    /// A JSON object of texts.
    pub labels: String,
}

#[async_trait]
pub trait MarkStore: Send + Sync + std::fmt::Debug {
    /// Returns the mark's id. Of more than `keep`, those that were added first are dropped.
    async fn add_mark(&self, host: &str, mark: &Mark, keep: i64) -> Result<i64>;
    /// The newest `limit` marks of a range, both ends included, oldest first.
    async fn marks(
        &self,
        host: &str,
        from: OffsetDateTime,
        to: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<Mark>>;
}
