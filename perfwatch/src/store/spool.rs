//! Snapshots kept on disk until they are in the store: a bounded queue of files, oldest dropped first.
//!
//! A file holds records, one per snapshot: length, CRC-32, deflated rows. Records are appended to the newest
//! file and read from the oldest, which is deleted once all of it is stored. A crash can cut only the last
//! record short; it is left out when the files are read again. What was replayed but not yet deleted is
//! replayed again, which changes nothing, because the store keeps a row once.
//!
//! What waits some seconds for its batch is only noted, which is enough should the process be killed; what waits for a
//! store that is away is compressed and synced.
//!
//! Everything here waits for the disk: call it where waiting is allowed.

mod record;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Row;

const EXTENSION: &str = "spool";
/// The spool is this many files at most, so that making room drops a small part of it.
const FILES: u64 = 16;
/// Read at a time, deflated: a few hundred kilobytes of documents.
const CHUNK: usize = 128 << 10;
/// Snapshots in a chunk at most.
const CHUNK_SNAPSHOTS: usize = 64;

#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    /// Oldest first.
    files: VecDeque<Segment>,
    /// The newest file, open for appending.
    tail: Option<File>,
    next_number: u64,
    /// Where the chunk that was read last ends in the oldest file, and how many records it has.
    taken: Option<(u64, u64)>,
    /// What is noted, at every tick about as much.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Of whole records.
    bytes: u64,
    /// Not yet replayed.
    records: u64,
    /// Where the first of them begins.
    start: u64,
}

