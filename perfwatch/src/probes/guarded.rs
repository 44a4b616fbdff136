//! The life cycle of a set of programs: loaded when first needed, unloaded by the overhead budget, or unavailable.

use std::time::{Duration, Instant};

use super::budget::Budget;
use super::loader::Unavailable;
use crate::snapshot::source::{ProgramStats, Report, State};

/// Programs in the kernel; dropping this unloads them.
pub(super) trait Loaded {
    /// Their cost so far.
    fn stats(&self) -> Vec<ProgramStats>;

    /// Parts that this kernel rejected although the rest works.
    fn missing(&self) -> &[Unavailable];
}

pub(super) struct Guarded<T> {
    name: &'static str,
    budget: Budget,
    phase: Phase<T>,
    /// The cost of the programs at the last reading.
    stats: Vec<ProgramStats>,
}

enum Phase<T> {
    Closed,
    Open(Box<T>),
    /// Unloaded by the budget, for this reason.
    Shed(String),
    Unavailable(Unavailable, Retry),
}

/// When to load programs again that could not be loaded for a reason that may pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    at: Option<Instant>,
    pause: Duration,
}

impl Retry {
    const FIRST_PAUSE: Duration = Duration::from_secs(10);
    const MAX_PAUSE: Duration = Duration::from_secs(600);

    /// After another attempt that failed.
    pub(super) fn after(before: Option<Self>, why: &Unavailable, now: Instant) -> Self {
        let pause = before.map_or(Self::FIRST_PAUSE, |before| (before.pause * 2).min(Self::MAX_PAUSE));
        Self { at: why.may_pass.then(|| now + pause), pause }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// The reason, and that there will be another attempt.
    pub(super) fn told(&self, reason: &str) -> String {
        match self.at {
            Some(_) => format!("{reason}; tried again every {} s", self.pause.as_secs()),
            None => reason.to_owned(),
        }
    }
}

impl<T: Loaded> Guarded<T> {
    pub(super) fn new(name: &'static str, budget: &Budget) -> Self {
        Self { name, budget: budget.clone(), phase: Phase::Closed, stats: Vec::new() }
    }

    /// Reads the programs; `None` if there is nothing to read: they were just loaded, or may not run.
    pub(super) fn read<R>(
        &mut self,
        load: impl FnOnce() -> Result<T, Unavailable>,
        read: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.read_at(Instant::now(), load, read)
    }

    fn read_at<R>(
        &mut self,
        now: Instant,
        load: impl FnOnce() -> Result<T, Unavailable>,
        read: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        if let Some(reason) = self.budget.refusal(self.name, now) {
            self.phase = Phase::Shed(reason);
            return None;
        }
        match &mut self.phase {
            Phase::Open(programs) => {
                let reading = read(programs);
                self.stats = programs.stats();
                let total = self.stats.iter().map(|program| program.run_time_ns).sum();
                self.budget.charge(self.name, true, total, now);
                Some(reading)
            }
            Phase::Unavailable(_, retry) if !retry.is_due(now) => None,
            Phase::Closed | Phase::Shed(_) | Phase::Unavailable(..) => {
                let before = match &self.phase {
                    Phase::Unavailable(_, retry) => Some(*retry),
                    _ => None,
                };
                self.phase = match load() {
                    Ok(programs) => {
                        self.stats = programs.stats();
                        Phase::Open(Box::new(programs))
                    }
                    Err(why) => {
                        let retry = Retry::after(before, &why, now);
                        Phase::Unavailable(why, retry)
                    }
                };
                None
            }
        }
    }

    /// Unloads the programs; the next reading loads them anew.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
    }

    /// The programs, while they are in the kernel.
    pub(super) fn loaded(&mut self) -> Option<&mut T> {
        match &mut self.phase {
            Phase::Open(programs) => Some(programs),
            _ => None,
        }
    }

    /// Whether they were rejected, or unloaded by the budget.
    pub(super) fn may_not_run(&self) -> bool {
        matches!(self.phase, Phase::Shed(_) | Phase::Unavailable(..))
    }

