//! The format of all chunks: a directory that can be read on its own, and the columns it points to.
//!
//! ```text
//! "PWC" version | CRC-32 of what follows | length of the directory | directory, under zstd | columns, one after another
//! ```
//!
//! The directory has the type, the tier, the times, and for each table its rows' keys, which rows were present when,
//! and the name and length of each column. A column has the first row's values at all of its times, then the second
//! row's: slowly changing values are adjacent.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::bytes::{Bytes, place, put_count, put_str, put_varint};
use super::numbers::{put_integers, put_signed, take_integers, take_signed};
use crate::history::Damaged;
use crate::snapshot::MetricType;
use crate::snapshot::value::{Key, Label};

const MAGIC: &[u8; 3] = b"PWC";
const VERSION: u8 = 1;
/// Above zstd level 3 the extra time isn't worth it for so little text.
const ZSTD_LEVEL: i32 = 3;
/// More than any chunk has, and few enough to allocate for.
const MAX_TIMES: usize = 1 << 20;
const MAX_LABELS: usize = 16;
const MAX_ROWS: usize = 1 << 24;
const MAX_TEXT: usize = 64 << 20;

/// Which rows a table has at each time.
#[derive(Debug, Clone, Default)]
pub(in crate::history) struct Members {
    things: Vec<Key>,
    /// Index of each key; filled when the next key is added.
    index: HashMap<Key, u32>,
    /// Sets of rows that were present together, in order.
    sets: Vec<Set>,
    /// Which set was present at each time.
    of_time: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Set {
    keys: Arc<[Key]>,
    things: Vec<u32>,
}

impl Members {
    /// Adds the rows of the next time.
    pub fn push(&mut self, keys: &Arc<[Key]>) {
        let known = self.of_time.last().map(|last| *last as usize).filter(|last| {
            let known = &self.sets[*last].keys;
            Arc::ptr_eq(known, keys) || known == keys
        });
        let set = known.unwrap_or_else(|| {
            let things = keys.iter().map(|key| self.thing(key)).collect();
            self.sets.push(Set { keys: Arc::clone(keys), things });
            self.sets.len() - 1
        });
        self.of_time.push(set as u32);
    }

    fn thing(&mut self, key: &Key) -> u32 {
        if self.index.len() < self.things.len() {
            self.index = self.things.iter().cloned().zip(0..).collect();
        }
        if let Some(thing) = self.index.get(key) {
            return *thing;
        }
        let thing = self.things.len() as u32;
        self.things.push(key.clone());
        self.index.insert(key.clone(), thing);
        thing
    }

    pub fn keys(&self, time: usize) -> &Arc<[Key]> {
        &self.sets[self.of_time[time] as usize].keys
    }

    /// The first row of each time, then the total number of rows.
    pub fn rows(&self) -> Vec<usize> {
        let mut end = 0;
        let mut rows = vec![0];
        for set in &self.of_time {
            end += self.sets[*set as usize].things.len();
            rows.push(end);
        }
        rows
    }

    /// Row numbers in column order: by key, then by time. `None` if that is already their order.
    pub fn by_thing(&self) -> Option<Vec<u32>> {
        if self.things.len() <= 1 && self.sets.iter().all(|set| set.things.len() <= 1) {
            return None;
        }
        let mut counts = vec![0u32; self.things.len() + 1];
        let things = || self.of_time.iter().flat_map(|set| &self.sets[*set as usize].things);
        for thing in things() {
            counts[*thing as usize + 1] += 1;
        }
        for at in 1..counts.len() {
            counts[at] += counts[at - 1];
        }
        let rows = counts.last().copied().unwrap_or_default() as usize;
        let mut order = vec![0; rows];
        for (row, thing) in (0u32..).zip(things()) {
            let place = &mut counts[*thing as usize];
            order[*place as usize] = row;
            *place += 1;
        }
        Some(order)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.things.len(), out);
        self.things.iter().for_each(|key| put_key(key, out));
        put_count(self.sets.len(), out);
        let lengths: Vec<u64> = self.sets.iter().map(|set| set.things.len() as u64).collect();
        put_integers(&lengths, out);
        let things: Vec<u64> = self.sets.iter().flat_map(|set| &set.things).map(|n| u64::from(*n)).collect();
        put_integers(&things, out);
        put_integers(&self.of_time.iter().map(|n| u64::from(*n)).collect::<Vec<_>>(), out);
    }

