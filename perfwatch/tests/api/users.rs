//! Accounts, roles, the audit log, and what must survive a restart.

use perfwatch::auth::VIEWER;
use reqwest::Method;
use serde_json::{Value, json};

use super::{start, start_with};
use crate::server::{PASSWORD, Server, Setup, body, detail, places};

async fn send(server: &Server, token: &str, method: Method, path: &str, body: Value) -> reqwest::Response {
    server.send_as(token, method, path, &body).await
}

/// The actions in the audit log, newest first, with user and detail.
async fn audit(server: &Server, token: &str) -> Vec<(String, String, String)> {
    let log = body(server.get_as(token, "/api/audit").await, 200).await;
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = log["entries"].as_array().unwrap();
    entries.iter().map(|e| (text(e, "username"), text(e, "action"), text(e, "detail"))).collect()
}

#[tokio::test]
async fn an_admin_adds_changes_and_removes_accounts() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let new = json!({"username": "eve", "password": PASSWORD, "role": "viewer"});
    let added = body(send(&server, &token, Method::POST, "/api/users", new.clone()).await, 201).await;
    assert_eq!((&added["username"], &added["role"]), (&json!("eve"), &json!("viewer")));
    assert!(added.get("password_hash").is_none());
    detail(send(&server, &token, Method::POST, "/api/users", new).await, 409).await;
    let listed = body(server.get_as(&token, "/api/users").await, 200).await;
    assert_eq!(listed["users"][1], added);

    let eve = server.token_of("eve").await;
    let path = format!("/api/users/{}", added["id"]);
    let promoted = send(&server, &token, Method::PUT, &path, json!({"role": "admin"})).await;
    assert_eq!(body(promoted, 200).await["role"], "admin");
    detail(server.get_as(&eve, "/api/auth/me").await, 401).await;
    let reset = send(&server, &token, Method::PUT, &path, json!({"password": "another password"})).await;
    body(reset, 200).await;
    detail(server.login_as("eve", PASSWORD).await, 401).await;
    body(server.login_as("eve", "another password").await, 200).await;

    let gone = send(&server, &token, Method::DELETE, &path, Value::Null).await;
    assert_eq!(body(gone, 200).await, json!({"message": "User deleted"}));
    detail(send(&server, &token, Method::DELETE, &path, Value::Null).await, 404).await;
    detail(server.login_as("eve", "another password").await, 401).await;
}

#[tokio::test]
async fn what_is_wrong_with_an_account_is_named_and_changes_nothing() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    for (new, expected) in [
        (json!({"username": "", "password": PASSWORD, "role": "viewer"}), "body.username"),
        (json!({"username": "a\nb", "password": PASSWORD, "role": "viewer"}), "body.username"),
        (json!({"username": "eve", "password": "short", "role": "viewer"}), "body.password"),
        (json!({"username": "eve", "password": "x".repeat(73), "role": "viewer"}), "body.password"),
        (json!({"username": "eve", "password": "nul\0 in the middle", "role": "viewer"}), "body.password"),
        (json!({"username": "eve", "password": PASSWORD, "role": "root"}), "body.role"),
        (json!({"username": "eve", "password": PASSWORD}), "body.role"),
    ] {
        let answer = send(&server, &token, Method::POST, "/api/users", new.clone()).await;
        assert_eq!(places(answer).await, [expected], "{new}");
    }
    let admin = server.store.user_by_name("admin").await.unwrap().unwrap();
    let path = format!("/api/users/{}", admin.id);
    assert_eq!(places(send(&server, &token, Method::PUT, &path, json!({})).await).await, ["body"]);
    let both = json!({"role": "admin", "password": "short"});
    assert_eq!(places(send(&server, &token, Method::PUT, &path, both).await).await, ["body.password"]);
    assert_eq!(places(send(&server, &token, Method::PUT, "/api/users/x", json!({})).await).await, ["path.id"]);
    detail(send(&server, &token, Method::PUT, "/api/users/4711", json!({"role": "admin"})).await, 404).await;
    assert_eq!(server.store.users().await.unwrap().len(), 1);
    assert_eq!(server.get_as(&token, "/api/auth/me").await.status(), 200);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let admin = server.store.user_by_name("admin").await.unwrap().unwrap();
    let path = format!("/api/users/{}", admin.id);
    for answer in [
        send(&server, &token, Method::DELETE, &path, Value::Null).await,
        send(&server, &token, Method::PUT, &path, json!({"role": "viewer"})).await,
    ] {
        assert_eq!(detail(answer, 409).await, "Cannot remove the last administrator");
    }
}

