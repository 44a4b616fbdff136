//! Configuration and retention: live, persistent, and rejected as a whole if part of it is wrong.

use std::time::Duration;

use perfwatch::api::Options;
use perfwatch::auth::VIEWER;
use perfwatch::config::Roots;
use perfwatch::snapshot::source::{Settings, SourceSettings};
use perfwatch::snapshot::{MetricType, Reading};
use perfwatch::store::settings;
use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{start, start_with};
use crate::readings::{self, reading};
use crate::server::{PASSWORD, Server, Setup, body, detail, places};

/// A machine with CPUs 0 to 7 online.
fn machine() -> (tempfile::TempDir, Setup) {
    let root = tempfile::tempdir().unwrap();
    let cpus = root.path().join("sys/devices/system/cpu");
    std::fs::create_dir_all(&cpus).unwrap();
    std::fs::write(cpus.join("online"), "0-7\n").unwrap();
    let proc = root.path().join("proc");
    std::fs::create_dir_all(&proc).unwrap();
    std::fs::write(proc.join("cpuinfo"), "processor\t: 0\nmodel name\t: Test CPU\n").unwrap();
    std::fs::write(proc.join("meminfo"), "MemTotal:        1000 kB\n").unwrap();
    let roots = Roots { procfs: proc, sysfs: root.path().join("sys"), ..Roots::default() };
    (root, Setup { options: Options { roots, ..Options::default() }, ..Setup::default() })
}

async fn put(server: &Server, token: &str, path: &str, change: &Value) -> reqwest::Response {
    server.send_as(token, Method::PUT, path, change).await
}

#[tokio::test]
async fn the_configuration_tells_settings_policy_and_system() {
    let (_root, setup) = machine();
    let Some(server) = start_with(setup).await else { return };
    let token = server.token().await;
    let mut config = body(server.get_as(&token, "/api/config").await, 200).await;
    let system = config.as_object_mut().unwrap().remove("system").unwrap();
    let version = config.as_object_mut().unwrap().remove("app_version").unwrap();
    assert!(version.is_string());
    assert_eq!(
        config,
        json!({"sampling_interval_seconds": 5, "perf_events_enabled": true, "perf_events_cpu_cores": "all",
               "perf_events_interval_ms": 1000, "profile_hz": 19, "retention_days": 30, "archive_enabled": true,
               "downsample_after_days": 7, "downsample_interval": "1m"})
    );
    assert_eq!((&system["cpu_model"], &system["cpu_count"]), (&json!("Test CPU"), &json!(8)));
    assert_eq!(system["memory_total_bytes"], 1_024_000);
    assert_eq!(system["database"], server.store.engine().as_str());
    for text in ["hostname", "kernel", "architecture"] {
        assert!(system[text].is_string(), "{text}");
    }
    assert!(system["privileges"].is_array());
}

#[tokio::test]
async fn a_change_takes_effect_at_once_and_survives() {
    let (_root, setup) = machine();
    let Some(server) = start_with(setup).await else { return };
    let token = server.token().await;
    let mut live = server.settings.subscribe();
    live.mark_unchanged();
    let change = json!({"sampling_interval_seconds": 2, "perf_events_enabled": false,
        "perf_events_cpu_cores": "0-3,6", "perf_events_interval_ms": 250, "profile_hz": 49, "retention_days": 90,
        "downsample_after_days": 14, "downsample_interval": "5m", "archive_enabled": false});
    let answer = body(put(&server, &token, "/api/config", &change).await, 200).await;
    assert_eq!(answer["message"], "Configuration updated");
    for (name, value) in change.as_object().unwrap() {
        assert_eq!(&answer["config"][name], value, "{name}");
    }
    assert!(live.has_changed().unwrap(), "the pipeline is told");
    let expected = Settings {
        interval: Duration::from_secs(2),
        sources: SourceSettings {
            perf_events_enabled: false,
            perf_events_cpu_cores: Some("0-3,6".parse().unwrap()),
            perf_events_interval: Duration::from_millis(250),
            profile_hz: 49,
        },
    };
    assert_eq!(*server.settings.borrow(), expected);
    // What the next start finds, regardless of the environment.
    let environment = settings::First {
        sampling: Settings { interval: Duration::from_secs(9), sources: SourceSettings::default() },
        cleanup_enabled: true,
        cleanup_interval: Duration::from_secs(60),
    };
    assert_eq!(settings::load(&*server.store, &environment).await.unwrap(), expected);
    let policy = body(server.get_as(&token, "/api/retention").await, 200).await;
    assert_eq!((&policy["retention_days"], &policy["downsample_interval"]), (&json!(90), &json!("5m")));
    let back = json!({"perf_events_cpu_cores": "ALL"});
    let answer = body(put(&server, &token, "/api/config", &back).await, 200).await;
    assert_eq!(answer["config"]["perf_events_cpu_cores"], "all");
    assert_eq!(answer["config"]["sampling_interval_seconds"], 2);
}

