//! The readings that the rules of a hub need, on their way there.
//!
//! A hub names the columns that its rules read ([`Wanted`]). A machine answers with these only, of a few ticks at once
//! ([`Gatherer`]): of each table the keys and values, relative to the tick before in the same message. Positions are those of
//! the hub's list, so that machine and hub may be of different versions; each message can be read without the others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;

use super::compile::Compiled;
use super::evaluator::Tick;
use super::rows::{Rows, input_of};
use super::window::Input;
use crate::history::Damaged;
use crate::history::chunk::bytes::{Bytes as Cursor, put_count, put_str, put_varint, unzigzag, zigzag};
use crate::history::log::record::{put_keys, put_values, take_keys, take_values};
use crate::snapshot::layout::Layout;
use crate::snapshot::value::{Key, Value};
use crate::snapshot::{MetricType, Reading, Snapshot};
use crate::store::{from_micros, micros};

const MAGIC: &[u8; 3] = b"PWI";
const VERSION: u8 = 1;
/// Magic, version and checksum.
const HEAD: usize = 8;
/// The first line of a hub's list.
const TITLE: &str = "PerfWatch wants 1";
/// More than any rules need.
const MAX_WANTED: usize = 64 << 10;
/// Ticks in one message at most.
pub const MAX_TICKS: usize = 60;
/// Rows of a table that once had a value are remembered up to so many.
const MAX_KNOWN: usize = 10_000;

mod tag {
    pub const READING: u8 = 0;
    /// With the document's reason for missing values.
    pub const EXPLAINED: u8 = 1;
    pub const FAILED: u8 = 2;
    /// There is nothing to measure, and why.
    pub const ABSENT: u8 = 3;
    pub const NONE: u8 = 4;
}

/// The columns that a hub's rules read.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Tells lists from each other.
    id: u32,
    text: Bytes,
    types: Vec<WantedType>,
}

#[derive(Debug, Clone)]
struct WantedType {
    /// `None`: this version does not have it.
    metric_type: Option<MetricType>,
    tables: Vec<WantedTable>,
}

#[derive(Debug, Clone)]
struct WantedTable {
    /// Its position in the layout, as this version has it.
    place: Option<usize>,
    columns: Vec<Option<usize>>,
}

impl Wanted {
    /// What these rules read of machines.
    pub fn of<'a>(rules: impl Iterator<Item = &'a Compiled>) -> Self {
        let mut tables: BTreeMap<(MetricType, usize), BTreeSet<usize>> = BTreeMap::new();
        for rule in rules.filter(|rule| rule.metric_type != MetricType::Presence) {
            let columns = tables.entry((rule.metric_type, rule.table)).or_default();
            columns.extend([Some(rule.column), rule.of, rule.histogram].into_iter().flatten());
        }
        let mut text = format!("{TITLE}\n");
        for ((metric_type, table), columns) in tables {
            let of = &Layout::of(metric_type).tables[table];
            // Writing to a String cannot fail.
            let _ = write!(text, "{}\t{}", metric_type.as_str(), of.path);
            for column in columns {
                let _ = write!(text, "\t{}", of.columns[column].name);
            }
            text.push('\n');
        }
        Self::parse(&text.into()).unwrap_or_else(|| Self { id: 0, text: Bytes::new(), types: Vec::new() })
    }

    /// Reads a hub's list; `None` if it is none.
    pub fn parse(text: &Bytes) -> Option<Self> {
        if text.len() > MAX_WANTED {
            return None;
        }
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        lines.next().filter(|line| *line == TITLE)?;
        let mut types: Vec<(&str, WantedType)> = Vec::new();
        for line in lines {
            let mut parts = line.split('\t');
            let (name, path) = (parts.next()?, parts.next()?);
            let metric_type = MetricType::parse(name);
            let layout = metric_type.map(Layout::of);
            let place = layout.and_then(|layout| layout.tables.iter().position(|of| of.path == path));
            let of = layout.zip(place).map(|(layout, place)| &layout.tables[place]);
            let columns = parts.map(|name| of.and_then(|of| of.column(name))).collect();
            let table = WantedTable { place, columns };
            match types.last_mut() {
                Some((last, of)) if *last == name => of.tables.push(table),
                _ => types.push((name, WantedType { metric_type, tables: vec![table] })),
            }
        }
        let types = types.into_iter().map(|(_, of)| of).collect();
        Some(Self { id: crc32fast::hash(text), text: text.clone(), types })
    }

    /// As it is sent.
    pub fn text(&self) -> Bytes {
        self.text.clone()
    }
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What is known of one type at a tick.
#[derive(Debug, Clone, Default)]
enum Part {
    #[default]
    None,
    Absent(Arc<str>),
    Reading(Columns),
}