#[tokio::test]
async fn accounts_are_no_business_of_viewers_and_strangers() {
    let Some(server) = start().await else { return };
    server.add_user("eve", VIEWER).await;
    let eve = server.token_of("eve").await;
    for (method, path) in [
        (Method::GET, "/api/users"),
        (Method::POST, "/api/users"),
        (Method::PUT, "/api/users/1"),
        (Method::DELETE, "/api/users/1"),
        (Method::GET, "/api/audit"),
    ] {
        let refused = send(&server, &eve, method.clone(), path, json!({"role": "admin"})).await;
        assert_eq!(detail(refused, 403).await, "Administrator rights required", "{method} {path}");
        let stranger = server.request(method, path).send().await.unwrap();
        assert_eq!(detail(stranger, 401).await, "Not authenticated");
    }
    assert_eq!(server.store.users().await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    detail(server.login_as("admin", "wrong").await, 401).await;
    detail(server.login_as("my secret passphrase", "x").await, 401).await;
    let change = json!({"sampling_interval_seconds": 7});
    body(send(&server, &token, Method::PUT, "/api/config", change).await, 200).await;
    body(send(&server, &token, Method::PUT, "/api/retention", json!({"retention_days": 9})).await, 200).await;
    body(send(&server, &token, Method::POST, "/api/retention/cleanup", Value::Null).await, 200).await;
    let eve = json!({"username": "eve", "password": PASSWORD, "role": "viewer"});
    body(send(&server, &token, Method::POST, "/api/users", eve).await, 201).await;
    let log = audit(&server, &token).await;
    let told: Vec<(&str, &str, &str)> =
        log.iter().map(|(user, action, detail)| (user.as_str(), action.as_str(), detail.as_str())).collect();
    assert_eq!(
        told,
        [
            ("admin", "user_added", "eve as viewer"),
            ("admin", "cleanup", "deleted 0, downsampled 0"),
            ("admin", "retention_changed", r#"{"retention_days":9}"#),
            ("admin", "config_changed", r#"{"sampling_interval_seconds":7}"#),
            ("(unknown)", "login_refused", ""),
            ("admin", "login_refused", ""),
            ("admin", "login", ""),
        ]
    );
    let first = body(server.get_as(&token, "/api/audit?limit=1").await, 200).await;
    assert_eq!(first["entries"][0]["address"], "127.0.0.1");
    let older = format!("/api/audit?limit=1&before={}", first["entries"][0]["id"]);
    assert_eq!(body(server.get_as(&token, &older).await, 200).await["entries"][0]["action"], "cleanup");
    assert_eq!(
        places(server.get_as(&token, "/api/audit?limit=0&before=x").await).await,
        ["query.limit", "query.before"]
    );
    assert!(!format!("{log:?}").contains("passphrase"), "what was typed for a name may be a password");
}

#[tokio::test]
async fn a_restart_gives_a_guesser_no_new_attempts_and_keeps_the_logins() {
    let setup = || Setup { attempts_per_minute: 3, ..Setup::default() };
    let Some(server) = start_with(setup()).await else { return };
    server.add_user("eve", VIEWER).await;
    let token = server.token().await;
    for _ in 0..3 {
        detail(server.login_as("eve", "wrong").await, 401).await;
    }
    detail(server.login_as("eve", PASSWORD).await, 429).await;
    let again = server.restarted(setup()).await;
    detail(again.login_as("eve", PASSWORD).await, 429).await;
    body(again.login_as("admin", PASSWORD).await, 200).await;
    assert_eq!(again.get_as(&token, "/api/auth/me").await.status(), 200, "logins survive");
    let logout = again.send_as(&token, Method::POST, "/api/auth/logout", &Value::Null).await;
    body(logout, 200).await;
    let third = again.restarted(setup()).await;
    detail(third.get_as(&token, "/api/auth/me").await, 401).await;
}

#[tokio::test]
async fn an_account_that_looks_like_another_is_refused() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let add = async |name: &str| {
        let new = json!({"username": name, "password": PASSWORD, "role": "viewer"});
        server.send_as(&token, Method::POST, "/api/users", &new).await
    };
    for alike in ["Admin", "adm\u{131}n", "\u{430}\u{501}\u{43c}\u{456}\u{578}", "adrnin"] {
        let status = add(alike).await.status().as_u16();
        assert!(status == 409 || status == 422, "{alike}: {status}");
    }
    for deceiving in ["ad\u{202e}nim", "ad\u{200b}min2"] {
        assert_eq!(places(add(deceiving).await).await, ["body.username"], "{deceiving:?}");
    }
    assert_eq!(add("j\u{f6}rg").await.status(), 201);
}
