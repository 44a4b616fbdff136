//! A private PostgreSQL cluster from the installed binaries, removed when the test process exits.
//!
//! It listens on a unix socket in its own temporary directory only. `initdb` refuses root, so as root it
//! runs as the user `postgres` (or `nobody`). A watcher process holds the other end of a pipe: however the
//! test process ends, the watcher sees the pipe close, stops the server and removes the directory.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

/// How long a started server may take to respond, on a machine busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
    user: Option<(u32, u32)>,
    settings: &'static [&'static str],
    server: Option<Child>,
    databases: AtomicU32,
    poolers: AtomicU32,
    /// Closed when this process ends; see the module's comment.
    _watcher: Child,
}

impl Cluster {
    /// `Err` says why there can be none on this machine. A power cut may lose its data.
    pub async fn start() -> Result<Self, String> {
        Self::start_with(&["fsync=off"]).await
    }

    /// With all the guarantees of a production server.
    pub async fn start_durable() -> Result<Self, String> {
        Self::start_with(&["max_wal_size=1GB"]).await
    }

    async fn start_with(settings: &'static [&'static str]) -> Result<Self, String> {
        let bin = binaries().ok_or("PostgreSQL 15 or later is not installed")?;
        let user = ordinary_user()?;
        let dir = std::env::temp_dir().join(format!(
            "perfwatch-pg-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&dir, Some(uid), Some(gid)).map_err(|e| e.to_string())?;
        }
        let watcher = watch(&dir);
        let mut cluster = Self {
            bin,
            dir,
            user,
            settings,
            server: None,
            databases: AtomicU32::new(0),
            poolers: AtomicU32::new(0),
            _watcher: watcher,
        };
        let init = cluster
            .command("initdb")
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-N", "-D"])
            .arg(cluster.data())
            .output()
            .map_err(|e| e.to_string())?;
        if !init.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&init.stderr)));
        }
        cluster.run().await;
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn command(&self, program: &str) -> Command {
        self.program(&self.bin.join(program))
    }

    fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).stdin(Stdio::null()).process_group(0);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server (again) and waits until it answers.
    pub async fn run(&mut self) {
        let log = std::fs::File::create(self.dir.join("log")).expect("the cluster's directory is ours");
        let settings = ["listen_addresses=", "unix_socket_permissions=0777", "max_connections=200"];
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.dir).stdout(Stdio::null()).stderr(log);
        command.args(settings.iter().chain(self.settings).flat_map(|s| ["-c", s]));
        self.server = Some(command.spawn().expect("the installed server starts"));
        let since = Instant::now();
        while let Err(error) = self.options("postgres", "postgres").connect().await {
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(since.elapsed() < TIMEOUT, "the cluster does not answer: {error}\n{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn pid(&self) -> libc::pid_t {
        let server = self.server.as_ref().expect("the server runs");
        libc::pid_t::try_from(server.id()).expect("process ids fit")
    }

    /// Kills the postmaster and all its children as a power cut would.
    pub fn kill(&mut self) {
        // Killing the children first would make the postmaster restart them; stopped, it cannot.
        for pid in self.family() {
            signal(pid, libc::SIGSTOP);
        }
        for pid in self.family() {
            signal(pid, libc::SIGKILL);
        }
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// Every process hangs: connections stay open, nothing answers.
    pub fn hang(&self) {
        self.family().into_iter().for_each(|pid| signal(pid, libc::SIGSTOP));
    }

    pub fn resume(&self) {
        self.family().into_iter().for_each(|pid| signal(pid, libc::SIGCONT));
    }

    /// The postmaster and its children.
    fn family(&self) -> Vec<libc::pid_t> {
        let parent = self.pid();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        [parent].into_iter().chain(children).collect()
    }

    /// Puts a `PgBouncer` with so many server connections for each database in front.
    pub async fn pooler(&self, mode: &str, connections: u32) -> Result<Pooler, String> {
        let debian = Path::new("/usr/sbin/pgbouncer");
        let program = if debian.exists() { debian } else { Path::new("pgbouncer") };
        let port = 6432 + self.poolers.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.display();
        // Accounts must be listed; those of the databases made so far and of many to come.
        let users: String = (0..1000).map(|n| format!("\"owner{n}\" \"\"\n")).collect();
        let (file, list) = (self.dir.join(format!("{port}.ini")), self.dir.join(format!("{port}.users")));
        let settings = format!(
            "[databases]\n* = host={dir} port=5432\n[pgbouncer]\nlisten_addr =\nlisten_port = {port}\n\
             unix_socket_dir = {dir}\nunix_socket_mode = 0777\nauth_type = trust\nauth_file = {}\n\
             pool_mode = {mode}\ndefault_pool_size = {connections}\npidfile = {dir}/{port}.pid\n\
             logfile = {dir}/{port}.log\n",
            list.display()
        );
        std::fs::write(&list, users).map_err(|error| error.to_string())?;
        std::fs::write(&file, settings).map_err(|error| error.to_string())?;
        let mut command = self.program(program);
        let running = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let running = running.map_err(|error| format!("pgbouncer: {error}"))?;
        let pooler = Pooler { running, port };
        let since = Instant::now();
        while !self.dir.join(format!(".s.PGSQL.{port}")).exists() {
            let log = || std::fs::read_to_string(self.dir.join(format!("{port}.log"))).unwrap_or_default();
            assert!(since.elapsed() < TIMEOUT, "pgbouncer does not answer: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(pooler)
    }

    pub fn options(&self, user: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().socket(&self.dir).port(5432).username(user).database(database)
    }

    /// A new database owned by an ordinary role, and its URL.
    pub async fn database(&self) -> String {
        let n = self.databases.fetch_add(1, Ordering::Relaxed);
        let mut admin: PgConnection =
            self.options("postgres", "postgres").connect().await.expect("the cluster answers");
        for statement in [
            format!("CREATE ROLE owner{n} LOGIN NOSUPERUSER"),
            format!("CREATE DATABASE test{n} OWNER owner{n} TEMPLATE template0"),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut admin).await.expect("a new database");
        }
        admin.close().await.expect("an orderly end");
        format!("postgres://owner{n}@localhost/test{n}?host={}", self.dir.display())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Ends when dropped.
pub struct Pooler {
    running: Child,
    port: u32,
}

impl Pooler {
    /// A database's URL, through this.
    pub fn url(&self, direct: &str) -> String {
        format!("{direct}&port={}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn signal(pid: libc::pid_t, signal: libc::c_int) {
    let pid = rustix::process::Pid::from_raw(pid).expect("no process has id 0");
    let signal = match signal {
        libc::SIGSTOP => rustix::process::Signal::STOP,
        libc::SIGCONT => rustix::process::Signal::CONT,
        _ => rustix::process::Signal::KILL,
    };
    // One that ended in the meantime needs no signal.
    let _ = rustix::process::kill_process(pid, signal);
}

/// The newest installed binaries, from Debian's directories or the path.
fn binaries() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = debian
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(version, bin)| *version >= 15 && bin.join("initdb").exists())
        .max()
        .map(|(_, bin)| bin);
    let on_path = || {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists())
    };
    newest.or_else(on_path)
}

/// The user to run as: `None` for ourselves.
fn ordinary_user() -> Result<Option<(u32, u32)>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").map_err(|e| e.to_string())?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| {
            let account = accounts.lines().find(|line| line.starts_with(&format!("{name}:")))?;
            let mut fields = account.split(':').skip(2).map(str::parse);
            Some(Some((fields.next()?.ok()?, fields.next()?.ok()?)))
        })
        .ok_or_else(|| "running as root, and there is no user postgres or nobody to run the server as".into())
}

fn watch(dir: &Path) -> Child {
    // In a process group of its own, so that a terminal's Ctrl-C misses it: it has to outlive us.
    const SCRIPT: &str = r#"read ignored
        for file in "$1"/*.pid; do
            [ -f "$file" ] && kill $(cat "$file") 2>/dev/null
        done
        if [ -f "$1/data/postmaster.pid" ]; then
            pid=$(head -n 1 "$1/data/postmaster.pid")
            kill -CONT $pid $(cat /proc/$pid/task/$pid/children) 2>/dev/null
            kill -QUIT $pid 2>/dev/null
            while kill -0 $pid 2>/dev/null; do sleep 0.05; done
        fi
        rm -rf "$1""#;
    let mut watcher = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh runs");
    if let Some(pipe) = &mut watcher.stdin {
        let _ = pipe.flush();
    }
    watcher
}
