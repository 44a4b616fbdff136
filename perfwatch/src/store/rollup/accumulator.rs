//! Sums of the documents of one bucket, leaf by leaf.

use std::sync::Arc;

use serde_json::Value;

use super::events::Events;
use super::histogram::Histogram;
use super::pattern::{Read, Reader, Token};
use super::shape::{Found, Kind, Leaf, Shape, visit};

/// A numeric leaf over the documents that had it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub count: u64,
}

impl Stat {
    pub const fn one(value: f64) -> Self {
        Self { sum: value, min: value, max: value, count: 1 }
    }

    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count += other.count;
    }

    /// Exact where every value was the same, whatever rounding the sum went through.
    pub fn average(&self) -> f64 {
        if self.min == self.max { self.min } else { self.sum / self.count as f64 }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Null in every document so far, or an empty object.
    Vacant,
    Number(Stat),
    Histogram(Box<Histogram>),
    Events(Events),
    /// The JSON text of the first.
    Other(Box<[u8]>),
}

impl Cell {
    fn from_found(found: Found<'_>) -> Self {
        match found {
            Found::Null | Found::Empty => Self::Vacant,
            Found::Number(n) => Self::Number(Stat::one(n)),
            Found::Histogram(map) => Self::Histogram(Box::new(Histogram::from_json(map))),
            Found::Events(list) => Self::Events(Events::of(list)),
            Found::Other(value) => Self::Other(value.to_string().into_bytes().into()),
        }
    }

    fn from_token(token: Token<'_>) -> Self {
        match token {
            Token::Null | Token::Empty => Self::Vacant,
            Token::Number(n) => Self::Number(Stat::one(n)),
            Token::Histogram(histogram) => Self::Histogram(histogram),
            Token::Events(list) => Self::Events(Events::of_json(list)),
            Token::Other(text) => Self::Other(canonical(text).into()),
        }
    }

    /// Adds a value of the same kind; of another kind, or a later one where the first stays: nothing.
    fn add(&mut self, later: Self) {
        match (self, later) {
            (Self::Number(a), Self::Number(b)) => a.merge(&b),
            (Self::Histogram(a), Self::Histogram(b)) => a.merge(&b),
            (Self::Events(a), Self::Events(b)) => a.merge(b),
            (vacant @ Self::Vacant, later) => *vacant = later,
            _ => {}
        }
    }
}

/// A value's text as parsing and writing it leaves it.
fn canonical(text: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(text) {
        Ok(value) => value.to_string().into_bytes(),
        Err(_) => text.to_owned(),
    }
}

/// What one bucket holds. Adding documents in time order or merging rollups of parts of the bucket gives the same.
#[derive(Debug, Clone)]
pub struct Accumulator {
    shape: Arc<Shape>,
    cells: Vec<Cell>,
    /// Documents.
    samples: u64,
    /// Time of the first document, µs.
    first_at: i64,
}

impl Default for Accumulator {
    fn default() -> Self {
        Self { shape: Arc::default(), cells: Vec::new(), samples: 0, first_at: i64::MAX }
    }
}

impl Accumulator {
    pub(super) fn from_parts(shape: Arc<Shape>, cells: Vec<Cell>, samples: u64, first_at: i64) -> Self {
        debug_assert_eq!(shape.leaves().len(), cells.len());
        Self { shape, cells, samples, first_at }
    }

    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub fn samples(&self) -> u64 {
        self.samples
    }

    pub fn first_at(&self) -> i64 {
        self.first_at
    }

    /// The numeric leaf at a path of keys.
    pub fn stat(&self, path: &str) -> Option<&Stat> {
        match &self.cells[self.shape.position(path)?] {
            Cell::Number(stat) => Some(stat),
            _ => None,
        }
    }

    /// Adds a raw document, parsed only where `reader` cannot read it as it is. The result is that of
    /// [`Self::add_document`].
    pub fn read_document(&mut self, reader: &mut Reader, at: i64, json: &[u8]) {
        let Some(read) = reader.read(json) else { return self.add_document(at, json) };
        self.add_read(read);
        self.samples += 1;
        self.first_at = self.first_at.min(at);
    }

    fn add_read(&mut self, mut read: Read<'_, '_>) {
        if self.is_empty() || !self.shape.has_paths_of(read.paths()) {
            let shape = read.shape();
            let cells = read.tokens.into_iter().map(Cell::from_token).collect();
            return self.merge_cells(&shape, cells);
        }
        let mut changed: Vec<(usize, Kind)> = Vec::new();
        let leaves = self.shape.leaves().iter();
        for (i, ((cell, leaf), token)) in self.cells.iter_mut().zip(leaves).zip(read.tokens).enumerate() {
            let kind = token.kind();
            match (&mut *cell, token) {
                (_, Token::Null) | (Cell::Other(_), _) => {}
                (Cell::Number(stat), Token::Number(n)) => stat.merge(&Stat::one(n)),
                (Cell::Histogram(sum), Token::Histogram(histogram)) => sum.merge(&histogram),
                (Cell::Events(all), Token::Events(list)) => all.merge(Events::of_json(list)),
                // A rollup that was read again may lack the value though its shape has it.
                (Cell::Vacant, token) if kind == leaf.kind => *cell = Cell::from_token(token),
                (_, token) if leaf.kind.is_vacant() => {
                    *cell = Cell::from_token(token);
                    changed.push((i, kind));
                }
                _ => {}
            }
        }
        if !changed.is_empty() {
            self.reshape(Vec::new(), &changed);
        }
    }

