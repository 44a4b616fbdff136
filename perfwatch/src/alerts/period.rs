//! Lengths of time as people write them: `30s`, `5m`, `1h30m`, `2d`, `1w`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const UNITS: [(char, i64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
/// Ten years: longer is a mistake.
const MAX_SECONDS: i64 = 10 * 366 * 86_400;

/// A length of time in whole seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(i64);

impl Period {
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    pub const fn as_seconds(self) -> i64 {
        self.0
    }

    pub const fn micros(self) -> i64 {
        self.0 * 1_000_000
    }

    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not a length of time; write it as 30s, 5m, 1h30m, 2d or 1w");
        let mut total = 0i64;
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self(0));
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
            let number: i64 = rest[..digits].parse().map_err(|_| refused())?;
            let unit = rest[digits..].chars().next().ok_or_else(refused)?;
            let seconds = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?.1;
            total =
                number.checked_mul(seconds).and_then(|part| total.checked_add(part)).ok_or_else(refused)?;
            rest = &rest[digits + unit.len_utf8()..];
        }
        if text.trim().is_empty() || total > MAX_SECONDS {
            return Err(refused());
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        let mut rest = self.0;
        for (name, seconds) in UNITS {
            if rest >= seconds {
                write!(f, "{}{name}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_a_length_is_refused_with_examples() {
        for bad in ["", "5", "m", "-5m", "5 m", "1y", "5m3", "99999999999999999999s", "9999999d", "5µ"] {
            let error = bad.parse::<Period>().unwrap_err();
            assert!(error.contains("1h30m"), "{bad}: {error}");
        }
        assert_eq!("1h30m".parse(), Ok(Period(5400)));
        assert_eq!("0".parse(), Ok(Period(0)));
    }

    proptest! {
        #[test]
        fn written_periods_are_read_back(seconds in 0..MAX_SECONDS) {
            prop_assert_eq!(Period(seconds).to_string().parse(), Ok(Period(seconds)));
        }
    }
}
