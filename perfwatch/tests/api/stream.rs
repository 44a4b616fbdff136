//! The live stream.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use perfwatch::api::Options;
use perfwatch::api::serve::Limits;
use perfwatch::history::head::Head;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{start, start_with};
use crate::server::{PASSWORD, Server, Setup, snapshot};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn url(server: &Server, query: &str) -> String {
    format!("ws://{}/api/ws/metrics{query}", server.address)
}

async fn open(server: &Server, query: &str) -> Socket {
    let token = server.token().await;
    connect_async(url(server, &format!("?token={token}{query}"))).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Message {
    let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    message.expect("a message in time").expect("an open stream").unwrap()
}

async fn next_json(socket: &mut Socket) -> Value {
    serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap()
}

async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        if let Message::Close(frame) = next(socket).await {
            return frame.expect("a close frame with a code").code.into();
        }
    }
}

async fn pong_comes(socket: &mut Socket) {
    socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
    assert_eq!(next_json(socket).await, json!({"type": "pong"}));
}

/// Status and body of a refused handshake.
async fn refusal(request: impl IntoClientRequest + Unpin) -> (u16, Value) {
    match connect_async(request).await {
        Err(Error::Http(response)) => {
            let body = response.body().as_ref().expect("a body");
            (response.status().as_u16(), serde_json::from_slice(body).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_newest_snapshot_comes_at_once_and_then_each_tick() {
    let Some(server) = start().await else { return };
    server.publish(1);
    server.publish(2);
    let mut socket = open(&server, "").await;
    let first = next_json(&mut socket).await;
    assert_eq!(first["type"], "metrics");
    assert_eq!(first["timestamp"], "1970-01-01T00:00:02Z");
    assert_eq!(first["data"]["cpu"]["usage_percent"], 2);
    assert!(first.get("skipped").is_none());
    server.publish(3);
    assert_eq!(next_json(&mut socket).await["data"]["cpu"]["usage_percent"], 3);
}

#[tokio::test]
async fn a_backfill_comes_first_and_live_goes_on_from_it() {
    let Some(server) = start().await else { return };
    // The last few are measured but not in history yet.
    for n in 1..=100 {
        server.publish(n);
        if n <= 97 {
            server.writer.handle().submit(&snapshot(n, ""));
            let newest = || server.history.head().ends().map(|(_, newest)| newest.unix_timestamp());
            while newest() != Some(n) {
                tokio::task::yield_now().await;
            }
        }
    }
    for (asked, expected) in [(3, 97..100), (50, 50..100), (99_999, 1..100)] {
        let mut socket = open(&server, &format!("&backfill={asked}")).await;
        let history = next_json(&mut socket).await;
        assert_eq!(history["type"], "history");
        let snapshots = history["snapshots"].as_array().unwrap();
        let seconds: Vec<_> = snapshots.iter().map(|s| s["data"]["cpu"]["usage_percent"].as_i64().unwrap()).collect();
        assert_eq!(seconds, expected.collect::<Vec<_>>());
        for (snapshot, n) in snapshots.iter().zip(&seconds) {
            let live: Value = serde_json::from_slice(&crate::server::snapshot(*n, "").message()).unwrap();
            assert_eq!(*snapshot, live, "the past looks as it did when it was live");
        }
        assert_eq!(next_json(&mut socket).await["data"]["cpu"]["usage_percent"], 100);
    }
}

/// The text of a compressed tick, and whether it needed the one before.
fn unpacked(message: &Message, before: &[u8]) -> (Vec<u8>, bool) {
    let Message::Binary(bytes) = message else { panic!("{message:?}") };
    let mut decompress = flate2::Decompress::new(false);
    let is_based = bytes[0] == 1;
    if is_based {
        decompress.set_dictionary(&before[before.len().saturating_sub(32 * 1024)..]).unwrap();
    }
    let mut text = Vec::with_capacity(8 << 20);
    decompress.decompress_vec(&bytes[1..], &mut text, flate2::FlushDecompress::Finish).unwrap();
    (text, is_based)
}

#[tokio::test]
async fn compressed_ticks_are_based_on_the_one_before() {
    let Some(server) = start().await else { return };
    // Longer than the window of deflate.
    let padding: String = (0..9_000).map(|n| format!("{:x}", n * n)).collect();
    server.hub.publish(&snapshot(1, &padding));
    let mut socket = open(&server, "&compression=deflate").await;
    let mut before = Vec::new();
    for n in 1..=4 {
        let message = next(&mut socket).await;
        let (text, is_based) = unpacked(&message, &before);
        assert_eq!(text, snapshot(n, &padding).message());
        assert_eq!(is_based, n > 1, "the first one is readable by itself");
        before = text;
        server.hub.publish(&snapshot(n + 1, &padding));
    }
    pong_follows_a_tick(&mut socket).await;
    let token = server.token().await;
    assert_eq!(refusal(url(&server, &format!("?token={token}&compression=gzip"))).await.0, 422);
}

async fn pong_follows_a_tick(socket: &mut Socket) {
    socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
    while !matches!(next(socket).await, Message::Text(pong) if pong == r#"{"type":"pong"}"#) {}
}

#[tokio::test]
async fn a_slow_client_of_compressed_ticks_can_read_what_follows_a_gap() {
    let Some(server) = start().await else { return };
    let mut slow = open(&server, "&compression=deflate").await;
    // Hardly compressible: more than any socket buffer holds.
    let mut state = 1_u64;
    let noise = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{state:016x}")
    };
    let padding: String = (0..250_000).map(noise).collect();
    let (count, mut quick) = (12, open(&server, "").await);
    for n in 1..=count {
        server.hub.publish(&snapshot(n, &padding));
        next_json(&mut quick).await;
    }
    let (mut received, mut skipped, mut before) = (0, 0, Vec::new());
    loop {
        let (text, _) = unpacked(&next(&mut slow).await, &before);
        let message: Value = serde_json::from_slice(&text).unwrap();
        received += 1;
        skipped += message["skipped"].as_i64().unwrap_or(0);
        if message["data"]["cpu"]["usage_percent"] == count {
            break;
        }
        before = text;
    }
    assert!(skipped > 0);
    assert_eq!(received + skipped, count);
}

#[tokio::test]
async fn what_the_run_before_left_reaches_those_who_came_before_it_was_read() {
    let Some(server) = start().await else { return };
    server.publish(3);
    let mut plain = open(&server, "").await;
    let mut socket = open(&server, "&backfill=9").await;
    assert_eq!(next_json(&mut socket).await, json!({"type": "history", "snapshots": []}));
    assert_eq!(next_json(&mut socket).await["data"]["cpu"]["usage_percent"], 3);
    assert_eq!(next_json(&mut plain).await["data"]["cpu"]["usage_percent"], 3);

    let past = Head::default();
    for n in [1, 2] {
        past.push(&snapshot(n, ""), 1_000_000);
    }
    server.history.head().restore(vec![past.seal().unwrap()]);
    server.hub.past_restored();
    server.publish(4);
    let history = next_json(&mut socket).await;
    let seconds: Vec<_> =
        history["snapshots"].as_array().unwrap().iter().map(|s| &s["data"]["cpu"]["usage_percent"]).collect();
    assert_eq!(seconds, [1, 2, 3]);
    // Then it continues where that ends; a client that requested no past gets none.
    assert_eq!(next_json(&mut socket).await["data"]["cpu"]["usage_percent"], 4);
    assert_eq!(next_json(&mut plain).await["data"]["cpu"]["usage_percent"], 4);
    server.publish(5);
    assert_eq!(next_json(&mut socket).await["data"]["cpu"]["usage_percent"], 5);
}

#[tokio::test]
async fn refusals_come_as_http_before_the_upgrade() {
    let Some(server) = start().await else { return };
    assert_eq!(refusal(url(&server, "")).await, (401, json!({"detail": "Not authenticated"})));
    assert_eq!(
        refusal(url(&server, "?token=x.y.z")).await,
        (401, json!({"detail": "Could not validate credentials"}))
    );
    let token = server.token().await;
    assert_eq!(refusal(url(&server, &format!("?token={token}&backfill=many"))).await.0, 422);
    let plain = server.get(&format!("/api/ws/metrics?token={token}")).await;
    assert_eq!(plain.status(), 426);
}

#[tokio::test]
async fn the_token_may_come_as_a_subprotocol() {
    let Some(server) = start().await else { return };
    server.publish(1);
    let token = server.token().await;
    let mut request = url(&server, "").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", format!("bearer, {token}").parse().unwrap());
    let (mut socket, answer) = connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "bearer");
    assert_eq!(next_json(&mut socket).await["type"], "metrics");
}

#[tokio::test]
async fn foreign_pages_may_not_stream() {
    let options = Options { cors_origins: vec!["http://front.example:3000".into()], ..Options::default() };
    let Some(server) = start_with(Setup { options, ..Setup::default() }).await else { return };
    let token = server.token().await;
    let from = |origin: &str| {
        let mut request = url(&server, &format!("?token={token}")).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request
    };
    for foreign in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(refusal(from(foreign)).await, (403, json!({"detail": "Origin not allowed"})), "{foreign}");
    }
    for ours in ["http://front.example:3000", &format!("http://{}", server.address)] {
        connect_async(from(ours)).await.unwrap_or_else(|error| panic!("{ours}: {error}"));
    }
}

#[tokio::test]
async fn odd_frames_are_ignored_and_the_stream_goes_on() {
    let Some(server) = start().await else { return };
    let mut socket = open(&server, "").await;
    pong_comes(&mut socket).await;
    let nested = "[".repeat(60_000);
    for odd in [
        "",
        "{",
        "null",
        "7",
        "[]",
        r#"["ping"]"#,
        r#"{"type":"hello"}"#,
        r#"{"type":{"type":"ping"}}"#,
        &nested,
    ] {
        socket.send(Message::text(odd)).await.unwrap();
    }
    socket.send(Message::binary(vec![0xff; 1000])).await.unwrap();
    socket.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("x".into()));
    pong_comes(&mut socket).await;
    server.publish(1);
    assert_eq!(next_json(&mut socket).await["type"], "metrics");
}

#[tokio::test]
async fn a_frame_over_the_limit_is_closed_with_1009_whatever_its_size() {
    let Some(server) = start().await else { return };
    for size in [65_537, 3_000_000] {
        let mut socket = open(&server, "").await;
        socket.send(Message::text("x".repeat(65_536))).await.unwrap();
        pong_comes(&mut socket).await;
        socket.send(Message::text("x".repeat(size))).await.unwrap();
        assert_eq!(close_code(&mut socket).await, 1009, "{size}");
    }
    // Also when it comes in fragments that are each small enough.
    let mut socket = open(&server, "").await;
    let part = |opcode, last| Message::Frame(Frame::message(vec![b'x'; 40_000], OpCode::Data(opcode), last));
    socket.send(part(Data::Text, false)).await.unwrap();
    socket.send(part(Data::Continue, true)).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 1009);
}

