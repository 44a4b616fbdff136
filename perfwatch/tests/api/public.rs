//! What is answered without a login.

use std::time::Duration;

use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::source::{Method as SourceMethod, Report, State};
use reqwest::Method;
use serde_json::json;

use super::start;
use crate::server::{body, detail};

#[tokio::test]
async fn health_is_healthy_and_degrades_with_a_source() {
    let Some(server) = start().await else { return };
    let answer = body(server.get("/health").await, 200).await;
    assert_eq!(answer["status"], "healthy");
    assert_eq!(answer["service"], "perfwatch-backend");
    assert!(answer["version"].is_string());
    let failed =
        Report { state: State::Failed, ..Report::active("cpu", MetricType::Cpu, SourceMethod::Procfs) };
    server.source_status.publish(vec![failed]);
    assert_eq!(body(server.get("/health").await, 200).await["status"], "degraded");
}

#[tokio::test]
async fn a_closed_database_degrades_health_and_is_told_without_details() {
    let Some(server) = start().await else { return };
    assert_eq!(
        body(server.get("/api/db-status").await, 200).await,
        json!({"status": "connected", "database": server.store.engine().as_str()})
    );
    let token = server.token().await;
    server.store.close().await;
    // Known from checking every few seconds.
    let status = loop {
        let status = body(server.get("/api/db-status").await, 200).await;
        if status["status"] != "connected" {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(status["status"], "error");
    let message = status["message"].as_str().unwrap();
    assert!(!message.contains('/') && !message.contains("perfwatch.db"), "{message}");
    let health = body(server.get("/health").await, 200).await;
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["problems"], json!(["The database does not respond"]));
    let unavailable = server.get_as(&token, "/api/auth/me").await;
    assert!(unavailable.headers().contains_key("retry-after"));
    detail(unavailable, 503).await;
}

#[tokio::test]
async fn the_root_is_the_page_or_describes_itself() {
    let Some(server) = start().await else { return };
    let page = server.get("/").await;
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let about = server.request(Method::GET, "/").header("accept", "application/json").send().await.unwrap();
    let about = body(about, 200).await;
    assert_eq!(about["name"], "PerfWatch");
    assert_eq!((&about["docs"], &about["health"]), (&json!("/docs"), &json!("/health")));
    assert!(about["version"].is_string());
}

#[tokio::test]
async fn paths_of_the_pages_own_router_get_the_page() {
    let Some(server) = start().await else { return };
    for path in ["/history?range=24h", "/who/cgroup/system.slice/ssh.service", "/who/name/backup.sh"] {
        let page = server.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
    }
    detail(server.get("/no-such-file.js").await, 404).await;
    detail(server.get("/assets/no-such-file.js").await, 404).await;
    detail(server.request(Method::POST, "/history").send().await.unwrap(), 405).await;
}

#[tokio::test]
async fn what_does_not_exist_is_said_in_json() {
    let Some(server) = start().await else { return };
    for path in ["/api", "/api/", "/api/nothing", "/api/auth/login/x"] {
        assert_eq!(detail(server.get(path).await, 404).await, "Not found", "{path}");
    }
    assert_eq!(detail(server.get("/api/auth/login").await, 405).await, "Method not allowed");
    assert_eq!(
        detail(server.request(Method::DELETE, "/health").send().await.unwrap(), 405).await,
        "Method not allowed"
    );
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_however_they_are_sent() {
    let Some(server) = start().await else { return };
    let big = "x".repeat(65 * 1024);
    let announced = server.request(Method::POST, "/api/auth/login").header("content-type", "application/json");
    let announced = announced.body(big.clone()).send().await.unwrap();
    assert_eq!(detail(announced, 413).await, "Request body too large");

    // Chunked, so that no length is announced.
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        server.address
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // The server may respond and close before all of it is sent.
    let _ = socket.write_all(format!("{:x}\r\n{big}\r\n0\r\n\r\n", big.len()).as_bytes()).await;
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.ends_with(r#"{"detail":"Request body too large"}"#), "{answer}");
}

#[tokio::test]
async fn the_documentation_comes_from_the_binary_without_inline_script() {
    let Some(server) = start().await else { return };
    let document = body(server.get("/openapi.json").await, 200).await;
    assert_eq!(document["openapi"], "3.1.0");
    let page = server.get("/docs").await;
    assert_eq!(page.status(), 200);
    assert_eq!(page.url().path(), "/docs/");
    let page = page.text().await.unwrap();
    let sources: Vec<&str> = page.split("<script").skip(1).map(|tag| tag.split('>').next().unwrap()).collect();
    assert!(sources.len() >= 2);
    for attributes in sources {
        let file = attributes.split("src=\"./").nth(1).expect("each script is a file of ours");
        let file = file.split('"').next().unwrap();
        for encoding in ["gzip", "identity"] {
            let path = format!("/docs/{file}");
            let request = server.request(Method::GET, &path).header("accept-encoding", encoding);
            let script = request.send().await.unwrap();
            assert_eq!(script.status(), 200, "{file}");
            assert!(script.headers()["content-type"].to_str().unwrap().contains("javascript"), "{file}");
            let bytes = script.bytes().await.unwrap();
            assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), encoding == "gzip" && file != "swagger-initializer.js", "{file}");
        }
    }
    let start = server.get("/docs/swagger-initializer.js").await.text().await.unwrap();
    assert!(start.contains("/openapi.json"), "{start}");
    detail(server.get("/docs/nothing.js").await, 404).await;
}
