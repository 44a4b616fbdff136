//! Answers to questions about alerts: what there is now, which silence applies, who acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::{Kind, Payload, level, summary};
use super::labels::Labels;
use super::machine::{Raised, Status};
use super::pattern::Pattern;
use super::rule::{Rule, Severity};
use super::service::Alerts;
use crate::snapshot::layout::Layout;
use crate::snapshot::rfc3339;
use crate::store::alerts::{Acknowledgement, Silence};
use crate::store::{Result, from_micros};

/// The state of one rule for one thing.
#[derive(Debug)]
pub struct Current {
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

/// A rule as a whole: its worst state.
#[derive(Debug, Clone)]
pub struct Overall {
    pub status: Status,
    pub reason: Option<Arc<str>>,
    pub things: usize,
    pub is_cut: bool,
}

impl Alerts {
    /// Every thing of every rule that is `wanted`.
    pub fn current(&self, wanted: impl Fn(Status, bool) -> bool) -> Vec<Current> {
        let evaluator = self.evaluator();
        let mut all = Vec::new();
        for running in evaluator.rules() {
            let compiled = &running.compiled;
            for thing in &running.things {
                let memory = &thing.memory;
                if !wanted(memory.status, memory.raised.is_some()) {
                    continue;
                }
                all.push(Current {
                    rule: Arc::clone(&running.rule),
                    labels: thing.labels.clone(),
                    label_names: &Layout::of(compiled.metric_type).tables[compiled.table].labels,
                    status: memory.status,
                    since: memory.since,
                    episode: memory
                        .raised
                        .as_ref()
                        .map(|raised| thing.episode(&running.rule.name, raised.at)),
                    raised: memory.raised.clone(),
                    value: thing.value.filter(|value| value.is_finite()),
                    unit: compiled.unit,
                    reason: memory.reason.clone(),
                    summary: summary(&running.rule, &thing.labels, thing.value, compiled.unit),
                });
            }
        }
        all
    }

    /// The state of each rule that is evaluated, by name.
    pub fn overall(&self) -> BTreeMap<String, Overall> {
        const WORST: [Status; 5] =
            [Status::Firing, Status::Pending, Status::NoData, Status::Ok, Status::NotApplicable];
        let evaluator = self.evaluator();
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
        evaluator.rules().iter().map(|running| (running.rule.name.clone(), of(running))).collect()
    }

    /// Acknowledges an open episode, and queues the event that tells it. `false`: it is not open, or somebody was faster.
    pub async fn acknowledge(&self, id: &str, by: &str, note: Option<&str>, at: i64) -> Result<bool> {
        let host = self.history().host();
        let Some(episode) = self.store().episode(host, id).await? else { return Ok(false) };
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
pub fn silenced<'a>(silences: &'a [Silence], rule: &str, labels: &Labels) -> Option<&'a Silence> {
    silences.iter().find(|silence| {
        let patterns: Labels = serde_json::from_str(&silence.labels).unwrap_or_default();
        silence.rule.as_deref().is_none_or(|name| Pattern::new(name).has(rule))
            && patterns.iter().all(|(label, pattern)| {
                labels.get(label).is_some_and(|value| Pattern::new(pattern).has(value))
            })
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
        for (given, applies) in [
            (silence(None, "{}"), true),
            (silence(Some("disk-*"), r#"{"device":"sd?"}"#), true),
            (silence(Some("cpu"), "{}"), false),
            (silence(None, r#"{"device":"!sda"}"#), false),
            (silence(None, r#"{"host":"*"}"#), false),
        ] {
            assert_eq!(
                silenced(std::slice::from_ref(&given), "disk-latency", &labels).is_some(),
                applies,
                "{given:?}"
            );
        }
    }
}
