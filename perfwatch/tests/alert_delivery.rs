//! Delivery of alerts to receivers that fail, hang, redirect, and ask to wait.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "support/readings.rs"]
mod readings;
#[path = "support/receiver.rs"]
mod receiver;

use std::sync::Arc;
use std::time::Duration;

use perfwatch::alerts::channel::{Channel, Secret};
use perfwatch::alerts::channels::Options;
use perfwatch::alerts::delivery::{Times, test};
use perfwatch::alerts::heartbeat::Heartbeat;
use perfwatch::snapshot::source::{Settings, SourceSettings, SourceStatus};
use perfwatch::snapshot::{MetricType, Snapshot};
use perfwatch::store::alerts::{Silence, StoredRule};
use serde_json::json;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use receiver::{HOST, Reaction, Receiver, Request, Setup, TIMES, event};

fn answer(status: &str) -> Reaction {
    Reaction::Answer(status.to_owned())
}

fn webhook(url: &str) -> String {
    format!("[[channel]]\nname = \"webhook\"\nkind = \"webhook\"\nurl = \"{url}\"\nkey = \"a key\"\n")
}

fn slack(name: &str, url: &str, more: &str) -> String {
    format!("[[channel]]\nname = \"{name}\"\nkind = \"slack\"\nurl = \"{url}\"\n{more}\n")
}

fn keys(request: &Request) -> Vec<String> {
    let events = request.1["events"].as_array().unwrap().iter();
    events.map(|event| event["key"].as_str().unwrap().to_owned()).collect()
}

fn text(request: &Request) -> String {
    request.1["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_receiver_that_fails_hangs_and_asks_to_wait_gets_everything_in_order() {
    let events = vec![event("e", "raised", "warning", 1), event("e", "cleared", "warning", 9)];
    let wanted: Vec<String> = events.iter().map(|event| event.key.clone()).collect();
    let receiver = Receiver::start(&[
        Reaction::Close,
        answer("500 Internal Server Error"),
        Reaction::Hang,
        answer("429 Too Many Requests\r\nRetry-After: 1"),
    ])
    .await;
    let setup = Setup::new(&webhook(&receiver.url)).await;
    setup.happened(events).await;
    let since = std::time::Instant::now();
    setup.deliver().await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4, "once more after each failure, and not again");
    assert!(requests.iter().all(|request| keys(request) == wanted));
    assert!(requests[0].0.contains("x-perfwatch-signature: sha256="), "{}", requests[0].0);
    assert!(since.elapsed() >= Duration::from_secs(1), "it was asked to wait that long");
    assert_eq!(requests[0].1["events"][0]["summary"], "/e is full");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let inside = Receiver::start(&[]).await;
    let receiver = Receiver::start(&[answer(&format!("302 Found\r\nLocation: {}", inside.url))]).await;
    let setup = Setup::new(&webhook(&receiver.url)).await;
    setup.happened(vec![event("e", "raised", "warning", 1)]).await;
    setup.deliver().await;
    assert_eq!((receiver.requests().len(), inside.requests().len()), (2, 0));
}

#[tokio::test]
async fn a_destination_that_is_down_holds_no_other_up_and_a_restart_doubles_nothing() {
    let receiver = Receiver::start(&[]).await;
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let alertmanager =
        |base: &str| format!("[[channel]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"{base}\"\n");
    let down = format!("{}{}", webhook(&receiver.url), alertmanager(&format!("http://{port}")));
    let mut setup = Setup::new(&down).await;
    setup
        .happened(vec![
            event("e", "raised", "warning", 1),
            event("e", "severity_changed", "critical", 5),
            event("e", "acknowledged", "critical", 6),
            event("e", "cleared", "critical", 9),
        ])
        .await;
    let delivering = setup.delivering(TIMES);
    receiver.until("request", |requests| !requests.is_empty()).await;
    while setup.store.due_channels(Some(HOST)).await.unwrap() != ["am"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Killed, and started again when Alertmanager is there.
    delivering.abort();
    let there = Receiver::start(&[]).await;
    setup.again(&format!("{}{}", webhook(&receiver.url), alertmanager(there.base()))).await;
    setup.deliver().await;
    assert_eq!(receiver.requests().len(), 1, "it has it already");
    let requests = there.requests();
    assert!(requests[0].0.starts_with("post /api/v2/alerts "), "{}", requests[0].0);
    let told: Vec<(&str, &str)> = requests[0]
        .1
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| (alert["labels"]["severity"].as_str().unwrap(), alert["endsAt"].as_str().unwrap()))
        .collect();
    let severities: Vec<&str> = told.iter().map(|(severity, _)| *severity).collect();
    assert_eq!(severities, ["warning", "warning", "critical", "critical"]);
    assert_eq!((told[1].1, told[3].1), ("2026-01-01T00:00:05Z", "2026-01-01T00:00:09Z"));
    let now = perfwatch::snapshot::rfc3339(OffsetDateTime::now_utc());
    assert!(told[0].1 > now.as_str() && told[2].1 > now.as_str(), "what is raised lasts a while: {told:?}");
    let labels = &requests[0].1[0]["labels"];
    assert_eq!((&labels["alertname"], &labels["mountpoint"]), (&json!("disk-full"), &json!("/e")));
}

