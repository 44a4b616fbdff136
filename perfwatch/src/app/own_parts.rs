//! Source `agent`, document `agent`: which parts of PerfWatch itself fail, so that rules can be about them.

use serde::Serialize;

use crate::fleet::sender::Sending;
use crate::history::writer::{self, Stats};
use crate::snapshot::source::{Method, Report, Source, SourceError, SourceStatus, Tick};
use crate::snapshot::{MetricType, Reading};
use crate::store::watch::Watch;

const NAME: &str = "agent";

pub(super) struct OwnParts {
    sources: SourceStatus,
    store: Watch,
    writer: Option<writer::Handle>,
    fleet: Option<Sending>,
    /// Snapshots lost before this tick.
    lost: u64,
    /// Packets lost before this tick.
    unsent: u64,
}

#[derive(Serialize)]
struct Body {
    failing: usize,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    part: String,
    failing: u8,
}

impl OwnParts {
    pub(super) fn new(
        sources: SourceStatus,
        store: Watch,
        writer: Option<writer::Handle>,
        fleet: Option<Sending>,
    ) -> Self {
        Self { sources, store, writer, fleet, lost: 0, unsent: 0 }
    }

    fn parts(&mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut add = |part: String, failing: bool| parts.push(Part { part, failing: u8::from(failing) });
        let stats = self.writer.as_ref().map(writer::Handle::stats);
        let is_refused = stats.is_some_and(Stats::failing);
        add("database".into(), is_refused || self.store.problem().is_some());
        if let Some(stats) = stats {
            add("spool".into(), stats.log_failing());
            let lost = stats.dropped();
            add("history".into(), lost > std::mem::replace(&mut self.lost, lost));
        }
        if let Some(Sending { health, outbox }) = &self.fleet {
            let lost = outbox.lost() + outbox.shed();
            add("fleet".into(), health.failing());
            add("outbox".into(), lost > std::mem::replace(&mut self.unsent, lost));
        }
        for (name, has_failed) in self.sources.failures().into_iter().filter(|(name, _)| *name != NAME) {
            add(format!("source {name}"), has_failed);
        }
        parts
    }
}

impl Source for OwnParts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Agent
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let parts = self.parts();
        let failing = parts.iter().filter(|part| part.failing > 0).count();
        Ok(Reading::new(MetricType::Agent, tick.at, &Body { failing, parts })?)
    }

    fn report(&self) -> Report {
        Report::active(NAME, MetricType::Agent, Method::Internal)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;
    use crate::snapshot::source::State;

    #[test]
    fn sources_that_fail_are_counted_and_named() {
        let status = SourceStatus::default();
        let report = |name, state| Report { state, ..Report::active(name, MetricType::Cpu, Method::Procfs) };
        let mut agent = OwnParts::new(status.clone(), Watch::default(), None, None);
        let tick = Tick::new(datetime!(2026-01-02 03:04:05 UTC), Duration::from_secs(1));
        let mut sampled = |state| -> Value {
            status.publish(vec![report("cpu", state), report("disk", State::Unavailable), agent.report()]);
            serde_json::from_slice(&agent.sample(&tick).unwrap().json()).unwrap()
        };
        for (state, failing) in [(State::Active, 0), (State::Failed, 1), (State::Active, 0)] {
            let document = sampled(state);
            assert_eq!(document["failing"], failing);
            let parts = [("database", 0), ("source cpu", failing), ("source disk", 0)];
            let parts = parts.map(|(part, failing)| json!({"part": part, "failing": failing}));
            assert_eq!(document["parts"], json!(parts));
        }
    }
}
