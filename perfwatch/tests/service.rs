//! The server as a service manager sees it: ready, alive, told to stop, gone, with nothing lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "how long an end took is worth a line")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use perfwatch::history::History;
use perfwatch::store;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PASSWORD: &str = "kx83 admin tail";
/// For anything the server does, on a machine busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Shutdown takes a second or two by itself; a busy machine may stretch that. Less than any timeout that a client could
/// hold it up by: a head has 15 s, a body 10 s, a response 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// Killed when dropped, in case the test fails before it exits.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a service manager receives, read as it arrives.
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

/// Waits until `wanted` is received.
fn hear(manager: &mpsc::Receiver<String>, wanted: &str) {
    while manager.recv_timeout(TIMEOUT).expect("the server says something in time") != wanted {}
}

async fn next(stream: &mut Stream) -> Message {
    let message = tokio::time::timeout(TIMEOUT, stream.next()).await.expect("a message in time");
    message.expect("an open stream").unwrap()
}

/// Starts it with a tick a second; also returns its address.
fn start(data: &Path, environment: &[(&str, &OsStr)]) -> (Server, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.arg("serve").env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    command
        .env("PERFWATCH_LISTEN", "127.0.0.1:0")
        .env("PERFWATCH_DATA_DIR", data)
        .env("ADMIN_PASSWORD", PASSWORD)
        .env("SAMPLING_INTERVAL_SECONDS", "1")
        .envs(environment.iter().copied());
    let mut server = Server(command.spawn().unwrap());
    let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("PerfWatch is at http://").map(str::to_owned));
    (server, address.expect("the server says where it is"))
}

/// Logs in and follows the stream.
async fn watch(address: &str) -> Stream {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = http.post(format!("http://{address}/api/auth/login"));
    let login = login.json(&json!({"username": "admin", "password": PASSWORD})).send().await.unwrap();
    let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    connect_async(format!("ws://{address}/api/ws/metrics?token={token}")).await.unwrap().0
}

/// The timestamp of a snapshot.
fn taken(message: &Message) -> Option<String> {
    let message: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
    message["timestamp"].as_str().map(str::to_owned)
}

/// Tells it to stop, reads the stream to its end and waits for the process; returns the last snapshot's timestamp.
async fn stop(server: &mut Server, stream: &mut Stream) -> String {
    let mut last = None;
    // The very first is shown early and not stored.
    for _ in 0..3 {
        last = taken(&next(stream).await).or(last);
    }
    let pid = rustix::process::Pid::from_child(&server.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let asked = Instant::now();
    let closed = loop {
        match next(stream).await {
            Message::Close(frame) => break frame.unwrap(),
            message => last = taken(&message).or(last),
        }
    };
    assert_eq!(u16::from(closed.code), 1001);
    while server.0.try_wait().unwrap().is_none() {
        assert!(asked.elapsed() < TIMEOUT, "it does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.0.wait().unwrap().success());
    let took = asked.elapsed();
    println!("stopped within {took:.2?}");
    assert!(took < STOP_TIMEOUT, "{took:?}");
    last.unwrap()
}

async fn assert_stored(data: &Path, last: &str) {
    let store = store::open(&store::sqlite_url(data)).await.unwrap();
    let [host] = &store.hosts().await.unwrap()[..] else { panic!("one machine has history") };
    let newest = History::new(store.clone(), &host.id).extent().await.unwrap().newest.unwrap();
    let newest = perfwatch::snapshot::rfc3339(newest);
    assert!(*newest >= *last, "{newest} is older than {last}");
    store.close().await;
}

#[tokio::test]
async fn no_client_can_keep_it_from_stopping() {
    let data = tempfile::tempdir().unwrap();
    let (mut server, address) = start(data.path(), &[]);
    let mut stream = watch(&address).await;
    // Neither reads nor answers the server's close.
    let _hung = watch(&address).await;
    // Half a head, and half a body.
    let begun = [
        "GET /health HTTP/1.1\r\nx-slow: ",
        "POST /api/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60\r\n\r\n{",
    ];
    let mut open = Vec::new();
    for bytes in begun {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(bytes.as_bytes()).await.unwrap();
        open.push(socket);
    }
    // Requests more than any socket buffer holds, and reads none of it.
    let mut greedy = TcpStream::connect(&address).await.unwrap();
    let asks = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
    greedy.write_all(asks.as_bytes()).await.unwrap();

    let last = stop(&mut server, &mut stream).await;
    assert_stored(data.path(), &last).await;
}

/// Only the roots are this test's own: what the machine lacks is the machine's.
#[test]
fn the_doctor_ends_well_only_where_nothing_is_to_fix() {
    let nothing = tempfile::tempdir().unwrap();
    let doctor = |environment: &[(&str, &OsStr)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        command.args(["doctor", "--json"]).env("PERFWATCH_DATA_DIR", nothing.path());
        let output = command.envs(environment.iter().copied()).output().unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let problems = findings["problems"].as_array().unwrap().len();
        (output.status.code().unwrap(), problems, findings)
    };
    let (code, problems, findings) = doctor(&[]);
    assert_eq!(code, i32::from(problems > 0), "{findings:#}");
    let (code, problems, findings) = doctor(&[("PERFWATCH_SYSFS", nothing.path().as_os_str())]);
    assert!(code == 1 && problems > 0, "{findings:#}");
    let sources = findings["sources"].as_array().unwrap();
    let runqueue = sources.iter().find(|source| source["name"] == "runqueue").unwrap();
    assert_eq!(runqueue["status"], "problem", "there is no type information of the kernel: {runqueue}");
}

#[tokio::test]
async fn a_service_is_ready_alive_and_gone_with_its_last_batch_stored() {
    let dir = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let manager = listen(manager);
    let data = dir.path().join("data");
    let socket = dir.path().join("notify");
    let environment = [("NOTIFY_SOCKET", socket.as_os_str()), ("WATCHDOG_USEC", "200000".as_ref())];
    let (mut server, address) = start(&data, &environment);
    hear(&manager, "READY=1");
    hear(&manager, "WATCHDOG=1");

    let mut stream = watch(&address).await;
    let last = stop(&mut server, &mut stream).await;
    hear(&manager, "STOPPING=1");
    assert_stored(&data, &last).await;
}
