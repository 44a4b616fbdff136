//! All settings: their names, defaults and descriptions.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its key in `perfwatch.toml`; with dashes, its flag.
    pub name: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// The default, or a description if it is computed.
    pub default: &'static str,
    pub help: &'static str,
    /// Never shown; can also be read from the file named by `<NAME>_FILE`.
    pub secret: bool,
}

const fn plain(name: &'static str, env: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, env, default, help, secret: false }
}

const fn secret(name: &'static str, env: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, env, default, help, secret: true }
}

/// In the order of `--help` and docs/configuration.md.
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
        "Origins other than this server whose pages may use the API, comma-separated",
    ),
    plain(
        "allowed_hosts",
        "PERFWATCH_ALLOWED_HOSTS",
        "",
        "Additional host names the server answers to; its addresses, localhost and this machine's name always work; comma-separated",
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
    plain("tls_cert", "PERFWATCH_TLS_CERT", "", "PEM file with the certificate chain; enables HTTPS"),
    plain("tls_key", "PERFWATCH_TLS_KEY", "", "PEM file with the certificate's private key"),
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
        "Directory for the SQLite database, the spool and generated secrets",
    ),
    plain(
        "spool_max_mb",
        "PERFWATCH_SPOOL_MAX_MB",
        "256",
        "Maximum disk space for snapshots while the database is unreachable, MiB",
    ),
    plain(
        "host_id",
        "PERFWATCH_HOST_ID",
        "derived from /etc/machine-id, or generated once and kept in the data directory",
        "ID under which this machine's history is stored, independent of its host name",
    ),
    secret(
        "fleet_url",
        "PERFWATCH_FLEET_URL",
        "",
        "NATS servers of the fleet, comma-separated: nats://host:4222, tls://user:password@host:4222; history is also sent there",
    ),
    plain(
        "fleet_credentials",
        "PERFWATCH_FLEET_CREDENTIALS",
        "",
        "Credentials file of the NATS user (.creds)",
    ),
    plain(
        "fleet_ca",
        "PERFWATCH_FLEET_CA",
        "",
        "PEM file with authorities trusted for NATS besides the system's; machines that join get it from their hub",
    ),
    secret(
        "fleet_keys",
        "PERFWATCH_FLEET_KEYS",
        "",
        "Content of hub.keys, as made by `perfwatch fleet init`: with it a hub signs in to NATS, and lets machines join",
    ),
    plain(
        "fleet_public_url",
        "PERFWATCH_FLEET_PUBLIC_URL",
        "",
        "NATS servers as machines that join a hub are told them, if they differ from PERFWATCH_FLEET_URL, comma-separated",
    ),
    plain(
        "join_url",
        "PERFWATCH_JOIN_URL",
        "",
        "Address of a hub's page: at its start a machine joins that fleet, unless it has already joined one",
    ),
    secret("join_token", "PERFWATCH_JOIN_TOKEN", "", "Token that lets this machine join, once"),
    plain(
        "join_allow_http",
        "PERFWATCH_JOIN_ALLOW_HTTP",
        "false",
        "Join over plain HTTP also from another machine than the hub's",
    ),
    plain(
        "labels",
        "PERFWATCH_LABELS",
        "",
        "Labels of this machine, such as role=web,site=fra, for selecting hosts in a fleet",
    ),
    plain(
        "fleet_outbox_max_mb",
        "PERFWATCH_FLEET_OUTBOX_MAX_MB",
        "256",
        "Maximum disk space for history that NATS has not acknowledged, MiB",
    ),
    plain(
        "fleet_stream_replicas",
        "PERFWATCH_FLEET_STREAM_REPLICAS",
        "1",
        "Servers of a NATS cluster that keep the stream, when a hub makes it: 1, 3 or 5",
    ),
    plain(
        "jsonb_days",
        "PERFWATCH_JSONB_DAYS",
        "2",
        "Days for which PostgreSQL also keeps readings as JSON, for SQL views; 0 for none",
    ),
    secret(
        "jwt_secret",
        "JWT_SECRET",
        "generated once and kept in the data directory",
        "Key that signs login tokens, at least 32 bytes",
    ),
    plain("jwt_expire_hours", "JWT_EXPIRE_HOURS", "24", "How long a login is valid, hours"),
    plain("admin_username", "ADMIN_USERNAME", "admin", "Name of the first account"),
    secret(
        "admin_password",
        "ADMIN_PASSWORD",
        "random, printed at the first start",
        "Password of the first account, used when that is created",
    ),
    plain(
        "login_attempts_per_minute",
        "LOGIN_ATTEMPTS_PER_MINUTE",
        "10",
        "Failed logins allowed per minute, per user and per address",
    ),
    plain(
        "sampling_interval_seconds",
        "SAMPLING_INTERVAL_SECONDS",
        "5",
        "Time between two snapshots, 1 to 3600 s (first start only)",
    ),
    plain("background_collection_enabled", "BACKGROUND_COLLECTION_ENABLED", "true", "Record history"),
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
        "profile_hz",
        "PERFWATCH_PROFILE_HZ",
        "19",
        "Samples of the running code, per second of each busy CPU, 0 (off) to 199 (first start only)",
    ),
    plain(
        "ebpf_budget_percent",
        "PERFWATCH_EBPF_BUDGET_PERCENT",
        "1",
        "CPU time that eBPF programs may use before optional ones are switched off, percent of each CPU",
    ),
    plain(
        "command_lines",
        "PERFWATCH_COMMAND_LINES",
        "true",
        "Keep processes' command lines in history, with passwords and tokens masked",
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
        "Time between two clean-ups, minutes (first start only)",
    ),
    plain(
        "alerts_dir",
        "PERFWATCH_ALERTS_DIR",
        "/etc/perfwatch/alerts.d",
        "Directory with files of alert rules (*.toml)",
    ),
    plain(
        "alert_viewers_acknowledge",
        "PERFWATCH_ALERT_VIEWERS_ACKNOWLEDGE",
        "false",
        "Viewers, too, may acknowledge alerts",
    ),
    secret(
        "alertmanager_url",
        "PERFWATCH_ALERTMANAGER_URL",
        "",
        "Alertmanager that alerts are sent to: http://host:9093",
    ),
    secret("alert_webhook_url", "PERFWATCH_ALERT_WEBHOOK_URL", "", "URL that alerts are sent to as JSON"),
    secret(
        "alert_webhook_key",
        "PERFWATCH_ALERT_WEBHOOK_KEY",
        "",
        "Key that signs what is sent there (HMAC-SHA256 in x-perfwatch-signature)",
    ),
    plain(
        "alert_allow_private",
        "PERFWATCH_ALERT_ALLOW_PRIVATE",
        "false",
        "Channels made over the API may reach addresses in private networks and this machine itself",
    ),
    secret(
        "alert_heartbeat_url",
        "PERFWATCH_ALERT_HEARTBEAT_URL",
        "",
        "URL that is called regularly while rules are evaluated and the database responds",
    ),
    plain(
        "alert_heartbeat_seconds",
        "PERFWATCH_ALERT_HEARTBEAT_SECONDS",
        "60",
        "Time between two of these calls, seconds",
    ),
    plain(
        "public_url",
        "PERFWATCH_PUBLIC_URL",
        "",
        "Where people reach the page, such as https://watch.example.org; alerts link to it",
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
        "container_sockets",
        "PERFWATCH_CONTAINER_SOCKETS",
        "",
        "Unix sockets of the Docker API, also Podman's, to ask for names of containers that no readable file has; comma-separated",
    ),
    plain(
        "log",
        "PERFWATCH_LOG",
        "info for serve, otherwise warn",
        "Log level: error, warn, info, debug, trace; or directives such as perfwatch=debug",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..i].iter().all(|other| other.name != setting.name && other.env != setting.env));
        }
    }
}
