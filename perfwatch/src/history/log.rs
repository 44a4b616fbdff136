//! The log on disk: every snapshot that is not stored yet, so that not even a kill loses one.
//!
//! A file holds one slot. It begins with a few letters and a version; then come records, one for each snapshot: length,
//! CRC-32, and what has changed since the record before. A record that is cut off or damaged ends the file. Once a slot
//! is stored its file is removed. While the store is away a slot that is over is packed into chunks, which take its
//! file's place.
//!
//! Everything here waits for the disk: call it where waiting is allowed.

mod record;

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
/// What could not be read, or stored, is kept for who wants to know.
const DAMAGED: &str = "damaged";
const REFUSED: &str = "refused";
const HEADER: &[u8; 4] = b"PWL1";

#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    max_bytes: u64,
    /// Slots that wait, oldest first; the last may be open.
    files: VecDeque<Segment>,
    /// The last of them is the open slot's, whether it could be written to or not: each slot has its own.
    slot_is_open: bool,
    open: Option<Open>,
    next_number: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    extension: &'static str,
    bytes: u64,
    snapshots: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The one noted last, which the next is compared with.
    before: Option<Arc<Snapshot>>,
}

/// A slot that was read from disk.
#[derive(Debug)]
pub struct Replayed {
    pub sealed: Sealed,
    /// Bytes at the end that could not be read.
    pub damaged: u64,
}

