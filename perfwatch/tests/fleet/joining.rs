//! Machines join by a token and are revoked, with NATS in operator mode as `perfwatch fleet init` sets it up.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::sync::Mutex;

use async_nats::{Client, ConnectOptions};
use perfwatch::fleet::hub::members::invite;
use perfwatch::fleet::init::{self, CONFIGURATION, HUB_KEYS};
use perfwatch::fleet::measures::Measures;
use perfwatch::fleet::membership;
use perfwatch::fleet::protocol::{Alive, Origin, alive_subject};
use reqwest::Method;

use super::processes::{HubProcess, client, start};
use super::*;

/// A NATS server in operator mode, and the file with its hubs' keys.
async fn operated(dir: &Path) -> Result<(nats::Nats, String), String> {
    let server = init::Server { listen: "127.0.0.1:4222".into(), store_dir: dir.join("nats"), tls: None };
    assert!(init::init(dir, &server, OffsetDateTime::now_utc().unix_timestamp()).unwrap());
    let configuration = std::fs::read_to_string(dir.join(CONFIGURATION)).unwrap();
    let nats = nats::Nats::start_with(&configuration, "").await?;
    Ok((nats, dir.join(HUB_KEYS).display().to_string()))
}

/// `perfwatch join`, as the machine with this ID.
fn join(hub: &HubProcess, token: &str, data: &Path, id: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.args(["join", &format!("http://{}", hub.address), token]).env_clear();
    command.env("PERFWATCH_DATA_DIR", data).env("PERFWATCH_HOST_ID", id).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

async fn send(hub: &HubProcess, method: Method, path: &str, body: serde_json::Value) -> serde_json::Value {
    let request = client().request(method, format!("http://{}{path}", hub.address)).bearer_auth(&hub.token);
    request.json(&body).send().await.unwrap().json().await.unwrap()
}

async fn token(hub: &HubProcess) -> String {
    let made = send(hub, Method::POST, "/api/fleet/tokens", json!({})).await;
    made["token"].as_str().unwrap().to_owned()
}

/// A client with a joined machine's credentials, and what NATS tells it.
async fn as_machine(
    own: &config::Fleet,
) -> Result<(Client, Arc<Mutex<Vec<String>>>), async_nats::ConnectError> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&told);
    let options = ConnectOptions::new().credentials_file(own.credentials.as_ref().unwrap()).await.unwrap();
    let options = options.max_reconnects(1).event_callback(move |event| {
        events.lock().unwrap().push(event.to_string());
        std::future::ready(())
    });
    Ok((options.connect(own.servers.clone()).await?, told))
}

