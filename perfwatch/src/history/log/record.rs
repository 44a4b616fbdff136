//! Encoding of one snapshot in the log, as changes from the previous one, and of a slot's chunks in one file.

use std::sync::Arc;

use bytes::Bytes as Shared;

use super::Replayed;
use crate::history::chunk::{Bytes, put_count, put_key, put_str, put_varint, take_key, unzigzag, zigzag};
use crate::history::head::Sealed;
use crate::history::{Damaged, from_micros, micros};
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::layout::Layout;
use crate::snapshot::value::{Key, Value};
use crate::snapshot::{MetricType, Reading, Snapshot, Table};
use crate::store::chunks::Chunk;

/// Length and CRC-32.
const HEAD: usize = 8;
/// More than a snapshot of any machine needs.
const MAX_BYTES: usize = 64 << 20;

mod tag {
    pub const ABSENT: u8 = 0;
    pub const NULL: u8 = 1;
    pub const PRESENT: u8 = 2;
    pub const NO: u8 = 3;
    pub const YES: u8 = 4;
    pub const UNSIGNED: u8 = 5;
    pub const SIGNED: u8 = 6;
    pub const FLOAT: u8 = 7;
    pub const TEXT: u8 = 8;
    pub const HISTOGRAM: u8 = 9;
    pub const JSON: u8 = 10;
    /// A float with few decimals, shorter as an integer.
    pub const HUNDREDTHS: u8 = 11;
    pub const THOUSANDTHS: u8 = 12;
}

pub(super) fn put(snapshot: &Snapshot, before: Option<&Snapshot>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    put_varint(zigzag(micros(snapshot.timestamp)), out);
    put_count(snapshot.readings.len(), out);
    for reading in &snapshot.readings {
        let before = before.and_then(|before| before.reading(reading.metric_type));
        put_reading(reading, before, out);
    }
    let body = &out[start + HEAD..];
    let (length, checksum) = (body.len() as u32, crc32fast::hash(body));
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + HEAD].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads the first snapshot from bytes; returns it and the remaining bytes.
pub(super) fn take<'b>(bytes: &'b [u8], before: Option<&Snapshot>) -> Result<(Snapshot, &'b [u8]), Damaged> {
    let mut all = Bytes::new(bytes);
    let length = u32::from_le_bytes(all.array()?) as usize;
    let checksum = u32::from_le_bytes(all.array()?);
    let body = all.take(length)?;
    if crc32fast::hash(body) != checksum {
        return Err(Damaged("its checksum is wrong"));
    }
    let mut body = Bytes::new(body);
    let at = from_micros(unzigzag(body.varint()?));
    let count = body.count(MetricType::ALL.len())?;
    let mut readings = Vec::with_capacity(count);
    for _ in 0..count {
        readings.push(take_reading(&mut body, at, before)?);
    }
    Ok((Snapshot::new(at, readings), all.rest()))
}

fn put_reading(reading: &Reading, before: Option<&Reading>, out: &mut Vec<u8>) {
    put_str(reading.metric_type.as_str(), out);
    match &reading.error {
        Some(error) => {
            out.push(1);
            return put_str(error, out);
        }
        None => out.push(0),
    }
    put_count(reading.tables().len(), out);
    for (at, table) in reading.tables().iter().enumerate() {
        let before = before.and_then(|before| before.tables().get(at));
        let same_keys = before.is_some_and(|before| before.keys == table.keys);
        if same_keys {
            out.push(0);
        } else {
            out.push(1);
            put_keys(&table.keys, out);
        }
        let before = before.filter(|_| same_keys).map_or(&[][..], |before| &before.values);
        put_values(&table.values, before, out);
    }
}

fn take_reading(
    bytes: &mut Bytes<'_>,
    at: time::OffsetDateTime,
    before: Option<&Snapshot>,
) -> Result<Reading, Damaged> {
    let metric_type = MetricType::parse(bytes.str()?).ok_or(Damaged("it is of an unknown type"))?;
    if bytes.byte()? == 1 {
        return Ok(Reading::failed(metric_type, at, bytes.str()?));
    }
    let layout = Layout::of(metric_type);
    let before = before.and_then(|before| before.reading(metric_type));
    let count = bytes.count(layout.tables.len())?;
    let mut tables = Vec::with_capacity(count);
    for (at, layout) in layout.tables.iter().enumerate().take(count) {
        let before = before.and_then(|before| before.tables().get(at));
        let (keys, before) = match bytes.byte()? {
            0 => {
                let before = before.ok_or(Damaged("it refers to nothing"))?;
                (Arc::clone(&before.keys), &before.values[..])
            }
            _ => (take_keys(bytes)?, &[][..]),
        };
        let wanted = keys.len().saturating_mul(layout.columns.len());
        tables.push(Table { values: take_values(bytes, wanted, before)?, keys });
    }
    Ok(Reading::from_tables(metric_type, at, None, tables))
}

pub(crate) fn put_keys(keys: &[Key], out: &mut Vec<u8>) {
    put_count(keys.len(), out);
    keys.iter().for_each(|key| put_key(key, out));
}

pub(crate) fn take_keys(bytes: &mut Bytes<'_>) -> Result<Arc<[Key]>, Damaged> {
    let count = bytes.count(bytes.rest().len())?;
    std::iter::repeat_with(|| take_key(bytes)).take(count).collect()
}