#[tokio::test]
async fn of_what_is_silenced_neither_the_beginning_nor_the_end_is_told() {
    let receiver = Receiver::start(&[]).await;
    let setup = Setup::new(&webhook(&receiver.url)).await;
    let silence = Silence {
        id: 0,
        rule: Some("disk-*".into()),
        labels: json!({"mountpoint": "/silent"}).to_string(),
        author: "ann".into(),
        reason: "new disk".into(),
        created_at: 0,
        ends_at: i64::MAX,
    };
    setup.store.add_silence(&silence).await.unwrap();
    let both = ["silent", "loud"].map(|episode| event(episode, "raised", "warning", 1));
    setup.happened(both.to_vec()).await;
    setup.deliver().await;
    let ends = ["silent", "loud"].map(|episode| event(episode, "cleared", "warning", 9));
    setup.happened(ends.to_vec()).await;
    setup.deliver().await;
    let told: Vec<String> = receiver.requests().iter().flat_map(keys).collect();
    assert_eq!(told, ["loud:raised:1", "loud:cleared:9"]);
}

/// Evaluates rules on the CPU usage that it is given.
struct Machine {
    running: perfwatch::alerts::service::Running,
    at: OffsetDateTime,
}

impl Machine {
    async fn start(setup: &Setup) -> Self {
        let rule = json!({"name": "busy", "summary": "CPU at {value}", "field": "cpu.usage_percent",
            "warning": {"above": 50}, "critical": {"above": 90}});
        let (name, updated_by) = ("busy".to_owned(), "ann".to_owned());
        let rule = StoredRule { name, definition: rule.to_string(), updated_by, updated_at: 1 };
        setup.store.put_alert_rules(&[rule]).await.unwrap();
        Self { running: setup.alerts.spawn(SourceStatus::default()), at: OffsetDateTime::now_utc() }
    }