    fn take(bytes: &mut Bytes<'_>, times: usize) -> Result<Self, Damaged> {
        let count = bytes.count(bytes.rest().len())?;
        let things: Vec<Key> =
            std::iter::repeat_with(|| take_key(bytes)).take(count).collect::<Result<_, _>>()?;
        let count = bytes.count(times)?;
        let lengths = take_integers(bytes, count)?;
        let total: u64 = lengths.iter().fold(0, |sum, n| sum.saturating_add(*n));
        let total = usize::try_from(total).ok().filter(|n| *n <= MAX_ROWS).ok_or(Damaged("too many rows"))?;
        let all = take_integers(bytes, total)?;
        let mut all = all.into_iter();
        let mut sets = Vec::with_capacity(count);
        for length in lengths {
            let mut set = Vec::new();
            let mut keys = Vec::new();
            for thing in all.by_ref().take(length as usize) {
                let key = things.get(place(thing)).ok_or(Damaged("a thing that is not there"))?;
                keys.push(key.clone());
                set.push(thing as u32);
            }
            sets.push(Set { keys: keys.into(), things: set });
        }
        let mut rows = 0;
        let of_time = take_integers(bytes, times)?.into_iter().map(|set| {
            let found = sets.get(place(set)).ok_or(Damaged("a set that is not there"))?;
            rows += found.things.len();
            if rows > MAX_ROWS { Err(Damaged("too many rows")) } else { Ok(set as u32) }
        });
        let of_time = of_time.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { things, index: HashMap::new(), sets, of_time })
    }
}

/// Which of these times, ascending, are in a range.
pub(super) fn times_within(times: &[i64], range: &Range<i64>) -> Range<usize> {
    let start = times.partition_point(|at| *at < range.start);
    start..times.partition_point(|at| *at < range.end).max(start)
}

/// A row's key.
pub(in crate::history) fn put_key(key: &[Label], out: &mut Vec<u8>) {
    put_count(key.len(), out);
    for label in key {
        match label {
            Label::Unnamed => out.push(0),
            Label::Number(n) => {
                out.push(1);
                put_varint(*n, out);
            }
            Label::Text(text) => {
                out.push(2);
                put_str(text, out);
            }
        }
    }
}

pub(in crate::history) fn take_key(bytes: &mut Bytes<'_>) -> Result<Key, Damaged> {
    let labels = bytes.count(MAX_LABELS)?;
    let label = || match bytes.byte()? {
        0 => Ok(Label::Unnamed),
        1 => Ok(Label::Number(bytes.varint()?)),
        2 => Ok(Label::text(bytes.str()?)),
        _ => Err(Damaged("unknown kind of label")),
    };
    std::iter::repeat_with(label).take(labels).collect()
}

/// One table of a chunk: its rows and the location of its columns.
#[derive(Debug, Default)]
pub(in crate::history) struct FrameTable {
    pub path: String,
    pub members: Members,
    columns: Vec<(String, Range<usize>)>,
}

/// A chunk whose directory has been read.
#[derive(Debug)]
pub(in crate::history) struct Frame<'a> {
    pub metric_type: MetricType,
    /// Seconds of a bucket; 0 for raw readings.
    pub tier: i64,
    /// µs since the epoch, ascending.
    pub times: Vec<i64>,
    /// Data per time that belongs to no table; the format is up to the caller.
    pub notes: Vec<u8>,
    pub tables: Vec<FrameTable>,
    columns: &'a [u8],
}

