//! A chunk of rollups: many buckets with min, max and sum of each number.

use std::ops::Range;
use std::sync::Arc;

use super::bytes::{Bytes, place};
use super::frame::{
    Frame, FrameWriter, Members, Texts, put_texts, take_distinct_texts, take_texts, times_within,
};
use super::histograms::{put_histograms, take_histograms};
use super::numbers::{
    DECIMALS, POWERS, put_floats, put_integers, put_runs, put_signed, scaled_all, scaled_by, take_floats,
    take_integers, take_runs, take_signed, unscaled,
};
use crate::history::Damaged;
use crate::history::bucket::{Bucket, Cell, Samples, Stat, Sums};
use crate::snapshot::MetricType;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::layout::{ColumnLayout, Layout};
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

/// Encodes buckets by start (µs), ascending, of a tier of `tier` seconds.
pub fn encode_buckets(metric_type: MetricType, tier: i64, buckets: &[(i64, &Bucket)]) -> Vec<u8> {
    let layout = Layout::of(metric_type);
    let times: Vec<i64> = buckets.iter().map(|(at, _)| *at).collect();
    let mut notes = Vec::new();
    let column = |of: &dyn Fn(&(i64, &Bucket)) -> u64| buckets.iter().map(of).collect::<Vec<_>>();
    put_integers(&column(&|(_, bucket)| bucket.readings().count), &mut notes);
    put_integers(&column(&|(_, bucket)| bucket.readings().failed), &mut notes);
    put_integers(&column(&|(at, bucket)| bucket.first_at().abs_diff(*at)), &mut notes);
    let errors: Vec<&Arc<str>> =
        buckets.iter().filter_map(|(_, bucket)| bucket.readings().error.as_ref()).collect();
    put_integers(&column(&|(_, bucket)| u64::from(bucket.readings().error.is_some())), &mut notes);
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
                rows.iter().map(|(bucket, row)| (&bucket.row(at, *row)[column], bucket.samples())).collect();
            writer.column(&layout.name, |out| put_cells(&cells, out));
        }
    }
    writer.finish()
}

/// A decoded chunk of rollups, with what was selected of its buckets.
#[derive(Debug)]
pub struct Buckets {
    metric_type: MetricType,
    times: Vec<i64>,
    samples: Vec<Samples>,
    /// In layout order.
    tables: Vec<BucketsTable>,
}

#[derive(Debug, Default)]
struct BucketsTable {
    members: Members,
    /// The first row of each time, then the total number of rows; empty if the chunk lacks the table.
    rows: Vec<usize>,
    /// By column, then by row; a column is empty if not selected.
    columns: Vec<Vec<Cell>>,
}

impl Buckets {
    /// Reads what a selection needs.
    pub fn decode(chunk: &[u8], selection: &Selection) -> Result<Self, Damaged> {
        Self::decode_within(chunk, selection, i64::MIN..i64::MAX)
    }

