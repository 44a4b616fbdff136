//! What is told of an alert: the event's content, the same for every way of delivery.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::labels::{Labels, Whose};
use super::rule::{Rule, Severity};
use crate::store::alerts::Event;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Raised,
    SeverityChanged,
    Cleared,
    Acknowledged,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::SeverityChanged => "severity_changed",
            Self::Cleared => "cleared",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// A time of a [`Payload`].
pub fn moment(rfc3339: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(rfc3339, &Rfc3339).ok()
}

/// The content of an event, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    pub event: Kind,
    pub episode: String,
    pub host: String,
    /// What people call it.
    #[serde(default)]
    pub host_name: String,
    pub rule: String,
    pub labels: Labels,
    pub severity: Severity,
    pub summary: String,
    pub runbook: String,
    /// RFC 3339.
    pub at: String,
    pub raised_at: String,
    pub value: Option<f64>,
    pub peak: f64,
    pub flapping: bool,
    /// Why it was cleared, if not by its value; who acknowledged it.
    pub reason: Option<String>,
    /// Of the rule: its field, the unit of its value, and the level of the severity.
    #[serde(default)]
    pub field: String,
    #[serde(default)]
    pub unit: String,
    #[serde(default)]
    pub level: Option<f64>,
}

impl Payload {
    pub fn whose(&self) -> Whose<'_> {
        Whose { id: &self.host, name: &self.host_name }
    }

    /// As it is queued. Its key is the same however often it is stored or sent.
    pub fn queued(&self, at: i64) -> Event {
        let kind = self.event.as_str();
        Event {
            key: format!("{}:{kind}:{at}", self.episode),
            episode: self.episode.clone(),
            kind: kind.to_owned(),
            at,
            payload: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

/// The level of a severity, if the rule has one.
pub fn level(rule: &Rule, severity: Severity) -> Option<f64> {
    let level = match severity {
        Severity::Warning => rule.warning,
        Severity::Critical => rule.critical,
    }?;
    Some(level.above.or(level.below)?.0)
}

/// A rule's summary for one thing.
pub fn summary(rule: &Rule, labels: &Labels, value: Option<f64>, unit: &str) -> String {
    let template = if rule.summary.is_empty() { &rule.name } else { &rule.summary };
    let mut text = String::with_capacity(template.len());
    let mut rest = template.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, after)) = behind.split_once('}') else {
            text.push('{');
            rest = behind;
            continue;
        };
        match (name, labels.get(name)) {
            // Names from the machine are cut: some are a megabyte.
            (_, Some(label)) => text.extend(label.chars().take(200)),
            ("value", None) => {
                text.push_str(&value.map_or_else(|| "?".to_owned(), |value| shown(value, unit)));
            }
            _ => {
                text.push('{');
                text.push_str(name);
                text.push('}');
            }
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Units that a value is shown in, largest first: what it is divided by, and the name.
const SCALES: [(&str, &[(f64, &str)]); 7] = [
    ("ns", &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")]),
    ("µs", &[(1e6, "s"), (1e3, "ms"), (1.0, "µs")]),
    ("µs/s", &[(1e3, "ms/s"), (1.0, "µs/s")]),
    ("ms/s", &[(1.0, "ms")]),
    ("s", &[(86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")]),
    ("bytes", &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")]),
    ("bytes/s", &[(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "bytes/s")]),
];

/// A value with its unit, for people.
pub fn shown(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return "∞".to_owned();
    }
    let scales = SCALES.iter().find(|(name, _)| *name == unit).map_or(&[][..], |(_, scales)| scales);
    let fits = |(least, _): &&(f64, &str)| value.abs() >= *least;
    let (least, name) = scales.iter().find(fits).or(scales.last()).copied().unwrap_or((1.0, unit));
    let value = value / least;
    let digits = usize::from(value.abs() < 100.0);
    let space = if name.is_empty() { "" } else { " " };
    format!("{value:.digits$}{space}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_value_are_put_in_and_nothing_else() {
        let labels = Labels::from([("device".to_owned(), "{value}".to_owned())]);
        let rule = |summary: &str| Rule {
            summary: summary.to_owned(),
            ..toml::from_str("name = \"disk\"\nfield = \"cpu.usage_percent\"").unwrap()
        };
        let of = |text: &str| summary(&rule(text), &labels, Some(3.21), "");
        assert_eq!(of("{device} at {value}"), "{value} at 3.2", "what was put in is not read again");
        assert_eq!(of("{nothing} and {"), "{nothing} and {");
        assert_eq!(of(""), "disk");
        let long = Labels::from([("device".to_owned(), "x".repeat(1 << 20))]);
        assert_eq!(summary(&rule("{device}{device}"), &long, None, "").len(), 400);
    }

    #[test]
    fn values_are_shown_in_units_that_fit() {
        for (value, unit, text) in [
            (3e8, "ns", "300 ms"),
            (9.5e5, "µs/s", "950 ms/s"),
            (95.04, "%", "95.0 %"),
            (36_000.0, "s", "10.0 h"),
            (2.5e7, "bytes/s", "25.0 MB/s"),
            (0.0, "bytes", "0.0 bytes"),
            (1234.0, "", "1234"),
            (f64::INFINITY, "s", "∞"),
        ] {
            assert_eq!(shown(value, unit), text);
        }
    }
}