#[tokio::test]
async fn a_slow_client_skips_is_told_and_delays_nobody() {
    let Some(server) = start().await else { return };
    let mut slow = open(&server, "").await;
    let mut quick = open(&server, "").await;
    // More than any socket buffer holds, so that the slow one's writes really block.
    let padding = "x".repeat(2_000_000);
    let count = 20;
    for n in 1..=count {
        server.hub.publish(&snapshot(n, &padding));
        let seen = next_json(&mut quick).await;
        assert_eq!(seen["data"]["cpu"]["usage_percent"], n);
        assert!(seen.get("skipped").is_none());
    }
    let (mut received, mut skipped, mut by_client) = (0, 0, false);
    // Longer than it takes to write an update to a client that reads.
    tokio::time::sleep(Duration::from_millis(300)).await;
    loop {
        let message = next_json(&mut slow).await;
        received += 1;
        skipped += message["skipped"].as_i64().unwrap_or(0);
        by_client |= message["skipped_by"] == "client";
        if message["data"]["cpu"]["usage_percent"] == count {
            break;
        }
    }
    assert!(skipped > 0 && by_client);
    assert_eq!(received + skipped, count, "each tick is either shown or counted");
}

#[tokio::test]
async fn a_slow_client_is_not_given_up_while_it_reads() {
    let limits = Limits { write_timeout: Duration::from_millis(300), ..Limits::default() };
    let Some(server) = start_with(Setup { limits, ..Setup::default() }).await else { return };
    let padding = "x".repeat(4_000_000);
    server.hub.publish(&snapshot(1, &padding));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut socket = socket.connect(server.address).await.unwrap();
    let (path, host, token) = ("/api/ws/metrics", server.address, server.token().await);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: bearer, {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut piece, mut read) = (vec![0; 16 * 1024], 0);
    while read < padding.len() {
        // As slow as a link of 13 Mbit/s.
        tokio::time::sleep(Duration::from_millis(10)).await;
        match socket.read(&mut piece).await.unwrap() {
            0 => panic!("dropped after {read} bytes"),
            length => read += length,
        }
    }
}

