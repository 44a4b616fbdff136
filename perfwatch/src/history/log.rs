//! The log on disk: every snapshot that is not stored yet, so that even a kill loses none.
//!
//! One file per slot. It starts with a magic and a version, followed by one record per snapshot: length, CRC-32, and
//! what changed since the previous record. A truncated or damaged record ends the file; the rest is kept aside. Once a
//! slot is stored its file is removed. While the store is unavailable, closed slots are packed into chunks, which
//! replace their files.
//!
//! The slots of a run are numbered from 1, whether they could be written or not. Slots left by an earlier run have
//! lower numbers.
//!
//! Everything here blocks on disk I/O: call it only where blocking is allowed.

pub(crate) mod record;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Damaged;
use super::chunk::Block;
use super::head::{Sealed, pack};
use crate::snapshot::{MetricType, Snapshot};

const LOG: &str = "log";
const CHUNKS: &str = "chunks";
/// Extensions of files that could not be read, or stored; kept for inspection.
const DAMAGED: &str = "damaged";
const REFUSED: &str = "refused";
const HEADER: &[u8; 4] = b"PWL1";

#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    max_bytes: u64,
    /// Waiting slots, oldest first; the last may be open.
    files: VecDeque<Segment>,
    open: Option<Open>,
    /// A slot's file number minus its slot number.
    offset: i64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Segment {
    slot: i64,
    extension: &'static str,
    bytes: u64,
    snapshots: u64,
}

#[derive(Debug)]
struct Open {
    slot: i64,
    file: File,
    /// The last snapshot written; the next one is stored relative to it.
    before: Option<Arc<Snapshot>>,
}

/// A slot read from disk.
#[derive(Debug)]
pub struct Replayed {
    pub sealed: Sealed,
    /// Unreadable bytes at the end.
    pub damaged: usize,
}

