//! Whether a chunk can be used.

use super::Damaged;
use super::chunk::{Block, Buckets};
use crate::snapshot::selection::Selection;
use crate::store::chunks::Chunk;

/// Decodes all of it: its checksum, its directory and each of its columns.
pub fn check(chunk: &Chunk) -> Result<(), Damaged> {
    let selection = Selection::all(chunk.metric_type);
    match chunk.tier {
        0 => Block::decode(&chunk.data, selection).map(drop),
        _ => Buckets::decode(&chunk.data, selection).map(drop),
    }
}
