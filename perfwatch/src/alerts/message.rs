//! What people are told: title and text of some events of one rule, and the names that templates know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::event::{Kind, Payload, moment, shown};
use super::finding::Finding;
use super::period::Period;
use super::rule::Severity;
use super::template::{MAX_MADE, Template, Variables};
use crate::store::{from_micros, micros};

/// Alerts that are listed one by one.
const MAX_LISTED: usize = 20;
/// How much of one text is shown.
const MAX_LINE: usize = 400;

/// What the templates of channels know.
pub const NAMES: [&str; 14] = [
    "title",
    "text",
    "message",
    "status",
    "severity",
    "rule",
    "host",
    "host_name",
    "summary",
    "runbook",
    "link",
    "count",
    "alerts",
    "key",
];
/// What the templates of ready receivers know besides.
const RECEIVERS_NAMES: [&str; 4] = ["incident", "priority", "to", "token"];

/// What the templates of ready receivers know.
pub fn inner_names() -> Vec<&'static str> {
    [&NAMES[..], &RECEIVERS_NAMES].concat()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    Firing,
    Acknowledged,
    Resolved,
    /// Several of these, of several rules: what a channel's limit held back.
    Summary,
    Test,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Summary => "summary",
            Self::Test => "test",
        }
    }

    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Raised | Kind::SeverityChanged => Self::Firing,
            Kind::Acknowledged => Self::Acknowledged,
            Kind::Cleared => Self::Resolved,
        }
    }
}

/// Where messages come from.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub host_name: String,
    /// Where people reach the page; without it there are no links.
    pub public_url: Option<String>,
    /// It is a hub's: links name the host.
    pub is_fleet: bool,
}

#[derive(Debug, Clone)]
pub struct Message {
    /// The same for the same message, however often it is sent.
    pub key: String,
    pub status: Status,
    pub severity: Severity,
    pub host: String,
    pub host_name: String,
    /// Empty for a summary.
    pub rule: String,
    pub title: String,
    pub text: String,
    pub runbook: String,
    pub link: Option<String>,
    /// What receivers that keep incidents tell them by.
    pub incident: String,
    /// Of the first alert.
    summary: String,
    alerts: Vec<Value>,
    count: usize,
}

impl Message {
    /// Tells events of one rule; the first has the key. `None` if there are none.
    pub fn of_rule(key: &str, events: &[&Payload], finding: Option<&Finding>, place: &Place) -> Option<Self> {
        let first = *events.first()?;
        let status = Status::of(first.event);
        let severity = events.iter().map(|event| event.severity).max().unwrap_or(first.severity);
        let hosts: BTreeSet<&str> = events.iter().map(|event| event.host.as_str()).collect();
        let is_of_one = hosts.len() == 1;
        let host_name = match is_of_one {
            true => line(host_name(first, place)),
            false => format!("{} hosts", hosts.len()),
        };
        let rule = line(&first.rule);
        let what = match events {
            [one] => line(&one.summary),
            several => format!("{} alerts", several.len()),
        };
        let lead = match status {
            Status::Firing => severity.as_str(),
            other => other.as_str(),
        };
        let link = match is_of_one {
            true => place.link(first),
            false => place.page(),
        };
        let mut text = String::new();
        for event in events.iter().take(MAX_LISTED) {
            let of = (!is_of_one).then(|| line(host_name_of(event)));
            let _ = writeln!(text, "{}", told(event, of.as_deref()));
        }
        if events.len() > MAX_LISTED {
            let _ = writeln!(text, "and {} more", events.len() - MAX_LISTED);
        }
        if let Some(finding) = finding.filter(|_| status == Status::Firing) {
            for sentence in finding.sentences() {
                let _ = writeln!(text, "{}", line(&sentence));
            }
        }
        if status == Status::Firing && !first.runbook.is_empty() {
            let _ = writeln!(text, "Runbook: {}", line_of(&first.runbook, 1000));
        }
        if let Some(link) = &link {
            let _ = writeln!(text, "{link}");
        }
        Some(Self {
            key: key.to_owned(),
            status,
            severity,
            incident: incident(is_of_one.then_some(&*first.host), &first.rule),
            host: if is_of_one { first.host.clone() } else { String::new() },
            title: format!("[{lead}] {rule} on {host_name}: {what}"),
            host_name,
            rule,
            text: text.trim_end().to_owned(),
            runbook: line_of(&first.runbook, 1000),
            link,
            summary: line(&first.summary),
            alerts: events.iter().take(MAX_LISTED).map(|event| alert(event)).collect(),
            count: events.len(),
        })
    }