    /// The same, if only the buckets that start in a time range (µs) are looked at: most of the work is in histograms.
    pub fn decode_within(chunk: &[u8], selection: &Selection, times: Range<i64>) -> Result<Self, Damaged> {
        let mut frame = Frame::read(chunk)?;
        if frame.tier == 0 {
            return Err(Damaged("it holds no rollups"));
        }
        let layout = Layout::of(frame.metric_type);
        let samples = take_samples(&frame)?;
        let looked_at = times_within(&frame.times, &times);
        let mut tables = Vec::with_capacity(layout.tables.len());
        for (at, of) in layout.tables.iter().enumerate() {
            let needed: Vec<bool> =
                (0..of.columns.len()).map(|column| selection.reads(of, at, column)).collect();
            let stored = frame.tables.iter().position(|stored| stored.path == of.path);
            let Some(place) = stored.filter(|_| at == 0 || needed.contains(&true)) else {
                tables.push(BucketsTable::default());
                continue;
            };
            let stored = &frame.tables[place];
            let rows = stored.members.rows();
            let order = stored.members.by_thing();
            let wanted = rows[looked_at.start]..rows[looked_at.end];
            let of_row: Vec<u64> = rows
                .windows(2)
                .zip(&samples)
                .flat_map(|(rows, samples)| std::iter::repeat_n(samples.count, rows[1] - rows[0]))
                .collect();
            let counts = match &order {
                Some(order) => order.iter().map(|row| of_row[*row as usize]).collect(),
                None => of_row,
            };
            let column =
                |(column, needed): (&ColumnLayout, &bool)| match frame.column(stored, &column.name)? {
                    Some(mut bytes) if *needed => take_cells(&mut bytes, &counts, &wanted, order.as_deref()),
                    _ => Ok(Vec::new()),
                };
            let columns = of.columns.iter().zip(&needed).map(column).collect::<Result<_, _>>()?;
            let members = std::mem::take(&mut frame.tables[place].members);
            tables.push(BucketsTable { members, rows, columns });
        }
        Ok(Self { metric_type: frame.metric_type, times: frame.times, samples, tables })
    }

    /// Starts of the buckets, µs, ascending.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// The buckets that start in a time range, µs.
    pub fn within(&self, times: &Range<i64>) -> Range<usize> {
        times_within(&self.times, times)
    }

    pub fn at(&self, n: usize) -> OneOf<'_> {
        OneOf { buckets: self, n }
    }

    /// One bucket, to merge others into.
    pub fn bucket(&self, n: usize) -> Bucket {
        let mut bucket = Bucket::restored(self.metric_type, self.samples[n].clone());
        let one = self.at(n);
        for (table, of) in Layout::of(self.metric_type).tables.iter().enumerate() {
            for (row, key) in one.keys(table).iter().enumerate() {
                let cells = (0..of.columns.len()).map(|column| one.cell(table, row, column).clone());
                bucket.restore(table, key, cells);
            }
        }
        bucket
    }

    /// All buckets with their starts.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Bucket)> {
        self.times.iter().enumerate().map(|(n, at)| (*at, self.bucket(n)))
    }
}

/// One bucket of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct OneOf<'a> {
    buckets: &'a Buckets,
    n: usize,
}

impl Sums for OneOf<'_> {
    fn metric_type(&self) -> MetricType {
        self.buckets.metric_type
    }

    fn readings(&self) -> &Samples {
        &self.buckets.samples[self.n]
    }

    fn keys(&self, table: usize) -> &[Key] {
        let table = &self.buckets.tables[table];
        if table.rows.is_empty() { &[] } else { table.members.keys(self.n) }
    }

    #[inline]
    fn cell(&self, table: usize, row: usize, column: usize) -> &Cell {
        let table = &self.buckets.tables[table];
        let row = table.rows[self.n] + row;
        table.columns.get(column).and_then(|cells| cells.get(row)).unwrap_or(&Cell::Absent)
    }
}

fn take_samples(frame: &Frame<'_>) -> Result<Vec<Samples>, Damaged> {
    let count = frame.times.len();
    let mut notes = Bytes::new(&frame.notes);
    let counts = take_integers(&mut notes, count)?;
    let failed = take_integers(&mut notes, count)?;
    let first = take_integers(&mut notes, count)?;
    let has_error = take_integers(&mut notes, count)?;
    let errors = take_texts(&mut notes, has_error.iter().filter(|has| **has == 1).count())?;
    let mut errors = errors.into_iter();
    let samples = |(n, at): (usize, &i64)| Samples {
        count: counts[n],
        failed: failed[n],
        first_at: at.saturating_add_unsigned(first[n]),
        error: if has_error[n] == 1 { errors.next() } else { None },
    };
    Ok(frame.times.iter().enumerate().map(samples).collect())
}

/// Writes cells with their bucket's number of readings, which usually equals the number's count.
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

