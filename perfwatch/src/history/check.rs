//! Whether a chunk of readings can be used.

use super::Damaged;
use super::chunk::{Block, Buckets};
use crate::snapshot::MetricType;
use crate::snapshot::selection::Selection;

/// Decodes all of it: its checksum, its directory and each of its columns.
pub fn check(of: MetricType, tier: i64, data: &[u8]) -> Result<(), Damaged> {
    let selection = Selection::all(of);
    match tier {
        0 => Block::decode(data, selection).map(drop),
        _ => Buckets::decode(data, selection).map(drop),
    }
}
