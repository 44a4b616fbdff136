//! Who is told of an event.

use crate::alerts::channels::Listed;
use crate::alerts::event::{Kind, Payload};

/// Whether it is told to those who do not know of the alert yet. Only that is silenced.
pub const fn is_news(event: &Payload) -> bool {
    matches!(event.event, Kind::Raised | Kind::SeverityChanged)
}

/// The channels to tell, and whether they are to be told of the end as well. `told` are those that know of the alert.
///
/// What ends, or is acknowledged, goes to whom the alert was told, also if routes have changed since.
pub fn route(listed: &[Listed], event: &Payload, told: &[String]) -> (Vec<String>, bool) {
    let is_news = is_news(event);
    let wants = |of: &&Listed| {
        is_news
            && !of.channel.off
            && of.channel.wants(&event.rule, event.severity, &event.labels, event.whose())
    };
    let mut channels: Vec<String> = told.to_vec();
    for of in listed.iter().filter(wants) {
        if !channels.contains(&of.channel.name) {
            channels.push(of.channel.name.clone());
        }
    }
    (channels, is_news)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::channel::{Channel, Secrets};
    use crate::alerts::channels::Origin;
    use serde_json::json;

    fn listed(text: &str) -> Listed {
        let channel: Channel = toml::from_str(&format!("kind = \"slack\"\n{text}")).unwrap();
        let (secrets, origin) = (Secrets::default(), Origin::Settings);
        Listed { channel, secrets, origin, problems: Vec::new(), is_limited: false }
    }

    fn event(kind: &str, severity: &str) -> Payload {
        serde_json::from_value(json!({
            "event": kind, "episode": "e", "host": "h", "rule": "disk-full", "labels": {}, "severity": severity,
            "summary": "", "runbook": "", "at": "", "raised_at": "", "value": null, "peak": 1.0, "flapping": false,
            "reason": null,
        }))
        .unwrap()
    }

    #[test]
    fn the_end_goes_to_whom_the_alert_was_told() {
        let all = [
            listed("name = \"all\""),
            listed("name = \"night\"\nseverity = \"critical\""),
            listed("name = \"off\"\noff = true"),
            listed("name = \"cpu\"\nrules = \"cpu*\""),
        ];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let route = |kind, severity, told: &[&str]| route(&all, &event(kind, severity), &names(told));
        assert_eq!(route("raised", "warning", &[]), (names(&["all"]), true));
        assert_eq!(route("severity_changed", "critical", &["all"]), (names(&["all", "night"]), true));
        // Less severe again: whoever knows of it is told.
        assert_eq!(route("severity_changed", "warning", &["all", "night"]), (names(&["all", "night"]), true));
        // The routes were changed meanwhile.
        assert_eq!(route("cleared", "warning", &["cpu", "off"]), (names(&["cpu", "off"]), false));
        assert_eq!(route("acknowledged", "critical", &["night"]), (names(&["night"]), false));
        // Of what nobody was told, nobody is told the end.
        assert_eq!(route("cleared", "critical", &[]), (Vec::new(), false));
    }
}