#[tokio::test]
async fn a_machine_joins_once_sends_as_itself_only_and_is_revoked_for_ever() {
    const TEST: &str = "a_machine_joins_once_sends_as_itself_only_and_is_revoked_for_ever";
    let dirs = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let [setup, of_hub, of_machine, of_other] = dirs.each_ref().map(tempfile::TempDir::path);
    let Some((mut nats, keys)) = or_skipped(TEST, operated(setup).await) else { return };
    let settings = [("PERFWATCH_FLEET_KEYS_FILE", keys.as_str())];
    let hub = HubProcess::start_with(of_hub, &nats, &settings).await;

    let once = token(&hub).await;
    let joined = join(&hub, &once, of_machine, HOST);
    assert!(joined.status.success() && text(&joined).contains("has joined the fleet"), "{}", text(&joined));
    let kept = of_machine.join(membership::DIR).join("user.creds");
    assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(hub.host(HOST).await.unwrap()["state"], "joining");

    // What does not let anybody in.
    let store = store::open(&store::sqlite_url(of_hub)).await.unwrap();
    let (expired, _) = invite(&*store, "test", Duration::ZERO).await.unwrap();
    let fresh = token(&hub).await;
    for (token, id, why) in [
        (once.as_str(), "other", "was used before"),
        (&expired, "other", "has expired"),
        ("pwj_unknown", "other", "is unknown"),
        (&fresh, HOST, "Another machine has joined with this ID"),
    ] {
        let refused = join(&hub, token, of_other, id);
        assert!(!refused.status.success() && text(&refused).contains(why), "{why}: {}", text(&refused));
    }
    let again = join(&hub, &fresh, of_machine, HOST);
    assert!(text(&again).contains("to join anew, remove"), "{}", text(&again));

    // Its history arrives.
    let own = membership::load(of_machine, HOST, 64 << 20).unwrap().unwrap();
    let machine = Machine::start(of_machine, HOST);
    machine.measure(0..60).await;
    let sender =
        Sender::spawn(&own, Host::new(HOST, "web"), machine.outbox.clone(), Duration::ZERO).await.unwrap();
    until("its history", async || (hub.readings(HOST).await.len() == 60).then_some(())).await;
    until("a sign of life", async || hub.host(HOST).await.filter(|host| host["state"] == "live")).await;

    // What is another's, it can neither send nor read.
    let (client, told) = as_machine(&own).await.unwrap();
    let foreign = ["perfwatch.v1.ask.other", "_INBOX.other.>", "perfwatch.v1.chunk.>"];
    for subject in foreign {
        client.subscribe(subject).await.unwrap();
    }
    let forged = ["perfwatch.v1.alive.other", "perfwatch.v1.wanted", "perfwatch.v1.aside"];
    for subject in forged {
        client.publish(subject, "x".into()).await.unwrap();
    }
    client.subscribe("perfwatch.v1.ask.web~1").await.unwrap();
    client.publish("perfwatch.v1.alive.web~1", "x".into()).await.unwrap();
    until("all refusals", async || {
        let told = told.lock().unwrap().join("\n").to_lowercase();
        foreign.iter().chain(&forged).all(|subject| told.contains(&subject.to_lowercase())).then_some(())
    })
    .await;
    assert!(!told.lock().unwrap().join("\n").contains("web~1"), "its own it can");

    // Revoked, at once and for ever.
    let path = format!("/api/fleet/machines/{HOST}");
    let revoked = send(&hub, Method::DELETE, &path, json!({})).await;
    assert_eq!(revoked["message"], "Machine revoked");
    until("the end of the connection", async || {
        told.lock().unwrap().iter().any(|event| event == "disconnected").then_some(())
    })
    .await;
    assert!(as_machine(&own).await.is_err());
    assert_eq!(hub.host(HOST).await.unwrap()["state"], "revoked");
    let twice = send(&hub, Method::DELETE, &path, json!({})).await;
    assert_eq!(twice["detail"], "Not found");
    nats.kill();
    nats.run().await;
    assert!(as_machine(&own).await.is_err(), "after a restart of NATS");
    // NATS has lost what it kept; a hub knows it still.
    nats.kill();
    std::fs::remove_dir_all(setup.join("nats/jwt")).unwrap();
    drop(hub);
    nats.run().await;
    let hub = HubProcess::start_with(of_hub, &nats, &settings).await;
    until("a hub's reminder", async || as_machine(&own).await.is_err().then_some(())).await;

    // An agent joins by its settings, also one that was revoked and gets a new token.
    sender.close().await;
    machine.writer.close().await;
    std::fs::remove_dir_all(of_machine.join(membership::DIR)).unwrap();
    let (address, token) = (format!("http://{}", hub.address), token(&hub).await);
    let settings = [
        ("PERFWATCH_FLEET_URL", ""),
        ("PERFWATCH_HOST_ID", HOST),
        ("PERFWATCH_LABELS", "role=web,site=fra"),
        ("PERFWATCH_JOIN_URL", &address),
        ("PERFWATCH_JOIN_TOKEN", &token),
    ];
    let _agent = start("agent", of_machine, &nats, &settings);
    let web = json!({"role": "web", "site": "fra"});
    until("its labels", async || hub.host(HOST).await.filter(|host| host["labels"] == web)).await;
    let given = send(&hub, Method::PUT, "/api/hosts/web.1/labels", json!({"labels": {"role": "db"}})).await;
    assert_eq!(given["message"], "Labels saved");
    let host = hub.host(HOST).await.unwrap();
    assert_eq!(
        (&host["state"], &host["labels"]["role"], &host["labels"]["site"]),
        (&json!("live"), &json!("db"), &json!("fra"))
    );
}

#[tokio::test]
async fn two_machines_with_one_id_are_found_out() {
    const TEST: &str = "two_machines_with_one_id_are_found_out";
    let Some(nats) = nats(TEST).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let hub = hub(&nats, &store).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut sent = 0;
    // Until the hub hears.
    until("copies", async || {
        sent += 1;
        let name = if sent % 2 == 0 { "web-a" } else { "web-b" };
        let origin = Origin { instance: name.into(), name: name.into(), address: "192.0.2.1".into() };
        let alive = Alive {
            host: HOST.into(),
            sent: 1,
            origin: Some(origin),
            leaving: false,
            measures: Measures::default(),
        };
        client.publish(alive_subject(HOST), serde_json::to_vec(&alive).unwrap().into()).await.unwrap();
        client.flush().await.unwrap();
        (hub.presence.copies().of(HOST).len() == 2).then_some(())
    })
    .await;
    assert!(sent >= 5, "{sent}");
    let mut names: Vec<String> = hub.presence.copies().of(HOST).into_iter().map(|one| one.name).collect();
    names.sort();
    assert_eq!(names, ["web-a", "web-b"]);
    assert_eq!(hub.presence.state(HOST, None, 0).as_str(), "copied");
    hub.receiver.close().await;
}
