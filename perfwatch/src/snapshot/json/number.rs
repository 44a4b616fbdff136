//! Numbers as JSON text: the shortest that reads back as the same number.

/// Up to 15 digits, different texts are different floats, so that a text with no more digits is the shortest.
const EXACT: f64 = 1e15;
/// Smaller floats have an exponent in their shortest text.
const SMALLEST: f64 = 1e-5;

pub fn write_whole(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Writes a number; whole ones without a fraction.
#[inline]
pub fn write_number(n: f64, out: &mut Vec<u8>) {
    // Up to 2^53 every integer is exact.
    let whole = n as i64;
    if whole as f64 == n && whole.unsigned_abs() < 1 << 53 {
        if whole < 0 {
            out.push(b'-');
        }
        write_whole(whole.unsigned_abs(), out);
    } else {
        write_float(n, out);
    }
}

/// Writes a float as `serde_json` does: whole ones with a fraction of zero, what is no number as `null`.
///
/// Numbers in documents are rounded to a few decimals. These are written as an integer with a point in it, for a
/// fraction of what finding the shortest text of any float costs.
pub fn write_float(n: f64, out: &mut Vec<u8>) {
    if n.abs() >= SMALLEST {
        let with_three = rounded(n, 1e3);
        if with_three.is_some_and(|rounded| rounded as f64 / 1e3 == n.abs()) {
            return write_decimals::<1>(n < 0.0, with_three.unwrap_or_default(), out);
        }
        let with_six = rounded(n, 1e6);
        if with_six.is_some_and(|rounded| rounded as f64 / 1e6 == n.abs()) {
            return write_decimals::<2>(n < 0.0, with_six.unwrap_or_default(), out);
        }
    }
    if n.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(n).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Writes an average without digits that tell nothing: documents have at most six decimals, and up to three more are
/// kept of an average below one.
#[inline]
pub fn write_average(n: f64, out: &mut Vec<u8>) {
    let small = n.abs() < 1.0;
    match rounded(n, if small { 1e9 } else { 1e6 }) {
        // Of a smaller one fewer than six digits would be left.
        Some(..1_000_000) | None => write_number(n, out),
        Some(rounded) if small => write_decimals::<3>(n < 0.0, rounded, out),
        Some(rounded) if rounded % 1_000_000 == 0 => {
            if n < 0.0 {
                out.push(b'-');
            }
            write_whole(rounded / 1_000_000, out);
        }
        Some(rounded) => write_decimals::<2>(n < 0.0, rounded, out),
    }
}

/// A number without its sign, scaled and rounded, if that has few enough digits.
#[inline]
fn rounded(n: f64, power: f64) -> Option<u64> {
    let scaled = n.abs() * power;
    // Unlike `f64::round`, this calls no function.
    (scaled < EXACT).then_some((scaled + 0.5) as i64 as u64)
}

/// Three digits, and how many are left without zeros at the end.
const THREE: [[u8; 4]; 1000] = {
    let mut all = [[0; 4]; 1000];
    let mut n = 0;
    while n < 1000 {
        let length = if n % 10 != 0 {
            3
        } else if n % 100 != 0 {
            2
        } else {
            1
        };
        all[n] = [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8, length];
        n += 1;
    }
    all
};

/// Writes an integer divided by `1000^GROUPS`.
#[inline]
fn write_decimals<const GROUPS: usize>(negative: bool, scaled: u64, out: &mut Vec<u8>) {
    if negative {
        out.push(b'-');
    }
    let power = 1000u64.pow(GROUPS as u32);
    let whole = scaled / power;
    if whole < 10 {
        out.push(b'0' + whole as u8);
    } else {
        write_whole(whole, out);
    }
    let mut fraction = scaled % power;
    // A copy of fixed length takes no call; what is too much is cut off again.
    let mut text = [b'.'; 12];
    let mut length = 2;
    for group in (0..GROUPS).rev() {
        let [a, b, c, digits] = THREE[(fraction % 1000) as usize];
        fraction /= 1000;
        text[1 + 3 * group..4 + 3 * group].copy_from_slice(&[a, b, c]);
        if length == 2 && (digits > 1 || a != b'0') {
            length = 1 + 3 * group + usize::from(digits);
        }
    }
    let start = out.len();
    out.extend_from_slice(&text);
    out.truncate(start + length);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: fn(f64, &mut Vec<u8>), n: f64) -> String {
        let mut out = Vec::new();
        write(n, &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn floats_are_written_as_serde_json_does(any: f64, integer in -10i64.pow(16)..10i64.pow(16), digits in 0i32..12) {
            for n in [any, integer as f64 / 10f64.powi(digits), (integer % 1000) as f64 / 10f64.powi(digits)] {
                prop_assert_eq!(written(write_float, n), serde_json::to_string(&n).unwrap());
            }
        }

        #[test]
        fn an_average_is_off_by_less_than_a_millionth(n in -1e12..1e12, small in -1.0..1.0) {
            for (n, off) in [(n, 6e-7), (small, 6e-10)] {
                let read: f64 = written(write_average, n).parse().unwrap();
                prop_assert!((read - n).abs() <= off, "{} of {}", read, n);
            }
        }
    }

    #[test]
    fn corner_cases_are_as_serde_json_writes_them() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            1e-5,
            9.9e-6,
            1e-6,
            0.1,
            0.000_012,
            999_999_999.999_999,
            1e15,
            1e16,
            1e300,
        ];
        for n in numbers.into_iter().chain([f64::NAN, f64::INFINITY]) {
            assert_eq!(written(write_float, n), serde_json::to_string(&n).unwrap());
        }
        assert_eq!(written(write_number, 5.0), "5");
        assert_eq!(written(write_number, -0.0), "0");
        assert_eq!(written(write_average, 100.0 / 3.0), "33.333333");
        assert_eq!(written(write_average, 0.1 / 3.0), "0.033333333");
        assert_eq!(written(write_average, 1e-4 / 3.0), serde_json::to_string(&(1e-4 / 3.0)).unwrap());
        assert_eq!(written(write_average, 120.0), "120");
    }
}
