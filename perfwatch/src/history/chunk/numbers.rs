//! Compact sequences of numbers: short ones as varint differences, long ones with the pco codec.

use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec};

use super::bytes::{Bytes, put_count, put_varint, unzigzag, zigzag};
use crate::history::Damaged;

const EMPTY: u8 = 0;
const CONSTANT: u8 = 1;
const DIFFERENCES: u8 = 2;
const PCO: u8 = 3;
/// Floats as integers scaled by a power of ten; the exponent follows.
const DECIMAL: u8 = 4;
const CONSTANT_FLOAT: u8 = 5;
const PCO_FLOAT: u8 = 6;
const PLAIN_FLOAT: u8 = 7;

/// Below this many numbers pco's header costs more than it saves.
const FEW: usize = 12;
/// Higher levels cost more time than they save space.
const LEVEL: usize = 6;
/// Documents round to at most this many decimals.
pub(in crate::history) const DECIMALS: u32 = 6;
pub(super) const POWERS: [f64; DECIMALS as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

pub(in crate::history) fn put_integers(numbers: &[u64], out: &mut Vec<u8>) {
    put_with(numbers, delta_of, out);
}

/// The same for numbers that repeat what stands some places before, as one histogram does the last: finding that takes
/// time.
pub(in crate::history) fn put_repetitive(numbers: &[u64], out: &mut Vec<u8>) {
    put_with(numbers, |_| DeltaSpec::Auto, out);
}

fn put_with(numbers: &[u64], delta: impl FnOnce(&[u64]) -> DeltaSpec, out: &mut Vec<u8>) {
    let Some(first) = numbers.first() else { return out.push(EMPTY) };
    if numbers.iter().all(|n| n == first) {
        out.push(CONSTANT);
        return put_varint(*first, out);
    }
    put_differences(numbers, 0, delta, out);
}

/// Writes the shorter of varint differences (the first one relative to `before`) and pco's output.
fn put_differences(
    numbers: &[u64],
    mut before: u64,
    delta: impl FnOnce(&[u64]) -> DeltaSpec,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.push(DIFFERENCES);
    for &n in numbers {
        put_varint(zigzag(n.wrapping_sub(before).cast_signed()), out);
        before = n;
    }
    if numbers.len() >= FEW
        && let Some(packed) = pack(numbers, delta(numbers))
        && packed.len() < out.len() - start - 1
    {
        out.truncate(start);
        out.push(PCO);
        out.extend_from_slice(&packed);
    }
}

pub(in crate::history) fn take_integers(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<u64>, Damaged> {
    match bytes.byte()? {
        EMPTY if count == 0 => Ok(Vec::new()),
        CONSTANT => Ok(vec![bytes.varint()?; count]),
        DIFFERENCES => {
            let mut before = 0u64;
            let next = || {
                before = before.wrapping_add(unzigzag(bytes.varint()?).cast_unsigned());
                Ok(before)
            };
            std::iter::repeat_with(next).take(count).collect()
        }
        PCO => unpack(bytes, count),
        _ => Err(Damaged("unknown kind of integers")),
    }
}

pub(in crate::history) fn put_signed(numbers: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
    // Order-preserving mapping of signed numbers, so that differences stay small.
    let shifted: Vec<u64> = numbers.map(|n| n.cast_unsigned() ^ SIGN).collect();
    match shifted.first() {
        None => out.push(EMPTY),
        Some(first) if shifted.iter().all(|n| n == first) => {
            out.push(CONSTANT);
            put_varint(zigzag((first ^ SIGN).cast_signed()), out);
        }
        Some(_) => put_differences(&shifted, SIGN, delta_of, out),
    }
}

const SIGN: u64 = 1 << 63;

pub(in crate::history) fn take_signed(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<i64>, Damaged> {
    match bytes.byte()? {
        EMPTY if count == 0 => Ok(Vec::new()),
        CONSTANT => Ok(vec![unzigzag(bytes.varint()?); count]),
        DIFFERENCES => {
            let mut before = 0i64;
            let next = || {
                before = before.wrapping_add(unzigzag(bytes.varint()?));
                Ok(before)
            };
            std::iter::repeat_with(next).take(count).collect()
        }
        PCO => Ok(unpack::<u64>(bytes, count)?.into_iter().map(|n| (n ^ SIGN).cast_signed()).collect()),
        _ => Err(Damaged("unknown kind of integers")),
    }
}

/// The fewest decimals that represent all `numbers` exactly, and the numbers scaled by them; `None` if it takes too
/// many, or a number is too large.
pub(in crate::history) fn scaled_all(numbers: impl Iterator<Item = f64> + Clone) -> Option<(u32, Vec<i64>)> {
    (0..=DECIMALS).find_map(|digits| Some((digits, scaled_by(numbers.clone(), digits)?)))
}

pub(in crate::history) fn scaled_by(numbers: impl Iterator<Item = f64>, digits: u32) -> Option<Vec<i64>> {
    numbers.map(|n| scaled(n, digits)).collect()
}

/// The number scaled by a power of ten, if it round-trips exactly.
pub(in crate::history) fn scaled(n: f64, digits: u32) -> Option<i64> {
    let power = POWERS[digits as usize];
    let scaled = n * power;
    if scaled.abs() >= 9.0e15 || scaled.is_nan() {
        return None;
    }
    // As `f64::round`, which calls a function. Above this there are no fractions.
    let half = if scaled.abs() < 4.0e15 { 0.5f64.copysign(scaled) } else { 0.0 };
    let integer = (scaled + half) as i64;
    // −0 would come back as 0.
    (integer as f64 / power == n && (integer != 0 || n.is_sign_positive())).then_some(integer)
}

pub(in crate::history) fn unscaled(integer: i64, digits: u32) -> f64 {
    integer as f64 / POWERS[digits as usize]
}

pub(in crate::history) fn put_floats(numbers: &[f64], out: &mut Vec<u8>) {
    let Some(first) = numbers.first() else { return out.push(EMPTY) };
    if let Some((digits, scaled)) = scaled_all(numbers.iter().copied()) {
        out.extend_from_slice(&[DECIMAL, digits as u8]);
        return put_signed(scaled.into_iter(), out);
    }
    if numbers.iter().all(|n| n.to_bits() == first.to_bits()) {
        out.push(CONSTANT_FLOAT);
        return out.extend_from_slice(&first.to_le_bytes());
    }
    match (numbers.len() >= FEW).then(|| pack(numbers, DeltaSpec::Auto)).flatten() {
        Some(packed) => {
            out.push(PCO_FLOAT);
            out.extend_from_slice(&packed);
        }
        None => {
            out.push(PLAIN_FLOAT);
            numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        }
    }
}

pub(in crate::history) fn take_floats(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<f64>, Damaged> {
    match bytes.byte()? {
        EMPTY if count == 0 => Ok(Vec::new()),
        DECIMAL => {
            let digits = u32::from(bytes.byte()?);
            if digits > DECIMALS {
                return Err(Damaged("too many decimals"));
            }
            Ok(take_signed(bytes, count)?.into_iter().map(|n| unscaled(n, digits)).collect())
        }
        CONSTANT_FLOAT => Ok(vec![f64::from_le_bytes(bytes.array()?); count]),
        PCO_FLOAT => unpack(bytes, count),
        PLAIN_FLOAT => std::iter::repeat_with(|| bytes.array().map(f64::from_le_bytes)).take(count).collect(),
        _ => Err(Damaged("unknown kind of floats")),
    }
}

fn pack<T: pco::data_types::Number>(numbers: &[T], delta: DeltaSpec) -> Option<Vec<u8>> {
    let config = ChunkConfig::default().with_compression_level(LEVEL).with_delta_spec(delta);
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(numbers, &config).ok()?;
    // pco splits very long inputs into pages; these are never that long.
    if chunk.n_per_page().len() != 1 {
        return None;
    }
    let mut packed = Vec::new();
    file.write_header(&mut packed).ok()?;
    chunk.write_meta(&mut packed).ok()?;
    chunk.write_page(0, &mut packed).ok()?;
    Some(packed)
}

/// Whether differences are smaller than the numbers are apart. pco's own choice takes as long as compressing does.
fn delta_of(numbers: &[u64]) -> DeltaSpec {
    let bits =
        |(a, b): (&u64, &u64)| u64::from(64 - zigzag(a.wrapping_sub(*b).cast_signed()).leading_zeros());
    let neighbours: u64 = numbers[1..].iter().zip(numbers).map(bits).sum();
    let far: u64 = numbers[1..].iter().zip(numbers.iter().cycle().skip(numbers.len() / 2)).map(bits).sum();
    // The differences of independent numbers are as small as those of distant ones, but half a bit larger than they are.
    if neighbours + numbers.len() as u64 / 3 < far { DeltaSpec::TryConsecutive(1) } else { DeltaSpec::NoOp }
}

fn unpack<T: pco::data_types::Number + Default>(
    bytes: &mut Bytes<'_>,
    count: usize,
) -> Result<Vec<T>, Damaged> {
    let damaged = |_| Damaged("numbers that pco does not read");
    let (file, rest) = FileDecompressor::new(bytes.rest()).map_err(damaged)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(damaged)?;
    let mut page = chunk.page_decompressor(rest, count).map_err(damaged)?;
    let mut numbers = vec![T::default(); count];
    let progress = page.read(&mut numbers).map_err(damaged)?;
    if progress.n_processed != count {
        return Err(Damaged("fewer numbers than it claims"));
    }
    *bytes = Bytes::new(page.into_src());
    Ok(numbers)
}

/// First byte of run-length data; no column uses it as a tag.
const RUNS: u8 = 255;

/// Run-length encodes bytes that rarely change.
pub(in crate::history) fn put_runs(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let mut runs: Vec<(u8, u64)> = Vec::new();
    for byte in bytes {
        match runs.last_mut() {
            Some((of, length)) if *of == byte => *length += 1,
            _ => runs.push((byte, 1)),
        }
    }
    match &runs[..] {
        [] => out.push(0),
        [(only, _)] => out.push(*only),
        _ => {
            out.push(RUNS);
            put_count(runs.len(), out);
            runs.iter().for_each(|(of, _)| out.push(*of));
            put_integers(&runs.iter().map(|(_, length)| *length).collect::<Vec<_>>(), out);
        }
    }
}

pub(in crate::history) fn take_runs(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<u8>, Damaged> {
    let first = bytes.byte()?;
    if first != RUNS {
        return Ok(vec![first; count]);
    }
    let runs = bytes.count(bytes.rest().len())?;
    let of = bytes.take(runs)?;
    let mut all = Vec::with_capacity(count);
    for (of, length) in of.iter().zip(take_integers(bytes, runs)?) {
        let length = usize::try_from(length).ok().filter(|n| *n <= count - all.len());
        all.resize(all.len() + length.ok_or(Damaged("too many values"))?, *of);
    }
    if all.len() == count { Ok(all) } else { Err(Damaged("too few values")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T>(put: impl Fn(&mut Vec<u8>), take: impl Fn(&mut Bytes<'_>) -> Result<T, Damaged>) -> T {
        let mut out = Vec::new();
        put(&mut out);
        out.push(0xa5);
        let mut bytes = Bytes::new(&out);
        let taken = take(&mut bytes).unwrap();
        assert_eq!(bytes.rest(), [0xa5], "nothing more or less is read");
        taken
    }

    proptest! {
        #[test]
        fn integers_come_back(numbers: Vec<u64>, small in proptest::collection::vec(1000u64..1100, 0..200)) {
            for numbers in [&numbers, &small] {
                let got = read(|out| put_integers(numbers, out), |bytes| take_integers(bytes, numbers.len()));
                prop_assert_eq!(&got, numbers);
            }
        }

        #[test]
        fn signed_integers_come_back(numbers: Vec<i64>) {
            let got = read(
                |out| put_signed(numbers.iter().copied(), out),
                |bytes| take_signed(bytes, numbers.len()),
            );
            prop_assert_eq!(got, numbers);
        }

        #[test]
        fn floats_come_back_to_the_bit(
            numbers: Vec<f64>, rounded in proptest::collection::vec((-100_000i32..100_000).prop_map(f64::from), 0..99),
        ) {
            let mut rounded: Vec<f64> = rounded.iter().map(|n| n / 100.0).collect();
            let small = rounded.clone();
            rounded.extend([962_509_689_984.0, 1e15, 0.000_001]);
            for numbers in [&numbers, &rounded, &small] {
                let got = read(|out| put_floats(numbers, out), |bytes| take_floats(bytes, numbers.len()));
                let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&got), bits(numbers));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), count in 0usize..300) {
            let _ = take_integers(&mut Bytes::new(&bytes), count);
            let _ = take_signed(&mut Bytes::new(&bytes), count);
            let _ = take_floats(&mut Bytes::new(&bytes), count);
        }
    }
}
