//! Rules, alerts, acknowledging, silences, preview.

use std::time::Duration;

use perfwatch::api::Options;
use perfwatch::snapshot::MetricType;
use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{start, start_with};
use crate::server::{Server, Setup, body, detail, places};

/// A rule on the CPU usage of the snapshots that [`Server::publish`] makes.
pub(super) fn rule(name: &str, above: f64) -> Value {
    json!({
        "name": name, "summary": "busy: {value}", "field": "cpu.usage_percent",
        "warning": {"above": above, "clear": above - 10.0},
    })
}

pub(super) async fn put(server: &Server, token: &str, rule: &Value) -> reqwest::Response {
    let path = format!("/api/alerts/rules/{}", rule["name"].as_str().unwrap());
    server.send_as(token, Method::PUT, &path, rule).await
}

/// Asks until the answer is as wanted: evaluating is beside the tick.
async fn until(server: &Server, token: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..500 {
        let answer = body(server.get_as(token, path).await, 200).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never is as wanted");
}

pub(super) fn count(answer: &Value, list: &str) -> usize {
    answer[list].as_array().unwrap().len()
}

pub(super) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// Publishes a usage at a second.
pub(super) fn publish(server: &Server, at: i64, usage: f64) {
    let at = OffsetDateTime::from_unix_timestamp(at).unwrap();
    let reading = crate::readings::reading(MetricType::Cpu, at, &json!({"usage_percent": usage}));
    server.publish_snapshot(&std::sync::Arc::new(perfwatch::snapshot::Snapshot::new(at, vec![reading])));
}

#[tokio::test]
async fn an_alert_is_raised_acknowledged_and_cleared() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let made = body(put(&server, &token, &rule("busy", 50.0)).await, 201).await;
    assert_eq!((&made["origin"], &made["updated_by"], &made["unit"]), (&json!("api"), &json!("admin"), &json!("%")));
    let at = now();
    publish(&server, at, 90.0);
    let raised = until(&server, &token, "/api/alerts", |answer| !answer["alerts"][0]["episode"].is_null()).await;
    let alert = &raised["alerts"][0];
    assert_eq!((&alert["rule"], &alert["state"], &alert["severity"]), (&json!("busy"), &json!("firing"), &json!("warning")));
    assert_eq!((&alert["summary"], &alert["value"]), (&json!("busy: 90.0 %"), &json!(90.0)));
    let metrics = server.get_as(&token, "/metrics").await.text().await.unwrap();
    assert!(metrics.contains("perfwatch_alert_state{rule=\"busy\"} 2\n"), "{metrics}");

    let path = format!("/api/alerts/{}/acknowledge", alert["episode"]["id"].as_str().unwrap());
    body(server.send_as(&token, Method::POST, &path, &json!({"note": "a build"})).await, 200).await;
    let again = server.send_as(&token, Method::POST, &path, &json!({})).await;
    assert!(detail(again, 409).await.contains("acknowledged it already"));
    let unknown = server.send_as(&token, Method::POST, "/api/alerts/none/acknowledge", &json!({})).await;
    assert_eq!(detail(unknown, 404).await, "Not found");

    publish(&server, at + 5, 10.0);
    until(&server, &token, "/api/alerts", |answer| count(answer, "alerts") == 0).await;
    let past = until(&server, &token, "/api/alerts/history?rule=busy", |answer| {
        !answer["episodes"][0]["cleared_at"].is_null()
    })
    .await;
    let episode = &past["episodes"][0];
    assert_eq!((&episode["acknowledged_by"], &episode["note"]), (&json!("admin"), &json!("a build")));
    assert_eq!((&episode["peak"], count(&past, "episodes")), (&json!(90.0), 1));
    // All of it was queued for delivery, in order.
    let host = server.history.host();
    let queued = server.store.unrouted_events(Some(host), 9).await.unwrap();
    let kinds: Vec<&str> = queued.iter().map(|queued| queued.event.kind.as_str()).collect();
    assert_eq!(kinds, ["raised", "acknowledged", "cleared"]);
    let rules = body(server.get_as(&token, "/api/alerts/rules").await, 200).await;
    let busy = rules["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == "busy").unwrap();
    assert_eq!((&busy["state"], &busy["raised"], &busy["acknowledged"]), (&json!("ok"), &json!(1), &json!(1)));
}

#[tokio::test]
async fn what_is_raised_survives_a_restart_and_is_not_raised_again() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    body(put(&server, &token, &rule("busy", 50.0)).await, 201).await;
    let at = now();
    publish(&server, at, 90.0);
    until(&server, &token, "/api/alerts/history", |answer| count(answer, "episodes") == 1).await;
    let other = server.restarted(Setup { admin: None, ..Setup::default() }).await;
    server.alerting.close().await;
    publish(&other, at + 5, 95.0);
    let alerts = until(&other, &token, "/api/alerts", |answer| count(answer, "alerts") == 1).await;
    let since = alerts["alerts"][0]["episode"]["raised_at"].as_str().unwrap().to_owned();
    assert_eq!(alerts["alerts"][0]["since"], json!(since));
    // Switching the rule off clears it.
    let mut off = rule("busy", 50.0);
    off["off"] = json!(true);
    body(put(&other, &token, &off).await, 200).await;
    publish(&other, at + 10, 95.0);
    let past = until(&other, &token, "/api/alerts/history", |answer| {
        !answer["episodes"][0]["cleared_at"].is_null()
    })
    .await;
    assert_eq!((count(&past, "episodes"), past["episodes"][0]["peak"].as_f64()), (1, Some(95.0)));
    assert_eq!(past["episodes"][0]["reason"], "The rule was removed or switched off");
}

