//! Rules as files, and maintenance windows.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::alerts::{count, now, publish, put, rule};
use super::{start, start_with};
use crate::server::{Server, Setup, body, detail, places};

async fn listed(server: &Server, token: &str) -> Value {
    body(server.get_as(token, "/api/alerts/rules").await, 200).await
}

fn find(listed: &Value, name: &str) -> Option<Value> {
    listed["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == name).cloned()
}

/// Files are looked at now and then, when a snapshot comes.
async fn until_listed(server: &Server, token: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for n in 0..1000 {
        publish(server, now() + n, 10.0);
        let answer = listed(server, token).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the rules never are as wanted");
}

#[tokio::test]
async fn changed_files_are_read_again_and_a_broken_one_keeps_its_rules() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let dir = server.data.path().join("alerts.d");
    std::fs::create_dir(&dir).unwrap();
    let text = |level: u32| {
        format!("[[rule]]\nname = \"mine\"\nfield = \"cpu.usage_percent\"\nwarning = {{ above = {level} }}\n")
    };
    std::fs::write(dir.join("a.toml"), text(90)).unwrap();
    let has = |level: f64| {
        move |answer: &Value| find(answer, "mine").is_some_and(|rule| rule["warning"]["above"] == level)
    };
    until_listed(&server, &token, has(90.0)).await;
    std::fs::write(dir.join("a.toml"), text(80)).unwrap();
    let good = until_listed(&server, &token, has(80.0)).await;
    assert_eq!(count(&good, "problems"), 0);
    std::fs::write(dir.join("a.toml"), format!("{}[[rule", text(70))).unwrap();
    let broken = until_listed(&server, &token, |answer| count(answer, "problems") > 0).await;
    assert!(has(80.0)(&broken), "{broken}");
    let told = broken["problems"][1].as_str().unwrap();
    assert!(told.ends_with("its earlier rules apply until it is mended"), "{told}");
    std::fs::remove_file(dir.join("a.toml")).unwrap();
    until_listed(&server, &token, |answer| find(answer, "mine").is_none()).await;
}

#[tokio::test]
async fn exported_rules_come_back_as_they_were() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let export = async || {
        let answer = server.get_as(&token, "/api/alerts/rules?format=toml").await;
        assert_eq!(answer.headers()["content-type"], "application/toml");
        answer.text().await.unwrap()
    };
    let import = async |text: &str| {
        server.send_as(&token, Method::POST, "/api/alerts/rules/import", &json!({"toml": text})).await
    };
    assert!(export().await.starts_with("# No rules"));
    let mut odd = rule("odd", 50.0);
    odd["labels"] = json!({});
    odd["summary"] = json!("quote \" and = sign");
    odd["function"] = json!("share_above");
    odd["level"] = json!(0.1);
    odd["window"] = json!("1h30m");
    body(put(&server, &token, &odd).await, 201).await;
    body(put(&server, &token, &rule("busy", 80.0)).await, 201).await;
    let before = (find(&listed(&server, &token).await, "odd"), export().await);
    for name in ["odd", "busy"] {
        let path = format!("/api/alerts/rules/{name}");
        body(server.send_as(&token, Method::DELETE, &path, &json!({})).await, 200).await;
    }
    let made = body(import(&before.1).await, 200).await;
    assert_eq!(made["rules"], json!(["busy", "odd"]));
    let again = find(&listed(&server, &token).await, "odd").unwrap();
    for key in ["summary", "function", "level", "window", "warning"] {
        assert_eq!(again[key], before.0.as_ref().unwrap()[key], "{key}");
    }
    assert_eq!(export().await, before.1);

    // All or none, each problem with its line.
    let two = format!("{}\n[[rule]]\nname = \"new\"\nfield = \"nothing\"\nwarning = {{ above = 1 }}\n", before.1);
    assert_eq!(places(import(&two).await).await, ["body.toml"]);
    assert_eq!(places(import("").await).await, ["body.toml"]);
    assert_eq!(places(import("off = [\"swap-storm\"]").await).await, ["body.toml"]);
    assert!(find(&listed(&server, &token).await, "new").is_none());
    let unknown = server.get_as(&token, "/api/alerts/rules?format=xml").await;
    assert_eq!(places(unknown).await, ["query.format"]);
    let audit = body(server.get_as(&token, "/api/audit").await, 200).await;
    assert_eq!((&audit["entries"][0]["action"], &audit["entries"][0]["detail"]), (&json!("alert_rules_imported"), &json!("busy odd")));
}

