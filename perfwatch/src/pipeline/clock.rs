//! When to tick: on wall-clock multiples of the interval, without drift, even if the clock is set.

use std::time::Duration;

use time::OffsetDateTime;

/// Closer to the priming sample, a rate would cover too short a time to be meaningful.
const FIRST_GAP: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Schedule {
    started: OffsetDateTime,
    last: Option<OffsetDateTime>,
    /// The tick being waited for, and its interval.
    awaited: Option<(OffsetDateTime, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Now(OffsetDateTime),
    After(Duration),
}

impl Schedule {
    pub(super) fn new(started: OffsetDateTime) -> Self {
        Self { started, last: None, awaited: None }
    }

    /// The tick that is due, or how long to wait before asking again; asking earlier is harmless.
    ///
    /// Each wait is computed from the wall clock, so ticks don't drift. After a suspend or a clock step, the grid of
    /// the new time applies; a small step back never yields the same tick twice in a row.
    pub(super) fn next(&mut self, now: OffsetDateTime, interval: Duration) -> Next {
        let awaited = self.awaited.filter(|(_, of)| *of == interval).map(|(target, _)| target);
        let target = match awaited {
            Some(target) if target - now <= interval * 2 => target,
            Some(_) => {
                self.last = None; // the clock was set back while we waited
                self.target(now, interval)
            }
            None => self.target(now, interval),
        };
        if now < target {
            self.awaited = Some((target, interval));
            return Next::After((target - now).unsigned_abs());
        }
        // Woken late, after a suspend or a step forward: use the newest multiple that has passed.
        let tick = target.max(floor(now, interval));
        self.last = Some(tick);
        self.awaited = None;
        Next::Now(tick)
    }

    fn target(&self, now: OffsetDateTime, interval: Duration) -> OffsetDateTime {
        let mut target = floor(now, interval) + interval;
        match self.last {
            Some(last) if target == last => target += interval,
            None if (target - self.started).unsigned_abs() < FIRST_GAP => target += interval,
            _ => {}
        }
        target
    }
}

/// The last multiple of `interval` since the epoch that is at most `at`.
fn floor(at: OffsetDateTime, interval: Duration) -> OffsetDateTime {
    let step = i128::try_from(interval.as_nanos().max(1)).expect("an interval is far below 2^127 ns");
    let nanos = at.unix_timestamp_nanos();
    OffsetDateTime::from_unix_timestamp_nanos(nanos - nanos.rem_euclid(step))
        .expect("at most one interval before a valid time after 1970")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const FIVE: Duration = Duration::from_secs(5);

    #[test]
    fn targets_lie_on_the_grid() {
        let schedule = Schedule::new(datetime!(2026-01-01 00:00:00 UTC));
        let target = schedule.target(datetime!(2026-01-01 00:00:07.3 UTC), FIVE);
        assert_eq!(target, datetime!(2026-01-01 00:00:10 UTC));
        // Exactly on a multiple, that tick is done: the next one is due.
        let target = schedule.target(datetime!(2026-01-01 00:00:10 UTC), FIVE);
        assert_eq!(target, datetime!(2026-01-01 00:00:15 UTC));
    }

    #[test]
    fn the_first_tick_keeps_its_distance_from_the_priming_sample() {
        let schedule = Schedule::new(datetime!(2026-01-01 00:00:04.9 UTC));
        let target = schedule.target(datetime!(2026-01-01 00:00:04.95 UTC), FIVE);
        assert_eq!(target, datetime!(2026-01-01 00:00:10 UTC));
    }

    #[test]
    fn a_small_step_back_does_not_repeat_a_tick() {
        let mut schedule = Schedule::new(datetime!(2026-01-01 00:00:00 UTC));
        schedule.last = Some(datetime!(2026-01-01 00:00:10 UTC));
        let target = schedule.target(datetime!(2026-01-01 00:00:09.8 UTC), FIVE);
        assert_eq!(target, datetime!(2026-01-01 00:00:15 UTC));
    }

    #[test]
    fn a_tick_is_due_when_its_time_has_come() {
        let mut schedule = Schedule::new(datetime!(2026-01-01 00:00:01 UTC));
        let wait = Next::After(Duration::from_millis(1300));
        assert_eq!(schedule.next(datetime!(2026-01-01 00:00:03.7 UTC), FIVE), wait);
        let due = datetime!(2026-01-01 00:00:05 UTC);
        assert_eq!(schedule.next(due, FIVE), Next::Now(due));
        assert_eq!(schedule.next(due, FIVE), Next::After(FIVE));
        // Another interval has another grid.
        let three = Duration::from_secs(3);
        let wait = Next::After(Duration::from_secs(1));
        assert_eq!(schedule.next(datetime!(2026-01-01 00:00:05 UTC), three), wait);
    }

    #[test]
    fn whoever_comes_late_gets_the_newest_tick_that_has_passed() {
        let mut schedule = Schedule::new(datetime!(2026-01-01 00:00:01 UTC));
        schedule.next(datetime!(2026-01-01 00:00:02 UTC), FIVE);
        let newest = Next::Now(datetime!(2026-01-01 09:00:05 UTC));
        assert_eq!(schedule.next(datetime!(2026-01-01 09:00:09 UTC), FIVE), newest);
    }

    #[test]
    fn a_clock_that_was_set_back_has_a_grid_of_its_own() {
        let mut schedule = Schedule::new(datetime!(2026-01-01 09:00:01 UTC));
        schedule.next(datetime!(2026-01-01 09:00:02 UTC), FIVE);
        let wait = Next::After(Duration::from_secs(3));
        assert_eq!(schedule.next(datetime!(2026-01-01 00:00:02 UTC), FIVE), wait);
        let due = datetime!(2026-01-01 00:00:05 UTC);
        assert_eq!(schedule.next(due, FIVE), Next::Now(due));
    }

    proptest! {
        #[test]
        fn floor_is_the_last_multiple(seconds in 0i64..4_000_000_000, interval in 1u64..3600) {
            let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let floor = floor(at, Duration::from_secs(interval));
            prop_assert!(floor <= at);
            prop_assert!(at - floor < Duration::from_secs(interval));
            prop_assert_eq!(floor.unix_timestamp() % i64::try_from(interval).unwrap(), 0);
        }
    }
}