    /// Uses so much until something is so.
    async fn uses(&mut self, percent: f64, until: impl AsyncFn() -> bool) {
        for _ in 0..3000 {
            self.at += Duration::from_secs(1);
            let reading = readings::reading(MetricType::Cpu, self.at, &json!({"usage_percent": percent}));
            self.running.submitter().submit(&Arc::new(Snapshot::new(self.at, vec![reading])));
            if until().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it is never so at {percent} %");
    }
}

/// What is withheld says this.
async fn is_withheld(setup: &Setup, text: &str) -> bool {
    let withheld = setup.store.withheld_events(Some(HOST)).await.unwrap();
    withheld.iter().any(|one| one.payload.contains(text))
}

#[tokio::test]
async fn what_is_still_raised_when_its_silence_ends_is_told_then_and_its_end_to_the_same() {
    let (all, night, others) =
        (Receiver::start(&[]).await, Receiver::start(&[]).await, Receiver::start(&[]).await);
    let channels = slack("all", &all.url, "")
        + &slack("night", &night.url, "severity = \"critical\"")
        + &slack("others", &others.url, "rules = \"disk-*\"");
    let mut setup = Setup::new(&channels).await;
    let silence = |ends_at| Silence {
        id: 0,
        rule: Some("busy".into()),
        labels: "{}".into(),
        author: "ann".into(),
        reason: "load test".into(),
        created_at: 0,
        ends_at,
    };
    let first = setup.store.add_silence(&silence(i64::MAX)).await.unwrap();
    let second = setup.store.add_silence(&silence(i64::MAX)).await.unwrap();
    let mut machine = Machine::start(&setup).await;
    let delivering = setup.delivering(TIMES);
    machine.uses(70.0, async || is_withheld(&setup, "\"severity\":\"warning\"").await).await;
    machine.uses(95.0, async || is_withheld(&setup, "\"severity\":\"critical\"").await).await;
    // Another silence still applies.
    assert!(setup.store.end_silence(first.id, 1).await.unwrap());
    setup.happened(vec![event("e", "raised", "warning", 1)]).await;
    others.until("message of another rule", |requests| requests.len() == 1).await;
    all.until("message of another rule", |requests| requests.len() == 1).await;
    assert_eq!(night.requests().len(), 0);

    assert!(setup.store.end_silence(second.id, 1).await.unwrap());
    let told = all.until("message", |requests| requests.len() == 2).await;
    let told = text(&told[1]);
    assert!(told.starts_with("[critical] busy on 0123abcd: CPU at 95.0 %\n"), "{told}");
    assert!(told.contains("; critical since ") && told.contains("(it was silenced until now)"), "{told}");
    night.until("message", |requests| requests.len() == 1).await;

    // What has arrived may not be noted yet, and would be sent again.
    while !setup.store.due_channels(Some(HOST)).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The routes change meanwhile; the end goes to whom it was told.
    delivering.abort();
    let Machine { running, at } = machine;
    running.close().await;
    setup.again(&channels.replace("disk-*", "*").replace("critical", "warning")).await;
    machine = Machine { running: setup.alerts.spawn(SourceStatus::default()), at };
    let delivering = setup.delivering(TIMES);
    machine.uses(1.0, async || all.requests().len() == 3).await;
    let told = all.requests();
    assert!(text(&told[2]).starts_with("[resolved] busy on"), "{}", text(&told[2]));
    night.until("end", |requests| requests.len() == 2).await;
    assert_eq!(others.requests().len(), 1);

    // What ends while it is silenced is never told.
    let third = setup.store.add_silence(&silence(i64::MAX)).await.unwrap();
    machine.uses(70.0, async || is_withheld(&setup, "\"severity\":\"warning\"").await).await;
    let open = async || setup.store.open_episodes(&[HOST.to_owned()]).await.unwrap();
    machine.uses(1.0, async || open().await.iter().all(|episode| episode.rule != "busy")).await;
    assert_eq!(setup.store.withheld_events(Some(HOST)).await.unwrap(), []);
    assert!(setup.store.end_silence(third.id, 1).await.unwrap());
    setup.happened(vec![event("f", "raised", "critical", 2)]).await;
    let told = all.until("message of another rule", |requests| requests.len() == 4).await;
    assert!(text(&told[3]).contains("/f is full"), "{}", text(&told[3]));
    delivering.abort();
    machine.running.close().await;
}

#[tokio::test]
async fn the_end_goes_to_the_same_places_whatever_the_routes_are_then() {
    let (critical, all) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let channels = |least: &str, rules: &str| {
        let first = slack("critical", &critical.url, &format!("severity = \"{least}\""));
        first + &slack("all", &all.url, &format!("rules = \"{rules}\""))
    };
    let mut setup = Setup::new(&channels("critical", "disk-*")).await;
    setup.happened(vec![event("e", "raised", "warning", 1)]).await;
    setup.deliver().await;
    assert_eq!((critical.requests().len(), all.requests().len()), (0, 1));
    // Both routes change to their contrary.
    setup.again(&channels("warning", "cpu-*")).await;
    setup.happened(vec![event("e", "cleared", "warning", 9)]).await;
    setup.deliver().await;
    assert_eq!((critical.requests().len(), all.requests().len()), (0, 2));
    assert!(text(&all.requests()[1]).starts_with("[resolved] disk-full on"), "{}", text(&all.requests()[1]));
}

#[tokio::test]
async fn forty_alerts_of_a_rule_are_one_message() {
    let receiver = Receiver::start(&[]).await;
    let setup = Setup::new(&slack("chat", &receiver.url, "")).await;
    setup.happened((0..40).map(|n| event(&format!("e{n}"), "raised", "warning", 1)).collect()).await;
    setup.deliver().await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let text = text(&requests[0]);
    assert!(text.starts_with("[warning] disk-full on 0123abcd: 40 alerts\n• /e0 is full: 95.0 %, 5.0 % above the level of 90.0 %"), "{text}");
    assert!(text.contains("\nand 20 more\n"), "{text}");
}

#[tokio::test]
async fn what_a_limit_holds_back_is_told_together() {
    let receiver = Receiver::start(&[]).await;
    // One at once; the next when a quarter of the hour is over.
    let setup = Setup::new(&slack("chat", &receiver.url, "max_per_hour = 4")).await;
    let delivering = setup.delivering(Times { hour: Duration::from_secs(8), ..TIMES });
    setup.happened(vec![event("a", "raised", "warning", 1)]).await;
    receiver.until("first message", |requests| requests.len() == 1).await;
    setup.happened(vec![event("b", "raised", "warning", 2)]).await;
    let is_held = || setup.alerts.channels().health().get("chat").is_some_and(|health| health.is_held);
    while !is_held() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    setup.happened(vec![event("a", "cleared", "warning", 3), event("c", "raised", "warning", 4)]).await;
    let requests = receiver.until("summary", |requests| requests.len() == 2).await;
    let text = text(&requests[1]);
    assert!(text.starts_with("[summary] 0123abcd: 3 events of 1 rules\n"), "{text}");
    assert!(text.contains("disk-full: 2 raised, 1 cleared, 2 of these still raised"), "{text}");
    delivering.abort();
}

#[tokio::test]
async fn a_message_that_is_not_taken_is_given_up_and_others_follow() {
    let refused = "400 Bad Request\r\n\r\ninvalid_blocks";
    let receiver = Receiver::start(&[answer(refused), answer(refused), answer(refused)]).await;
    let setup = Setup::new(&slack("chat", &receiver.url, "")).await;
    setup.happened(vec![event("a", "raised", "warning", 1)]).await;
    setup.deliver().await;
    setup.happened(vec![event("b", "raised", "warning", 2)]).await;
    setup.deliver().await;
    let texts: Vec<String> = receiver.requests().iter().map(text).collect();
    assert_eq!(texts.len(), 4);
    assert!(
        texts[..3].iter().all(|text| text.contains("/a is full")) && texts[3].contains("/b is full"),
        "{texts:?}"
    );
}

#[tokio::test]
async fn an_incident_ends_with_the_last_alert_of_its_rule() {
    let receiver = Receiver::start(&[]).await;
    let pager = format!(
        "[[channel]]\nname = \"pager\"\nkind = \"pagerduty\"\ntoken = \"r\"\nurl = \"{}\"\n",
        receiver.base()
    );
    let setup = Setup::new(&pager).await;
    setup.happened(vec![event("a", "raised", "warning", 1), event("b", "raised", "critical", 2)]).await;
    setup.deliver().await;
    setup.happened(vec![event("a", "cleared", "warning", 3)]).await;
    setup.deliver().await;
    assert_eq!(receiver.requests().len(), 1, "b is still raised");
    setup.happened(vec![event("b", "cleared", "critical", 4)]).await;
    setup.deliver().await;
    let requests = receiver.requests();
    let of = |n: usize| (requests[n].1["event_action"].clone(), requests[n].1["dedup_key"].clone());
    let incident = json!("perfwatch:0123abcd:disk-full");
    assert_eq!(requests.len(), 2);
    assert_eq!((of(0), of(1)), ((json!("trigger"), incident.clone()), (json!("resolve"), incident)));
    assert_eq!(requests[0].1["payload"]["severity"], "critical");
}

/// Makes a channel as the API does.
async fn stored(setup: &Setup, text: &str) {
    let mut channel: Channel = toml::from_str(text).unwrap();
    let secrets = channel.take_secrets();
    let sealed = setup.alerts.channels().sealed(&channel, &secrets, "ann", 1).unwrap();
    setup.store.put_alert_channel(&sealed).await.unwrap();
    setup.alerts.reload_channels().await.unwrap();
}

async fn tested(setup: &Setup, name: &str) -> test::Tested {
    let listed = setup.alerts.channels().listed().unwrap();
    test::run(&setup.alerts, listed.iter().find(|of| of.channel.name == name).unwrap()).await
}

#[tokio::test]
async fn channels_of_the_api_reach_no_private_address_unless_allowed() {
    let receiver = Receiver::start(&[]).await;
    let port = receiver.base().rsplit(':').next().unwrap().to_owned();
    for allow_private in [false, true] {
        let setup = Setup::with("", Options { allow_private, ..Options::default() }).await;
        // By address, and by a name that resolves to one.
        for (kind, host) in [("http", "127.0.0.1"), ("http", "localhost"), ("http", "[::ffff:127.0.0.1]")] {
            stored(&setup, &format!("name = \"a\"\nkind = \"slack\"\nurl = \"{kind}://{host}:{port}/hook\""))
                .await;
            let tested = tested(&setup, "a").await;
            assert_eq!(tested.is_delivered, allow_private, "{host}: {:?}", tested.conversation);
            assert!(
                allow_private || tested.conversation.concat().contains("private network"),
                "{:?}",
                tested.conversation
            );
        }
        let mail = "kind = \"email\"\nto = \"a@example.org\"\nfrom = \"b@example.org\"";
        stored(&setup, &format!("name = \"m\"\n{mail}\nurl = \"smtp+plain://localhost:{port}\"")).await;
        let said = tested(&setup, "m").await.conversation.concat();
        assert_eq!(said.contains("private network"), !allow_private, "{said}");
    }
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn a_test_tells_the_conversation_without_secrets() {
    let receiver =
        Receiver::start(&[answer("404 Not Found\r\n\r\nno such hook: /hook/hunter22\nask token-1234")]).await;
    let setup = Setup::new(&format!(
        "[[channel]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"{}/hunter22\"\ntoken = \"token-1234\"\n",
        receiver.url
    ))
    .await;
    let failed = tested(&setup, "a").await;
    assert!(!failed.is_delivered);
    let said = failed.conversation.join("\n");
    assert!(said.contains(&format!("> POST {}/", receiver.base())), "{said}");
    assert!(said.contains("< HTTP/1.1 404 Not Found\n< no such hook: /•••\n< ask •••"), "{said}");
    assert!(!said.contains("hunter22") && !said.contains("token-1234"), "{said}");
    let passed = tested(&setup, "a").await;
    assert!(passed.is_delivered, "{:?}", passed.conversation);
    let (head, body) = receiver.requests()[1].clone();
    assert!(head.contains("authorization: bearer token-1234"), "{head}");
    assert_eq!((&body["test"], &body["events"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_named() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let tls = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await;
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let setup = Setup::new(&slack("a", &url, "")).await;
    let failed = tested(&setup, "a").await;
    assert!(
        !failed.is_delivered && failed.conversation.concat().contains("certificate"),
        "{:?}",
        failed.conversation
    );
    let certificates = vec![made.cert.der().clone()];
    let setup = Setup::with(&slack("a", &url, ""), Options { certificates, ..Options::default() }).await;
    let passed = tested(&setup, "a").await;
    assert!(passed.is_delivered, "{:?}", passed.conversation);
    serving.abort();
}

#[tokio::test]
async fn the_heartbeat_goes_while_rules_are_evaluated_and_the_store_responds() {
    let receiver = Receiver::start(&[]).await;
    let setup = Setup::new("").await;
    let (_keep, settings) = tokio::sync::watch::channel(Settings {
        interval: Duration::from_secs(5),
        sources: SourceSettings::default(),
    });
    let interval = Duration::from_millis(20);
    let beating =
        Heartbeat { url: Secret::new(receiver.url.clone()), interval, settings }.spawn(setup.alerts.clone());
    tokio::time::sleep(5 * interval).await;
    assert!(receiver.requests().is_empty(), "nothing was evaluated yet");
    let running = setup.alerts.spawn(SourceStatus::default());
    let at = OffsetDateTime::now_utc();
    let reading = readings::reading(MetricType::Cpu, at, &json!({"usage_percent": 1.0}));
    running.submitter().submit(&Arc::new(Snapshot::new(at, vec![reading])));
    let requests = receiver.until("heartbeat", |requests| requests.len() > 2).await;
    assert!(requests[0].0.starts_with("get /hook "), "{}", requests[0].0);
    setup.store.close().await;
    // One may be on its way.
    let mut before = receiver.requests().len();
    loop {
        tokio::time::sleep(10 * interval).await;
        let now = receiver.requests().len();
        if now == before {
            break;
        }
        assert!(now <= before + 2, "it does not stop");
        before = now;
    }
    beating.abort();
    running.close().await;
}
