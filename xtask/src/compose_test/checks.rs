//! What must hold for the running containers, reported one line each.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::engine::Engine;
use super::stack::Stack;
use crate::client::Client;
use crate::step::root;

const MAX_BACKEND_BYTES: u64 = 56_000_000;

pub(super) fn passed(what: &str, measured: impl std::fmt::Display) {
    println!("PASS {what}: {measured}");
}

/// The images are small and run as little as possible.
pub fn images(stack: &Stack<'_>) -> Result<u32> {
    let image = stack.ask(&["images", "--quiet", "backend"])?;
    let size: u64 = stack.engine.ask(&["image", "inspect", "--format", "{{.Size}}", &image])?.parse()?;
    ensure!(size < MAX_BACKEND_BYTES, "the backend's image has {size} bytes");
    passed("the backend's image is small", format_args!("{:.1} MB", size as f64 / 1e6));
    let user = stack.ask(&["exec", "-T", "frontend", "id", "-u"])?;
    ensure!(user != "0", "nginx runs as root");
    passed("nginx does not run as root", format_args!("user {user}"));
    Ok(2)
}

/// A browser gets the page, a login, and the host's numbers rather than the container's.
pub fn front_end(stack: &Stack<'_>) -> Result<u32> {
    let mut client = stack.client();
    let page = client.get("/history/cpu", "text/html")?;
    ensure!(page.status == 200 && page.body.contains("id=\"app\""), "no page: {page:?}");
    let about = client.get("/", "application/json")?.json()?;
    ensure!(about["name"] == "PerfWatch", "GET / as JSON: {about}");
    let missing = client.get("/api/none", "application/json")?;
    ensure!(missing.status == 404 && missing.content_type.starts_with("application/json"), "{missing:?}");
    passed("nginx serves the page and passes the rest on", format_args!("{} bytes of page", page.body.len()));

    let (user, password) = stack.first_login("backend")?;
    client.log_in(&user, &password)?;
    let database = client.json("/api/db-status")?;
    ensure!(database["database"] == "postgresql", "{database}");
    passed("the printed login works", format_args!("{user}, on {}", database["database"]));

    let (timestamp, documents) = client.stream()?.snapshot()?;
    ensure!(documents.as_object().is_some_and(|types| types.len() >= 6), "documents: {documents}");
    passed("the live stream passes nginx", format_args!("{timestamp}"));
    let numbers = of_the_host(&documents)?;
    passed("the numbers are the host's", numbers);
    let counters = counted_in_the_kernel(&client)?;
    passed("events are counted in eBPF", counters);
    Ok(5)
}

fn of_the_host(documents: &Value) -> Result<String> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).context("no MemTotal")?;
    let total: u64 = total.trim().trim_end_matches(" kB").trim().parse()?;
    let seen = documents["memory"]["total_bytes"].as_u64();
    ensure!(seen == Some(total * 1024), "memory: {seen:?} instead of {total} KiB");

    let text = fs::read_to_string("/proc/net/dev")?;
    let names = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    // Those of containers come and go.
    let here: BTreeSet<String> = names.filter(|n| !n.starts_with("veth") && !n.starts_with("br-")).collect();
    let interfaces = documents["network"]["interfaces"].as_array().context("no interfaces")?;
    let seen: BTreeSet<&str> = interfaces.iter().filter_map(|interface| interface["name"].as_str()).collect();
    let missing: Vec<&String> =
        here.iter().filter(|name| *name != "lo" && !seen.contains(name.as_str())).collect();
    ensure!(missing.is_empty(), "interfaces {missing:?} are missing among {seen:?}");

    let root = rustix::fs::statvfs("/")?;
    let partitions = documents["disk"]["partitions"].as_array().context("no partitions")?;
    let seen = partitions.iter().find(|partition| partition["mountpoint"] == "/").context("no root")?;
    let bytes = root.f_blocks * root.f_frsize;
    ensure!(seen["total_bytes"].as_u64() == Some(bytes), "the root file system: {seen}");
    Ok(format!("{} KiB of memory, {} interfaces, {} on /", total, interfaces.len(), seen["device"]))
}

