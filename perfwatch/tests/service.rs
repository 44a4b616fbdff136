//! The server as a service manager sees it: ready, alive, asked to stop, gone, with nothing lost.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use perfwatch::snapshot::MetricType;
use perfwatch::store;
use perfwatch::store::rollup::Tier;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PASSWORD: &str = "kx83 admin tail";
/// For anything the server does, on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed when dropped, should the test fail before it ends by itself.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a service manager hears, read as it comes.
fn listen(manager: UnixDatagram) -> mpsc::Receiver<String> {
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(length) = manager.recv(&mut buffer) {
            if said.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    heard
}

/// Waits until `wanted` is heard.
fn hear(manager: &mpsc::Receiver<String>, wanted: &str) {
    while manager.recv_timeout(PATIENCE).expect("the server says something in time") != wanted {}
}

async fn next(stream: &mut Stream) -> Message {
    let message = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a message in time");
    message.expect("an open stream").unwrap()
}

#[tokio::test]
async fn a_service_is_ready_alive_and_gone_with_its_last_batch_stored() {
    let dir = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let manager = listen(manager);
    let data = dir.path().join("data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.arg("serve").env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    command
        .env("PERFWATCH_LISTEN", "127.0.0.1:0")
        .env("PERFWATCH_DATA_DIR", &data)
        .env("ADMIN_PASSWORD", PASSWORD)
        .env("SAMPLING_INTERVAL_SECONDS", "1")
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("WATCHDOG_USEC", "200000");
    let mut server = Server(command.spawn().unwrap());
    let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("PerfWatch is at http://").map(str::to_owned));
    let address = address.expect("the server says where it is");
    hear(&manager, "READY=1");
    hear(&manager, "WATCHDOG=1");

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = http.post(format!("http://{address}/api/auth/login"));
    let login = login.json(&json!({"username": "admin", "password": PASSWORD})).send().await.unwrap();
    let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let (mut stream, _) =
        connect_async(format!("ws://{address}/api/ws/metrics?token={token}")).await.unwrap();
    let mut last = String::new();
    for _ in 0..3 {
        let Message::Text(text) = next(&mut stream).await else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        last = message["timestamp"].as_str().unwrap().to_owned();
    }

    let pid = rustix::process::Pid::from_child(&server.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let asked = Instant::now();
    let closed = loop {
        match next(&mut stream).await {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                last = message["timestamp"].as_str().unwrap().to_owned();
            }
            Message::Close(frame) => break frame.unwrap(),
            _ => {}
        }
    };
    assert_eq!(u16::from(closed.code), 1001);
    hear(&manager, "STOPPING=1");
    while server.0.try_wait().unwrap().is_none() {
        assert!(asked.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.0.wait().unwrap().success());

    let store = store::open(&store::sqlite_url(&data)).await.unwrap();
    let rows = store.scan(Tier::Raw, MetricType::Cpu, 0, i64::MAX, 1000).await.unwrap();
    let newest: Value = serde_json::from_slice(&rows.last().unwrap().data).unwrap();
    assert!(newest["_timestamp"].as_str().unwrap() >= last.as_str(), "{newest} is older than {last}");
    store.close().await;
}