/// Reads cells with their bucket's number of readings, and puts each at its row: a bucket's cells are then adjacent.
/// Histograms are read only in the rows that are `wanted`.
fn take_cells(
    bytes: &mut Bytes<'_>,
    samples: &[u64],
    wanted: &Range<usize>,
    order: Option<&[u32]>,
) -> Result<Vec<Cell>, Damaged> {
    let tags = take_runs(bytes, samples.len())?;
    let count = |wanted: u8| tags.iter().filter(|tag| **tag == wanted).count();
    let mut cells = Cells { all: vec![Cell::Absent; tags.len()], tags: &tags, order };
    cells.fill(tag::NULL, std::iter::repeat(Cell::Null));
    cells.fill(tag::PRESENT, std::iter::repeat(Cell::Present));
    let of = count(tag::NUMBER);
    if of > 0 {
        let some: Vec<u64>;
        let samples = if of == tags.len() {
            samples
        } else {
            let numbers = tags.iter().zip(samples).filter(|(tag, _)| **tag == tag::NUMBER);
            some = numbers.map(|(_, samples)| *samples).collect();
            &some
        };
        cells.fill(tag::NUMBER, take_stats(bytes, samples)?.into_iter().map(Cell::Number));
    }
    if count(tag::HISTOGRAM) > 0 {
        let rows = cells.rows(tag::HISTOGRAM);
        let wanted: Vec<bool> = rows.map(|row| wanted.contains(&row)).collect();
        cells.fill(tag::HISTOGRAM, take_histograms(bytes, &wanted)?.into_iter().map(Cell::Histogram));
    }
    let of = count(tag::STATES);
    if of > 0 {
        cells.fill(tag::STATES, take_states(bytes, of)?.into_iter().map(Cell::States));
    }
    let of = count(tag::EVENTS);
    if of > 0 {
        cells.fill(tag::EVENTS, take_texts(bytes, of)?.into_iter().map(Cell::Events));
    }
    Ok(cells.all)
}

/// A column's cells by row, and the tags of the stored ones.
struct Cells<'a> {
    all: Vec<Cell>,
    tags: &'a [u8],
    order: Option<&'a [u32]>,
}

impl<'a> Cells<'a> {
    /// The rows of the cells with a tag, as they are stored.
    fn rows(&self, wanted: u8) -> impl Iterator<Item = usize> + use<'a> {
        let order = self.order;
        let places = self.tags.iter().enumerate().filter(move |(_, tag)| **tag == wanted);
        places.map(move |(at, _)| order.map_or(at, |order| order[at] as usize))
    }

    fn fill(&mut self, wanted: u8, values: impl Iterator<Item = Cell>) {
        for (row, value) in self.rows(wanted).zip(values) {
            self.all[row] = value;
        }
    }
}

const DECIMAL: u8 = 0;
const PLAIN: u8 = 1;

