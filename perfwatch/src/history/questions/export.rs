//! A range as a file, in pieces: CSV with a column per field, or one JSON document per line.

use std::collections::{BTreeSet, HashMap};

use super::HistoryQuery;
use super::points::Points;
use crate::history::bucket::{Bucket, Cell, longest};
use crate::history::{History, from_micros};
use crate::snapshot::dictionary::Kind;
use crate::snapshot::json::{write_number, write_value};
use crate::snapshot::layout::Layout;
use crate::snapshot::rfc3339;
use crate::snapshot::value::{Key, Value};
use crate::store::Result;

/// Approximate length of a piece, bytes.
const PIECE: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    /// One point per line, as in the answer to a history query.
    Ndjson,
}

impl Format {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "csv" => Some(Self::Csv),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub struct Export {
    points: Points,
    /// Columns of a CSV file; `None` for lines of JSON.
    columns: Option<Vec<Column>>,
    stats: super::Stats,
    piece: Vec<u8>,
    done: bool,
}

impl Export {
    /// Starts an export; `query.limit` applies.
    pub async fn open(history: &History, query: HistoryQuery, format: Format) -> Result<Self> {
        let mut piece = Vec::new();
        let stats = query.stats;
        let columns = match format {
            Format::Ndjson => None,
            Format::Csv => {
                let columns = columns(history, &query).await?;
                write_header(Layout::of(query.metric_type), &columns, stats, &mut piece);
                Some(columns)
            }
        };
        let points = Points::open(history, query).await?;
        Ok(Self { points, columns, stats, piece, done: false })
    }

    /// The next part of the file; `None` after the last.
    pub async fn next_piece(&mut self) -> Result<Option<Vec<u8>>> {
        while !self.done && self.piece.len() < PIECE {
            match &self.columns {
                None => match self.points.next().await? {
                    Some(point) => {
                        self.piece.extend_from_slice(&point.json);
                        self.piece.push(b'\n');
                    }
                    None => self.done = true,
                },
                Some(columns) => match self.points.next_sum().await? {
                    Some((at, sum)) => write_row(columns, self.stats, at, &sum, &mut self.piece),
                    None => self.done = true,
                },
            }
        }
        let piece = std::mem::take(&mut self.piece);
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// A field of the documents; each becomes one column of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    table: usize,
    key: Key,
    column: usize,
}

/// Every field in the range, in document order. Reads a few wide points: a sum has all fields of its parts.
async fn columns(history: &History, query: &HistoryQuery) -> Result<Vec<Column>> {
    let coarse = super::Interval::auto(query.start, query.end);
    let interval = if coarse.width() > query.interval.width() { coarse } else { query.interval };
    let mut points = Points::open(history, HistoryQuery { interval, ..query.clone() }).await?;
    let layout = Layout::of(query.metric_type);
    let mut places = BTreeSet::new();
    while let Some((_, sum)) = points.next_sum().await? {
        for (table, of) in layout.tables.iter().enumerate() {
            for (row, key) in sum.keys_of(table).iter().enumerate() {
                for (column, of) in of.columns.iter().enumerate() {
                    let is_there = !matches!(sum.row(table, row)[column], Cell::Absent);
                    if is_there
                        && of.field.is_some()
                        && of.kind != Kind::Gate
                        && query.selection.has(layout, table, key, column)
                    {
                        places.insert(Column { table, key: key.clone(), column });
                    }
                }
            }
        }
    }
    Ok(places.into_iter().collect())
}

fn write_header(layout: &Layout, columns: &[Column], stats: super::Stats, out: &mut Vec<u8>) {
    out.extend_from_slice(b"timestamp");
    if stats.count {
        out.extend_from_slice(b",count");
    }
    for Column { table, key, column } in columns {
        let name = layout.full_name(*table, key, &layout.tables[*table].columns[*column].name);
        for (wanted, suffix) in [(true, ""), (stats.min, ".min"), (stats.max, ".max")] {
            if wanted {
                out.push(b',');
                write_text(&format!("{name}{suffix}"), out);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_row(columns: &[Column], stats: super::Stats, at: i64, sum: &Bucket, out: &mut Vec<u8>) {
    out.extend_from_slice(rfc3339(from_micros(at)).as_bytes());
    if stats.count {
        out.push(b',');
        write_number(sum.samples() as f64, out);
    }
    let layout = Layout::of(sum.metric_type());
    let rows: HashMap<(usize, &Key), usize> = (0..layout.tables.len())
        .flat_map(|table| sum.keys_of(table).iter().enumerate().map(move |(row, key)| ((table, key), row)))
        .collect();
    for Column { table, key, column } in columns {
        out.push(b',');
        let cells = rows.get(&(*table, key)).map(|row| sum.row(*table, *row));
        let cell = cells.map(|cells| &cells[*column]);
        let mut extremes = None;
        match cell {
            Some(Cell::Number(stat)) => {
                let derived = layout.tables[*table].columns[*column].derived;
                let histogram =
                    derived.zip(cells).map(|(derived, cells)| (derived, &cells[derived.histogram]));
                match histogram {
                    Some((derived, Cell::Histogram(histogram))) => {
                        write_value(&derived.statistic.of(histogram), out);
                    }
                    _ => write_number(stat.average(), out),
                }
                extremes = Some((stat.min, stat.max));
            }
            Some(Cell::Histogram(histogram)) => {
                let mut json = Vec::new();
                write_value(&Value::Histogram(histogram.clone()), &mut json);
                write_text(&String::from_utf8_lossy(&json), out);
            }
            Some(Cell::Events(events)) => write_text(&format!("[{events}]"), out),
            Some(Cell::States(states)) => match longest(states) {
                Some(Value::Text(text) | Value::Json(text)) => write_text(text, out),
                Some(other) => drop(write_value(other, out)),
                None => {}
            },
            Some(Cell::Absent | Cell::Null | Cell::Present) | None => {}
        }
        for (wanted, extreme) in [(stats.min, extremes.map(|e| e.0)), (stats.max, extremes.map(|e| e.1))] {
            if wanted {
                out.push(b',');
                if let Some(value) = extreme {
                    write_number(value, out);
                }
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes text as a cell: quoted, and never as a formula that a spreadsheet would run. Names on the machine are
/// untrusted.
fn write_text(text: &str, out: &mut Vec<u8>) {
    const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];
    out.push(b'"');
    if text.starts_with(FORMULA) {
        out.push(b'\'');
    }
    for part in text.split_inclusive('"') {
        out.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
