//! Every setting there is, and where its value is taken from: flag, environment, `perfwatch.toml`, default.

use std::collections::BTreeMap;
use std::path::Path;

/// One thing a user may set.
#[derive(Debug)]
pub struct Setting {
    /// Its key in `perfwatch.toml`; with dashes, its flag.
    pub name: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// What holds when nobody sets it, in words where it is computed.
    pub default: &'static str,
    pub help: &'static str,
    /// Never shown, and also taken from the file that `<NAME>_FILE` names.
    pub secret: bool,
}

const fn plain(name: &'static str, env: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, env, default, help, secret: false }
}

const fn secret(name: &'static str, env: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, env, default, help, secret: true }
}

/// In the order `--help` and docs/configuration.md list them.
pub const SETTINGS: &[Setting] = &[
    plain(
        "listen",
        "PERFWATCH_LISTEN",
        "127.0.0.1:8000",
        "Address and port to serve the page and the API on",
    ),
    plain(
        "cors_origins",
        "PERFWATCH_CORS_ORIGINS",
        "",
        "Other origins whose pages may use the API, comma-separated",
    ),
    plain(
        "allowed_hosts",
        "PERFWATCH_ALLOWED_HOSTS",
        "",
        "Host names the server answers to besides its addresses, localhost and this machine's name, comma-separated",
    ),
    plain(
        "trusted_proxies",
        "PERFWATCH_TRUSTED_PROXIES",
        "",
        "Addresses of reverse proxies trusted to say who their client is, comma-separated",
    ),
    plain(
        "proxy_header",
        "PERFWATCH_PROXY_HEADER",
        "x-forwarded-for",
        "Header in which trusted proxies say it: x-forwarded-for, or forwarded (RFC 7239)",
    ),
    plain(
        "base_path",
        "PERFWATCH_BASE_PATH",
        "/",
        "Path under which a reverse proxy serves the page and the API",
    ),
    plain("tls_cert", "PERFWATCH_TLS_CERT", "", "PEM file of the certificate chain; turns HTTPS on"),
    plain("tls_key", "PERFWATCH_TLS_KEY", "", "PEM file of the certificate's private key"),
    secret(
        "database_url",
        "DATABASE_URL",
        "SQLite in the data directory",
        "postgres://user:password@host/database, or sqlite:FILE",
    ),
    plain(
        "data_dir",
        "PERFWATCH_DATA_DIR",
        "/var/lib/perfwatch for root, else $XDG_STATE_HOME/perfwatch",
        "Directory of the SQLite store, the spool and generated secrets",
    ),
    plain(
        "spool_max_mb",
        "PERFWATCH_SPOOL_MAX_MB",
        "256",
        "Disk space for snapshots while the database is away, MiB",
    ),
    plain(
        "host_id",
        "PERFWATCH_HOST_ID",
        "made of /etc/machine-id, or once and kept in the data directory",
        "What this machine's history is stored under, whatever its name is",
    ),
    plain(
        "jsonb_days",
        "PERFWATCH_JSONB_DAYS",
        "2",
        "Days for which PostgreSQL keeps readings as JSON too, for SQL views; 0 for none",
    ),
    secret(
        "jwt_secret",
        "JWT_SECRET",
        "generated once and kept in the data directory",
        "Key that signs login tokens, at least 32 bytes",
    ),
    plain("jwt_expire_hours", "JWT_EXPIRE_HOURS", "24", "Lifetime of a login, hours"),
    plain("admin_username", "ADMIN_USERNAME", "admin", "Name of the first account"),
    secret(
        "admin_password",
        "ADMIN_PASSWORD",
        "random, printed at the first start",
        "Password of the first account, used when it is made",
    ),
    plain(
        "login_attempts_per_minute",
        "LOGIN_ATTEMPTS_PER_MINUTE",
        "10",
        "Failed logins accepted per user and per address",
    ),
    plain(
        "sampling_interval_seconds",
        "SAMPLING_INTERVAL_SECONDS",
        "5",
        "Time between two snapshots, 1 to 3600 s (first start only)",
    ),
    plain(
        "background_collection_enabled",
        "BACKGROUND_COLLECTION_ENABLED",
        "true",
        "Keep snapshots in the store, not only show them",
    ),
    plain(
        "perf_events_enabled",
        "PERF_EVENTS_ENABLED",
        "true",
        "Count performance events (first start only)",
    ),
    plain(
        "perf_events_cpu_cores",
        "PERF_EVENTS_CPU_CORES",
        "all",
        "CPUs to count on: all, or a list such as 0-3,6 (first start only)",
    ),
    plain(
        "perf_events_interval_ms",
        "PERF_EVENTS_INTERVAL_MS",
        "1000",
        "Time between two readings of the counters, at least 100 ms (first start only)",
    ),
    plain(
        "ebpf_budget_percent",
        "PERFWATCH_EBPF_BUDGET_PERCENT",
        "1",
        "CPU time that eBPF programs may take before optional ones are switched off, percent of each CPU",
    ),
    plain(
        "retention_cleanup_enabled",
        "RETENTION_CLEANUP_ENABLED",
        "true",
        "Downsample and delete old history regularly (first start only)",
    ),
    plain(
        "retention_cleanup_interval_minutes",
        "RETENTION_CLEANUP_INTERVAL_MINUTES",
        "60",
        "Time between two cleanups, minutes (first start only)",
    ),
    plain(
        "metrics_public",
        "PERFWATCH_METRICS_PUBLIC",
        "false",
        "Serve /metrics to everyone, not only to API tokens",
    ),
    plain("procfs", "PERFWATCH_PROCFS", "/proc", "Where the host's /proc is mounted"),
    plain("sysfs", "PERFWATCH_SYSFS", "/sys", "Where the host's /sys is mounted"),
    plain("rootfs", "PERFWATCH_ROOTFS", "/", "Where the host's root file system is mounted"),
    plain(
        "log",
        "PERFWATCH_LOG",
        "info",
        "What to log: error, warn, info, debug, trace, or directives such as perfwatch=debug",
    ),
];

