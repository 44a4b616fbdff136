//! Parses and checks settings: one function per section, each reports all of its problems.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::labels::Labels;
use super::{
    Accounts, Alerts, Config, Fleet, Given, Joining, ProxyHeader, Retention, Roots, SETTINGS, Sampling,
    Server, Storage, Tls,
};
use crate::snapshot::cpulist::CpuList;
use crate::snapshot::source::{Settings, SourceSettings};

/// HS256 signs with SHA-256: with a shorter secret, guessing it is easier than forging a signature.
const MIN_SECRET_BYTES: usize = 32;

struct Checker<'a> {
    given: &'a Given,
    problems: &'a mut Vec<String>,
}

pub(super) fn all(
    given: &Given,
    env: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Config {
    let mut checker = Checker { given, problems };
    let server = server(&mut checker);
    let outbox_max_bytes = checker.within("fleet_outbox_max_mb", 1, 1 << 20) * (1 << 20);
    Config {
        storage: storage(&mut checker, env),
        accounts: accounts(&mut checker),
        sampling: sampling(&mut checker),
        retention: retention(&mut checker),
        alerts: alerts(&mut checker),
        fleet: fleet(&mut checker, outbox_max_bytes),
        joining: joining(&mut checker, outbox_max_bytes),
        roots: roots(&checker),
        log: given.get("log").map(str::to_owned),
        exposed_files: given.exposed.clone(),
        server,
    }
}

impl Checker<'_> {
    /// The setting's text, or its default.
    fn text(&self, name: &str) -> &str {
        let default = || SETTINGS.iter().find(|setting| setting.name == name).map_or("", |s| s.default);
        self.given.get(name).unwrap_or_else(default)
    }

    fn problem(&mut self, name: &str, what: impl Display) {
        self.problems.push(format!("{}: {what}", self.given.named(name)));
    }

    /// The parsed text; if it does not parse, reports a problem and returns `placeholder`.
    fn parsed<T: FromStr>(&mut self, name: &str, expected: &str, placeholder: T) -> T {
        match self.text(name).trim().parse() {
            Ok(value) => value,
            Err(_) => {
                let text = self.text(name).to_owned();
                self.problem(name, format_args!("{text:?} is not {expected}"));
                placeholder
            }
        }
    }

    fn within<T: FromStr + PartialOrd + Display + Copy>(&mut self, name: &str, min: T, max: T) -> T {
        let value = self.parsed(name, &format!("a number from {min} to {max}"), min);
        if value < min || value > max {
            self.problem(name, format_args!("{value} is out of range; use {min} to {max}"));
            return min;
        }
        value
    }

    fn truth(&mut self, name: &str) -> bool {
        match self.text(name).trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            other => {
                let other = other.to_owned();
                self.problem(name, format_args!("{other:?} is not a switch; use true or false"));
                false
            }
        }
    }

    fn list(&self, name: &str) -> Vec<String> {
        let items = self.text(name).split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.given.get(name).map(PathBuf::from)
    }
}

fn server(c: &mut Checker<'_>) -> Server {
    let listen =
        c.parsed("listen", "an address such as 127.0.0.1:8000", SocketAddr::from(([127, 0, 0, 1], 0)));
    let tls = match (c.path("tls_cert"), c.path("tls_key")) {
        (Some(cert), Some(key)) => Some(Tls { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            c.problem("tls_key", "must be set together with PERFWATCH_TLS_CERT");
            None
        }
        (None, Some(_)) => {
            c.problem("tls_cert", "must be set together with PERFWATCH_TLS_KEY");
            None
        }
    };
    let cors_origins = c.list("cors_origins");
    for origin in &cors_origins {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if rest.is_none_or(|host| host.is_empty() || host.contains('/') || host.contains('*')) {
            c.problem(
                "cors_origins",
                format_args!(
                    "{origin:?} is not an origin such as https://monitor.example.org (no path, no *)"
                ),
            );
        }
    }
    let mut trusted_proxies = Vec::new();
    for proxy in c.list("trusted_proxies") {
        match proxy.parse::<IpAddr>() {
            Ok(address) => trusted_proxies.push(address.to_canonical()),
            Err(_) => {
                c.problem("trusted_proxies", format_args!("{proxy:?} is not an IP address such as 10.0.0.2"));
            }
        }
    }
    let proxy_header = match c.text("proxy_header").trim().to_ascii_lowercase().as_str() {
        "x-forwarded-for" => ProxyHeader::XForwardedFor,
        "forwarded" => ProxyHeader::Forwarded,
        other => {
            let other = other.to_owned();
            c.problem("proxy_header", format_args!("{other:?} is neither x-forwarded-for nor forwarded"));
            ProxyHeader::default()
        }
    };
    let base_path = c.text("base_path").trim().trim_end_matches('/').to_owned();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let is_segment = |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain);
    if !base_path.is_empty()
        && !base_path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment))
    {
        c.problem("base_path", format_args!("{base_path:?} is not a path such as /perfwatch"));
    }
    Server {
        listen,
        cors_origins,
        allowed_hosts: c.list("allowed_hosts"),
        trusted_proxies,
        proxy_header,
        base_path,
        tls,
        metrics_public: c.truth("metrics_public"),
    }
}

