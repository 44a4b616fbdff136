//! Whether to trust the clock when it says that history is old.
//!
//! A clock set a year ahead makes all history look expired. The monotonic clock shows that it was set while running;
//! the stored data shows that it was wrong at startup. Nothing is then removed for an hour, so that someone may notice.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// How long nothing is removed after a clock jump.
pub(super) const GRACE: Duration = Duration::from_secs(3600);
/// Clocks disciplined by NTP don't drift apart by more than this between two checks.
const DRIFT: time::Duration = time::Duration::minutes(2);
/// The newest stored snapshot is more recent than this, unless the machine was off or the clock is wrong.
const GAP: time::Duration = time::Duration::days(1);

#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// The last check: wall clock and monotonic clock.
    last: Option<(OffsetDateTime, Instant)>,
    jumped: Option<Instant>,
}

impl Evidence {
    /// Checks the time; `newest` is the time of the newest stored snapshot, needed at the first check only.
    pub(crate) fn look(&mut self, now: OffsetDateTime, clock: Instant, newest: Option<OffsetDateTime>) {
        let by = match self.last {
            Some((wall, before)) => {
                let elapsed = time::Duration::try_from(clock - before).unwrap_or(time::Duration::MAX);
                let by = (now - wall).saturating_sub(elapsed);
                (by.abs() > DRIFT).then_some(by)
            }
            None => {
                let by = newest.map_or(time::Duration::ZERO, |newest| now - newest);
                (by > GAP || by < -DRIFT).then_some(by)
            }
        };
        self.last = Some((now, clock));
        if let Some(by) = by {
            self.jumped = Some(clock);
            tracing::warn!(
                seconds = by.whole_seconds(),
                "the clock was set, or the machine was off or suspended: nothing is removed from history for an hour"
            );
        }
    }

    pub(crate) fn is_first(&self) -> bool {
        self.last.is_none()
    }

    pub(crate) fn allows_removal(&self, clock: Instant) -> bool {
        self.jumped.is_none_or(|jumped| clock - jumped >= GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        let clock = Instant::now();
        let mut evidence = Evidence::default();
        for minute in 0..500 {
            // Slewed by NTP.
            let now = NOW + MINUTE * minute + Duration::from_millis(30) * minute;
            evidence.look(now, clock + MINUTE * minute, Some(NOW - MINUTE));
            assert!(evidence.allows_removal(clock + MINUTE * minute), "{minute}");
        }
    }

    #[test]
    fn after_a_jump_either_way_nothing_is_removed_for_an_hour() {
        for jump in [time::Duration::days(400), time::Duration::minutes(-10)] {
            let clock = Instant::now();
            let mut evidence = Evidence::default();
            evidence.look(NOW, clock, None);
            for minute in 1..=60 {
                let at = clock + MINUTE * minute;
                evidence.look(NOW + jump + MINUTE * minute, at, None);
                assert!(!evidence.allows_removal(at), "{jump} {minute}");
            }
            assert!(evidence.allows_removal(clock + MINUTE * 61));
        }
    }

    #[test]
    fn a_start_far_from_what_is_stored_waits_as_well() {
        for (newest, allowed) in [
            (None, true),
            (Some(NOW - time::Duration::hours(3)), true),
            (Some(NOW - time::Duration::days(400)), false),
            (Some(NOW + time::Duration::days(400)), false),
        ] {
            let clock = Instant::now();
            let mut evidence = Evidence::default();
            evidence.look(NOW, clock, newest);
            assert_eq!(evidence.allows_removal(clock), allowed, "{newest:?}");
        }
    }
}