    /// Tells many events of many rules at once.
    pub fn summary(key: &str, events: &[&Payload], place: &Place) -> Option<Self> {
        let first = *events.first()?;
        let hosts: BTreeSet<&str> = events.iter().map(|event| event.host.as_str()).collect();
        let host_name = match hosts.len() {
            1 => line(host_name(first, place)),
            several => format!("{several} hosts"),
        };
        let mut rules: BTreeMap<&str, [BTreeSet<&str>; 2]> = BTreeMap::new();
        for event in events {
            let [raised, cleared] = rules.entry(&event.rule).or_default();
            match Status::of(event.event) {
                Status::Firing => _ = raised.insert(&event.episode),
                Status::Resolved => _ = cleared.insert(&event.episode),
                _ => {}
            }
        }
        let mut text = String::from("More happened than this channel's limit lets through:\n");
        for (rule, [raised, cleared]) in rules.iter().take(MAX_LISTED) {
            let open = raised.difference(cleared).count();
            let _ = writeln!(
                text,
                "{}: {} raised, {} cleared, {open} of these still raised",
                line(rule),
                raised.len(),
                cleared.len()
            );
        }
        if rules.len() > MAX_LISTED {
            let _ = writeln!(text, "and {} more rules", rules.len() - MAX_LISTED);
        }
        let link = place.page();
        if let Some(link) = &link {
            let _ = writeln!(text, "{link}");
        }
        let severity = events.iter().map(|event| event.severity).max().unwrap_or(first.severity);
        Some(Self {
            key: key.to_owned(),
            status: Status::Summary,
            severity,
            incident: incident(None, ""),
            host: if hosts.len() == 1 { first.host.clone() } else { String::new() },
            title: format!("[summary] {host_name}: {} events of {} rules", events.len(), rules.len()),
            summary: format!("{} events of {} rules", events.len(), rules.len()),
            host_name,
            rule: String::new(),
            text: text.trim_end().to_owned(),
            runbook: String::new(),
            link,
            alerts: events.iter().take(MAX_LISTED).map(|event| alert(event)).collect(),
            count: events.len(),
        })
    }

    /// Tells nothing but that it arrives.
    pub fn test(key: &str, host: &str, place: &Place) -> Self {
        let host_name = line(if place.host_name.is_empty() { host } else { &place.host_name });
        Self {
            key: key.to_owned(),
            status: Status::Test,
            severity: Severity::Warning,
            incident: incident(Some(host), "test"),
            host: host.to_owned(),
            title: format!("[test] PerfWatch on {host_name}"),
            summary: "This is a test".into(),
            host_name,
            rule: "test".into(),
            text: "This is a test: alerts arrive here.".into(),
            runbook: String::new(),
            link: place.public_url.clone(),
            alerts: Vec::new(),
            count: 0,
        }
    }

    /// The same about the incident of all hosts.
    #[must_use]
    pub fn for_fleet(mut self) -> Self {
        self.incident = incident(None, &self.rule);
        self
    }

    /// What names stand for, with title and text cut to what the receiver takes.
    pub fn variables(&self, max_title: usize, max_text: usize) -> Variables {
        let (title, text) = (cut(&self.title, max_title), cut(&self.text, max_text));
        let of = |text: &str| Value::from(text);
        Variables::from([
            ("message", Value::from(format!("{title}\n{text}"))),
            ("title", Value::from(title)),
            ("text", Value::from(text)),
            ("status", of(self.status.as_str())),
            ("severity", of(self.severity.as_str())),
            ("rule", of(&self.rule)),
            ("host", of(&self.host)),
            ("host_name", of(&self.host_name)),
            ("summary", of(&self.summary)),
            ("runbook", of(&self.runbook)),
            ("link", of(self.link.as_deref().unwrap_or_default())),
            ("count", json!(self.count)),
            ("alerts", Value::from(self.alerts.clone())),
            ("key", of(&self.key)),
            ("incident", of(&self.incident)),
        ])
    }

    /// Replaces the text by what a channel's template makes. `false`: that would be too long, and the text stays.
    pub fn apply(&mut self, template: &Template) -> bool {
        match template.render(&self.variables(MAX_MADE, MAX_MADE)) {
            Some(text) => {
                // The template's own lines stay; what was put in has lost its control characters before.
                self.text = text;
                true
            }
            None => false,
        }
    }
}

/// What people call the host of an event.
fn host_name<'a>(event: &'a Payload, place: &'a Place) -> &'a str {
    match place.host_name.as_str() {
        name if !place.is_fleet && !name.is_empty() => name,
        _ => host_name_of(event),
    }
}

