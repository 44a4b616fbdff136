//! Docker: the running one, or our own for the duration of the test.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::debian::{self, Archive};
use crate::step::{Running, command, output};

/// Debian's, from the release after bookworm: bookworm's own engine cannot start privileged containers if
/// the machine lacks a capability.
const PACKAGES: [&str; 5] = ["docker.io", "docker-cli", "containerd", "docker-compose", "docker-buildx"];
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

#[derive(Debug)]
pub struct Engine {
    own: Option<Own>,
}

/// A daemon that this process started.
#[derive(Debug)]
struct Own {
    folder: PathBuf,
    daemon: Option<Running>,
    firewall: Vec<(&'static str, String)>,
    ip_forward: String,
    /// Two checkouts share the folder.
    _lock: File,
}

impl Engine {
    /// Whether an engine with compose is running already.
    pub fn runs_here() -> bool {
        output("docker", &["info", "--format", "{{.ServerVersion}}"])
            .is_some_and(|version| !version.is_empty())
            && output("docker", &["compose", "version"]).is_some()
    }

    pub fn find_or_start() -> Result<Self> {
        if Self::runs_here() {
            return Ok(Self { own: None });
        }
        Ok(Self { own: Some(Own::start()?) })
    }

    /// Whether images may be tagged in it with other people's names.
    pub fn is_private(&self) -> bool {
        self.own.is_some()
    }

    /// The socket of the engine's API, if its files are where nobody would look for them.
    pub fn socket(&self) -> Option<PathBuf> {
        self.own.as_ref().map(Own::socket)
    }

    /// `docker …` in the repository's root.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let mut docker = command("docker", arguments);
        if let Some(own) = &self.own {
            docker = command(&own.folder.join("unpacked/usr/bin/docker").to_string_lossy(), arguments);
            docker.env("DOCKER_HOST", own.address()).env("DOCKER_CONFIG", own.folder.join("config"));
        }
        docker
    }

    /// The output of a short `docker …`; an error with its stderr when it fails.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        answer(self.docker(arguments)).with_context(|| format!("docker {}", arguments.join(" ")))
    }
}

/// Runs a short command; returns its output, or an error with its stderr.
pub fn answer(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Own {
    fn start() -> Result<Self> {
        let folder = debian::cache_directory()?.join("docker");
        for name in ["config/cli-plugins", "run"] {
            fs::create_dir_all(folder.join(name)).with_context(|| format!("{}", folder.display()))?;
        }
        let lock = File::create(folder.join("lock"))?;
        lock.lock().context("cannot lock the engine's folder")?;
        unpack(&folder)?;
        let mut own = Self {
            // Saved before the daemon adds its own.
            firewall: firewall()?,
            ip_forward: fs::read_to_string(IP_FORWARD)?,
            daemon: None,
            folder,
            _lock: lock,
        };
        own.daemon = Some(own.started()?);
        own.wait()?;
        Ok(own)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("run/docker.sock")
    }

    fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn started(&self) -> Result<Running> {
        println!("==> Starting a Docker engine of our own");
        let programs = self.folder.join("unpacked/usr");
        let path = std::env::var("PATH").unwrap_or_default();
        let log = File::create(self.folder.join("dockerd.log"))?;
        // In its own mount namespace, shared as systemd does with the machine's root, so that `/` can be a slave mount.
        let mut daemon = command("unshare", &["--mount", "--propagation=shared", "--"]);
        daemon
            .arg(programs.join("sbin/dockerd"))
            .arg("--storage-driver=overlay2")
            .arg(format!("--data-root={}", self.folder.join("data").display()))
            .arg(format!("--exec-root={}", self.folder.join("run/exec").display()))
            .arg(format!("--pidfile={}", self.folder.join("run/docker.pid").display()))
            .arg(format!("--host={}", self.address()))
            .env("PATH", format!("{0}/bin:{0}/sbin:{path}", programs.display()))
            .stdout(log.try_clone()?)
            .stderr(log);
        Running::start(daemon)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + STARTS_WITHIN;
        let socket = self.socket();
        loop {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return Ok(());
            }
            let ended = self.daemon.as_mut().is_none_or(Running::has_ended);
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("dockerd.log")).unwrap_or_default();
                let end: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("dockerd did not start: {}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(Duration::from_secs(20));
        }
        // What the daemon leaves behind: its bridge and its firewall rules.
        let _ = answer(command("ip", &["link", "delete", "docker0"]));
        for (program, rules) in &self.firewall {
            if let Err(error) = restore(program, rules) {
                eprintln!("cannot restore the firewall with {program}-restore: {error:#}");
            }
        }
        let _ = fs::write(IP_FORWARD, &self.ip_forward);
    }
}

fn firewall() -> Result<Vec<(&'static str, String)>> {
    ["iptables", "ip6tables"]
        .into_iter()
        .map(|program| Ok((program, answer(Command::new(format!("{program}-save")))?)))
        .collect()
}

fn restore(program: &str, rules: &str) -> Result<()> {
    // A table missing in the saved rules did not exist: what is there now is the daemon's.
    let mut text = rules.to_owned();
    for table in ["filter", "nat"] {
        if !rules.contains(&format!("*{table}")) {
            text.push_str(&format!("\n*{table}\nCOMMIT\n"));
        }
    }
    let mut restore = Command::new(format!("{program}-restore")).stdin(Stdio::piped()).spawn()?;
    restore.stdin.take().context("no pipe")?.write_all((text + "\n").as_bytes())?;
    let status = restore.wait()?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

/// The engine's programs from Debian's archive, without installing them.
fn unpack(folder: &Path) -> Result<()> {
    let unpacked = folder.join("unpacked");
    if !unpacked.exists() {
        let unpacking = folder.join("unpacking");
        let _ = fs::remove_dir_all(&unpacking);
        let architecture = output("dpkg", &["--print-architecture"]).context("dpkg names no architecture")?;
        let archive = Archive::open()?;
        for package in PACKAGES {
            println!("==> Unpacking {package}");
            archive.unpack(&format!("{package}:{architecture}"), &unpacking)?;
        }
        fs::rename(&unpacking, &unpacked)?;
    }
    let plugins = folder.join("config/cli-plugins");
    for plugin in fs::read_dir(unpacked.join("usr/libexec/docker/cli-plugins"))? {
        let plugin = plugin?;
        let link = plugins.join(plugin.file_name());
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(plugin.path(), link)?;
        }
    }
    Ok(())
}