#[tokio::test]
async fn an_expired_token_ends_the_stream() {
    let setup = Setup { token_lifetime: Duration::from_secs(2), ..Setup::default() };
    let Some(server) = start_with(setup).await else { return };
    let mut socket = open(&server, "").await;
    assert_eq!(close_code(&mut socket).await, 4001);
}

#[tokio::test]
async fn a_token_that_dies_while_streams_begin_leaves_none_open() {
    let Some(server) = start().await else { return };
    for _ in 0..5 {
        let token = server.token().await;
        let url = url(&server, &format!("?token={token}"));
        let begun = futures_util::future::join_all((0..8).map(|_| connect_async(&url)));
        let logout = server.send_as(&token, reqwest::Method::POST, "/api/auth/logout", &Value::Null);
        for begun in tokio::join!(begun, logout).0 {
            match begun {
                Ok((mut socket, _)) => assert_eq!(close_code(&mut socket).await, 4001),
                Err(Error::Http(refusal)) => assert_eq!(refusal.status(), 401),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn logout_and_a_new_password_end_streams_of_that_token_only() {
    let Some(server) = start().await else { return };
    let (token, other) = (server.token().await, server.token().await);
    let mut ended = connect_async(url(&server, &format!("?token={token}"))).await.unwrap().0;
    let mut kept = connect_async(url(&server, &format!("?token={other}"))).await.unwrap().0;
    pong_comes(&mut ended).await;
    pong_comes(&mut kept).await;
    server.send_as(&token, reqwest::Method::POST, "/api/auth/logout", &Value::Null).await;
    assert_eq!(close_code(&mut ended).await, 4001);
    pong_comes(&mut kept).await;
    let change = json!({"current_password": PASSWORD, "new_password": "another password"});
    server.send_as(&other, reqwest::Method::PUT, "/api/auth/password", &change).await;
    assert_eq!(close_code(&mut kept).await, 4001);
}

#[tokio::test]
async fn what_the_command_line_does_to_an_account_ends_its_streams() {
    let Some(server) = start().await else { return };
    let mut kept = open(&server, "").await;
    // Before the first check of the accounts, and after it.
    for change_comes_first in [true, false] {
        server.add_user("ann", "viewer").await;
        let url = url(&server, &format!("?token={}", server.token_of("ann").await));
        let mut ended = connect_async(url).await.unwrap().0;
        pong_comes(&mut ended).await;
        let changed = tokio::sync::Notify::new();
        let watching = async {
            if change_comes_first {
                changed.notified().await;
            }
            server.auth.watch_accounts(Duration::from_millis(20)).await;
        };
        let changed_and_closed = async {
            if !change_comes_first {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let ann = server.store.user_by_name("ann").await.unwrap().unwrap();
            assert!(server.store.delete_user(ann.id, "admin").await.unwrap());
            changed.notify_one();
            close_code(&mut ended).await
        };
        tokio::select! {
            () = watching => panic!("accounts are watched no longer"),
            code = changed_and_closed => assert_eq!(code, 4001),
        }
    }
    pong_comes(&mut kept).await;
}

#[tokio::test]
async fn a_stopping_server_says_goodbye() {
    let Some(server) = start().await else { return };
    let mut socket = open(&server, "").await;
    pong_comes(&mut socket).await;
    server.stop.send(true).unwrap();
    assert_eq!(close_code(&mut socket).await, 1001);
    // Reading on answers the close frame.
    assert!(socket.next().await.is_none_or(|end| end.is_err()));
    tokio::time::timeout(Duration::from_secs(2), server.serving).await.expect("stops in time").unwrap();
    assert_eq!(server.hub.subscribers(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_is_forgotten() {
    let Some(server) = start().await else { return };
    let mut socket = open(&server, "").await;
    pong_comes(&mut socket).await;
    assert_eq!(server.hub.subscribers(), 1);
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    let gone = async {
        while server.hub.subscribers() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("forgotten in time");
}
