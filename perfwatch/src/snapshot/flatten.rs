//! Converts a source's typed body to values, with a serializer that puts each where the layout has a place for it.
//!
//! The layout is built from the dictionary once. Only an object's members are looked up by name, starting at the
//! expected position. Members that the dictionary does not describe are kept as JSON text.

/// The methods of a serializer that widen narrow integers; before the modules, as `plain` uses it.
macro_rules! widened {
    ($($method:ident($type:ty)),* => $wide:ident) => {
        $(fn $method(self, value: $type) -> Result<()> {
            self.$wide(value.into())
        })*
    };
}

mod compound;
mod plain;

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{self, Serializer};

use self::plain::{Integers, KeyText, integer};
use super::histogram::{Histogram, Unit};
use super::layout::{Form, Layout, Member, Node};
use super::value::{Key, Label, Value};

/// The rows of one table while they are being built.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) keys: Vec<Key>,
    pub(super) values: Vec<Value>,
}

/// Flattens a document's body, which must be a struct or a map.
pub(super) fn flatten(
    layout: &'static Layout,
    body: &impl Serialize,
) -> Result<Vec<Rows>, serde_json::Error> {
    let mut tables: Vec<Rows> = layout.tables.iter().map(|_| Rows::default()).collect();
    add_row(layout, &mut tables, 0, Box::default());
    body.serialize(Place { layout, tables: &mut tables, node: &layout.root, table: 0, row: 0 })?;
    Ok(tables)
}

fn add_row(layout: &Layout, tables: &mut [Rows], table: usize, key: Key) -> usize {
    let rows = &mut tables[table];
    rows.keys.push(key);
    rows.values.resize(rows.values.len() + layout.tables[table].columns.len(), Value::Absent);
    rows.keys.len() - 1
}

type Result<T, E = serde_json::Error> = std::result::Result<T, E>;

/// Where the next value belongs.
struct Place<'a> {
    layout: &'static Layout,
    tables: &'a mut Vec<Rows>,
    node: &'static Node,
    table: usize,
    row: usize,
}

impl<'a> Place<'a> {
    fn put(self, value: Value) {
        let column = match self.node {
            Node::Leaf { column } => *column,
            Node::Object { gate: Some(gate), .. } | Node::Fixed { gate, .. } | Node::Table { gate, .. } => {
                *gate
            }
            Node::Label { index } => {
                self.tables[self.table].keys[self.row][*index] = match value {
                    Value::Unsigned(n) => Label::Number(n),
                    Value::Text(text) | Value::Json(text) => Label::Text(text),
                    Value::Absent | Value::Null => Label::Unnamed,
                    other => Label::text(&format!("{other:?}")),
                };
                return;
            }
            // A document that isn't an object has no members.
            Node::Object { gate: None, .. } => return,
        };
        self.set(column, value);
    }

    fn set(self, column: usize, value: Value) {
        let width = self.layout.tables[self.table].columns.len();
        self.tables[self.table].values[self.row * width + column] = value;
    }

    fn gate(&mut self, gate: usize) {
        let width = self.layout.tables[self.table].columns.len();
        self.tables[self.table].values[self.row * width + gate] = Value::Present;
    }

    fn at(&mut self, node: &'static Node, table: usize, row: usize) -> Place<'_> {
        Place { layout: self.layout, tables: self.tables, node, table, row }
    }

    fn sequence(mut self) -> Compound<'a> {
        match self.node {
            Node::Table { gate, table, form: Form::List | Form::Positions, row, .. } => {
                self.gate(*gate);
                Compound::Things { place: self, table: *table, node: row, at: 0, key: String::new() }
            }
            Node::Fixed { gate, items } => {
                self.gate(*gate);
                Compound::Fixed { place: self, items, at: 0 }
            }
            _ => Compound::text(self, '[', ']'),
        }
    }

    fn members(mut self) -> Compound<'a> {
        match self.node {
            Node::Object { gate, members } => {
                if let Some(gate) = gate {
                    self.gate(*gate);
                }
                Compound::Object { place: self, members, next: 0, key: String::new() }
            }
            Node::Table { gate, table, form: Form::Map, row } => {
                self.gate(*gate);
                Compound::Things { place: self, table: *table, node: row, at: 0, key: String::new() }
            }
            Node::Leaf { column } if self.is_histogram(*column) => Compound::histogram(self),
            _ => Compound::text(self, '{', '}'),
        }
    }

    fn is_histogram(&self, column: usize) -> bool {
        self.layout.tables[self.table].columns[column].kind == super::dictionary::Kind::Histogram
    }
}

/// A list, map or object being serialized.
enum Compound<'a> {
    Object {
        place: Place<'a>,
        members: &'static [Member],
        /// Members usually come in the layout's order.
        next: usize,
        key: String,
    },
    Things {
        place: Place<'a>,
        table: usize,
        node: &'static Node,
        at: u64,
        key: String,
    },
    Fixed {
        place: Place<'a>,
        items: &'static [Node],
        at: usize,
    },
    Histogram {
        place: Place<'a>,
        unit: String,
        numbers: Numbers,
        key: String,
    },
    /// Something without a place of its own.
    Text {
        place: Place<'a>,
        text: Vec<u8>,
        close: char,
        key: String,
    },
}

/// The numbers of a histogram.
#[derive(Default)]
struct Numbers {
    buckets: Vec<u64>,
    sum: u64,
    max: u64,
}

impl<'a> Compound<'a> {
    fn text(place: Place<'a>, open: char, close: char) -> Self {
        Self::Text { place, text: vec![open as u8], close, key: String::new() }
    }

    fn histogram(place: Place<'a>) -> Self {
        Self::Histogram { place, unit: String::new(), numbers: Numbers::default(), key: String::new() }
    }

