//! One field on many hosts, and what changed on which of them.

use perfwatch::host::Host;
use perfwatch::snapshot::{MetricType, Reading};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::start;
use crate::readings::{self, reading};
use crate::server::{Server, body, detail};

/// 2026-01-02T00:00:00Z
const START: i64 = 1_767_312_000;
const RANGE: &str = "start_time=2026-01-02T00:00:00Z&end_time=2026-01-02T00:10:00Z&interval=1m";

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START + seconds).unwrap()
}

/// Three hosts, which use 10, 20 and 90 %; the third only since five minutes later. Each has two partitions.
async fn with_three_hosts(server: &Server) -> String {
    for (id, usage, since) in [("a1", 10.0, 0), ("b2", 20.0, 0), ("c3", 90.0, 305)] {
        let host = Host::new(id, &format!("host-{id}"));
        server.store.introduce(&host).await.unwrap();
        let ticks = (since..600).step_by(5);
        let readings: Vec<Reading> = ticks
            .flat_map(|second| {
                // It varies a little, as all that is measured.
                let usage = usage + (second / 5 % 3) as f64;
                let partition = |mountpoint: &str, percent: f64| {
                    json!({"device": "/dev/vda", "mountpoint": mountpoint, "fstype": "ext4", "usage_percent": percent})
                };
                let partitions = [partition("/", usage), partition("/home", usage / 2.0)];
                [
                    reading(MetricType::Cpu, at(second), &json!({"usage_percent": usage, "per_core": []})),
                    reading(MetricType::Disk, at(second), &json!({"partitions": partitions})),
                ]
            })
            .collect();
        readings::store(&server.history.of_host(id), &readings).await;
    }
    server.token().await
}

async fn series(server: &Server, token: &str, query: &str) -> Value {
    body(server.get_as(token, &format!("/api/fleet/series?{RANGE}&{query}")).await, 200).await
}

fn names(hosts: &Value) -> Vec<&str> {
    hosts.as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_hosts_where_it_is_largest_are_shown_and_the_others_are_a_band() {
    let Some(server) = start().await else { return };
    let token = with_three_hosts(&server).await;
    let answer = series(&server, &token, "field=cpu.usage_percent&limit=1").await;
    assert_eq!(names(&answer["hosts"]), ["host-c3"]);
    assert_eq!((&answer["unit"], &answer["interval"]), (&json!("%"), &json!("1m")));
    assert_eq!(answer["times"].as_array().unwrap().len(), 10);
    let values = answer["hosts"][0]["values"].as_array().unwrap();
    // It was not there yet, which is not zero.
    assert_eq!(values[..5], vec![Value::Null; 5]);
    assert!(values[5..].iter().all(|value| (90.0..93.0).contains(&value.as_f64().unwrap())), "{values:?}");
    let rest = &answer["rest"];
    assert_eq!(rest["hosts"], 2);
    assert!((10.0..13.0).contains(&rest["min"][0].as_f64().unwrap()), "{rest}");
    assert!((20.0..23.0).contains(&rest["max"][0].as_f64().unwrap()), "{rest}");
    // The machine itself has no history.
    assert_eq!(answer["without_data"], 1);
}

#[tokio::test]
async fn the_things_of_a_host_become_one_number() {
    let Some(server) = start().await else { return };
    let token = with_three_hosts(&server).await;
    let of = async |query: &str| {
        let answer = series(&server, &token, &format!("field=disk.partitions.usage_percent&hosts=b2&{query}")).await;
        assert_eq!(names(&answer["hosts"]), ["host-b2"]);
        answer["hosts"][0]["average"].as_f64().unwrap()
    };
    let (fullest, home, both) =
        (of("").await, of("only=mountpoint=/home").await, of("combine=sum").await);
    assert!((20.0..23.0).contains(&fullest), "{fullest}");
    assert!((home - fullest / 2.0).abs() < 0.1, "{home}");
    assert!((both - fullest - home).abs() < 0.1, "{both}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_there_is() {
    let Some(server) = start().await else { return };
    let token = with_three_hosts(&server).await;
    let refused = async |query: &str| {
        let response = server.get_as(&token, &format!("/api/fleet/series?{RANGE}&{query}")).await;
        detail(response, 400).await
    };
    let unknown = refused("field=cpu.usage_percen").await;
    assert!(unknown.contains("did you mean cpu.usage_percent?"), "{unknown}");
    let host = refused("field=cpu.usage_percent&hosts=a1,nobody").await;
    assert_eq!(host, "No history of this host: nobody");
    let label = refused("field=disk.partitions.usage_percent&only=disk=a").await;
    assert!(label.contains("has no label disk; it has"), "{label}");
    let label = refused("field=cpu.usage_percent&only=cpu=1").await;
    assert!(label.contains("it has none"), "{label}");
    let response = server.get_as(&token, "/api/fleet/series?quantile=2&combine=x&limit=0").await;
    let problems = body(response, 422).await["detail"].as_array().unwrap().len();
    assert_eq!(problems, 6);
    assert_eq!(server.get("/api/fleet/series").await.status(), 401);
}

#[tokio::test]
async fn what_changed_is_told_with_the_hosts() {
    let Some(server) = start().await else { return };
    let token = with_three_hosts(&server).await;
    // On a fourth host, and on it only, the later half is unlike the first.
    server.store.introduce(&Host::new("d4", "host-d4")).await.unwrap();
    let readings: Vec<Reading> = (0..600)
        .step_by(5)
        .map(|second| {
            let usage = if second < 300 { 5.0 } else { 70.0 } + (second / 5 % 3) as f64;
            reading(MetricType::Cpu, at(second), &json!({"usage_percent": usage, "per_core": []}))
        })
        .collect();
    readings::store(&server.history.of_host("d4"), &readings).await;
    let ranges = "start_time_1=2026-01-02T00:05:00Z&end_time_1=2026-01-02T00:10:00Z\
                  &start_time_2=2026-01-02T00:00:00Z&end_time_2=2026-01-02T00:05:00Z";
    let url = format!("/api/fleet/changes?{ranges}");
    let answer = body(server.get_as(&token, &url).await, 200).await;
    let fields = answer["fields"].as_array().unwrap();
    assert_eq!(fields[0]["field"], "usage_percent");
    assert_eq!(names(&fields[0]["hosts"]), ["host-d4"]);
    assert_eq!(fields[0]["hosts"][0]["change"]["direction"], "up");
    // `c3` has nothing of the first half, and the machine itself nothing at all.
    assert_eq!((&answer["compared"], &answer["without_data"], &answer["hosts"]), (&json!(5), &json!(2), &json!(5)));
    assert_eq!(answer["next"], json!(null));
    let rest = body(server.get_as(&token, &format!("{url}&after=c3&hosts=a1,d4")).await, 200).await;
    assert_eq!((&rest["compared"], &rest["hosts"]), (&json!(1), &json!(2)));
}