/// Writes runs of unchanged values, each but the last followed by a changed value.
pub(crate) fn put_values(values: &[Value], before: &[Value], out: &mut Vec<u8>) {
    let mut same = 0;
    for (at, value) in values.iter().enumerate() {
        if before.get(at) == Some(value) {
            same += 1;
            continue;
        }
        put_count(same, out);
        same = 0;
        put_value(value, out);
    }
    put_count(same, out);
}

pub(crate) fn take_values(
    bytes: &mut Bytes<'_>,
    count: usize,
    before: &[Value],
) -> Result<Vec<Value>, Damaged> {
    let mut values = Vec::with_capacity(count.min(1 << 16));
    loop {
        let same = bytes.count(count - values.len())?;
        if same > 0 {
            let at = values.len();
            values.extend_from_slice(before.get(at..at + same).ok_or(Damaged("it refers to nothing"))?);
        }
        if values.len() == count {
            return Ok(values);
        }
        values.push(take_value(bytes)?);
    }
}

fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Absent => out.push(tag::ABSENT),
        Value::Null => out.push(tag::NULL),
        Value::Present => out.push(tag::PRESENT),
        Value::Bool(false) => out.push(tag::NO),
        Value::Bool(true) => out.push(tag::YES),
        Value::Unsigned(n) => {
            out.push(tag::UNSIGNED);
            put_varint(*n, out);
        }
        Value::Signed(n) => {
            out.push(tag::SIGNED);
            put_varint(zigzag(*n), out);
        }
        Value::Float(n) => {
            for (tag, digits) in [(tag::HUNDREDTHS, 2), (tag::THOUSANDTHS, 3)] {
                if let Some(integer) = crate::history::chunk::scaled(*n, digits) {
                    out.push(tag);
                    return put_varint(zigzag(integer), out);
                }
            }
            out.push(tag::FLOAT);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(tag::TEXT);
            put_str(text, out);
        }
        Value::Json(text) => {
            out.push(tag::JSON);
            put_str(text, out);
        }
        Value::Histogram(histogram) => {
            out.push(tag::HISTOGRAM);
            out.push(u8::from(histogram.unit() == Unit::Bytes));
            put_count(histogram.buckets().len(), out);
            for (index, count) in histogram.buckets() {
                put_varint(u64::from(*index), out);
                put_varint(*count, out);
            }
            put_varint(histogram.sum(), out);
            put_varint(histogram.max(), out);
        }
    }
}

fn take_value(bytes: &mut Bytes<'_>) -> Result<Value, Damaged> {
    Ok(match bytes.byte()? {
        tag::ABSENT => Value::Absent,
        tag::NULL => Value::Null,
        tag::PRESENT => Value::Present,
        tag::NO => Value::Bool(false),
        tag::YES => Value::Bool(true),
        tag::UNSIGNED => Value::Unsigned(bytes.varint()?),
        tag::SIGNED => Value::Signed(unzigzag(bytes.varint()?)),
        tag::HUNDREDTHS => Value::Float(crate::history::chunk::unscaled(unzigzag(bytes.varint()?), 2)),
        tag::THOUSANDTHS => Value::Float(crate::history::chunk::unscaled(unzigzag(bytes.varint()?), 3)),
        tag::FLOAT => Value::Float(f64::from_le_bytes(bytes.array()?)),
        tag::TEXT => Value::Text(bytes.str()?.into()),
        tag::JSON => Value::Json(bytes.str()?.into()),
        tag::HISTOGRAM => {
            let unit = if bytes.byte()? == 0 { Unit::Nanoseconds } else { Unit::Bytes };
            let count = bytes.count(bytes.rest().len())?;
            let bucket = || {
                let index = u16::try_from(bytes.varint()?).map_err(|_| Damaged("no histogram"))?;
                Ok((index, bytes.varint()?))
            };
            let buckets = std::iter::repeat_with(bucket).take(count).collect::<Result<Vec<_>, Damaged>>()?;
            let (sum, max) = (bytes.varint()?, bytes.varint()?);
            let histogram = Histogram::restored(unit, buckets, sum, max).ok_or(Damaged("no histogram"))?;
            Value::Histogram(Arc::new(histogram))
        }
        _ => return Err(Damaged("unknown kind of value")),
    })
}

pub(super) fn put_chunks(sealed: &Sealed, out: &mut Vec<u8>) {
    put_varint(sealed.snapshots, out);
    put_count(sealed.chunks.len(), out);
    for chunk in &*sealed.chunks {
        put_str(chunk.content.as_str(), out);
        put_varint(zigzag(chunk.start), out);
        put_varint(zigzag(chunk.end), out);
        put_count(chunk.data.len(), out);
        out.extend_from_slice(&chunk.data);
    }
}

pub(super) fn take_chunks(bytes: &[u8]) -> Result<Replayed, Damaged> {
    let mut bytes = Bytes::new(bytes);
    let snapshots = bytes.varint()?;
    let count = bytes.count(MetricType::ALL.len())?;
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let metric_type = MetricType::parse(bytes.str()?).ok_or(Damaged("it is of an unknown type"))?;
        let (start, end) = (unzigzag(bytes.varint()?), unzigzag(bytes.varint()?));
        let length = bytes.count(MAX_BYTES)?;
        let data = Shared::copy_from_slice(bytes.take(length)?);
        chunks.push(Chunk { content: metric_type.into(), tier: 0, start, first: start, end, data });
    }
    let sealed = Sealed { slot: 0, chunks: chunks.into(), minutes: None, snapshots };
    Ok(Replayed { sealed, damaged: bytes.rest().len() })
}