    /// The state of the programs, as part of the report of a document made from them.
    pub(super) fn report(&self, report: Report) -> Report {
        match &self.phase {
            Phase::Closed => Report { reason: Some("not loaded yet".into()), ..report },
            Phase::Open(programs) => {
                let missing = programs.missing().first();
                Report {
                    reason: missing.map(|why| why.reason.clone()),
                    remedy: missing.and_then(|why| why.remedy.clone()),
                    programs: self.stats.clone(),
                    ..report
                }
            }
            Phase::Shed(reason) => Report {
                state: State::Disabled,
                reason: Some(reason.clone()),
                remedy: Some(self.budget.remedy()),
                ..report
            },
            Phase::Unavailable(why, retry) => Report {
                state: State::Unavailable,
                reason: Some(retry.told(&why.reason)),
                remedy: why.remedy.clone(),
                ..report
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::budget::FIRST_PAUSE;
    use crate::snapshot::MetricType;
    use crate::snapshot::source::Method;

    /// Programs that cost more with every reading.
    #[derive(Default)]
    struct Costly(u64);

    impl Loaded for Costly {
        fn stats(&self) -> Vec<ProgramStats> {
            vec![ProgramStats { name: "p", run_count: 1, run_time_ns: self.0 }]
        }

        fn missing(&self) -> &[Unavailable] {
            &[]
        }
    }

    fn report(guarded: &Guarded<Costly>) -> Report {
        guarded.report(Report::active("costly", MetricType::Tcp, Method::Ebpf))
    }

    #[test]
    fn the_first_reading_loads_and_the_next_reads() {
        let mut guarded = Guarded::new("costly", &Budget::new(100.0, 1, FIRST_PAUSE));
        assert_eq!(guarded.read(|| Ok(Costly::default()), |_| 1), None);
        assert_eq!(guarded.read(|| unreachable!("it is loaded"), |_| 2), Some(2));
        assert_eq!(report(&guarded).state, State::Active);
        assert!(!guarded.may_not_run());
    }

    #[test]
    fn what_is_refused_is_not_tried_again_and_says_why() {
        let mut guarded: Guarded<Costly> = Guarded::new("costly", &Budget::new(100.0, 1, FIRST_PAUSE));
        let why = Unavailable { remedy: Some("yes".into()), ..Unavailable::new("no".into()) };
        guarded.read(|| Err(why), |_| ());
        assert_eq!(guarded.read(|| unreachable!("it was refused"), |_| ()), None);
        let report = report(&guarded);
        assert_eq!((report.state, report.reason.as_deref()), (State::Unavailable, Some("no")));
        assert!(guarded.may_not_run());
    }

    #[test]
    fn what_failed_for_a_passing_reason_is_tried_again_after_ever_longer_pauses() {
        let mut guarded: Guarded<Costly> = Guarded::new("costly", &Budget::new(100.0, 1, FIRST_PAUSE));
        let start = Instant::now();
        let at = |guarded: &mut Guarded<Costly>, seconds: u64, full: bool| {
            let mut tried = false;
            let load = || {
                tried = true;
                let error = std::io::Error::from_raw_os_error(libc::ENOMEM);
                if full { Err(Unavailable::from_error("loading", &error)) } else { Ok(Costly::default()) }
            };
            guarded.read_at(start + Duration::from_secs(seconds), load, |_| ());
            tried
        };
        assert!(at(&mut guarded, 0, true));
        let reason = report(&guarded).reason.unwrap();
        assert!(reason.contains("memory") && reason.ends_with("; tried again every 10 s"), "{reason}");
        assert!(!at(&mut guarded, 9, true));
        assert!(at(&mut guarded, 10, true));
        assert!(!at(&mut guarded, 29, true), "the second pause is longer");
        assert!(at(&mut guarded, 30, false));
        assert_eq!(report(&guarded).state, State::Active);
    }

    #[test]
    fn beyond_the_budget_it_is_unloaded_and_says_so() {
        let budget = Budget::new(1.0, 1, FIRST_PAUSE);
        let mut guarded = Guarded::new("costly", &budget);
        guarded.read(|| Ok(Costly::default()), |_| ());
        // As if read for some seconds, using a whole CPU.
        let start = Instant::now();
        for second in 0..10 {
            let at = start + Duration::from_secs(second);
            budget.charge("costly", true, second * 1_000_000_000, at);
        }
        assert_eq!(guarded.read(|| unreachable!("it may not run"), |_| ()), None);
        let report = report(&guarded);
        assert_eq!(report.state, State::Disabled);
        assert!(report.reason.unwrap().contains("overhead budget") && report.remedy.is_some());
    }
}
