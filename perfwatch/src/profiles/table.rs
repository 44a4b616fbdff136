//! Profiles of one kind over some time, and how they are stored.
//!
//! ```text
//! "PWP" version | CRC-32 of what follows | length | all of the following, under zstd:
//! modules, functions, nodes, who, rows, how stacks ended, lost samples; each column by itself
//! ```
//!
//! A table has everything that it refers to: it can be read without another, and removed without one.

use std::sync::Arc;

use super::function::{Function, Stacks, Who};
use super::tree::Node;
use crate::history::Damaged;
use crate::history::chunk::bytes::{Bytes, put_count, put_str, put_varint, unzigzag, zigzag};

const MAGIC: &[u8; 3] = b"PWP";
const VERSION: u8 = 1;
const ZSTD_LEVEL: i32 = 9;
/// More than any table has.
const MAX_LENGTH: usize = 64 << 20;
const MAX_ENTRIES: usize = 4 << 20;

/// How often a stack was seen, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Samples of the CPU, or waits.
    pub samples: u64,
    /// ns of CPU time or of waiting.
    pub value: u64,
}

impl Count {
    pub fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.value += other.value;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub who: u32,
    pub node: u32,
    /// Start of the bucket, µs.
    pub time: i64,
    pub count: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackRow {
    pub who: u32,
    pub time: i64,
    pub stacks: Stacks,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub functions: Vec<Function>,
    /// The root first; frames are numbers of functions.
    pub nodes: Vec<Node<u32>>,
    pub who: Vec<Who>,
    /// By who, node and time.
    pub rows: Vec<Row>,
    pub stacks: Vec<StackRow>,
    /// Samples that were lost, by bucket.
    pub lost: Vec<(i64, u64)>,
}

impl Table {
    pub fn function(&self, node: u32) -> Option<&Function> {
        self.functions.get(self.nodes.get(node as usize)?.frame? as usize)
    }

    /// The first bucket, and the last; `None` if there is nothing.
    pub fn span(&self) -> Option<(i64, i64)> {
        let times = || self.rows.iter().map(|row| row.time).chain(self.lost.iter().map(|(time, _)| *time));
        Some((times().min()?, times().max()?))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 << 10);
        self.put_functions(&mut out);
        put_count(self.nodes.len().saturating_sub(1), &mut out);
        let nodes = || (1u64..).zip(self.nodes.iter().skip(1));
        // Most nodes follow their parents.
        nodes().for_each(|(n, node)| put_varint(n - u64::from(node.parent), &mut out));
        nodes().for_each(|(_, node)| put_varint(node.frame.unwrap_or_default().into(), &mut out));
        put_count(self.who.len(), &mut out);
        for who in &self.who {
            put_str(&who.process, &mut out);
            put_str(&who.thread, &mut out);
            put_str(&who.cgroup, &mut out);
            put_varint(who.pid.into(), &mut out);
        }
        self.put_rows(&mut out);
        put_count(self.stacks.len(), &mut out);
        let mut before = 0;
        for row in &self.stacks {
            put_varint(row.who.into(), &mut out);
            put_time(row.time - before, &mut out);
            before = row.time;
            row.stacks.counts().iter().for_each(|count| put_varint(*count, &mut out));
        }
        put_count(self.lost.len(), &mut out);
        for (time, lost) in &self.lost {
            put_time(*time, &mut out);
            put_varint(*lost, &mut out);
        }
        let mut body = Vec::new();
        put_count(out.len(), &mut body);
        // Compressing in memory cannot fail.
        body.extend(zstd::bulk::compress(&out, ZSTD_LEVEL).unwrap_or_default());
        let mut chunk = MAGIC.to_vec();
        chunk.push(VERSION);
        chunk.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        chunk.extend_from_slice(&body);
        chunk
    }

    fn put_functions(&self, out: &mut Vec<u8>) {
        let mut modules: Vec<&str> = self.functions.iter().map(|function| &*function.module).collect();
        modules.sort_unstable();
        modules.dedup();
        put_count(modules.len(), out);
        modules.iter().for_each(|module| put_str(module, out));
        put_count(self.functions.len(), out);
        for function in &self.functions {
            let module = modules.binary_search(&&*function.module).unwrap_or_default();
            put_count(module, out);
        }
        self.functions.iter().for_each(|function| put_str(&function.name, out));
    }

