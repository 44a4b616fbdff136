//! One column of readings: each row's value for one field of the layout.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::bytes::Bytes;
use super::frame::{put_texts, take_texts};
use super::histograms::{put_histograms, take_histograms};
use super::numbers::{
    put_floats, put_integers, put_runs, put_signed, take_floats, take_integers, take_runs, take_signed,
};
use crate::history::Damaged;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::value::Value;

/// Kinds of value.
pub(super) mod tag {
    pub const ABSENT: u8 = 0;
    pub const NULL: u8 = 1;
    pub const PRESENT: u8 = 2;
    pub const NO: u8 = 3;
    pub const YES: u8 = 4;
    pub const UNSIGNED: u8 = 5;
    pub const SIGNED: u8 = 6;
    pub const FLOAT: u8 = 7;
    pub const TEXT: u8 = 8;
    pub const HISTOGRAM: u8 = 9;
    pub const JSON: u8 = 10;
    /// Derived from a histogram in the same row.
    pub const DERIVED: u8 = 11;
}

/// Up to this many, texts are compared rather than looked up: most columns have a few states.
const FEW_TEXTS: usize = 8;

#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    pub tags: Vec<u8>,
    /// A number's bits, or an index into the column's objects.
    bits: Vec<u64>,
    objects: Option<Box<Objects>>,
    /// Not selected.
    unread: bool,
}

#[derive(Debug, Clone, Default)]
struct Objects {
    texts: Vec<Arc<str>>,
    known: HashMap<Arc<str>, u64>,
    histograms: Vec<Arc<Histogram>>,
}

impl Column {
    /// A column that was not selected.
    pub fn unread() -> Self {
        Self { unread: true, ..Self::default() }
    }

    /// A column added in a later version: no row has a value.
    pub fn absent(rows: usize) -> Self {
        Self { tags: vec![tag::ABSENT; rows], bits: vec![0; rows], ..Self::default() }
    }

    /// Forgets all rows, and keeps memory for about as many.
    pub fn clear(&mut self) {
        let most = 2 * self.tags.len();
        self.tags.clear();
        self.bits.clear();
        self.tags.shrink_to(most);
        self.bits.shrink_to(most);
        if let Some(Objects { texts, known, histograms }) = self.objects.as_deref_mut() {
            texts.clear();
            known.clear();
            histograms.clear();
        }
    }

    pub fn push(&mut self, value: &Value) {
        let (tag, bits) = match value {
            Value::Absent => (tag::ABSENT, 0),
            Value::Null => (tag::NULL, 0),
            Value::Present => (tag::PRESENT, 0),
            Value::Bool(false) => (tag::NO, 0),
            Value::Bool(true) => (tag::YES, 0),
            Value::Unsigned(n) => (tag::UNSIGNED, *n),
            Value::Signed(n) => (tag::SIGNED, n.cast_unsigned()),
            Value::Float(n) => (tag::FLOAT, n.to_bits()),
            Value::Text(text) => (tag::TEXT, self.text(text)),
            Value::Json(text) => (tag::JSON, self.text(text)),
            Value::Histogram(histogram) => {
                let histograms = &mut self.objects.get_or_insert_default().histograms;
                histograms.push(Arc::clone(histogram));
                (tag::HISTOGRAM, histograms.len() as u64 - 1)
            }
        };
        self.push_plain(tag, bits);
    }

    pub fn push_plain(&mut self, tag: u8, bits: u64) {
        self.tags.push(tag);
        self.bits.push(bits);
    }

    fn text(&mut self, text: &Arc<str>) -> u64 {
        let Objects { texts, known, .. } = &mut **self.objects.get_or_insert_default();
        let number = match texts.len() {
            ..=FEW_TEXTS => texts.iter().position(|known| known == text).map(|number| number as u64),
            _ => known.get(text).copied(),
        };
        if let Some(number) = number {
            return number;
        }
        let number = texts.len() as u64;
        texts.push(Arc::clone(text));
        known.insert(Arc::clone(text), number);
        number
    }

    pub fn value(&self, row: usize) -> Value {
        if self.unread {
            return Value::Absent;
        }
        let bits = self.bits[row];
        let text = || self.objects.as_ref().and_then(|objects| objects.texts.get(bits as usize)).cloned();
        match self.tags[row] {
            tag::NULL => Value::Null,
            tag::PRESENT => Value::Present,
            tag::NO => Value::Bool(false),
            tag::YES => Value::Bool(true),
            tag::UNSIGNED => Value::Unsigned(bits),
            tag::SIGNED => Value::Signed(bits.cast_signed()),
            tag::FLOAT => Value::Float(f64::from_bits(bits)),
            tag::TEXT => text().map_or(Value::Null, Value::Text),
            tag::JSON => text().map_or(Value::Null, Value::Json),
            tag::HISTOGRAM => {
                let of = self.objects.as_ref().and_then(|objects| objects.histograms.get(bits as usize));
                of.cloned().map_or(Value::Null, Value::Histogram)
            }
            _ => Value::Absent,
        }
    }