#[tokio::test]
async fn stock_rules_are_replaced_and_come_back_and_files_are_locked() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let find = async |name: &str| {
        let rules = until(&server, &token, "/api/alerts/rules", |answer| count(answer, "rules") > 0).await;
        rules["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == name).cloned().unwrap()
    };
    assert_eq!(find("oom-kill").await["origin"], "stock");
    let stock = server.send_as(&token, Method::DELETE, "/api/alerts/rules/oom-kill", &json!({})).await;
    assert!(detail(stock, 409).await.contains("off = true"));
    let mine = rule("oom-kill", 99.0);
    let made = body(put(&server, &token, &mine).await, 201).await;
    assert_eq!(made["replaces_stock"], true);
    body(server.send_as(&token, Method::DELETE, "/api/alerts/rules/oom-kill", &json!({})).await, 200).await;
    assert_eq!(find("oom-kill").await["origin"], "stock");

    let dir = server.data.path().join("alerts.d");
    std::fs::create_dir(&dir).unwrap();
    let text = "off = [\"swap-storm\"]\n\n[[rule]]\nname = \"mine\"\nfield = \"cpu.usage_percent\"\nwarning = { above = 90 }\n";
    std::fs::write(dir.join("a.toml"), text).unwrap();
    std::fs::write(dir.join("b.toml"), "[[rule]]\nname = 5\n").unwrap();
    server.alerts.reload().await.unwrap();
    let listed = find("mine").await;
    assert_eq!(listed["origin"], "file");
    assert!(listed["place"].as_str().unwrap().ends_with("a.toml:3"), "{listed}");
    assert_eq!(find("swap-storm").await["off"], true);
    let problems = body(server.get_as(&token, "/api/alerts/rules").await, 200).await["problems"].clone();
    assert!(problems[0].as_str().unwrap().contains("b.toml:2: "), "{problems}");
    let refused = detail(put(&server, &token, &rule("mine", 50.0)).await, 409).await;
    assert!(refused.contains("a.toml, line 3; change it there"), "{refused}");
    let refused = server.send_as(&token, Method::DELETE, "/api/alerts/rules/mine", &json!({})).await;
    assert_eq!(refused.status(), 409);
}

