//! What is told of an alert: the event's content, the same for every way of delivery.

use serde::{Deserialize, Serialize};

use super::labels::Labels;
use super::rule::{Rule, Severity};

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

/// The content of an event, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    pub event: Kind,
    pub episode: String,
    pub host: String,
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
}

/// A rule's summary for one thing.
pub fn summary(rule: &Rule, labels: &Labels, value: Option<f64>) -> String {
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
            ("value", None) => text.push_str(&value.map_or_else(|| "?".to_owned(), rounded)),
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

fn rounded(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
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
        let of = |text: &str| summary(&rule(text), &labels, Some(3.14159));
        assert_eq!(of("{device} at {value}"), "{value} at 3.1", "what was put in is not read again");
        assert_eq!(of("{nothing} and {"), "{nothing} and {");
        assert_eq!(of(""), "disk");
        let long = Labels::from([("device".to_owned(), "x".repeat(1 << 20))]);
        assert_eq!(summary(&rule("{device}{device}"), &long, None).len(), 400);
    }
}