fn host_name_of(event: &Payload) -> &str {
    if event.host_name.is_empty() { &event.host } else { &event.host_name }
}

/// Of one host's rule, or of a rule on many hosts at once.
fn incident(host: Option<&str>, rule: &str) -> String {
    format!("perfwatch:{}:{rule}", host.unwrap_or("fleet"))
}

/// One alert in one line, with its host where several are told of.
fn told(event: &Payload, host: Option<&str>) -> String {
    let summary = line(&event.summary);
    let host = host.map(|host| format!("{host}: ")).unwrap_or_default();
    let mut text = format!("• {host}{summary}");
    let since = time_of_day(&event.raised_at);
    match event.event {
        Kind::Cleared => {
            let lasted = length(&event.raised_at, &event.at);
            let _ = write!(text, ": cleared after {lasted}, peak {}", shown(event.peak, &event.unit));
        }
        Kind::Acknowledged => {}
        Kind::Raised | Kind::SeverityChanged => {
            if let Some(value) = event.value {
                let _ = write!(text, ": {}", shown(value, &event.unit));
                if let Some(level) = event.level {
                    let _ = write!(text, ", {}", distance(value, level, &event.unit));
                }
            }
            let _ = write!(text, "; {} since {since}", event.severity.as_str());
            if event.flapping {
                text.push_str("; it flaps");
            }
        }
    }
    if let Some(reason) = &event.reason {
        let _ = write!(text, " ({})", line(reason));
    }
    text
}

/// How far a value is from its level.
fn distance(value: f64, level: f64, unit: &str) -> String {
    let side = if value >= level { "above" } else { "below" };
    let by = (value - level).abs();
    let part = if level != 0.0 && unit != "%" {
        format!(" ({:.0} %)", by / level.abs() * 100.0)
    } else {
        String::new()
    };
    format!("{}{part} {side} the level of {}", shown(by, unit), shown(level, unit))
}

fn alert(event: &Payload) -> Value {
    json!({
        "event": event.event, "episode": event.episode, "labels": event.labels, "severity": event.severity,
        "summary": line(&event.summary), "raised_at": event.raised_at, "at": event.at, "value": event.value,
        "unit": event.unit, "level": event.level, "peak": event.peak, "flapping": event.flapping,
    })
}

impl Place {
    /// The page of all alerts.
    fn page(&self) -> Option<String> {
        self.public_url.as_deref().map(|base| format!("{}/alerts", base.trim_end_matches('/')))
    }

    /// The page that shows what happened: the field of the rule, around that time.
    pub fn link(&self, event: &Payload) -> Option<String> {
        let base = self.public_url.as_deref()?.trim_end_matches('/');
        let (Some(raised), Some(at)) = (moment(&event.raised_at), moment(&event.at)) else {
            return self.page();
        };
        let around = |at: OffsetDateTime, by: i64| {
            let shifted = from_micros(micros(at) / 60_000_000 * 60_000_000 + by * 60_000_000);
            crate::snapshot::rfc3339(shifted)
        };
        // Nobody records what a hub hears.
        let recorded = event.field.split_once('.').filter(|(metric, _)| *metric != "presence");
        let panel = recorded.map(|(metric, field)| format!("p={metric}:{field}&"));
        let page = if panel.is_some() { "history" } else { "" };
        let host = if self.is_fleet { format!("host={}&", event.host) } else { String::new() };
        let (panel, from, to) = (panel.unwrap_or_default(), around(raised, -30), around(at, 6));
        Some(format!("{base}/{page}?{host}{panel}from={from}&to={to}"))
    }
}

fn time_of_day(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => rfc3339.to_owned(),
    }
}

fn length(from: &str, to: &str) -> String {
    match (moment(from), moment(to)) {
        (Some(from), Some(to)) => Period::seconds((to - from).whole_seconds().max(0)).to_string(),
        _ => "some time".to_owned(),
    }
}

fn line(text: &str) -> String {
    line_of(text, MAX_LINE)
}

