//! From sums back to JSON: the text around the values is worked out once per shape.

use std::sync::Arc;

use super::accumulator::{Accumulator, Cell, Stat};
use super::shape::{KEY, Kind, LIST, Shape};

/// Which leaves an answer shows: all, or those at or under the given dotted paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<String>);

impl Fields {
    /// `a,b.c`: the member `a` with all in it, and the member `c` of `b`. Empty means everything.
    pub fn parse(list: &str) -> Self {
        Self(list.split(',').map(str::trim).filter(|f| !f.is_empty()).map(str::to_owned).collect())
    }

    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the leaf at a path is shown.
    pub fn contain(&self, path: &str) -> bool {
        // A name may have dots of its own (`eth0.100`), so paths are compared in their dotted form.
        let dotted = path.replace(KEY, ".");
        let named = dotted.split(LIST).next().unwrap_or_default();
        self.0.iter().any(|field| {
            named.strip_prefix(field.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// What to write for the numbers of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Every leaf, numbers as averages.
    Average,
    /// Numbers only.
    Min,
    Max,
}

/// How the documents of one shape are written: for each shown leaf, the text before it.
#[derive(Debug)]
pub struct Template {
    shape: Arc<Shape>,
    pieces: Vec<(Vec<u8>, usize)>,
    end: Vec<u8>,
    /// Where `_timestamp` is wanted.
    timestamp: bool,
}

impl Template {
    pub fn new(shape: &Arc<Shape>, fields: &Fields, numbers_only: bool) -> Self {
        let mut pieces = Vec::new();
        // Open containers, outermost first: how each is closed and what its members' paths begin with.
        let mut open: Vec<(u8, &str)> = Vec::new();
        let mut text = vec![b'{'];
        let mut first = true;
        for (i, leaf) in shape.leaves().iter().enumerate() {
            if (numbers_only && leaf.kind != Kind::Number) || !(fields.is_all() || fields.contain(&leaf.path))
            {
                continue;
            }
            while let Some(&(close, inside)) = open.last()
                && !leaf.path.starts_with(inside)
            {
                text.push(close);
                open.pop();
            }
            if !first {
                text.push(b',');
            }
            first = false;
            let mut from = open.last().map_or(0, |(_, inside)| inside.len());
            let mut in_list = open.last().is_some_and(|(close, _)| *close == b']');
            let path = &*leaf.path;
            loop {
                let end = path[from..].find(KEY).map_or(path.len(), |n| from + n);
                let segment = &path[from..end];
                let (name, is_list) = match segment.find(LIST) {
                    Some(n) => (&segment[..n], true),
                    None => (segment, false),
                };
                if !in_list {
                    write_string(&mut text, name);
                    text.push(b':');
                }
                if end == path.len() {
                    break;
                }
                text.push(if is_list { b'[' } else { b'{' });
                open.push((if is_list { b']' } else { b'}' }, &path[..=end]));
                in_list = is_list;
                from = end + 1;
            }
            pieces.push((std::mem::take(&mut text), i));
        }
        let mut end = text;
        end.extend(open.iter().rev().map(|(close, _)| *close));
        end.push(b'}');
        Self { shape: Arc::clone(shape), pieces, end, timestamp: !numbers_only && fields.is_all() }
    }

    pub fn fits(&self, shape: &Arc<Shape>) -> bool {
        Arc::ptr_eq(&self.shape, shape)
    }

    pub fn write(&self, bucket: &Accumulator, show: Show, out: &mut Vec<u8>) {
        let start = out.len();
        for (before, i) in &self.pieces {
            out.extend_from_slice(before);
            match &bucket.cells()[*i] {
                Cell::Number(stat) => write_number(out, pick(stat, show)),
                Cell::Histogram(h) => h.write_json(out),
                Cell::Events(events) => out.extend_from_slice(events.text()),
                Cell::Other(json) => out.extend_from_slice(json),
                Cell::Vacant if self.shape.leaves()[*i].kind == Kind::Empty => out.extend_from_slice(b"{}"),
                Cell::Vacant => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(&self.end);
        if self.timestamp {
            let at = crate::snapshot::rfc3339(crate::store::from_micros(bucket.first_at()));
            let comma = if self.pieces.is_empty() { "" } else { "," };
            let member = format!("\"_timestamp\":\"{at}\"{comma}");
            out.splice(start + 1..start + 1, member.into_bytes());
        }
    }
}

fn pick(stat: &Stat, show: Show) -> f64 {
    match show {
        Show::Average => stat.average(),
        Show::Min => stat.min,
        Show::Max => stat.max,
    }
}

/// Whole numbers without a fraction, as the documents had them.
pub fn write_number(out: &mut Vec<u8>, n: f64) {
    use std::io::Write;
    // Up to 2^53 every integer is exact.
    let _ = if n.fract() == 0.0 && n.abs() < 9.0e15 {
        if n < 0.0 {
            out.push(b'-');
        }
        write_whole(out, (n as i64).unsigned_abs());
        Ok(())
    } else if n.is_finite() {
        serde_json::to_writer(&mut *out, &n).map_err(std::io::Error::from)
    } else {
        out.write_all(b"null")
    };
}

/// A month of histograms has a million of these, and formatting through `fmt` took most of a question's time.
pub fn write_whole(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail, and strings always serialize.
    let _ = serde_json::to_writer(out, text);
}
