//! A channel: somewhere that alerts are told, in files (TOML) and over the API (JSON) alike.

pub mod check;
pub mod ready;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::labels::{Labels, Whose};
use super::pattern::Pattern;
use super::rule::Severity;

/// How a channel is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AlertChannelKind)]
pub enum Kind {
    /// JSON, or what a template makes, signed if there is a key.
    #[default]
    Webhook,
    Alertmanager,
    Email,
    Ntfy,
    Slack,
    Discord,
    Telegram,
    Matrix,
    Pagerduty,
    Opsgenie,
    Gotify,
    Pushover,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Email => "email",
            Self::Ntfy => "ntfy",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Telegram => "telegram",
            Self::Matrix => "matrix",
            Self::Pagerduty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Gotify => "gotify",
            Self::Pushover => "pushover",
        }
    }
}

/// A text that is never shown, logged or sent back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be used and not kept.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The secrets of a channel. URLs are among them: many have a token in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

impl Secrets {
    /// By the names of their keys.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let all =
            [("url", &self.url), ("token", &self.token), ("key", &self.key), ("password", &self.password)];
        all.into_iter().filter_map(|(name, secret)| Some((name, secret.as_ref()?)))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.named().find(|(known, _)| *known == name).map(|(_, secret)| secret.reveal())
    }

    /// These, and those of `others` that are missing.
    pub fn or(self, others: Self) -> Self {
        Self {
            url: self.url.or(others.url),
            token: self.token.or(others.token),
            key: self.key.or(others.key),
            password: self.password.or(others.password),
        }
    }
}

/// A channel. Kinds and what each needs: docs/alerts.md.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertChannel)]
pub struct Channel {
    /// Unique: lower-case letters, digits and dashes.
    #[schema(example = "on-call", pattern = "^[a-z0-9-]{1,64}$")]
    pub name: String,
    pub kind: Kind,
    /// Switched off: it gets nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub off: bool,
    /// Only alerts of at least this severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub severity: Option<Severity>,
    /// Only alerts of these rules: a pattern, as for labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200, example = "disk-*|file-system-full")]
    pub rules: Option<String>,
    /// Only alerts with these labels: a pattern for each, as in rules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"mountpoint": "/srv*"}))]
    pub labels: BTreeMap<String, String>,
    /// Whom: addresses of an email, a topic, chat, room or user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1000)]
    pub to: Option<String>,
    /// Of an email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub from: Option<String>,
    /// To sign in to a mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub user: Option<String>,
    /// Of a webhook: the whole body; otherwise the text of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 16384)]
    pub template: Option<String>,
    /// Messages an hour; what is more is told together. Default: 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 3600)]
    pub max_per_hour: Option<u32>,
    /// Where. Like all secrets it is never sent back; one that is not given keeps its value if no `url` is given either.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<String>, nullable = false, write_only, max_length = 2000)]
    pub url: Option<Secret>,
    /// What the receiver knows us by.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<String>, nullable = false, write_only, max_length = 2000)]
    pub token: Option<Secret>,
    /// Signs what a webhook gets.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<String>, nullable = false, write_only, max_length = 2000)]
    pub key: Option<Secret>,
    /// Of `user`.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<String>, nullable = false, write_only, max_length = 2000)]
    pub password: Option<Secret>,
    // Only in files: over the API they would let an administrator read any file of the server.
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub url_file: Option<PathBuf>,
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub token_file: Option<PathBuf>,
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub key_file: Option<PathBuf>,
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub password_file: Option<PathBuf>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(value: &bool) -> bool {
    !*value
}

impl Channel {
    /// Whether it is to be told of an alert.
    pub fn wants(&self, rule: &str, severity: Severity, labels: &Labels, whose: Whose<'_>) -> bool {
        self.severity.is_none_or(|least| severity >= least)
            && self.rules.as_deref().is_none_or(|pattern| Pattern::new(pattern).has(rule))
            && whose.fits(&self.labels, labels)
    }

    /// Takes out the secrets that it was given.
    pub fn take_secrets(&mut self) -> Secrets {
        Secrets {
            url: self.url.take(),
            token: self.token.take(),
            key: self.key.take(),
            password: self.password.take(),
        }
    }

    /// The files that have secrets, by the names of the secrets.
    pub fn secret_files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let all = [
            ("url", &self.url_file),
            ("token", &self.token_file),
            ("key", &self.key_file),
            ("password", &self.password_file),
        ];
        all.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_never_written() {
        let text = "name = \"a\"\nkind = \"slack\"\nurl = \"https://hooks.example.org/T0/secret\"\n";
        let mut channel: Channel = toml::from_str(text).unwrap();
        for shown in [format!("{channel:?}"), serde_json::to_string(&channel).unwrap()] {
            assert!(!shown.contains("secret") && !shown.contains("hooks"), "{shown}");
        }
        let secrets = channel.take_secrets();
        assert_eq!(
            (secrets.get("url"), secrets.get("token")),
            (Some("https://hooks.example.org/T0/secret"), None)
        );
        assert!(!format!("{secrets:?}").contains("hooks"));
        assert_eq!(channel.url, None);
    }

    #[test]
    fn routes_are_by_severity_rule_and_labels() {
        let labels = BTreeMap::from([("device".to_owned(), "sda".to_owned())]);
        let wants = |text: &str, severity| {
            let channel: Channel =
                toml::from_str(&format!("name = \"a\"\nkind = \"slack\"\n{text}")).unwrap();
            channel.wants("disk-latency", severity, &labels, Whose { id: "h", name: "web1" })
        };
        for (text, warning, critical) in [
            ("", true, true),
            ("severity = \"critical\"", false, true),
            ("rules = \"disk-*|cpu*\"", true, true),
            ("rules = \"!disk-*\"", false, false),
            ("labels = { device = \"sd?\" }", true, true),
            ("labels = { device = \"nvme*\" }", false, false),
            ("labels = { mountpoint = \"*\" }", false, false),
        ] {
            assert_eq!(
                (wants(text, Severity::Warning), wants(text, Severity::Critical)),
                (warning, critical),
                "{text}"
            );
        }
    }
}
