//! What is wrong with a channel, all of it at once.

use lettre::message::Mailboxes;
use ureq::http::Uri;

use super::ready::{self, Ready};
use super::{Channel, Kind, Secrets};
use crate::alerts::compile::Problem;
use crate::alerts::message;
use crate::alerts::template::Template;

pub const MAX_NAME: usize = 64;
const MAX_SECRET: usize = 2000;
const MAX_LABELS: usize = 10;
const MAX_PATTERN: usize = 200;
const MAX_TO: usize = 1000;
const MAX_PER_HOUR: u32 = 3600;

/// A channel's URL: what an email's may begin with, and whether that is encrypted from the start.
pub const MAIL_SCHEMES: [&str; 3] = ["smtp", "smtps", "smtp+plain"];

struct Check<'a> {
    channel: &'a Channel,
    secrets: &'a Secrets,
    problems: Vec<Problem>,
}

/// Checks a channel with its secrets, wherever they are from. No message repeats a secret.
pub fn problems(channel: &Channel, secrets: &Secrets) -> Vec<Problem> {
    let mut check = Check { channel, secrets, problems: Vec::new() };
    check.name();
    check.route();
    check.limits();
    check.secrets();
    match channel.kind {
        Kind::Webhook => check.keys(&["url"], &["token", "key"]),
        Kind::Alertmanager => check.keys(&["url"], &["token"]),
        Kind::Email => check.email(),
        kind => {
            if let Some(Ready { needs, takes, url, .. }) = ready::find(kind) {
                let also: Vec<&str> = takes.iter().copied().chain(url.map(|_| "url")).collect();
                check.keys(needs, &also);
            }
        }
    }
    check.url();
    check.template();
    check.problems
}

