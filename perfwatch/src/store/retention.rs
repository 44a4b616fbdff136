//! Cleanup: what is past its time goes, what is old is left to its rollups.

use time::{Duration, OffsetDateTime};

use super::rollup::{Tier, floor};
use super::{Result, Store, micros, roller};

/// What one cleanup did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanup {
    /// Rows removed because they were older than the retention, raw and rolled up.
    pub deleted_count: u64,
    /// Raw rows that were replaced by rollups.
    pub downsampled_count: u64,
    pub last_archive_run: OffsetDateTime,
}

/// Applies the policy as of `now`.
pub async fn clean(store: &dyn Store, now: OffsetDateTime) -> Result<Cleanup> {
    let policy = store.archive_policy().await?;
    let mut deleted_count = 0;
    let expired = micros(now - Duration::days(policy.retention_days));
    for tier in [Tier::Raw].into_iter().chain(Tier::ROLLUPS) {
        // A rollup goes when all of its bucket is past.
        let before = tier.floor(expired);
        deleted_count += store.remove_before(tier, before, false).await?;
    }

    let mut downsampled_count = 0;
    if policy.archive_enabled {
        // What is still to be rolled up must be before its rows may go.
        roller::roll(store, micros(now)).await?;
        // Whole hours, so that no bucket loses half of what it was made from.
        let old = floor(micros(now - Duration::days(policy.downsample_after_days)), Tier::Hour.width());
        for &tier in policy.downsample_interval.replaces() {
            let removed = store.remove_before(tier, old, true).await?;
            if tier == Tier::Raw {
                downsampled_count += removed;
            }
        }
    }
    store.record_archive_run(now).await?;
    Ok(Cleanup { deleted_count, downsampled_count, last_archive_run: now })
}
