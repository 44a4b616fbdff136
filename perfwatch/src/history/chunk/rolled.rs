//! A chunk of rollups: many buckets, and of each number its least, its greatest and its sum.

use std::sync::Arc;

use super::bytes::Bytes;
use super::frame::{Frame, FrameWriter, Members, put_texts, take_texts};
use super::histograms::{put_histograms, take_histograms};
use super::numbers::{
    DECIMALS, decimals, put_floats, put_integers, put_signed, scaled, take_floats, take_integers,
    take_signed, unscaled,
};
use super::raw::{put_runs, take_runs};
use crate::history::Damaged;
use crate::history::bucket::{Bucket, Cell, Stat};
use crate::snapshot::MetricType;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use crate::snapshot::value::{Key, Value};

mod tag {
    pub const ABSENT: u8 = 0;
    pub const NULL: u8 = 1;
    pub const PRESENT: u8 = 2;
    pub const NUMBER: u8 = 3;
    pub const HISTOGRAM: u8 = 4;
    pub const STATES: u8 = 5;
    pub const EVENTS: u8 = 6;
}

/// Buckets by their start (µs), ascending, of a tier of so many seconds.
pub fn encode_buckets(metric_type: MetricType, tier: i64, buckets: &[(i64, &Bucket)]) -> Vec<u8> {
    let layout = Layout::of(metric_type);
    let times: Vec<i64> = buckets.iter().map(|(at, _)| *at).collect();
    let mut notes = Vec::new();
    let column = |of: &dyn Fn(&(i64, &Bucket)) -> u64| buckets.iter().map(of).collect::<Vec<_>>();
    put_integers(&column(&|(_, bucket)| bucket.samples), &mut notes);
    put_integers(&column(&|(_, bucket)| bucket.failed), &mut notes);
    put_integers(&column(&|(at, bucket)| (bucket.first_at - at).unsigned_abs()), &mut notes);
    let errors: Vec<&Arc<str>> = buckets.iter().filter_map(|(_, bucket)| bucket.error.as_ref()).collect();
    put_integers(&column(&|(_, bucket)| u64::from(bucket.error.is_some())), &mut notes);
    put_texts(errors.into_iter(), &mut notes);
    let mut writer = FrameWriter::new(metric_type, tier, &times, &notes, layout.tables.len());
    for (at, table) in layout.tables.iter().enumerate() {
        let mut members = Members::default();
        let mut rows: Vec<(&Bucket, usize)> = Vec::new();
        for &(_, bucket) in buckets {
            members.push(&bucket.keys_of(at).into());
            rows.extend((0..bucket.keys_of(at).len()).map(|row| (bucket, row)));
        }
        if let Some(order) = members.by_thing() {
            rows = order.into_iter().map(|row| rows[row as usize]).collect();
        }
        writer.table(&table.path, &members, table.columns.len());
        for (column, layout) in table.columns.iter().enumerate() {
            let cells: Vec<(&Cell, u64)> =
                rows.iter().map(|(bucket, row)| (&bucket.row(at, *row)[column], bucket.samples)).collect();
            writer.column(&layout.name, |out| put_cells(&cells, out));
        }
    }
    writer.finish()
}

