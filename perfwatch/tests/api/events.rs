//! What people and scripts note of the machine.

use reqwest::Method;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::start;
use crate::server::{Server, body, detail, places};

const RANGE: &str = "start_time=2026-02-01T12:00:00Z&end_time=2026-02-01T13:00:00Z";

async fn note(server: &Server, token: &str, event: Value) -> reqwest::Response {
    server.send_as(token, Method::POST, "/api/events", &event).await
}

#[tokio::test]
async fn what_is_noted_is_listed_and_explains_its_time() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let before = OffsetDateTime::now_utc();
    let now = body(note(&server, &token, json!({"text": " Rolled back "})).await, 201).await;
    assert_eq!((&now["text"], &now["labels"], &now["username"]), (&json!("Rolled back"), &json!({}), &json!("admin")));
    let at = perfwatch_time(&now);
    assert!(at >= before - Duration::MICROSECOND && at <= OffsetDateTime::now_utc());

    let labels = json!({"version": "1.42", "by": "ci"});
    let event = json!({"text": "Deployed shop", "time": "2026-02-01T13:30:00+01:00", "labels": labels});
    let noted = body(note(&server, &token, event).await, 201).await;
    assert_eq!((&noted["kind"], &noted["timestamp"]), (&json!("mark"), &json!("2026-02-01T12:30:00Z")));
    let listed = body(server.get_as(&token, &format!("/api/events?{RANGE}")).await, 200).await;
    assert_eq!(listed, json!({"events": [noted], "truncated": false}));
    let explained = body(server.get_as(&token, &format!("/api/history/explain?{RANGE}")).await, 200).await;
    assert_eq!(explained["events"], json!([noted]));
    let after = "start_time=2026-02-01T12:30:05Z&end_time=2026-02-01T12:31:05Z";
    let explained = body(server.get_as(&token, &format!("/api/history/explain?{after}")).await, 200).await;
    assert_eq!(explained["events"], json!([noted]), "a cause comes first");
    let cut = body(server.get_as(&token, "/api/events?start_time=2026-01-01&end_time=2100-01-01&limit=1").await, 200).await;
    assert_eq!(cut, json!({"events": [now], "truncated": true}), "the newest stay");
}

fn perfwatch_time(event: &Value) -> OffsetDateTime {
    let text = event["timestamp"].as_str().unwrap();
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap()
}

#[tokio::test]
async fn events_are_noted_by_administrators_and_tokens_with_the_scope() {
    let Some(server) = start().await else { return };
    let admin = server.token().await;
    server.add_user("ann", "viewer").await;
    let viewer = server.token_of("ann").await;
    let create = async |login: &str, scopes: Value| {
        let new = json!({"name": "ci", "scopes": scopes});
        server.send_as(login, Method::POST, "/api/tokens", &new).await
    };
    assert_eq!(detail(create(&viewer, json!(["events"])).await, 403).await, "Only administrators may note events");
    let secret = async |scopes: Value| body(create(&admin, scopes).await, 201).await["token"].as_str().unwrap().to_owned();
    let (noting, reading) = (secret(json!(["events"])).await, secret(json!(["read", "metrics"])).await);
    let event = json!({"text": "Deployed"});
    assert_eq!(note(&server, &noting, event.clone()).await.status(), 201);
    for (token, why) in [
        (&reading, "The API token's scopes do not allow this"),
        (&viewer, "Administrator rights required"),
    ] {
        assert_eq!(detail(note(&server, token, event.clone()).await, 403).await, why);
    }
    assert_eq!(server.post("/api/events", &event).await.status(), 401);
    // A token that notes does nothing else.
    for path in ["/api/config", "/metrics", &format!("/api/events?{RANGE}")] {
        assert_eq!(server.get_as(&noting, path).await.status(), 403, "{path}");
    }
    // Viewers see what others noted.
    assert_eq!(server.get_as(&viewer, &format!("/api/events?{RANGE}")).await.status(), 200);
}

#[tokio::test]
async fn what_is_wrong_with_an_event_is_named_and_nothing_is_noted() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let many: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    let tomorrow = (OffsetDateTime::now_utc() + Duration::DAY).unix_timestamp().to_string();
    for (event, place) in [
        (json!({}), "body.text"),
        (json!({"text": "  "}), "body.text"),
        (json!({"text": "two\nlines"}), "body.text"),
        (json!({"text": "x".repeat(501)}), "body.text"),
        (json!({"text": "x", "time": "noon"}), "body.time"),
        (json!({"text": "x", "time": tomorrow}), "body.time"),
        (json!({"text": "x", "labels": {"": "x"}}), "body.labels"),
        (json!({"text": "x", "labels": {"a": "x".repeat(201)}}), "body.labels"),
        (json!({"text": "x", "labels": {"a": "\u{1b}[2J"}}), "body.labels"),
        (json!({"text": "x", "labels": many}), "body.labels"),
    ] {
        assert_eq!(places(note(&server, &token, event.clone()).await).await, [place], "{event}");
    }
    let all = body(server.get_as(&token, "/api/events?start_time=2000-01-01&end_time=2100-01-01").await, 200).await;
    assert_eq!(all["events"], json!([]));
    assert_eq!(places(server.get_as(&token, "/api/events?end_time=x").await).await, ["query.start_time", "query.end_time"]);
}

#[tokio::test]
async fn an_account_can_note_only_so_many_events_a_minute() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let mut refused = None;
    for n in 0..=60 {
        let response = note(&server, &token, json!({"text": n.to_string()})).await;
        if response.status() != 201 {
            refused = Some(response);
        }
    }
    let refused = refused.expect("the last one was too many");
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(detail(refused, 429).await, "Too many events; try again later");
}
