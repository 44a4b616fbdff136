//! TLS: encrypted responses, renewed certificates, and crowds that never shake hands.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use perfwatch::api::Options;
use perfwatch::api::serve::{Limits, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async;

use super::start_with;
use crate::server::{Server, Setup};

/// Writes a new self-signed certificate and its key.
fn write_certificate(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn load(dir: &Path) -> Tls {
    Tls::load(&dir.join("cert.pem"), &dir.join("key.pem")).unwrap()
}

async fn connect(server: &Server, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn encrypted(tls: &Tls, limits: Limits) -> Option<Server> {
    let options = Options { https: true, ..Options::default() };
    start_with(Setup { tls: Some(tls.clone()), options, limits, ..Setup::default() }).await
}

#[tokio::test]
async fn answers_are_encrypted_and_browsers_told_to_insist() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = write_certificate(dir.path());
    let Some(server) = encrypted(&load(dir.path()), Limits::default()).await else { return };
    let mut stream = connect(&server, &certificate).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    // Not every server closes cleanly; what counts is what arrived.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    assert!(answer.contains(r#""status":"healthy""#), "{answer}");

    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "unencrypted");
}

#[tokio::test]
async fn the_stream_works_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = write_certificate(dir.path());
    let Some(server) = encrypted(&load(dir.path()), Limits::default()).await else { return };
    let admin = server.store.user_by_name("admin").await.unwrap().unwrap();
    let tokens = perfwatch::auth::tokens::Tokens::new(crate::server::SECRET, Duration::from_secs(60));
    let token = tokens.issue(admin.id, admin.token_generation, time::OffsetDateTime::now_utc()).unwrap();
    let stream = connect(&server, &certificate).await.unwrap();
    let url = format!("wss://localhost/api/ws/metrics?token={token}");
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    server.publish(7);
    let message = socket.next().await.unwrap().unwrap();
    assert!(message.to_text().unwrap().contains(r#""usage_percent":7"#), "{message}");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_certificate(dir.path());
    let tls = load(dir.path());
    let Some(server) = encrypted(&tls, Limits::default()).await else { return };
    connect(&server, &first).await.unwrap();

    let second = write_certificate(dir.path());
    tls.reload();
    connect(&server, &second).await.unwrap();
    assert!(connect(&server, &first).await.is_err(), "the old one is not served any more");

    std::fs::write(dir.path().join("cert.pem"), "half a certif").unwrap();
    tls.reload();
    connect(&server, &second).await.unwrap();
    // A certificate without its key: the two are written one after the other.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("cert.pem"), other.cert.pem()).unwrap();
    tls.reload();
    connect(&server, &second).await.unwrap();
    std::fs::write(dir.path().join("key.pem"), other.signing_key.serialize_pem()).unwrap();
    tls.reload();
    connect(&server, other.cert.der()).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    assert!(Tls::load(&cert, &key).unwrap_err().to_string().contains("cannot read"));
    write_certificate(dir.path());
    std::fs::write(&cert, "").unwrap();
    assert!(Tls::load(&cert, &key).is_err());
}

#[tokio::test]
async fn one_that_never_shakes_hands_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    write_certificate(dir.path());
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let Some(server) = encrypted(&load(dir.path()), limits).await else { return };
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), silent.read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "still open");
}
