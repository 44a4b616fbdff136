//! The bytes of a rollup.
//!
//! Varints everywhere; a number that is a decimal of at most three places (nearly all are) is kept as a
//! scaled integer, a leaf that did not change in the bucket as one value, long strings deflated.

use std::io::{Read, Write};
use std::sync::Arc;

use super::accumulator::{Accumulator, Cell, Stat};
use super::events::Events;
use super::histogram::Histogram;
use super::shape::{Kind, Shape};

const VERSION: u8 = 1;
/// Strings past this length are deflated.
const DEFLATE_FROM: usize = 192;

// A number's tag: whether there is a value, whether it varied, whether every document had it, how values are spelt.
const ABSENT: u8 = 0;
const CONSTANT: u8 = 1;
const VARIED: u8 = 2;
const PRESENCE: u8 = 0b11;
const PARTIAL: u8 = 0b100;
const SCALE_SHIFT: u32 = 3;
const SCALES: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];
/// In place of an index into `SCALES`: eight bytes.
const PLAIN: u8 = 7;

#[derive(Debug, thiserror::Error)]
#[error("a stored rollup is damaged")]
pub struct Damaged;

pub fn encode(rollup: &Accumulator, bucket: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(rollup.cells().len() * 8);
    out.push(VERSION);
    put(&mut out, rollup.samples());
    put(&mut out, u64::try_from(rollup.first_at().saturating_sub(bucket)).unwrap_or(0));
    for (leaf, cell) in rollup.shape().leaves().iter().zip(rollup.cells()) {
        match (leaf.kind, cell) {
            (Kind::Null | Kind::Empty, _) => {}
            (Kind::Number, Cell::Number(stat)) => put_stat(&mut out, stat, rollup.samples()),
            (Kind::Histogram, Cell::Histogram(h)) => put_histogram(&mut out, h),
            (Kind::Events, Cell::Events(events)) => put_text(&mut out, events.text()),
            (Kind::Other, Cell::Other(text)) => put_text(&mut out, text),
            (Kind::Number | Kind::Histogram | Kind::Events | Kind::Other, _) => out.push(ABSENT),
        }
    }
    out
}

pub fn decode(shape: &Arc<Shape>, bucket: i64, bytes: &[u8]) -> Result<Accumulator, Damaged> {
    let mut input = bytes;
    if byte(&mut input)? != VERSION {
        return Err(Damaged);
    }
    let samples = get(&mut input)?;
    let offset = i64::try_from(get(&mut input)?).map_err(|_| Damaged)?;
    let cells = shape
        .leaves()
        .iter()
        .map(|leaf| match leaf.kind {
            Kind::Null | Kind::Empty => Ok(Cell::Vacant),
            Kind::Number => get_stat(&mut input, samples),
            Kind::Histogram => get_histogram(&mut input),
            Kind::Events => get_text(&mut input, |text| Cell::Events(Events::from_text(text))),
            Kind::Other => get_text(&mut input, Cell::Other),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if !input.is_empty() {
        return Err(Damaged);
    }
    Ok(Accumulator::from_parts(Arc::clone(shape), cells, samples, bucket.saturating_add(offset)))
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn byte(input: &mut &[u8]) -> Result<u8, Damaged> {
    let (&first, rest) = input.split_first().ok_or(Damaged)?;
    *input = rest;
    Ok(first)
}

fn get(input: &mut &[u8]) -> Result<u64, Damaged> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let b = byte(input)?;
        n |= u64::from(b & 0x7f) << shift;
        if b & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(Damaged)
}

fn take<'a>(input: &mut &'a [u8], length: u64) -> Result<&'a [u8], Damaged> {
    let (taken, rest) =
        usize::try_from(length).ok().and_then(|n| input.split_at_checked(n)).ok_or(Damaged)?;
    *input = rest;
    Ok(taken)
}

/// The scaled integer that reads back as exactly `value`.
fn scaled(value: f64, scale: f64) -> Option<i64> {
    let n = (value * scale).round();
    // Integers up to 2^53 are exact.
    (n.abs() < 9.0e15 && n / scale == value && !(value == 0.0 && value.is_sign_negative()))
        .then_some(n as i64)
}

fn put_value(out: &mut Vec<u8>, value: f64, scale: u8) {
    let n = SCALES.get(usize::from(scale)).and_then(|s| scaled(value, *s));
    match n {
        Some(n) => put(out, zigzag(n)),
        None => out.extend_from_slice(&value.to_le_bytes()),
    }
}

