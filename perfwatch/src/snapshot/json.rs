//! Writes documents as JSON text, from a reading or from the sums of many readings.

mod number;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::layout::{Form, Layout, Member, Node};
use super::selection::Selection;
use super::value::{Key, Label, Value};
pub use number::{write_average, write_float, write_number, write_whole};

/// Anything that has the tables of a layout.
pub trait Tables {
    fn keys(&self, table: usize) -> &[Key];
    /// The value of a gate: `Absent`, `Null` or `Present`, or the JSON text of the value there.
    fn gate(&self, table: usize, row: usize, column: usize) -> Value;
    /// Writes a value as JSON; writes nothing and returns false if the document doesn't have it.
    fn write(&self, table: usize, row: usize, column: usize, out: &mut Vec<u8>) -> bool;
    /// Members that the dictionary does not describe, as the inside of a JSON object.
    fn extra(&self, table: usize, row: usize) -> Option<&str>;
}

/// The first members of a full document.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub at: OffsetDateTime,
    pub error: Option<&'a str>,
    /// Partial documents have no head.
    pub is_wanted: bool,
}

/// Writes the selected fields of a document.
pub fn write_document(
    layout: &Layout,
    head: Head<'_>,
    tables: &impl Tables,
    selection: &Selection,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    if head.is_wanted {
        out.extend_from_slice(br#""_timestamp":""#);
        write_time(head.at, out);
        out.extend_from_slice(br#"","_error":"#);
        match head.error {
            Some(error) => write_string(error, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    if !tables.keys(0).is_empty()
        && let Node::Object { members, .. } = selection.root(layout)
    {
        let writer = Writer { layout, tables, selection };
        writer.members(members, 0, 0, head.is_wanted, out);
    }
    out.push(b'}');
}

/// Writes a time in RFC 3339, UTC.
pub fn write_time(at: OffsetDateTime, out: &mut Vec<u8>) {
    // Years 0 to 9999 always format, and writing to memory cannot fail.
    drop(at.to_offset(UtcOffset::UTC).format_into(out, &Rfc3339));
}

/// Above any machine's number of CPUs: a list is filled with `null` up to the last index.
const MAX_POSITIONS: u64 = 1 << 16;

struct Writer<'a, T> {
    layout: &'a Layout,
    tables: &'a T,
    selection: &'a Selection,
}

impl<T: Tables> Writer<'_, T> {
    /// Returns false and writes nothing if there is nothing to write.
    fn node(&self, node: &Node, table: usize, row: usize, out: &mut Vec<u8>) -> bool {
        match node {
            Node::Leaf { column } => self.leaf(*column, table, row, out),
            Node::Label { index } => {
                write_label(&self.tables.keys(table)[row][*index], out);
                true
            }
            Node::Object { gate, members } => {
                if let Some(gate) = gate
                    && let Some(written) = self.closed(*gate, table, row, out)
                {
                    return written;
                }
                let start = out.len();
                out.push(b'{');
                let some = self.members(members, table, row, false, out);
                out.push(b'}');
                self.keep(some, start, out)
            }
            Node::Fixed { gate, items } => {
                if let Some(written) = self.closed(*gate, table, row, out) {
                    return written;
                }
                let start = out.len();
                out.push(b'[');
                let mut some = false;
                for item in items {
                    separate(out, b'[');
                    if self.node(item, table, row, out) {
                        some = true;
                    } else {
                        out.extend_from_slice(b"null");
                    }
                }
                out.push(b']');
                self.keep(some, start, out)
            }
            Node::Table { gate, table: child, form, row: inside } => {
                if let Some(written) = self.closed(*gate, table, row, out) {
                    return written;
                }
                let start = out.len();
                let some = match form {
                    Form::Positions => self.positions(*child, (table, row), inside, out),
                    Form::Map | Form::List => {
                        self.list_or_map(*form == Form::Map, *child, (table, row), inside, out)
                    }
                };
                self.keep(some, start, out)
            }
        }
    }

    #[inline]
    fn leaf(&self, column: usize, table: usize, row: usize, out: &mut Vec<u8>) -> bool {
        let chosen = match self.selection.by_name {
            true => self.selection.has(self.layout, table, &self.tables.keys(table)[row], column),
            false => self.selection.needs(table, column),
        };
        chosen && self.tables.write(table, row, column, out)
    }

    /// Writes a value that is missing or not in its usual form.
    fn closed(&self, gate: usize, table: usize, row: usize, out: &mut Vec<u8>) -> Option<bool> {
        match self.tables.gate(table, row, gate) {
            Value::Present => None,
            Value::Absent => Some(false),
            other => {
                let chosen = self.selection.has(self.layout, table, &self.tables.keys(table)[row], gate);
                let written = chosen && !self.selection.numbers_only;
                Some(written && write_value(&other, out))
            }
        }
    }

    /// Removes a list or object in which nothing was selected.
    fn keep(&self, some: bool, start: usize, out: &mut Vec<u8>) -> bool {
        let kept = some || self.selection.is_whole();
        if !kept {
            out.truncate(start);
        }
        kept
    }

    /// Writes an object's members; returns whether there was anything but labels.
    fn members(&self, members: &[Member], table: usize, row: usize, comma: bool, out: &mut Vec<u8>) -> bool {
        let mut some = false;
        for member in members {
            let start = out.len();
            if comma || out.last() != Some(&b'{') {
                out.push(b',');
            }
            member.start.write(member.name, out);
            let written = match &member.node {
                Node::Leaf { column } => self.leaf(*column, table, row, out),
                node => self.node(node, table, row, out),
            };
            if written {
                some |= !matches!(member.node, Node::Label { .. });
            } else {
                out.truncate(start);
            }
        }
        if let Some(extra) = self.tables.extra(table, row)
            && self.selection.is_whole()
        {
            if comma {
                out.push(b',');
            } else {
                separate(out, b'{');
            }
            out.extend_from_slice(extra.as_bytes());
        }
        some
    }

    /// The rows of a table that belong to a row of the enclosing one.
    fn things(&self, child: usize, table: usize, row: usize) -> impl Iterator<Item = (usize, &Key)> {
        let within = &self.tables.keys(table)[row];
        let all = self.layout.tables[child].inherited == 0;
        self.tables.keys(child).iter().enumerate().filter(move |(_, key)| all || key.starts_with(within))
    }

    /// Writes a list of items, or a map with their names.
    fn list_or_map(
        &self,
        is_map: bool,
        child: usize,
        (table, row): (usize, usize),
        inside: &Node,
        out: &mut Vec<u8>,
    ) -> bool {
        let (open, close) = if is_map { (b'{', b'}') } else { (b'[', b']') };
        out.push(open);
        let mut some = false;
        for (thing, key) in self.things(child, table, row) {
            let start = out.len();
            separate(out, open);
            if is_map {
                write_string(&key.last().map(ToString::to_string).unwrap_or_default(), out);
                out.push(b':');
            }
            if self.node(inside, child, thing, out) {
                some = true;
            } else {
                out.truncate(start);
            }
        }
        out.push(close);
        some
    }

    fn positions(
        &self,
        child: usize,
        (table, row): (usize, usize),
        inside: &Node,
        out: &mut Vec<u8>,
    ) -> bool {
        out.push(b'[');
        let mut some = false;
        let mut next = 0;
        let position = |key: &Key| match key.last() {
            Some(Label::Number(n)) => Some(*n).filter(|n| *n < MAX_POSITIONS),
            _ => None,
        };
        let mut things: Vec<(u64, usize)> =
            self.things(child, table, row).filter_map(|(thing, key)| Some((position(key)?, thing))).collect();
        things.sort_unstable();
        for (at, thing) in things {
            // Positions without values during the whole period, before one that has some.
            while next < at {
                separate(out, b'[');
                out.extend_from_slice(b"null");
                next += 1;
            }
            next = at.saturating_add(1);
            separate(out, b'[');
            if self.node(inside, child, thing, out) {
                some = true;
            } else {
                out.extend_from_slice(b"null");
            }
        }
        out.push(b']');
        some
    }
}

/// Writes a comma, unless an object or list has just been opened.
fn separate(out: &mut Vec<u8>, open: u8) {
    if out.last() != Some(&open) {
        out.push(b',');
    }
}

fn write_label(label: &Label, out: &mut Vec<u8>) {
    match label {
        Label::Unnamed => out.extend_from_slice(b"null"),
        Label::Number(n) => write_whole(*n, out),
        Label::Text(text) => write_string(text, out),
    }
}

/// Writes a value; returns false if it is absent.
pub fn write_value(value: &Value, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Absent => return false,
        Value::Null | Value::Present => out.extend_from_slice(b"null"),
        Value::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Value::Unsigned(n) => write_whole(*n, out),
        Value::Signed(n) => {
            if *n < 0 {
                out.push(b'-');
            }
            write_whole(n.unsigned_abs(), out);
        }
        Value::Float(n) => write_float(*n, out),
        Value::Text(text) => write_string(text, out),
        // Writing to memory cannot fail, and histograms always serialize.
        Value::Histogram(histogram) => drop(serde_json::to_writer(out, &**histogram)),
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
    }
    true
}

pub fn write_string(text: &str, out: &mut Vec<u8>) {
    drop(serde_json::to_writer(out, text));
}
