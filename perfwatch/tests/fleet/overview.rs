//! The fleet at a glance: what machines tell with their signs of life, and what a hub reads of the hour before it started.

use perfwatch::fleet::courses::{Courses, MINUTES};
use perfwatch::fleet::hub::filling::Filling;

use super::processes::{HubProcess, machine};
use super::*;

/// A hub knows what an agent measures within seconds; of a machine that tells nothing, nothing is made up.
#[tokio::test]
async fn the_overview_shows_what_machines_measure_and_their_states() {
    const TEST: &str = "the_overview_shows_what_machines_measure_and_their_states";
    let Some(nats) = nats(TEST).await else { return };
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let hub = HubProcess::start(dirs[0].path(), &nats).await;
    let _agent = machine("agent", dirs[1].path(), &nats, "web.1");
    let stream = nats.stream().await;
    until("the stream, which the hub makes", async || stream.get_stream("PERFWATCH").await.ok()).await;
    for host in ["old", "gone"] {
        let introduction = json!({"host": host, "name": host, "facts": {}}).to_string();
        stream
            .publish(format!("perfwatch.v1.host.{host}"), introduction.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let client = async_nats::connect(nats.url()).await.unwrap();
    let overview = until("all three", async || {
        // As machines sent it before they told how they are.
        let alive = json!({"host": "old", "sent": 0}).to_string();
        client.publish("perfwatch.v1.alive.old", alive.into()).await.unwrap();
        let overview = hub.get("/api/fleet/overview?courses=true").await;
        let of = |id: &str| {
            let hosts = overview["hosts"].as_array().unwrap();
            hosts.iter().find(|host| host["id"] == id).cloned()
        };
        let (web, old, gone) = (of("web.1")?, of("old")?, of("gone")?);
        let is_there = web["measures"]["cpu_percent"].is_number() && old["state"] == "live";
        is_there.then_some([web, old, gone])
    })
    .await;
    let [web, old, gone] = &overview;
    assert_eq!(
        (&web["state"], &old["state"], &gone["state"]),
        (&json!("live"), &json!("live"), &json!("silent"))
    );
    for measure in ["cpu_percent", "memory_percent"] {
        let percent = web["measures"][measure].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&percent), "{web}");
        let course = web["courses"][measure].as_array().unwrap();
        assert_eq!(course.len(), MINUTES);
        assert!(course.iter().any(serde_json::Value::is_number), "{web}");
    }
    assert!(web["measured"].is_string() && web["clock_skew_seconds"].is_number(), "{web}");
    for host in [old, gone] {
        assert_eq!((&host["measures"], &host["courses"]), (&json!({}), &json!({})), "{host}");
        assert!(host.get("measured").is_none(), "{host}");
    }
    assert!(old["clock_skew_seconds"].as_f64().unwrap() < -1e9, "its clock is at 1970: {old}");
    assert_eq!(hub.get("/api/hosts").await["role"], "hub");
}

/// An hour that no hub heard is read from the store.
#[tokio::test]
async fn the_last_hour_is_read_from_the_store() {
    for (store, dir) in engines("the_last_hour_is_read_from_the_store").await {
        store.introduce(&Host::new(HOST, "web")).await.unwrap();
        let history = History::new(store.clone(), HOST);
        let place = LogPlace { dir: dir.path().join("spool"), max_bytes: 64 << 20 };
        let writer = Writer::spawn(history.clone(), place, DocumentDays(0)).unwrap();
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        for minutes in [30, 20] {
            for second in 0..60 {
                let at = now - time::Duration::minutes(minutes) + time::Duration::seconds(second);
                let body = json!({"usage_percent": minutes as f64});
                let cpu = readings::reading(MetricType::Cpu, at, &body);
                writer.submit_waiting(Arc::new(Snapshot::new(at, vec![cpu]))).await;
            }
            writer.drained().await;
        }
        writer.close().await;
        let courses = Courses::default();
        let filling = Filling::spawn(history, courses.clone());
        until("the measures", async || courses.now(HOST).at).await;
        let micros = i64::try_from(now.unix_timestamp_nanos() / 1000).unwrap();
        let [cpu, rest @ ..] = courses.hour(HOST, micros);
        let mut known: Vec<f32> = cpu.unwrap().into_iter().flatten().collect();
        known.dedup();
        assert_eq!(known, [30.0, 20.0]);
        assert!(rest.iter().all(Option::is_none), "nothing else was measured");
        assert_eq!(courses.now(HOST).measures.cpu_percent, Some(20.0));
        filling.close();
    }
}
