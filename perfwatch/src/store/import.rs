//! Moving history from one store into another, and from the Python original's database into ours.
//!
//! Rollups come first, then raw rows, page by page in time order. After each page its end is kept in the target, so an
//! import that was interrupted goes on where it stopped; a page that comes twice changes nothing.

mod source;

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::rollup::{Tier, TierRow};
use super::{Result, Store, StoreError, micros, roller};
use crate::snapshot::MetricType;
use source::Source;

/// Rows read and written at a time: a few megabytes at most.
const PAGE: usize = 500;

/// Where the history is.
#[derive(Debug, Clone)]
pub struct From {
    pub url: String,
    /// Which machine's, in a store of several; it becomes this machine's.
    pub host: Option<String>,
    /// Read what was set aside when a database of the original became ours.
    pub set_aside: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows of this and earlier runs.
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows read in this run.
    pub raw: u64,
    pub rollups: u64,
}

/// Imports everything, tells how far it is after each page, and computes the rollups of what came.
pub async fn import(
    target: &Arc<dyn Store>,
    from: &From,
    mut tell: impl FnMut(Progress),
) -> Result<Imported> {
    let source = Source::open(from).await?;
    let mut parts = Vec::new();
    let mut progress = Progress::default();
    let tiers: &[Tier] = if source.has_rollups() {
        &[Tier::Minute, Tier::FiveMinutes, Tier::Hour, Tier::Day, Tier::Raw]
    } else {
        &[Tier::Raw]
    };
    for &tier in tiers {
        for metric_type in MetricType::ALL {
            let part = Part { tier, metric_type, checkpoint: checkpoint(from, tier, metric_type) };
            let after = part.reached(target).await?;
            let (before, left) = source.count(tier, metric_type, after).await?;
            progress.done += before;
            progress.total += before + left;
            parts.push((part, after));
        }
    }
    tell(progress);

    let mut imported = Imported::default();
    let mut shapes = HashSet::new();
    let mut raw_follows = false;
    for (part, mut after) in parts {
        if part.tier == Tier::Raw && !raw_follows {
            // What the source has no longer must be known to be gone before finer rows arrive.
            for (tier, before) in source.removed().await? {
                target.adopt_removed(tier, before).await?;
            }
            raw_follows = true;
        }
        loop {
            let rows = source.page(part.tier, part.metric_type, after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.at;
            let count = rows.len() as u64;
            if part.tier == Tier::Raw {
                imported.raw += count;
                append(target, part.metric_type, rows).await?;
            } else {
                imported.rollups += count;
                for key in
                    rows.iter().map(|row| row.shape).filter(|key| shapes.insert(*key)).collect::<Vec<_>>()
                {
                    target.put_shape(key, &source.shape(key).await?).await?;
                }
                target.adopt(part.tier, part.metric_type, &rows).await?;
            }
            target.set_config(&[(&part.checkpoint, after.to_string())]).await?;
            progress.done += count;
            tell(progress);
        }
    }
    roller::roll(target.as_ref(), micros(OffsetDateTime::now_utc())).await?;
    Ok(imported)
}

struct Part {
    tier: Tier,
    metric_type: MetricType,
    checkpoint: String,
}

impl Part {
    /// The time (µs) up to which an earlier run got.
    async fn reached(&self, target: &Arc<dyn Store>) -> Result<i64> {
        let kept = target.config(&self.checkpoint).await?;
        // Before every time there is, and still a time that PostgreSQL knows.
        Ok(kept.and_then(|text| text.parse().ok()).unwrap_or(-62_135_596_800_000_000))
    }
}

/// The setting in which the target keeps how far an import got. The source is named by a hash: its URL may hold a password.
fn checkpoint(from: &From, tier: Tier, metric_type: MetricType) -> String {
    let identity = format!("{}\n{:?}\n{}", from.url, from.host, from.set_aside);
    let digest = Sha256::digest(identity.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("import/{hex}/{}/{}", tier.seconds(), metric_type.as_str())
}

async fn append(target: &Arc<dyn Store>, metric_type: MetricType, rows: Vec<TierRow>) -> Result<()> {
    let rows: Vec<super::Row> = rows
        .into_iter()
        .map(|row| super::Row { timestamp: super::from_micros(row.at), metric_type, json: row.data.into() })
        .collect();
    target.append(&rows).await
}

fn missing(what: &str) -> StoreError {
    StoreError::Database(format!("nothing to import: {what}"))
}