    fn put_rows(&self, out: &mut Vec<u8>) {
        put_count(self.rows.len(), out);
        let mut before = Row { who: 0, node: 0, time: 0, count: Count::default() };
        let mut times = Vec::new();
        // A stack of one process at several times: only the first says whose it is, the others that they go on.
        let first = self.rows.first().map_or(0, |row| row.time);
        for (n, row) in self.rows.iter().enumerate() {
            let goes_on = n > 0 && row.who == before.who && row.node == before.node;
            let step = i64::from(row.node) - if row.who == before.who { i64::from(before.node) } else { 0 };
            put_varint((row.who - before.who).into(), out);
            put_varint(zigzag(step), out);
            let from = if goes_on {
                before.time
            } else if n > 0 {
                first
            } else {
                0
            };
            put_time(row.time - from, &mut times);
            before = *row;
        }
        out.extend_from_slice(&times);
        self.rows.iter().for_each(|row| put_varint(row.count.samples, out));
        // Samples of a clock all stand for the same time.
        let each = self.rows.first().map_or(0, |row| row.count.value / row.count.samples.max(1));
        let is_exact =
            self.rows.iter().all(|row| row.count.samples.checked_mul(each) == Some(row.count.value));
        put_varint(if is_exact { each } else { 0 }, out);
        if !is_exact {
            self.rows.iter().for_each(|row| put_varint(row.count.value, out));
        }
    }

    pub fn decode(chunk: &[u8]) -> Result<Self, Damaged> {
        let mut bytes = Bytes::new(chunk);
        let [m, a, g, version] = bytes.array()?;
        if [m, a, g] != *MAGIC || version != VERSION {
            return Err(Damaged("it is no profile of this version"));
        }
        if u32::from_le_bytes(bytes.array()?) != crc32fast::hash(bytes.rest()) {
            return Err(Damaged("its checksum is wrong"));
        }
        let length = bytes.count(MAX_LENGTH)?;
        let plain = zstd::bulk::decompress(bytes.rest(), length).map_err(|_| Damaged("it is not zstd"))?;
        let mut bytes = Bytes::new(&plain);
        let bytes = &mut bytes;
        let functions = take_functions(bytes)?;
        let nodes = take_nodes(bytes, functions.len())?;
        let count = bytes.count(MAX_ENTRIES)?;
        let mut texts = Texts::default();
        let who = std::iter::repeat_with(|| {
            Ok(Who {
                process: texts.take(bytes)?,
                thread: texts.take(bytes)?,
                cgroup: texts.take(bytes)?,
                pid: small(bytes.varint()?)?,
            })
        });
        let who: Vec<Who> = who.take(count).collect::<Result<_, _>>()?;
        let rows = take_rows(bytes, who.len(), nodes.len())?;
        let count = bytes.count(MAX_ENTRIES)?;
        let mut time = 0i64;
        let mut stacks = Vec::new();
        for _ in 0..count {
            let of = within(bytes.varint()?, who.len())?;
            time = time.wrapping_add(take_time(bytes)?);
            let mut counts = [0; Stacks::KINDS];
            for count in &mut counts {
                *count = bytes.varint()?;
            }
            stacks.push(StackRow { who: of, time, stacks: Stacks::from_counts(counts) });
        }
        let count = bytes.count(MAX_ENTRIES)?;
        let lost = std::iter::repeat_with(|| Ok((take_time(bytes)?, bytes.varint()?)));
        let lost = lost.take(count).collect::<Result<_, Damaged>>()?;
        Ok(Self { functions, nodes, who, rows, stacks, lost })
    }
}

/// Buckets begin with a minute.
const MINUTE: i64 = 60_000_000;

fn put_time(time: i64, out: &mut Vec<u8>) {
    put_varint(zigzag(time / MINUTE), out);
}

fn take_time(bytes: &mut Bytes<'_>) -> Result<i64, Damaged> {
    Ok(unzigzag(bytes.varint()?).wrapping_mul(MINUTE))
}

/// Texts of which many are the same as the one before.
#[derive(Default)]
struct Texts(std::collections::HashSet<Arc<str>>);

