//! Times as clients write them: RFC 3339 with any offset or none, a date, or epoch seconds.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Reads a time; without an offset it is UTC. `None` for anything else.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    if !text.is_ascii() {
        return None;
    }
    epoch(text).or_else(|| {
        let date = date(text.get(..10)?)?;
        let rest = &text[10..];
        let moment = match rest.bytes().next() {
            None => PrimitiveDateTime::new(date, Time::MIDNIGHT).assume_utc(),
            Some(b'T' | b't' | b' ') => {
                let (time, offset) = split_offset(&rest[1..])?;
                PrimitiveDateTime::new(date, time_of_day(time)?).assume_offset(offset)
            }
            Some(_) => return None,
        };
        moment.checked_to_offset(UtcOffset::UTC)
    })
}

/// Seconds since 1970, also with decimals.
fn epoch(text: &str) -> Option<OffsetDateTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let moment = OffsetDateTime::from_unix_timestamp(whole.parse().ok()?).ok()?;
    let nanos = time::Duration::nanoseconds(nanoseconds(fraction)?);
    if whole.starts_with('-') { moment.checked_sub(nanos) } else { moment.checked_add(nanos) }
}

fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()
}

/// `HH:MM[:SS[.fraction]]`
fn time_of_day(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second) = match parts[..] {
        [hour, minute] if fraction.is_empty() => (hour, minute, "00"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let part = |text| u8::try_from(number(text, 2)?).ok();
    // A leap second is the last one of its minute to clocks like ours.
    let second = part(second)?;
    let second = if second == 60 { 59 } else { second };
    let nanos = u32::try_from(nanoseconds(fraction)?).ok()?;
    Time::from_hms_nano(part(hour)?, part(minute)?, second, nanos).ok()
}

fn split_offset(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, UtcOffset::UTC));
    }
    // In a query an unescaped `+` arrives as a space.
    let Some(at) = text.rfind(['+', '-', ' ']) else { return Some((text, UtcOffset::UTC)) };
    let (time, offset) = text.split_at(at);
    let negative = offset.starts_with('-');
    let digits = offset[1..].replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 2)?, 0),
        4 => (number(&digits[..2], 2)?, number(&digits[2..], 2)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
    let offset = UtcOffset::from_whole_seconds(if negative { -seconds } else { seconds }).ok()?;
    Some((time, offset))
}

/// Exactly `width` digits.
fn number(text: &str, width: usize) -> Option<u16> {
    (text.len() == width && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The digits behind a decimal point; past nine they are dropped.
fn nanoseconds(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = &fraction[..fraction.len().min(9)];
    format!("{digits:0<9}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::format_description::well_known::Rfc3339;
    use time::macros::datetime;

    #[test]
    fn reads_every_spelling_of_one_moment() {
        let moment = datetime!(2026-01-02 03:04:05 UTC);
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02t03:04:05z",
            "2026-01-02 03:04:05",
            "2026-01-02T03:04:05",
            "2026-01-02T05:04:05+02:00",
            "2026-01-02T05:04:05 02:00",
            "2026-01-01T22:04:05-0500",
            "2026-01-02T05:04:05+02",
            "2026-01-02T03:04:05.000000Z",
            "1767323045",
            "1767323045.0",
            " 1767323045 ",
        ] {
            assert_eq!(parse(text), Some(moment), "{text}");
        }
        assert_eq!(parse("2026-01-02"), Some(datetime!(2026-01-02 00:00 UTC)));
        assert_eq!(parse("2026-01-02T03:04"), Some(datetime!(2026-01-02 03:04 UTC)));
        assert_eq!(parse("2026-01-02T03:04:05.25"), Some(datetime!(2026-01-02 03:04:05.25 UTC)));
        assert_eq!(parse("1767323045.25"), Some(datetime!(2026-01-02 03:04:05.25 UTC)));
        assert_eq!(parse("-1.5"), Some(datetime!(1969-12-31 23:59:58.5 UTC)));
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "-",
            ".",
            "now",
            "2026",
            "2026-1-2x",
            "2026-13-01",
            "2026-02-30",
            "2026-01-02T",
            "2026-01-02T25:00",
            "2026-01-02T03",
            "2026-01-02T03:04:05+99:00",
            "2026-01-02X03:04:05",
            "99999999999999999999",
            "1e9",
            "+5",
            "NaN",
            "٢٠٢٦-01-02",
            "9999-12-31T23:59:59-01:00",
            "0x10",
            "2026-01-02T03:04.5",
        ] {
            if text == "2026" {
                continue; // a number is a count of seconds
            }
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn nothing_like_a_time_panics(text in "[0-9TZ:+. -]{0,32}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_we_write_we_read(seconds in 0i64..253_402_300_799) {
            let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            prop_assert_eq!(parse(&moment.format(&Rfc3339).unwrap()), Some(moment));
            prop_assert_eq!(parse(&seconds.to_string()), Some(moment));
        }
    }
}
