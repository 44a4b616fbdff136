//! Saved boards: of each user, limited, and checked.

use perfwatch::auth::VIEWER;
use reqwest::Method;
use serde_json::{Value, json};

use super::start;
use crate::server::{Server, body, detail, places};

async fn save(server: &Server, login: &str, name: &str, content: &Value) -> reqwest::Response {
    server.send_as(login, Method::PUT, &format!("/api/boards/{name}"), content).await
}

fn board_of(fields: &[&str]) -> Value {
    json!({"panels": [{"metric_type": "cpu", "fields": fields}]})
}

#[tokio::test]
async fn each_user_has_their_own_boards() {
    let Some(server) = start().await else { return };
    server.add_user("eve", VIEWER).await;
    let (admin, eve) = (server.token().await, server.token_of("eve").await);
    let disks = json!({"panels": [
        {"metric_type": "block_io", "fields": ["devices.vda.read.histogram"]},
        {"metric_type": "cpu", "fields": ["usage_percent", "per_core.3"]},
    ]});
    body(save(&server, &eve, "Disks%20%2F%20CPU", &disks).await, 200).await;
    body(save(&server, &eve, "Cores", &board_of(&["per_core"])).await, 200).await;
    body(save(&server, &eve, "Cores", &board_of(&["usage_percent"])).await, 200).await;
    let listed = body(server.get_as(&eve, "/api/boards").await, 200).await;
    let listed = listed["boards"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("Cores"), &json!("Disks / CPU")));
    assert_eq!(listed[0]["panels"][0]["fields"], json!(["usage_percent"]), "the later one holds");
    assert_eq!(listed[1]["panels"], disks["panels"]);
    assert!(listed[0]["updated_at"].is_string());

    assert_eq!(body(server.get_as(&admin, "/api/boards").await, 200).await["boards"], json!([]));
    let gone = |login: String| {
        let server = &server;
        async move { server.send_as(&login, Method::DELETE, "/api/boards/Cores", &json!({})).await }
    };
    assert_eq!(gone(admin).await.status(), 404, "of another user");
    body(gone(eve.clone()).await, 200).await;
    assert_eq!(gone(eve.clone()).await.status(), 404);
    let left = body(server.get_as(&eve, "/api/boards").await, 200).await;
    assert_eq!(left["boards"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/boards").await.status(), 401);
}

#[tokio::test]
async fn bad_boards_are_refused_with_what_is_wrong() {
    let Some(server) = start().await else { return };
    let login = server.token().await;
    let long = "x".repeat(65);
    let bad_names = ["%20", "%20a", "ad%E2%80%AEnim", "a%0Ab", "%FF", &long];
    for name in bad_names {
        let refused = save(&server, &login, name, &board_of(&["user"])).await;
        assert_eq!(places(refused).await, ["path.name"], "{name}");
    }
    let many: Vec<Value> =
        (0..25).map(|_| json!({"metric_type": "cpu", "fields": ["user"]})).collect();
    let nine = ["f"; 9];
    let (endless, large) = ("f".repeat(513), "f".repeat(500));
    let heavy: Vec<Value> =
        (0..24).map(|_| json!({"metric_type": "cpu", "fields": [large, large]})).collect();
    for (content, place) in [
        (json!({"panels": []}), "body.panels"),
        (json!({"panels": many}), "body.panels"),
        (json!({"panels": heavy}), "body.panels"),
        (json!({"panels": [{"metric_type": "nope", "fields": ["user"]}]}), "body.panels.0.metric_type"),
        (board_of(&[]), "body.panels.0.fields"),
        (board_of(&nine), "body.panels.0.fields"),
        (board_of(&[""]), "body.panels.0.fields"),
        (board_of(&["a,b"]), "body.panels.0.fields"),
        (board_of(&["a\u{0}"]), "body.panels.0.fields"),
        (board_of(&[&endless]), "body.panels.0.fields"),
        (json!({"panels": [{"metric_type": "cpu"}]}), "body.panels.0.fields"),
        (json!({"panels": "all"}), "body.panels"),
        (json!({}), "body.panels"),
    ] {
        let refused = save(&server, &login, "board", &content).await;
        assert_eq!(places(refused).await, [place], "{content}");
    }
    assert_eq!(body(server.get_as(&login, "/api/boards").await, 200).await["boards"], json!([]));
}

#[tokio::test]
async fn a_user_has_at_most_fifty() {
    let Some(server) = start().await else { return };
    let login = server.token().await;
    for n in 0..50 {
        body(save(&server, &login, &format!("board{n}"), &board_of(&["user"])).await, 200).await;
    }
    let refused = detail(save(&server, &login, "another", &board_of(&["user"])).await, 409).await;
    assert_eq!(refused, "An account can have at most 50 boards; delete some first");
    body(save(&server, &login, "board7", &board_of(&["system"])).await, 200).await;
}
