//! A NATS server of a test's own, with JetStream.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::TIMEOUT;

pub struct Nats {
    program: PathBuf,
    process: Option<Child>,
    dir: tempfile::TempDir,
    port: u16,
    user: String,
}

impl Nats {
    /// `Err` says why there can be none on this machine.
    pub async fn start() -> Result<Self, String> {
        Self::start_with("", "").await
    }

    /// With a configuration; tests themselves connect as this user, such as `user:password@`.
    pub async fn start_with(configuration: &str, user: &str) -> Result<Self, String> {
        let debian = PathBuf::from("/usr/sbin/nats-server");
        let program = if debian.exists() { debian } else { "nats-server".into() };
        if Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err("nats-server is not installed".into());
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nats.conf"), configuration).unwrap();
        let mut nats = Self { program, process: None, dir, port, user: user.to_owned() };
        nats.run().await;
        Ok(nats)
    }

    /// Starts it (again), with what it kept.
    pub async fn run(&mut self) {
        let mut command = Command::new(&self.program);
        let configuration = self.dir.path().join("nats.conf");
        command.args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string()]);
        if !std::fs::read_to_string(&configuration).unwrap().contains("store_dir") {
            command.arg("-sd").arg(self.dir.path());
        }
        command.arg("-c").arg(configuration);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let since = Instant::now();
        while !self.is_ready().await {
            assert!(since.elapsed() < TIMEOUT, "nats-server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it greets, as it does also where it wants TLS.
    async fn is_ready(&self) -> bool {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)).await else { return false };
        let mut greeting = String::new();
        let read = BufReader::new(stream).read_line(&mut greeting).await;
        read.is_ok() && greeting.contains("\"jetstream\":true")
    }

    pub async fn stream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.url()).await.unwrap())
    }

    pub fn url(&self) -> String {
        self.url_as(&self.user)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url_as(&self, user: &str) -> String {
        format!("nats://{user}127.0.0.1:{}", self.port)
    }

    /// As a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}
