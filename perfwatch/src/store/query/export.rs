//! A range as a file, piece by piece: CSV with a column per leaf, or a JSON document per line.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::HistoryQuery;
use super::points::Points;
use crate::snapshot::rfc3339;
use crate::store::rollup::accumulator::{Accumulator, Cell};
use crate::store::rollup::shape::{KEY, LIST};
use crate::store::rollup::template::write_number;
use crate::store::{Result, Store, from_micros};

/// Pieces are about this long.
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
    /// Of a CSV file: the paths of its columns; `None` for lines of JSON.
    columns: Option<Vec<String>>,
    stats: super::Stats,
    piece: Vec<u8>,
    done: bool,
}

impl Export {
    /// `query.limit` holds.
    pub async fn open(store: &Arc<dyn Store>, query: HistoryQuery, format: Format) -> Result<Self> {
        let mut piece = Vec::new();
        let stats = query.stats;
        let columns = match format {
            Format::Ndjson => None,
            Format::Csv => {
                let columns = columns(store, &query).await?;
                write_header(&columns, stats, &mut piece);
                Some(columns)
            }
        };
        let points = Points::open(Arc::clone(store), query).await?;
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

/// The paths of every leaf in the range, in order. Read through few, wide points: a sum has all leaves of its parts.
async fn columns(store: &Arc<dyn Store>, query: &HistoryQuery) -> Result<Vec<String>> {
    let coarse = super::Interval::auto(query.start, query.end);
    let interval = if coarse.width() > query.interval.width() { coarse } else { query.interval };
    let mut points = Points::open(Arc::clone(store), HistoryQuery { interval, ..query.clone() }).await?;
    let mut paths = BTreeSet::new();
    while let Some((_, sum)) = points.next_sum().await? {
        for leaf in sum.shape().leaves() {
            if (query.fields.is_all() || query.fields.contain(&leaf.path)) && !paths.contains(&*leaf.path) {
                paths.insert(leaf.path.to_string());
            }
        }
    }
    Ok(paths.into_iter().collect())
}

fn write_header(columns: &[String], stats: super::Stats, out: &mut Vec<u8>) {
    out.extend_from_slice(b"timestamp");
    if stats.count {
        out.extend_from_slice(b",count");
    }
    for path in columns {
        let name = readable(path);
        for (wanted, suffix) in [(true, ""), (stats.min, ".min"), (stats.max, ".max")] {
            if wanted {
                out.push(b',');
                write_text(&format!("{name}{suffix}"), out);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A path as a column's name: `io.read_bytes`, and `per_core.0` for a position in a list.
fn readable(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut in_list = false;
    for part in path.split(KEY) {
        let key = part.split(LIST).next().unwrap_or_default();
        if !name.is_empty() {
            name.push('.');
        }
        // Positions are padded in paths, so that they sort.
        match key.trim_start_matches('0') {
            "" if in_list => name.push('0'),
            position if in_list => name.push_str(position),
            _ => name.push_str(key),
        }
        in_list = part.contains(LIST);
    }
    name
}

fn write_row(columns: &[String], stats: super::Stats, at: i64, sum: &Accumulator, out: &mut Vec<u8>) {
    out.extend_from_slice(rfc3339(from_micros(at)).as_bytes());
    if stats.count {
        out.push(b',');
        write_number(out, sum.samples() as f64);
    }
    for path in columns {
        out.push(b',');
        let cell = sum.shape().position(path).map(|i| &sum.cells()[i]);
        let mut extremes = None;
        match cell {
            Some(Cell::Number(stat)) => {
                write_number(out, stat.average());
                extremes = Some((stat.min, stat.max));
            }
            Some(Cell::Histogram(histogram)) => {
                let mut json = Vec::new();
                histogram.write_json(&mut json);
                write_text(&String::from_utf8_lossy(&json), out);
            }
            Some(Cell::Events(events)) => write_text(&String::from_utf8_lossy(events.text()), out),
            Some(Cell::Other(json)) => match serde_json::from_slice::<String>(json) {
                Ok(text) => write_text(&text, out),
                Err(_) => write_text(&String::from_utf8_lossy(json), out),
            },
            Some(Cell::Vacant) | None => {}
        }
        for (wanted, extreme) in [(stats.min, extremes.map(|e| e.0)), (stats.max, extremes.map(|e| e.1))] {
            if wanted {
                out.push(b',');
                if let Some(value) = extreme {
                    write_number(out, value);
                }
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A cell of text: quoted, and never a formula to a spreadsheet. What machines are called is not ours to trust.
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