impl Check<'_> {
    fn problem(&mut self, key: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { key, message: message.into() });
    }

    fn name(&mut self) {
        let name = &self.channel.name;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_plain) {
            self.problem("name", "use 1 to 64 lower-case letters, digits and dashes");
        }
    }

    fn route(&mut self) {
        let Channel { rules, labels, .. } = self.channel;
        let is_pattern = |text: &str| text.len() <= MAX_PATTERN && !text.chars().any(char::is_control);
        if rules.as_deref().is_some_and(|rules| rules.is_empty() || !is_pattern(rules)) {
            self.problem("rules", "use names of rules or patterns, at most 200 characters");
        }
        if labels.len() > MAX_LABELS
            || !labels.iter().all(|(label, text)| is_pattern(label) && is_pattern(text))
        {
            self.problem("labels", "use at most 10 labels with patterns of at most 200 characters");
        }
    }

    fn limits(&mut self) {
        if self.channel.max_per_hour.is_some_and(|most| !(1..=MAX_PER_HOUR).contains(&most)) {
            self.problem("max_per_hour", "use 1 to 3600");
        }
        for (key, text) in
            [("to", &self.channel.to), ("from", &self.channel.from), ("user", &self.channel.user)]
        {
            let is_line = |text: &String| text.len() <= MAX_TO && !text.chars().any(char::is_control);
            if text.as_ref().is_some_and(|text| text.trim().is_empty() || !is_line(text)) {
                self.problem(key, "use one line of at most 1000 characters");
            }
        }
    }

    fn secrets(&mut self) {
        let bad: Vec<&'static str> = self
            .secrets
            .named()
            .filter(|(_, secret)| {
                let text = secret.reveal();
                text.is_empty() || text.len() > MAX_SECRET || text.chars().any(char::is_control)
            })
            .map(|(name, _)| name)
            .collect();
        for name in bad {
            self.problem(name, "use one line of 1 to 2000 characters");
        }
    }

    /// What must be there, and what else may.
    fn keys(&mut self, needs: &[&'static str], takes: &[&'static str]) {
        let kind = self.channel.kind.as_str();
        let given = |key: &str| match key {
            "to" => self.channel.to.is_some(),
            "from" => self.channel.from.is_some(),
            "user" => self.channel.user.is_some(),
            secret => self.secrets.get(secret).is_some(),
        };
        let missing = needs.iter().filter(|key| !given(key)).map(|key| (*key, format!("{kind} needs it")));
        let all = ["url", "token", "key", "password", "to", "from", "user"];
        let surplus =
            all.into_iter().filter(|key| given(key) && !needs.contains(key) && !takes.contains(key));
        let surplus = surplus.map(|key| (key, format!("{kind} has no use for it; leave it out")));
        let found: Vec<_> = missing.chain(surplus).collect();
        for (key, message) in found {
            self.problem(key, message);
        }
    }

    fn email(&mut self) {
        self.keys(&["url", "to", "from"], &["user", "password"]);
        if self.channel.user.is_some() != self.secrets.password.is_some() {
            self.problem("password", "user and password are set together");
        }
        for (key, text) in [("to", &self.channel.to), ("from", &self.channel.from)] {
            let Some(text) = text else { continue };
            let count = text.parse::<Mailboxes>().map_or(0, |all| all.iter().count());
            if count == 0 || (key == "from" && count > 1) {
                self.problem(key, "use addresses such as ops@example.org, comma-separated; from has one");
            }
        }
    }

    fn url(&mut self) {
        let Some(url) = self.secrets.get("url") else { return };
        let parsed = url.parse::<Uri>().ok();
        let scheme = parsed.as_ref().and_then(Uri::scheme_str).unwrap_or_default();
        let authority =
            parsed.as_ref().and_then(|uri| uri.authority()).map_or("", |authority| authority.as_str());
        let has_host = parsed.as_ref().and_then(Uri::host).is_some_and(|host| !host.is_empty());
        let (is_known, message) = if self.channel.kind == Kind::Email {
            let is_known = MAIL_SCHEMES.contains(&scheme);
            (is_known, "use smtp://host (STARTTLS), smtps://host (TLS), or smtp+plain://host (not encrypted)")
        } else {
            (matches!(scheme, "http" | "https"), "it must begin with http:// or https:// and name a host")
        };
        if !is_known || !has_host {
            self.problem("url", message);
        } else if authority.contains('@') {
            self.problem("url", "leave user and password out of it; they have keys of their own");
        }
        if scheme == "smtp+plain" && self.secrets.password.is_some() {
            self.problem("password", "it would be sent unencrypted; use smtp:// or smtps://");
        }
    }

    fn template(&mut self) {
        let Some(template) = &self.channel.template else { return };
        if self.channel.kind == Kind::Alertmanager {
            self.problem("template", "alertmanager has no use for it; leave it out");
        } else if let Err(message) = Template::parse(template, &message::NAMES) {
            self.problem("template", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::channel::ready::READY;

    fn found(text: &str) -> Vec<String> {
        let mut channel: Channel = toml::from_str(&format!("name = \"a\"\n{text}")).unwrap();
        let secrets = channel.take_secrets();
        problems(&channel, &secrets)
            .into_iter()
            .map(|problem| format!("{}: {}", problem.key, problem.message))
            .collect()
    }

    #[test]
    fn each_kind_says_what_it_needs() {
        assert_eq!(found("kind = \"slack\""), ["url: slack needs it"]);
        assert_eq!(found("kind = \"webhook\"\nurl = \"https://a.example\"\nkey = \"k\""), [""; 0]);
        assert_eq!(found("kind = \"telegram\"\nto = \"5\"\ntoken = \"1:a\""), [""; 0]);
        assert_eq!(
            found("kind = \"slack\"\nurl = \"https://a.example\"\ntoken = \"x\""),
            ["token: slack has no use for it; leave it out"]
        );
        let mail = "kind = \"email\"\nfrom = \"PerfWatch <pw@example.org>\"\nto = \"a@example.org, b@example.org\"\n";
        assert_eq!(found(&format!("{mail}url = \"smtp://mail.example.org\"")), [""; 0]);
        assert_eq!(found(&format!("{mail}url = \"https://mail.example.org\"")).len(), 1);
        let plain =
            format!("{mail}url = \"smtp+plain://mail.example.org\"\nuser = \"u\"\npassword = \"hunter2\"");
        let plain = found(&plain);
        assert!(
            plain.len() == 1 && plain[0].contains("unencrypted") && !plain[0].contains("hunter2"),
            "{plain:?}"
        );
    }

    #[test]
    fn what_cannot_be_is_named_and_no_secret_is() {
        let bad = "kind = \"webhook\"\nurl = \"ftp://hunter2\"\nmax_per_hour = 0\nrules = \"\"\ntemplate = \"{{ nothing }}\"";
        let found = found(bad);
        let keys: Vec<&str> = found.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(keys, ["rules", "max_per_hour", "url", "template"]);
        assert!(!found.concat().contains("hunter2"));
        let mut channel = Channel { name: "Über".into(), ..Channel::default() };
        channel.kind = Kind::Gotify;
        let keys: Vec<&str> =
            problems(&channel, &Secrets::default()).iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["name", "url", "token"]);
    }

    #[test]
    fn every_ready_one_has_templates_that_can_be_read() {
        for ready in READY {
            let calls = ready.incident.iter().flat_map(|incident| [&incident.resolve, &incident.acknowledge]);
            for call in calls.chain([&ready.call]) {
                let texts = [call.path, call.body, ready.header.map_or("", |(_, _, text)| text)];
                for text in texts {
                    Template::parse(text, &message::inner_names()).unwrap();
                }
            }
        }
    }
}
