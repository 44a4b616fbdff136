//! Receivers that are ready to use: each is one request, described by templates.

use super::Kind;

/// A request to a receiver. In path, headers and body are templates, which also know the channel's secrets.
#[derive(Debug)]
pub struct Call {
    /// Below the channel's URL.
    pub path: &'static str,
    pub body: &'static str,
}

#[derive(Debug)]
pub struct Ready {
    pub kind: Kind,
    /// Where it is, unless the channel says otherwise.
    pub url: Option<&'static str>,
    /// What the channel has to give besides.
    pub needs: &'static [&'static str],
    /// What it may give.
    pub takes: &'static [&'static str],
    pub method: &'static str,
    /// Left out if it is empty.
    pub header: Option<(&'static str, &'static str, &'static str)>,
    pub call: Call,
    /// One incident per host and rule, which is resolved when no alert of the rule is raised any more.
    pub incident: Option<Incident>,
    /// Characters of title and text.
    pub max_title: usize,
    pub max_text: usize,
    /// Of a critical one, a warning, and the end.
    pub priorities: [&'static str; 3],
}

#[derive(Debug)]
pub struct Incident {
    pub resolve: Call,
    pub acknowledge: Call,
}

const BEARER: Option<(&str, &str, &str)> = Some(("authorization", "token", "Bearer {{ token }}"));
const NO_PRIORITIES: [&str; 3] = ["", "", ""];

/// All of them.
pub const READY: &[Ready] = &[
    Ready {
        kind: Kind::Ntfy,
        url: Some("https://ntfy.sh"),
        needs: &["to"],
        takes: &["token"],
        method: "POST",
        header: BEARER,
        call: Call {
            path: "",
            body: r#"{"topic": {{ to | json }}, "title": {{ title | json }}, "message": {{ text | json }}, "priority": {{ priority }}}"#,
        },
        incident: None,
        max_title: 200,
        max_text: 3000,
        priorities: ["5", "4", "3"],
    },
    Ready {
        kind: Kind::Slack,
        url: None,
        needs: &["url"],
        takes: &[],
        method: "POST",
        header: None,
        call: Call { path: "", body: r#"{"text": {{ message | angle | json }}, "unfurl_links": false}"# },
        incident: None,
        max_title: 200,
        max_text: 8000,
        priorities: NO_PRIORITIES,
    },
    Ready {
        kind: Kind::Discord,
        url: None,
        needs: &["url"],
        takes: &[],
        method: "POST",
        header: None,
        call: Call {
            path: "",
            body: r#"{"content": {{ message | json }}, "allowed_mentions": {"parse": []}, "flags": 4}"#,
        },
        incident: None,
        max_title: 200,
        max_text: 1700,
        priorities: NO_PRIORITIES,
    },
    Ready {
        kind: Kind::Telegram,
        url: Some("https://api.telegram.org"),
        needs: &["to", "token"],
        takes: &[],
        method: "POST",
        header: None,
        call: Call {
            path: "/bot{{ token }}/sendMessage",
            body: r#"{"chat_id": {{ to | json }}, "text": {{ message | json }}, "disable_web_page_preview": true}"#,
        },
        incident: None,
        max_title: 200,
        max_text: 3800,
        priorities: NO_PRIORITIES,
    },
    Ready {
        kind: Kind::Matrix,
        url: None,
        needs: &["url", "to", "token"],
        takes: &[],
        method: "PUT",
        header: BEARER,
        call: Call {
            // The last segment makes a repetition the same message.
            path: "/_matrix/client/v3/rooms/{{ to | path }}/send/m.room.message/{{ key | path }}",
            body: r#"{"msgtype": "m.text", "body": {{ message | json }}}"#,
        },
        incident: None,
        max_title: 200,
        max_text: 16_000,
        priorities: NO_PRIORITIES,
    },
    Ready {
        kind: Kind::Pagerduty,
        url: Some("https://events.pagerduty.com"),
        needs: &["token"],
        takes: &[],
        method: "POST",
        header: None,
        call: Call {
            path: "/v2/enqueue",
            body: r#"{"routing_key": {{ token | json }}, "event_action": "trigger", "dedup_key": {{ incident | json }}, "client": "PerfWatch", "payload": {"summary": {{ title | json }}, "source": {{ host_name | json }}, "severity": {{ priority | json }}, "custom_details": {"text": {{ text | json }}}}}"#,
        },
        incident: Some(Incident {
            resolve: Call {
                path: "/v2/enqueue",
                body: r#"{"routing_key": {{ token | json }}, "event_action": "resolve", "dedup_key": {{ incident | json }}}"#,
            },
            acknowledge: Call {
                path: "/v2/enqueue",
                body: r#"{"routing_key": {{ token | json }}, "event_action": "acknowledge", "dedup_key": {{ incident | json }}}"#,
            },
        }),
        max_title: 1000,
        max_text: 8000,
        priorities: ["critical", "warning", "info"],
    },
    Ready {
        kind: Kind::Opsgenie,
        url: Some("https://api.opsgenie.com"),
        needs: &["token"],
        takes: &[],
        method: "POST",
        header: Some(("authorization", "token", "GenieKey {{ token }}")),
        call: Call {
            path: "/v2/alerts",
            body: r#"{"message": {{ title | json }}, "alias": {{ incident | json }}, "description": {{ text | json }}, "priority": {{ priority | json }}, "entity": {{ host_name | json }}, "source": "PerfWatch"}"#,
        },
        incident: Some(Incident {
            resolve: Call {
                path: "/v2/alerts/{{ incident | path }}/close?identifierType=alias",
                body: r#"{"note": {{ text | json }}, "source": "PerfWatch"}"#,
            },
            acknowledge: Call {
                path: "/v2/alerts/{{ incident | path }}/acknowledge?identifierType=alias",
                body: r#"{"note": {{ text | json }}, "source": "PerfWatch"}"#,
            },
        }),
        max_title: 130,
        max_text: 8000,
        priorities: ["P1", "P3", "P5"],
    },
    Ready {
        kind: Kind::Gotify,
        url: None,
        needs: &["url", "token"],
        takes: &[],
        method: "POST",
        header: Some(("x-gotify-key", "token", "{{ token }}")),
        call: Call {
            path: "/message",
            body: r#"{"title": {{ title | json }}, "message": {{ text | json }}, "priority": {{ priority }}}"#,
        },
        incident: None,
        max_title: 200,
        max_text: 8000,
        priorities: ["8", "5", "2"],
    },
    Ready {
        kind: Kind::Pushover,
        url: Some("https://api.pushover.net"),
        needs: &["to", "token"],
        takes: &[],
        method: "POST",
        header: None,
        call: Call {
            path: "/1/messages.json",
            body: r#"{"token": {{ token | json }}, "user": {{ to | json }}, "title": {{ title | json }}, "message": {{ text | json }}, "priority": {{ priority }}}"#,
        },
        incident: None,
        max_title: 240,
        max_text: 1000,
        priorities: ["1", "0", "-1"],
    },
];

pub fn find(kind: Kind) -> Option<&'static Ready> {
    READY.iter().find(|ready| ready.kind == kind)
}
