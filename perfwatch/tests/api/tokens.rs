//! API tokens: scoped, expiring, shown once, revocable.

use futures_util::StreamExt;
use perfwatch::auth::VIEWER;
use perfwatch::store::access::NewApiToken;
use reqwest::Method;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::start;
use crate::server::{Server, body, detail, places};

async fn create(server: &Server, login: &str, new: Value) -> Value {
    body(server.send_as(login, Method::POST, "/api/tokens", &new).await, 201).await
}

fn secret(created: &Value) -> &str {
    created["token"].as_str().unwrap()
}

#[tokio::test]
async fn a_read_token_reads_and_changes_nothing() {
    let Some(server) = start().await else { return };
    let login = server.token().await;
    let made = create(&server, &login, json!({"name": "script", "scopes": ["read"]})).await;
    assert!(secret(&made).starts_with("pwt_"));
    assert_eq!((&made["name"], &made["scopes"]), (&json!("script"), &json!(["read"])));
    for path in [
        "/api/auth/me",
        "/api/sources",
        "/api/doctor",
        "/api/processes",
        "/api/config",
        "/api/retention",
        "/api/history/metrics/types",
    ] {
        assert_eq!(server.get_as(secret(&made), path).await.status(), 200, "{path}");
    }
    for (method, path) in [
        (Method::PUT, "/api/config"),
        (Method::PUT, "/api/retention"),
        (Method::POST, "/api/retention/cleanup"),
        (Method::POST, "/api/auth/logout"),
        (Method::PUT, "/api/auth/password"),
        (Method::GET, "/api/boards"),
        (Method::PUT, "/api/boards/mine"),
        (Method::DELETE, "/api/boards/mine"),
        (Method::GET, "/api/users"),
        (Method::POST, "/api/users"),
        (Method::GET, "/api/audit"),
        (Method::GET, "/api/tokens"),
        (Method::POST, "/api/tokens"),
        (Method::DELETE, "/api/tokens/1"),
    ] {
        let refused = server.send_as(secret(&made), method.clone(), path, &json!({})).await;
        let sentence = detail(refused, 403).await;
        assert_eq!(sentence, "The API token's scopes do not allow this", "{method} {path}");
    }
}

#[tokio::test]
async fn a_metrics_token_reads_nothing_else() {
    let Some(server) = start().await else { return };
    let login = server.token().await;
    let made = create(&server, &login, json!({"name": "prometheus", "scopes": ["metrics"]})).await;
    for path in ["/api/auth/me", "/api/sources", "/api/doctor", "/api/config"] {
        detail(server.get_as(secret(&made), path).await, 403).await;
    }
    let url = format!("ws://{}/api/ws/metrics?token={}", server.address, secret(&made));
    assert!(connect_async(url).await.is_err());
}

#[tokio::test]
async fn tokens_are_listed_without_themselves_and_tell_when_they_were_used() {
    let Some(server) = start().await else { return };
    let login = server.token().await;
    let made = create(&server, &login, json!({"name": "a", "scopes": ["read", "metrics"], "expires_in_days": 1})).await;
    let listed = server.get_as(&login, "/api/tokens").await.text().await.unwrap();
    assert!(!listed.contains("pwt_"));
    let row: Value = serde_json::from_str(&listed).unwrap();
    let row = &row["tokens"][0];
    assert_eq!((&row["username"], &row["last_used"]), (&json!("admin"), &json!(null)));
    assert_eq!(row["scopes"], json!(["read", "metrics"]));
    let expires = row["expires_at"].as_str().unwrap();
    let expires = OffsetDateTime::parse(expires, &time::format_description::well_known::Rfc3339).unwrap();
    let left = expires - OffsetDateTime::now_utc();
    assert!(left > Duration::hours(23) && left <= Duration::DAY);
    body(server.get_as(secret(&made), "/api/auth/me").await, 200).await;
    let listed = body(server.get_as(&login, "/api/tokens").await, 200).await;
    assert!(listed["tokens"][0]["last_used"].is_string());
}

