//! Events as alerts of Alertmanager's API, version 2.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alerts::event::{Kind, Payload};
use crate::alerts::rule::Severity;

/// What is raised ends when we say so; until then Alertmanager is not to end it by itself.
const NOT_YET: &str = "9999-01-01T00:00:00Z";

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
}

pub(super) fn alerts<'a>(events: impl Iterator<Item = &'a Payload>) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for event in events {
        match event.event {
            Kind::Raised => alerts.push(alert(event, event.severity, NOT_YET)),
            Kind::SeverityChanged => {
                // The severity is a label, so that the other one is another alert.
                let other = match event.severity {
                    Severity::Warning => Severity::Critical,
                    Severity::Critical => Severity::Warning,
                };
                alerts.push(alert(event, other, &event.at));
                alerts.push(alert(event, event.severity, NOT_YET));
            }
            Kind::Cleared => alerts.push(alert(event, event.severity, &event.at)),
            // It has no such thing.
            Kind::Acknowledged => {}
        }
    }
    alerts
}

fn alert(event: &Payload, severity: Severity, ends_at: &str) -> Alert {
    let mut labels: BTreeMap<String, String> =
        event.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    labels.insert("alertname".to_owned(), event.rule.clone());
    labels.insert("severity".to_owned(), severity.as_str().to_owned());
    labels.insert("host".to_owned(), event.host.clone());
    // Empty ones are none.
    labels.retain(|_, value| !value.is_empty());
    let texts = [("summary", &event.summary), ("runbook", &event.runbook), ("episode", &event.episode)];
    Alert {
        labels,
        annotations: texts.into_iter().map(|(name, text)| (name, text.clone())).collect(),
        starts_at: event.raised_at.clone(),
        ends_at: ends_at.to_owned(),
    }
}
