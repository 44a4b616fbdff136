//! The paths of a document's leaves, kept once instead of in every row.
//!
//! A path is its keys joined by [`KEY`]; a list of numbers adds [`LIST`] with its length and then the
//! position, so lists of different lengths are different paths. Paths are sorted by bytes, which groups
//! what belongs to one object.

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::events;
use super::histogram::Histogram;

/// Between keys. Below every printable character, so sorted paths keep an object's members together.
pub const KEY: char = '\u{1f}';
/// Between a list's key and its length.
pub const LIST: char = '\u{1e}';
pub const SEPARATORS: [char; 2] = [KEY, LIST];
/// Longer lists of numbers are kept like any other value: by their first.
pub(super) const LONGEST_LIST: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only nulls so far.
    Null,
    /// An object without members so far.
    Empty,
    Number,
    Histogram,
    /// What happened, one after another: a bucket keeps them all.
    Events,
    /// Strings, booleans, lists of objects: a bucket keeps the first.
    Other,
}

impl Kind {
    const fn letter(self) -> char {
        match self {
            Self::Null => '0',
            Self::Empty => '{',
            Self::Number => 'n',
            Self::Histogram => 'h',
            Self::Events => 'e',
            Self::Other => 'o',
        }
    }

    fn from_letter(letter: char) -> Option<Self> {
        [Self::Null, Self::Empty, Self::Number, Self::Histogram, Self::Events, Self::Other]
            .into_iter()
            .find(|k| k.letter() == letter)
    }

    /// Holds nothing that a real value would contradict.
    pub const fn is_vacant(self) -> bool {
        matches!(self, Self::Null | Self::Empty)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub path: Arc<str>,
    pub kind: Kind,
}

#[derive(Debug, Default)]
pub struct Shape {
    leaves: Vec<Leaf>,
    key: OnceLock<i64>,
}

impl Shape {
    /// `leaves` must be sorted by path.
    pub fn new(leaves: Vec<Leaf>) -> Self {
        debug_assert!(leaves.is_sorted_by(|a, b| a.path < b.path));
        Self { leaves, key: OnceLock::new() }
    }

    /// The same paths with other kinds, one for each.
    pub fn with_kinds(&self, kinds: impl Iterator<Item = Kind>) -> Self {
        Self::new(
            self.leaves.iter().zip(kinds).map(|(l, kind)| Leaf { path: Arc::clone(&l.path), kind }).collect(),
        )
    }

    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    pub fn has_paths_of(&self, other: &Self) -> bool {
        let same = |(a, b): (&Leaf, &Leaf)| Arc::ptr_eq(&a.path, &b.path) || a.path == b.path;
        self.leaves.len() == other.leaves.len() && self.leaves.iter().zip(&other.leaves).all(same)
    }

    /// What rows refer to it by: a hash of the content, so it is the same in every database.
    pub fn key(&self) -> i64 {
        *self.key.get_or_init(|| {
            let digest = Sha256::digest(self.to_text().as_bytes());
            let bytes: [u8; 8] = std::array::from_fn(|i| digest[i]);
            // 0 means "raw" where keys are stored.
            i64::from_le_bytes(bytes).max(i64::MIN + 1) | 1
        })
    }

    /// The form it is stored in: a JSON list of `kind letter + path`.
    pub fn to_text(&self) -> String {
        let lines: Vec<String> =
            self.leaves.iter().map(|l| format!("{}{}", l.kind.letter(), l.path)).collect();
        serde_json::to_string(&lines).expect("a list of strings always serializes")
    }

    /// Reads what was stored under `key`.
    pub fn from_text(key: i64, text: &str) -> Option<Self> {
        let lines: Vec<String> = serde_json::from_str(text).ok()?;
        let leaves: Option<Vec<Leaf>> = lines
            .iter()
            .map(|line| {
                let kind = Kind::from_letter(line.chars().next()?)?;
                Some(Leaf { path: line.get(1..)?.into(), kind })
            })
            .collect();
        let leaves = leaves?;
        let sorted = leaves.is_sorted_by(|a, b| a.path < b.path);
        sorted.then(|| Self { leaves, key: OnceLock::from(key) })
    }