/// The wanted columns of a document.
#[derive(Debug, Clone)]
pub struct Columns {
    wanted: Arc<Wanted>,
    /// Its position among the wanted types.
    at: usize,
    error: Option<Arc<str>>,
    reason: Option<Arc<str>>,
    tables: Vec<Rectangle>,
}

/// Rows, and their values in the order of the wanted columns.
#[derive(Debug, Clone, Default)]
struct Rectangle {
    keys: Arc<[Key]>,
    values: Vec<Value>,
}

impl Columns {
    fn wanted(&self, table: usize) -> Option<(&WantedTable, &Rectangle)> {
        let of = &self.wanted.types[self.at].tables;
        of.iter().zip(&self.tables).find(|(of, _)| of.place == Some(table))
    }
}

impl Rows for Columns {
    fn error(&self) -> Option<Arc<str>> {
        self.error.clone()
    }

    fn keys(&self, table: usize) -> &[Key] {
        self.wanted(table).map_or(&[], |(_, rows)| &rows.keys)
    }

    fn input(&self, table: usize, row: usize, column: usize, is: Option<&str>) -> Input {
        let value = self.wanted(table).and_then(|(of, rows)| {
            let at = of.columns.iter().position(|known| *known == Some(column))?;
            rows.values.get(row * of.columns.len() + at)
        });
        value.map_or(Input::Nothing, |value| input_of(value, is))
    }

    fn reason(&self) -> Option<Arc<str>> {
        self.reason.clone()
    }
}

/// A machine's tick, as a hub knows it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// By the machine's clock, µs.
    pub at: i64,
    /// About how far apart ticks are, µs.
    pub apart: i64,
    wanted: Arc<Wanted>,
    parts: Vec<Part>,
}

impl Heard {
    /// A time of which nothing is known.
    pub fn nothing(at: i64, apart: i64, wanted: &Arc<Wanted>) -> Self {
        Self { at, apart, wanted: Arc::clone(wanted), parts: Vec::new() }
    }

    fn part(&self, of: MetricType) -> Option<&Part> {
        let at = self.wanted.types.iter().position(|wanted| wanted.metric_type == Some(of))?;
        self.parts.get(at)
    }
}

impl Tick for Heard {
    type Rows = Columns;

    fn at(&self) -> i64 {
        self.at
    }

    fn apart(&self) -> i64 {
        self.apart
    }

    fn rows(&self, of: MetricType) -> Option<&Columns> {
        match self.part(of) {
            Some(Part::Reading(columns)) => Some(columns),
            _ => None,
        }
    }

    fn absent(&self, of: MetricType) -> Option<Arc<str>> {
        match self.part(of) {
            Some(Part::Absent(reason)) => Some(Arc::clone(reason)),
            _ => None,
        }
    }

    fn covers(&self, of: MetricType) -> bool {
        of != MetricType::Presence
    }
}