impl Log {
    /// Opens the log in `dir`, with whatever an earlier run left there.
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
            if let Some(number) = path.file_stem().and_then(|s| s.to_str()?.parse().ok()) {
                files.push(Segment { number, extension, bytes: entry.metadata()?.len(), snapshots: 0 });
            }
        }
        files.sort_unstable_by_key(|file| (file.number, file.extension != CHUNKS));
        // Chunks are complete before their log is removed.
        files.dedup_by_key(|file| file.number);
        let next_number = files.last().map_or(1, |file| file.number + 1);
        Ok(Self {
            dir: dir.to_owned(),
            max_bytes,
            files: files.into(),
            slot_is_open: false,
            open: None,
            next_number,
            buffer: Vec::new(),
        })
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

    /// Snapshots that this run has put here and that are not stored.
    pub fn snapshots(&self) -> u64 {
        self.files.iter().map(|file| file.snapshots).sum()
    }

    /// Notes a snapshot of the open slot: it outlives this process, though not a power cut.
    pub fn note(&mut self, snapshot: &Arc<Snapshot>) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let noted = self.note_with(snapshot, &mut buffer);
        self.buffer = buffer;
        noted
    }

    fn note_with(&mut self, snapshot: &Arc<Snapshot>, buffer: &mut Vec<u8>) -> io::Result<()> {
        if !self.slot_is_open {
            self.files.push_back(Segment {
                number: self.next_number,
                extension: LOG,
                bytes: 0,
                snapshots: 0,
            });
            self.next_number += 1;
            self.slot_is_open = true;
        }
        if self.open.is_none()
            && let Some(segment) = self.files.back_mut()
        {
            // What an earlier attempt left half written does not count, and nothing that follows may refer to it.
            let path = self.dir.join(format!("{:012}.{LOG}", segment.number));
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            file.set_len(segment.bytes)?;
            if segment.bytes == 0 {
                file.write_all(HEADER)?;
                segment.bytes = HEADER.len() as u64;
            }
            self.open = Some(Open { file, before: None });
        }
        let (Some(open), Some(segment)) = (&mut self.open, self.files.back_mut()) else {
            return Err(io::Error::other("the log has no file to write to"));
        };
        record::put(snapshot, open.before.as_deref(), buffer);
        if let Err(error) = open.file.write_all(buffer) {
            // Half a record would hide what comes after it. Where not even this works, the file is left alone.
            if open.file.set_len(segment.bytes).is_err() {
                self.open = None;
            }
            return Err(error);
        }
        segment.bytes += buffer.len() as u64;
        segment.snapshots += 1;
        open.before = Some(Arc::clone(snapshot));
        Ok(())
    }

    /// The open slot is over.
    pub fn end_slot(&mut self) {
        self.slot_is_open = false;
        self.open = None;
    }

    pub fn has_open(&self) -> bool {
        self.slot_is_open
    }

    /// Whether the oldest slot on disk is the open one.
    pub fn oldest_is_open(&self) -> bool {
        self.slot_is_open && self.files.len() == 1
    }

    /// The oldest slot that is over; what cannot be read at all is set aside.
    pub fn oldest(&mut self) -> io::Result<Option<Replayed>> {
        while let Some(file) = self.files.front()
            && !self.oldest_is_open()
        {
            let path = self.path(file.number, file.extension);
            let bytes = match std::fs::read(&path) {
                // It could not be written.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.forget_oldest()?;
                    continue;
                }
                read => read?,
            };
            let replayed =
                if file.extension == CHUNKS { record::take_chunks(&bytes) } else { replay(&bytes) };
            match replayed {
                Ok(replayed) if replayed.sealed.snapshots > 0 => return Ok(Some(replayed)),
                Ok(Replayed { damaged: 0, .. }) => {}
                Ok(_) | Err(_) => {
                    let aside = path.with_extension(DAMAGED);
                    tracing::error!(path = %aside.display(), "cannot read a slot of the log on disk; set aside");
                    std::fs::rename(&path, aside)?;
                    self.files.pop_front();
                    continue;
                }
            }
            self.forget_oldest()?;
        }
        Ok(None)
    }

    /// The oldest slot is stored.
    pub fn forget_oldest(&mut self) -> io::Result<()> {
        let Some(file) = self.pop_oldest() else { return Ok(()) };
        // One that cannot be removed is replayed at the next start, to no effect.
        match std::fs::remove_file(self.path(file.number, file.extension)) {
            // It could not be written.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn pop_oldest(&mut self) -> Option<Segment> {
        let oldest = self.files.pop_front();
        if self.files.is_empty() {
            self.end_slot();
        }
        oldest
    }

    /// Sets the oldest slot aside, for who wants to know why the store refuses it; returns under which name, and of how
    /// many snapshots of this run it is.
    pub fn set_aside_oldest(&mut self) -> io::Result<(String, u64)> {
        let Some(file) = self.pop_oldest() else { return Ok((String::new(), 0)) };
        let path = self.path(file.number, file.extension);
        let aside = path.with_extension(REFUSED);
        std::fs::rename(path, &aside)?;
        Ok((aside.display().to_string(), file.snapshots))
    }

    /// Has the chunks of a slot that is over in place of its snapshots, for a store that is away; on disk when it
    /// returns. `behind` slots are between it and the newest. Returns how many older snapshots had to make room.
    pub fn pack(&mut self, sealed: &Sealed, behind: usize) -> io::Result<u64> {
        let at = self.files.len().checked_sub(behind + 1);
        if let Some(file) = at.and_then(|at| self.files.get_mut(at))
            && file.extension == LOG
        {
            let number = file.number;
            let mut bytes = Vec::new();
            record::put_chunks(sealed, &mut bytes);
            let path = self.dir.join(format!("{number:012}.{CHUNKS}"));
            let unfinished = path.with_extension("unfinished");
            let mut written =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            written.write_all(&bytes)?;
            written.sync_data()?;
            std::fs::rename(&unfinished, &path)?;
            let _ = std::fs::remove_file(self.dir.join(format!("{number:012}.{LOG}")));
            file.extension = CHUNKS;
            file.bytes = bytes.len() as u64;
            file.snapshots = sealed.snapshots;
        }
        let mut dropped = 0;
        // The newest is never dropped: it takes what is written now.
        while self.bytes() > self.max_bytes && self.files.len() > 1 {
            dropped += self.files.front().map_or(0, |file| file.snapshots.max(1));
            self.forget_oldest()?;
        }
        Ok(dropped)
    }

    /// Waits until what was noted would outlive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    fn path(&self, number: u64, extension: &str) -> PathBuf {
        self.dir.join(format!("{number:012}.{extension}"))
    }
}

/// Reads a log as far as it can be read.
fn replay(bytes: &[u8]) -> Result<Replayed, Damaged> {
    let Some(mut rest) = bytes.strip_prefix(HEADER) else {
        return if HEADER.starts_with(bytes) {
            Ok(Replayed {
                sealed: Sealed { chunks: Arc::default(), minutes: None, snapshots: 0 },
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
    let sealed = Sealed { chunks: pack(&blocks).into(), minutes: None, snapshots };
    Ok(Replayed { sealed, damaged: rest.len() as u64 })
}

#[cfg(test)]
mod tests;
