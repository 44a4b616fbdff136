//! Alerts as the configuration has them; and `perfwatch alerts`, which checks, tests and lists rules without a server.

use std::path::PathBuf;

use tokio::sync::watch;

use crate::alerts::catalogue::{Catalogue, Listed, Origin, Over};
use crate::alerts::channel::{Channel, Kind, Secret};
use crate::alerts::channels::{Options, problems_of_file};
use crate::alerts::compile::Compiled;
use crate::alerts::file::File;
use crate::alerts::heartbeat::Heartbeat;
use crate::alerts::message::Place;
use crate::alerts::period::Period;
use crate::alerts::{stock, trial};
use crate::config::Config;
use crate::snapshot::source::Settings;

/// How long a new database keeps history; the server checks again with its own.
const RETENTION: Period = Period::seconds(30 * 86_400);

/// Channels of the settings, and what all channels need.
pub fn channels(config: &Config, secret: Vec<u8>, host_name: &str, is_fleet: bool) -> Options {
    let alerts = &config.alerts;
    let channel = |name: &str, kind, url: &Option<String>, key: &Option<String>| {
        let url = Some(Secret::new(url.clone()?));
        let key = key.clone().map(Secret::new);
        Some(Channel { name: name.to_owned(), kind, url, key, ..Channel::default() })
    };
    let given = [
        channel("alertmanager", Kind::Alertmanager, &alerts.alertmanager_url, &None),
        channel("webhook", Kind::Webhook, &alerts.webhook_url, &alerts.webhook_key),
    ];
    Options {
        given: given.into_iter().flatten().collect(),
        secret,
        allow_private: alerts.allow_private,
        place: Place { host_name: host_name.to_owned(), public_url: alerts.public_url.clone(), is_fleet },
        ..Options::default()
    }
}

/// `None` if nobody waits for one.
pub fn heartbeat(config: &Config, settings: watch::Receiver<Settings>) -> Option<Heartbeat> {
    let url = Secret::new(config.alerts.heartbeat_url.clone()?);
    Some(Heartbeat { url, interval: config.alerts.heartbeat_interval, settings })
}

/// What `perfwatch alerts ACTION` prints, and whether all is well.
pub fn run(config: &Config, action: &str, files: &[PathBuf]) -> (String, bool) {
    if action == "list" {
        let files = File::read_all(&config.alerts.dir, RETENTION);
        return list(&Catalogue::new(files, &[], RETENTION, Over::Fleet));
    }
    let files: Vec<File> = match files {
        [] => File::read_all(&config.alerts.dir, RETENTION),
        named => named.iter().map(|path| File::read(path, RETENTION)).collect(),
    };
    if files.is_empty() {
        return (format!("There are no files with rules in {}", config.alerts.dir.display()), true);
    }
    if action == "check" { check(&files) } else { test(&files) }
}

fn check(files: &[File]) -> (String, bool) {
    let mut lines: Vec<String> = files.iter().flat_map(|file| file.problems.clone()).collect();
    for file in files {
        for at in &file.channels {
            let told = problems_of_file(&at.what).into_iter().map(|problem| {
                format!(
                    "{}:{}: {}: {}: {}",
                    file.path.display(),
                    at.line,
                    at.what.name,
                    problem.key,
                    problem.message
                )
            });
            lines.extend(told);
        }
    }
    let is_good = lines.is_empty();
    let rules: usize = files.iter().map(|file| file.rules.len()).sum();
    let verdict = match lines.len() {
        0 => {
            let channels: usize = files.iter().map(|file| file.channels.len()).sum();
            let channels =
                if channels > 0 { format!(" and {}", counted(channels, "channel")) } else { String::new() };
            format!("{}{channels} can be used", counted(rules, "rule"))
        }
        problems => format!("{} in {}", counted(problems, "problem"), counted(files.len(), "file")),
    };
    lines.push(verdict);
    (lines.join("\n"), is_good)
}

fn test(files: &[File]) -> (String, bool) {
    let mut lines: Vec<String> = files.iter().flat_map(|file| file.problems.clone()).collect();
    let stock = stock::file(RETENTION);
    let all: Vec<_> = files.iter().flat_map(|file| &file.rules).chain(&stock.rules).collect();
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        for test in &file.tests {
            let place = format!("{}:{}: {}", file.path.display(), test.line, test.what.rule);
            let rule = all.iter().find(|rule| rule.what.name == test.what.rule);
            let problems = match rule.map(|rule| (rule, Compiled::new(&rule.what, RETENTION))) {
                None => vec!["there is no rule of this name in these files".to_owned()],
                Some((_, Err(_))) => vec!["the rule cannot be used; see above".to_owned()],
                Some((rule, Ok(compiled))) => trial::run(&test.what, &rule.what, &compiled),
            };
            if problems.is_empty() {
                passed += 1;
            } else {
                failed += 1;
            }
            let name =
                if test.what.name.is_empty() { String::new() } else { format!(" ({})", test.what.name) };
            lines.extend(problems.iter().map(|problem| format!("{place}{name}: {problem}")));
        }
    }
    let is_good = lines.is_empty();
    lines.push(format!("{} passed, {failed} failed", counted(passed, "test")));
    (lines.join("\n"), is_good)
}

fn list(catalogue: &Catalogue) -> (String, bool) {
    let width = catalogue.rules.iter().map(|listed| listed.rule.name.len()).max().unwrap_or(0);
    let line = |listed: &Listed| {
        let origin = match &listed.origin {
            Origin::File(path, line) => format!("{}:{line}", path.display()),
            _ => "stock".to_owned(),
        };
        let off = match () {
            () if listed.off => " (off)",
            () if listed.rule.field.starts_with("presence.") => " (hubs only)",
            () => "",
        };
        format!("{:width$}  {}  {origin}{off}", listed.rule.name, listed.rule.field)
    };
    let mut lines: Vec<String> = catalogue.rules.iter().map(line).collect();
    lines.extend(catalogue.problems.iter().cloned());
    (lines.join("\n"), catalogue.problems.is_empty())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