impl Texts {
    fn take(&mut self, bytes: &mut Bytes<'_>) -> Result<Arc<str>, Damaged> {
        let text = bytes.str()?;
        if let Some(known) = self.0.get(text) {
            return Ok(Arc::clone(known));
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        Ok(text)
    }
}

fn take_functions(bytes: &mut Bytes<'_>) -> Result<Vec<Function>, Damaged> {
    let count = bytes.count(bytes.rest().len())?;
    let modules = std::iter::repeat_with(|| bytes.str().map(Arc::<str>::from)).take(count);
    let modules: Vec<Arc<str>> = modules.collect::<Result<_, _>>()?;
    let count = bytes.count(bytes.rest().len())?;
    let numbers = std::iter::repeat_with(|| within(bytes.varint()?, modules.len())).take(count);
    let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
    let function = |number: u32| {
        Ok(Function { name: bytes.str()?.into(), module: Arc::clone(&modules[number as usize]) })
    };
    numbers.into_iter().map(function).collect()
}

fn take_nodes(bytes: &mut Bytes<'_>, functions: usize) -> Result<Vec<Node<u32>>, Damaged> {
    let count = bytes.count(bytes.rest().len())?;
    let mut nodes = vec![Node { parent: 0, frame: None }];
    for n in 1..=count as u64 {
        let parent = n.checked_sub(bytes.varint()?).filter(|parent| *parent < n);
        nodes.push(Node { parent: small(parent.ok_or(Damaged("a node before its parent"))?)?, frame: None });
    }
    for node in nodes.iter_mut().skip(1) {
        node.frame = Some(within(bytes.varint()?, functions)?);
    }
    Ok(nodes)
}

fn take_rows(bytes: &mut Bytes<'_>, who: usize, nodes: usize) -> Result<Vec<Row>, Damaged> {
    let count = bytes.count(bytes.rest().len())?;
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    let mut goes_on = Vec::with_capacity(count);
    let (mut of, mut node) = (0u64, 0i64);
    for n in 0..count {
        let step = bytes.varint()?;
        of = of.saturating_add(step);
        let from = if step == 0 { node } else { 0 };
        let here = from.wrapping_add(unzigzag(bytes.varint()?));
        goes_on.push(n > 0 && step == 0 && here == node);
        node = here;
        let node = within(u64::try_from(node).unwrap_or(u64::MAX), nodes)?;
        rows.push(Row { who: within(of, who)?, node, time: 0, count: Count::default() });
    }
    let (mut first, mut before) = (0i64, 0i64);
    for (n, row) in rows.iter_mut().enumerate() {
        let from = if goes_on[n] { before } else { first };
        row.time = from.wrapping_add(take_time(bytes)?);
        if n == 0 {
            first = row.time;
        }
        before = row.time;
    }
    for row in &mut rows {
        row.count.samples = bytes.varint()?;
    }
    let each = bytes.varint()?;
    for row in &mut rows {
        row.count.value = if each == 0 { bytes.varint()? } else { row.count.samples.saturating_mul(each) };
    }
    Ok(rows)
}

fn small(number: u64) -> Result<u32, Damaged> {
    u32::try_from(number).map_err(|_| Damaged("a number is too large"))
}

fn within(number: u64, count: usize) -> Result<u32, Damaged> {
    let number = small(number)?;
    if (number as usize) < count { Ok(number) } else { Err(Damaged("it refers to what is not there")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profiles::builder::Builder;
    use crate::profiles::testing::{functions, who};

    fn tables() -> impl Strategy<Value = Table> {
        let row = (0..4i64, 0..3u32, "[a-d]{0,5}", 1..5u64, 0..2000u64);
        proptest::collection::vec(row, 0..40).prop_map(|rows| {
            let mut builder = Builder::default();
            for (minute, pid, stack, samples, value) in rows {
                // Some tables are of a clock, whose samples are all alike.
                let value = if value < 1000 { samples * 1000 } else { value };
                let (time, who) = ((minute + 29_000_000) * MINUTE, who("p", pid));
                builder.add(time, &who, &functions(&stack), Count { samples, value });
                builder.add_stacks(time, &who, &Stacks { gone: samples, ..Stacks::default() });
                builder.add_lost(time, samples / 4);
            }
            builder.table()
        })
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read(table in tables()) {
            prop_assert_eq!(Table::decode(&table.encode()), Ok(table));
        }

        #[test]
        fn damage_is_noticed(table in tables(), at in 0usize..10_000, bit in 0u8..8) {
            let mut chunk = table.encode();
            let at = at % chunk.len();
            chunk[at] ^= 1 << bit;
            prop_assert!(Table::decode(&chunk).is_err());
        }

        /// Whoever can write to the database can make a checksum, too.
        #[test]
        fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut body = Vec::new();
            put_count(bytes.len(), &mut body);
            body.extend(zstd::bulk::compress(&bytes, 1).unwrap());
            let mut chunk = MAGIC.to_vec();
            chunk.push(VERSION);
            chunk.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
            chunk.extend_from_slice(&body);
            if let Ok(table) = Table::decode(&chunk) {
                let mut builder = Builder::default();
                builder.merge(&table, Who::clone, |time| time);
            }
        }
    }
}