#[tokio::test]
async fn rules_that_cannot_be_are_refused_with_what_to_do() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let mut wrong = rule("x", 50.0);
    wrong["field"] = json!("cpu.usage_percentage");
    let answer = body(put(&server, &token, &wrong).await, 422).await;
    assert_eq!(answer["detail"][0]["loc"], json!(["body", "field"]));
    assert!(answer["detail"][0]["msg"].as_str().unwrap().contains("did you mean cpu.usage_percent?"));
    let mut unknown = rule("x", 50.0);
    unknown["treshold"] = json!(5);
    let answer = body(put(&server, &token, &unknown).await, 422).await;
    assert!(answer["detail"][0]["msg"].as_str().unwrap().contains("unknown field `treshold`"), "{answer}");
    let mut late = rule("x", 50.0);
    late["for"] = json!("soon");
    assert_eq!(places(put(&server, &token, &late).await).await, ["body.for"]);
    let other = server.send_as(&token, Method::PUT, "/api/alerts/rules/y", &rule("x", 50.0)).await;
    assert_eq!(places(other).await, ["body.name"]);
    let none = server.send_as(&token, Method::DELETE, "/api/alerts/rules/none", &json!({})).await;
    assert_eq!(none.status(), 404);
    let preview = json!({"rule": wrong, "range": "3d"});
    let answer = server.send_as(&token, Method::POST, "/api/alerts/preview", &preview).await;
    assert_eq!(places(answer).await, ["body.rule.field"]);
    let preview = json!({"rule": rule("x", 50.0), "range": "400d"});
    let answer = server.send_as(&token, Method::POST, "/api/alerts/preview", &preview).await;
    assert_eq!(places(answer).await, ["body.range"]);
}

#[tokio::test]
async fn a_preview_says_when_it_would_have_been_raised() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let start = now() - 3600;
    for n in 0..120 {
        let at = OffsetDateTime::from_unix_timestamp(start + n * 10).unwrap();
        let usage = if (40..80).contains(&n) { 90.0 } else { 10.0 };
        let reading = crate::readings::reading(MetricType::Cpu, at, &json!({"usage_percent": usage}));
        let snapshot = std::sync::Arc::new(perfwatch::snapshot::Snapshot::new(at, vec![reading]));
        server.writer.submit_waiting(snapshot).await;
    }
    server.writer.drained().await;
    let asked = json!({"rule": rule("busy", 50.0), "range": "1d"});
    let answer = body(server.send_as(&token, Method::POST, "/api/alerts/preview", &asked).await, 200).await;
    assert_eq!((&answer["raised"], &answer["has_data"], &answer["interval"]), (&json!(1), &json!(true), &json!("1m")));
    let firing = answer["firing_seconds"].as_i64().unwrap();
    assert!((300..=480).contains(&firing), "{answer}");
    assert_eq!(answer["episodes"][0]["peak"], 90.0);
    assert_eq!((&answer["unit"], &answer["spacing_seconds"]), (&json!("%"), &json!(240)));
    let values = answer["courses"][0]["values"].as_array().unwrap();
    assert!(values.iter().any(|value| *value == json!(90.0)), "{values:?}");
}

#[tokio::test]
async fn silences_come_with_a_reason_and_an_end() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let post = async |silence: Value| server.send_as(&token, Method::POST, "/api/alerts/silences", &silence).await;
    let end = now() + 3600;
    let good = json!({"rule": "bus*", "reason": "a long build", "ends_at": end.to_string()});
    let made = body(post(good.clone()).await, 201).await;
    assert_eq!((&made["author"], &made["rule"]), (&json!("admin"), &json!("bus*")));
    for (key, value, place) in [
        ("reason", json!(" "), "body.reason"),
        ("ends_at", json!("2020-01-01"), "body.ends_at"),
        ("ends_at", json!("2200-01-01"), "body.ends_at"),
        ("labels", json!({"a": "x\ny"}), "body.labels"),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert_eq!(places(post(bad).await).await, [place]);
    }
    body(put(&server, &token, &rule("busy", 50.0)).await, 201).await;
    publish(&server, now(), 90.0);
    let alerts = until(&server, &token, "/api/alerts", |answer| count(answer, "alerts") == 1).await;
    assert_eq!(alerts["alerts"][0]["silenced_by"], made["id"]);
    let path = format!("/api/alerts/silences/{}", made["id"]);
    body(server.send_as(&token, Method::DELETE, &path, &json!({})).await, 200).await;
    assert_eq!(server.send_as(&token, Method::DELETE, &path, &json!({})).await.status(), 404);
    assert_eq!(count(&body(server.get_as(&token, "/api/alerts/silences").await, 200).await, "silences"), 0);
    // Who did what is known.
    let audit = body(server.get_as(&token, "/api/audit").await, 200).await;
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..3], ["silence_ended", "alert_rule_changed", "alerts_silenced"]);
}