fn counted_in_the_kernel(client: &Client) -> Result<String> {
    let sources = client.json("/api/sources")?;
    let sources = sources.as_array().or_else(|| sources["sources"].as_array()).context("no sources")?;
    let counters = sources.iter().find(|source| source["name"] == "counters").context("no counters")?;
    ensure!(counters["method"] == "ebpf" && counters["state"] == "active", "counters: {counters}");
    let failed: Vec<&Value> = sources.iter().filter(|source| source["state"] == "failed").collect();
    ensure!(failed.is_empty(), "failed: {failed:?}");
    let states: Vec<String> = sources
        .iter()
        .map(|source| format!("{} {}", text(&source["name"]), text(&source["state"])))
        .collect();
    Ok(states.join(", "))
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The database is killed and comes back: the stream never pauses, and every tick is in the table once.
pub fn outage(stack: &Stack<'_>, away: Duration) -> Result<u32> {
    let (user, password) = stack.first_login("backend")?;
    let mut client = stack.client();
    client.log_in(&user, &password)?;
    let mut stream = client.stream()?;
    let (first, _) = stream.snapshot()?;
    stack.ask(&["kill", "--signal=KILL", "db"])?;
    let mut ticks = vec![first];
    for _ in 0..away.as_secs() {
        ticks.push(stream.snapshot()?.0);
    }
    let gaps: Vec<_> = ticks.windows(2).filter(|pair| between(&pair[0], &pair[1]) != 1).collect();
    ensure!(gaps.is_empty(), "the stream paused: {gaps:?}");
    let health = client.json("/health")?;
    ensure!(health["status"] == "degraded", "/health while the database is away: {health}");
    passed("the stream goes on without the database", format_args!("{} ticks", ticks.len()));

    stack.ask(&["start", "db"])?;
    let (last, _) = stream.snapshot()?;
    let (Some(from), Some(to)) = (ticks.first(), Some(&last)) else { return Ok(0) };
    let expected = between(from, to) + 1;
    let count = format!(
        "select count(*), count(distinct timestamp) from metrics_snapshots \
         where metric_type = 'cpu' and timestamp between '{from}' and '{to}'"
    );
    let wanted = format!("{expected}|{expected}");
    let stored = || stack.sql(&count).ok().filter(|answer| *answer == wanted);
    let answer =
        stack.wait(&format!("{wanted} ticks between {from} and {to}"), Duration::from_secs(60), stored);
    let answer = answer.with_context(|| format!("stored: {:?}", stack.sql(&count)))?;
    passed("the outage lost nothing and doubled nothing", format_args!("{answer} ticks|distinct"));
    stack.wait("/health turns healthy again", Duration::from_secs(30), || {
        client.json("/health").ok().filter(|health| health["status"] == "healthy")
    })?;
    passed("health follows the database", "degraded, then healthy");
    Ok(3)
}

/// The commands in docs/deployment.md restore every snapshot and account.
pub fn backup(stack: &Stack<'_>) -> Result<u32> {
    let document = fs::read_to_string(root().join("docs/deployment.md"))?;
    let lines = backup_lines(&document);
    let [dump, restore @ ..] = &lines[..] else { bail!("docs/deployment.md has no backup") };
    let folder = root().join("target/compose-backup");
    fs::create_dir_all(&folder)?;
    let newest = stack.sql("select max(timestamp) from metrics_snapshots")?;
    let stored =
        || stack.sql(&format!("select count(*) from metrics_snapshots where timestamp <= '{newest}'"));
    let (kept, accounts) = (stored()?, stack.sql("select count(*) from users")?);
    stack.type_in(&folder, dump)?;
    stack.sql("truncate metrics_snapshots")?;
    for line in restore {
        stack.type_in(&folder, line)?;
    }
    let again = stored()?;
    ensure!(again == kept && kept != "0", "{kept} snapshots before, {again} after it was restored");
    ensure!(stack.sql("select count(*) from users")? == accounts, "accounts are missing");
    let client = stack.client();
    stack.wait("/health after restoring", Duration::from_secs(60), || {
        client.json("/health").ok().filter(|health| health["status"] == "healthy")
    })?;
    let bytes = fs::metadata(folder.join("perfwatch.dump"))?.len();
    fs::remove_dir_all(folder)?;
    passed("a backup is restored as the document says", format_args!("{again} rows of {bytes} bytes"));
    Ok(1)
}

/// The compose lines below the heading on backups: first the backup, then the restore.
fn backup_lines(document: &str) -> Vec<&str> {
    let (_, section) = document.split_once("\n## Backup").unwrap_or_default();
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    section.lines().filter(|line| line.starts_with("docker compose ")).collect()
}

/// The containers beside it have names, images and the project, and the CPU time of what runs in them.
pub fn containers(stack: &Stack<'_>) -> Result<u32> {
    let (user, password) = stack.first_login("backend")?;
    let mut client = stack.client();
    client.log_in(&user, &password)?;
    let container = stack.ask(&["ps", "--quiet", "db"])?;
    let image = stack.engine.ask(&["inspect", "--format", "{{.Config.Image}}", &container])?;
    let name = stack.engine.ask(&["inspect", "--format", "{{.Name}}", &container])?;
    let project = stack.engine.ask(&[
        "inspect",
        "--format",
        "{{index .Config.Labels \"com.docker.compose.project\"}}",
        &container,
    ])?;
    // Ends by itself, whatever becomes of this test.
    stack.ask(&["exec", "-T", "--detach", "db", "timeout", "20", "sh", "-c", "while :; do :; done"])?;
    let row = stack.wait("the database's container with a busy process", Duration::from_secs(60), || {
        let range = last_seconds(5);
        let answer =
            client.json(&format!("/api/history/metrics?metric_type=cgroups&interval=1s&{range}")).ok()?;
        let groups = answer["data_points"].as_array()?.last()?["data"]["groups"].as_array()?;
        let row = groups.iter().find(|row| row["kind"] == "container" && row["id"] == container.as_str())?;
        let is_whole = row["image"].is_string() && row["cpu_percent"].as_f64().is_some_and(|it| it >= 40.0);
        is_whole.then(|| row.clone())
    })?;
    ensure!(row["name"] == name.trim_start_matches('/') && row["image"] == image.as_str(), "{name}: {row}");
    ensure!(row["project"] == project.as_str() && row["runtime"] == "docker", "{project}: {row}");
    // The limit of docker-compose.yml.
    ensure!(row["cpu_limit"] == 1.0 && row["memory_limit_bytes"] == 512 << 20, "{row}");
    passed(
        "a container beside it has its name, its limits and its CPU time",
        format_args!("{} of {}, {} %", text(&row["name"]), text(&row["image"]), row["cpu_percent"]),
    );
    let stacks = profile(stack, &client, text(&row["cgroup"]))?;
    passed("its code is found in its own file system", stacks);
    Ok(2)
}

/// The stacks of the busy shell, which is a file of the container and not of the machine.
fn profile(stack: &Stack<'_>, client: &Client, cgroup: &str) -> Result<String> {
    let shell = stack.ask(&["exec", "-T", "db", "readlink", "-f", "/bin/sh"])?;
    let program = shell.rsplit('/').next().unwrap_or_default();
    let folded = || {
        let query = format!("kind=cpu&format=folded&process=sh&cgroup={cgroup}&{}", last_seconds(300));
        client.get(&format!("/api/profiles?{query}"), "text/plain").ok()
    };
    let found = stack.wait("the stacks of a busy shell in the container", Duration::from_secs(90), || {
        let answer = folded().filter(|answer| answer.status == 200)?.body;
        answer.lines().find(|line| line.contains(program)).map(str::to_owned)
    });
    found.with_context(|| format!("no stack with {program}: {:?}", folded()))
}

/// A range that ends now, as parameters.
fn last_seconds(seconds: i64) -> String {
    let now = time::OffsetDateTime::now_utc();
    let rfc3339 = |at: time::OffsetDateTime| at.format(&time::format_description::well_known::Rfc3339);
    let start = rfc3339(now - time::Duration::seconds(seconds)).unwrap_or_default();
    format!("start_time={start}&end_time={}", rfc3339(now).unwrap_or_default())
}

/// Seconds from one RFC 3339 time to a later one, less than a day apart.
pub(super) fn between(from: &str, to: &str) -> i64 {
    let second_of_day = |timestamp: &str| {
        let time = timestamp.split_once('T').and_then(|(_, time)| time.get(..8)).unwrap_or_default();
        time.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap_or(0))
    };
    (second_of_day(to) - second_of_day(from)).rem_euclid(24 * 60 * 60)
}

