//! When to tick: on wall-clock multiples of the interval, without drift, whatever happens to the clock.

use std::time::Duration;

use time::OffsetDateTime;

/// Too close to the priming sample a rate would be taken over an instant and mean nothing.
const FIRST_GAP: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Schedule {
    started: OffsetDateTime,
    last: Option<OffsetDateTime>,
}

impl Schedule {
    pub(super) fn new(started: OffsetDateTime) -> Self {
        Self { started, last: None }
    }

    /// Sleeps to the next multiple of `interval` and returns it. Cancel-safe.
    ///
    /// Each sleep is computed from the wall clock anew, so ticks don't drift. After a suspend or a step of the
    /// clock the grid of the new time holds; a small step back never yields the same tick twice in a row.
    pub(super) async fn next(&mut self, interval: Duration) -> OffsetDateTime {
        let mut target = self.target(OffsetDateTime::now_utc(), interval);
        loop {
            let now = OffsetDateTime::now_utc();
            if now >= target {
                // Woken late, by suspend or a step forward: the newest multiple that has passed.
                target = target.max(floor(now, interval));
                self.last = Some(target);
                return target;
            }
            let wait = (target - now).unsigned_abs();
            if wait > interval * 2 {
                // The clock was set back while we slept.
                self.last = None;
                target = self.target(now, interval);
                continue;
            }
            tokio::time::sleep(wait).await;
        }
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

/// The last multiple of `interval` since the epoch that is not after `at`.
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
        // On a multiple, that one has been served: the next is due.
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

    #[tokio::test]
    async fn ticks_come_one_interval_apart() {
        let mut schedule = Schedule::new(OffsetDateTime::now_utc());
        let interval = Duration::from_millis(100);
        let first = schedule.next(interval).await;
        let mut previous = first;
        for _ in 0..5 {
            let tick = schedule.next(interval).await;
            assert!(tick > previous);
            assert_eq!((tick - first).whole_milliseconds() % 100, 0);
            assert!(OffsetDateTime::now_utc() >= tick, "a tick never comes early");
            previous = tick;
        }
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