/// The buckets of a chunk, with what a selection needs.
pub fn decode_buckets(chunk: &[u8], selection: &Selection) -> Result<Vec<(i64, Bucket)>, Damaged> {
    let frame = Frame::read(chunk)?;
    if frame.tier == 0 {
        return Err(Damaged("it holds no rollups"));
    }
    let layout = Layout::of(frame.metric_type);
    let count = frame.times.len();
    let mut notes = Bytes::new(&frame.notes);
    let samples = take_integers(&mut notes, count)?;
    let failed = take_integers(&mut notes, count)?;
    let first = take_integers(&mut notes, count)?;
    let has_error = take_integers(&mut notes, count)?;
    let errors = take_texts(&mut notes, has_error.iter().filter(|has| **has == 1).count())?;
    let mut errors = errors.into_iter();
    let mut buckets = Vec::with_capacity(count);
    for (n, at) in frame.times.iter().enumerate() {
        let mut bucket = Bucket::new(frame.metric_type);
        bucket.samples = samples[n];
        bucket.failed = failed[n];
        bucket.first_at = at.saturating_add_unsigned(first[n]);
        bucket.error = if has_error[n] == 1 { errors.next() } else { None };
        buckets.push((*at, bucket));
    }
    for (at, table) in layout.tables.iter().enumerate() {
        let Some(stored) = frame.tables.iter().find(|stored| stored.path == table.path) else { continue };
        let starts = stored.members.rows();
        let rows = starts.last().copied().unwrap_or_default();
        let order = stored.members.by_thing();
        let mut of_row = vec![0u64; rows];
        for (n, window) in starts.windows(2).enumerate() {
            of_row[window[0]..window[1]].fill(samples[n]);
        }
        let ordered_samples: Vec<u64> = match &order {
            Some(order) => order.iter().map(|row| of_row[*row as usize]).collect(),
            None => of_row,
        };
        let needed = |column: usize| {
            selection.needs(at, column)
                || table.columns.iter().enumerate().any(|(other, of)| {
                    of.derived.is_some_and(|derived| derived.histogram == column)
                        && selection.needs(at, other)
                })
        };
        let width = table.columns.len();
        let mut cells = vec![Cell::Absent; rows * width];
        for (column, of) in table.columns.iter().enumerate() {
            if !needed(column) {
                continue;
            }
            let Some(mut bytes) = frame.column(stored, &of.name)? else { continue };
            for (row, cell) in take_cells(&mut bytes, &ordered_samples)?.into_iter().enumerate() {
                let row = order.as_ref().map_or(row, |order| order[row] as usize);
                cells[row * width + column] = cell;
            }
        }
        let mut cells = cells.into_iter();
        for (n, (_, bucket)) in buckets.iter_mut().enumerate() {
            let keys: &Arc<[Key]> = stored.members.keys(n);
            for key in keys.iter() {
                bucket.restore(at, key, cells.by_ref().take(width));
            }
        }
    }
    Ok(buckets)
}

/// Cells with the number of their bucket's readings, which is mostly how many have the number.
fn put_cells(cells: &[(&Cell, u64)], out: &mut Vec<u8>) {
    put_runs(
        cells.iter().map(|(cell, _)| match cell {
            Cell::Absent => tag::ABSENT,
            Cell::Null => tag::NULL,
            Cell::Present => tag::PRESENT,
            Cell::Number(_) => tag::NUMBER,
            Cell::Histogram(_) => tag::HISTOGRAM,
            Cell::States(_) => tag::STATES,
            Cell::Events(_) => tag::EVENTS,
        }),
        out,
    );
    let numbers: Vec<(Stat, u64)> = cells
        .iter()
        .filter_map(
            |(cell, samples)| if let Cell::Number(stat) = cell { Some((*stat, *samples)) } else { None },
        )
        .collect();
    if !numbers.is_empty() {
        put_stats(&numbers, out);
    }
    let histograms: Vec<&Histogram> = cells
        .iter()
        .filter_map(|(cell, _)| if let Cell::Histogram(histogram) = cell { Some(&**histogram) } else { None })
        .collect();
    if !histograms.is_empty() {
        put_histograms(histograms.iter().copied(), out);
    }
    let states: Vec<&[(Value, u64)]> = cells
        .iter()
        .filter_map(|(cell, _)| if let Cell::States(states) = cell { Some(&states[..]) } else { None })
        .collect();
    if !states.is_empty() {
        put_states(&states, out);
    }
    let events: Vec<&Arc<str>> = cells
        .iter()
        .filter_map(|(cell, _)| if let Cell::Events(events) = cell { Some(events) } else { None })
        .collect();
    if !events.is_empty() {
        put_texts(events.into_iter(), out);
    }
}

fn take_cells(bytes: &mut Bytes<'_>, samples: &[u64]) -> Result<Vec<Cell>, Damaged> {
    let tags = take_runs(bytes, samples.len())?;
    let count = |wanted: u8| tags.iter().filter(|tag| **tag == wanted).count();
    let of = |wanted: u8| tags.iter().zip(samples).filter(move |(tag, _)| **tag == wanted).map(|(_, n)| *n);
    let mut numbers = match count(tag::NUMBER) {
        0 => Vec::new(),
        _ => take_stats(bytes, &of(tag::NUMBER).collect::<Vec<_>>())?,
    }
    .into_iter();
    let mut histograms = match count(tag::HISTOGRAM) {
        0 => Vec::new(),
        count => take_histograms(bytes, count)?,
    }
    .into_iter();
    let mut states = match count(tag::STATES) {
        0 => Vec::new(),
        count => take_states(bytes, count)?,
    }
    .into_iter();
    let mut events = match count(tag::EVENTS) {
        0 => Vec::new(),
        count => take_texts(bytes, count)?,
    }
    .into_iter();
    let cell = |tag: &u8| match *tag {
        tag::NULL => Cell::Null,
        tag::PRESENT => Cell::Present,
        tag::NUMBER => numbers.next().map_or(Cell::Null, Cell::Number),
        tag::HISTOGRAM => histograms.next().map_or(Cell::Null, Cell::Histogram),
        tag::STATES => states.next().map_or(Cell::Null, Cell::States),
        tag::EVENTS => events.next().map_or(Cell::Null, Cell::Events),
        _ => Cell::Absent,
    };
    Ok(tags.iter().map(cell).collect())
}

