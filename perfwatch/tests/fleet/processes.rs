//! The program itself: `serve`, `agent` and `hub`, killed and started again.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::*;

const PASSWORD: &str = "many quiet machines";

/// Killed when dropped.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command with a tick a second; returns it and the line that it announces itself with.
pub fn start(command: &str, data: &Path, nats: &nats::Nats, settings: &[(&str, &str)]) -> (Process, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    process.arg(command).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    process.env("PERFWATCH_DATA_DIR", data).env("PERFWATCH_FLEET_URL", nats.url());
    process.env("SAMPLING_INTERVAL_SECONDS", "1").env("PERFWATCH_PROFILE_HZ", "0");
    process.env("PERFWATCH_LISTEN", "127.0.0.1:0").env("ADMIN_PASSWORD", PASSWORD);
    process.envs(settings.iter().copied());
    let mut process = Process(process.spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("PerfWatch "));
    (process, line.expect("it says that it is there"))
}

/// A machine's process, by its ID.
fn machine(command: &str, data: &Path, nats: &nats::Nats, id: &str) -> Process {
    let (process, line) = start(command, data, nats, &[("PERFWATCH_HOST_ID", id)]);
    assert!(command != "agent" || line.contains(id), "{line}");
    process
}

pub struct HubProcess {
    _process: Process,
    address: String,
    token: String,
}

impl HubProcess {
    async fn start(data: &Path, nats: &nats::Nats) -> Self {
        Self::start_with(data, nats, &[]).await
    }

    pub async fn start_with(data: &Path, nats: &nats::Nats, settings: &[(&str, &str)]) -> Self {
        let (process, line) = start("hub", data, nats, settings);
        let address = line.strip_prefix("PerfWatch is at http://").unwrap().to_owned();
        let login = json!({"username": "admin", "password": PASSWORD});
        let login = client().post(format!("http://{address}/api/auth/login")).json(&login);
        let answer: Value = login.send().await.unwrap().json().await.unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Self { _process: process, address, token }
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = client().get(format!("http://{}{path}", self.address)).bearer_auth(&self.token);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn host(&self, id: &str) -> Option<Value> {
        let answer = self.get("/api/hosts").await;
        answer["hosts"].as_array().unwrap().iter().find(|host| host["id"] == id).cloned()
    }

    /// The stored readings of a host's CPUs, as their times.
    async fn readings(&self, host: &str) -> Vec<String> {
        let path = "/api/history/metrics?metric_type=cpu&interval=1s&limit=10000&fields=usage_percent";
        let range = "&start_time=2026-01-01&end_time=2099-01-01";
        let answer = self.get(&format!("{path}{range}&host={host}")).await;
        let points = answer["data_points"].as_array().cloned().unwrap_or_default();
        points.iter().map(|point| point["timestamp"].as_str().unwrap().to_owned()).collect()
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Bytes in the files of a directory and those below.
fn bytes_in(dir: PathBuf) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_in(entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

/// What was measured before a kill is sent by the next start, from the log.
#[tokio::test]
async fn an_agent_and_a_server_that_are_killed_send_all_they_measured_to_a_hub_that_is_killed() {
    const TEST: &str = "an_agent_and_a_server_that_are_killed_send_all_they_measured_to_a_hub_that_is_killed";
    let Some(mut nats) = nats(TEST).await else { return };
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let hub = HubProcess::start(dirs[0].path(), &nats).await;
    let machines = [("agent", dirs[1].path(), "a.b"), ("serve", dirs[2].path(), "c-d")];
    let mut killed = Vec::new();
    for (command, data, id) in machines {
        let process = machine(command, data, &nats, id);
        let log = || bytes_in(data.join("spool"));
        // A few ticks are in its log; its slot is open for a minute.
        let mut sizes = Vec::new();
        until("some ticks", async || {
            let size = log();
            if sizes.last() != Some(&size) {
                sizes.push(size);
            }
            (sizes.len() > 4).then_some(())
        })
        .await;
        drop(process);
        killed.push((id, OffsetDateTime::now_utc()));
    }
    drop(hub);
    let running: Vec<Process> =
        machines.iter().map(|(command, data, id)| machine(command, data, &nats, id)).collect();
    let hub = HubProcess::start(dirs[0].path(), &nats).await;
    for (id, killed) in killed {
        let readings = until(id, async || {
            let readings = hub.readings(id).await;
            (readings.len() >= 3).then_some(readings)
        })
        .await;
        let first =
            OffsetDateTime::parse(&readings[0], &time::format_description::well_known::Rfc3339).unwrap();
        assert!(first < killed, "{first} was before {killed}");
        let host =
            until(id, async || hub.host(id).await.filter(|host| host["clock_skew_seconds"].is_number()))
                .await;
        assert_eq!((&host["state"], &host["this"]), (&json!("live"), &json!(false)), "{host}");
        assert!(host["newest"].is_string() && host["facts"]["kernel"].is_string(), "{host}");
        let skew = host["clock_skew_seconds"].as_f64().unwrap();
        assert!(skew.abs() < TIMEOUT.as_secs_f64(), "it is the same clock: {skew}");
    }
    drop(running);
    assert_eq!(hub.get("/health").await["status"], "healthy");
    nats.kill();
    let unread = json!(["The fleet's stream cannot be read"]);
    until("a degraded hub", async || (hub.get("/health").await["problems"] == unread).then_some(())).await;
}

/// With a certificate that SSL_CERT_FILE trusts, and a URL with a password in a file.
#[tokio::test]
async fn the_way_is_encrypted_and_the_password_is_in_a_file() {
    const TEST: &str = "the_way_is_encrypted_and_the_password_is_in_a_file";
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str| dirs[0].path().join(name).display().to_string();
    let (certificate, key, secret) = (file("cert.pem"), file("key.pem"), file("url"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let configuration = format!(
        "tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\nauthorization {{ user: fleet, password: hush }}"
    );
    let started = nats::Nats::start_with(&configuration, "").await;
    let Some(nats) = or_skipped(TEST, started) else { return };
    std::fs::write(&secret, format!("tls://fleet:hush@localhost:{}\n", nats.port())).unwrap();
    let settings = [
        ("PERFWATCH_FLEET_URL", ""),
        ("PERFWATCH_FLEET_URL_FILE", secret.as_str()),
        ("SSL_CERT_FILE", &certificate),
    ];
    let hub = HubProcess::start_with(dirs[1].path(), &nats, &settings).await;
    let settings = [&settings[..], &[("PERFWATCH_HOST_ID", "web.1")]].concat();
    let _agent = start("agent", dirs[2].path(), &nats, &settings);
    until("the host", async || hub.host("web.1").await.filter(|host| host["state"] == "live")).await;
}