/// A channel that nobody answers.
fn channel(name: &str) -> Value {
    json!({"name": name, "kind": "webhook", "url": "http://192.0.2.1/T0/hunter22", "key": "signing-key"})
}

async fn put_channel(server: &Server, token: &str, channel: &Value) -> reqwest::Response {
    let path = format!("/api/alerts/channels/{}", channel["name"].as_str().unwrap());
    server.send_as(token, Method::PUT, &path, channel).await
}

#[tokio::test]
async fn a_channels_secrets_are_kept_sealed_and_never_sent_back() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let made = body(put_channel(&server, &token, &channel("hook")).await, 201).await;
    assert_eq!((&made["secrets"], &made["origin"]), (&json!(["url", "key"]), &json!("api")));
    assert_eq!(made["destination"], "http://192.0.2.1");
    // Without secrets they stay; with another URL they do not.
    let change = json!({"name": "hook", "kind": "webhook", "severity": "critical"});
    let changed = body(put_channel(&server, &token, &change).await, 200).await;
    assert_eq!((&changed["secrets"], &changed["severity"]), (&json!(["url", "key"]), &json!("critical")));
    let moved = json!({"name": "hook", "kind": "webhook", "url": "https://elsewhere.example/"});
    let moved = body(put_channel(&server, &token, &moved).await, 200).await;
    assert_eq!(moved["secrets"], json!(["url"]));
    let other_kind = json!({"name": "hook", "kind": "slack"});
    assert_eq!(places(put_channel(&server, &token, &other_kind).await).await, ["body.url"]);

    body(put_channel(&server, &token, &channel("hook")).await, 200).await;
    for path in ["/api/alerts/channels", "/api/audit"] {
        let answer = body(server.get_as(&token, path).await, 200).await.to_string();
        assert!(!answer.contains("hunter22") && !answer.contains("signing-key"), "{answer}");
    }
    let stored = server.store.alert_channels().await.unwrap();
    assert!(!format!("{}{}", stored[0].definition, stored[0].secrets).contains("hunter22"));
    let delete = async || server.send_as(&token, Method::DELETE, "/api/alerts/channels/hook", &json!({})).await;
    body(delete().await, 200).await;
    assert_eq!(delete().await.status(), 404);
    let audit = body(server.get_as(&token, "/api/audit").await, 200).await;
    assert_eq!(audit["entries"][0]["action"], "alert_channel_deleted");
}

#[tokio::test]
async fn channels_that_cannot_be_are_refused_and_those_of_files_are_locked() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    for (key, value, place) in [
        ("kind", json!("pigeon"), "body.kind"),
        ("url", json!("hunter22"), "body.url"),
        ("url", json!(5), "body.url"),
        ("tokn", json!("hunter22"), "body.tokn"),
        ("template", json!("{{ everything }}"), "body.template"),
        ("key_file", json!("/etc/shadow"), "body.key_file"),
        ("max_per_hour", json!(0), "body.max_per_hour"),
        ("name", json!("other"), "body.name"),
    ] {
        let mut bad = channel("hook");
        bad[key] = value;
        let path = "/api/alerts/channels/hook";
        let answer = body(server.send_as(&token, Method::PUT, path, &bad).await, 422).await;
        let loc: Vec<&str> = answer["detail"][0]["loc"].as_array().unwrap().iter().map(|at| at.as_str().unwrap()).collect();
        assert_eq!(loc.join("."), place, "{answer}");
        assert!(!answer.to_string().contains("hunter22"), "{answer}");
    }
    let dir = server.data.path().join("alerts.d");
    std::fs::create_dir(&dir).unwrap();
    let text = "[[channel]]\nname = \"mine\"\nkind = \"slack\"\nurl = \"https://hooks.example/hunter22\"\n";
    std::fs::write(dir.join("a.toml"), text).unwrap();
    server.alerts.reload().await.unwrap();
    let listed = body(server.get_as(&token, "/api/alerts/channels").await, 200).await;
    assert_eq!((&listed["channels"][0]["origin"], count(&listed, "channels")), (&json!("file"), 1));
    assert!(!listed.to_string().contains("hunter22"));
    let refused = detail(put_channel(&server, &token, &channel("mine")).await, 409).await;
    assert!(refused.contains("a.toml, line 1; change it there"), "{refused}");
    let refused = server.send_as(&token, Method::DELETE, "/api/alerts/channels/mine", &json!({})).await;
    assert_eq!(refused.status(), 409);
}