const DECIMAL: u8 = 0;
const PLAIN: u8 = 1;

/// Numbers as documents have them are integers of a power of ten: then a bucket is its least, how far it reaches above
/// that, and what its sum is above so many times the least. All three are small.
fn put_stats(numbers: &[(Stat, u64)], out: &mut Vec<u8>) {
    // One less for most: the number was in every reading.
    put_signed(numbers.iter().map(|(stat, samples)| samples.cast_signed() - stat.count.cast_signed()), out);
    let ends = numbers.iter().flat_map(|(stat, _)| [stat.min, stat.max]);
    let sums = || numbers.iter().map(|(stat, _)| stat.sum);
    // What was between the ends may have more decimals than they.
    let digits = decimals(ends)
        .and_then(|digits| (digits..=DECIMALS).find(|digits| sums().all(|sum| nearly_has(sum, *digits))));
    let whole = digits.and_then(|digits| {
        let of = |(stat, _): &(Stat, u64)| {
            let (min, max) = (scaled(stat.min, digits)?, scaled(stat.max, digits)?);
            let sum = exact_sum(stat, digits)?;
            Some((min, max - min, sum - i128::from(min) * i128::from(stat.count)))
        };
        let all: Option<Vec<_>> = numbers.iter().map(of).collect();
        let all: Vec<_> = all?
            .into_iter()
            .map(|(min, range, above)| Some((min, range, i64::try_from(above).ok()?)))
            .collect::<Option<_>>()?;
        Some((digits, all))
    });
    match whole {
        Some((digits, all)) => {
            out.extend_from_slice(&[DECIMAL, digits as u8]);
            put_signed(all.iter().map(|(min, ..)| *min), out);
            put_signed(all.iter().map(|(_, range, _)| *range), out);
            // Where the number did not move there is nothing above.
            put_signed(all.iter().filter(|(_, range, _)| *range != 0).map(|(_, _, above)| *above), out);
        }
        None => {
            out.push(PLAIN);
            put_floats(&numbers.iter().map(|(stat, _)| stat.min).collect::<Vec<_>>(), out);
            put_floats(&numbers.iter().map(|(stat, _)| stat.max).collect::<Vec<_>>(), out);
            put_floats(&numbers.iter().map(|(stat, _)| stat.sum).collect::<Vec<_>>(), out);
        }
    }
}

/// Whether a sum has so few decimals, but for the noise that adding floats makes.
fn nearly_has(sum: f64, digits: u32) -> bool {
    let scaled = sum * 10f64.powi(digits.cast_signed());
    (scaled - scaled.round()).abs() <= (scaled.abs() * 1e-12).clamp(1e-9, 1e-3)
}

/// What numbers of so few decimals add up to: the sum of floats is off by less than the last of them.
fn exact_sum(stat: &Stat, digits: u32) -> Option<i128> {
    let power = 10f64.powi(digits.cast_signed());
    let sum = (stat.sum * power).round();
    (sum.abs() < 9.0e15).then_some(sum as i128)
}

fn take_stats(bytes: &mut Bytes<'_>, samples: &[u64]) -> Result<Vec<Stat>, Damaged> {
    let missing = take_signed(bytes, samples.len())?;
    let counts: Vec<u64> =
        samples.iter().zip(missing).map(|(n, missing)| n.saturating_add_signed(-missing)).collect();
    match bytes.byte()? {
        DECIMAL => {
            let digits = u32::from(bytes.byte()?);
            if digits > DECIMALS {
                return Err(Damaged("too many decimals"));
            }
            let minima = take_signed(bytes, samples.len())?;
            let ranges = take_signed(bytes, samples.len())?;
            let moved = ranges.iter().filter(|range| **range != 0).count();
            let mut above = take_signed(bytes, moved)?.into_iter();
            let stat = |((min, range), count): ((i64, i64), u64)| {
                let above = if range == 0 { 0 } else { above.next().unwrap_or_default() };
                let sum = i128::from(min) * i128::from(count) + i128::from(above);
                Stat {
                    min: unscaled(min, digits),
                    max: unscaled(min.saturating_add(range), digits),
                    sum: sum as f64 / 10f64.powi(digits.cast_signed()),
                    count,
                }
            };
            Ok(minima.into_iter().zip(ranges).zip(counts).map(stat).collect())
        }
        PLAIN => {
            let minima = take_floats(bytes, samples.len())?;
            let maxima = take_floats(bytes, samples.len())?;
            let sums = take_floats(bytes, samples.len())?;
            let stats = minima.into_iter().zip(maxima).zip(sums).zip(counts);
            Ok(stats.map(|(((min, max), sum), count)| Stat { sum, min, max, count }).collect())
        }
        _ => Err(Damaged("unknown kind of sums")),
    }
}

