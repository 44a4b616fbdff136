//! Requests that are rejected before anything is read or counted, and what must never be rejected.

use perfwatch::api::Options;
use perfwatch::auth::VIEWER;
use perfwatch::config::ProxyHeader;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{start, start_with};
use crate::server::{PASSWORD, Server, Setup, body, detail};

/// The response to raw bytes.
async fn raw(server: &Server, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A server whose only administrator has never logged in, so that no address is known.
async fn behind_a_proxy(told_in: ProxyHeader) -> Option<Server> {
    let options = Options {
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        proxy_header: told_in,
        ..Options::default()
    };
    start_with(Setup { options, attempts_per_minute: 3, ..Setup::default() }).await
}

#[tokio::test]
async fn bad_bytes_in_forwarded_headers_neither_hide_a_guesser_nor_lock_the_machine_out() {
    for told_in in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
        let Some(server) = behind_a_proxy(told_in).await else { return };
        let wrong = json!({"username": "nobody", "password": "wrong"});
        let guess = async |forwarded: &[&[u8]]| {
            let mut request = server.request(Method::POST, "/api/auth/login").json(&wrong);
            for line in forwarded {
                let value = reqwest::header::HeaderValue::from_bytes(line).unwrap();
                request = request.header(told_in.as_str(), value);
            }
            request.send().await.unwrap().status().as_u16()
        };
        let guesser: &[u8] = match told_in {
            ProxyHeader::XForwardedFor => b"198.51.100.7:4711",
            ProxyHeader::Forwarded => b"for=\"198.51.100.7:4711\"",
        };
        let sent: [&[u8]; 4] = [b"\xff", b"127.0.0.1", b"for=\"[::1]", b"[2001:db8::1]:80"];
        // Whatever it sends along, it has three guesses.
        let mut refused = 0;
        for line in sent {
            if guess(&[line, guesser]).await == 429 {
                refused += 1;
            }
            if guess(&[&[line, b", ", guesser].concat()]).await == 429 {
                refused += 1;
            }
        }
        assert_eq!(refused, 5, "of eight");
        for _ in 0..5 {
            guess(&[b"\xff"]).await;
        }
        body(server.login_as("admin", PASSWORD).await, 200).await;
        let audit = server.store.audit(None, 100).await.unwrap();
        let from = |address: &str| audit.iter().filter(|entry| entry.address == address).count();
        assert_eq!(from("198.51.100.7"), 3);
        assert_eq!(from("127.0.0.1"), 1, "the login");
    }
}

#[tokio::test]
async fn only_json_is_read() {
    let Some(server) = start().await else { return };
    let login = json!({"username": "admin", "password": PASSWORD}).to_string();
    let sent_as = async |kind: &str| {
        let request = server.request(Method::POST, "/api/auth/login").header("content-type", kind);
        request.body(login.clone()).send().await.unwrap().status().as_u16()
    };
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(sent_as(kind).await, 200, "{kind}");
    }
    // What pages of any origin may send without a preflight.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; application/json", ""] {
        assert_eq!(sent_as(kind).await, 415, "{kind}");
    }
    let bare = server.request(Method::POST, "/api/auth/login").body(login.clone()).send().await.unwrap();
    detail(bare, 415).await;
}

#[tokio::test]
async fn a_foreign_page_locks_nobody_out() {
    let Some(server) = start_with(Setup { attempts_per_minute: 3, ..Setup::default() }).await else { return };
    let wrong = json!({"username": "admin", "password": "wrong"});
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        for kind in ["text/plain", "application/json"] {
            for _ in 0..5 {
                let request = server.request(Method::POST, "/api/auth/login").header("origin", origin);
                let request = request.header("content-type", kind).body(wrong.to_string());
                assert_eq!(request.send().await.unwrap().status(), 403, "{origin} {kind}");
            }
        }
    }
    let own = server.request(Method::POST, "/api/auth/login").header("origin", format!("http://{}", server.address));
    let own = own.json(&json!({"username": "admin", "password": PASSWORD})).send().await.unwrap();
    body(own, 200).await;
    let audit = server.store.audit(None, 100).await.unwrap();
    assert_eq!(audit.len(), 1, "nothing was counted: {audit:?}");
}