/// Makes messages of a machine's snapshots.
#[derive(Debug)]
pub struct Gatherer {
    wanted: Arc<Wanted>,
    host: String,
    ticks: usize,
    body: Vec<u8>,
    last: i64,
    /// By type: its tables at the last tick of this message.
    before: Vec<Vec<Rectangle>>,
    /// By type and table: the rows that had a value. A row that never had any says nothing.
    known: Vec<Vec<HashSet<Key>>>,
}

impl Gatherer {
    pub fn new(host: &str, wanted: Arc<Wanted>) -> Self {
        let before = wanted.types.iter().map(|_| Vec::new()).collect();
        let known = wanted.types.iter().map(|of| vec![HashSet::new(); of.tables.len()]).collect();
        Self { wanted, host: host.to_owned(), ticks: 0, body: Vec::new(), last: 0, before, known }
    }

    pub const fn wanted(&self) -> &Arc<Wanted> {
        &self.wanted
    }

    /// Adds a snapshot; `absent` says why a type has nothing to measure.
    pub fn add(&mut self, snapshot: &Snapshot, absent: impl Fn(MetricType) -> Option<String>) {
        if self.ticks >= MAX_TICKS {
            return;
        }
        self.ticks += 1;
        let at = micros(snapshot.timestamp);
        put_varint(zigzag(at.wrapping_sub(self.last)), &mut self.body);
        self.last = at;
        for (n, wanted) in self.wanted.types.iter().enumerate() {
            let reading = wanted.metric_type.and_then(|of| snapshot.reading(of));
            let body = &mut self.body;
            let Some(reading) = reading else {
                self.before[n].clear();
                match wanted.metric_type.and_then(&absent) {
                    Some(reason) => {
                        body.push(tag::ABSENT);
                        put_str(&reason, body);
                    }
                    None => body.push(tag::NONE),
                }
                continue;
            };
            if let Some(error) = &reading.error {
                self.before[n].clear();
                body.push(tag::FAILED);
                put_str(error, body);
                continue;
            }
            match Rows::reason(reading) {
                Some(reason) => {
                    body.push(tag::EXPLAINED);
                    put_str(&reason, body);
                }
                None => body.push(tag::READING),
            }
            let mut tables = Vec::with_capacity(wanted.tables.len());
            for (m, (table, known)) in wanted.tables.iter().zip(&mut self.known[n]).enumerate() {
                let rows = rectangle(reading, table, known);
                let before = self.before[n].get(m).filter(|before| before.keys == rows.keys);
                match before {
                    Some(_) => body.push(0),
                    None => {
                        body.push(1);
                        put_keys(&rows.keys, body);
                    }
                }
                put_values(&rows.values, before.map_or(&[][..], |before| &before.values), body);
                tables.push(rows);
            }
            self.before[n] = tables;
        }
    }

    /// The message with what was added; `None` if nothing was.
    pub fn finish(&mut self) -> Option<Bytes> {
        if self.ticks == 0 {
            return None;
        }
        let mut out = Vec::with_capacity(self.body.len() + 64);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&[0; 4]);
        put_str(&self.host, &mut out);
        put_varint(u64::from(self.wanted.id), &mut out);
        put_count(self.ticks, &mut out);
        out.extend_from_slice(&self.body);
        let checksum = crc32fast::hash(&out[HEAD..]);
        out[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
        (self.ticks, self.last) = (0, 0);
        self.body.clear();
        self.before.iter_mut().for_each(Vec::clear);
        Some(out.into())
    }
}

/// The wanted columns of a table, without rows that never had a value.
fn rectangle(reading: &Reading, wanted: &WantedTable, known: &mut HashSet<Key>) -> Rectangle {
    let Some((place, table)) = wanted.place.and_then(|at| Some((at, reading.tables().get(at)?))) else {
        return Rectangle::default();
    };
    if known.len() > MAX_KNOWN.max(2 * table.keys.len()) {
        known.clear();
    }
    let (mut keys, mut values) = (Vec::with_capacity(table.keys.len()), Vec::new());
    for (n, key) in table.keys.iter().enumerate() {
        let row = reading.row(place, n);
        let of = |column: &Option<usize>| column.map_or(Value::Absent, |column| row[column].clone());
        let is_known = place == 0 || known.contains(key);
        if !is_known && wanted.columns.iter().flatten().all(|column| row[*column].is_vacant()) {
            continue;
        }
        if !is_known {
            known.insert(key.clone());
        }
        keys.push(key.clone());
        values.extend(wanted.columns.iter().map(of));
    }
    Rectangle { keys: keys.into(), values }
}

