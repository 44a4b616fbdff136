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
    /// The network namespace that it runs in, if it is another.
    namespace: Option<String>,
}

impl Nats {
    /// `Err` says why there can be none on this machine.
    pub async fn start() -> Result<Self, String> {
        Self::start_with("", "").await
    }

    /// With a configuration; tests themselves connect as this user, such as `user:password@`.
    pub async fn start_with(configuration: &str, user: &str) -> Result<Self, String> {
        let mut nats = Self::prepare(configuration)?;
        user.clone_into(&mut nats.user);
        nats.run().await;
        nats.ready().await;
        Ok(nats)
    }

    /// In a network namespace, on all of its addresses.
    pub async fn start_in(namespace: &str) -> Result<Self, String> {
        let mut nats = Self::prepare("")?;
        nats.namespace = Some(namespace.to_owned());
        nats.run().await;
        Ok(nats)
    }

    /// Three servers that keep streams together.
    pub async fn cluster() -> Result<Vec<Self>, String> {
        let ports = [(); 3].map(|()| free_port());
        let routes: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut nodes = Vec::new();
        for (n, port) in ports.iter().enumerate() {
            let configuration = format!(
                "server_name: node{n}\ncluster {{ name: fleet, listen: \"127.0.0.1:{port}\", routes: [{}] }}",
                routes.join(", ")
            );
            nodes.push(Self::prepare(&configuration)?);
        }
        for node in &mut nodes {
            node.run().await;
        }
        for node in &nodes {
            node.ready().await;
        }
        Ok(nodes)
    }

    fn prepare(configuration: &str) -> Result<Self, String> {
        let debian = PathBuf::from("/usr/sbin/nats-server");
        let program = if debian.exists() { debian } else { "nats-server".into() };
        if Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err("nats-server is not installed".into());
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nats.conf"), configuration).unwrap();
        Ok(Self { program, process: None, dir, port: free_port(), user: String::new(), namespace: None })
    }

    /// Starts it (again), with what it kept.
    pub async fn run(&mut self) {
        let (mut command, address) = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.program);
                (command, "0.0.0.0")
            }
            None => (Command::new(&self.program), "127.0.0.1"),
        };
        let configuration = self.dir.path().join("nats.conf");
        command.args(["-js", "-a", address, "-p", &self.port.to_string()]);
        if !std::fs::read_to_string(&configuration).unwrap().contains("store_dir") {
            command.arg("-sd").arg(self.dir.path());
        }
        command.arg("-c").arg(configuration);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    /// Waits until it answers.
    pub async fn ready(&self) {
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

    /// At another address.
    pub fn url_of(&self, address: &str) -> String {
        format!("nats://{address}:{}", self.port)
    }

    pub fn url_as(&self, user: &str) -> String {
        format!("nats://{user}127.0.0.1:{}", self.port)
    }

    #[allow(dead_code, reason = "benchmarks measure it")]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
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

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Which node of a cluster leads the stream of the fleet.
pub async fn leader(node: &Nats) -> usize {
    let stream = node.stream().await.get_stream("PERFWATCH").await.unwrap();
    let leader = stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone());
    leader.and_then(|name| name.strip_prefix("node")?.parse().ok()).unwrap()
}