fn storage(c: &mut Checker<'_>, env: &impl Fn(&str) -> Option<String>) -> Storage {
    let database_url = c.given.get("database_url").map(str::to_owned);
    let known = ["sqlite:", "postgres://", "postgresql://", "postgresql+asyncpg://"];
    if let Some(url) = &database_url
        && !known.iter().any(|scheme| url.starts_with(scheme))
    {
        // Don't repeat the value: it may contain a password.
        c.problem(
            "database_url",
            "must begin with postgres:// or sqlite:, such as postgres://user:password@host/database",
        );
    }
    let data_dir =
        c.path("data_dir").unwrap_or_else(|| default_data_dir(env, rustix::process::geteuid().is_root()));
    Storage {
        database_url,
        data_dir,
        spool_max_bytes: c.within("spool_max_mb", 1, 1 << 20) * (1 << 20),
        host_id: host_id(c),
        labels: labels(c),
        jsonb_days: u32::try_from(c.within("jsonb_days", 0, 365)).unwrap_or_default(),
        background_collection: c.truth("background_collection_enabled"),
    }
}

fn alerts(c: &mut Checker<'_>) -> Alerts {
    let mut url = |name: &str| {
        let url = c.given.get(name).map(|url| url.trim().to_owned())?;
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if rest.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            // Don't repeat the value: it may contain a token.
            c.problem(name, "must begin with http:// or https:// and name a host");
        }
        Some(url)
    };
    let (alertmanager_url, webhook_url) = (url("alertmanager_url"), url("alert_webhook_url"));
    let (heartbeat_url, public_url) = (url("alert_heartbeat_url"), url("public_url"));
    let webhook_key = c.given.get("alert_webhook_key").map(str::to_owned);
    if webhook_key.is_some() && webhook_url.is_none() {
        c.problem("alert_webhook_key", "must be set together with PERFWATCH_ALERT_WEBHOOK_URL");
    }
    Alerts {
        dir: c.text("alerts_dir").into(),
        viewers_acknowledge: c.truth("alert_viewers_acknowledge"),
        alertmanager_url,
        webhook_url,
        webhook_key,
        allow_private: c.truth("alert_allow_private"),
        heartbeat_url,
        heartbeat_interval: Duration::from_secs(c.within("alert_heartbeat_seconds", 5, 86_400)),
        public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
    }
}

fn fleet(c: &mut Checker<'_>, outbox_max_bytes: u64) -> Option<Fleet> {
    let (servers, public_servers) = (c.list("fleet_url"), c.list("fleet_public_url"));
    for (name, urls) in [("fleet_url", &servers), ("fleet_public_url", &public_servers)] {
        if !urls.iter().all(|url| is_nats_url(url)) {
            // Don't repeat the value: it may contain a password.
            c.problem(name, "must be nats:// or tls:// URLs that name a host, separated by commas");
        }
    }
    let keys = c.given.get("fleet_keys").map(str::to_owned);
    for name in ["fleet_credentials", "fleet_ca", "fleet_keys", "fleet_public_url"] {
        if c.given.get(name).is_some() && servers.is_empty() {
            c.problem(name, "must be set together with PERFWATCH_FLEET_URL");
        }
    }
    let (credentials, ca) = (c.path("fleet_credentials"), c.path("fleet_ca"));
    let stream_replicas = c.within("fleet_stream_replicas", 1, 5) as usize;
    let fleet = Fleet { servers, credentials, ca, outbox_max_bytes, stream_replicas, keys, public_servers };
    (!fleet.servers.is_empty()).then_some(fleet)
}

/// Whether it names a server of NATS.
pub fn is_nats_url(url: &str) -> bool {
    let rest = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
    rest.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}

