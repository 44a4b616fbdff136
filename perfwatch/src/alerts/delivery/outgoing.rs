//! Messages in the form that each kind of channel wants.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;

use super::alertmanager::Alert;
use super::plan::Due;
use crate::alerts::channel::Kind;
use crate::alerts::channel::ready::{self, Call, Ready};
use crate::alerts::channels::Listed;
use crate::alerts::event::Payload;
use crate::alerts::finding::Finding;
use crate::alerts::message::{Message, NAMES, Place, Status, inner_names};
use crate::alerts::rule::Severity;
use crate::alerts::send::email::Mail;
use crate::alerts::send::http::Request;
use crate::alerts::send::{Conversation, Failure, Sender};
use crate::alerts::template::Template;

const JSON: (&str, &str) = ("content-type", "application/json");

/// What is sent over either protocol.
#[derive(Debug)]
pub enum Outgoing {
    Http(Request),
    Mail(Mail),
}

impl Outgoing {
    pub async fn send(
        self,
        sender: &Sender,
        of: &Listed,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        match self {
            Self::Http(request) => sender.request(request, of.is_limited, conversation).await,
            Self::Mail(mail) => sender.mail(&mail, of.is_limited, conversation).await,
        }
    }
}

/// Whether a channel takes events as they are, many at once, rather than messages for people.
pub fn takes_events(of: &Listed) -> bool {
    match of.channel.kind {
        Kind::Alertmanager => true,
        Kind::Webhook => of.channel.template.is_none(),
        _ => false,
    }
}

pub fn is_for_incidents(of: &Listed) -> bool {
    ready::find(of.channel.kind).is_some_and(|ready| ready.incident.is_some())
}

/// An event as a webhook gets it.
#[derive(Serialize)]
struct Sent<'a> {
    /// The same for the same event, however often it is sent.
    key: &'a str,
    #[serde(flatten)]
    payload: &'a Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(flatten)]
    finding: Option<&'a Finding>,
}

/// What a webhook without a template gets.
#[derive(Serialize)]
struct Events<'a> {
    version: u32,
    host_name: &'a str,
    /// Nothing happened: somebody tests whether it arrives.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    events: Vec<Sent<'a>>,
}

/// Events for a webhook; none for a test.
pub fn events<'a>(
    of: &Listed,
    place: &Place,
    events: &'a [Due],
    finding: impl Fn(&Payload) -> Option<&'a Finding>,
) -> Outgoing {
    let sent = |due: &'a Due| Sent {
        key: &due.key,
        payload: &due.payload,
        link: place.link(&due.payload),
        finding: finding(&due.payload),
    };
    let all = Events {
        version: 1,
        host_name: &place.host_name,
        test: events.is_empty(),
        events: events.iter().map(sent).collect(),
    };
    Outgoing::Http(webhook(of, serde_json::to_vec(&all).unwrap_or_default()))
}

/// `None` if there is nothing to say.
pub fn alerts(of: &Listed, alerts: &[Alert]) -> Option<Outgoing> {
    let url = format!("{}/api/v2/alerts", of.secrets.get("url")?.trim_end_matches('/'));
    let body = serde_json::to_vec(alerts).unwrap_or_default();
    let headers = bearer(of).into_iter().chain([json()]).collect();
    (!alerts.is_empty()).then_some(Outgoing::Http(Request { method: "POST", url, headers, body }))
}

fn json() -> (&'static str, String) {
    (JSON.0, JSON.1.to_owned())
}

fn bearer(of: &Listed) -> Option<(&'static str, String)> {
    of.secrets.get("token").map(|token| ("authorization", format!("Bearer {token}")))
}

fn webhook(of: &Listed, body: Vec<u8>) -> Request {
    let signature = of.secrets.get("key").map(|key| ("x-perfwatch-signature", signature(key, &body)));
    let headers = bearer(of).into_iter().chain(signature).chain([json()]).collect();
    Request { method: "POST", url: of.secrets.get("url").unwrap_or_default().to_owned(), headers, body }
}