#[tokio::test]
async fn promtool_takes_what_is_exported_for_it() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    for (name, change) in [
        ("odd-texts", json!({"summary": "{{ x }} {value} {cpu} \"'\\ é {", "runbook": "{{ .Bad }} a: b # c"})),
        ("each-core", json!({"field": "cpu.per_core", "labels": {"cpu": "!1|2*"}, "function": "quantile", "quantile": 0.9, "window": "5m"})),
        ("of-another", json!({"field": "memory.used_bytes", "of": "memory.total_bytes", "function": "max", "window": "90s"})),
        ("summed", json!({"field": "disk.devices.read_bytes_per_sec", "sum": true, "function": "average", "window": "5m"})),
        ("soon", json!({"field": "disk.partitions.usage_percent", "function": "forecast", "line": 100, "window": "6h",
            "only_above": 80, "warning": {"below": "24h"}})),
        ("grows", json!({"field": "memory.used_bytes", "function": "rate", "window": "5m"})),
        ("slow", json!({"field": "block_io.devices.read.histogram", "function": "quantile", "quantile": 0.99, "window": "5m"})),
    ] {
        let mut made = rule(name, 50.0);
        made.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body(put(&server, &token, &made).await, 201).await;
    }
    let text = server.get_as(&token, "/api/alerts/rules?format=prometheus").await.text().await.unwrap();
    assert!(text.contains("#   disk-latency: compares the distribution"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, &text).unwrap();
    match Command::new("promtool").args(["check", "rules"]).arg(&file).output() {
        Err(error) => {
            println!("SKIPPED: promtool_takes_what_is_exported_for_it: promtool (package prometheus): {error}");
        }
        Ok(said) => {
            assert!(said.status.success(), "{}\n{text}", String::from_utf8_lossy(&said.stderr));
        }
    }
}

#[tokio::test]
async fn a_maintenance_window_that_lasts_is_a_silence() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let post = async |window: &Value| server.send_as(&token, Method::POST, "/api/alerts/maintenance", window).await;
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let always = json!({
        "days": days, "start": "00:00", "end": "00:00", "zone": "UTC", "rule": "bus*", "reason": "updates",
    });
    for (key, value, place) in [
        ("zone", json!("Europe/Atlantis"), "body.zone"),
        ("days", json!([]), "body.days"),
        ("start", json!("24:00"), "body.start"),
        ("end", json!("noon"), "body.end"),
        ("reason", json!(""), "body.reason"),
        ("labels", json!({"a": "x\ny"}), "body.labels"),
    ] {
        let mut bad = always.clone();
        bad[key] = value;
        assert_eq!(places(post(&bad).await).await, [place]);
    }
    let made = body(post(&always).await, 201).await;
    let today = OffsetDateTime::now_utc().date();
    assert!(made["next_start"].as_str().unwrap().starts_with(&today.to_string()), "{made}");
    let silences = body(server.get_as(&token, "/api/alerts/silences").await, 200).await;
    assert_eq!((count(&silences, "silences"), &silences["silences"][0]["reason"]), (1, &json!("Maintenance: updates")));
    assert_eq!(silences["silences"][0]["ends_at"], made["next_end"]);
    // Ended early, it does not come back before the next time.
    let path = format!("/api/alerts/silences/{}", silences["silences"][0]["id"]);
    body(server.send_as(&token, Method::DELETE, &path, &json!({})).await, 200).await;
    let end = made["next_end"].as_str().unwrap().to_owned();
    server.alerts.keep_windows(now() * 1_000_000).await.unwrap();
    let silences = body(server.get_as(&token, "/api/alerts/silences").await, 200).await;
    let same = silences["silences"].as_array().unwrap().iter().filter(|silence| silence["ends_at"] == *end);
    assert_eq!(same.count(), 0, "{silences}");

    let windows = body(server.get_as(&token, "/api/alerts/maintenance").await, 200).await;
    assert_eq!((count(&windows, "windows"), &windows["windows"][0]["zone"]), (1, &json!("UTC")));
    let path = format!("/api/alerts/maintenance/{}", made["id"]);
    body(server.send_as(&token, Method::DELETE, &path, &json!({})).await, 200).await;
    assert_eq!(detail(server.send_as(&token, Method::DELETE, &path, &json!({})).await, 404).await, "Not found");
    let audit = body(server.get_as(&token, "/api/audit").await, 200).await;
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..3], ["maintenance_removed", "silence_ended", "maintenance_added"]);
}

#[tokio::test]
async fn viewers_try_and_export_rules_and_change_none() {
    let Some(server) = start_with(Setup { attempts_per_minute: 100, ..Setup::default() }).await else { return };
    server.add_user("eve", "viewer").await;
    let token = server.token_of("eve").await;
    for path in ["/api/alerts/rules?format=toml", "/api/alerts/rules?format=prometheus", "/api/alerts/maintenance"] {
        assert_eq!(server.get_as(&token, path).await.status(), 200, "{path}");
        assert_eq!(server.get(path).await.status(), 401, "{path}");
    }
    let asked = json!({"rule": rule("busy", 50.0), "range": "1h"});
    assert_eq!(server.send_as(&token, Method::POST, "/api/alerts/preview", &asked).await.status(), 200);
    for (method, path) in [
        (Method::POST, "/api/alerts/rules/import"),
        (Method::POST, "/api/alerts/maintenance"),
        (Method::DELETE, "/api/alerts/maintenance/1"),
    ] {
        assert_eq!(server.send_as(&token, method, path, &json!({})).await.status(), 403, "{path}");
    }
}