fn joining(c: &mut Checker<'_>, outbox_max_bytes: u64) -> Joining {
    let url = c.given.get("join_url").map(|url| url.trim().trim_end_matches('/').to_owned());
    let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    if url.as_deref().is_some_and(|url| !is_web(url)) {
        c.problem("join_url", "must begin with https:// and name a hub");
    }
    let token = c.given.get("join_token").map(|token| token.trim().to_owned());
    if token.is_some() && url.is_none() {
        c.problem("join_token", "must be set together with PERFWATCH_JOIN_URL");
    }
    let allow_http = c.truth("join_allow_http");
    Joining { url, token, allow_http, outbox_max_bytes }
}

fn labels(c: &mut Checker<'_>) -> Labels {
    match c.text("labels").parse() {
        Ok(labels) => labels,
        Err(error) => {
            c.problem("labels", error);
            Labels::default()
        }
    }
}

fn host_id(c: &mut Checker<'_>) -> Option<String> {
    let id = c.given.get("host_id").map(str::to_owned)?;
    if !is_host_id(&id) {
        c.problem("host_id", "must be 1 to 64 letters, digits, dots, dashes and underscores");
    }
    Some(id)
}

/// Whether a machine may have this ID.
pub fn is_host_id(id: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !id.is_empty() && id.len() <= 64 && id.bytes().all(is_plain)
}

