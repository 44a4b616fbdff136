//! `/metrics`, as Prometheus scrapes it.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use perfwatch::api::Options;
use perfwatch::config::Roots;
use perfwatch::snapshot::dictionary::{self, Export};
use perfwatch::snapshot::source::Tick;
use perfwatch::snapshot::{MetricType, Snapshot};
use perfwatch::{collectors, probes};
use reqwest::Method;
use serde_json::json;
use time::OffsetDateTime;

use super::{start, start_with};
use crate::server::{Server, Setup, body, detail, snapshot_of};

async fn open_to_all() -> Option<Server> {
    start_with(Setup { options: Options { public_metrics: true, ..Options::default() }, ..Setup::default() }).await
}

async fn scrape(server: &Server) -> String {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

/// Everything that this machine offers, measured twice, so that there are rates.
fn publish_this_machine(server: &Server) {
    let mut sources = collectors::all(&Roots::default());
    sources.extend(probes::all(&Roots::default(), probes::Options::UNLIMITED));
    for _ in 0..2 {
        let now = OffsetDateTime::now_utc();
        let tick = Tick::new(now, Duration::from_secs(1));
        let readings = sources.iter_mut().map(|source| source.sample(&tick).unwrap()).collect();
        server.publish_snapshot(&Arc::new(Snapshot::new(now, readings)));
    }
    server.source_status.publish(sources.iter().map(|source| source.report()).collect());
}

fn publish(server: &Server, documents: &[(MetricType, serde_json::Value)]) {
    server.publish_snapshot(&snapshot_of(documents));
}

#[tokio::test]
async fn it_is_closed_unless_opened_or_shown_a_token() {
    let Some(server) = start().await else { return };
    assert_eq!(detail(server.get("/metrics").await, 401).await, "Not authenticated");
    assert_eq!(detail(server.get_as("pwt_wrong", "/metrics").await, 401).await, "Could not validate credentials");
    let login = server.token().await;
    let new = json!({"name": "prometheus", "scopes": ["metrics"]});
    let made = body(server.send_as(&login, Method::POST, "/api/tokens", &new).await, 201).await;
    assert_eq!(server.get_as(made["token"].as_str().unwrap(), "/metrics").await.status(), 200);
    let Some(server) = open_to_all().await else { return };
    assert!(scrape(&server).await.contains("perfwatch_build_info{version="));
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let Some(server) = open_to_all().await else { return };
    publish_this_machine(&server);
    let text = scrape(&server).await;
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            println!("SKIPPED: promtool_finds_nothing_to_complain_about: promtool (package prometheus): {error}");
            return;
        }
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    let said = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert_eq!(said, "", "promtool on\n{text}");
}

#[tokio::test]
async fn values_are_those_of_the_newest_snapshot_in_base_units() {
    let Some(server) = open_to_all().await else { return };
    for usage in [50.0, 12.5] {
        let cpu = json!({"usage_percent": usage, "per_core": [usage, null], "interrupts": u64::MAX});
        publish(&server, &[(MetricType::Cpu, cpu)]);
    }
    let text = scrape(&server).await;
    let lines: BTreeSet<&str> = text.lines().collect();
    for line in [
        "# TYPE perfwatch_cpu_usage_ratio gauge",
        "perfwatch_cpu_usage_ratio 0.125",
        "perfwatch_cpu_core_usage_ratio{cpu=\"0\"} 0.125",
        "# TYPE perfwatch_interrupts_total counter",
        "perfwatch_interrupts_total 18446744073709551615",
        "perfwatch_document_failed{document=\"cpu\"} 0",
        "perfwatch_stream_clients 0",
        "perfwatch_snapshots_lost_total 0",
    ] {
        assert!(lines.contains(line), "{line} is not in\n{text}");
    }
    // Absent is not zero.
    assert!(!text.contains("perfwatch_cpu_core_usage_ratio{cpu=\"1\"}") && !text.contains("perfwatch_load1"));
}

#[tokio::test]
async fn names_from_the_machine_cannot_forge_samples() {
    let Some(server) = open_to_all().await else { return };
    let hostile = "x\"} 1\nperfwatch_cpu_usage_ratio 0.5\\";
    let disk = json!({
        "partitions": [{"device": hostile, "mountpoint": hostile, "fstype": "ext4", "total_bytes": 7}],
        "devices": {hostile: {"queue_depth": 2}},
    });
    let network = json!({"interfaces": [{"name": hostile, "bytes_sent": 3}]});
    publish(&server, &[(MetricType::Disk, disk), (MetricType::Network, network)]);
    let text = scrape(&server).await;
    let escaped = r#"x\"} 1\nperfwatch_cpu_usage_ratio 0.5\\"#;
    assert!(text.contains(&format!("perfwatch_device_queue_depth{{device=\"{escaped}\"}} 2\n")), "{text}");
    assert!(text.contains(&format!("direction=\"sent\",interface=\"{escaped}\"}} 3\n")), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("perfwatch_cpu_usage_ratio")), "{text}");
}

