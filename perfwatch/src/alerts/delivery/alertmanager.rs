//! Events as alerts of Alertmanager's API, version 2.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alerts::answer::Current;
use crate::alerts::event::{Kind, Payload};
use crate::alerts::labels::Labels;
use crate::alerts::rule::Severity;
use crate::snapshot::rfc3339;
use crate::store::from_micros;

/// Until when it keeps what is raised, µs, unless that is sent again, which happens every minute. It forgets all alerts when
/// it restarts; and if this machine is gone, its alerts are to end.
const KEPT: i64 = 30 * 60_000_000;

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
}

fn until(now: i64) -> String {
    rfc3339(from_micros(now + KEPT))
}

pub fn of_events<'a>(events: impl Iterator<Item = &'a Payload>, now: i64) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for event in events {
        match event.event {
            Kind::Raised => alerts.push(of_event(event, event.severity, until(now))),
            Kind::SeverityChanged => {
                // The severity is a label, so that the other one is another alert.
                let other = match event.severity {
                    Severity::Warning => Severity::Critical,
                    Severity::Critical => Severity::Warning,
                };
                alerts.push(of_event(event, other, event.at.clone()));
                alerts.push(of_event(event, event.severity, until(now)));
            }
            Kind::Cleared => alerts.push(of_event(event, event.severity, event.at.clone())),
            // It has no such thing.
            Kind::Acknowledged => {}
        }
    }
    alerts
}

fn of_event(event: &Payload, severity: Severity, ends_at: String) -> Alert {
    let texts = [("summary", &event.summary), ("runbook", &event.runbook), ("episode", &event.episode)];
    Alert {
        labels: labels(&event.rule, &event.host, severity, &event.labels),
        annotations: texts.into_iter().map(|(name, text)| (name, text.clone())).collect(),
        starts_at: event.raised_at.clone(),
        ends_at,
    }
}

/// What is raised now, to be sent again.
pub fn of_current(current: &Current, now: i64) -> Option<Alert> {
    let raised = current.raised.as_ref()?;
    let texts = [("summary", current.summary.clone()), ("runbook", current.rule.runbook.clone())];
    let episode = current.episode.clone().map(|episode| ("episode", episode));
    Some(Alert {
        labels: labels(&current.rule.name, &current.host, raised.severity, &current.labels),
        annotations: texts.into_iter().chain(episode).collect(),
        starts_at: rfc3339(from_micros(raised.at)),
        ends_at: until(now),
    })
}

/// One that says only that it arrives.
pub fn of_test(host: &str, now: i64) -> Alert {
    Alert {
        labels: labels("perfwatch-test", host, Severity::Warning, &Labels::new()),
        annotations: BTreeMap::from([("summary", "This is a test: alerts arrive here.".to_owned())]),
        starts_at: rfc3339(from_micros(now)),
        ends_at: rfc3339(from_micros(now + 60_000_000)),
    }
}

fn labels(rule: &str, host: &str, severity: Severity, labels: &Labels) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    labels.insert("alertname".to_owned(), rule.to_owned());
    labels.insert("severity".to_owned(), severity.as_str().to_owned());
    labels.insert("host".to_owned(), host.to_owned());
    // Empty ones are none.
    labels.retain(|_, value| !value.is_empty());
    labels
}
