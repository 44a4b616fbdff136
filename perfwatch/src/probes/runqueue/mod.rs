//! Probe `runqueue`, document `scheduler`: run-queue wait and off-CPU time, from the programs of [`super::sched`].

mod derive;

use self::derive::derive;
use super::sched::SharedSched;
use crate::snapshot::source::{Method, Report, Source, SourceError, SourceSettings, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "runqueue";

pub(super) struct RunQueue {
    sched: SharedSched,
}

impl RunQueue {
    pub(super) fn new(sched: &SharedSched) -> Self {
        Self { sched: sched.share() }
    }
}

impl Source for RunQueue {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Scheduler
    }

    fn apply(&mut self, settings: &SourceSettings) {
        self.sched.tell_waits(settings.profile_hz > 0);
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let interval = self.sched.interval(tick);
        let body = derive(interval.as_deref());
        Ok(Reading::new(MetricType::Scheduler, tick.at, &body)?)
    }

    fn report(&self) -> Report {
        self.sched.report(Report::active(NAME, MetricType::Scheduler, Method::Ebpf))
    }
}