/// Capabilities instead of `privileged` still count in eBPF and still see the host.
pub fn least_privilege(stack: &Stack<'_>) -> Result<u32> {
    let container = stack.ask(&["ps", "--quiet", "backend"])?;
    let privileged = stack.engine.ask(&["inspect", "--format", "{{.HostConfig.Privileged}}", &container])?;
    ensure!(privileged == "false", "the backend is privileged");
    let (user, password) = stack.first_login("backend")?;
    let mut client = stack.client();
    client.log_in(&user, &password)?;
    let (_, documents) = client.stream()?.snapshot()?;
    let numbers = of_the_host(&documents)?;
    passed("without privileges the numbers are the host's", numbers);
    let counters = counted_in_the_kernel(&client)?;
    passed("without privileges events are counted in eBPF", counters);
    Ok(2)
}

/// The override names another image and nothing else; the image itself is not available everywhere.
pub fn timescaledb(engine: &Engine) -> Result<u32> {
    let with = ["--file", "docker-compose.yml", "--file", "docker-compose.timescaledb.yml"];
    let configured = engine.ask(&[&["compose"], &with[..], &["config", "--images"]].concat())?;
    ensure!(configured.contains("timescale/timescaledb"), "{configured}");
    passed("the TimescaleDB override is valid", configured.replace('\n', ", "));
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_on_deployment_tells_how_to_back_up_and_restore() {
        let document = fs::read_to_string(root().join("docs/deployment.md")).unwrap();
        let lines = backup_lines(&document);
        assert!(
            lines.len() >= 4 && lines[0].contains("pg_dump") && lines[2].contains("pg_restore"),
            "{lines:?}"
        );
        assert!(backup_lines("# Nothing").is_empty());
    }

    #[test]
    fn midnight_is_passed() {
        assert_eq!(between("2026-11-21T01:02:03.000Z", "2026-11-21T01:02:04Z"), 1);
        assert_eq!(between("2026-11-21T23:59:59Z", "2026-11-22T00:01:00+00:00"), 61);
    }
}