/// Numbers in documents are integers scaled by a power of ten. A bucket is stored as its min, its range (max − min),
/// and its sum minus count × min, all of which are small.
fn put_stats(numbers: &[(Stat, u64)], out: &mut Vec<u8>) {
    // Zero for most: the number was in every reading.
    put_signed(numbers.iter().map(|(stat, samples)| samples.wrapping_sub(stat.count).cast_signed()), out);
    let ends = numbers.iter().flat_map(|(stat, _)| [stat.min, stat.max]);
    let sums = || numbers.iter().map(|(stat, _)| stat.sum);
    let whole = scaled_all(ends.clone()).and_then(|(least, scaled)| {
        // Values between min and max may have more decimals than those two.
        let digits = (least..=DECIMALS).find(|digits| sums().all(|sum| nearly_has(sum, *digits)))?;
        let ends = if digits == least { scaled } else { scaled_by(ends, digits)? };
        let of = |((stat, _), ends): (&(Stat, u64), &[i64])| {
            let &[min, max] = ends else { return None };
            let least = min.checked_mul(i64::try_from(stat.count).ok()?)?;
            Some((min, max - min, exact_sum(stat, digits)?.checked_sub(least)?))
        };
        Some((digits, numbers.iter().zip(ends.chunks_exact(2)).map(of).collect::<Option<Vec<_>>>()?))
    });
    match whole {
        Some((digits, all)) => {
            out.extend_from_slice(&[DECIMAL, digits as u8]);
            put_signed(all.iter().map(|(min, ..)| *min), out);
            put_signed(all.iter().map(|(_, range, _)| *range), out);
            // A constant number has nothing above its min.
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

/// Whether a sum has this few decimals, ignoring the error of adding floats.
fn nearly_has(sum: f64, digits: u32) -> bool {
    let scaled = sum * POWERS[digits as usize];
    (scaled - scaled.round()).abs() <= (scaled.abs() * 1e-12).clamp(1e-9, 1e-3)
}

/// The exact sum of numbers with this many decimals: the float sum is off by less than the last decimal.
fn exact_sum(stat: &Stat, digits: u32) -> Option<i64> {
    let sum = (stat.sum * POWERS[digits as usize]).round();
    (sum.abs() < 9.0e15).then_some(sum as i64)
}

fn take_stats(bytes: &mut Bytes<'_>, samples: &[u64]) -> Result<Vec<Stat>, Damaged> {
    let missing = take_signed(bytes, samples.len())?;
    let counts: Vec<u64> =
        samples.iter().zip(missing).map(|(n, missing)| n.wrapping_sub(missing.cast_unsigned())).collect();
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
                // Written sums fit.
                let sum = min.saturating_mul(count.cast_signed()).saturating_add(above);
                Stat {
                    min: unscaled(min, digits),
                    max: unscaled(min.saturating_add(range), digits),
                    sum: unscaled(sum, digits),
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

/// How many states each cell has, how long each lasted, and their texts.
fn put_states(places: &[&[(Value, u64)]], out: &mut Vec<u8>) {
    put_integers(&places.iter().map(|states| states.len() as u64).collect::<Vec<_>>(), out);
    let all = || places.iter().flat_map(|states| states.iter());
    put_integers(&all().map(|(_, count)| *count).collect::<Vec<_>>(), out);
    let texts: Vec<Arc<str>> = all().map(|(state, _)| state_text(state)).collect();
    put_texts(texts.iter(), out);
}

/// Lengths of time that are looked up for each state; a minute at 1 s has 60.
const MAX_SHARED: usize = 64;

type States = Arc<Vec<(Value, u64)>>;

fn take_states(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<States>, Damaged> {
    let lengths = take_integers(bytes, count)?;
    let total = lengths.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    let total = usize::try_from(total).ok().filter(|n| *n <= 1 << 24).ok_or(Damaged("too many states"))?;
    let counts = take_integers(bytes, total)?;
    let Texts { distinct, numbers } = take_distinct_texts(bytes, total)?;
    let values = distinct.iter().map(state_value).collect::<Result<Vec<_>, _>>()?;
    let mut all = numbers.into_iter().map(place).zip(counts);
    // Most cells have one state, and share it with others that had it for as long.
    let mut known: Vec<Vec<(u64, States)>> = vec![Vec::new(); values.len()];
    let mut places = Vec::with_capacity(count);
    for length in lengths {
        if length == 1
            && let Some((text, count)) = all.next()
        {
            let known = &mut known[text];
            let states = match known.iter().find(|(long, _)| *long == count) {
                Some((_, states)) => Arc::clone(states),
                None => {
                    let states = Arc::new(vec![(values[text].clone(), count)]);
                    if known.len() < MAX_SHARED {
                        known.push((count, Arc::clone(&states)));
                    }
                    states
                }
            };
            places.push(states);
        } else {
            let states = all.by_ref().take(place(length));
            places.push(Arc::new(states.map(|(text, count)| (values[text].clone(), count)).collect()));
        }
    }
    Ok(places)
}

/// A state as text, prefixed with a letter for its type.
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
