//! Documents as this engine stores them: without the text that all of their type share, which is most of it.
//!
//! Each metric type has a few [phrases](phrases()), long runs of keys and marks. A control character stands for each: JSON
//! text has none, so text that was stored whole is its own packed form. The view `metrics_snapshots` gives the documents
//! back with nothing but `replace()`, so that any program reads them.

mod phrases;

use std::sync::OnceLock;

use crate::snapshot::MetricType;
use phrases::phrases;

/// What stands for the phrases, in their order: all control characters but those that JSON text may have between its
/// tokens, as many as the view can replace (SQLite before 3.46 parses calls no deeper).
const CODES: [u8; 24] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0b, 0x0c, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14,
    0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b,
];
/// By this many bytes phrases are looked up; none is shorter.
const PREFIX: usize = 3;

/// The document without its phrases.
pub(super) fn pack(metric_type: MetricType, json: &[u8]) -> String {
    static FINDERS: [OnceLock<Finder>; MetricType::ALL.len()] =
        [const { OnceLock::new() }; MetricType::ALL.len()];
    let finder = FINDERS[metric_type as usize].get_or_init(|| Finder::new(metric_type));
    let mut packed = Vec::with_capacity(json.len() / 2);
    // What is before `at` and from here on is kept as it is.
    let (mut from, mut at) = (0, 0);
    while let Some(&byte) = json.get(at) {
        let found = if finder.begins[usize::from(byte)] { finder.find(&json[at..]) } else { None };
        let Some(Found { code, length }) = found else {
            at += 1;
            continue;
        };
        packed.extend_from_slice(&json[from..at]);
        match code {
            Some(code) => packed.push(code),
            // No JSON has it, and it must not be taken for a phrase.
            None => packed.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        at += length;
        from = at;
    }
    packed.extend_from_slice(&json[from..]);
    String::from_utf8(packed).unwrap_or_else(|not| String::from_utf8_lossy(not.as_bytes()).into_owned())
}

/// What [`pack`] was given.
pub(super) fn unpack(metric_type: MetricType, packed: &[u8]) -> Vec<u8> {
    let phrases = phrases(metric_type);
    let mut json = Vec::with_capacity(packed.len() * 4);
    let mut from = 0;
    for (at, byte) in packed.iter().enumerate().filter(|(_, byte)| **byte < b' ') {
        let phrase = CODES.iter().position(|code| code == byte).and_then(|i| phrases.get(i));
        if let Some(phrase) = phrase {
            json.extend_from_slice(&packed[from..at]);
            json.extend_from_slice(phrase.as_bytes());
            from = at + 1;
        }
    }
    json.extend_from_slice(&packed[from..]);
    json
}

/// Finds the longest phrase of a type that a text begins with.
struct Finder {
    /// Whether a phrase begins with this byte, or it is a code.
    begins: [bool; 256],
    /// By the hash of a phrase's first bytes, the longest first.
    buckets: [Vec<(&'static [u8], u8)>; 64],
}

struct Found {
    /// `None` for a byte that is a code itself.
    code: Option<u8>,
    length: usize,
}

impl Finder {
    fn new(metric_type: MetricType) -> Self {
        let mut finder = Self { begins: [false; 256], buckets: [const { Vec::new() }; 64] };
        for (phrase, code) in phrases(metric_type).iter().zip(CODES) {
            let phrase = phrase.as_bytes();
            if let Some(prefix) = phrase.first_chunk() {
                finder.begins[usize::from(prefix[0])] = true;
                finder.buckets[hash(*prefix)].push((phrase, code));
            }
        }
        for bucket in &mut finder.buckets {
            bucket.sort_by_key(|(phrase, _)| std::cmp::Reverse(phrase.len()));
        }
        for code in CODES {
            finder.begins[usize::from(code)] = true;
        }
        finder
    }

    fn find(&self, text: &[u8]) -> Option<Found> {
        if text.first().is_some_and(|byte| *byte < b' ') {
            return Some(Found { code: None, length: 1 });
        }
        let bucket = &self.buckets[hash(*text.first_chunk()?)];
        let (phrase, code) = bucket.iter().find(|(phrase, _)| text.starts_with(phrase))?;
        Some(Found { code: Some(*code), length: phrase.len() })
    }
}

fn hash(prefix: [u8; PREFIX]) -> usize {
    let [a, b, c] = prefix.map(u32::from);
    // The upper six bits of a product that all of them reach.
    ((a << 16 | b << 8 | c).wrapping_mul(0x9e37_79b1) >> 26) as usize
}

#[cfg(test)]
mod tests;
