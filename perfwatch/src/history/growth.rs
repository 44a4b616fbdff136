//! How fast history grows in each tier.

use super::History;
use super::tier::Tier;
use crate::store::{Result, micros};
use time::OffsetDateTime;

const DAY: i64 = 24 * 3_600_000_000;
/// Of less, the first chunks of a new database, nothing can be concluded.
const LEAST: i64 = 10 * 60_000_000;

/// Bytes that a tier takes per day, as it was written lately.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    pub tier: Tier,
    pub bytes_per_day: f64,
}

/// Tiers of which there is not enough yet are left out.
pub async fn growth(history: &History, now: OffsetDateTime) -> Result<Vec<Growth>> {
    let mut all = Vec::new();
    for tier in Tier::ALL {
        // Some slots, so that one that is being filled does not weigh too much.
        let after = micros(now).saturating_sub(DAY.max(3 * tier.slot()));
        let sizes = history.chunks().sizes(history.host(), tier.seconds(), after).await?;
        let of = sizes.iter().filter(|size| size.end - size.first >= LEAST);
        let bytes_per_day: f64 =
            of.map(|size| size.bytes as f64 * DAY as f64 / (size.end - size.first) as f64).sum();
        if bytes_per_day > 0.0 {
            all.push(Growth { tier, bytes_per_day });
        }
    }
    Ok(all)
}