/// HMAC-SHA256 of the body.
fn signature(key: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        unreachable!("a key may have any length")
    };
    mac.update(body);
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// A message for people. Whatever a template makes too long is said in the usual words, and logged.
pub fn message(of: &Listed, mut message: Message) -> Result<Outgoing, Failure> {
    let channel = &of.channel;
    let template = channel.template.as_deref().filter(|_| message.status != Status::Test);
    let template = template.and_then(|text| Template::parse(text, &NAMES).ok());
    let too_long = || {
        tracing::error!(
            channel = channel.name,
            "the template of a channel makes too much; its message has the usual words"
        );
    };
    if channel.kind == Kind::Webhook {
        let variables = message.variables(usize::MAX, usize::MAX);
        let made = template.as_ref().and_then(|template| template.render(&variables));
        if template.is_some() && made.is_none() {
            too_long();
        }
        let body = made.unwrap_or_else(|| Value::from_iter(variables).to_string());
        return Ok(Outgoing::Http(webhook(of, body.into_bytes())));
    }
    if template.is_some_and(|template| !message.apply(&template)) {
        too_long();
    }
    if channel.kind == Kind::Email {
        return Ok(Outgoing::Mail(mail(of, message)));
    }
    let ready = ready::find(channel.kind).ok_or_else(|| invalid("there is no such kind of channel"))?;
    Ok(Outgoing::Http(of_ready(ready, of, &message)?))
}

fn invalid(why: &str) -> Failure {
    Failure { why: why.to_owned(), retry_after: None, is_refused: true }
}

fn mail(of: &Listed, message: Message) -> Mail {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let password = of.secrets.get("password").map(str::to_owned);
    Mail {
        url: of.secrets.get("url").unwrap_or_default().to_owned(),
        sign_in: of.channel.user.clone().zip(password),
        from: text(&of.channel.from),
        to: text(&of.channel.to),
        subject: message.title,
        text: message.text,
        id: format!("{}.{}", message.key, of.channel.name),
        thread: format!("{}.{}", message.host, message.rule),
    }
}

