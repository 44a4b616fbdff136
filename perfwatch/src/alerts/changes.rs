//! What an evaluation changes in the store: memories, episodes, and the events that tell them.

use super::event::{Kind, Payload, level, summary};
use super::machine::{Happened, Raised};
use super::rule::Rule;
use super::thing::Thing;
use crate::snapshot::rfc3339;
use crate::store::alerts::{AlertBatch, AlertState, Episode};
use crate::store::from_micros;

/// A thing's memory as it is stored.
pub fn stored(rule: &str, thing: &Thing) -> AlertState {
    AlertState {
        rule: rule.to_owned(),
        series: thing.name.to_string(),
        state: serde_json::to_string(&thing.memory).unwrap_or_default(),
    }
}

/// What is raised, as an episode.
pub fn episode(host: &str, rule: &str, thing: &Thing, raised: &Raised) -> Episode {
    Episode {
        id: thing.episode(host, rule, raised.at),
        host: host.to_owned(),
        rule: rule.to_owned(),
        series: thing.name.to_string(),
        severity: raised.worst.as_str().to_owned(),
        raised_at: raised.at,
        cleared_at: None,
        value: raised.value,
        peak: raised.peak,
        flapping: raised.flapping,
        reason: None,
        acknowledged_by: None,
        acknowledged_at: None,
        note: None,
    }
}

/// What an event is about.
#[derive(Debug)]
pub struct About<'a> {
    pub host: &'a str,
    pub host_name: &'a str,
    pub rule: &'a Rule,
    pub unit: &'static str,
}

impl About<'_> {
    /// Adds what happened to the changes: the episode, and the event that tells it.
    pub fn note(&self, thing: &Thing, happened: Option<Happened>, at: i64, out: &mut AlertBatch) {
        let Some(happened) = happened else { return };
        let (kind, raised, reason) = match &happened {
            Happened::Cleared(raised, reason) => (Kind::Cleared, raised, reason.clone()),
            Happened::Raised | Happened::SeverityChanged => {
                let Some(raised) = &thing.memory.raised else { return };
                let kind = if happened == Happened::Raised { Kind::Raised } else { Kind::SeverityChanged };
                (kind, raised, None)
            }
        };
        let episode = Episode {
            cleared_at: (kind == Kind::Cleared).then_some(at),
            reason: reason.as_deref().map(str::to_owned),
            ..episode(self.host, &self.rule.name, thing, raised)
        };
        let payload = Payload {
            event: kind,
            episode: episode.id.clone(),
            host: self.host.to_owned(),
            host_name: self.host_name.to_owned(),
            rule: self.rule.name.clone(),
            labels: thing.labels.clone(),
            severity: raised.severity,
            summary: summary(self.rule, &thing.labels, thing.value, self.unit),
            runbook: self.rule.runbook.clone(),
            at: rfc3339(from_micros(at)),
            raised_at: rfc3339(from_micros(raised.at)),
            value: thing.value.filter(|value| value.is_finite()),
            peak: raised.peak,
            flapping: raised.flapping,
            reason: episode.reason.clone(),
            field: self.rule.field.clone(),
            unit: self.unit.to_owned(),
            level: level(self.rule, raised.severity),
        };
        out.events.push(payload.queued(at));
        out.episodes.push(episode);
    }
}
