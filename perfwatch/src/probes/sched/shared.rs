//! One set of programs for two documents: loaded by the first caller, read once per tick.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::interval::Interval;
use super::programs::Sched;
use crate::cgroups::Hierarchy;
use crate::config::Roots;
use crate::probes::budget::Budget;
use crate::probes::feed::Feed;
use crate::probes::guarded::Guarded;
use crate::probes::kernel::SharedKernel;
use crate::probes::pmu;
use crate::probes::slot_map::Slots;
use crate::snapshot::source::{Report, Tick};

pub(in crate::probes) struct SharedSched {
    inner: Arc<Mutex<Inner>>,
    /// The last reading that this one has received.
    had: u64,
}

struct Inner {
    roots: Roots,
    hierarchy: Hierarchy,
    kernel: SharedKernel,
    programs: Guarded<Sched>,
    feed: Feed,
    /// Whether long waits are told.
    tells_waits: bool,
    /// Readings made so far, the last of them for this tick; `None` is what the one that loaded the programs got.
    readings: u64,
    tick: String,
    interval: Option<Arc<Interval>>,
}

impl std::fmt::Debug for SharedSched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedSched")
    }
}

impl SharedSched {
    /// Long waits come to the feed, unless they are switched off.
    pub(in crate::probes) fn new(roots: &Roots, kernel: &SharedKernel, budget: &Budget, feed: &Feed) -> Self {
        let inner = Inner {
            roots: roots.clone(),
            hierarchy: Hierarchy::of_machine(roots),
            kernel: kernel.clone(),
            programs: Guarded::new("sched", budget),
            feed: feed.clone(),
            tells_waits: true,
            readings: 0,
            tick: String::new(),
            interval: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)), had: 0 }
    }

    /// Another user of the shared readings.
    pub(in crate::probes) fn share(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), had: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Long waits come to the feed, or none: what is not told costs nothing.
    pub(in crate::probes) fn tell_waits(&self, tells: bool) {
        let mut inner = self.lock();
        if inner.tells_waits != tells {
            inner.tells_waits = tells;
            inner.programs.close();
            inner.feed.open_waits(None);
        }
    }

    /// What was counted in the interval that ends with this tick: read by the first caller, the same for all.
    pub(in crate::probes) fn interval(&mut self, tick: &Tick) -> Option<Arc<Interval>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // A reading that another made for an earlier tick, which this one missed, would be out of date.
        if inner.readings == self.had || inner.tick != tick.timestamp {
            inner.interval = inner.read();
            inner.readings += 1;
            inner.tick.clone_from(&tick.timestamp);
        }
        self.had = inner.readings;
        inner.interval.clone()
    }

    /// Counts the tasks of these groups at their slots, if the programs run.
    pub(in crate::probes) fn follow(&self, slots: &Slots) {
        if let Some(sched) = self.lock().programs.loaded() {
            sched.follow(slots);
        }
    }

    /// Whether the programs were refused, or unloaded by the budget.
    pub(in crate::probes) fn may_not_run(&self) -> bool {
        self.lock().programs.may_not_run()
    }

    /// The state of the programs, as part of the report of one document.
    pub(in crate::probes) fn report(&self, report: Report) -> Report {
        self.lock().programs.report(report)
    }
}

impl Inner {
    fn read(&mut self) -> Option<Arc<Interval>> {
        let load = || {
            // Without the file, use the kernel's own default: it only sizes a table.
            let pid_max = std::fs::read_to_string(self.roots.proc("sys/kernel/pid_max")).ok();
            let pid_max = pid_max.and_then(|text| text.trim().parse().ok()).unwrap_or(32_768);
            let cores = pmu::core_pmus(&self.roots);
            let (sched, waits) =
                Sched::load(self.kernel.get()?, self.hierarchy, pid_max, cores, self.tells_waits)?;
            self.feed.open_waits(self.tells_waits.then_some(waits));
            Ok(sched)
        };
        let interval = self.programs.read(load, |sched| Arc::new(sched.read()));
        self.kernel.release();
        if self.programs.loaded().is_none() {
            self.feed.open_waits(None);
        }
        interval
    }
}
