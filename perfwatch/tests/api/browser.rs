//! What protects browsers: the host list, origins, headers.

use perfwatch::api::Options;
use reqwest::Method;

use super::{start, start_with};
use crate::server::{Setup, detail};

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let Some(server) = start().await else { return };
    for path in ["/", "/health", "/api/nothing", "/api/auth/me"] {
        let answer = server.get(path).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        let scripts = policy.split(';').find(|part| part.trim().starts_with("script-src")).unwrap();
        assert_eq!(scripts.trim(), "script-src 'self'", "{path}");
        assert!(policy.contains("frame-ancestors 'none'"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        if path.starts_with("/api") {
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn a_foreign_name_that_points_at_us_is_refused() {
    let allowed = Options { allowed_hosts: vec!["box.example".into()], ..Options::default() };
    let Some(server) = start_with(Setup { options: allowed, ..Setup::default() }).await else { return };
    let as_host =
        async |host: &str| server.request(Method::GET, "/health").header("host", host).send().await.unwrap();
    for ours in ["localhost:8000", "127.0.0.1", "box.example", "[::1]:8000"] {
        assert_eq!(as_host(ours).await.status(), 200, "{ours}");
    }
    for foreign in ["evil.example", "box.example.evil", "127.0.0.1.evil.example"] {
        detail(as_host(foreign).await, 421).await;
    }
}

#[tokio::test]
async fn only_listed_origins_may_read_across_origins_and_never_with_credentials() {
    let listed = Options { cors_origins: vec!["http://front.example:3000".into()], ..Options::default() };
    let Some(server) = start_with(Setup { options: listed, ..Setup::default() }).await else { return };
    let from = async |method: Method, origin: &str| {
        let request = server.request(method, "/api/auth/login").header("origin", origin);
        request.header("access-control-request-method", "POST").send().await.unwrap()
    };
    let preflight = from(Method::OPTIONS, "http://front.example:3000").await;
    assert_eq!(preflight.status(), 204);
    let headers = preflight.headers();
    assert_eq!(headers["access-control-allow-origin"], "http://front.example:3000");
    assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(!headers.contains_key("access-control-allow-credentials"));
    for foreign in ["http://evil.example", "null", "http://front.example:3000.evil"] {
        for method in [Method::OPTIONS, Method::GET] {
            let answer = from(method, foreign).await;
            assert!(!answer.headers().contains_key("access-control-allow-origin"), "{foreign}");
        }
    }
}
