//! Crowds of slow connections, and shutdown.

use std::time::Duration;

use perfwatch::api::serve::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{start, start_with};
use crate::server::Setup;

#[tokio::test]
async fn a_crowd_of_dribbling_connections_does_not_keep_a_login_out() {
    let limits = Limits { total: 60, idle: 50, ..Limits::default() };
    let Some(server) = start_with(Setup { limits, ..Setup::default() }).await else { return };
    let mut crowd = Vec::new();
    for _ in 0..300 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        // Never completes the head. The server may have closed an early one already.
        let _ = socket.write_all(b"GET /health HTTP/1.1\r\nx-slow: ").await;
        crowd.push(socket);
    }
    assert!(!server.token().await.is_empty());
    // Those that waited longest had to go.
    let closed = tokio::time::timeout(Duration::from_secs(5), crowd[0].read(&mut [0; 16])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}

/// An incomplete head, an incomplete body, or nothing at all: each stays open until it is cut off.
#[tokio::test]
async fn five_thousand_half_open_connections_do_not_stop_a_login() {
    // Each takes a descriptor here and one in the server, which is also in this process.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit { current: files.maximum, maximum: files.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, most).unwrap();
    let descriptors = files.maximum.unwrap_or(u64::MAX).saturating_sub(1000) / 2;
    let crowd = usize::try_from(descriptors.min(5000)).unwrap();
    // Smaller than the crowd, so that room must be made; incomplete bodies don't hold a slot for good.
    let limits = Limits { total: crowd / 5, idle: crowd / 10, ..Limits::default() };
    let Some(server) = start_with(Setup { limits, ..Setup::default() }).await else { return };
    let begun = [
        &b""[..],
        b"GET /health HTTP/1.1\r\nx-slow: ",
        b"POST /api/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60\r\n\r\n{",
    ];
    let mut open = Vec::with_capacity(crowd);
    for (n, bytes) in (0..crowd).zip(begun.into_iter().cycle()) {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        // The server may have closed it already.
        let _ = socket.write_all(bytes).await;
        open.push(socket);
        if n % (crowd / 5) == 0 {
            assert!(!server.token().await.is_empty(), "amid {n} of {crowd}");
        }
    }
    assert!(!server.token().await.is_empty(), "after {crowd}");
    assert_eq!(server.get("/health").await.status(), 200);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let Some(server) = start_with(Setup { limits, ..Setup::default() }).await else { return };
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nx-slow: ").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open");
}

#[tokio::test]
async fn bytes_that_are_no_http_are_answered_or_closed() {
    let Some(server) = start().await else { return };
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], b"\r\n\r\n\0\0\0", b"GET\r\n\r\n", &[0xff; 100_000]]
    {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        let _ = socket.write_all(bytes).await;
        let _ = socket.shutdown().await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "still open");
    }
    assert_eq!(server.get("/health").await.status(), 200);
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_frees_the_port() {
    let Some(server) = start().await else { return };
    // The client reuses this connection for the next request.
    assert_eq!(server.get("/health").await.status(), 200);
    server.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(2), server.serving).await.expect("stops in time").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