fn of_ready(ready: &Ready, of: &Listed, message: &Message) -> Result<Request, Failure> {
    let call = match (message.status, &ready.incident) {
        (Status::Resolved, Some(incident)) => &incident.resolve,
        (Status::Acknowledged, Some(incident)) => &incident.acknowledge,
        _ => &ready.call,
    };
    let [critical, warning, over] = ready.priorities;
    let priority = match (message.status, message.severity) {
        (Status::Resolved | Status::Acknowledged, _) => over,
        (_, Severity::Critical) => critical,
        (_, Severity::Warning) => warning,
    };
    let mut variables = message.variables(ready.max_title, ready.max_text);
    variables.insert("priority", priority.into());
    variables.insert("to", of.channel.to.as_deref().unwrap_or_default().into());
    variables.insert("token", of.secrets.get("token").unwrap_or_default().into());
    let names = inner_names();
    let made = |text: &str| {
        let template = Template::parse(text, &names).map_err(|error| invalid(&error))?;
        template.render(&variables).ok_or_else(|| invalid("the message gets too long"))
    };
    let Call { path, body } = call;
    let base = of.secrets.get("url").or(ready.url).unwrap_or_default();
    let url = if path.is_empty() {
        base.to_owned()
    } else {
        format!("{}{}", base.trim_end_matches('/'), made(path)?)
    };
    let mut headers = vec![json()];
    if let Some((name, secret, text)) = ready.header
        && of.secrets.get(secret).is_some()
    {
        headers.push((name, made(text)?));
    }
    Ok(Request { method: ready.method, url, headers, body: made(body)?.into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::channel::Channel;
    use crate::alerts::channel::check::problems;
    use crate::alerts::channels::Origin;
    use serde_json::json;

    fn listed(text: &str) -> Listed {
        let mut channel: Channel = toml::from_str(&format!("name = \"a\"\n{text}")).unwrap();
        let secrets = channel.take_secrets();
        let problems = problems(&channel, &secrets);
        assert!(problems.is_empty(), "{text}: {problems:?}");
        Listed { channel, secrets, origin: Origin::Settings, problems, is_limited: false }
    }

    fn event(kind: &str) -> Payload {
        serde_json::from_value(json!({
            "event": kind, "episode": "e", "host": "0123", "rule": "disk-full", "labels": {}, "severity": "critical",
            "summary": "<!channel> \"/\" is full", "runbook": "", "at": "2026-01-01T00:12:00Z",
            "raised_at": "2026-01-01T00:00:00Z", "value": 95.5, "peak": 97.0, "flapping": false, "reason": null,
        }))
        .unwrap()
    }

    fn sent(text: &str, kind: &str) -> (String, String, Value, Vec<(&'static str, String)>) {
        let told = Message::of_rule("k/1", &[&event(kind)], None, &Place::default()).unwrap();
        let Ok(Outgoing::Http(request)) = message(&listed(text), told) else { panic!("{text}") };
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|error| panic!("{text}: {error}: {}", String::from_utf8_lossy(&request.body)));
        (request.method.to_owned(), request.url, body, request.headers)
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn every_ready_receiver_gets_its_form() {
        let (method, url, body, headers) = sent("kind = \"ntfy\"\nto = \"ops\"\ntoken = \"tk\"", "raised");
        assert_eq!((method.as_str(), url.as_str()), ("POST", "https://ntfy.sh"));
        assert_eq!((&body["topic"], &body["priority"]), (&json!("ops"), &json!(5)));
        assert_eq!(headers[1], ("authorization", "Bearer tk".to_owned()));
        assert_eq!(sent("kind = \"ntfy\"\nto = \"ops\"", "cleared").3.len(), 1, "no empty header");

        let (_, url, body, _) = sent("kind = \"slack\"\nurl = \"https://hooks.example/T0\"", "raised");
        assert_eq!(url, "https://hooks.example/T0");
        assert!(body["text"].as_str().unwrap().contains("&lt;!channel&gt; \"/\" is full"), "{body}");

        let (_, _, body, _) = sent("kind = \"discord\"\nurl = \"https://d.example/w\"", "raised");
        assert_eq!(body["allowed_mentions"]["parse"], json!([]));

        let (_, url, body, _) = sent("kind = \"telegram\"\nto = \"-5\"\ntoken = \"1:abc\"", "raised");
        assert_eq!(
            (url.as_str(), &body["chat_id"]),
            ("https://api.telegram.org/bot1:abc/sendMessage", &json!("-5"))
        );

        let matrix = "kind = \"matrix\"\nurl = \"https://m.example/\"\nto = \"!r:m.example\"\ntoken = \"t\"";
        let (method, url, ..) = sent(matrix, "raised");
        let path = "/_matrix/client/v3/rooms/%21r%3Am.example/send/m.room.message/k%2F1";
        assert_eq!((method, url), ("PUT".to_owned(), format!("https://m.example{path}")));

        for (kind, action, severity) in [
            ("raised", "trigger", json!("critical")),
            ("cleared", "resolve", Value::Null),
            ("acknowledged", "acknowledge", Value::Null),
        ] {
            let (_, _, body, _) = sent("kind = \"pagerduty\"\ntoken = \"r\"", kind);
            assert_eq!((&body["event_action"], &body["payload"]["severity"]), (&json!(action), &severity));
            assert_eq!(body["dedup_key"], "perfwatch:0123:disk-full");
        }
        let opsgenie = |kind| sent("kind = \"opsgenie\"\ntoken = \"g\"", kind).1;
        assert_eq!(opsgenie("raised"), "https://api.opsgenie.com/v2/alerts");
        let close = "/v2/alerts/perfwatch%3A0123%3Adisk-full/close?identifierType=alias";
        assert_eq!(opsgenie("cleared"), format!("https://api.opsgenie.com{close}"));

        let (_, url, body, headers) =
            sent("kind = \"gotify\"\nurl = \"https://g.example\"\ntoken = \"t\"", "raised");
        assert_eq!((url.as_str(), &body["priority"]), ("https://g.example/message", &json!(8)));
        assert_eq!(headers[1], ("x-gotify-key", "t".to_owned()));
        let (_, _, body, _) = sent("kind = \"pushover\"\nto = \"u\"\ntoken = \"t\"", "cleared");
        assert_eq!((&body["user"], &body["priority"]), (&json!("u"), &json!(-1)));
    }

    #[test]
    fn a_webhook_gets_what_its_template_makes() {
        let text = "kind = \"webhook\"\nurl = \"https://a.example\"\nkey = \"k\"\ntoken = \"t\"\n\
                    template = '{\"t\": {{ title | json }}, \"all\": {{ alerts | json }}}'";
        let (_, _, body, headers) = sent(text, "raised");
        assert_eq!((&body["all"][0]["value"], headers.len()), (&json!(95.5), 3));
        assert!(headers[1].1.starts_with("sha256="));
        // What gets too long is sent in the usual form.
        let long = format!(
            "kind = \"webhook\"\nurl = \"https://a.example\"\ntemplate = \"{}\"",
            "{{ text }}".repeat(1600)
        );
        let mut told = Message::of_rule("k", &[&event("raised")], None, &Place::default()).unwrap();
        told.text = "x".repeat(4000);
        let Ok(Outgoing::Http(request)) = message(&listed(&long), told) else { panic!() };
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["rule"], "disk-full");
    }
}
