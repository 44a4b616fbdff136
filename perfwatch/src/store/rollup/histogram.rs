//! Latency histograms as documents carry them: sparse log16 buckets that merge by addition.

use serde_json::{Map, Value};

use super::text::Cursor;

/// Sparse counts of a base-2 log-linear histogram with 16 sub-buckets per power of two.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    pub unit: String,
    /// (bucket index, count), ascending by index.
    pub buckets: Vec<(u32, u64)>,
    pub count: u64,
    pub sum: u64,
    pub max: u64,
}

impl Histogram {
    /// True for the JSON objects this module understands.
    pub fn is_histogram(object: &Map<String, Value>) -> bool {
        object.get("scheme").and_then(Value::as_str) == Some("log16")
            && object.get("buckets").is_some_and(Value::is_array)
    }

    pub fn from_json(object: &Map<String, Value>) -> Self {
        let number = |key: &str| object.get(key).and_then(Value::as_u64).unwrap_or(0);
        let mut buckets: Vec<(u32, u64)> = object
            .get("buckets")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|pair| {
                let index = u32::try_from(pair.get(0)?.as_u64()?).ok()?;
                Some((index, pair.get(1)?.as_u64()?))
            })
            .collect();
        buckets.sort_unstable_by_key(|b| b.0);
        Self {
            unit: object.get("unit").and_then(Value::as_str).unwrap_or_default().to_owned(),
            buckets,
            count: number("count"),
            sum: number("sum"),
            max: number("max"),
        }
    }

    /// Reads the text of a histogram as documents have it; `None` for anything that differs.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        let mut histogram = Self::default();
        let (mut scheme, mut buckets) = (false, false);
        cursor.mark(b'{')?;
        loop {
            let start = cursor.at;
            cursor.string()?;
            let key = cursor.since(start);
            cursor.mark(b':')?;
            match key {
                br#""buckets""# => {
                    histogram.read_buckets(&mut cursor)?;
                    buckets = true;
                }
                br#""count""# => histogram.count = cursor.whole()?,
                br#""sum""# => histogram.sum = cursor.whole()?,
                br#""max""# => histogram.max = cursor.whole()?,
                br#""unit""# => {
                    let start = cursor.at;
                    cursor.string()?;
                    histogram.unit = serde_json::from_slice(cursor.since(start)).ok()?;
                }
                br#""scheme""# => {
                    cursor.literal(br#""log16""#)?;
                    scheme = true;
                }
                _ => return None,
            }
            if cursor.mark(b'}').is_some() {
                return (scheme && buckets && cursor.at == text.len()).then_some(histogram);
            }
            cursor.mark(b',')?;
        }
    }

    fn read_buckets(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        self.buckets.clear();
        cursor.mark(b'[')?;
        if cursor.mark(b']').is_some() {
            return Some(());
        }
        loop {
            cursor.mark(b'[')?;
            let index = u32::try_from(cursor.whole()?).ok()?;
            cursor.mark(b',')?;
            let count = cursor.whole()?;
            cursor.mark(b']')?;
            // They are written in ascending order.
            if self.buckets.last().is_some_and(|before| before.0 >= index) {
                return None;
            }
            self.buckets.push((index, count));
            if cursor.mark(b']').is_some() {
                return Some(());
            }
            cursor.mark(b',')?;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        if self.unit.is_empty() {
            self.unit.clone_from(&other.unit);
        }
        for &(index, count) in &other.buckets {
            match self.buckets.binary_search_by_key(&index, |b| b.0) {
                Ok(i) => self.buckets[i].1 = self.buckets[i].1.saturating_add(count),
                Err(i) => self.buckets.insert(i, (index, count)),
            }
        }
    }

    pub fn write_json(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        out.extend_from_slice(br#"{"unit":"#);
        super::template::write_string(out, &self.unit);
        out.extend_from_slice(br#","scheme":"log16","buckets":["#);
        for (i, &(index, count)) in self.buckets.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"[" } else { b",[" });
            super::template::write_whole(out, u64::from(index));
            out.push(b',');
            super::template::write_whole(out, count);
            out.push(b']');
        }
        let _ = write!(out, r#"],"count":{},"sum":{},"max":{}}}"#, self.count, self.sum, self.max);
    }
}