    /// Adds a raw document; what is not a JSON object counts as nothing.
    pub fn add_document(&mut self, at: i64, json: &[u8]) {
        let Ok(document @ Value::Object(_)) = serde_json::from_slice::<Value>(json) else { return };
        if self.is_empty() || !self.add_in_place(&document) {
            let mut leaves: Vec<(Leaf, Cell)> = Vec::with_capacity(self.cells.len());
            visit(&document, &mut String::new(), &mut |path, found| {
                leaves.push((Leaf { path: path.into(), kind: found.kind() }, Cell::from_found(found)));
            });
            // Already sorted, unless a key had characters that were replaced.
            leaves.sort_by(|a, b| a.0.path.cmp(&b.0.path));
            leaves.dedup_by(|later, first| later.0.path == first.0.path);
            let (leaves, cells): (Vec<_>, Vec<_>) = leaves.into_iter().unzip();
            self.merge_cells(&Arc::new(Shape::new(leaves)), cells);
        }
        self.samples += 1;
        self.first_at = self.first_at.min(at);
    }

    /// Adds a document that has exactly the paths of those before it; false (and nothing added) if it hasn't.
    fn add_in_place(&mut self, document: &Value) -> bool {
        let leaves = self.shape.leaves();
        let mut found: Vec<Found<'_>> = Vec::with_capacity(leaves.len());
        let mut same = true;
        visit(document, &mut String::new(), &mut |path, value| {
            same = same
                && leaves.get(found.len()).is_some_and(|leaf| {
                    *leaf.path == *path && (!leaf.kind.is_vacant() || value.kind() == leaf.kind)
                });
            found.push(value);
        });
        if !same || found.len() != leaves.len() {
            return false;
        }
        for (cell, value) in self.cells.iter_mut().zip(found) {
            match (&mut *cell, value) {
                (Cell::Number(stat), Found::Number(n)) => stat.merge(&Stat::one(n)),
                (Cell::Other(_), _) | (_, Found::Null | Found::Empty) => {}
                (_, value) => cell.add(Cell::from_found(value)),
            }
        }
        true
    }

    /// Adds a later part of the same bucket.
    pub fn merge(&mut self, later: Self) {
        if later.is_empty() {
            return;
        }
        self.samples += later.samples;
        self.first_at = self.first_at.min(later.first_at);
        if self.cells.is_empty() {
            self.shape = later.shape;
            self.cells = later.cells;
        } else {
            self.merge_cells(&later.shape, later.cells);
        }
    }

    fn merge_cells(&mut self, shape: &Arc<Shape>, cells: Vec<Cell>) {
        if self.cells.is_empty() {
            self.shape = Arc::clone(shape);
            self.cells = cells;
            return;
        }
        if Arc::ptr_eq(&self.shape, shape) || self.shape.leaves() == shape.leaves() {
            for (cell, later) in self.cells.iter_mut().zip(cells) {
                cell.add(later);
            }
            return;
        }
        let mut fresh: Vec<(Leaf, Cell)> = Vec::new();
        let mut changed: Vec<(usize, Kind)> = Vec::new();
        for (leaf, cell) in shape.leaves().iter().zip(cells) {
            match self.shape.position(&leaf.path) {
                Some(i) => {
                    let kind = self.shape.leaves()[i].kind;
                    if kind == leaf.kind {
                        self.cells[i].add(cell);
                    } else if kind.is_vacant() && (!leaf.kind.is_vacant() || leaf.kind == Kind::Empty) {
                        self.cells[i] = cell;
                        changed.push((i, leaf.kind));
                    }
                }
                None if self.shape.contradicts(&leaf.path) => {}
                None => fresh.push((leaf.clone(), cell)),
            }
        }
        if !fresh.is_empty() || !changed.is_empty() {
            self.reshape(fresh, &changed);
        }
    }

    fn reshape(&mut self, fresh: Vec<(Leaf, Cell)>, changed: &[(usize, Kind)]) {
        let mut leaves = self.shape.leaves().to_vec();
        for &(i, kind) in changed {
            leaves[i].kind = kind;
        }
        // What is null here and an object or list there has become the latter.
        let outgrown = |leaf: &Leaf| {
            leaf.kind.is_vacant()
                && fresh.iter().any(|(f, _)| {
                    f.path
                        .strip_prefix(&*leaf.path)
                        .is_some_and(|rest| rest.starts_with(super::shape::SEPARATORS))
                })
        };
        let mut all: Vec<(Leaf, Cell)> = leaves
            .into_iter()
            .zip(std::mem::take(&mut self.cells))
            .filter(|(leaf, _)| !outgrown(leaf))
            .collect();
        all.extend(fresh);
        all.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        let (leaves, cells): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        self.shape = Arc::new(Shape::new(leaves));
        self.cells = cells;
    }
}

#[cfg(test)]
mod tests;
