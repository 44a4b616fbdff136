//! Probe `processes`, document `processes`: what each process and cgroup used, from the programs of
//! [`super::sched`].

mod census;
mod memory;
mod names;

use std::sync::Arc;

pub use self::census::Census;
use self::names::Names;
use super::Common;
use super::sched::SharedSched;
use crate::snapshot::source::{Method, Report, Source, SourceError, Tick};
use crate::snapshot::{Reading, MetricType, processes};

pub(super) const NAME: &str = "processes";

pub(super) struct Processes {
    sched: SharedSched,
    names: Names,
    census: Arc<Census>,
}

impl Processes {
    pub(super) fn new(common: &Common<'_>) -> Self {
        Self {
            sched: common.sched.share(),
            names: Names::new(common.roots),
            census: Arc::clone(&common.census),
        }
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
        self.census.ticked(&tick.timestamp, interval.as_ref());
        let Some(interval) = interval else {
            let nothing = processes::Processes::default();
            return Ok(Reading::new(MetricType::Processes, tick.at, &nothing)?);
        };
        let ranking = processes::rank(&interval);
        self.names.begin_tick();
        let details = ranking.top.iter().map(|process| self.names.details(process)).collect();
        let cgroups: Vec<Option<String>> =
            ranking.cgroups.iter().map(|cgroup| self.names.cgroup(cgroup.id, cgroup.member)).collect();
        let oom_kill = |kill| {
            processes::Event::oom_kill(kill, &interval.tasks, |id, member| self.names.cgroup(id, member))
        };
        let mut events: Vec<_> = interval.oom_kills.iter().map(oom_kill).collect();
        events.extend(self.names.throttled(&ranking.cgroups, &tick.timestamp));
        let body = processes::document(&interval, ranking, details, cgroups, events);
        Ok(Reading::new(MetricType::Processes, tick.at, &body)?)
    }

    fn report(&self) -> Report {
        self.sched.report(Report::active(NAME, MetricType::Processes, Method::Ebpf))
    }
}
