//! Readings of one metric type by column: the in-memory form of the newest readings, and the decoded form of a chunk.

use std::ops::Range;
use std::sync::Arc;

use super::bytes::{Bytes, place, put_count};
use super::column::{Column, tag};
use super::frame::{Frame, FrameWriter, Members, put_texts, take_texts, times_within};
use super::numbers::{put_integers, take_integers};
use crate::history::{Damaged, from_micros, micros};
use crate::snapshot::json::{self, Tables};
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use crate::snapshot::value::{Key, Value};
use crate::snapshot::{MetricType, Reading, Table};
use crate::store::chunks::{Chunk, Content};

/// Readings of one type in time order.
#[derive(Debug, Clone)]
pub struct Block {
    metric_type: MetricType,
    times: Vec<i64>,
    errors: Vec<Option<Arc<str>>>,
    /// In layout order.
    tables: Vec<BlockTable>,
}

#[derive(Debug, Clone)]
struct BlockTable {
    members: Members,
    /// The first row of each time, then the total number of rows.
    rows: Vec<usize>,
    columns: Vec<Column>,
    /// Nothing in it was selected.
    unread: bool,
}

impl Block {
    pub fn new(metric_type: MetricType) -> Self {
        let table = |table: &crate::snapshot::layout::TableLayout| BlockTable {
            members: Members::default(),
            rows: vec![0],
            columns: table.columns.iter().map(|_| Column::default()).collect(),
            unread: false,
        };
        let tables = Layout::of(metric_type).tables.iter().map(table).collect();
        Self { metric_type, times: Vec::new(), errors: Vec::new(), tables }
    }

    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    /// µs since the epoch, ascending.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Forgets all readings, and keeps memory for as many.
    pub fn clear(&mut self) {
        self.times.clear();
        self.errors.clear();
        for table in &mut self.tables {
            table.members = Members::default();
            table.rows.truncate(1);
            table.columns.iter_mut().for_each(Column::clear);
        }
    }

    /// Adds a reading; returns false unless it is later than all before it.
    pub fn push(&mut self, reading: &Reading) -> bool {
        let at = micros(reading.at);
        if self.times.last().is_some_and(|last| *last >= at) {
            return false;
        }
        self.times.push(at);
        self.errors.push(reading.error.clone());
        let layout = reading.layout();
        for (at, table) in self.tables.iter_mut().enumerate() {
            let columns = &layout.tables[at].columns;
            let Some(given) = reading.tables().get(at) else {
                table.members.push(&Arc::default());
                table.rows.push(table.rows.last().copied().unwrap_or_default());
                continue;
            };
            table.members.push(&given.keys);
            for row in given.values.chunks_exact(columns.len()) {
                for ((column, layout), value) in table.columns.iter_mut().zip(columns).zip(row) {
                    let follows = layout.derived.is_some_and(|derived| {
                        matches!(row[derived.histogram], Value::Histogram(_))
                            && !matches!(value, Value::Absent)
                    });
                    if follows {
                        column.push_plain(tag::DERIVED, 0);
                    } else {
                        column.push(value);
                    }
                }
            }
            table.rows.push(table.rows.last().copied().unwrap_or_default() + given.keys.len());
        }
        true
    }

    /// One reading, with only the columns that were read.
    pub fn reading(&self, time: usize) -> Reading {
        let at = from_micros(self.times[time]);
        if let Some(error) = &self.errors[time] {
            return Reading::from_tables(self.metric_type, at, Some(Arc::clone(error)), Vec::new());
        }
        let one = OneOf { block: self, time };
        let table = |(at, table): (usize, &BlockTable)| {
            let rows = one.keys(at).len();
            if rows == 0 {
                return Table::default();
            }
            let width = table.columns.len();
            let values = (0..rows * width).map(|place| one.value(at, place / width, place % width));
            Table { keys: Arc::clone(table.members.keys(time)), values: values.collect() }
        };
        let tables = self.tables.iter().enumerate().map(table).collect();
        Reading::from_tables(self.metric_type, at, None, tables)
    }

    /// Writes the selected fields of one reading. A full selection also has `_timestamp` and `_error`.
    pub fn write_json(&self, time: usize, selection: &Selection, out: &mut Vec<u8>) {
        let head = json::Head {
            at: from_micros(self.times[time]),
            error: self.errors[time].as_deref(),
            is_wanted: selection.is_all(),
        };
        json::write_document(
            Layout::of(self.metric_type),
            head,
            &OneOf { block: self, time },
            selection,
            out,
        );
    }

    /// The readings in a time range, µs.
    pub fn within(&self, from: i64, to: i64) -> Range<usize> {
        times_within(&self.times, &(from..to))
    }

    pub fn readings(&self) -> impl Iterator<Item = Reading> {
        (0..self.times.len()).map(|time| self.reading(time))
    }