#[tokio::test]
async fn a_channel_is_tested_and_must_not_reach_this_network() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let mut inside = channel("hook");
    inside["url"] = json!(format!("http://{}/hunter22", server.address));
    body(put_channel(&server, &token, &inside).await, 201).await;
    let path = "/api/alerts/channels/hook/test";
    let tested = body(server.send_as(&token, Method::POST, path, &json!({})).await, 200).await;
    assert_eq!(tested["delivered"], false);
    let said = tested["conversation"].to_string();
    assert!(said.contains("private network") && !said.contains("hunter22"), "{said}");
    let unknown = server.send_as(&token, Method::POST, "/api/alerts/channels/none/test", &json!({})).await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn viewers_acknowledge_if_they_may() {
    let options = Options { viewers_acknowledge: true, ..Options::default() };
    let Some(server) = start_with(Setup { options, ..Setup::default() }).await else { return };
    let admin = server.token().await;
    server.add_user("eve", "viewer").await;
    let token = server.token_of("eve").await;
    body(put(&server, &admin, &rule("busy", 50.0)).await, 201).await;
    publish(&server, now(), 90.0);
    let raised = until(&server, &token, "/api/alerts", |answer| !answer["alerts"][0]["episode"].is_null()).await;
    assert_eq!(raised["may_acknowledge"], true);
    let path = format!("/api/alerts/{}/acknowledge", raised["alerts"][0]["episode"]["id"].as_str().unwrap());
    body(server.send_as(&token, Method::POST, &path, &json!({})).await, 200).await;
    let raised = body(server.get_as(&token, "/api/alerts").await, 200).await;
    assert_eq!(raised["alerts"][0]["episode"]["acknowledged_by"], "eve");
    assert_eq!(put(&server, &token, &rule("x", 50.0)).await.status(), 403);
}

#[tokio::test]
async fn viewers_read_and_change_nothing() {
    let Some(server) = start_with(Setup { attempts_per_minute: 100, ..Setup::default() }).await else { return };
    server.add_user("eve", "viewer").await;
    let token = server.token_of("eve").await;
    for path in ["/api/alerts", "/api/alerts/history", "/api/alerts/rules", "/api/alerts/silences"] {
        assert_eq!(server.get_as(&token, path).await.status(), 200, "{path}");
        assert_eq!(server.get(path).await.status(), 401, "{path}");
    }
    assert_eq!(body(server.get_as(&token, "/api/alerts").await, 200).await["may_acknowledge"], false);
    assert_eq!(put(&server, &token, &rule("x", 50.0)).await.status(), 403);
    assert_eq!(put_channel(&server, &token, &channel("x")).await.status(), 403);
    assert_eq!(server.get_as(&token, "/api/alerts/channels").await.status(), 403);
    for (method, path) in [
        (Method::DELETE, "/api/alerts/rules/oom-kill"),
        (Method::POST, "/api/alerts/x/acknowledge"),
        (Method::POST, "/api/alerts/silences"),
        (Method::DELETE, "/api/alerts/silences/1"),
        (Method::DELETE, "/api/alerts/channels/x"),
        (Method::POST, "/api/alerts/channels/x/test"),
    ] {
        assert_eq!(server.send_as(&token, method, path, &json!({})).await.status(), 403, "{path}");
    }
}
