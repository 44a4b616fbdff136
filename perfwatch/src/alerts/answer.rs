//! Answers to questions about alerts: what there is now, which silence applies, who acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::evaluator::Evaluator;
use super::event::{Kind, Payload, level, summary};
use super::labels::{Labels, Whose};
use super::machine::{Raised, Status};
use super::pattern::Pattern;
use super::rule::{Rule, Severity};
use super::service::Alerts;
use crate::snapshot::layout::Layout;
use crate::snapshot::rfc3339;
use crate::store::alerts::{Acknowledgement, Episode, Silence};
use crate::store::{Result, from_micros};

/// The state of one rule for one thing.
#[derive(Debug)]
pub struct Current {
    pub host: String,
    pub host_name: String,
    pub rule: Arc<Rule>,
    pub labels: Labels,
    /// The names of the labels, as `/metrics` needs them.
    pub label_names: &'static [&'static str],
    pub status: Status,
    /// µs.
    pub since: i64,
    pub raised: Option<Raised>,
    pub episode: Option<String>,
    pub value: Option<f64>,
    pub unit: &'static str,
    pub reason: Option<Arc<str>>,
    pub summary: String,
}

/// From the worst to the least.
const WORST: [Status; 5] =
    [Status::Firing, Status::Pending, Status::NoData, Status::Ok, Status::NotApplicable];

impl Overall {
    /// Takes in another host's.
    fn add(&mut self, other: Self) {
        let rank = |status| WORST.iter().position(|known| *known == status);
        if rank(other.status) < rank(self.status) {
            (self.status, self.reason) = (other.status, other.reason);
        }
        self.things += other.things;
        self.is_cut |= other.is_cut;
    }
}

impl Current {
    pub fn whose(&self) -> Whose<'_> {
        Whose { id: &self.host, name: &self.host_name }
    }
}

/// A rule as a whole: its worst state.
#[derive(Debug, Clone)]
pub struct Overall {
    pub status: Status,
    pub reason: Option<Arc<str>>,
    pub things: usize,
    pub is_cut: bool,
}

impl Alerts {
    /// Every thing of every rule that is `wanted`, on the hosts that are.
    pub fn current(&self, of: impl Fn(&str) -> bool, wanted: impl Fn(Status, bool) -> bool) -> Vec<Current> {
        let mut all = Vec::new();
        for judge in self.judges().of(of) {
            judge.lock().current(&wanted, &mut all);
        }
        all
    }
}

impl Evaluator {
    fn current(&self, wanted: &impl Fn(Status, bool) -> bool, all: &mut Vec<Current>) {
        for running in self.rules() {
            let compiled = &running.compiled;
            for thing in &running.things {
                let memory = &thing.memory;
                if !wanted(memory.status, memory.raised.is_some()) {
                    continue;
                }
                // What is known from the store only has the value that it was raised with.
                let value = thing.value.or(memory.raised.as_ref().map(|raised| raised.value));
                all.push(Current {
                    host: self.host().to_owned(),
                    host_name: self.host_name().to_owned(),
                    rule: Arc::clone(&running.rule),
                    labels: thing.labels.clone(),
                    label_names: &Layout::of(compiled.metric_type).tables[compiled.table].labels,
                    status: memory.status,
                    since: memory.since,
                    episode: memory
                        .raised
                        .as_ref()
                        .map(|raised| thing.episode(self.host(), &running.rule.name, raised.at)),
                    raised: memory.raised.clone(),
                    value: thing.value.filter(|value| value.is_finite()),
                    unit: compiled.unit,
                    reason: memory.reason.clone(),
                    summary: summary(&running.rule, &thing.labels, value, compiled.unit),
                });
            }
        }
    }

    /// The state of each rule, by name.
    fn overall(&self) -> impl Iterator<Item = (String, Overall)> {
        let of = |running: &super::evaluator::Running| {
            let memories = || running.things.iter().map(|thing| &thing.memory);
            let worst =
                WORST.into_iter().find_map(|status| memories().find(|memory| memory.status == status));
            let (status, reason) = match (worst, &running.note) {
                (Some(memory), _) => (memory.status, memory.reason.clone()),
                (None, Some((status, reason))) => (*status, Some(Arc::clone(reason))),
                (None, None) => (Status::NoData, Some("It was not evaluated yet".into())),
            };
            Overall { status, reason, things: running.things.len(), is_cut: running.is_cut }
        };
        self.rules().iter().map(move |running| (running.rule.name.clone(), of(running)))
    }
}