#[tokio::test]
async fn one_wrong_value_changes_nothing() {
    let (_root, setup) = machine();
    let Some(server) = start_with(setup).await else { return };
    let token = server.token().await;
    let before = body(server.get_as(&token, "/api/config").await, 200).await;
    for (wrong, expected) in [
        (json!({"sampling_interval_seconds": 0}), vec!["body.sampling_interval_seconds"]),
        (json!({"sampling_interval_seconds": 3601}), vec!["body.sampling_interval_seconds"]),
        (json!({"sampling_interval_seconds": "5"}), vec!["body.sampling_interval_seconds"]),
        (json!({"perf_events_interval_ms": 99}), vec!["body.perf_events_interval_ms"]),
        (json!({"perf_events_cpu_cores": "0-8"}), vec!["body.perf_events_cpu_cores"]),
        (json!({"perf_events_cpu_cores": "some"}), vec!["body.perf_events_cpu_cores"]),
        (json!({"perf_events_cpu_cores": ""}), vec!["body.perf_events_cpu_cores"]),
        (json!({"perf_events_cpu_cores": "0-4294967295"}), vec!["body.perf_events_cpu_cores"]),
        (json!({"retention_days": 0}), vec!["body.retention_days"]),
        (json!({"retention_days": 366}), vec!["body.retention_days"]),
        (json!({"downsample_after_days": -1}), vec!["body.downsample_after_days"]),
        (json!({"retention_days": 5, "downsample_after_days": 6}), vec!["body.downsample_after_days"]),
        (json!({"retention_days": 5}), vec!["body.downsample_after_days"]),
        (json!({"downsample_interval": "2m"}), vec!["body.downsample_interval"]),
        (
            json!({"perf_events_interval_ms": 1, "retention_days": 0}),
            vec!["body.perf_events_interval_ms", "body.retention_days"],
        ),
    ] {
        let mut change = wrong.clone();
        change["archive_enabled"] = json!(false);
        change["perf_events_enabled"] = json!(false);
        assert_eq!(places(put(&server, &token, "/api/config", &change).await).await, expected, "{wrong}");
    }
    assert_eq!(body(server.get_as(&token, "/api/config").await, 200).await, before);
}

#[tokio::test]
async fn the_retention_policy_takes_any_part_and_keeps_the_rest() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let before = body(server.get_as(&token, "/api/retention").await, 200).await;
    for name in ["id", "cleanup_interval_minutes"] {
        assert!(before[name].is_i64(), "{name}");
    }
    assert_eq!(before["last_archive_run"], json!(null));
    let change = json!({"cleanup_enabled": false, "cleanup_interval_minutes": 5, "retention_days": 8});
    let after = body(put(&server, &token, "/api/retention", &change).await, 200).await;
    assert_eq!((&after["cleanup_enabled"], &after["cleanup_interval_minutes"]), (&json!(false), &json!(5)));
    assert_eq!((&after["retention_days"], &after["downsample_after_days"]), (&json!(8), &json!(7)));
    assert_eq!(after["created_at"], before["created_at"]);
    for wrong in [
        json!({"retention_days": 6}),
        json!({"cleanup_interval_minutes": 0, "archive_enabled": false}),
        json!({"downsample_interval": "1d"}),
        json!([]),
    ] {
        assert!(!places(put(&server, &token, "/api/retention", &wrong).await).await.is_empty(), "{wrong}");
    }
    assert_eq!(body(server.get_as(&token, "/api/retention").await, 200).await, after);
}

#[tokio::test]
async fn cleanup_counts_what_it_did_and_the_size_is_told() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    // All of a minute is in one chunk.
    let now = OffsetDateTime::now_utc().truncate_to_minute();
    let empty = body(server.get_as(&token, "/api/config/retention").await, 200).await;
    assert_eq!((&empty["oldest_record"], &empty["newest_record"]), (&json!(null), &json!(null)));
    let at = |days: i64, seconds: i64| now - time::Duration::days(days) + time::Duration::seconds(seconds);
    let times = [40, 10, 1].into_iter().flat_map(|days| (0..3).map(move |n| at(days, n * 5)));
    let nine: Vec<Reading> =
        times.map(|at| reading(MetricType::Cpu, at, &json!({"usage_percent": 1}))).collect();
    readings::store(&server.history, &nine).await;
    let done = server.send_as(&token, Method::POST, "/api/retention/cleanup", &Value::Null).await;
    let done = body(done, 200).await;
    // Expired readings go with their minutes; old ones are replaced by rollups.
    assert_eq!((&done["deleted_count"], &done["downsampled_count"]), (&json!(2), &json!(1)), "{done}");
    let policy = body(server.get_as(&token, "/api/config/retention").await, 200).await;
    assert_eq!(policy["last_archive_run"], done["last_archive_run"]);
    assert!(policy["current_data_size_mb"].as_f64().unwrap() > 0.0);
    assert_eq!(policy["retention_days"], 30);
    let newest = policy["newest_record"].as_str().unwrap();
    assert_eq!(newest, perfwatch::snapshot::rfc3339(nine[8].at));
    assert!(policy["oldest_record"].as_str().unwrap() < newest);
}

#[tokio::test]
async fn a_viewer_changes_nothing() {
    let Some(server) = start().await else { return };
    server.add_user("eve", VIEWER).await;
    let login = body(server.login_as("eve", PASSWORD).await, 200).await;
    let token = login["access_token"].as_str().unwrap();
    for path in ["/api/config", "/api/retention"] {
        assert_eq!(server.get_as(token, path).await.status(), 200);
        // Even if nothing in the request is valid.
        for change in [json!({"retention_days": 2}), json!("x")] {
            let refused = detail(put(&server, token, path, &change).await, 403).await;
            assert_eq!(refused, "Administrator rights required");
        }
    }
    let cleanup = server.send_as(token, Method::POST, "/api/retention/cleanup", &Value::Null).await;
    detail(cleanup, 403).await;
}

#[tokio::test]
async fn without_a_login_nothing_is_told_or_changed() {
    let Some(server) = start().await else { return };
    for (method, path) in [
        (Method::GET, "/api/config"),
        (Method::PUT, "/api/config"),
        (Method::GET, "/api/config/retention"),
        (Method::GET, "/api/retention"),
        (Method::PUT, "/api/retention"),
        (Method::POST, "/api/retention/cleanup"),
    ] {
        let answer = server.request(method.clone(), path).body("{").send().await.unwrap();
        assert_eq!(detail(answer, 401).await, "Not authenticated", "{method} {path}");
    }
}
