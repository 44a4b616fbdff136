//! Probe `processes`, document `processes`: usage per process and cgroup, from the programs of
//! [`super::sched`]; where these may not run, from `/proc`.

pub(super) mod derive;
mod from_procfs;
mod hidden;
mod lister;
mod listing;
mod memory;
mod names;
mod process_files;
#[cfg(test)]
mod testing;
mod usage;
mod walk;

use std::sync::Arc;

use self::derive::Event;
use self::from_procfs::{FromProcfs, Ranking};
pub use self::lister::ProcessLister;
use self::names::Names;
pub(super) use self::usage::{Accounts, NAME as USAGE};
use self::walk::Walk;
use super::Common;
use super::sched::SharedSched;
use super::sched::interval::Interval;
use crate::snapshot::source::{Method, Report, Source, SourceError, State, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "processes";

pub(super) struct Processes {
    sched: SharedSched,
    names: Names,
    lister: Arc<ProcessLister>,
    procfs: FromProcfs,
    /// What the newest document lacks, if it is from `/proc`.
    from_procfs: Option<Lacks>,
}

/// What a walk over `/proc` could not provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lacks {
    /// Processes hidden from us; `None` if it is not known how many.
    hidden: Option<usize>,
    cgroups: bool,
}

impl Lacks {
    fn of(walk: &Walk) -> Self {
        let cgroups = walk.present.iter().all(|present| present.details.cgroup.is_none());
        Self { hidden: walk.hidden, cgroups }
    }

    fn told(self) -> String {
        let mut told = match self.hidden {
            Some(0) => String::new(),
            Some(1) => "1 process is hidden (/proc is mounted with hidepid); ".to_owned(),
            Some(many) => format!("{many} processes are hidden (/proc is mounted with hidepid); "),
            None => "other users' processes may be hidden (/proc does not show process 1); ".to_owned(),
        };
        if self.cgroups {
            told.push_str("cgroups are not readable (/proc/[pid]/cgroup); ");
        }
        told
    }
}

impl Processes {
    pub(super) fn new(common: &Common<'_>) -> Self {
        Self {
            sched: common.sched.share(),
            names: Names::new(common.roots),
            lister: Arc::clone(&common.lister),
            procfs: FromProcfs::new(common.roots),
            from_procfs: None,
        }
    }

    fn of_tasks(&mut self, interval: &Interval, tick: &Tick) -> derive::Processes {
        let ranking = derive::rank(interval);
        self.names.begin_tick();
        let details = ranking.top.iter().map(|process| self.names.details(process)).collect();
        let cgroups: Vec<Option<String>> =
            ranking.cgroups.iter().map(|cgroup| self.names.cgroup(cgroup.id, cgroup.member)).collect();
        let oom_kill =
            |kill| Event::oom_kill(kill, &interval.tasks, |id, member| self.names.cgroup(id, member));
        let mut events: Vec<_> = interval.oom_kills.iter().map(oom_kill).collect();
        events.extend(self.names.throttled(cgroups.iter().flatten().map(String::as_str), &tick.timestamp));
        derive::document(interval, ranking, details, cgroups, events)
    }

    fn of_procfs(&mut self, tick: &Tick) -> derive::Processes {
        let walk = self.procfs.walk(&mut self.names);
        self.lister.walked(&tick.timestamp, &walk);
        self.from_procfs = Some(Lacks::of(&walk));
        let ranking = Ranking::of(&walk);
        let events = self.names.throttled(ranking.cgroups(), &tick.timestamp);
        ranking.document(&walk, events)
    }
}

impl Source for Processes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Processes
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let interval = self.sched.interval(tick);
        let body = if let Some(interval) = &interval {
            self.lister.ticked(&tick.timestamp, Some(interval));
            self.of_tasks(interval, tick)
        } else if self.sched.may_not_run() {
            self.of_procfs(tick)
        } else {
            self.lister.ticked(&tick.timestamp, None);
            derive::Processes::default()
        };
        if !self.sched.may_not_run() && self.from_procfs.take().is_some() {
            self.procfs.forget();
        }
        Ok(Reading::new(MetricType::Processes, tick.at, &body)?)
    }

    fn report(&self) -> Report {
        let report = self.sched.report(Report::active(NAME, MetricType::Processes, Method::Ebpf));
        match self.from_procfs {
            None => Report { reason: report.reason.or_else(|| self.names.uncertain()), ..report },
            Some(lacks) => of_procfs(report, lacks),
        }
    }
}

/// `report` says why the programs do not run, and so why `/proc` is read.
fn of_procfs(report: Report, lacks: Lacks) -> Report {
    let (lacks, why) = (lacks.told(), report.reason.unwrap_or_default());
    Report {
        state: State::Active,
        method: Method::Procfs,
        reason: Some(format!("{lacks}CPU time, memory and I/O only, from /proc: {why}")),
        ..report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_read_instead_and_what_is_hidden() {
        let refused = Report {
            state: State::Unavailable,
            reason: Some("CAP_BPF is missing".into()),
            remedy: Some("sudo setcap".into()),
            ..Report::active(NAME, MetricType::Processes, Method::Ebpf)
        };
        let report = of_procfs(refused.clone(), Lacks { hidden: Some(0), cgroups: false });
        assert_eq!((report.state, report.method), (State::Active, Method::Procfs));
        assert_eq!(report.reason.unwrap(), "CPU time, memory and I/O only, from /proc: CAP_BPF is missing");
        assert_eq!(report.remedy.as_deref(), Some("sudo setcap"));
        let reason = of_procfs(refused.clone(), Lacks { hidden: Some(7), cgroups: false }).reason.unwrap();
        assert!(
            reason.starts_with("7 processes are hidden (/proc is mounted with hidepid); CPU time"),
            "{reason}"
        );
        let reason = of_procfs(refused, Lacks { hidden: None, cgroups: true }).reason.unwrap();
        assert!(reason.contains("may be hidden") && reason.contains("/proc/[pid]/cgroup"), "{reason}");
    }
}