    /// All readings of both; where both have the same time, those of `self`.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = Self::new(self.metric_type);
        let (mut a, mut b) = (0, 0);
        loop {
            let (left, right) = (self.times.get(a), other.times.get(b));
            let from_left = match (left, right) {
                (Some(left), Some(right)) => {
                    b += usize::from(left == right);
                    left <= right
                }
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => return all,
            };
            let reading = if from_left { self.reading(a) } else { other.reading(b) };
            if from_left {
                a += 1;
            } else {
                b += 1;
            }
            all.push(&reading);
        }
    }

    /// Approximate memory use.
    pub fn bytes(&self) -> usize {
        let column = |column: &Column| column.tags.len() * 9;
        self.tables.iter().flat_map(|table| &table.columns).map(column).sum()
    }

    pub fn encode(&self) -> Vec<u8> {
        let layout = Layout::of(self.metric_type);
        let mut notes = Vec::new();
        put_errors(&self.errors, &mut notes);
        let mut writer = FrameWriter::new(self.metric_type, 0, &self.times, &notes, self.tables.len());
        for (table, layout) in self.tables.iter().zip(&layout.tables) {
            let order = table.members.by_thing();
            writer.table(&layout.path, &table.members, layout.columns.len());
            for (column, layout) in table.columns.iter().zip(&layout.columns) {
                writer.column(&layout.name, |out| column.encode(order.as_deref(), out));
            }
        }
        writer.finish()
    }

    /// All of a stored chunk.
    pub fn of(chunk: &Chunk) -> Result<Self, Damaged> {
        let Content::Readings(of) = chunk.content else { return Err(Damaged("it holds no readings")) };
        Self::decode(&chunk.data, Selection::all(of))
    }

    /// Reads the columns that a selection needs; values derived from a histogram need the histogram.
    pub fn decode(chunk: &[u8], selection: &Selection) -> Result<Self, Damaged> {
        Self::decode_within(chunk, selection, i64::MIN..i64::MAX)
    }

    /// The same, if only the readings in a time range (µs) are looked at: most of the work is in histograms.
    pub fn decode_within(chunk: &[u8], selection: &Selection, times: Range<i64>) -> Result<Self, Damaged> {
        let mut frame = Frame::read(chunk)?;
        if frame.tier != 0 {
            return Err(Damaged("it holds rollups"));
        }
        let layout = Layout::of(frame.metric_type);
        let looked_at = times_within(&frame.times, &times);
        let mut block = Self::new(frame.metric_type);
        block.errors = take_errors(&mut Bytes::new(&frame.notes), frame.times.len())?;
        for (at, (table, layout)) in block.tables.iter_mut().zip(&layout.tables).enumerate() {
            let Some(place) = frame.tables.iter().position(|stored| stored.path == layout.path) else {
                // A table added in a later version: it has no rows.
                frame.times.iter().for_each(|_| table.members.push(&Arc::default()));
                table.rows = vec![0; frame.times.len() + 1];
                continue;
            };
            table.members = std::mem::take(&mut frame.tables[place].members);
            table.rows = table.members.rows();
            let rows = table.rows.last().copied().unwrap_or_default();
            table.unread =
                at > 0 && (0..layout.columns.len()).all(|column| !selection.reads(layout, at, column));
            if table.unread {
                continue;
            }
            let stored = &frame.tables[place];
            let order = table.members.by_thing();
            let wanted = table.rows[looked_at.start]..table.rows[looked_at.end];
            for (n, (column, of)) in table.columns.iter_mut().zip(&layout.columns).enumerate() {
                *column = match frame.column(stored, &of.name)? {
                    Some(mut bytes) if selection.reads(layout, at, n) => {
                        Column::decode(&mut bytes, rows, &wanted, order.as_deref())?
                    }
                    Some(_) => Column::unread(),
                    None => Column::absent(rows),
                };
            }
        }
        block.times = frame.times;
        Ok(block)
    }
}

/// One reading of a block.
#[derive(Debug, Clone, Copy)]
struct OneOf<'a> {
    block: &'a Block,
    time: usize,
}

impl OneOf<'_> {
    fn value(&self, table: usize, row: usize, column: usize) -> Value {
        let of = &self.block.tables[table];
        let row = of.rows[self.time] + row;
        if of.columns[column].tags.get(row) == Some(&tag::DERIVED)
            && let Some(derived) = Layout::of(self.block.metric_type).tables[table].columns[column].derived
            && let Value::Histogram(histogram) = of.columns[derived.histogram].value(row)
        {
            return derived.statistic.of(&histogram);
        }
        of.columns[column].value(row)
    }
}

impl Tables for OneOf<'_> {
    fn keys(&self, table: usize) -> &[Key] {
        let of = &self.block.tables[table];
        // A failed source has no rows.
        if of.unread || self.block.errors[self.time].is_some() { &[] } else { of.members.keys(self.time) }
    }

    fn gate(&self, table: usize, row: usize, column: usize) -> Value {
        self.value(table, row, column)
    }

    fn write(&self, table: usize, row: usize, column: usize, out: &mut Vec<u8>) -> bool {
        json::write_value(&self.value(table, row, column), out)
    }

    fn extra(&self, table: usize, row: usize) -> Option<&str> {
        let of = &self.block.tables[table];
        let column = &of.columns[Layout::of(self.block.metric_type).extra(table)];
        let row = of.rows[self.time] + row;
        column.json(row)
    }
}

fn put_errors(errors: &[Option<Arc<str>>], out: &mut Vec<u8>) {
    let failed: Vec<u64> =
        (0u64..).zip(errors).filter(|(_, error)| error.is_some()).map(|(at, _)| at).collect();
    put_count(failed.len(), out);
    put_integers(&failed, out);
    put_texts(errors.iter().flatten(), out);
}

fn take_errors(bytes: &mut Bytes<'_>, times: usize) -> Result<Vec<Option<Arc<str>>>, Damaged> {
    let count = bytes.count(times)?;
    let failed = take_integers(bytes, count)?;
    let texts = take_texts(bytes, count)?;
    let mut errors = vec![None; times];
    for (at, text) in failed.into_iter().zip(texts) {
        let place = errors.get_mut(place(at)).ok_or(Damaged("an error at no time"))?;
        *place = Some(text);
    }
    Ok(errors)
}
