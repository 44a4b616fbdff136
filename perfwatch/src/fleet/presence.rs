//! Which hosts were heard of, and how far their clocks are off: known to each hub by itself, seconds after it starts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::copies::Copies;
use time::OffsetDateTime;

/// Three signs of life are missing.
const LIVE: Duration = Duration::from_secs(35);
/// Slots have five minutes at the usual interval, and take a moment to arrive.
const FRESH: i64 = 11 * 60 * 1_000_000;
/// More hosts than a fleet has; further ones are not noted.
const MAX_HOSTS: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Live,
    /// Neither signs of life nor new history.
    Silent,
    /// Several machines send under this ID.
    Copied,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Copied => "copied",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    /// Its clock minus ours, µs.
    skew: i64,
    /// It said that it stops.
    is_leaving: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Presence {
    heard: Arc<Mutex<HashMap<String, Heard>>>,
    copies: Copies,
}

impl Presence {
    /// Notes a sign of life: when it was sent by the host's clock, and when it arrived by ours; µs.
    pub fn note(&self, host: &str, sent: i64, received: i64) {
        let mut hosts = self.hosts();
        if hosts.len() < MAX_HOSTS || hosts.contains_key(host) {
            let skew = sent.saturating_sub(received);
            hosts.insert(host.to_owned(), Heard { at: Instant::now(), skew, is_leaving: false });
        }
    }

    /// Notes another sign of a host that was heard before.
    pub fn note_heard(&self, host: &str) {
        if let Some(heard) = self.hosts().get_mut(host).filter(|heard| !heard.is_leaving) {
            heard.at = Instant::now();
        }
    }

    /// Notes that a host that was heard stops.
    pub fn note_leaving(&self, host: &str) {
        if let Some(heard) = self.hosts().get_mut(host) {
            heard.is_leaving = true;
        }
    }

    /// How long ago a host was heard, and whether it said then that it stops.
    pub fn heard(&self, host: &str) -> Option<(Duration, bool)> {
        self.hosts().get(host).map(|heard| (heard.at.elapsed(), heard.is_leaving))
    }

    /// Whether a host lives, by its signs of life or, at `now`, by its newest history (µs).
    pub fn state(&self, host: &str, newest: Option<i64>, now: i64) -> State {
        if !self.copies.of(host).is_empty() {
            return State::Copied;
        }
        let is_heard = self.hosts().get(host).is_some_and(|heard| heard.at.elapsed() < LIVE);
        let is_fresh = newest.is_some_and(|newest| newest > now.saturating_sub(FRESH));
        if is_heard || is_fresh { State::Live } else { State::Silent }
    }

    /// How far a host's clock was ahead of ours at its last sign of life, µs; with the time that travelling took.
    pub fn skew(&self, host: &str) -> Option<i64> {
        self.hosts().get(host).map(|heard| heard.skew)
    }

    /// When a host's last sign of life came, by our clock.
    pub fn heard_at(&self, host: &str) -> Option<OffsetDateTime> {
        let elapsed = self.hosts().get(host)?.at.elapsed();
        OffsetDateTime::now_utc().checked_sub(time::Duration::try_from(elapsed).ok()?)
    }

    /// The machines that send under one ID.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_lives_while_it_is_heard_or_has_new_history() {
        let presence = Presence::default();
        let now = 1_000_000_000_000_000;
        assert_eq!(presence.state("a", None, now), State::Silent);
        assert_eq!(presence.state("a", Some(now - FRESH + 1), now), State::Live);
        assert_eq!(presence.state("a", Some(now - FRESH), now), State::Silent);
        presence.note("a", now - 2_000_000, now);
        assert_eq!((presence.state("a", None, now), presence.skew("a")), (State::Live, Some(-2_000_000)));
        assert_eq!((presence.state("b", None, now), presence.skew("b")), (State::Silent, None));
    }
}
