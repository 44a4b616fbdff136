//! A NATS server that knows its users by their JWTs, as made by `nsc`, and machines with credentials files.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::Value;

use super::*;

/// A JWT of NATS: about whom, by whom.
fn token(subject: &KeyPair, issuer: &KeyPair, nats: &Value) -> String {
    let encode = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({
        "jti": subject.public_key(), "iat": 1_700_000_000, "name": "fleet",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats,
    });
    let text = format!("{}.{}", encode(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), encode(&claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

fn account(of: &KeyPair, operator: &KeyPair, storage: i64) -> String {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
    });
    token(of, operator, &json!({"type": "account", "version": 2, "limits": limits}))
}

/// A new user's credentials file.
fn credentials(dir: &Path, account: &KeyPair, allowed: &Value) -> std::path::PathBuf {
    let user = KeyPair::new_user();
    let nats = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": allowed, "sub": {}});
    let path = dir.join(format!("{}.creds", user.public_key()));
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        token(&user, account, &nats),
        user.seed().unwrap()
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_machine_is_let_in_by_its_credentials_file() {
    const TEST: &str = "a_machine_is_let_in_by_its_credentials_file";
    let (operator, fleet_account, system) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let configuration = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
        token(&operator, &operator, &json!({"type": "operator", "version": 2})),
        system.public_key(),
        system.public_key(),
        account(&system, &operator, 0),
        fleet_account.public_key(),
        account(&fleet_account, &operator, -1),
    );
    let started = nats::Nats::start_with(&configuration, "").await;
    let Some(nats) = or_skipped(TEST, started) else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let with = |allowed: &Value| {
        let file = credentials(dir.path(), &fleet_account, allowed);
        config::Fleet { credentials: Some(file), ..fleet(&nats) }
    };
    let hub = hub_of(&with(&json!({})), &store).await;
    let machine = Machine::start(dir.path(), HOST);
    machine.measure(0..60).await;
    let subjects = ["chunk.web~1.*", "host.web~1", "alive.web~1"].map(|name| format!("perfwatch.v1.{name}"));
    let own = with(&json!({"allow": subjects}));
    let sender =
        Sender::spawn(&own, Host::new(HOST, "web"), machine.outbox.clone(), Duration::ZERO).await.unwrap();
    arrived(&store, HOST, 60).await;
    sender.close().await;
    hub.receiver.close().await;
    machine.writer.close().await;
}