fn get_value(input: &mut &[u8], scale: u8) -> Result<f64, Damaged> {
    if scale == PLAIN {
        let bytes = take(input, 8)?;
        return Ok(f64::from_le_bytes(bytes.try_into().map_err(|_| Damaged)?));
    }
    let scale = SCALES.get(usize::from(scale)).ok_or(Damaged)?;
    Ok(unzigzag(get(input)?) as f64 / scale)
}

const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

const fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
}

fn put_stat(out: &mut Vec<u8>, stat: &Stat, samples: u64) {
    let constant = stat.min == stat.max;
    let scale = (0u8..)
        .zip(SCALES)
        .find(|(_, s)| scaled(stat.min, *s).is_some() && scaled(stat.max, *s).is_some())
        .map_or(PLAIN, |(i, _)| i);
    let partial = if stat.count == samples { 0 } else { PARTIAL };
    out.push(if constant { CONSTANT } else { VARIED } | partial | scale << SCALE_SHIFT);
    if partial != 0 {
        put(out, stat.count);
    }
    put_value(out, stat.min, scale);
    if !constant {
        put_value(out, stat.max, scale);
        out.extend_from_slice(&stat.sum.to_le_bytes());
    }
}

fn get_stat(input: &mut &[u8], samples: u64) -> Result<Cell, Damaged> {
    let tag = byte(input)?;
    if tag & PRESENCE == ABSENT {
        return Ok(Cell::Vacant);
    }
    let count = if tag & PARTIAL == 0 { samples } else { get(input)? };
    let scale = tag >> SCALE_SHIFT;
    let min = get_value(input, scale)?;
    Ok(Cell::Number(if tag & PRESENCE == CONSTANT {
        Stat { sum: min * count as f64, min, max: min, count }
    } else {
        let max = get_value(input, scale)?;
        let sum = get_value(input, PLAIN)?;
        Stat { sum, min, max, count }
    }))
}

fn put_histogram(out: &mut Vec<u8>, h: &Histogram) {
    out.push(CONSTANT);
    put(out, h.unit.len() as u64);
    out.extend_from_slice(h.unit.as_bytes());
    for n in [h.count, h.sum, h.max, h.buckets.len() as u64] {
        put(out, n);
    }
    let mut before = 0;
    for &(index, count) in &h.buckets {
        put(out, u64::from(index - before));
        put(out, count);
        before = index;
    }
}

fn get_histogram(input: &mut &[u8]) -> Result<Cell, Damaged> {
    if byte(input)? == ABSENT {
        return Ok(Cell::Vacant);
    }
    let length = get(input)?;
    let unit = String::from_utf8(take(input, length)?.to_vec()).map_err(|_| Damaged)?;
    let (count, sum, max) = (get(input)?, get(input)?, get(input)?);
    let filled = get(input)?;
    // Each takes at least two bytes: a damaged length allocates nothing absurd.
    if filled > input.len() as u64 {
        return Err(Damaged);
    }
    let mut index = 0u32;
    let mut buckets = Vec::with_capacity(filled as usize);
    for _ in 0..filled {
        let step = u32::try_from(get(input)?).map_err(|_| Damaged)?;
        index = index.checked_add(step).ok_or(Damaged)?;
        buckets.push((index, get(input)?));
    }
    Ok(Cell::Histogram(Box::new(Histogram { unit, buckets, count, sum, max })))
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() >= DEFLATE_FROM {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        if let Ok(packed) = deflate.write_all(text).and_then(|()| deflate.finish())
            && packed.len() < text.len()
        {
            out.push(VARIED);
            put(out, packed.len() as u64);
            out.extend_from_slice(&packed);
            return;
        }
    }
    out.push(CONSTANT);
    put(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn get_text(input: &mut &[u8], cell: fn(Box<[u8]>) -> Cell) -> Result<Cell, Damaged> {
    let tag = byte(input)?;
    if tag == ABSENT {
        return Ok(Cell::Vacant);
    }
    let length = get(input)?;
    let stored = take(input, length)?;
    Ok(cell(if tag == VARIED { inflate(stored)?.into() } else { stored.into() }))
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut text = Vec::with_capacity(packed.len() * 4);
    flate2::read::DeflateDecoder::new(packed).read_to_end(&mut text).map_err(|_| Damaged)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