impl Frame<'_> {
    /// The bytes of a table's column, if the chunk has it.
    pub fn column(&self, table: &FrameTable, name: &str) -> Result<Option<Bytes<'_>>, Damaged> {
        let Some((_, range)) = table.columns.iter().find(|(known, _)| known == name) else { return Ok(None) };
        let bytes = self.columns.get(range.clone()).ok_or(Damaged("a column is cut off"))?;
        Ok(Some(Bytes::new(bytes)))
    }
}

/// Builds a chunk.
#[derive(Debug)]
pub(in crate::history) struct FrameWriter {
    directory: Vec<u8>,
    columns: Vec<u8>,
}

impl FrameWriter {
    pub fn new(metric_type: MetricType, tier: i64, times: &[i64], notes: &[u8], tables: usize) -> Self {
        let mut directory = Vec::with_capacity(4096);
        put_str(metric_type.as_str(), &mut directory);
        put_varint(tier.unsigned_abs(), &mut directory);
        put_count(times.len(), &mut directory);
        put_signed(times.iter().copied(), &mut directory);
        put_count(notes.len(), &mut directory);
        directory.extend_from_slice(notes);
        put_count(tables, &mut directory);
        Self { directory, columns: Vec::with_capacity(16 << 10) }
    }

    pub fn table(&mut self, path: &str, members: &Members, columns: usize) {
        put_str(path, &mut self.directory);
        members.put(&mut self.directory);
        put_count(columns, &mut self.directory);
    }

    /// Adds a column to the most recently started table.
    pub fn column(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.columns.len();
        write(&mut self.columns);
        put_str(name, &mut self.directory);
        put_count(self.columns.len() - start, &mut self.directory);
    }

    pub fn finish(self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.columns.len() + self.directory.len() / 2);
        put_count(self.directory.len(), &mut body);
        // Compressing in memory cannot fail.
        let directory = compress(&self.directory).unwrap_or_default();
        put_count(directory.len(), &mut body);
        body.extend_from_slice(&directory);
        body.extend_from_slice(&self.columns);
        let mut chunk = Vec::with_capacity(body.len() + 8);
        chunk.extend_from_slice(MAGIC);
        chunk.push(VERSION);
        chunk.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        chunk.extend_from_slice(&body);
        chunk
    }
}

impl<'a> Frame<'a> {
    pub fn read(chunk: &'a [u8]) -> Result<Self, Damaged> {
        let mut bytes = Bytes::new(chunk);
        let [m, a, g, version] = bytes.array()?;
        if [m, a, g] != *MAGIC {
            return Err(Damaged("it is no chunk"));
        }
        if version != VERSION {
            return Err(Damaged("it is of an unknown version"));
        }
        if u32::from_le_bytes(bytes.array()?) != crc32fast::hash(bytes.rest()) {
            return Err(Damaged("its checksum is wrong"));
        }
        let length = bytes.count(MAX_TEXT)?;
        let packed = bytes.count(bytes.rest().len())?;
        let directory =
            decompress(bytes.take(packed)?, length).map_err(|_| Damaged("its directory is not zstd"))?;
        let columns = bytes.rest();
        let mut bytes = Bytes::new(&directory);
        let metric_type = MetricType::parse(bytes.str()?).ok_or(Damaged("it is of an unknown type"))?;
        let tier = i64::try_from(bytes.varint()?).map_err(|_| Damaged("it is of no tier"))?;
        let count = bytes.count(MAX_TIMES)?;
        let times = take_signed(&mut bytes, count)?;
        if !times.is_sorted_by(|a, b| a < b) {
            return Err(Damaged("its times are not in order"));
        }
        let length = bytes.count(bytes.rest().len())?;
        let notes = bytes.take(length)?.to_vec();
        let mut at = 0usize;
        let count = bytes.count(bytes.rest().len())?;
        let mut tables = Vec::with_capacity(count);
        for _ in 0..count {
            let path = bytes.str()?.to_owned();
            let members = Members::take(&mut bytes, times.len())?;
            let count = bytes.count(bytes.rest().len())?;
            let mut table = FrameTable { path, members, columns: Vec::with_capacity(count) };
            for _ in 0..count {
                let name = bytes.str()?.to_owned();
                let end = at.saturating_add(bytes.count(columns.len())?);
                table.columns.push((name, at..end));
                at = end;
            }
            tables.push(table);
        }
        Ok(Self { metric_type, tier, times, notes, tables, columns })
    }
}