#[tokio::test]
async fn ten_thousand_interfaces_do_not_become_ten_thousand_series() {
    let Some(server) = open_to_all().await else { return };
    let interfaces: Vec<_> = (0..10_000).map(|n| json!({"name": format!("veth{n}"), "bytes_sent": n})).collect();
    publish(&server, &[(MetricType::Network, json!({"interfaces": interfaces}))]);
    let text = scrape(&server).await;
    assert_eq!(text.lines().filter(|line| line.starts_with("perfwatch_interface_bytes_total")).count(), 1024);
    let left_out = "perfwatch_rows_left_out{document=\"network\",list=\"interfaces\"} 8976";
    assert!(text.lines().any(|line| line == left_out), "{text}");
}

#[tokio::test]
async fn what_is_left_out_is_counted_for_every_list_and_the_documentation_agrees() {
    let Some(server) = open_to_all().await else { return };
    let busy = vec![json!(1.0); 2016];
    let disks: serde_json::Map<String, serde_json::Value> =
        (0..1500).map(|n| (format!("sd{n}"), json!({"queue_depth": 1}))).collect();
    // Truncated to 128 characters both are equal.
    let long = |end: &str| json!({"mountpoint": "/x".repeat(64) + end, "device": "a", "fstype": "b", "total_bytes": 1});
    let disk = json!({"devices": disks, "partitions": [long("one"), long("two")]});
    publish(&server, &[(MetricType::Cpu, json!({"per_core": busy})), (MetricType::Disk, disk)]);
    let text = scrape(&server).await;
    for line in [
        "perfwatch_rows_left_out{document=\"cpu\",list=\"per_core\"} 992",
        "perfwatch_rows_left_out{document=\"disk\",list=\"devices\"} 476",
        "perfwatch_rows_left_out{document=\"disk\",list=\"partitions\"} 0",
        "perfwatch_duplicates_left_out 1",
        "perfwatch_interval_values_left_out_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana.md")).unwrap();
    for name in ["rows_left_out", "duplicates_left_out", "interval_values_left_out_total"] {
        assert!(documented.contains(&format!("`perfwatch_{name}")), "{name}");
    }
}

#[tokio::test]
async fn every_source_tells_its_state_and_cost() {
    let Some(server) = open_to_all().await else { return };
    publish_this_machine(&server);
    let text = scrape(&server).await;
    for (name, _) in collectors::REGISTRY {
        assert!(text.contains(&format!("perfwatch_source_active{{source=\"{name}\"}} ")), "{name}");
        assert!(text.contains(&format!("perfwatch_source_cpu_seconds{{source=\"{name}\"}} ")), "{name}");
    }
    let resident = text.lines().find_map(|line| line.strip_prefix("perfwatch_process_resident_memory_bytes "));
    assert!(resident.unwrap().parse::<f64>().unwrap() > 1e6);
}

/// Every metric named by an expression.
fn names(expression: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(|c| !is_part(c)).filter(|word| word.starts_with("perfwatch_")).map(str::to_owned).collect()
}

/// The expressions of the Grafana dashboard, as Grafana sends them.
fn expressions() -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/dashboards/prometheus.json");
    let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expanded = targets.map(|target| {
        let expression = target["expr"].as_str().unwrap();
        let expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1h");
        expression.replace("$instance", ".*")
    });
    expanded.collect()
}

#[tokio::test]
async fn the_dashboard_asks_for_metrics_that_there_are() {
    let Some(server) = open_to_all().await else { return };
    publish_this_machine(&server);
    let scraped = scrape(&server).await;
    let mut known: BTreeSet<String> = names(&scraped).into_iter().collect();
    // What this machine lacks, another may have.
    for of in MetricType::ALL {
        for field in dictionary::fields(of) {
            let Some(name) = field.export.name() else { continue };
            let name = format!("perfwatch_{}", name.split('{').next().unwrap());
            if matches!(field.export, Export::Histogram(_)) {
                known.insert(format!("{name}_bucket"));
            }
            known.insert(name);
        }
    }
    let expressions = expressions();
    assert!(expressions.len() >= 20);
    for expression in &expressions {
        let wanted = names(expression);
        assert!(!wanted.is_empty(), "{expression}");
        for name in wanted {
            assert!(known.contains(&name), "there is no {name}, which the dashboard asks for");
        }
    }
}

#[test]
fn the_dashboard_speaks_promql() {
    let rules: Vec<_> = expressions()
        .into_iter()
        .enumerate()
        .map(|(n, expression)| json!({"record": format!("dashboard:{n}"), "expr": expression}))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.json"); // JSON is YAML too
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, groups.to_string()).unwrap();
    match Command::new("promtool").args(["check", "rules"]).arg(&file).output() {
        Err(error) => println!("SKIPPED: the_dashboard_speaks_promql: promtool (package prometheus): {error}"),
        Ok(said) => {
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        }
    }
}