/// What was given for each setting, by name; the texts are not checked yet.
#[derive(Debug, Default)]
pub struct Given(BTreeMap<&'static str, String>);

impl Given {
    /// Merges the three places. Problems (an unknown key, an unreadable file) are appended to `problems`.
    pub fn gather(
        flag: impl Fn(&str) -> Option<String>,
        env: impl Fn(&str) -> Option<String>,
        file: &toml::Table,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut file = texts(file, problems);
        let mut given = BTreeMap::new();
        for setting in SETTINGS {
            // An empty variable is how a compose file says "not set".
            let set = |text: Option<String>| text.filter(|text| !text.is_empty());
            let in_file = (file.remove(setting.name), file.remove(&format!("{}_file", setting.name)));
            let value = flag(setting.name).or_else(|| set(env(setting.env)));
            let from_file = || set(env(&format!("{}_FILE", setting.env))).or(in_file.1.clone());
            let value = match value {
                None if setting.secret => match from_file() {
                    Some(path) => read_secret(setting, Path::new(&path), problems),
                    None => in_file.0,
                },
                None => {
                    if in_file.1.is_some() {
                        problems
                            .push(format!("{0}_file: {0} is not a secret, set it directly", setting.name));
                    }
                    in_file.0
                }
                Some(value) => Some(value),
            };
            if let Some(value) = value {
                given.insert(setting.name, value);
            }
        }
        for unknown in file.keys() {
            problems.push(match nearest(unknown) {
                Some(known) => format!("{unknown}: there is no such setting; did you mean {known}?"),
                None => format!("{unknown}: there is no such setting; perfwatch serve --help lists them"),
            });
        }
        Self(given)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(SETTINGS.iter().any(|setting| setting.name == name), "{name} is not in SETTINGS");
        self.0.get(name).map(String::as_str)
    }
}

fn texts(file: &toml::Table, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (key, value) in file {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            _ => {
                problems.push(format!("{key}: a text, a number, or true or false is expected"));
                continue;
            }
        };
        texts.insert(key.clone(), text);
    }
    texts
}

fn read_secret(setting: &Setting, path: &Path, problems: &mut Vec<String>) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => {
            problems.push(format!("{}_FILE: cannot read {}: {error}", setting.env, path.display()));
            None
        }
    }
}

/// The known name that a misspelt one most likely means.
fn nearest(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_lowercase().replace('-', "_");
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.env.to_lowercase() == unknown) {
        return Some(setting.name);
    }
    SETTINGS
        .iter()
        .map(|setting| (strsim::levenshtein(&unknown, setting.name), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> (Given, Vec<String>) {
        let find = |list: &[(&str, &str)], name: &str| {
            list.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let mut problems = Vec::new();
        let table = file.parse().unwrap();
        let given = Given::gather(|name| find(flags, name), |name| find(env, name), &table, &mut problems);
        (given, problems)
    }

    #[test]
    fn names_are_unique() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..i].iter().all(|other| other.name != setting.name && other.env != setting.env));
        }
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file() {
        let file = "listen = \"file\"\njwt_expire_hours = 3\nmetrics_public = true";
        let (given, problems) =
            gather(&[("listen", "flag")], &[("PERFWATCH_LISTEN", "env"), ("JWT_EXPIRE_HOURS", "5")], file);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(given.get("listen"), Some("flag"));
        assert_eq!(given.get("jwt_expire_hours"), Some("5"));
        assert_eq!(given.get("metrics_public"), Some("true"));
        assert_eq!(given.get("tls_cert"), None);
    }

    #[test]
    fn secrets_may_stand_in_files_and_other_settings_may_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        let path = path.to_str().unwrap();
        let (given, problems) = gather(&[], &[("JWT_SECRET_FILE", path)], "");
        assert_eq!((given.get("jwt_secret"), problems.len()), (Some("hush"), 0));
        let (_, problems) = gather(&[], &[("JWT_SECRET_FILE", "/nonexistent")], "listen_file = \"x\"");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn unknown_keys_are_refused_with_a_suggestion() {
        let (_, problems) = gather(&[], &[], "listn = \"x\"\nJWT_SECRET = \"y\"\nzzzzzzzz = 1\nlog = []");
        let all = problems.join("\n");
        assert!(all.contains("did you mean listen?"), "{all}");
        assert!(all.contains("did you mean jwt_secret?"), "{all}");
        assert!(all.contains("zzzzzzzz: there is no such setting; perfwatch serve --help"), "{all}");
        assert!(all.contains("log: a text"), "{all}");
    }
}
