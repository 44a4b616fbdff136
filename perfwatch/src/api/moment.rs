//! Times as clients write them: RFC 3339 with any offset or none, a date, or epoch seconds.

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::parsing::Parsed;

/// Seconds since 1970, also with decimals.
const EPOCH: StaticFormatDescription =
    format_description!(version = 2, "[unix_timestamp][optional [.[subsecond]]]");

/// What people leave out of RFC 3339. In a query an unescaped `+` arrives as a space.
const SHORTENED: StaticFormatDescription = format_description!(
    version = 2,
    "[year]-[month]-[day][optional [[first [T][t][ ]][hour]:[minute][optional [:[second][optional [.[subsecond]]]]]\
     [optional [[first [Z][z]\
     [[offset_hour sign:mandatory][optional [[optional [:]][offset_minute]]]]\
     [ [offset_hour][optional [[optional [:]][offset_minute]]]]]]]]]"
);

/// Reads a time; without an offset it is UTC. `None` for anything else, also for years that RFC 3339 cannot write.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let moment = epoch(text).or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok()).or_else(|| {
        let midnight = Parsed::new().with_hour_24(0)?.with_minute(0)?.with_offset_hour(0)?;
        OffsetDateTime::parse_with_defaults(text.as_bytes(), &SHORTENED, midnight).ok()
    })?;
    let moment = moment.checked_to_offset(time::UtcOffset::UTC)?;
    (0..=9999).contains(&moment.year()).then_some(moment)
}

fn epoch(text: &str) -> Option<OffsetDateTime> {
    // Decimals count away from 1970, but the library always counts them forwards.
    let (text, is_before) = text.strip_prefix('-').map_or((text, false), |text| (text, true));
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let moment = OffsetDateTime::parse(text, &EPOCH).ok()?;
    let since = moment - OffsetDateTime::UNIX_EPOCH;
    if is_before { OffsetDateTime::UNIX_EPOCH.checked_sub(since) } else { Some(moment) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
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
            "2026-01-01T21:34:05-05:30",
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
            "0000-01-01T00:00:00+01:00",
            "-0001-01-01",
            "-99999999999",
            "-62167219201",
            "-62167219200.5",
            "-377705116800",
            "-377705116801",
            "-377705116799.5",
            "253402300800",
            "-9223372036854775808",
            "0000-01-01T00:00:00.5+23:59",
            "--5",
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
        fn no_number_panics(text in "-?[0-9]{1,19}(\\.[0-9]{1,10})?") {
            if let Some(moment) = parse(&text) {
                prop_assert!(moment.format(&Rfc3339).is_ok(), "{}", text);
            }
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
