//! The program itself: an agent that is watched and asked at hubs, stopped, killed and started again.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::processes::{HubProcess, client, machine};
use super::*;

const ID: &str = "a.b";

struct Watcher(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Watcher {
    async fn open(hub: &HubProcess) -> Self {
        let HubProcess { address, token, .. } = hub;
        let url = format!("ws://{address}/api/ws/metrics?host={ID}&backfill=300&token={token}");
        Self(connect_async(url).await.unwrap().0)
    }

    async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(TIMEOUT, self.0.next()).await.expect("a message in time");
        serde_json::from_str(message.unwrap().unwrap().to_text().unwrap_or("null")).unwrap_or_default()
    }

    async fn of_type(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }
}

fn time_of(message: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(message["timestamp"].as_str().unwrap(), &Rfc3339).unwrap()
}

/// The answer about the machine, with its status.
async fn ask(hub: &HubProcess, path: &str) -> (u16, Value) {
    let and = if path.contains('?') { '&' } else { '?' };
    let url = format!("http://{}{path}{and}host={ID}", hub.address);
    let answer = client().get(url).bearer_auth(&hub.token).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Whole seconds and values of one field, until now.
async fn usage(hub: &HubProcess) -> Vec<(String, Value)> {
    let range = "start_time=2026-01-01&end_time=2099-01-01&interval=1s&limit=10000";
    let (status, answer) =
        ask(hub, &format!("/api/history/metrics?metric_type=cpu&fields=usage_percent&{range}")).await;
    assert_eq!(status, 200, "{answer}");
    let point = |point: &Value| {
        (point["timestamp"].as_str().unwrap().to_owned(), point["data"]["usage_percent"].clone())
    };
    answer["data_points"].as_array().unwrap().iter().map(point).collect()
}

/// To an account that may not see the machine, it does not exist: neither a stream of it nor an answer.
async fn who_may_not_see_it_watches_nothing(hub: &HubProcess) {
    let post = async |path: &str, token: &str, body: Value| {
        let request = client().post(format!("http://{}{path}", hub.address)).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json::<Value>().await.unwrap()
    };
    let (username, password) = ("eve", "sees only the web");
    let eve = json!({"username": username, "password": password, "role": "viewer", "hosts": "role=web"});
    post("/api/users", &hub.token, eve).await;
    let signed_in = post("/api/auth/login", "", json!({"username": username, "password": password})).await;
    let token = signed_in["access_token"].as_str().unwrap();
    for host in [ID, "nobody"] {
        let url = format!("ws://{}/api/ws/metrics?host={host}&token={token}", hub.address);
        match connect_async(url).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 400),
            other => panic!("{host}: {other:?}"),
        }
        let asked = client().get(format!("http://{}/api/processes?host={host}", hub.address));
        assert_eq!(asked.bearer_auth(token).send().await.unwrap().status(), 400);
    }
}

