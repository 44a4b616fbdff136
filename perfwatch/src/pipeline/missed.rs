//! Ticks that were not taken, and why not: a source never delays a tick, but the machine can.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::timekeeper::Timekeeper;
use crate::kernel_files::own_cgroup;
use crate::snapshot::missed::{Cause, Missed};

/// Ticks between two readings of how long we have been throttled, as long as none is missed.
const READ_EVERY: u32 = 16;

/// When a tick began.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moment {
    tick: OffsetDateTime,
    wall: OffsetDateTime,
    /// Stands still while the machine is suspended.
    monotonic: Instant,
    /// Time spent suspended since boot.
    suspended: Duration,
}

/// Notices missed ticks.
#[derive(Debug)]
pub(super) struct Watcher {
    before: Option<(Moment, Duration)>,
    throttling: Throttling,
    /// Throttled time at the last reading, and ticks since.
    throttled: Duration,
    since: u32,
}

impl Watcher {
    pub(super) fn new() -> Self {
        let throttling = Throttling::of_this_process();
        Self { before: None, throttled: throttling.read(), throttling, since: 0 }
    }

    /// What was missed before this tick.
    pub(super) fn tick(
        &mut self,
        time: &Timekeeper,
        tick: OffsetDateTime,
        interval: Duration,
    ) -> Option<Missed> {
        let now =
            Moment { tick, wall: time.wall(), monotonic: time.monotonic(), suspended: time.suspended() };
        let before = self.before.replace((now, interval));
        // Another interval has another grid.
        let before = before.filter(|(_, of)| *of == interval).map(|(before, _)| before);
        self.since += 1;
        let late = before.is_some_and(|before| tick - before.tick > interval);
        if !late && self.since < READ_EVERY {
            return None;
        }
        let throttled = self.throttling.read();
        let newly = throttled.saturating_sub(std::mem::replace(&mut self.throttled, throttled));
        self.since = 0;
        missed(&before?, &now, interval, newly)
    }
}

/// `throttled`: for how long our CPU quota was used up since a little before `before`.
fn missed(before: &Moment, now: &Moment, interval: Duration, throttled: Duration) -> Option<Missed> {
    let ran = now.monotonic.saturating_duration_since(before.monotonic);
    let suspended = now.suspended.saturating_sub(before.suspended);
    // What remains of the wall clock's way was a jump, which no tick fell into.
    let (ran_ticks, suspended_ticks) = (ticks(ran, interval), ticks(suspended, interval));
    let passed = ((now.tick - before.tick) / interval) as u64;
    let ticks = passed.min(ran_ticks + suspended_ticks).saturating_sub(1);
    if ticks == 0 {
        return None;
    }
    let cause = if suspended >= ran {
        Cause::Suspended
    } else if throttled * 2 >= interval * u32::try_from(ticks).unwrap_or(u32::MAX) {
        Cause::CpuQuota
    } else {
        Cause::Busy
    };
    Some(Missed { ticks, cause })
}

/// Rounded: the two ticks began at slightly different distances from the grid.
fn ticks(of: Duration, interval: Duration) -> u64 {
    (of.as_secs_f64() / interval.as_secs_f64()).round() as u64
}

/// How long the CPU quotas of this process's cgroup and those above it have held it up.
#[derive(Debug)]
struct Throttling(Vec<PathBuf>);

impl Throttling {
    fn of_this_process() -> Self {
        let files = own_cgroup::files("cpu", "cpu.stat");
        Self(files.into_iter().filter(|file| throttled(file).is_some()).collect())
    }

    fn read(&self) -> Duration {
        self.0.iter().filter_map(|file| throttled(file)).sum()
    }
}

/// `None` if the cgroup has no quota to be held up by.
fn throttled(file: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| match line.split_once(' ')? {
        ("throttled_usec", us) => us.parse().ok().map(Duration::from_micros),
        ("throttled_time", ns) => ns.parse().ok().map(Duration::from_nanos),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const SECOND: Duration = Duration::from_secs(1);
    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00:00 UTC);

    /// Ticks that passed on the wall clock, seconds that the machine ran and was suspended, and throttled ms.
    fn after(ticks: i64, ran: u64, suspended: u64, throttled: u64) -> Option<(u64, Cause)> {
        let began = Instant::now();
        let before = Moment { tick: NOON, wall: NOON, monotonic: began, suspended: 100 * SECOND };
        let at = NOON + time::Duration::seconds(ticks);
        let now = Moment {
            tick: at,
            wall: at,
            monotonic: began + Duration::from_secs(ran) + Duration::from_millis(30),
            suspended: Duration::from_secs(100 + suspended),
        };
        let missed = missed(&before, &now, SECOND, Duration::from_millis(throttled))?;
        Some((missed.ticks, missed.cause))
    }

    #[test]
    fn what_was_missed_has_its_true_cause() {
        assert_eq!(after(1, 1, 0, 900), None);
        assert_eq!(after(4, 4, 0, 0), Some((3, Cause::Busy)));
        assert_eq!(after(4, 4, 0, 2800), Some((3, Cause::CpuQuota)));
        assert_eq!(after(3600, 0, 3600, 0), Some((3599, Cause::Suspended)));
        // The clock was set: what it passed over never was.
        assert_eq!(after(86_400, 1, 0, 0), None);
        assert_eq!(after(-86_400, 1, 0, 0), None);
        assert_eq!(after(86_400, 3, 0, 0), Some((2, Cause::Busy)));
    }

    #[test]
    fn throttled_time_is_read_in_both_versions_of_cgroups() {
        let dir = tempfile::tempdir().unwrap();
        let throttled_in = |text: &str| {
            let file = dir.path().join("cpu.stat");
            std::fs::write(&file, text).unwrap();
            throttled(&file)
        };
        let two = "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 2000000\n";
        assert_eq!(throttled_in(two), Some(2 * SECOND));
        let one = "nr_periods 1\nnr_throttled 1\nthrottled_time 500000000\n";
        assert_eq!(throttled_in(one), Some(Duration::from_millis(500)));
        assert_eq!(throttled_in("usage_usec 5\n"), None);
    }
}