impl Spool {
    /// Opens the spool in `dir`, with whatever an earlier run left there.
    pub fn open(dir: &Path, max_bytes: u64) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == EXTENSION)
                && let Some(number) = path.file_stem().and_then(|s| s.to_str()?.parse().ok())
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let next_number = numbers.last().map_or(1, |n| n + 1);
        let mut spool = Self {
            dir: dir.to_owned(),
            max_bytes,
            files: VecDeque::new(),
            tail: None,
            next_number,
            taken: None,
            buffer: Vec::new(),
        };
        for number in numbers {
            let (records, bytes) = record::measure(&File::open(spool.path(number))?)?;
            if records == 0 {
                std::fs::remove_file(spool.path(number))?;
            } else {
                spool.files.push_back(Segment { number, bytes, records, start: 0 });
            }
        }
        Ok(spool)
    }

    /// Snapshots that wait.
    pub fn len(&self) -> u64 {
        self.files.iter().map(|f| f.records).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// On disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// Appends snapshots (each the rows of one tick) and has them on disk when it returns. Returns how many older
    /// ones had to make room. On an error the first `written` of them are kept and none is half written.
    pub fn push(&mut self, snapshots: &[Vec<Row>], written: &mut usize) -> io::Result<u64> {
        let mut dropped = 0;
        for snapshot in snapshots {
            let record = record::encode(snapshot);
            self.have_room(record.len())?;
            // The newest file is never dropped: it takes what is written now.
            while self.bytes() + record.len() as u64 > self.max_bytes && self.files.len() > 1 {
                dropped += self.drop_oldest()?;
            }
            self.append(&record)?;
            *written += 1;
        }
        self.sync()?;
        Ok(dropped)
    }

    /// Appends snapshots so that they outlive this process, though not a power cut, at the least cost. Drops nothing:
    /// for the few that memory holds as well.
    pub fn note(&mut self, snapshots: &[Vec<Row>], written: &mut usize) -> io::Result<()> {
        for snapshot in snapshots {
            let mut record = std::mem::take(&mut self.buffer);
            record::encode_plain(snapshot, &mut record);
            let appended = self.have_room(record.len()).and_then(|()| self.append(&record));
            self.buffer = record;
            appended?;
            *written += 1;
        }
        Ok(())
    }

    /// Waits until what was appended would outlive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.tail.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// Makes sure that there is a file to append so many bytes to.
    fn have_room(&mut self, length: usize) -> io::Result<()> {
        let length = length as u64;
        let full = (self.max_bytes / FILES).max(length);
        if self.tail.is_none() || self.files.back().is_none_or(|f| f.bytes + length > full) {
            self.start_file()?;
        }
        Ok(())
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let (Some(tail), Some(file)) = (&mut self.tail, self.files.back_mut()) else {
            return Err(io::Error::other("the spool has no file to write to"));
        };
        if let Err(error) = tail.write_all(record) {
            // Half a record would hide what comes after it. Where not even this works, the file is left alone.
            if tail.set_len(file.bytes).is_err() {
                self.tail = None;
            }
            return Err(error);
        }
        file.bytes += record.len() as u64;
        file.records += 1;
        Ok(())
    }

    fn start_file(&mut self) -> io::Result<()> {
        // An empty file is left from a write that failed.
        if self.tail.is_some() && self.files.back().is_some_and(|f| f.bytes == 0) {
            return Ok(());
        }
        // What was only noted in it, too: nothing looks at it again.
        self.sync()?;
        let number = self.next_number;
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path(number))?;
        self.next_number += 1;
        self.files.push_back(Segment { number, bytes: 0, records: 0, start: 0 });
        self.tail = Some(file);
        Ok(())
    }

    fn drop_oldest(&mut self) -> io::Result<u64> {
        let Some(oldest) = self.files.pop_front() else { return Ok(0) };
        self.taken = None;
        // One that cannot be removed is replayed at the next start, to no effect.
        std::fs::remove_file(self.path(oldest.number))?;
        Ok(oldest.records)
    }

    /// The oldest snapshots, in order; they stay until [`Self::advance`]. Empty when nothing waits.
    pub fn oldest(&mut self) -> io::Result<Vec<Row>> {
        while let Some(file) = self.files.front() {
            let opened = File::open(self.path(file.number))?;
            let longest = CHUNK.max(usize_of(record_length(&opened, file, file.start)?));
            let mut bytes = vec![0; longest.min(usize_of(file.bytes - file.start))];
            opened.read_exact_at(&mut bytes, file.start)?;
            let chunk = record::decode(&bytes, CHUNK_SNAPSHOTS);
            if chunk.records > 0 {
                self.taken = Some((file.start + chunk.bytes as u64, chunk.records));
                return Ok(chunk.rows);
            }
            if file.records > 0 {
                tracing::error!(lost = file.records, "a file of the spool is damaged");
            }
            self.finish_oldest()?;
        }
        Ok(Vec::new())
    }

    /// Forgets what [`Self::oldest`] returned last: it is stored.
    pub fn advance(&mut self) -> io::Result<()> {
        let Some((end, records)) = self.taken.take() else { return Ok(()) };
        let Some(file) = self.files.front_mut() else { return Ok(()) };
        file.start = end;
        file.records = file.records.saturating_sub(records);
        if end >= file.bytes {
            self.finish_oldest()?;
        }
        Ok(())
    }

    /// Forgets the oldest `count` snapshots: they are stored.
    pub fn forget(&mut self, mut count: u64) -> io::Result<()> {
        self.taken = None;
        while let Some(file) = self.files.front()
            && count > 0
        {
            if file.records <= count {
                count -= file.records;
                self.finish_oldest()?;
                continue;
            }
            let opened = File::open(self.path(file.number))?;
            let mut end = file.start;
            for _ in 0..count {
                end += record_length(&opened, file, end)?;
            }
            self.taken = Some((end, count));
            return self.advance();
        }
        Ok(())
    }

    fn finish_oldest(&mut self) -> io::Result<()> {
        if self.files.len() == 1 {
            self.tail = None;
        }
        self.drop_oldest().map(drop)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:012}.{EXTENSION}"))
    }
}

/// Bytes of the record that begins at `start`.
fn record_length(opened: &File, file: &Segment, start: u64) -> io::Result<u64> {
    if start + 4 > file.bytes {
        return Ok(0);
    }
    let mut length = [0; 4];
    opened.read_exact_at(&mut length, start)?;
    Ok(record::HEAD as u64 + u64::from(u32::from_le_bytes(length)))
}

fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
