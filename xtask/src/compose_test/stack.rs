//! The containers of a compose file, built, started, and removed again.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::engine::{Engine, answer};
use crate::client::Client;
use crate::step::{root, run};

/// Not the name an installation uses: its volumes are not ours to remove.
const PROJECT: &str = "perfwatch-test";

/// One machine, and many.
pub const SERVER: &str = "docker-compose.yml";
pub const FLEET: &str = "docker-compose.fleet.yml";
/// Another machine for the fleet, which starts when it is asked for.
pub const SECOND: &str = "xtask/src/compose_test/second.yml";

#[derive(Debug)]
pub struct Stack<'a> {
    pub engine: &'a Engine,
    files: Vec<String>,
    port: u16,
    nats_port: u16,
}

impl<'a> Stack<'a> {
    /// Builds the images; what has not changed comes from the engine's cache.
    pub fn build(engine: &'a Engine) -> Result<()> {
        run("Building the images", Self::of(engine, &[SERVER])?.compose(&["build"]))
    }

    /// Starts the services, as `docker compose up -d` does. Further files are laid over the first.
    pub fn start(engine: &'a Engine, files: &[&'static str]) -> Result<Self> {
        let stack = Self::of(engine, files)?;
        let title = stack.files.join(" + ");
        stack.remove()?;
        let started = Instant::now();
        // The front end depends on all that can tell how it is; an agent answers nobody.
        let healthy = ["up", "--detach", "--wait", "--wait-timeout=120", "frontend"];
        let started_all = run(&format!("Starting {title}"), stack.compose(&["up", "--detach"]))
            .and_then(|()| run("Waiting until it is healthy", stack.compose(&healthy)));
        if let Err(error) = started_all {
            println!("{}", stack.ask(&["logs", "--no-color", "--tail=30"]).unwrap_or_default());
            return Err(error);
        }
        println!("every service is healthy after {:.1?}", started.elapsed());
        Ok(stack)
    }

    fn of(engine: &'a Engine, files: &[&'static str]) -> Result<Self> {
        let free = || -> Result<u16> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
        let mut files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        if let Some(socket) = engine.socket()
            && files == [SERVER]
        {
            files.push(names_from(&socket)?);
        }
        Ok(Self { engine, files, port: free()?, nats_port: free()? })
    }

    /// `docker compose …` for this project.
    pub fn compose(&self, arguments: &[&str]) -> Command {
        let mut compose = self.engine.docker(&[
            "compose",
            "--project-name",
            PROJECT,
            "--ansi",
            "never",
            "--progress",
            "plain",
        ]);
        for file in &self.files {
            compose.args(["--file", file]);
        }
        compose
            .args(arguments)
            .env("PERFWATCH_PORT", self.port.to_string())
            .env("PERFWATCH_NATS_PORT", self.nats_port.to_string())
            .env("SAMPLING_INTERVAL_SECONDS", "1")
            // Tells ticks that could not be taken.
            .env("PERFWATCH_LOG", "info,perfwatch::pipeline=debug")
            // A developer's .env must not change the test.
            .env("COMPOSE_DISABLE_ENV_FILE", "1");
        compose
    }

    /// Runs a command line from a document, in a separate folder.
    pub fn type_in(&self, folder: &Path, line: &str) -> Result<()> {
        let compose = self.compose(&[]);
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(folder);
        for (name, value) in compose.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        let files: Vec<_> = self.files.iter().map(|file| root().join(file).display().to_string()).collect();
        shell.env("COMPOSE_PROJECT_NAME", PROJECT).env("COMPOSE_FILE", files.join(":"));
        // The engine may only have been unpacked.
        if let Some(folder) = Path::new(compose.get_program()).parent() {
            let path = std::env::var("PATH").unwrap_or_default();
            shell.env("PATH", format!("{}:{path}", folder.display()));
        }
        answer(shell).map(drop).with_context(|| line.to_owned())
    }

    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        answer(self.compose(arguments)).with_context(|| format!("docker compose {}", arguments.join(" ")))
    }

    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// The login that a service printed at its first start.
    pub fn first_login(&self, service: &str) -> Result<(String, String)> {
        let log = self.ask(&["logs", "--no-color", "--no-log-prefix", service])?;
        let login = log.lines().find_map(|line| line.split_once("first login: ")?.1.split_once(" / "));
        let (user, password) =
            login.with_context(|| format!("no first login in the log of {service}:\n{log}"))?;
        Ok((user.to_owned(), password.to_owned()))
    }

    /// The result of a query, one row per line, run inside the database's container.
    pub fn sql(&self, query: &str) -> Result<String> {
        self.ask(&[
            "exec",
            "-T",
            "--env",
            "PGPASSWORD=perfwatch",
            "db",
            "psql",
            "--host=127.0.0.1",
            "--username=perfwatch",
            "--no-align",
            "--tuples-only",
            "--command",
            query,
            "perfwatch",
        ])
    }

    /// Waits until `question` has an answer.
    pub fn wait<T>(&self, what: &str, patience: Duration, question: impl Fn() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(answer) = question() {
                return Ok(answer);
            }
            if Instant::now() > deadline || crate::step::interrupted() {
                let log = self.ask(&["logs", "--no-color", "--tail=30"]).unwrap_or_default();
                bail!("{what}: not within {patience:?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn remove(&self) -> Result<()> {
        self.ask(&["--profile=*", "down", "--volumes", "--remove-orphans", "--timeout=1"]).map(drop)
    }
}

/// An override by which the backend asks an engine for the names of containers, as docs/deployment.md says.
fn names_from(socket: &Path) -> Result<String> {
    let file = root().join("target/compose-names.yml");
    let path = socket.display();
    let text = format!(
        "services:\n  backend:\n    environment:\n      PERFWATCH_CONTAINER_SOCKETS: /host/root{path}\n"
    );
    std::fs::write(&file, text)?;
    Ok("target/compose-names.yml".to_owned())
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("cannot remove the containers: {error:#}");
        }
    }
}
