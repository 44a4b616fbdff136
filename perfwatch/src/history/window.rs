//! The last minutes of another machine, as its live stream would have shown them.

use time::OffsetDateTime;

use super::chunk::Block;
use super::head::assemble;
use super::{History, micros};
use crate::snapshot::{MetricType, Snapshot};
use crate::store::Result;
use crate::store::chunks::Wanted;

/// How far it reaches back, µs.
const SPAN: i64 = 15 * 60 * 1_000_000;
/// More chunks than a type has in that span.
const MAX_CHUNKS: i64 = 64;

impl History {
    /// The newest `count` snapshots of the last minutes, oldest first: stored, and not stored yet.
    pub async fn window(&self, count: usize) -> Result<Vec<Snapshot>> {
        let now = micros(OffsetDateTime::now_utc());
        let mut blocks = Vec::new();
        for of in MetricType::ALL.into_iter().filter(|of| of.is_streamed()) {
            let wanted = Wanted { content: of.into(), tier: 0, from: now - SPAN, to: i64::MAX };
            let mut chunks = self.chunks().find(self.host(), wanted, MAX_CHUNKS).await?;
            chunks.extend(self.elsewhere(of.into(), now).await?);
            let mut all = Block::new(of);
            for chunk in &chunks {
                match Block::of(chunk) {
                    Ok(block) => all = all.union(&block),
                    Err(error) => self.note_damage(chunk, error),
                }
            }
            blocks.push(all);
        }
        let mut window = assemble(blocks.iter());
        let surplus = window.len().saturating_sub(count);
        window.drain(..surplus);
        Ok(window)
    }
}
