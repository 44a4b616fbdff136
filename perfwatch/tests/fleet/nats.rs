//! A NATS server of a test's own, with JetStream.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use tokio::time::Instant;

use crate::TIMEOUT;

pub struct Nats {
    program: PathBuf,
    process: Option<Child>,
    dir: tempfile::TempDir,
    port: u16,
}

impl Nats {
    /// `Err` says why there can be none on this machine.
    pub async fn start() -> Result<Self, String> {
        let debian = PathBuf::from("/usr/sbin/nats-server");
        let program = if debian.exists() { debian } else { "nats-server".into() };
        if Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err("nats-server is not installed".into());
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut nats = Self { program, process: None, dir: tempfile::tempdir().unwrap(), port };
        nats.run().await;
        Ok(nats)
    }

    /// Starts it (again), with what it kept.
    pub async fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"]).arg(self.dir.path());
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let since = Instant::now();
        while self.try_stream().await.is_none() {
            assert!(since.elapsed() < TIMEOUT, "nats-server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn try_stream(&self) -> Option<jetstream::Context> {
        let client = async_nats::connect(self.url()).await.ok()?;
        client.server_info().jetstream.then(|| jetstream::new(client))
    }

    pub async fn stream(&self) -> jetstream::Context {
        self.try_stream().await.unwrap()
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
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
