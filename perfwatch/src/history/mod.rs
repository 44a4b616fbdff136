//! History: turns readings into chunks and rollups, and answers queries from them.
//!
//! The newest readings are in memory ([`head`]) and in a log on disk ([`log`]). Once there are enough, they are packed
//! into a [chunk], and their minute sums into another. Coarser tiers are computed ([`rollup`]) from finer ones when
//! their period is over. A query reads chunks and memory together, so nothing has to be flushed to answer it.

pub mod bucket;
pub mod check;
pub mod chunk;
pub mod elsewhere;
pub mod growth;
pub mod head;
pub mod import;
pub mod log;
pub mod maintenance;
pub mod plan;
pub mod questions;
pub mod reader;
pub mod tier;
pub mod window;
#[cfg(test)]
pub(crate) mod testing;
pub mod rollup;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::chunks::ChunkStore;
use crate::store::policy::Extent;
use elsewhere::Elsewhere;
use head::Head;

/// Why bytes are not a valid chunk or log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub &'static str);

/// One host's history, shared by all readers.
#[derive(Debug, Clone)]
pub struct History(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    chunks: Arc<dyn ChunkStore>,
    host: String,
    head: Arc<Head>,
    /// Who knows what is not stored yet, if the host is another machine.
    elsewhere: Option<Arc<dyn Elsewhere>>,
    damaged: AtomicU64,
}

impl History {
    pub fn new(chunks: Arc<dyn ChunkStore>, host: &str) -> Self {
        Self::with(chunks, host, Head::default(), None)
    }

    /// With a head of its own measure.
    pub fn with_head(chunks: Arc<dyn ChunkStore>, host: &str, head: Head) -> Self {
        Self::with(chunks, host, head, None)
    }

    fn with(
        chunks: Arc<dyn ChunkStore>,
        host: &str,
        head: Head,
        elsewhere: Option<Arc<dyn Elsewhere>>,
    ) -> Self {
        let (host, head, damaged) = (host.to_owned(), Arc::new(head), AtomicU64::new(0));
        Self(Arc::new(Shared { chunks, host, head, elsewhere, damaged }))
    }

    /// The history of another host in the same store, completed by what is not stored yet.
    #[must_use]
    pub fn of_host_and(&self, host: &str, elsewhere: Arc<dyn Elsewhere>) -> Self {
        Self::with(Arc::clone(&self.0.chunks), host, Head::default(), Some(elsewhere))
    }

    /// The history of another host in the same store, with nothing in memory.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Self {
        if host == self.0.host { self.clone() } else { Self::new(Arc::clone(&self.0.chunks), host) }
    }

    pub fn chunks(&self) -> &Arc<dyn ChunkStore> {
        &self.0.chunks
    }

    /// The host's id.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    pub fn head(&self) -> &Arc<Head> {
        &self.0.head
    }

    /// Size, oldest and newest time of the history, including what is only in memory.
    pub async fn extent(&self) -> crate::store::Result<Extent> {
        let mut extent = self.0.chunks.extent(&self.0.host).await?;
        // A chunk may still contain readings past their retention.
        let gone =
            plan::Coverage::of(&self.0.chunks.tiers(&self.0.host).await?).removed_before(tier::Tier::Day);
        extent.oldest = extent.oldest.map(|oldest| oldest.max(from_micros(gone)));
        if let Some((oldest, newest)) = self.0.head.ends() {
            extent.oldest = Some(extent.oldest.map_or(oldest, |stored| stored.min(oldest)));
            extent.newest = Some(extent.newest.map_or(newest, |stored| stored.max(newest)));
        }
        Ok(extent)
    }

    /// Chunks that could not be read since startup.
    pub fn damaged_chunks(&self) -> u64 {
        self.0.damaged.load(Ordering::Relaxed)
    }

    /// An unreadable chunk is a gap; everything else is still served.
    fn note_damage(&self, chunk: &crate::store::chunks::Chunk, error: Damaged) {
        self.0.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            metric_type = chunk.content.as_str(),
            tier = chunk.tier,
            start = crate::snapshot::rfc3339(from_micros(chunk.start)),
            %error,
            "a chunk of history is corrupt and leaves a gap"
        );
    }
}

pub(crate) use crate::store::{from_micros, micros};
