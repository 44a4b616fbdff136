//! Tokens for scripts: random, scoped, expiring, stored as a hash.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::digest;

/// Prefix of every API token: people and secret scanners recognise it, and no JWT has it.
pub const PREFIX: &str = "pwt_";
/// Per account.
pub const MAX_TOKENS: usize = 100;

/// What a token may be used for. It never includes changes to accounts or settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    /// Everything a viewer sees, live stream included.
    pub read: bool,
    /// Only `/metrics`.
    pub metrics: bool,
    /// Noting events, while the owner is an administrator.
    pub events: bool,
}

impl FromStr for Scopes {
    type Err = ();

    /// A comma-separated list that names at least one scope.
    fn from_str(list: &str) -> Result<Self, ()> {
        let mut scopes = Self { read: false, metrics: false, events: false };
        for name in list.split(',') {
            match name {
                "read" => scopes.read = true,
                "metrics" => scopes.metrics = true,
                "events" => scopes.events = true,
                _ => return Err(()),
            }
        }
        Ok(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.read, "read"), (self.metrics, "metrics"), (self.events, "events")];
        let given: Vec<&str> =
            names.into_iter().filter_map(|(is_given, name)| is_given.then_some(name)).collect();
        f.write_str(&given.join(","))
    }
}

/// A new token: 256 random bits.
pub(super) fn generate() -> Result<String, getrandom::Error> {
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// What is stored of a token. A fast hash is enough for something that cannot be guessed.
pub(super) fn hash(token: &str) -> String {
    digest(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_recognised() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert_ne!(a, b);
        assert!(a.starts_with(PREFIX) && a.len() == PREFIX.len() + 43);
        assert!(!hash(&a).contains(&a[PREFIX.len()..]));
    }

    #[test]
    fn scopes_round_trip_and_unknown_ones_are_refused() {
        for list in ["read", "metrics", "read,metrics", "events", "read,metrics,events"] {
            assert_eq!(list.parse::<Scopes>().unwrap().to_string(), list);
        }
        for list in ["", "write", "read,", "read,admin"] {
            assert!(list.parse::<Scopes>().is_err(), "{list}");
        }
    }
}
