//! Reading the values out of documents without parsing them.
//!
//! From tick to tick a document's text is the same but for its values. A [`Pattern`] knows where those stand, so the
//! next document is compared with the text between them, and only the values are read. [`Reader`] keeps the patterns
//! of the last few documents. What it reads is exactly what parsing gives; a text that it cannot be sure of is not read.

use std::sync::Arc;

use super::events;
use super::histogram::Histogram;
use super::shape::{KEY, Kind, LIST, LONGEST_LIST, Leaf, Shape, push_key};
use super::text::Cursor;

/// Patterns kept: a part of a document that is `null` now and again makes another one.
const KEPT: usize = 4;

/// A leaf's value.
#[derive(Debug, Clone)]
pub(super) enum Token<'a> {
    Null,
    Empty,
    Number(f64),
    Histogram(Box<Histogram>),
    /// As the list stands in the text.
    Events(&'a [u8]),
    /// As it stands in the text.
    Other(&'a [u8]),
}

impl Token<'_> {
    /// What stands at the path of the events, if it is a list, is those.
    fn at(self, path: &str) -> Self {
        match self {
            Self::Other(text) if path == events::NAME && text.starts_with(b"[") => Self::Events(text),
            other => other,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
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

#[derive(Debug)]
struct Pattern {
    /// What stands before the first value, between the values and behind the last, without a seam.
    literals: Vec<u8>,
    /// In the order of the text.
    slots: Vec<Slot>,
    shape: Arc<Shape>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Where the literal before this value ends.
    literal_end: usize,
    /// Its place in the shape; `None` for the document's own time.
    leaf: Option<usize>,
    /// An element of a list of numbers, where nothing else may stand.
    in_list: bool,
}

/// What a document holds: its values in the order of the shape's leaves, of which only the paths are this document's.
#[derive(Debug)]
pub(super) struct Read<'r, 'a> {
    paths: &'r mut Arc<Shape>,
    pub tokens: Vec<Token<'a>>,
}

impl Read<'_, '_> {
    pub(super) fn paths(&self) -> &Shape {
        self.paths
    }

    /// The document's own shape; the same one for documents whose values are of the same kinds.
    pub(super) fn shape(&mut self) -> Arc<Shape> {
        let kinds = || self.tokens.iter().map(Token::kind);
        if !self.paths.leaves().iter().map(|leaf| leaf.kind).eq(kinds()) {
            *self.paths = Arc::new(self.paths.with_kinds(kinds()));
        }
        Arc::clone(self.paths)
    }
}

/// Reads the documents of one type.
#[derive(Debug, Default)]
pub struct Reader {
    /// The one that fitted last is first.
    patterns: Vec<Pattern>,
}

impl Reader {
    /// Reads a document, or nothing if it is not a JSON object that is certain to be understood.
    pub(super) fn read<'a>(&mut self, json: &'a [u8]) -> Option<Read<'_, 'a>> {
        let fitting = self.patterns.iter().enumerate().find_map(|(i, p)| Some((i, p.read(json)?)));
        let tokens = match fitting {
            Some((i, tokens)) => {
                self.patterns[..=i].rotate_right(1);
                tokens
            }
            None => {
                let pattern = Pattern::of(json)?;
                let tokens = pattern.read(json)?;
                self.patterns.truncate(KEPT - 1);
                self.patterns.insert(0, pattern);
                tokens
            }
        };
        Some(Read { paths: &mut self.patterns.first_mut()?.shape, tokens })
    }
}

impl Pattern {
    /// Learns where the values of a document stand.
    fn of(json: &[u8]) -> Option<Self> {
        let mut survey = Survey { cursor: Cursor::new(json), path: String::new(), found: Vec::new() };
        survey.cursor.space();
        survey.document()?;
        survey.cursor.space();
        if survey.cursor.at != json.len() {
            return None;
        }
        let mut order: Vec<usize> =
            (0..survey.found.len()).filter(|i| survey.found[*i].leaf.is_some()).collect();
        order.sort_unstable_by(|a, b| survey.found[*a].path().cmp(&survey.found[*b].path()));
        // Of two members of one name a parser keeps the last.
        if order.windows(2).any(|pair| survey.found[pair[0]].path() == survey.found[pair[1]].path()) {
            return None;
        }
        let mut literals = Vec::with_capacity(json.len());
        let mut slots = Vec::with_capacity(survey.found.len());
        let mut end = 0;
        for value in &survey.found {
            literals.extend_from_slice(&json[end..value.start]);
            end = value.end;
            slots.push(Slot { literal_end: literals.len(), leaf: None, in_list: value.in_list });
        }
        literals.extend_from_slice(&json[end..]);
        let mut leaves = Vec::with_capacity(order.len());
        for i in order {
            slots[i].leaf = Some(leaves.len());
            leaves.extend(survey.found[i].leaf.take());
        }
        Some(Self { literals, slots, shape: Arc::new(Shape::new(leaves)) })
    }

    fn read<'a>(&self, json: &'a [u8]) -> Option<Vec<Token<'a>>> {
        let mut cursor = Cursor::new(json);
        let mut tokens = vec![Token::Null; self.shape.leaves().len()];
        let mut begin = 0;
        for slot in &self.slots {
            cursor.literal(&self.literals[begin..slot.literal_end])?;
            begin = slot.literal_end;
            let token = value(&mut cursor)?;
            if slot.in_list && !matches!(token, Token::Number(_) | Token::Null) {
                return None;
            }
            if let Some(leaf) = slot.leaf {
                tokens[leaf] = token.at(&self.shape.leaves()[leaf].path);
            }
        }
        cursor.literal(&self.literals[begin..])?;
        (cursor.at == json.len()).then_some(tokens)
    }
}

