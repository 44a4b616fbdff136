//! The life cycle of a set of programs: loaded when first needed, unloaded by the overhead budget, or unavailable.

use std::time::Instant;

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
    Unavailable(Unavailable),
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
        if let Some(reason) = self.budget.refusal(self.name, Instant::now()) {
            self.phase = Phase::Shed(reason);
            return None;
        }
        match &mut self.phase {
            Phase::Open(programs) => {
                let reading = read(programs);
                self.stats = programs.stats();
                let total = self.stats.iter().map(|program| program.run_time_ns).sum();
                self.budget.charge(self.name, true, total, Instant::now());
                Some(reading)
            }
            Phase::Unavailable(_) => None,
            Phase::Closed | Phase::Shed(_) => {
                self.phase = match load() {
                    Ok(programs) => {
                        self.stats = programs.stats();
                        Phase::Open(Box::new(programs))
                    }
                    Err(why) => Phase::Unavailable(why),
                };
                None
            }
        }
    }

    /// Whether they were rejected, or unloaded by the budget.
    pub(super) fn may_not_run(&self) -> bool {
        matches!(self.phase, Phase::Shed(_) | Phase::Unavailable(_))
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
            Phase::Unavailable(why) => Report {
                state: State::Unavailable,
                reason: Some(why.reason.clone()),
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
        let why = Unavailable { reason: "no".into(), remedy: Some("yes".into()) };
        guarded.read(|| Err(why), |_| ());
        assert_eq!(guarded.read(|| unreachable!("it was refused"), |_| ()), None);
        let report = report(&guarded);
        assert_eq!((report.state, report.reason.as_deref()), (State::Unavailable, Some("no")));
        assert!(guarded.may_not_run());
    }

    #[test]
    fn beyond_the_budget_it_is_unloaded_and_says_so() {
        let budget = Budget::new(1.0, 1, FIRST_PAUSE);
        let mut guarded = Guarded::new("costly", &budget);
        guarded.read(|| Ok(Costly::default()), |_| ());
        // As if read for some seconds, using a whole CPU.
        let start = Instant::now();
        for second in 0..10 {
            let at = start + std::time::Duration::from_secs(second);
            budget.charge("costly", true, second * 1_000_000_000, at);
        }
        assert_eq!(guarded.read(|| unreachable!("it may not run"), |_| ()), None);
        let report = report(&guarded);
        assert_eq!(report.state, State::Disabled);
        assert!(report.reason.unwrap().contains("overhead budget") && report.remedy.is_some());
    }
}