#[tokio::test]
async fn a_token_dies_by_revocation_expiry_and_with_its_owner() {
    let Some(server) = start().await else { return };
    server.add_user("eve", VIEWER).await;
    let (admin, eve) = (server.token().await, server.token_of("eve").await);
    let new = json!({"name": "x", "scopes": ["read"]});
    let (own, hers) = (create(&server, &admin, new.clone()).await, create(&server, &eve, new.clone()).await);
    // Cannot see or revoke another user's token.
    let listed = body(server.get_as(&eve, "/api/tokens").await, 200).await;
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1);
    let path = |token: &Value| format!("/api/tokens/{}", token["id"]);
    detail(server.send_as(&eve, Method::DELETE, &path(&own), &Value::Null).await, 404).await;
    // But an administrator may.
    assert_eq!(body(server.get_as(&admin, "/api/tokens").await, 200).await["tokens"].as_array().unwrap().len(), 2);
    let revoked = server.send_as(&admin, Method::DELETE, &path(&hers), &Value::Null).await;
    assert_eq!(body(revoked, 200).await, json!({"message": "Token revoked"}));
    let dead = server.get_as(secret(&hers), "/api/auth/me").await;
    assert_eq!(detail(dead, 401).await, "Could not validate credentials");

    let hers = create(&server, &eve, new).await;
    let owner = server.store.user_by_name("eve").await.unwrap().unwrap();
    let gone = server.send_as(&admin, Method::DELETE, &format!("/api/users/{}", owner.id), &Value::Null).await;
    body(gone, 200).await;
    detail(server.get_as(secret(&hers), "/api/auth/me").await, 401).await;

    let user_id = server.store.user_by_name("admin").await.unwrap().unwrap().id;
    // SHA-256 of pwt_x and pwt_y
    let (x, y) = (
        "c804afa84ce308615553b19ca3cc8940e188c08bf5779beba5abe3cdd5d47087",
        "3f61eb47add2aa92a6769a85ac47e719ce752c42b3f4f1d9f71dfbb852ae102d",
    );
    let now = OffsetDateTime::now_utc();
    for (hash, expires_at) in [(x, now + Duration::MINUTE), (y, now - Duration::SECOND)] {
        let new = NewApiToken { user_id, name: "known", scopes: "read", hash, expires_at };
        server.store.create_api_token(&new).await.unwrap();
    }
    assert_eq!(server.get_as("pwt_x", "/api/auth/me").await.status(), 200, "the control");
    detail(server.get_as("pwt_y", "/api/auth/me").await, 401).await;
}

#[tokio::test]
async fn a_revoked_token_ends_its_stream() {
    let Some(server) = start().await else { return };
    let login = server.token().await;
    let made = create(&server, &login, json!({"name": "wall", "scopes": ["read"]})).await;
    let url = format!("ws://{}/api/ws/metrics?token={}", server.address, secret(&made));
    let (mut socket, _) = connect_async(url).await.unwrap();
    server.publish(1);
    assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
    let path = format!("/api/tokens/{}", made["id"]);
    body(server.send_as(&login, Method::DELETE, &path, &Value::Null).await, 200).await;
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("the stream goes on") };
    assert_eq!(u16::from(frame.code), 4001);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_token_is_named() {
    let Some(server) = start().await else { return };
    let login = server.token().await;
    for (new, expected) in [
        (json!({}), vec!["body.name"]),
        (json!({"name": "", "scopes": ["read"]}), vec!["body.name"]),
        (json!({"name": "a\0", "scopes": ["read"]}), vec!["body.name"]),
        (json!({"name": "x".repeat(101), "scopes": ["read"]}), vec!["body.name"]),
        (json!({"name": "a", "scopes": []}), vec!["body.scopes"]),
        (json!({"name": "a", "scopes": ["write"]}), vec!["body.scopes"]),
        (json!({"name": "a", "scopes": ["read"], "expires_in_days": 0}), vec!["body.expires_in_days"]),
        (
            json!({"name": "", "scopes": [], "expires_in_days": 366}),
            vec!["body.name", "body.scopes", "body.expires_in_days"],
        ),
    ] {
        let answer = server.send_as(&login, Method::POST, "/api/tokens", &new).await;
        assert_eq!(places(answer).await, expected, "{new}");
    }
    for stranger in [(Method::GET, "/api/tokens"), (Method::POST, "/api/tokens"), (Method::DELETE, "/api/tokens/1")] {
        detail(server.request(stranger.0, stranger.1).send().await.unwrap(), 401).await;
    }
}

#[tokio::test]
async fn while_the_store_is_away_a_token_that_was_checked_shows_what_is_measured() {
    let Some(server) = start().await else { return };
    let (known, unknown) = (server.token().await, server.token().await);
    assert_eq!(server.get_as(&known, "/api/sources").await.status(), 200);
    server.store.close().await;
    server.publish(7);
    for path in ["/api/sources", "/metrics", "/api/doctor"] {
        assert_eq!(server.get_as(&known, path).await.status(), 200, "{path}");
        detail(server.get_as(&unknown, path).await, 503).await;
    }
    let url = format!("ws://{}/api/ws/metrics?token={known}", server.address);
    let (mut stream, _) = connect_async(url).await.unwrap();
    let message = stream.next().await.unwrap().unwrap();
    assert!(message.to_text().unwrap().contains("usage_percent"), "{message}");
    // What needs the store says so.
    let history = "/api/history/metrics?metric_type=cpu&start_time=2026-01-01&end_time=2026-01-02&host=x";
    detail(server.get_as(&known, history).await, 503).await;
}

#[tokio::test]
async fn a_token_that_died_is_not_remembered() {
    let Some(server) = start().await else { return };
    let (out, dead) = (server.token().await, server.token().await);
    for token in [&out, &dead] {
        assert_eq!(server.get_as(token, "/api/sources").await.status(), 200);
    }
    let left = server.send_as(&out, Method::POST, "/api/auth/logout", &Value::Null).await;
    assert_eq!(left.status(), 200);
    server.store.close().await;
    for token in [&out, &dead] {
        detail(server.get_as(token, "/api/sources").await, 503).await;
    }
}