/// Steps over one leaf's value. `None` where leaves would begin inside it.
fn value<'a>(cursor: &mut Cursor<'a>) -> Option<Token<'a>> {
    let start = cursor.at;
    match cursor.peek()? {
        b'n' => cursor.literal(b"null").map(|()| Token::Null),
        b't' => cursor.literal(b"true").map(|()| Token::Other(cursor.since(start))),
        b'f' => cursor.literal(b"false").map(|()| Token::Other(cursor.since(start))),
        b'"' => cursor.string().map(|()| Token::Other(cursor.since(start))),
        b'[' => {
            if numbers(*cursor).is_some() {
                return None;
            }
            cursor.nested().map(|()| Token::Other(cursor.since(start)))
        }
        b'{' => {
            cursor.nested()?;
            let text = cursor.since(start);
            match text[1..text.len() - 1].trim_ascii() {
                b"" => Some(Token::Empty),
                _ => Histogram::from_text(text).map(|histogram| Token::Histogram(Box::new(histogram))),
            }
        }
        _ => cursor.number().map(Token::Number),
    }
}

/// How many elements the list here has, if it is one of numbers and nulls that are leaves of their own.
fn numbers(mut cursor: Cursor<'_>) -> Option<usize> {
    cursor.mark(b'[')?;
    let mut length = 0;
    loop {
        match cursor.peek()? {
            b'n' => cursor.literal(b"null")?,
            b'-' | b'0'..=b'9' => drop(cursor.number()?),
            _ => return None,
        }
        length += 1;
        if cursor.mark(b']').is_some() {
            return (length <= LONGEST_LIST).then_some(length);
        }
        cursor.mark(b',')?;
    }
}

/// Finds the leaves of a document, as [`super::shape::visit`] does in a parsed one.
struct Survey<'a> {
    cursor: Cursor<'a>,
    path: String,
    found: Vec<Found>,
}

struct Found {
    start: usize,
    end: usize,
    leaf: Option<Leaf>,
    in_list: bool,
}

impl Found {
    fn path(&self) -> Option<&str> {
        self.leaf.as_ref().map(|leaf| &*leaf.path)
    }
}

impl Survey<'_> {
    fn document(&mut self) -> Option<()> {
        let mut whole = self.cursor;
        whole.nested()?;
        // One that is a distribution itself has no leaves.
        (self.cursor.peek()? == b'{' && Histogram::from_text(whole.since(self.cursor.at)).is_none())
            .then(|| self.members())?
    }

    fn members(&mut self) -> Option<()> {
        self.cursor.mark(b'{')?;
        let root = self.path.is_empty();
        if self.cursor.peek()? == b'}' {
            self.cursor.at += 1;
            return Some(());
        }
        loop {
            let start = self.cursor.at;
            self.cursor.string()?;
            let key: String = serde_json::from_slice(self.cursor.since(start)).ok()?;
            // With another member it would be a distribution for the parser.
            if key == "scheme" {
                return None;
            }
            self.cursor.mark(b':')?;
            if root && key == "_timestamp" {
                let start = self.cursor.at;
                value(&mut self.cursor)?;
                self.found.push(Found { start, end: self.cursor.at, leaf: None, in_list: false });
            } else {
                let length = self.path.len();
                push_key(&mut self.path, &key);
                self.value()?;
                self.path.truncate(length);
            }
            if self.cursor.mark(b'}').is_some() {
                return Some(());
            }
            self.cursor.mark(b',')?;
        }
    }

    fn value(&mut self) -> Option<()> {
        let start = self.cursor.at;
        if let Some(token) = value(&mut self.cursor) {
            let kind = token.at(&self.path).kind();
            self.leaf(start, kind, false);
            return Some(());
        }
        self.cursor.at = start;
        match self.cursor.peek()? {
            b'{' => self.members(),
            b'[' => {
                use std::fmt::Write;
                let length = self.path.len();
                let count = numbers(self.cursor)?;
                let _ = write!(self.path, "{LIST}{count:05}");
                let inside = self.path.len();
                self.cursor.mark(b'[')?;
                for i in 0..count {
                    let _ = write!(self.path, "{KEY}{i:05}");
                    let start = self.cursor.at;
                    let token = value(&mut self.cursor)?;
                    self.leaf(start, token.kind(), true);
                    self.path.truncate(inside);
                    self.cursor.mark(if i + 1 == count { b']' } else { b',' })?;
                }
                self.path.truncate(length);
                Some(())
            }
            _ => None,
        }
    }

    fn leaf(&mut self, start: usize, kind: Kind, in_list: bool) {
        let leaf = Leaf { path: self.path.as_str().into(), kind };
        self.found.push(Found { start, end: self.cursor.at, leaf: Some(leaf), in_list });
    }
}

#[cfg(test)]
mod tests;
