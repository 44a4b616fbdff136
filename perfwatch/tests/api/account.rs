//! Login, logout, tokens and passwords.

use std::time::Duration;

use perfwatch::auth::VIEWER;
use perfwatch::auth::tokens::Tokens;
use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{start, start_with};
use crate::server::{PASSWORD, SECRET, Setup, body, detail, places};

#[tokio::test]
async fn login_gives_a_token_that_opens_the_api() {
    let Some(server) = start().await else { return };
    let login = body(server.login_as("admin", PASSWORD).await, 200).await;
    assert_eq!((&login["token_type"], &login["expires_in"]), (&json!("bearer"), &json!(86_400)));
    let token = login["access_token"].as_str().unwrap();
    let me = body(server.get_as(token, "/api/auth/me").await, 200).await;
    assert_eq!((&me["username"], &me["role"]), (&json!("admin"), &json!("admin")));
    for time in ["created_at", "last_login"] {
        let text = me[time].as_str().unwrap();
        assert!(text.ends_with('Z'), "{time}: {text}");
        OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    }
    assert!(me["id"].is_i64());
    let sources = body(server.get_as(token, "/api/sources").await, 200).await;
    assert!(sources["sources"].is_array());
}

#[tokio::test]
async fn whatever_is_wrong_with_a_login_the_answer_is_the_same() {
    let Some(server) = start_with(Setup { attempts_per_minute: 1000, ..Setup::default() }).await else { return };
    let over_long = format!("{PASSWORD}{}", "x".repeat(100));
    for (username, password) in [
        ("admin", "wrong"),
        ("nobody", PASSWORD),
        ("admin", &over_long),
        ("admin", "with\0nul"),
        ("ad\0min", PASSWORD),
        ("Admin", PASSWORD),
        ("' OR 1=1 --", "x"),
    ] {
        let answer = server.login_as(username, password).await;
        assert_eq!(detail(answer, 401).await, "Invalid username or password", "{username:?} {password:?}");
    }
    for body in [r#"{"username":"admin","password":"\ud800"}"#, r#"{"username":"\udfff","password":"x"}"#] {
        let request = server.request(Method::POST, "/api/auth/login").header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(detail(answer, 401).await, "Invalid username or password", "{body}");
    }
}