#[tokio::test]
async fn a_familiar_address_with_the_right_password_always_gets_in() {
    let Some(server) = start_with(Setup { attempts_per_minute: 3, ..Setup::default() }).await else { return };
    body(server.login_as("admin", PASSWORD).await, 200).await;
    for _ in 0..5 {
        detail(server.login_as("admin", "wrong").await, 401).await;
    }
    body(server.login_as("admin", PASSWORD).await, 200).await;
    server.add_user("eve", VIEWER).await;
    for _ in 0..3 {
        detail(server.login_as("eve", "wrong").await, 401).await;
    }
    detail(server.login_as("eve", PASSWORD).await, 429).await;
    body(server.login_as("admin", PASSWORD).await, 200).await;
}

#[tokio::test]
async fn attempts_refused_for_the_stores_sake_are_no_failures() {
    let Some(server) = start_with(Setup { attempts_per_minute: 3, ..Setup::default() }).await else { return };
    server.store.close().await;
    for _ in 0..10 {
        detail(server.login_as("admin", PASSWORD).await, 503).await;
    }
}

#[tokio::test]
async fn two_hosts_are_refused() {
    let Some(server) = start().await else { return };
    let one = raw(&server, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(one.starts_with("HTTP/1.1 200"), "{one}");
    for second in ["localhost", "evil.example"] {
        let request =
            format!("GET /health HTTP/1.1\r\nhost: localhost\r\nHost: {second}\r\nconnection: close\r\n\r\n");
        let two = raw(&server, request.as_bytes()).await;
        assert!(two.starts_with("HTTP/1.1 400"), "{two}");
    }
}

#[tokio::test]
async fn a_request_with_two_ends_is_refused() {
    let Some(server) = start().await else { return };
    let chunked = "0\r\n\r\n";
    for headers in ["content-length: 5\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"] {
        // Also after another request, and with one after it.
        let (before, behind) = ("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let request = format!("POST /api/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\r\n\r\n{chunked}");
        let answer = raw(&server, format!("{before}{request}{behind}").as_bytes()).await;
        let statuses: Vec<_> = answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "400"], "{answer}");
    }
    let whole = r#"{"username":"x","password":"y"}"#;
    let chunked = format!("{:x}\r\n{whole}\r\n0\r\n\r\n", whole.len());
    let request = format!("POST /api/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunked}");
    let answer = raw(&server, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "one alone is read: {answer}");
}

#[tokio::test]
async fn load_balancers_may_ask_for_health_without_a_host() {
    let Some(server) = start().await else { return };
    let health = raw(&server, b"GET /health HTTP/1.0\r\n\r\n").await;
    assert!(health.starts_with("HTTP/1.0 200") && health.contains("healthy"), "{health}");
    for (request, status) in [
        (&b"GET /api/sources HTTP/1.0\r\n\r\n"[..], "421"),
        (b"GET / HTTP/1.0\r\n\r\n", "421"),
        (b"GET /health HTTP/1.0\r\nhost: evil.example\r\n\r\n", "421"),
        (b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", "421"),
    ] {
        let answer = raw(&server, request).await;
        assert_eq!(&answer[9..12], status, "{answer}");
    }
}

#[tokio::test]
async fn below_what_machines_ask_for_is_no_page() {
    let Some(server) = start().await else { return };
    for path in ["/metrics/", "/metrics/x", "/health/", "/openapi.json/", "/docs/x/", "/api/"] {
        detail(server.get(path).await, 404).await;
    }
}

#[tokio::test]
async fn no_time_makes_a_request_fail() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let times = [
        "-62167219200", "-62167219201", "-62167219200.5", "-62135596800", "-99999999999", "-253402300800", "-377705116800",
        "-377705116801", "253402300799", "253402300799.999999999", "253402300800", "9223372036854775807",
        "-9223372036854775808", "18446744073709551616", "0000-01-01", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
        "0000-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "0", "-0", "-0.5", "1",
    ];
    for start in times {
        for end in times {
            for path in [
                format!("/api/history/metrics?metric_type=cpu&start_time={start}&end_time={end}"),
                format!("/api/history/metrics?metric_type=cpu&interval=1d&start_time={start}&end_time={end}"),
                format!("/api/history/processes?name=x&interval=6h&start_time={start}&end_time={end}"),
                format!("/api/history/export?format=csv&metric_type=cpu&interval=1d&start_time={start}&end_time={end}"),
                format!("/api/history/changes?start_time_1={start}&end_time_1={end}&start_time_2={start}&end_time_2={end}"),
                format!("/api/history/compare?metric_type=cpu&start_time_1={start}&end_time_1={end}&start_time_2={start}&end_time_2={end}"),
            ] {
                let answer = server.get_as(&token, &path).await;
                assert!(answer.status().as_u16() < 500, "{path}: {}", answer.text().await.unwrap());
                answer.bytes().await.unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        }
    }
}
