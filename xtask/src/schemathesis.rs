//! `cargo xtask schemathesis`: random requests, generated from the OpenAPI document, against the running server.
//!
//! schemathesis comes from the Python package index into a virtual environment below `target/`. If that is not
//! available, this says so and skips.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::step::{Running, command, quiet, read_lines, root};
use crate::test::compile;

const VERSION: &str = "4.32.5";
const PASSWORD: &str = "kx83 admin tail";
/// A password takes a quarter of a second, in a debug build on a busy machine many times that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Operations that may end the session they use, or the account itself; each gets its own server.
const ENDS_LOGINS: [&str; 3] = ["logout", "change_user", "delete_user"];
/// Requests that satisfy the document may still be rejected (ranges that depend on each other, passwords that
/// are wrong), and unknown members are ignored: both are intended.
const NOT_CHECKED: &str = "positive_data_acceptance,negative_data_rejection";

/// Send the server random requests generated from its OpenAPI document
///
/// Fails on any 5xx, undocumented status, or answer that breaks its schema.
#[derive(clap::Args)]
pub struct Options {
    /// Random requests per operation
    #[arg(long, default_value_t = 40)]
    examples: u32,
    /// Go on with other requests until this many seconds are over
    #[arg(long)]
    seconds: Option<u32>,
    /// A PostgreSQL database to use instead of SQLite; all that is in it goes
    #[arg(long)]
    database: Option<String>,
}

pub fn schemathesis(options: &Options) -> Result<()> {
    let program = match install() {
        Ok(program) => program,
        Err(error) => {
            println!("SKIPPED: schemathesis: it cannot be installed: {error:#}");
            println!("schemathesis: 0 passed, 0 failed, 1 skipped");
            return Ok(());
        }
    };
    quiet("Compiling the server", compile())?;

    let mut tally = Tally::default();
    let mut most = vec!["--phases=examples,coverage,fuzzing".to_owned()];
    most.extend(ENDS_LOGINS.iter().map(|id| format!("--exclude-operation-id={id}")));
    if let Some(seconds) = options.seconds {
        most.push(format!("--max-time={seconds}"));
    }
    tally.add(Server::start(options)?.try_out(&program, "All but the end of logins", options, &most)?);
    for id in ENDS_LOGINS {
        let only = ["--phases=examples,coverage,fuzzing".to_owned(), format!("--include-operation-id={id}")];
        tally.add(Server::start(options)?.try_out(&program, id, options, &only)?);
    }
    println!("schemathesis: {} passed, {} failed, 0 skipped", tally.passed, tally.failed);
    if tally.failed > 0 {
        bail!("the server does not match its OpenAPI document");
    }
    Ok(())
}

fn install() -> Result<PathBuf> {
    let venv = root().join("target/schemathesis/venv");
    let program = venv.join("bin/schemathesis");
    let installed = venv.join(format!("installed-{VERSION}"));
    if !installed.exists() {
        let python = command("python3", &["-m", "venv", "--clear", &venv.to_string_lossy()]);
        quiet("Making a Python environment", python)?;
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", &format!("schemathesis=={VERSION}")]);
        quiet("Installing schemathesis", pip)?;
        std::fs::write(installed, "")?;
    }
    Ok(program)
}

/// A server with a new store.
struct Server {
    address: String,
    _running: Running,
}

impl Server {
    fn start(options: &Options) -> Result<Self> {
        let data = root().join("target/schemathesis/data");
        let _ = std::fs::remove_dir_all(&data);
        if let Some(url) = &options.database {
            // What was tried out before may have changed the password.
            const EMPTY: &str = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
            quiet(
                "Emptying the database",
                command("psql", &["--quiet", "--dbname", url, "--command", EMPTY]),
            )?;
        }
        let mut serve = Command::new(root().join("target/debug/perfwatch"));
        serve.arg("serve").current_dir(root()).stdout(Stdio::piped());
        for (name, value) in [
            ("PERFWATCH_LISTEN", "127.0.0.1:0"),
            ("PERFWATCH_DATA_DIR", &*data.to_string_lossy()),
            ("DATABASE_URL", options.database.as_deref().unwrap_or_default()),
            ("ADMIN_USERNAME", "admin"),
            ("ADMIN_PASSWORD", PASSWORD),
            ("LOGIN_ATTEMPTS_PER_MINUTE", "10000"),
            ("PERFWATCH_LOG", "warn"),
        ] {
            serve.env(name, value);
        }
        let mut running = Running::start(serve)?;
        let stdout = running.take_stdout().context("the server's output was not captured")?;
        let mut lines = BufReader::new(stdout).lines().map_while(|line| line.ok());
        let address = lines.find_map(|line| line.strip_prefix("PerfWatch is at http://").map(str::to_owned));
        let address = address.context("the server did not start")?;
        Ok(Self { address, _running: running })
    }

    fn try_out(
        &self,
        program: &std::path::Path,
        title: &str,
        options: &Options,
        selection: &[String],
    ) -> Result<Tally> {
        let mut run = Command::new(program);
        run.current_dir(root().join("target/schemathesis"))
            .args(["run", &format!("http://{}/openapi.json", self.address)])
            .args(["--header", &format!("Authorization: Bearer {}", self.token()?)])
            .args(["--exclude-checks", NOT_CHECKED, "--max-examples", &options.examples.to_string()])
            .args(["--continue-on-failure", "--warnings=off", "--no-color"])
            .arg(format!("--request-timeout={}", REQUEST_TIMEOUT.as_secs()))
            .args(selection);
        if options.seconds.is_none() {
            // The same requests in each run, so that a failure comes from the change under test.
            run.arg("--generation-deterministic");
        }
        let mut tally = Tally::default();
        let status = read_lines(&format!("schemathesis: {title}"), run, |line| {
            println!("{line}");
            tally.read(line);
        })?;
        if (!status.success() || tally.passed == 0) && tally.failed == 0 {
            tally.failed = 1; // it never got to its summary
        }
        Ok(tally)
    }

    /// A fresh login.
    fn token(&self) -> Result<String> {
        let body = serde_json::json!({"username": "admin", "password": PASSWORD}).to_string();
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
        write!(
            stream,
            "POST /api/auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let login: serde_json::Value = serde_json::from_str(body).context("the login's answer")?;
        login["access_token"].as_str().map(str::to_owned).with_context(|| format!("no login: {body}"))
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Reads `852 generated, 852 passed` or `921 generated, 9 found 9 unique failures, 32 skipped`.
    fn read(&mut self, line: &str) {
        let numbers = |part: &str| part.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
        let mut parts = line.trim().split(", ");
        let Some(generated) = parts.next().filter(|part| part.ends_with(" generated")).and_then(numbers)
        else {
            return;
        };
        let rest: Vec<&str> = parts.collect();
        let count = |word: &str| rest.iter().find(|part| part.contains(word)).copied().and_then(numbers);
        self.failed = count(" found ").unwrap_or(0) + count(" errored").unwrap_or(0);
        self.passed = generated.saturating_sub(self.failed + count(" skipped").unwrap_or(0));
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        for (line, passed, failed) in [
            ("  852 generated, 852 passed", 852, 0),
            ("  921 generated, 9 found 9 unique failures, 32 skipped", 880, 9),
            ("  1432 generated, 1432 passed, 2 errored, 40 skipped", 1390, 2),
            ("Test cases:", 0, 0),
            ("  Selected: 23/24", 0, 0),
        ] {
            let mut tally = Tally::default();
            tally.read(line);
            assert_eq!(tally, Tally { passed, failed }, "{line}");
        }
    }
}