/// Reads a message of a host that answers one of these lists.
pub fn decode(host: &str, message: &[u8], lists: &[Arc<Wanted>]) -> Result<Vec<Heard>, Damaged> {
    let mut cursor = Cursor::new(message);
    let [m, a, g, version] = cursor.array()?;
    if [m, a, g] != *MAGIC || version != VERSION {
        return Err(Damaged("it is no message of this version"));
    }
    if u32::from_le_bytes(cursor.array()?) != crc32fast::hash(cursor.rest()) {
        return Err(Damaged("its checksum is wrong"));
    }
    if cursor.str()? != host {
        return Err(Damaged("it is of another host"));
    }
    let id = cursor.varint()?;
    let wanted = lists.iter().find(|list| u64::from(list.id) == id);
    let wanted = wanted.ok_or(Damaged("it answers what nobody asked"))?;
    let ticks = cursor.count(MAX_TICKS)?;
    let mut heard: Vec<Heard> = Vec::with_capacity(ticks);
    let mut at = 0i64;
    for _ in 0..ticks {
        at = at.wrapping_add(unzigzag(cursor.varint()?));
        if micros(from_micros(at)) != at || from_micros(at) == OffsetDateTime::UNIX_EPOCH {
            return Err(Damaged("it is of no time"));
        }
        let mut parts = Vec::with_capacity(wanted.types.len());
        for n in 0..wanted.types.len() {
            let before = heard.last().and_then(|before: &Heard| match before.parts.get(n) {
                Some(Part::Reading(columns)) => Some(columns.tables.as_slice()),
                _ => None,
            });
            parts.push(take_part(&mut cursor, wanted, n, before)?);
        }
        heard.push(Heard { at, apart: 0, wanted: Arc::clone(wanted), parts });
    }
    if cursor.rest().is_empty() { Ok(heard) } else { Err(Damaged("there is something after it")) }
}

fn take_part(
    cursor: &mut Cursor<'_>,
    wanted: &Arc<Wanted>,
    at: usize,
    before: Option<&[Rectangle]>,
) -> Result<Part, Damaged> {
    let columns = |error, reason, tables| {
        Part::Reading(Columns { wanted: Arc::clone(wanted), at, error, reason, tables })
    };
    let reason = match cursor.byte()? {
        tag::READING => None,
        tag::EXPLAINED => Some(Arc::from(cursor.str()?)),
        tag::FAILED => return Ok(columns(Some(cursor.str()?.into()), None, Vec::new())),
        tag::ABSENT => return Ok(Part::Absent(cursor.str()?.into())),
        tag::NONE => return Ok(Part::None),
        _ => return Err(Damaged("it is of an unknown form")),
    };
    let mut tables = Vec::with_capacity(wanted.types[at].tables.len());
    for (m, table) in wanted.types[at].tables.iter().enumerate() {
        let before = before.and_then(|before| before.get(m));
        let (keys, before) = match cursor.byte()? {
            0 => {
                let before = before.ok_or(Damaged("it refers to nothing"))?;
                (Arc::clone(&before.keys), before.values.as_slice())
            }
            _ => (take_keys(cursor)?, &[][..]),
        };
        let count = keys.len().saturating_mul(table.columns.len());
        tables.push(Rectangle { values: take_values(cursor, count, before)?, keys });
    }
    Ok(columns(None, reason, tables))
}

#[cfg(test)]
mod tests;