fn default_data_dir(env: &impl Fn(&str) -> Option<String>, root: bool) -> PathBuf {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Set by systemd from the unit's StateDirectory=.
    if let Some(dir) = set("STATE_DIRECTORY") {
        return dir;
    }
    if root {
        return "/var/lib/perfwatch".into();
    }
    set("XDG_STATE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(set("HOME")?.join(".local/state")))
        .unwrap_or_else(|| "/tmp".into())
        .join("perfwatch")
}

fn accounts(c: &mut Checker<'_>) -> Accounts {
    let jwt_secret = c.given.get("jwt_secret").map(str::to_owned);
    // Also on loopback: anyone with one token can try secrets offline, a million per second.
    if let Some(secret) = &jwt_secret {
        let distinct = secret.bytes().collect::<BTreeSet<_>>().len();
        if secret.len() < MIN_SECRET_BYTES {
            c.problem("jwt_secret", format_args!("is shorter than {MIN_SECRET_BYTES} bytes"));
        } else if distinct < 8 {
            c.problem(
                "jwt_secret",
                "repeats a few characters only; `openssl rand -base64 48` makes a good one",
            );
        }
    }
    let admin_username = c.text("admin_username").to_owned();
    if admin_username.is_empty() || admin_username.chars().count() > 50 {
        c.problem("admin_username", "must have 1 to 50 characters");
    }
    let admin_password = c.given.get("admin_password").map(str::to_owned);
    if admin_password.as_ref().is_some_and(|password| password.len() > 72) {
        c.problem("admin_password", "must not exceed 72 bytes");
    }
    Accounts {
        jwt_secret,
        login_lifetime: Duration::from_secs(3600 * c.within("jwt_expire_hours", 1, 24 * 365)),
        admin_username,
        admin_password,
        attempts_per_minute: c.within("login_attempts_per_minute", 1, 10_000),
    }
}

/// Of sampling without end.
pub const MAX_PROFILE_HZ: u32 = 199;

fn sampling(c: &mut Checker<'_>) -> Sampling {
    let cores = c.text("perf_events_cpu_cores").trim().to_owned();
    let perf_events_cpu_cores = match cores.as_str() {
        "all" => None,
        list => match list.parse::<CpuList>() {
            Ok(list) => Some(list),
            Err(error) => {
                c.problem("perf_events_cpu_cores", error);
                None
            }
        },
    };
    Sampling {
        settings: Settings {
            interval: Duration::from_secs(c.within("sampling_interval_seconds", 1, 3600)),
            sources: SourceSettings {
                perf_events_enabled: c.truth("perf_events_enabled"),
                perf_events_cpu_cores,
                perf_events_interval: Duration::from_millis(c.within(
                    "perf_events_interval_ms",
                    100,
                    3_600_000,
                )),
                profile_hz: c.within("profile_hz", 0, MAX_PROFILE_HZ),
            },
        },
        ebpf_budget_percent: c.within("ebpf_budget_percent", 0.01, 100.0),
        container_sockets: container_sockets(c),
        command_lines: c.truth("command_lines"),
    }
}

fn container_sockets(c: &mut Checker<'_>) -> Vec<PathBuf> {
    // `sun_path` of a Unix socket's address holds 108 bytes with the NUL at its end.
    const MAX_PATH: usize = 107;
    let sockets = c.list("container_sockets");
    for socket in &sockets {
        let path = socket.strip_prefix("unix://").unwrap_or(socket);
        if !path.starts_with('/') || path.len() > MAX_PATH {
            c.problem("container_sockets", format_args!("{socket:?} is not a path such as /run/docker.sock"));
        }
    }
    sockets.iter().map(|socket| socket.strip_prefix("unix://").unwrap_or(socket).into()).collect()
}

fn retention(c: &mut Checker<'_>) -> Retention {
    Retention {
        cleanup_enabled: c.truth("retention_cleanup_enabled"),
        cleanup_interval: Duration::from_secs(
            60 * c.within("retention_cleanup_interval_minutes", 1, 60 * 24 * 365),
        ),
    }
}

fn roots(c: &Checker<'_>) -> Roots {
    Roots { procfs: c.text("procfs").into(), sysfs: c.text("sysfs").into(), rootfs: c.text("rootfs").into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problems;

    fn load(env: &[(&str, &str)]) -> Result<Config, Problems> {
        loaded_from(b"", env)
    }

    #[test]
    fn an_empty_environment_is_a_good_one() {
        let config = load(&[]).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(config.sampling.settings.interval, Duration::from_secs(5));
        assert_eq!(config.sampling.settings.sources, SourceSettings::default());
        assert_eq!(config.roots, Roots::default());
        assert!(config.storage.background_collection && config.retention.cleanup_enabled);
    }

    #[test]
    fn the_originals_names_work() {
        let config = load(&[
            ("DATABASE_URL", "postgresql+asyncpg://u:p@h/d"),
            ("SAMPLING_INTERVAL_SECONDS", "2"),
            ("BACKGROUND_COLLECTION_ENABLED", "False"),
            ("PERF_EVENTS_CPU_CORES", "0-1"),
            ("PERF_EVENTS_INTERVAL_MS", "500"),
        ])
        .unwrap();
        assert_eq!(config.sampling.settings.interval, Duration::from_secs(2));
        assert!(!config.storage.background_collection);
        assert_eq!(config.sampling.settings.sources.perf_events_cpu_cores.unwrap().to_string(), "0-1");
        assert_eq!(config.sampling.settings.sources.perf_events_interval, Duration::from_millis(500));
    }

    #[test]
    fn all_problems_are_reported_at_once_and_no_secret_is() {
        let Problems(problems) = load(&[
            ("PERFWATCH_LISTEN", "0.0.0.0:80"),
            ("JWT_SECRET", "short-secret"),
            ("DATABASE_URL", "mysql://u:hunter2@h/d"),
            ("SAMPLING_INTERVAL_SECONDS", "0"),
            ("PERF_EVENTS_INTERVAL_MS", "99"),
            ("PERF_EVENTS_CPU_CORES", "3-1"),
            ("PERF_EVENTS_ENABLED", "maybe"),
            ("PERFWATCH_CORS_ORIGINS", "*, https://ok.example"),
            ("PERFWATCH_TLS_CERT", "c.pem"),
        ])
        .unwrap_err();
        let all = problems.join("\n");
        assert_eq!(problems.len(), 8, "{all}");
        assert!(!all.contains("short-secret") && !all.contains("hunter2"), "{all}");
        assert!(all.contains("SAMPLING_INTERVAL_SECONDS: 0 is out of range; use 1 to 3600"), "{all}");
    }

    #[test]
    fn weak_secrets_are_refused_on_loopback_too() {
        for weak in ["a", "short-secret", &"a".repeat(64), &"ab".repeat(32)] {
            let Problems(problems) = load(&[("JWT_SECRET", weak)]).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with("JWT_SECRET: "), "{weak}: {problems:?}");
        }
        load(&[("JWT_SECRET", "Qm9yZWQgb2YgcmVhZGluZyBzZWNyZXRzPyBObyBvbmU=")]).unwrap();
    }

    #[test]
    fn whatever_lets_others_in_makes_a_server_public() {
        let is_public = |env: &[(&str, &str)]| load(env).unwrap().server.is_public();
        assert!(!is_public(&[]) && !is_public(&[("PERFWATCH_LISTEN", "[::1]:1")]));
        for (name, value) in [
            ("PERFWATCH_LISTEN", "0.0.0.0:1"),
            ("PERFWATCH_TRUSTED_PROXIES", "127.0.0.1"),
            ("PERFWATCH_CORS_ORIGINS", "https://a.example"),
            ("PERFWATCH_ALLOWED_HOSTS", "a.example"),
        ] {
            assert!(is_public(&[(name, value)]), "{name}");
        }
        assert!(is_public(&[("PERFWATCH_TLS_CERT", "c.pem"), ("PERFWATCH_TLS_KEY", "k.pem")]));
    }

    #[test]
    fn a_base_path_is_one_of_plain_names() {
        for (path, base) in
            [("/", ""), ("/perfwatch", "/perfwatch"), ("/a/b-c.d/", "/a/b-c.d"), (" /x ", "/x")]
        {
            assert_eq!(load(&[("PERFWATCH_BASE_PATH", path)]).unwrap().server.base_path, base, "{path}");
        }
        for bad in ["perfwatch", "/a//b", "/..", "/a/../b", "/a b", "/\"><script>", "/a?b", "https://x/y"] {
            assert!(load(&[("PERFWATCH_BASE_PATH", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fleet_s_servers_are_urls_of_nats() {
        let fleet = |url| load(&[("PERFWATCH_FLEET_URL", url)]).map(|config| config.fleet);
        assert!(fleet("").unwrap().is_none());
        let two = fleet("nats://a:4222, tls://user:hush@b").unwrap().unwrap();
        assert_eq!(two.servers, ["nats://a:4222", "tls://user:hush@b"]);
        assert!(!format!("{two:?}").contains("hush"));
        for bad in ["a:4222", "http://a", "nats://", "nats://a, hush"] {
            let problems = fleet(bad).unwrap_err().0.join(" ");
            assert!(problems.contains("PERFWATCH_FLEET_URL") && !problems.contains("hush"), "{bad}");
        }
        assert!(load(&[("PERFWATCH_FLEET_CREDENTIALS", "/x.creds")]).is_err());
    }

    #[test]
    fn sockets_of_runtimes_are_paths() {
        let sockets = |list| {
            load(&[("PERFWATCH_CONTAINER_SOCKETS", list)]).map(|config| config.sampling.container_sockets)
        };
        assert_eq!(sockets("").unwrap(), Vec::<PathBuf>::new());
        let two = ["/run/docker.sock", "/run/user/1000/podman/podman.sock"].map(PathBuf::from);
        assert_eq!(sockets("/run/docker.sock, unix:///run/user/1000/podman/podman.sock").unwrap(), two);
        for bad in ["tcp://127.0.0.1:2375", "docker.sock", &format!("/{}", "x".repeat(107))] {
            assert!(sockets(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn data_goes_where_each_user_expects_it() {
        let none = |_: &str| None;
        let home = |name: &str| (name == "HOME").then(|| "/home/u".to_owned());
        let xdg = |name: &str| (name == "XDG_STATE_HOME").then(|| "/x".to_owned());
        assert_eq!(default_data_dir(&none, true), PathBuf::from("/var/lib/perfwatch"));
        assert_eq!(default_data_dir(&home, false), PathBuf::from("/home/u/.local/state/perfwatch"));
        assert_eq!(default_data_dir(&xdg, false), PathBuf::from("/x/perfwatch"));
    }

    fn loaded_from(text: &[u8], env: &[(&str, &str)]) -> Result<Config, Problems> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("perfwatch.toml");
        std::fs::write(&file, text).unwrap();
        let find =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::load(|_| None, find, Some(&file))
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            if let Err(Problems(problems)) = loaded_from(&text, &[]) {
                proptest::prop_assert!(problems.iter().all(|problem| !problem.is_empty()));
            }
        }

        #[test]
        fn no_mutated_file_panics(mutations in crate::mutation::mutations()) {
            // The packaged file, with each setting that it mentions set.
            let packaged = include_str!("../../../deploy/perfwatch.toml").lines();
            let set = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
            let mut text = packaged.map(set).collect::<Vec<_>>().join("\n").into_bytes();
            crate::mutation::mutate(&mut text, &mutations);
            if let Err(Problems(problems)) = loaded_from(&text, &[]) {
                proptest::prop_assert!(problems.iter().all(|problem| !problem.is_empty()));
            }
        }

        #[test]
        fn no_value_of_any_setting_panics(
            which in 0..SETTINGS.len(),
            value in "[-+]?[0-9]{0,40}([.eE:/,-][0-9a-f]{0,20}){0,3}|[a-z]{0,12}://.{0,40}|.{0,60}",
        ) {
            let setting = &SETTINGS[which];
            if let Err(Problems(problems)) = loaded_from(b"", &[(setting.env, &value)]) {
                proptest::prop_assert!(!problems.is_empty());
            }
        }
    }
}