impl Alerts {
    /// The state of each rule that is evaluated, by name: on several hosts, the worst.
    pub fn overall(&self, of: impl Fn(&str) -> bool) -> BTreeMap<String, Overall> {
        let mut all: BTreeMap<String, Overall> = BTreeMap::new();
        for judge in self.judges().of(of) {
            for (rule, one) in judge.lock().overall() {
                match all.get_mut(&rule) {
                    None => _ = all.insert(rule, one),
                    Some(known) => known.add(one),
                }
            }
        }
        all
    }

    /// Acknowledges an open episode, and queues the event that tells it. `false`: it is not open, or somebody was faster.
    pub async fn acknowledge(
        &self,
        episode: &Episode,
        host_name: &str,
        by: &str,
        note: Option<&str>,
        at: i64,
    ) -> Result<bool> {
        let (host, id) = (episode.host.as_str(), episode.id.as_str());
        let catalogue = self.catalogue();
        let listed = catalogue.find(&episode.rule);
        let labels: Labels = serde_json::from_str(&episode.series).unwrap_or_default();
        let bare = Rule { name: episode.rule.clone(), ..Rule::default() };
        let rule = listed.map_or(&bare, |listed| &listed.rule);
        let unit =
            listed.and_then(|listed| listed.compiled.as_ref().ok()).map_or("", |compiled| compiled.unit);
        let severity = Severity::parse(&episode.severity).unwrap_or(Severity::Warning);
        let payload = Payload {
            event: Kind::Acknowledged,
            episode: id.to_owned(),
            host: host.to_owned(),
            host_name: host_name.to_owned(),
            rule: episode.rule.clone(),
            severity,
            summary: summary(rule, &labels, Some(episode.peak), unit),
            labels,
            runbook: rule.runbook.clone(),
            at: rfc3339(from_micros(at)),
            raised_at: rfc3339(from_micros(episode.raised_at)),
            value: None,
            peak: episode.peak,
            flapping: episode.flapping,
            reason: Some(match note {
                Some(note) => format!("{by}: {note}"),
                None => by.to_owned(),
            }),
            field: rule.field.clone(),
            unit: unit.to_owned(),
            level: level(rule, severity),
        };
        let event = payload.queued(at);
        let given = Acknowledgement { episode: id, by, at, note, event: &event };
        self.store().acknowledge(host, &given).await
    }
}

/// The first silence that applies to a rule's thing.
pub fn silenced<'a>(
    silences: &'a [Silence],
    rule: &str,
    labels: &Labels,
    whose: Whose<'_>,
) -> Option<&'a Silence> {
    silences.iter().find(|silence| {
        let patterns: Labels = serde_json::from_str(&silence.labels).unwrap_or_default();
        silence.rule.as_deref().is_none_or(|name| Pattern::new(name).has(rule))
            && whose.fits(&patterns, labels)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_by_rule_and_by_labels() {
        let silence = |rule: Option<&str>, labels: &str| Silence {
            id: 1,
            rule: rule.map(str::to_owned),
            labels: labels.to_owned(),
            author: String::new(),
            reason: String::new(),
            created_at: 0,
            ends_at: 1,
        };
        let labels = Labels::from([("device".to_owned(), "sda".to_owned())]);
        let whose = Whose { id: "0123", name: "web1" };
        for (given, applies) in [
            (silence(None, "{}"), true),
            (silence(Some("disk-*"), r#"{"device":"sd?"}"#), true),
            (silence(Some("cpu"), "{}"), false),
            (silence(None, r#"{"device":"!sda"}"#), false),
            (silence(None, r#"{"interface":"*"}"#), false),
            (silence(None, r#"{"host":"web*"}"#), true),
            (silence(None, r#"{"host":"0123"}"#), true),
            (silence(None, r#"{"host":"!web1"}"#), false),
        ] {
            assert_eq!(
                silenced(std::slice::from_ref(&given), "disk-latency", &labels, whose).is_some(),
                applies,
                "{given:?}"
            );
        }
    }
}