#[tokio::test]
async fn malformed_logins_are_described_without_repeating_them() {
    let Some(server) = start().await else { return };
    let long = "u".repeat(51);
    for (sent, expected) in [
        (json!({}), "body.username"),
        (json!({"username": "admin"}), "body.password"),
        (json!({"username": "", "password": "x"}), "body.username"),
        (json!({"username": long, "password": "x"}), "body.username"),
        (json!({"username": "admin", "password": ""}), "body.password"),
        (json!({"username": 1, "password": "x"}), "body.username"),
        (json!({"username": "admin", "password": ["hunter2"]}), "body.password"),
        (json!([]), "body"),
        (json!(null), "body"),
    ] {
        assert_eq!(places(server.post("/api/auth/login", &sent).await).await, [expected], "{sent}");
    }
    let answer =
        server.post("/api/auth/login", &json!({"username": "admin", "password": {"x": "hunter2"}})).await;
    assert!(!answer.text().await.unwrap().contains("hunter2"));
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_right_password_counts_as_none() {
    let Some(server) = start_with(Setup { attempts_per_minute: 3, ..Setup::default() }).await else { return };
    for _ in 0..5 {
        body(server.login_as("admin", PASSWORD).await, 200).await;
    }
    server.add_user("eve", VIEWER).await;
    for _ in 0..3 {
        detail(server.login_as("eve", "wrong").await, 401).await;
    }
    let refused = server.login_as("eve", PASSWORD).await;
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    detail(refused, 429).await;
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_told() {
    let Some(server) = start().await else { return };
    for path in ["/api/auth/me", "/api/sources", "/api/doctor", "/api/processes"] {
        let missing = server.get(path).await;
        assert_eq!(missing.headers()["www-authenticate"], "Bearer");
        assert_eq!(detail(missing, 401).await, "Not authenticated");
        for bad in ["x", "a.b.c", "", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIiwiZXhwIjo5OTk5OTk5OTk5fQ."] {
            let wrong = server
                .request(Method::GET, path)
                .header("authorization", format!("Bearer {bad} "))
                .send()
                .await
                .unwrap();
            if bad.is_empty() {
                assert_eq!(wrong.status(), 401);
                continue;
            }
            assert_eq!(wrong.headers()["www-authenticate"], "Bearer");
            assert_eq!(detail(wrong, 401).await, "Could not validate credentials", "{bad}");
        }
    }
    // Before the parameters are read.
    let answer = server.request(Method::PUT, "/api/auth/password").body("nonsense").send().await.unwrap();
    detail(answer, 401).await;
    let token = server.token().await;
    let lower = server
        .request(Method::GET, "/api/auth/me")
        .header("authorization", format!("bearer {token}"))
        .send()
        .await
        .unwrap();
    assert_eq!(lower.status(), 200);
}

#[tokio::test]
async fn tokens_for_nobody_of_another_generation_or_past_their_time_are_refused() {
    let Some(server) = start().await else { return };
    let tokens = Tokens::new(SECRET, Duration::from_secs(60));
    let now = OffsetDateTime::now_utc();
    let admin = server.store.user_by_name("admin").await.unwrap().unwrap();
    let good = tokens.issue(admin.id, admin.token_generation, now).unwrap();
    assert_eq!(server.get_as(&good, "/api/auth/me").await.status(), 200, "the control");
    for bad in [
        tokens.issue(admin.id + 77, admin.token_generation, now).unwrap(),
        tokens.issue(admin.id, admin.token_generation + 1, now).unwrap(),
        tokens.issue(admin.id, admin.token_generation, now - Duration::from_secs(61)).unwrap(),
    ] {
        assert_eq!(
            detail(server.get_as(&bad, "/api/auth/me").await, 401).await,
            "Could not validate credentials"
        );
    }
}

#[tokio::test]
async fn logout_ends_this_token_and_no_other() {
    let Some(server) = start().await else { return };
    let (first, second) = (server.token().await, server.token().await);
    let answer = server.send_as(&first, Method::POST, "/api/auth/logout", &Value::Null).await;
    assert_eq!(body(answer, 200).await, json!({"message": "Logged out successfully"}));
    detail(server.get_as(&first, "/api/auth/me").await, 401).await;
    assert_eq!(server.get_as(&second, "/api/auth/me").await.status(), 200);
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_every_token() {
    let Some(server) = start().await else { return };
    let (token, other) = (server.token().await, server.token().await);
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        server.send_as(&token, Method::PUT, "/api/auth/password", &body).await
    };
    assert_eq!(detail(change("wrong", "new password").await, 400).await, "Current password is incorrect");
    assert_eq!(places(change(PASSWORD, "short").await).await, ["body.new_password"]);
    // 37 characters, but 74 bytes.
    assert_eq!(places(change(PASSWORD, &"é".repeat(37)).await).await, ["body.new_password"]);
    assert_eq!(
        body(change(PASSWORD, &"é".repeat(36)).await, 200).await,
        json!({"message": "Password updated successfully"})
    );
    for dead in [&token, &other] {
        detail(server.get_as(dead, "/api/auth/me").await, 401).await;
    }
    detail(server.login_as("admin", PASSWORD).await, 401).await;
    body(server.login_as("admin", &"é".repeat(36)).await, 200).await;
}

#[tokio::test]
async fn a_viewer_may_look() {
    let Some(server) = start().await else { return };
    server.add_user("eve", VIEWER).await;
    let login = body(server.login_as("eve", PASSWORD).await, 200).await;
    let token = login["access_token"].as_str().unwrap();
    assert_eq!(body(server.get_as(token, "/api/auth/me").await, 200).await["role"], "viewer");
    assert_eq!(server.get_as(token, "/api/sources").await.status(), 200);
}

#[tokio::test]
async fn the_generated_first_password_opens_and_its_file_goes_with_it() {
    use perfwatch::auth::first::{First, PASSWORD_FILE, ensure};
    use perfwatch::auth::passwords::Passwords;
    use std::os::unix::fs::PermissionsExt;

    let Some(server) = start_with(Setup { admin: None, ..Setup::default() }).await else { return };
    let data = server.data.path();
    let made = ensure(&*server.store, &Passwords::new(4, 1), data, "chief", None, true).await.unwrap();
    let First::Generated { password, file } = made else { panic!("{made:?}") };
    assert_eq!(file, data.join(PASSWORD_FILE));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("chief {password}\n"));
    let again = ensure(&*server.store, &Passwords::new(4, 1), data, "chief", None, true).await.unwrap();
    assert_eq!(again, First::Exists, "a restart changes nothing");

    let token = body(server.login_as("chief", &password).await, 200).await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let change = json!({"current_password": password, "new_password": "another password"});
    body(server.send_as(&token, Method::PUT, "/api/auth/password", &change).await, 200).await;
    assert!(!file.exists());
}

#[tokio::test]
async fn a_guessable_first_password_is_for_the_machine_itself_only() {
    use perfwatch::auth::first::{First, FirstError, ensure};
    use perfwatch::auth::passwords::Passwords;
    let Some(server) = start_with(Setup { admin: None, ..Setup::default() }).await else { return };
    let (passwords, data) = (Passwords::new(4, 1), server.data.path());
    let made = async |is_public: bool| {
        ensure(&*server.store, &passwords, data, "boss", Some("admin123"), is_public).await
    };
    let refused = made(true).await;
    assert!(matches!(refused, Err(FirstError::Weak)), "{refused:?}");
    assert_eq!(made(false).await.unwrap(), First::Configured { weak: true });
    let later = made(true).await;
    assert!(matches!(later, Err(FirstError::StillWeak(_))), "then put behind a proxy: {later:?}");
    let boss = server.store.user_by_name("boss").await.unwrap().unwrap();
    let hash = passwords.hash("another password").await.unwrap();
    server.store.set_password(boss.id, &hash).await.unwrap();
    assert_eq!(made(true).await.unwrap(), First::Exists, "the setting is out of date, the password good");
}

#[tokio::test]
async fn the_first_account_is_made_only_where_there_is_no_administrator() {
    use perfwatch::auth::first::{First, FirstError, ensure};
    use perfwatch::auth::passwords::Passwords;
    let Some(server) = start().await else { return };
    let (passwords, data) = (Passwords::new(4, 1), server.data.path());
    let names = async || {
        let users = server.store.users().await.unwrap();
        users.into_iter().map(|user| user.username).collect::<Vec<_>>()
    };
    // Another ADMIN_USERNAME creates no second account.
    let made = ensure(&*server.store, &passwords, data, "chief", Some(PASSWORD), true).await.unwrap();
    assert_eq!((made, names().await), (First::Exists, vec!["admin".to_owned()]));
    // A deleted account stays deleted.
    server.add_user("chief", perfwatch::auth::ADMIN).await;
    let admin = server.store.user_by_name("admin").await.unwrap().unwrap();
    assert!(server.store.delete_user(admin.id, perfwatch::auth::ADMIN).await.unwrap());
    let made = ensure(&*server.store, &passwords, data, "admin", Some(PASSWORD), true).await.unwrap();
    assert_eq!((made, names().await), (First::Exists, vec!["chief".to_owned()]));

    let Some(empty) = start_with(Setup { admin: None, ..Setup::default() }).await else { return };
    let refused = ensure(&*empty.store, &passwords, data, "ad\u{200b}min", Some(PASSWORD), true).await;
    assert!(matches!(refused, Err(FirstError::Name(_))), "{refused:?}");
}