    fn key_buffer(&mut self) -> Option<&mut String> {
        match self {
            Self::Object { key, .. }
            | Self::Things { key, .. }
            | Self::Histogram { key, .. }
            | Self::Text { key, .. } => Some(key),
            Self::Fixed { .. } => None,
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        match self {
            Self::Things { place, table, node, at, .. } => {
                let key = place.child_key(*table, Label::Number(*at));
                *at += 1;
                let row = add_row(place.layout, place.tables, *table, key);
                value.serialize(place.at(node, *table, row))
            }
            Self::Fixed { place, items, at } => {
                let Some(node) = items.get(*at) else { return Ok(()) };
                *at += 1;
                let (table, row) = (place.table, place.row);
                value.serialize(place.at(node, table, row))
            }
            Self::Text { text, .. } => {
                if text.len() > 1 {
                    text.push(b',');
                }
                serde_json::to_writer(text, value)
            }
            Self::Object { .. } | Self::Histogram { .. } => Err(ser::Error::custom("a list was expected")),
        }
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        match self {
            Self::Object { place, members, next, .. } => {
                let found = if members.get(*next).is_some_and(|known| known.name == name) {
                    Some(*next)
                } else {
                    members.iter().position(|known| known.name == name)
                };
                let (table, row) = (place.table, place.row);
                match found {
                    Some(at) => {
                        *next = at + 1;
                        value.serialize(place.at(&members[at].node, table, row))
                    }
                    None => place.keep_extra(name, value),
                }
            }
            Self::Things { place, table, node, .. } => {
                let key = place.child_key(*table, Label::text(name));
                let row = add_row(place.layout, place.tables, *table, key);
                value.serialize(place.at(node, *table, row))
            }
            Self::Histogram { unit, numbers, .. } => match name {
                "unit" => value.serialize(KeyText(unit)),
                "buckets" => value.serialize(Integers(&mut numbers.buckets)),
                "sum" => integer(value).map(|sum| numbers.sum = sum),
                "max" => integer(value).map(|max| numbers.max = max),
                _ => Ok(()),
            },
            Self::Text { text, .. } => {
                if text.len() > 1 {
                    text.push(b',');
                }
                serde_json::to_writer(&mut *text, name)?;
                text.push(b':');
                serde_json::to_writer(text, value)
            }
            Self::Fixed { .. } => Err(ser::Error::custom("an object was expected")),
        }
    }

    fn entry<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = self.key_buffer().map(std::mem::take).unwrap_or_default();
        self.member(&key, value)?;
        if let Some(buffer) = self.key_buffer() {
            // Reuses its memory.
            *buffer = key;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Histogram { place, unit, numbers, .. } => {
                let unit =
                    Unit::parse(&unit).ok_or_else(|| ser::Error::custom("a histogram without a unit"))?;
                let pairs = numbers.buckets.chunks_exact(2);
                let counts = pairs.map(|pair| (u16::try_from(pair[0]).unwrap_or(u16::MAX), pair[1]));
                let histogram = Histogram::from_counts(unit, counts, numbers.sum, numbers.max);
                place.put(Value::Histogram(Arc::new(histogram)));
            }
            Self::Text { place, mut text, close, .. } => {
                text.push(close as u8);
                let text = String::from_utf8_lossy(&text);
                place.put(Value::Json(text.into()));
            }
            Self::Object { .. } | Self::Things { .. } | Self::Fixed { .. } => {}
        }
        Ok(())
    }
}

impl Place<'_> {
    /// The key of an item in this row: the row's own labels, then the last one.
    fn child_key(&self, table: usize, last: Label) -> Key {
        let inherited = &self.tables[self.table].keys[self.row];
        let labels = self.layout.tables[table].labels.len();
        let mut key: Vec<Label> = Vec::with_capacity(labels);
        key.extend(inherited.iter().cloned());
        // For a list of objects, the labels are in the objects.
        key.resize(labels, Label::Unnamed);
        if labels == inherited.len() + 1 {
            key[inherited.len()] = last;
        }
        key.into()
    }

    fn keep_extra<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        let column = self.layout.extra(self.table);
        let width = self.layout.tables[self.table].columns.len();
        let kept = &mut self.tables[self.table].values[self.row * width + column];
        let mut text = match kept {
            Value::Json(text) => format!("{text},"),
            _ => String::new(),
        };
        text.push_str(&serde_json::to_string(name)?);
        text.push(':');
        text.push_str(&serde_json::to_string(value)?);
        *kept = Value::Json(text.into());
        Ok(())
    }
}

impl<'a> Serializer for Place<'a> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.put(Value::Bool(value));
        Ok(())
    }

    widened! { serialize_i8(i8), serialize_i16(i16), serialize_i32(i32) => serialize_i64 }

    fn serialize_i64(self, value: i64) -> Result<()> {
        self.put(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned));
        Ok(())
    }

    widened! { serialize_u8(u8), serialize_u16(u16), serialize_u32(u32) => serialize_u64 }

    fn serialize_u64(self, value: u64) -> Result<()> {
        self.put(Value::Unsigned(value));
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        // JSON has no other numbers.
        self.put(if value.is_finite() { Value::Float(value) } else { Value::Null });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.put(Value::Text(value.into()));
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<()> {
        self.put(Value::Null);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut one = self.members();
        one.member(variant, value)?;
        one.finish()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>> {
        Ok(self.sequence())
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>> {
        Ok(self.sequence())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>> {
        Ok(self.sequence())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Compound<'a>> {
        Ok(self.sequence())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>> {
        Ok(self.members())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>> {
        Ok(self.members())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Compound<'a>> {
        Ok(self.members())
    }
}