/// How many states each place had, how long each lasted, and what they were.
fn put_states(places: &[&[(Value, u64)]], out: &mut Vec<u8>) {
    put_integers(&places.iter().map(|states| states.len() as u64).collect::<Vec<_>>(), out);
    let all = || places.iter().flat_map(|states| states.iter());
    put_integers(&all().map(|(_, count)| *count).collect::<Vec<_>>(), out);
    let texts: Vec<Arc<str>> = all().map(|(state, _)| state_text(state)).collect();
    put_texts(texts.iter(), out);
}

fn take_states(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<Vec<(Value, u64)>>, Damaged> {
    let lengths = take_integers(bytes, count)?;
    let total = lengths.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    let total = usize::try_from(total).ok().filter(|n| *n <= 1 << 24).ok_or(Damaged("too many states"))?;
    let counts = take_integers(bytes, total)?;
    let texts = take_texts(bytes, total)?;
    let mut all = texts.iter().zip(counts).map(|(text, count)| Ok((state_value(text)?, count)));
    lengths.into_iter().map(|length| all.by_ref().take(length as usize).collect()).collect()
}

/// A state as text, with a letter before it that tells what it is.
fn state_text(state: &Value) -> Arc<str> {
    match state {
        Value::Text(text) => format!("t{text}").into(),
        Value::Json(text) => format!("j{text}").into(),
        Value::Bool(true) => "y".into(),
        Value::Bool(false) => "n".into(),
        Value::Unsigned(n) => format!("u{n}").into(),
        Value::Signed(n) => format!("i{n}").into(),
        Value::Float(n) => format!("f{:x}", n.to_bits()).into(),
        Value::Absent | Value::Null | Value::Present | Value::Histogram(_) => "0".into(),
    }
}

fn state_value(text: &Arc<str>) -> Result<Value, Damaged> {
    let damaged = Damaged("unknown kind of state");
    let mut letters = text.chars();
    let kind = letters.next().ok_or(damaged)?;
    let rest = letters.as_str();
    Ok(match kind {
        't' => Value::Text(rest.into()),
        'j' => Value::Json(rest.into()),
        'y' => Value::Bool(true),
        'n' => Value::Bool(false),
        'u' => Value::Unsigned(rest.parse().map_err(|_| damaged)?),
        'i' => Value::Signed(rest.parse().map_err(|_| damaged)?),
        'f' => Value::Float(f64::from_bits(u64::from_str_radix(rest, 16).map_err(|_| damaged)?)),
        '0' => Value::Null,
        _ => return Err(damaged),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_come_back() {
        let all = [
            (Stat { sum: 962_509_690_978.54, min: 994.54, max: 962_509_689_984.0, count: 2 }, 2),
            (Stat { sum: 1.5, min: 0.7, max: 0.8, count: 2 }, 3),
            (Stat { sum: 560.07, min: -368.0, max: 693.2, count: 3 }, 3),
            (Stat { sum: 0.1 + 0.2, min: 0.1, max: 0.2, count: 2 }, 2),
            (Stat { sum: 21.0, min: 7.0, max: 7.0, count: 3 }, 9),
            (Stat { sum: 2e300, min: 1.0 / 3.0, max: 2e300, count: 2 }, 2),
        ];
        for numbers in (1..=all.len()).flat_map(|length| all.windows(length)) {
            let mut out = Vec::new();
            put_stats(numbers, &mut out);
            let samples: Vec<u64> = numbers.iter().map(|(_, samples)| *samples).collect();
            let got = take_stats(&mut Bytes::new(&out), &samples).unwrap();
            for (got, (stat, _)) in got.iter().zip(numbers) {
                assert_eq!((got.min, got.max, got.count), (stat.min, stat.max, stat.count));
                assert!(
                    (got.sum - stat.sum).abs() <= stat.sum.abs() * 1e-12,
                    "{got:?} of {stat:?} in {numbers:?}"
                );
            }
        }
    }
}
