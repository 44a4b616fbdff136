//! The overhead budget of all eBPF programs together, and which are switched off when they exceed it.
//!
//! The limit is a share of each CPU (`PERFWATCH_EBPF_BUDGET_PERCENT`). If it is exceeded for a while, the costliest
//! optional set of programs is unloaded and retried later, each time after a longer pause.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A shorter burst is tolerated.
const MAX_BURST: Duration = Duration::from_secs(3);
pub(super) const FIRST_PAUSE: Duration = Duration::from_mins(1);
const MAX_PAUSE: Duration = Duration::from_hours(1);

#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Mutex<Accounts>>);

#[derive(Debug)]
struct Accounts {
    percent: f64,
    first_pause: Duration,
    /// ns per second, all CPUs together.
    limit: f64,
    loads: BTreeMap<&'static str, Load>,
    over_since: Option<Instant>,
    shed: BTreeMap<&'static str, Shed>,
}

/// The cost of one set of programs.
#[derive(Debug, Clone, Copy)]
struct Load {
    at: Instant,
    total_ns: u64,
    /// `None` until there are two readings.
    ns_per_sec: Option<f64>,
    optional: bool,
}

#[derive(Debug, Clone)]
struct Shed {
    until: Instant,
    pause: Duration,
    reason: String,
}

impl Budget {
    /// `percent` of each of `cpus`; what is shed is retried after `first_pause`, then after ever longer pauses.
    pub(super) fn new(percent: f64, cpus: usize, first_pause: Duration) -> Self {
        Self(Arc::new(Mutex::new(Accounts {
            percent,
            first_pause,
            limit: percent / 100.0 * 1e9 * cpus.max(1) as f64,
            loads: BTreeMap::new(),
            over_since: None,
            shed: BTreeMap::new(),
        })))
    }

    /// Notes that the programs of `name` have used `total_ns` since they were loaded.
    pub(super) fn charge(&self, name: &'static str, optional: bool, total_ns: u64, now: Instant) {
        self.with(|accounts| accounts.charge(name, optional, total_ns, now));
    }

    /// Why `name` may not run now.
    pub(super) fn refusal(&self, name: &'static str, now: Instant) -> Option<String> {
        self.with(|accounts| {
            let shed = accounts.shed.get(name).filter(|shed| now < shed.until)?;
            Some(shed.reason.clone())
        })
    }

    pub(super) fn remedy(&self) -> String {
        let percent = self.with(|accounts| accounts.percent);
        format!("raise PERFWATCH_EBPF_BUDGET_PERCENT (now {percent})")
    }

    fn with<T>(&self, act: impl FnOnce(&mut Accounts) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Accounts {
    fn charge(&mut self, name: &'static str, optional: bool, total_ns: u64, now: Instant) {
        let before = self.loads.get(name).filter(|load| load.total_ns <= total_ns && load.at < now);
        let ns_per_sec = before.map(|before| {
            (total_ns - before.total_ns) as f64 / now.saturating_duration_since(before.at).as_secs_f64()
        });
        self.loads.insert(name, Load { at: now, total_ns, ns_per_sec, optional });

        let total: f64 = self.loads.values().filter_map(|load| load.ns_per_sec).sum();
        if total <= self.limit {
            self.over_since = None;
            return;
        }
        let since = *self.over_since.get_or_insert(now);
        if now.saturating_duration_since(since) < MAX_BURST {
            return;
        }
        let optional = self.loads.iter().filter(|(_, load)| load.optional);
        let dearest = optional
            .max_by(|a, b| a.1.ns_per_sec.partial_cmp(&b.1.ns_per_sec).unwrap_or(std::cmp::Ordering::Equal));
        if let Some((name, load)) = dearest.map(|(name, load)| (*name, *load)) {
            self.over_since = None;
            self.shed(name, load.ns_per_sec.unwrap_or(0.0), total, now);
        }
    }

    fn shed(&mut self, name: &'static str, ns_per_sec: f64, total: f64, now: Instant) {
        self.loads.remove(name);
        let earlier = self.shed.get(name).filter(|earlier| now < earlier.until + MAX_PAUSE);
        let pause = earlier.map_or(self.first_pause, |earlier| (earlier.pause * 2).min(MAX_PAUSE));
        let percent = |ns: f64| ns / 1e7;
        let reason = format!(
            "switched off by the overhead budget: its programs took {:.2}% of a CPU, all together {:.2}% of the {:.2}% \
             allowed; tried again after {}",
            percent(ns_per_sec),
            percent(total),
            percent(self.limit),
            spoken(pause)
        );
        self.shed.insert(name, Shed { until: now + pause, pause, reason });
    }
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Charges rates (ns per second) for some seconds, as ticks do.
    fn run(budget: &Budget, start: Instant, seconds: u32, rates: &[(&'static str, bool, u64)]) -> Instant {
        for second in 0..=seconds {
            for (name, optional, rate) in rates {
                budget.charge(name, *optional, rate * u64::from(second), start + SECOND * second);
            }
        }
        start + SECOND * seconds
    }

    #[test]
    fn the_dearest_optional_one_is_shed_when_all_together_take_too_much() {
        let start = Instant::now();
        let budget = Budget::new(1.0, 2, FIRST_PAUSE); // 20 ms per second
        let end = run(
            &budget,
            start,
            10,
            &[("core", false, 15_000_000), ("cheap", true, 2_000_000), ("dear", true, 4_000_000)],
        );
        let reason = budget.refusal("dear", end).unwrap();
        assert!(reason.contains("0.40% of a CPU") && reason.contains("2.10% of the 2.00%"), "{reason}");
        assert_eq!(budget.refusal("cheap", end), None);
        assert_eq!(budget.refusal("core", end), None);
    }

    #[test]
    fn within_the_budget_and_in_bursts_nothing_is_shed() {
        let start = Instant::now();
        let budget = Budget::new(1.0, 1, FIRST_PAUSE);
        let end = run(&budget, start, 10, &[("a", true, 9_000_000)]);
        assert_eq!(budget.refusal("a", end), None);
        let burst = Budget::new(1.0, 1, FIRST_PAUSE);
        run(&burst, start, 2, &[("a", true, 90_000_000)]);
        burst.charge("a", true, 180_000_000, start + 4 * SECOND); // quiet again
        run(&burst, start + 5 * SECOND, 2, &[("a", true, 90_000_000)]);
        assert_eq!(burst.refusal("a", start + 8 * SECOND), None);
    }

    #[test]
    fn it_is_tried_again_after_ever_longer_pauses() {
        let budget = Budget::new(1.0, 1, FIRST_PAUSE);
        let mut now = Instant::now();
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            now = run(&budget, now, 5, &[("a", true, 50_000_000)]);
            // It was shed a second ago.
            assert!(budget.refusal("a", now).unwrap().ends_with(&format!("after {minutes} min")));
            now += Duration::from_mins(minutes);
            assert_eq!(budget.refusal("a", now), None, "{minutes}");
        }
        now += 2 * MAX_PAUSE; // it behaved
        now = run(&budget, now, 5, &[("a", true, 50_000_000)]);
        assert!(budget.refusal("a", now).unwrap().ends_with("after 1 min"));
    }
}