#[tokio::test]
async fn an_agent_is_watched_and_asked_at_two_hubs() {
    const TEST: &str = "an_agent_is_watched_and_asked_at_two_hubs";
    let Some(nats) = nats(TEST).await else { return };
    let cluster = match cluster().await {
        Ok(cluster) => cluster,
        Err(reason) => return println!("SKIPPED: {TEST}: {reason}"),
    };
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let database = cluster.database().await;
    let settings = [("DATABASE_URL", database.as_str())];
    let hubs = [
        HubProcess::start_with(dirs[0].path(), &nats, &settings).await,
        HubProcess::start_with(dirs[1].path(), &nats, &settings).await,
    ];
    let agent = machine("agent", dirs[2].path(), &nats, ID);
    until("the host", async || hubs[1].host(ID).await).await;

    until("a tick in its memory", async || (!usage(&hubs[0]).await.is_empty()).then_some(())).await;

    let mut watchers = Vec::new();
    let mut last = None;
    for hub in &hubs {
        let mut watcher = Watcher::open(hub).await;
        let window = watcher.next().await;
        assert_eq!(window["type"], "history", "{window}");
        let mut times: Vec<OffsetDateTime> =
            window["snapshots"].as_array().unwrap().iter().map(time_of).collect();
        let mut delays = Vec::new();
        for _ in 0..3 {
            let tick = watcher.of_type("metrics").await;
            times.push(time_of(&tick));
            delays.push(OffsetDateTime::now_utc() - time_of(&tick));
            last = Some(tick);
        }
        // The second watcher's past has at least what the first one saw.
        assert!(times.len() > 3 + 3 * watchers.len(), "{times:?}");
        assert!(times.is_sorted_by(|a, b| a < b), "none twice: {times:?}");
        assert!(delays.iter().any(|delay| *delay < time::Duration::SECOND), "within a tick: {delays:?}");
        watchers.push(watcher);
    }

    // Nothing of it is stored yet, and a question until now has it.
    let tick = last.unwrap();
    let (at, value) = (tick["timestamp"].as_str().unwrap(), &tick["data"]["cpu"]["usage_percent"]);
    let points = until("the last tick", async || {
        let points = usage(&hubs[0]).await;
        points.iter().any(|(time, _)| time == at).then_some(points)
    })
    .await;
    assert!(points.contains(&(at.to_owned(), value.clone())), "{at}: {value}: {points:?}");
    assert_eq!(points.iter().map(|(time, _)| time).collect::<BTreeSet<_>>().len(), points.len());

    let own = agent.id();
    for _ in 0..2 {
        let (status, list) = ask(&hubs[0], &format!("/api/processes?sort=pid&search={own}")).await;
        assert_eq!(status, 200, "{list}");
        let rows = list["processes"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["pid"] == own && row["comm"] == "perfwatch"), "{rows:?}");
    }
    let (_, all) = ask(&hubs[1], "/api/processes").await;
    assert!(all["count"].as_u64().unwrap() > 1, "{all}");
    let (_, doctor) = ask(&hubs[1], "/api/doctor").await;
    let recording =
        doctor["store"].as_array().unwrap().iter().find(|found| found["name"] == "recording").unwrap();
    assert!(recording["detail"].as_str().unwrap().starts_with("sent to the hubs"), "{doctor}");
    let (_, sources) = ask(&hubs[0], "/api/sources").await;
    assert!(sources["sources"].as_array().unwrap().iter().any(|source| source["name"] == "cpu"), "{sources}");
    let audit = hubs[0].get("/api/audit").await;
    let asked = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "host_asked");
    let mut asked: Vec<&str> = asked.map(|entry| entry["detail"].as_str().unwrap()).collect();
    asked.sort_unstable();
    let expected = [
        "doctor of a.b",
        "live of a.b",
        "live of a.b",
        "processes of a.b",
        "processes of a.b",
        "sources of a.b",
    ];
    assert_eq!(asked, expected, "each hub notes each kind once");
    let unknown = client().get(format!("http://{}/api/processes?host=nobody", hubs[0].address));
    let unknown = unknown.bearer_auth(&hubs[0].token).send().await.unwrap();
    assert_eq!(unknown.status(), 400);

    who_may_not_see_it_watches_nothing(&hubs[0]).await;
    nonsense_is_refused(&nats).await;

    // A machine that hangs.
    agent.signal("STOP");
    let (late, ()) = tokio::join!(ask(&hubs[0], "/api/processes"), async {
        let since = Instant::now();
        usage(&hubs[1]).await;
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
        let silent = until("silence", async || {
            Some(watchers[0].of_type("host").await).filter(|told| told["state"] == "silent")
        })
        .await;
        assert!(silent["since"].is_string(), "{silent}");
    });
    let detail = late.1["detail"].as_str().unwrap();
    assert!(late.0 == 504 && detail.contains("a.b") && detail.contains("last sign of life: 2"), "{late:?}");
    agent.signal("CONT");
    until("a tick again", async || {
        Some(watchers[0].of_type("host").await).filter(|told| told["state"] == "live")
    })
    .await;

    // One that is gone, and comes back.
    drop(agent);
    let detail = until("its absence", async || {
        let (status, answer) = ask(&hubs[0], "/api/doctor").await;
        (status == 503).then(|| answer["detail"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(detail.contains("a.b") && detail.contains("is not connected to the fleet"), "{detail}");
    let gone = OffsetDateTime::now_utc();
    until("silence", async || {
        Some(watchers[1].of_type("host").await).filter(|told| told["state"] == "silent")
    })
    .await;
    let _agent = machine("agent", dirs[2].path(), &nats, ID);
    for watcher in &mut watchers {
        until("a tick of the new one", async || {
            Some(watcher.of_type("metrics").await).filter(|tick| time_of(tick) > gone)
        })
        .await;
    }
}

/// What no hub would send is answered with a refusal or not at all, however much of it comes.
async fn nonsense_is_refused(nats: &nats::Nats) {
    let anyone = async_nats::connect(nats.url()).await.unwrap();
    let subject = "perfwatch.v1.ask.a~b";
    for nonsense in
        ["", "{", r#"{"host":"a.b","ask":"reboot"}"#, r#"{"host":"other","ask":"doctor"}"#, &"x".repeat(9000)]
    {
        let answer = anyone.request(subject, nonsense.to_owned().into()).await.unwrap();
        let refused = perfwatch::fleet::parts::Joined::default().add(&answer.payload).unwrap().unwrap();
        assert_eq!(refused[0], 2, "{nonsense}");
        anyone.publish(subject, nonsense.to_owned().into()).await.unwrap();
    }
    let question = json!({"host": "a.b", "ask": "processes", "limit": 10_000}).to_string();
    let many = (0..60).map(|_| anyone.request(subject, question.clone().into()));
    let kinds: Vec<u8> = futures_util::future::join_all(many)
        .await
        .into_iter()
        .map(|answer| {
            perfwatch::fleet::parts::Joined::default().add(&answer.unwrap().payload).unwrap().unwrap()[0]
        })
        .collect();
    assert!(kinds.contains(&1) && kinds.contains(&2), "a few at a time, and the rest at once: {kinds:?}");
}