    pub fn position(&self, path: &str) -> Option<usize> {
        self.leaves.binary_search_by(|l| l.path.as_ref().cmp(path)).ok()
    }

    fn any_under(&self, prefix: &str) -> Option<&Leaf> {
        let i = self.leaves.partition_point(|l| l.path.as_ref() < prefix);
        self.leaves.get(i).filter(|l| l.path.starts_with(prefix))
    }

    /// Whether a leaf at `path` would contradict what is here: a value where this has an object or a list
    /// of another length, or something inside what is a plain value here. The first to come stays.
    pub fn contradicts(&self, path: &str) -> bool {
        for (end, _) in path.match_indices(KEY) {
            let head = &path[..end];
            // `name` is what holds the rest of the path, `inside` how its members begin.
            let name = match head.rfind([KEY, LIST]) {
                Some(i) if head[i..].starts_with(LIST) => &head[..i],
                _ => head,
            };
            let inside = &path[..=end];
            if self.position(name).is_some_and(|p| !self.leaves[p].kind.is_vacant()) {
                return true;
            }
            let members = [KEY, LIST].map(|separator| self.any_under(&format!("{name}{separator}")));
            if members.into_iter().flatten().any(|leaf| !leaf.path.starts_with(inside)) {
                return true;
            }
        }
        [KEY, LIST].iter().any(|s| self.any_under(&format!("{path}{s}")).is_some())
    }
}

/// One value on its way from a document into an accumulator.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    Null,
    Empty,
    Number(f64),
    Histogram(&'a serde_json::Map<String, Value>),
    Events(&'a [Value]),
    Other(&'a Value),
}

impl Found<'_> {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Empty => Kind::Empty,
            Self::Number(_) => Kind::Number,
            Self::Histogram(_) => Kind::Histogram,
            Self::Events(_) => Kind::Events,
            Self::Other(_) => Kind::Other,
        }
    }
}

/// Visits every leaf of a document in path order; `_timestamp` is not one, the row has its own.
pub fn visit<'a>(document: &'a Value, path: &mut String, found: &mut impl FnMut(&str, Found<'a>)) {
    match document {
        Value::Null => found(path, Found::Null),
        Value::Number(n) => found(path, n.as_f64().map_or(Found::Null, Found::Number)),
        Value::Object(map) if map.is_empty() && !path.is_empty() => found(path, Found::Empty),
        Value::Object(map) if Histogram::is_histogram(map) => found(path, Found::Histogram(map)),
        Value::Object(map) => {
            let root = path.is_empty();
            for (key, value) in map {
                if root && key == "_timestamp" {
                    continue;
                }
                let length = path.len();
                push_key(path, key);
                visit(value, path, found);
                path.truncate(length);
            }
        }
        Value::Array(list) if path == events::NAME && !is_numeric(list) => found(path, Found::Events(list)),
        Value::Array(list) if is_numeric(list) => {
            use std::fmt::Write;
            let length = path.len();
            let _ = write!(path, "{LIST}{:05}", list.len());
            let inside = path.len();
            for (i, value) in list.iter().enumerate() {
                let _ = write!(path, "{KEY}{i:05}");
                visit(value, path, found);
                path.truncate(inside);
            }
            path.truncate(length);
        }
        other => found(path, Found::Other(other)),
    }
}

/// Goes down to an object's member.
pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push(KEY);
    }
    // Control characters are our separators; no key of ours has any, but a device's name might.
    if key.is_empty() {
        path.push('\u{fffd}');
    }
    path.extend(key.chars().map(|c| if c < ' ' { '\u{fffd}' } else { c }));
}

fn is_numeric(list: &[Value]) -> bool {
    !list.is_empty() && list.len() <= LONGEST_LIST && list.iter().all(|v| v.is_number() || v.is_null())
}
