//! Imports history from another store, or from the Python original's database.
//!
//! Readings come first, together with their minute sums; then, for each tier, the buckets whose finer data the source
//! has removed. Profiles are copied as they are. Each page is stored together with a checkpoint, so an interrupted import resumes where it stopped, and
//! importing twice changes nothing.

use sha2::{Digest, Sha256};

use super::chunk::Buckets;
use super::tier::Tier;
use super::{History, from_micros, micros, rollup};
use crate::snapshot::selection::Selection;
use crate::snapshot::{MetricType, Reading};
use crate::store::chunks::{Batch, Chunk, Content, Wanted};
use crate::store::settings::SettingsStore;
pub use crate::store::source::From;
use crate::store::source::Source;
use crate::store::{Result, StoreError};

/// Documents or chunks read and stored at a time.
const DOCUMENTS: i64 = 720;
const CHUNKS: i64 = 8;
/// Earlier than any data, but still valid in PostgreSQL.
const BEGINNING: i64 = -62_135_596_800_000_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows processed in this run.
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows read in this run: documents of the original, or chunks.
    pub rows: u64,
    /// Documents of the original that are not JSON objects.
    pub refused: u64,
}

/// Imports everything, reports progress after each page, and computes rollups of the imported data.
pub async fn import(
    target: &History,
    settings: &dyn SettingsStore,
    from: &From,
    mut tell: impl FnMut(Progress),
) -> Result<Imported> {
    let source = Source::open(from).await?;
    let tiers: &[Tier] = if source.is_original() { &[Tier::Raw] } else { &Tier::ALL };
    let mut parts = Vec::new();
    let mut progress = Progress::default();
    for &tier in tiers {
        // The original has no profiles.
        let contents = Content::all().filter(|of| !source.is_original() || of.readings().is_some());
        for content in contents {
            let checkpoint = checkpoint(from, tier, content);
            let reached = settings.config(&checkpoint).await?;
            let after = reached.and_then(|text| text.parse().ok()).unwrap_or(BEGINNING);
            progress.total += source.count(content, tier.seconds(), after).await?;
            parts.push(Part { tier, content, checkpoint, after });
        }
    }
    tell(progress);
    let removed = source.removed().await?;
    target.chunks().commit(target.host(), &Batch { removed: removed.clone(), ..Batch::default() }).await?;
    let mut imported = Imported::default();
    for mut part in parts {
        loop {
            let rows = if source.is_original() {
                part.take_documents(target, &source, &mut imported).await?
            } else {
                part.take_chunks(target, &source, &removed).await?
            };
            if rows == 0 {
                break;
            }
            imported.rows += rows;
            progress.done += rows;
            tell(progress);
        }
    }
    rollup::roll(target, micros(time::OffsetDateTime::now_utc())).await?;
    Ok(imported)
}

struct Part {
    tier: Tier,
    content: Content,
    checkpoint: String,
    after: i64,
}

impl Part {
    async fn take_documents(
        &mut self,
        target: &History,
        source: &Source,
        imported: &mut Imported,
    ) -> Result<u64> {
        let Some(metric_type) = self.content.readings() else { return Ok(0) };
        let documents = source.documents(metric_type, self.after, DOCUMENTS).await?;
        let Some(last) = documents.last() else { return Ok(0) };
        self.after = last.at;
        let mut readings = Vec::with_capacity(documents.len());
        for document in &documents {
            match reading_of(metric_type, document.at, &document.json) {
                Some(reading) => readings.push(reading),
                None => imported.refused += 1,
            }
        }
        rollup::store_readings(target, &readings, vec![self.reached()]).await?;
        Ok(documents.len() as u64)
    }

    async fn take_chunks(
        &mut self,
        target: &History,
        source: &Source,
        removed: &[(i64, i64)],
    ) -> Result<u64> {
        let chunks = source.chunks(self.content, self.tier.seconds(), self.after, CHUNKS).await?;
        for chunk in &chunks {
            self.after = chunk.start;
            let mut batch = match (self.content.readings(), self.tier) {
                (None, _) => self.batch_of_profile(target, chunk).await?,
                (_, Tier::Raw) => rollup::batch_of(target, std::slice::from_ref(chunk), None).await?,
                (Some(metric_type), tier) => {
                    let of_finer = removed.iter().find(|(seconds, _)| *seconds == tier.finer().seconds());
                    let gone = of_finer.map_or(i64::MIN, |(_, before)| *before);
                    self.batch_of_rollups(target, metric_type, chunk, gone).await?
                }
            };
            batch.settings.push(self.reached());
            target.chunks().commit(target.host(), &batch).await?;
        }
        Ok(chunks.len() as u64)
    }

    /// The buckets for which the source has no finer data; the others are computed here.
    async fn batch_of_rollups(
        &self,
        target: &History,
        metric_type: MetricType,
        chunk: &Chunk,
        gone: i64,
    ) -> Result<Batch> {
        let mut batch = Batch::default();
        let buckets = match Buckets::decode(&chunk.data, Selection::all(metric_type)) {
            Ok(buckets) => buckets,
            Err(error) => {
                return Err(StoreError::Database(format!("a chunk of the source is damaged: {error}")));
            }
        };
        let buckets = buckets.iter().filter(|(at, _)| *at < gone).collect();
        rollup::add_missing(target, metric_type, self.tier, buckets, &mut batch).await?;
        Ok(batch)
    }

    /// A profile stays as it is; what is there already is not replaced.
    async fn batch_of_profile(&self, target: &History, chunk: &Chunk) -> Result<Batch> {
        let (from, to) = (chunk.start, chunk.start + 1);
        let wanted = Wanted { content: self.content, tier: self.tier.seconds(), from, to };
        let known = target.chunks().find(target.host(), wanted, 1).await?;
        let is_known = known.iter().any(|known| known.start == chunk.start);
        let put = if is_known { Vec::new() } else { vec![chunk.clone()] };
        Ok(Batch { put, ..Batch::default() })
    }

    fn reached(&self) -> (String, String) {
        (self.checkpoint.clone(), self.after.to_string())
    }
}

/// A document of the original. Its fields have the same names as ours.
fn reading_of(metric_type: MetricType, at: i64, json: &[u8]) -> Option<Reading> {
    let mut document: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
    document.remove("_timestamp");
    let at = from_micros(at);
    match document.remove("_error") {
        Some(serde_json::Value::String(error)) => Some(Reading::failed(metric_type, at, &error)),
        _ => Reading::new(metric_type, at, &document).ok(),
    }
}

/// The target's setting with an import's checkpoint. The source is identified by a hash, since its URL may contain a
/// password.
fn checkpoint(from: &From, tier: Tier, content: Content) -> String {
    let identity = format!("{}\n{:?}\n{}", from.url, from.host, from.set_aside);
    let digest = Sha256::digest(identity.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("import/{hex}/{}/{}", tier.seconds(), content.as_str())
}
