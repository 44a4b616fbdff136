//! Histograms in columns: the number of buckets of each, which buckets, their counts, and the sum of all values.

use std::sync::Arc;

use super::bytes::Bytes;
use super::numbers::{put_integers, put_repetitive, take_integers};
use crate::history::Damaged;
use crate::snapshot::histogram::{Histogram, Unit};

pub(super) fn put_histograms<'h>(histograms: impl Iterator<Item = &'h Histogram> + Clone, out: &mut Vec<u8>) {
    let column = |of: fn(&Histogram) -> u64| histograms.clone().map(of).collect::<Vec<_>>();
    let buckets = || histograms.clone().flat_map(Histogram::buckets);
    put_integers(&column(|h| u64::from(h.unit() == Unit::Bytes)), out);
    put_integers(&column(|h| h.buckets().len() as u64), out);
    // Neighbouring buckets are close together.
    let steps = histograms.clone().flat_map(|h| {
        let mut before = 0;
        h.buckets().iter().map(move |(index, _)| u64::from(*index - std::mem::replace(&mut before, *index)))
    });
    put_repetitive(&steps.collect::<Vec<_>>(), out);
    put_repetitive(&buckets().map(|(_, count)| *count).collect::<Vec<_>>(), out);
    put_integers(&column(Histogram::sum), out);
    put_integers(&column(Histogram::max), out);
}

/// Reads as many as `wanted` has; those that are not wanted are left empty.
pub(super) fn take_histograms(
    bytes: &mut Bytes<'_>,
    wanted: &[bool],
) -> Result<Vec<Arc<Histogram>>, Damaged> {
    let count = wanted.len();
    let units = take_integers(bytes, count)?;
    let lengths = take_integers(bytes, count)?;
    let total = lengths.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    let total = usize::try_from(total).ok().filter(|n| *n <= 1 << 24).ok_or(Damaged("too many buckets"))?;
    let steps = take_integers(bytes, total)?;
    let counts = take_integers(bytes, total)?;
    let sums = take_integers(bytes, count)?;
    let maxima = take_integers(bytes, count)?;
    let mut buckets = steps.into_iter().zip(counts);
    let mut histograms = Vec::with_capacity(count);
    let empty = Arc::new(Histogram::empty(Unit::Nanoseconds));
    let all = units.into_iter().zip(lengths).zip(sums).zip(maxima);
    for ((((unit, length), sum), max), is_wanted) in all.zip(wanted) {
        if !is_wanted {
            // Their lengths add up to the total.
            buckets.by_ref().take(length as usize).for_each(drop);
            histograms.push(Arc::clone(&empty));
            continue;
        }
        let unit = if unit == 0 { Unit::Nanoseconds } else { Unit::Bytes };
        let mut index = 0u64;
        let buckets = buckets.by_ref().take(length as usize).map(|(step, count)| {
            index = index.saturating_add(step);
            (u16::try_from(index).unwrap_or(u16::MAX), count)
        });
        let histogram =
            Histogram::restored(unit, buckets.collect(), sum, max).ok_or(Damaged("no histogram"))?;
        histograms.push(Arc::new(histogram));
    }
    Ok(histograms)
}