/// One line without control characters, or such as turn the direction of writing.
fn line_of(text: &str, most: usize) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = text.chars().filter(|c| !turns(*c)).map(|c| if c.is_control() { ' ' } else { c });
    cut(&shown.collect::<String>(), most)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, summary: &str) -> Payload {
        serde_json::from_value(json!({
            "event": kind, "episode": "e", "host": "0123", "rule": "disk-full", "labels": {"mountpoint": "/"},
            "severity": "warning", "summary": summary, "runbook": "delete", "at": "2026-01-01T00:12:00Z",
            "raised_at": "2026-01-01T00:00:00Z", "value": 95.5, "peak": 97.0, "flapping": false, "reason": null,
            "unit": "%", "level": 90.0, "field": "disk.partitions.usage_percent",
        }))
        .unwrap()
    }

    fn place() -> Place {
        Place {
            host_name: "web1".into(),
            public_url: Some("https://watch.example.org/".into()),
            is_fleet: false,
        }
    }

    #[test]
    fn a_message_says_what_since_when_and_how_far() {
        let message = Message::of_rule("k", &[&event("raised", "/ is full")], None, &place()).unwrap();
        assert_eq!(message.title, "[warning] disk-full on web1: / is full");
        assert_eq!(
            message.text,
            "• / is full: 95.5 %, 5.5 % above the level of 90.0 %; warning since 2026-01-01 00:00:00 UTC\n\
             Runbook: delete\n\
             https://watch.example.org/history?p=disk:partitions.usage_percent&from=2025-12-31T23:30:00Z&to=2026-01-01T00:18:00Z"
        );
        let cleared =
            Message::of_rule("k", &[&event("cleared", "/ is full")], None, &Place::default()).unwrap();
        assert_eq!(cleared.title, "[resolved] disk-full on 0123: / is full");
        assert_eq!(cleared.text, "• / is full: cleared after 12m, peak 97.0 %");
    }

    #[test]
    fn a_fleets_messages_name_the_hosts() {
        let of = |host: &str, name: &str| {
            let mut event = event("raised", "nothing was heard");
            (event.host, event.host_name) = (host.into(), name.into());
            event
        };
        let place = Place { is_fleet: true, ..place() };
        let (one, other) = (of("0123", "db1"), of("4567", "db2"));
        let message = Message::of_rule("k", &[&one], None, &place).unwrap();
        assert_eq!(
            (message.host_name.as_str(), message.incident.as_str()),
            ("db1", "perfwatch:0123:disk-full")
        );
        assert!(message.link.unwrap().contains("/history?host=0123&p="));
        let message = Message::of_rule("k", &[&one, &other], None, &place).unwrap();
        assert_eq!(message.title, "[warning] disk-full on 2 hosts: 2 alerts");
        assert!(
            message.text.contains("• db1: nothing") && message.text.contains("• db2: nothing"),
            "{}",
            message.text
        );
        assert_eq!(message.link.as_deref(), Some("https://watch.example.org/alerts"));
        assert_eq!(message.incident, "perfwatch:fleet:disk-full");
    }

    #[test]
    fn many_are_one_message_and_hostile_names_do_no_harm() {
        let hostile = event("raised", "a\r\nBcc: x@y\u{202e}<b>");
        let many: Vec<&Payload> = std::iter::repeat_n(&hostile, 40).collect();
        let message = Message::of_rule("k", &many, None, &Place::default()).unwrap();
        assert_eq!(message.title, "[warning] disk-full on 0123: 40 alerts");
        assert_eq!(message.text.lines().count(), 22, "20, the number of others, and the runbook");
        assert!(
            message.text.lines().next().unwrap().starts_with("• a  Bcc: x@y<b>: 95.5 %"),
            "{}",
            message.text
        );
    }

    #[test]
    fn what_was_held_back_is_counted_by_rule() {
        let (raised, cleared) = (event("raised", "x"), event("cleared", "x"));
        let other = Payload { episode: "f".into(), ..raised.clone() };
        let message = Message::summary("k", &[&raised, &cleared, &other], &place()).unwrap();
        assert!(
            message.text.contains("disk-full: 2 raised, 1 cleared, 1 of these still raised"),
            "{}",
            message.text
        );
        assert_eq!(message.title, "[summary] web1: 3 events of 1 rules");
    }

    #[test]
    fn a_template_replaces_the_text_unless_it_gets_too_long() {
        let template = |text: &str| Template::parse(text, &NAMES).unwrap();
        let mut message = Message::of_rule("k", &[&event("raised", "x")], None, &place()).unwrap();
        assert!(message.apply(&template("{{ rule }}: {{ summary }}")));
        assert_eq!(message.text, "disk-full: x");
        message.text = "long ".repeat(20_000);
        let before = message.text.clone();
        assert!(!message.apply(&template(&"{{ text }}".repeat(100))));
        assert_eq!(message.text, before);
        let variables = message.variables(10, 20);
        assert_eq!(variables["text"].as_str().unwrap().chars().count(), 20);
        assert_eq!(variables["title"], "[warning]…");
    }
}
