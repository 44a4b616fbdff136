//! The settings, all checked before anything starts.

pub mod check;
mod given;
pub mod labels;
mod settings;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use check::MAX_PROFILE_HZ;
pub use given::{ConfigFile, Given};
pub use settings::{SETTINGS, Setting};

use self::labels::Labels;
use crate::snapshot::source;

/// Where the kernel's file systems are: `/proc`, `/sys` and `/` by default, elsewhere in a container that mounts the
/// host's at another path, and in tests on recorded trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub procfs: PathBuf,
    pub sysfs: PathBuf,
    pub rootfs: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { procfs: "/proc".into(), sysfs: "/sys".into(), rootfs: "/".into() }
    }
}

impl Roots {
    pub fn proc(&self, path: impl AsRef<Path>) -> PathBuf {
        self.procfs.join(path)
    }

    pub fn sys(&self, path: impl AsRef<Path>) -> PathBuf {
        self.sysfs.join(path)
    }
}

/// Everything the server needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub accounts: Accounts,
    pub sampling: Sampling,
    pub retention: Retention,
    pub alerts: Alerts,
    /// `None`: this machine is alone, unless it has joined a fleet.
    pub fleet: Option<Fleet>,
    pub joining: Joining,
    pub roots: Roots,
    /// Filter directives for the log; `None`: the command's default.
    pub log: Option<String>,
    /// Files with secrets that other users can read: to be warned of.
    pub exposed_files: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    pub cors_origins: Vec<String>,
    pub allowed_hosts: Vec<String>,
    /// Proxies trusted to report the client's address.
    pub trusted_proxies: Vec<IpAddr>,
    pub proxy_header: ProxyHeader,
    /// Without a trailing slash; empty for none.
    pub base_path: String,
    pub tls: Option<Tls>,
    pub metrics_public: bool,
}

impl Server {
    /// Whether other machines can reach the server: directly, or through a proxy, since only proxies need these
    /// settings.
    pub fn is_public(&self) -> bool {
        !self.listen.ip().is_loopback()
            || self.tls.is_some()
            || !self.trusted_proxies.is_empty()
            || !self.cors_origins.is_empty()
            || !self.allowed_hosts.is_empty()
    }
}

/// The header in which trusted proxies report the client. Only one is accepted: clients can send the other, and proxies
/// pass on headers they don't set themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl ProxyHeader {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone)]
pub struct Storage {
    /// `None` means SQLite in `data_dir`.
    pub database_url: Option<String>,
    pub data_dir: PathBuf,
    pub spool_max_bytes: u64,
    /// ID under which this machine's history is stored; `None`: derived from the machine's own.
    pub host_id: Option<String>,
    /// What this machine says of itself.
    pub labels: Labels,
    /// How many days PostgreSQL keeps readings as JSON beside the chunks; 0 for none.
    pub jsonb_days: u32,
    pub background_collection: bool,
}

impl std::fmt::Debug for Storage {
    /// Omits the URL, which contains a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// How a fleet's history travels.
#[derive(Clone, Default)]
pub struct Fleet {
    /// URLs of NATS servers.
    pub servers: Vec<String>,
    pub credentials: Option<PathBuf>,
    /// Trusted for NATS besides the system's authorities.
    pub ca: Option<PathBuf>,
    pub outbox_max_bytes: u64,
    /// Servers of a NATS cluster that keep the stream, if this hub makes it.
    pub stream_replicas: usize,
    /// Of a hub: what it needs to let machines join.
    pub keys: Option<String>,
    /// Of a hub: the servers' URLs as joining machines are told them; none: `servers`.
    pub public_servers: Vec<String>,
}

impl std::fmt::Debug for Fleet {
    /// Omits the URLs, which may contain a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

/// How a machine joins a fleet by itself.
#[derive(Clone)]
pub struct Joining {
    /// The page of a hub.
    pub url: Option<String>,
    pub token: Option<String>,
    /// Also over plain HTTP.
    pub allow_http: bool,
    /// As [`Fleet::outbox_max_bytes`], for a machine that has joined.
    pub outbox_max_bytes: u64,
}

impl std::fmt::Debug for Joining {
    /// Omits the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joining").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub struct Alerts {
    /// Where files of rules are; it may be missing.
    pub dir: PathBuf,
    /// Viewers, too, acknowledge alerts.
    pub viewers_acknowledge: bool,
    pub alertmanager_url: Option<String>,
    pub webhook_url: Option<String>,
    pub webhook_key: Option<String>,
    /// Channels made over the API may reach addresses inside this network.
    pub allow_private: bool,
    pub heartbeat_url: Option<String>,
    pub heartbeat_interval: Duration,
    /// What links in messages begin with.
    pub public_url: Option<String>,
}

impl std::fmt::Debug for Alerts {
    /// Omits the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alerts").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub struct Accounts {
    /// `None`: generated once and stored in the data directory.
    pub jwt_secret: Option<String>,
    pub login_lifetime: Duration,
    pub admin_username: String,
    /// `None`: random, printed at the first start.
    pub admin_password: Option<String>,
    pub attempts_per_minute: u32,
}

impl std::fmt::Debug for Accounts {
    /// Omits the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("admin_username", &self.admin_username).finish_non_exhaustive()
    }
}

/// Values for the first start; afterwards the configuration in the store applies.
#[derive(Debug, Clone)]
pub struct Sampling {
    pub settings: source::Settings,
    /// Percent of each CPU.
    pub ebpf_budget_percent: f64,
    /// Of the Docker API, asked for the names of containers.
    pub container_sockets: Vec<PathBuf>,
    /// Whether history has command lines.
    pub command_lines: bool,
}

/// Values for the first start, as above.
#[derive(Debug, Clone)]
pub struct Retention {
    pub cleanup_enabled: bool,
    pub cleanup_interval: Duration,
}

/// All errors in a configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has errors:\n{}", .0.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<String>);

impl Config {
    /// Reads and checks every setting; on failure all problems are reported, not just the first.
    ///
    /// `file` is the configuration file that the user specified; without one, `/etc/perfwatch/perfwatch.toml` is read
    /// if it exists.
    pub fn load(
        flag: impl Fn(&str) -> Option<String>,
        env: impl Fn(&str) -> Option<String>,
        file: Option<&Path>,
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let file = read_file(file, &mut problems);
        let given = Given::gather(flag, &env, file, &mut problems);
        let config = check::all(&given, &env, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }
}

const DEFAULT_FILE: &str = "/etc/perfwatch/perfwatch.toml";

fn read_file(named: Option<&Path>, problems: &mut Vec<String>) -> ConfigFile {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => ConfigFile::parse(path, &text, problems),
        Err(error) => {
            if named.is_some() || error.kind() != std::io::ErrorKind::NotFound {
                problems.push(format!("cannot read the configuration file {}: {error}", path.display()));
            }
            ConfigFile::default()
        }
    }
}