/// What a chunk says of itself.
#[derive(Debug)]
pub struct Outline {
    pub metric_type: MetricType,
    /// Seconds; 0 for readings.
    pub tier: i64,
    /// µs, ascending.
    pub times: Vec<i64>,
}

impl Outline {
    /// Checks that a chunk is whole, and reads its directory but none of its columns.
    pub fn read(chunk: &[u8]) -> Result<Self, Damaged> {
        let Frame { metric_type, tier, times, .. } = Frame::read(chunk)?;
        Ok(Self { metric_type, tier, times })
    }
}

/// Each thread keeps what zstd compresses with: making it anew takes longer than a few texts do.
fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static KEPT: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    }
    KEPT.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(kept) => kept,
            none => none.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.compress(plain)
    })
}

/// Each thread keeps what zstd decompresses with: making it anew takes longer than a small directory does.
fn decompress(packed: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static KEPT: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    KEPT.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(kept) => kept,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(packed, length)
    })
}

/// Texts that mostly repeat: each distinct text once, under zstd where that is shorter, then an index per row.
pub(in crate::history) fn put_texts<'t>(texts: impl Iterator<Item = &'t Arc<str>>, out: &mut Vec<u8>) {
    let mut known: HashMap<&str, u64> = HashMap::new();
    let mut distinct = Vec::new();
    let mut numbers = Vec::new();
    for text in texts {
        let next = known.len() as u64;
        let number = *known.entry(text).or_insert_with(|| {
            put_str(text, &mut distinct);
            next
        });
        numbers.push(number);
    }
    put_count(known.len(), out);
    put_count(distinct.len(), out);
    let packed = if distinct.len() > 64 { compress(&distinct).ok() } else { None };
    match packed.filter(|packed| packed.len() < distinct.len()) {
        Some(packed) => {
            put_count(packed.len(), out);
            out.extend_from_slice(&packed);
        }
        None => {
            put_count(0, out);
            out.extend_from_slice(&distinct);
        }
    }
    put_integers(&numbers, out);
}

pub(in crate::history) fn take_texts(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<Arc<str>>, Damaged> {
    let Texts { distinct, numbers } = take_distinct_texts(bytes, count)?;
    Ok(numbers.into_iter().map(|number| Arc::clone(&distinct[place(number)])).collect())
}

/// Texts as they are stored.
pub(in crate::history) struct Texts {
    pub distinct: Vec<Arc<str>>,
    /// Which text each place has; all of them are there.
    pub numbers: Vec<u64>,
}

pub(in crate::history) fn take_distinct_texts(bytes: &mut Bytes<'_>, count: usize) -> Result<Texts, Damaged> {
    let known = bytes.count(count)?;
    let length = bytes.count(MAX_TEXT)?;
    let packed = bytes.count(bytes.rest().len())?;
    let unpacked;
    let mut texts = if packed == 0 {
        Bytes::new(bytes.take(length)?)
    } else {
        unpacked = decompress(bytes.take(packed)?, length).map_err(|_| Damaged("its texts are not zstd"))?;
        Bytes::new(&unpacked)
    };
    let distinct = std::iter::repeat_with(|| texts.str().map(Arc::from)).take(known);
    let distinct = distinct.collect::<Result<Vec<Arc<str>>, _>>()?;
    let numbers = take_integers(bytes, count)?;
    if numbers.iter().any(|number| place(*number) >= distinct.len()) {
        return Err(Damaged("a text that is not there"));
    }
    Ok(Texts { distinct, numbers })
}