    pub fn encode(&self, order: Option<&[u32]>, out: &mut Vec<u8>) {
        let rows = self.tags.len();
        let place = |row: usize| order.map_or(row, |order| order[row] as usize);
        put_runs((0..rows).map(|row| self.tags[place(row)]), out);
        let bits = |wanted: u8| {
            (0..rows).map(place).filter(move |row| self.tags[*row] == wanted).map(|row| self.bits[row])
        };
        let has = |wanted: u8| self.tags.contains(&wanted);
        if has(tag::UNSIGNED) {
            put_integers(&bits(tag::UNSIGNED).collect::<Vec<_>>(), out);
        }
        if has(tag::SIGNED) {
            put_signed(bits(tag::SIGNED).map(u64::cast_signed), out);
        }
        if has(tag::FLOAT) {
            put_floats(&bits(tag::FLOAT).map(f64::from_bits).collect::<Vec<_>>(), out);
        }
        let Some(objects) = &self.objects else { return };
        for of in [tag::TEXT, tag::JSON] {
            if has(of) {
                put_texts(bits(of).map(|text| &objects.texts[text as usize]), out);
            }
        }
        if has(tag::HISTOGRAM) {
            let histograms: Vec<&Histogram> =
                bits(tag::HISTOGRAM).map(|at| &*objects.histograms[at as usize]).collect();
            put_histograms(histograms.iter().copied(), out);
        }
    }

    /// Reads the column of a table that has this many rows; histograms only where they are `wanted`.
    pub fn decode(
        bytes: &mut Bytes<'_>,
        rows: usize,
        wanted: &Range<usize>,
        order: Option<&[u32]>,
    ) -> Result<Self, Damaged> {
        let ordered = take_runs(bytes, rows)?;
        let mut column = Self { tags: vec![tag::ABSENT; rows], bits: vec![0; rows], ..Self::default() };
        let place = |row: usize| order.map_or(row, |order| order[row] as usize);
        let count = |wanted: u8| ordered.iter().filter(|tag| **tag == wanted).count();
        for (row, tag) in ordered.iter().enumerate() {
            column.tags[place(row)] = *tag;
        }
        let mut fill = |wanted: u8, numbers: &mut dyn Iterator<Item = u64>| {
            for (row, _) in ordered.iter().enumerate().filter(|(_, tag)| **tag == wanted) {
                column.bits[place(row)] = numbers.next().unwrap_or_default();
            }
        };
        let of = count(tag::UNSIGNED);
        if of > 0 {
            fill(tag::UNSIGNED, &mut take_integers(bytes, of)?.into_iter());
        }
        let of = count(tag::SIGNED);
        if of > 0 {
            fill(tag::SIGNED, &mut take_signed(bytes, of)?.into_iter().map(i64::cast_unsigned));
        }
        let of = count(tag::FLOAT);
        if of > 0 {
            fill(tag::FLOAT, &mut take_floats(bytes, of)?.into_iter().map(f64::to_bits));
        }
        let mut objects = Objects::default();
        for wanted in [tag::TEXT, tag::JSON] {
            let of = count(wanted);
            if of > 0 {
                let before = objects.texts.len() as u64;
                objects.texts.extend(take_texts(bytes, of)?);
                fill(wanted, &mut (before..));
            }
        }
        if count(tag::HISTOGRAM) > 0 {
            let rows = (0..rows).filter(|row| ordered[*row] == tag::HISTOGRAM).map(place);
            let wanted: Vec<bool> = rows.map(|row| wanted.contains(&row)).collect();
            objects.histograms = take_histograms(bytes, &wanted)?;
            fill(tag::HISTOGRAM, &mut (0..));
        }
        if !objects.texts.is_empty() || !objects.histograms.is_empty() {
            column.objects = Some(Box::new(objects));
        }
        Ok(column)
    }

    /// The text of a JSON value.
    pub fn json(&self, row: usize) -> Option<&str> {
        if self.tags.get(row) != Some(&tag::JSON) {
            return None;
        }
        self.objects.as_ref()?.texts.get(self.bits[row] as usize).map(|text| &**text)
    }
}
