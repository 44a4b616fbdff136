//! Users who are limited to some hosts learn nothing of the others, on any route. The routes are those of the OpenAPI
//! document: a new one fails the test until it is said here what it tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use perfwatch::api::Options;
use perfwatch::auth::VIEWER;
use perfwatch::host::Host;
use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::source::{Method as SourceMethod, Report};
use reqwest::Method;
use serde_json::{Value, json};

use super::alerts::{now, publish, put, rule};
use super::{start, start_with};
use crate::server::{PASSWORD, Server, Setup, body, detail, places, snapshot};

/// What a route tells of hosts.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// Of the one that the parameter `host` names, with this query besides.
    Named(&'static str),
    /// Of the machine that answers, with this query.
    This(&'static str),
    /// Of the machine that answers, for this body.
    ThisFor(&'static str),
    /// Of all hosts or this machine, what the user may see; this text is about one that may not be seen.
    LeavesOut(&'static str),
    /// The same, with this query.
    LeavesOutOf(&'static str, &'static str),
    /// For administrators, who see all hosts.
    Administrators,
    /// Nothing, because of this.
    Nothing(&'static str),
}
use Told::*;

const RANGE: &str = "start_time=1970-01-01&end_time=2099-01-01";
const PERIODS: &str = "start_time_1=0000&end_time_1=0060&start_time_2=0060&end_time_2=0120";
const ACCOUNT: &str = "it is about the account alone";
const WRITTEN: &str = "it is what administrators wrote for all hosts";

const ROUTES: &[(&str, &str, Told)] = &[
    ("GET", "/api/alerts", LeavesOut("\"rule\":\"busy-here\"")),
    ("GET", "/api/alerts/history", LeavesOut("\"rule\":\"busy-here\"")),
    ("GET", "/api/alerts/rules", LeavesOut("\"raised\":1")),
    ("POST", "/api/alerts/rules/import", Administrators),
    ("PUT", "/api/alerts/rules/{name}", Administrators),
    ("DELETE", "/api/alerts/rules/{name}", Administrators),
    ("GET", "/api/alerts/channels", Administrators),
    ("PUT", "/api/alerts/channels/{name}", Administrators),
    ("DELETE", "/api/alerts/channels/{name}", Administrators),
    ("POST", "/api/alerts/channels/{name}/test", Administrators),
    ("GET", "/api/alerts/maintenance", Nothing(WRITTEN)),
    ("POST", "/api/alerts/maintenance", Administrators),
    ("DELETE", "/api/alerts/maintenance/{id}", Administrators),
    ("POST", "/api/alerts/preview", ThisFor(r#"{"rule":{"name":"x","summary":"x","field":"cpu.usage_percent","warning":{"above":5}}}"#)),
    ("GET", "/api/alerts/silences", Nothing(WRITTEN)),
    ("POST", "/api/alerts/silences", Administrators),
    ("DELETE", "/api/alerts/silences/{id}", Administrators),
    ("POST", "/api/alerts/{episode}/acknowledge", Nothing("tried below: an episode of a hidden host is not found")),
    ("GET", "/api/audit", Administrators),
    ("POST", "/api/auth/login", Nothing(ACCOUNT)),
    ("POST", "/api/auth/logout", Nothing(ACCOUNT)),
    ("GET", "/api/auth/me", Nothing(ACCOUNT)),
    ("PUT", "/api/auth/password", Nothing(ACCOUNT)),
    ("GET", "/api/boards", Nothing("it is what the user saved")),
    ("PUT", "/api/boards/{name}", Nothing("it is what the user saves")),
    ("DELETE", "/api/boards/{name}", Nothing("it is what the user saved")),
    ("GET", "/api/config", LeavesOut("\"kernel\":\"")),
    ("PUT", "/api/config", Administrators),
    ("GET", "/api/config/retention", LeavesOut("\"newest_record\":\"")),
    ("GET", "/api/db-status", Nothing("anyone may ask, and it names no host")),
    ("GET", "/api/doctor", This("")),
    ("GET", "/api/events", Named(RANGE)),
    ("POST", "/api/events", Administrators),
    ("GET", "/api/fleet/changes", LeavesOutOf(PERIODS, "\"compared\":2")),
    ("POST", "/api/fleet/join", Nothing("the token is the right, and the answer is about the machine that asks")),
    ("GET", "/api/fleet/machines", Administrators),
    ("DELETE", "/api/fleet/machines/{host}", Administrators),
    ("GET", "/api/fleet/overview", LeavesOut("testbed")),
    ("GET", "/api/fleet/series", LeavesOutOf("field=cpu.usage_percent&start_time=0000&end_time=0200", "testbed")),
    ("POST", "/api/fleet/tokens", Administrators),
    ("GET", "/api/history/changes", Named(PERIODS)),
    ("GET", "/api/history/compare", Named("metric_type=cpu&start_time_1=0000&end_time_1=0060&start_time_2=0060&end_time_2=0120")),
    ("GET", "/api/history/explain", Named("start_time=0060&end_time=0120")),
    ("GET", "/api/history/export", Named("format=csv&metric_type=cpu&start_time=1970-01-01&end_time=2099-01-01")),
    ("GET", "/api/history/columns", Named("fields=cpu.usage_percent&start_time=1970-01-01&end_time=2099-01-01")),
    ("GET", "/api/history/metrics", Named("metric_type=cpu&start_time=1970-01-01&end_time=2099-01-01")),
    ("GET", "/api/history/metrics/types", Nothing("it is the same everywhere")),
    ("GET", "/api/history/processes", Named("start_time=0001&end_time=0120")),
    ("GET", "/api/hosts", LeavesOut("testbed")),
    ("PUT", "/api/hosts/{host}/labels", Administrators),
    ("GET", "/api/processes", This("limit=1")),
    ("GET", "/api/profiles", Named("kind=cpu&start_time=0001&end_time=0120")),
    ("GET", "/api/profiles/compare", Named("kind=cpu&start_time_1=0000&end_time_1=0060&start_time_2=0060&end_time_2=0120")),
    ("GET", "/api/retention", Nothing(WRITTEN)),
    ("PUT", "/api/retention", Administrators),
    ("POST", "/api/retention/cleanup", Administrators),
    ("GET", "/api/retention/overrides", Nothing(WRITTEN)),
    ("PUT", "/api/retention/overrides", Administrators),
    ("GET", "/api/sources", LeavesOut("\"name\":\"cpu\"")),
    ("GET", "/api/tokens", Nothing(ACCOUNT)),
    ("POST", "/api/tokens", Nothing(ACCOUNT)),
    ("DELETE", "/api/tokens/{id}", Nothing(ACCOUNT)),
    ("GET", "/api/users", Administrators),
    ("POST", "/api/users", Administrators),
    ("PUT", "/api/users/{id}", Administrators),
    ("DELETE", "/api/users/{id}", Administrators),
    ("GET", "/api/ws/metrics", This("")),
    ("GET", "/health", Nothing("anyone may ask, and it names no host")),
    ("GET", "/metrics", LeavesOut("perfwatch_alert_state{rule=\"busy-here\"}")),
];

/// Status and text.
type Answer = (u16, String);

async fn ask(server: &Server, token: &str, method: &str, path: &str, query: &str, body: &str) -> Answer {
    // The stream takes no header.
    let token_too = if path == "/api/ws/metrics" { format!("token={token}") } else { String::new() };
    let path = path.replace("{id}", "1").replace("{name}", "x").replace("{host}", "0123abcd");
    let request = server.request(method.parse().unwrap(), &format!("{path}?{query}{token_too}")).bearer_auth(token);
    let request = match method {
        "GET" => request,
        _ => request.header("content-type", "application/json").body(body.to_owned()),
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A server whose machine has everything to tell, and another host, which users with `role=web` see.
async fn server() -> Option<Server> {
    let options = Options { viewers_acknowledge: true, ..Options::default() };
    let server = start_with(Setup { options, ..Setup::default() }).await?;
    let labelled = |host: Host, labels: &str| Host { own_labels: labels.parse().unwrap(), ..host };
    let this = labelled(Host::new("0123abcd", "testbed"), "role=db,site=fra");
    server.store.introduce(&this).await.unwrap();
    server.store.introduce(&labelled(Host::new("4567cdef", "web-1"), "role=web,site=fra")).await.unwrap();
    for second in 0..130 {
        server.writer.submit_waiting(snapshot(second, "")).await;
    }
    server.writer.drained().await;
    let report = Report::active("cpu", MetricType::Cpu, SourceMethod::Procfs);
    server.source_status.publish(vec![report]);
    let admin = server.token().await;
    body(put(&server, &admin, &rule("busy-here", 50.0)).await, 201).await;
    publish(&server, now(), 90.0);
    for _ in 0..500 {
        let rules = server.get_as(&admin, "/api/alerts/rules").await.text().await.unwrap();
        if rules.contains("\"raised\":1") {
            return Some(server);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nothing is raised");
}

async fn add_eve(server: &Server, hosts: &str) -> i64 {
    server.add_user("eve", VIEWER).await;
    let eve = server.store.user_by_name("eve").await.unwrap().unwrap();
    assert!(server.store.set_hosts(eve.id, hosts).await.unwrap());
    eve.id
}

#[tokio::test]
async fn no_route_tells_a_limited_user_of_other_hosts() {
    let Some(server) = server().await else { return };
    add_eve(&server, "role=web").await;
    let (admin, eve) = (server.token().await, server.token_of("eve").await);
    let scopes = json!({"name": "script", "scopes": ["read", "metrics"]});
    let made = body(server.send_as(&eve, Method::POST, "/api/tokens", &scopes).await, 201).await;
    let script = made["token"].as_str().unwrap();

    let document = body(server.get("/openapi.json").await, 200).await;
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let classified: BTreeSet<(String, String)> =
        ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, classified, "say in ROUTES what each route tells of hosts");

    let nowhere = ask(&server, &eve, "GET", "/api/events", &format!("{RANGE}&host=nowhere"), "").await;
    assert_eq!(nowhere.0, 400);
    for (method, path, told) in ROUTES {
        let users: &[&str] = if *method == "GET" { &[&eve, script] } else { &[&eve] };
        for user in users {
            let by = |token, query: String, body| ask(&server, token, method, path, Box::leak(query.into_boxed_str()), body);
            match *told {
                Named(query) => {
                    for host in ["&host=0123abcd", "&host=testbed", ""] {
                        let asked = format!("{query}{host}");
                        let shown = by(&admin, asked.clone(), "").await;
                        assert_eq!(shown.0, 200, "{path}{host}: {}", shown.1);
                        assert_eq!(by(user, asked, "").await, nowhere, "{path}{host}");
                    }
                    let visible = by(user, format!("{query}&host=web-1"), "").await;
                    assert_eq!(visible.0, 200, "{path}: {}", visible.1);
                }
                This(query) => {
                    let query = if query.is_empty() { String::new() } else { format!("{query}&") };
                    // The stream wants more than a request.
                    let shown = by(&admin, query.clone(), "").await.0;
                    assert!(shown == 200 || shown == 426, "{path}: {shown}");
                    assert_eq!(by(user, query, "").await, nowhere, "{path}");
                }
                ThisFor(asked) => {
                    let shown = by(&admin, String::new(), asked).await;
                    assert_eq!(shown.0, 200, "{path}: {}", shown.1);
                    assert_eq!(by(user, String::new(), asked).await, nowhere, "{path}");
                }
                LeavesOut(text) | LeavesOutOf(_, text) => {
                    let query = if let LeavesOutOf(query, _) = *told { query } else { "" };
                    let shown = by(&admin, query.to_owned(), "").await;
                    assert!(shown.0 == 200 && shown.1.contains(text), "{path}: {}", shown.1);
                    let (status, answer) = by(user, query.to_owned(), "").await;
                    assert_eq!(status, 200, "{path}: {answer}");
                    for secret in [text, "testbed", "0123abcd"] {
                        assert!(!answer.contains(secret), "{path}: {answer}");
                    }
                }
                Administrators => {
                    let (status, answer) = by(user, String::new(), "{}").await;
                    assert_eq!(status, 403, "{method} {path}: {answer}");
                }
                Nothing(why) => assert!(!why.is_empty()),
            }
        }
    }

    // An alert of a hidden host is one that does not exist.
    let raised = body(server.get_as(&admin, "/api/alerts").await, 200).await;
    let episode = raised["alerts"][0]["episode"]["id"].as_str().unwrap();
    let acknowledge = async |token: &str, episode: &str| {
        let path = format!("/api/alerts/{episode}/acknowledge");
        server.send_as(token, Method::POST, &path, &json!({})).await
    };
    let hidden = detail(acknowledge(&eve, episode).await, 404).await;
    assert_eq!(hidden, detail(acknowledge(&eve, "none").await, 404).await);
    body(acknowledge(&admin, episode).await, 200).await;
}

#[tokio::test]
async fn labels_decide_what_a_user_sees_and_those_of_administrators_win() {
    let Some(server) = server().await else { return };
    let id = add_eve(&server, "role=web,site=fra").await;
    let (admin, eve) = (server.token().await, server.token_of("eve").await);
    let seen = async |token: &str| {
        let hosts = body(server.get_as(token, "/api/hosts").await, 200).await;
        let hosts = hosts["hosts"].as_array().unwrap();
        hosts.iter().map(|host| host["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((seen(&admin).await, seen(&eve).await), (vec!["testbed".into(), "web-1".into()], vec!["web-1".to_owned()]));
    let label = async |host: &str, labels: Value| {
        let path = format!("/api/hosts/{host}/labels");
        server.send_as(&admin, Method::PUT, &path, &json!({"labels": labels})).await
    };
    body(label("0123abcd", json!({"role": "web"})).await, 200).await;
    body(label("4567cdef", json!({"site": "ams"})).await, 200).await;
    assert_eq!(seen(&eve).await, ["testbed"]);
    assert_eq!(server.get_as(&eve, "/api/processes?limit=1").await.status(), 200);
    // What a machine says of itself changes nothing of that.
    server.store.introduce(&Host::new("0123abcd", "testbed")).await.unwrap();
    assert_eq!(seen(&eve).await, [""; 0], "it no longer says where it is");
    assert_eq!(places(label("4567cdef", json!({"a b": "c"})).await).await, ["body.labels"]);
    assert_eq!(label("unknown", json!({})).await.status(), 404);

    // Limits are set by administrators, for viewers.
    let change = async |change: Value| {
        server.send_as(&admin, Method::PUT, &format!("/api/users/{id}"), &change).await
    };
    assert_eq!(places(change(json!({"hosts": "web"})).await).await, ["body.hosts"]);
    assert_eq!(places(change(json!({"hosts": "role=web", "role": "admin"})).await).await, ["body.hosts"]);
    assert_eq!(body(change(json!({"hosts": " role=web , "})).await, 200).await["hosts"], "role=web");
    detail(server.get_as(&eve, "/api/hosts").await, 401).await;
    let promoted = body(change(json!({"role": "admin"})).await, 200).await;
    assert_eq!((&promoted["role"], &promoted["hosts"]), (&json!("admin"), &json!("")));
    let new = json!({"username": "ann", "password": PASSWORD, "role": "viewer", "hosts": "site=ams"});
    body(server.send_as(&admin, Method::POST, "/api/users", &new).await, 201).await;
    let ann = server.token_of("ann").await;
    assert_eq!(seen(&ann).await, ["web-1"]);
    // What can't be read selects no host.
    let ann = server.store.user_by_name("ann").await.unwrap().unwrap();
    assert!(server.store.set_hosts(ann.id, "nonsense").await.unwrap());
    assert_eq!(seen(&server.token_of("ann").await).await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_is_no_hub_lets_no_machine_join() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let refused = server.send_as(&token, Method::POST, "/api/fleet/tokens", &json!({})).await;
    assert_eq!(detail(refused, 409).await, "Machines join a hub, and this server is none");
    let asked = json!({"token": "x", "public_key": "x", "host": "x", "name": "x"});
    assert_eq!(server.post("/api/fleet/join", &asked).await.status(), 409);
    let machines = body(server.get_as(&token, "/api/fleet/machines").await, 200).await;
    assert_eq!(machines, json!({"hub": false, "can_join": false, "machines": []}));
}

/// An open stream ends when its user may no longer see the machine.
#[tokio::test]
async fn a_stream_ends_with_the_right_to_see_it() {
    use futures_util::StreamExt;
    let Some(server) = server().await else { return };
    add_eve(&server, "role=db").await;
    let (admin, eve) = (server.token().await, server.token_of("eve").await);
    let url = format!("ws://{}/api/ws/metrics?token={eve}", server.address);
    let (mut stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let labels = json!({"labels": {"role": "other"}});
    body(server.send_as(&admin, Method::PUT, "/api/hosts/0123abcd/labels", &labels).await, 200).await;
    let ended = async { while !stream.next().await.unwrap().unwrap().is_close() {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.unwrap();
    drop(Arc::clone(&server.data));
}

#[tokio::test]
async fn some_hosts_keep_history_for_another_time() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let path = "/api/retention/overrides";
    let set = async |hosts: &str, days: i64, after: i64| {
        let one = json!({"hosts": hosts, "retention_days": days, "downsample_after_days": after});
        server.send_as(&token, Method::PUT, path, &json!({"overrides": [one]})).await
    };
    assert_eq!(body(server.get_as(&token, path).await, 200).await, json!({"overrides": []}));
    let kept = body(set(" env=test ,", 14, 2).await, 200).await;
    let expected = json!({"overrides": [{"hosts": "env=test", "retention_days": 14, "downsample_after_days": 2}]});
    assert_eq!(kept, expected);
    for (hosts, days, after, place) in [
        ("", 14, 2, "body.overrides.0.hosts"),
        ("env", 14, 2, "body.overrides.0.hosts"),
        ("env=test", 0, 0, "body.overrides.0.retention_days"),
        ("env=test", 14, 15, "body.overrides.0.downsample_after_days"),
    ] {
        assert_eq!(places(set(hosts, days, after).await).await, [place]);
    }
    assert_eq!(body(server.get_as(&token, path).await, 200).await, expected);
}