impl Log {
    /// Opens the log in `dir`, including what an earlier run left there.
    pub fn open(dir: &Path, max_bytes: u64) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut files: Vec<Segment> = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let path = entry.path();
            let extension = match path.extension().and_then(|e| e.to_str()) {
                Some(LOG) => LOG,
                Some(CHUNKS) => CHUNKS,
                _ => continue,
            };
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
            let metadata = entry.metadata()?;
            if let Some(number) = number
                && metadata.is_file()
            {
                let bytes = metadata.len();
                files.push(Segment { slot: number.into(), extension, bytes, snapshots: 0 });
            }
        }
        files.sort_unstable_by_key(|file| (file.slot, file.extension != CHUNKS));
        // Chunks are complete before their log file is removed.
        files.dedup_by_key(|file| file.slot);
        let offset = files.last().map_or(0, |file| file.slot);
        files.iter_mut().for_each(|file| file.slot -= offset);
        let files = files.into();
        Ok(Self { dir: dir.to_owned(), max_bytes, files, open: None, offset, buffer: Vec::new() })
    }

    /// Slots on disk.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// This run's snapshots that are here and not stored.
    pub fn snapshots(&self) -> u64 {
        self.files.iter().map(|file| file.snapshots).sum()
    }

    /// The oldest slot.
    pub fn oldest(&self) -> Option<i64> {
        self.files.front().map(|file| file.slot)
    }

    /// This run's snapshots in a slot.
    pub fn snapshots_of(&self, slot: i64) -> u64 {
        self.files.iter().find(|file| file.slot == slot).map_or(0, |file| file.snapshots)
    }

    /// Appends a snapshot to the open slot: it survives a crash of this process, but not a power cut.
    pub fn note(&mut self, slot: i64, snapshot: &Arc<Snapshot>) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let noted = self.note_with(slot, snapshot, &mut buffer);
        self.buffer = buffer;
        noted
    }

    fn note_with(&mut self, slot: i64, snapshot: &Arc<Snapshot>, buffer: &mut Vec<u8>) -> io::Result<()> {
        if self.files.back().is_none_or(|newest| newest.slot != slot) {
            self.files.push_back(Segment { slot, extension: LOG, bytes: 0, snapshots: 0 });
        }
        let path = self.path(slot, LOG);
        let (Some(segment), open) = (self.files.back_mut(), &mut self.open) else {
            return Err(io::Error::other("the log has no file to write to"));
        };
        if open.as_ref().is_none_or(|open| open.slot != slot) {
            *open = None;
            // A half-written record of an earlier attempt doesn't count, and no later record may refer to it.
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            file.set_len(segment.bytes)?;
            if segment.bytes == 0 {
                file.write_all(HEADER)?;
                segment.bytes = HEADER.len() as u64;
            }
            *open = Some(Open { slot, file, before: None });
        }
        let Some(Open { file, before, .. }) = open else {
            return Err(io::Error::other("the log has no file to write to"));
        };
        record::put(snapshot, before.as_deref(), buffer);
        if let Err(error) = file.write_all(buffer) {
            // A partial record would hide what follows. If even truncating fails, close the file.
            if file.set_len(segment.bytes).is_err() {
                *open = None;
            }
            return Err(error);
        }
        segment.bytes += buffer.len() as u64;
        segment.snapshots += 1;
        *before = Some(Arc::clone(snapshot));
        Ok(())
    }

    /// Reads a slot. `None` if nothing in it is readable; it is then removed from the log.
    pub fn read(&mut self, slot: i64) -> io::Result<Option<Replayed>> {
        let Some(file) = self.files.iter().find(|file| file.slot == slot) else { return Ok(None) };
        let path = self.path(slot, file.extension);
        let bytes = match std::fs::read(&path) {
            // Writing it had failed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let replayed = if file.extension == CHUNKS { record::take_chunks(&bytes) } else { replay(&bytes) };
        let damaged = replayed.as_ref().map_or(bytes.len(), |replayed| replayed.damaged);
        if damaged > 0 {
            let aside = path.with_extension(DAMAGED);
            let whole = bytes.len() - damaged;
            std::fs::write(&aside, &bytes[whole..])?;
            OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
            tracing::error!(
                bytes = damaged,
                aside = %aside.display(),
                "the end of a slot in the log on disk is damaged and was set aside"
            );
        }
        match replayed {
            Ok(replayed) if replayed.sealed.snapshots > 0 => Ok(Some(replayed)),
            _ => self.forget(slot).map(|()| None),
        }
    }

    /// Removes a slot that is stored.
    pub fn forget(&mut self, slot: i64) -> io::Result<()> {
        let Some(file) = self.remove(slot) else { return Ok(()) };
        // A file that can't be removed is replayed at the next start, without effect.
        match std::fs::remove_file(self.path(slot, file.extension)) {
            // Writing it had failed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Leaves a slot's file in place, for the next start to retry.
    pub fn leave(&mut self, slot: i64) {
        self.remove(slot);
    }

    fn remove(&mut self, slot: i64) -> Option<Segment> {
        let at = self.files.iter().position(|file| file.slot == slot)?;
        self.open.take_if(|open| open.slot == slot);
        self.files.remove(at)
    }

    /// Sets aside a slot that the store refuses, for inspection; returns its new path.
    pub fn set_aside(&mut self, slot: i64) -> io::Result<Option<PathBuf>> {
        let Some(file) = self.remove(slot) else { return Ok(None) };
        let path = self.path(slot, file.extension);
        let aside = path.with_extension(REFUSED);
        match std::fs::rename(path, &aside) {
            Ok(()) => Ok(Some(aside)),
            // Writing it had failed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a closed slot's snapshots by its chunks while the store is unavailable. On disk when this returns.
    pub fn pack(&mut self, sealed: &Sealed) -> io::Result<()> {
        let slot = sealed.slot;
        let at = match self.files.binary_search_by_key(&slot, |file| file.slot) {
            Ok(at) if self.files[at].extension == CHUNKS => return Ok(()),
            Ok(at) => at,
            // Writing it had failed before.
            Err(at) => {
                self.files.insert(at, Segment { slot, extension: LOG, bytes: 0, snapshots: 0 });
                at
            }
        };
        let mut bytes = Vec::new();
        record::put_chunks(sealed, &mut bytes);
        let path = self.path(slot, CHUNKS);
        let unfinished = path.with_extension("unfinished");
        let mut written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        written.write_all(&bytes)?;
        written.sync_data()?;
        std::fs::rename(&unfinished, &path)?;
        let _ = std::fs::remove_file(self.path(slot, LOG));
        self.open.take_if(|open| open.slot == slot);
        let bytes = bytes.len() as u64;
        self.files[at] = Segment { slot, extension: CHUNKS, bytes, snapshots: sealed.snapshots };
        Ok(())
    }

    /// Frees space, oldest slots first; returns the number of snapshots lost. The newest slot stays: it is being
    /// written to.
    pub fn bound(&mut self) -> io::Result<u64> {
        let mut dropped = 0;
        while self.bytes() > self.max_bytes
            && self.files.len() > 1
            && let Some(oldest) = self.files.front()
        {
            // Snapshots left by an earlier run are not counted.
            let (slot, snapshots) = (oldest.slot, oldest.snapshots);
            dropped +=
                if slot > 0 { snapshots } else { self.read(slot)?.map_or(0, |of| of.sealed.snapshots) };
            self.forget(slot)?;
        }
        Ok(dropped)
    }

    /// Waits until everything written would survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    fn path(&self, slot: i64, extension: &str) -> PathBuf {
        self.dir.join(format!("{:012}.{extension}", slot + self.offset))
    }
}

/// Reads a log as far as it is readable.
fn replay(bytes: &[u8]) -> Result<Replayed, Damaged> {
    let Some(mut rest) = bytes.strip_prefix(HEADER) else {
        return if HEADER.starts_with(bytes) {
            Ok(Replayed {
                sealed: Sealed { slot: 0, chunks: Arc::default(), minutes: None, snapshots: 0 },
                damaged: 0,
            })
        } else {
            Err(Damaged("it is no log"))
        };
    };
    let mut blocks: Vec<Block> = MetricType::ALL.into_iter().map(Block::new).collect();
    let mut before = None;
    let mut snapshots = 0;
    while !rest.is_empty() {
        let Ok((snapshot, after)) = record::take(rest, before.as_ref()) else { break };
        for reading in &snapshot.readings {
            blocks[reading.metric_type as usize].push(reading);
        }
        snapshots += 1;
        before = Some(snapshot);
        rest = after;
    }
    let sealed = Sealed { slot: 0, chunks: pack(&blocks).into(), minutes: None, snapshots };
    Ok(Replayed { sealed, damaged: rest.len() })
}

#[cfg(test)]
mod tests;
