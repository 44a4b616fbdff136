use serde_json::{Value as Json, json};

use super::*;
use crate::history::rollup;
use crate::history::testing::{START, history, reading};
use crate::snapshot::Reading;

/// Seconds between readings.
const STEP: i64 = 15;
/// An incident each half hour, this long, after as much of the usual.
const EVERY: i64 = 1800;
const LENGTH: i64 = 45;

/// What one program used in a step.
#[derive(Debug, Clone, Copy)]
struct Used {
    cgroup: &'static str,
    comm: &'static str,
    pid: u32,
    /// Percent of a CPU.
    cpu: f64,
    /// Bytes per second.
    read: f64,
    written: f64,
    rss: f64,
}

const NOBODY: Used = Used { cgroup: "/", comm: "", pid: 1, cpu: 0.0, read: 0.0, written: 0.0, rss: 0.0 };
const MIB: f64 = 1_048_576.0;

/// xorshift, from 0 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What a server does all day: a database and a web server whose load goes up and down, a backup that writes now and then,
/// and a compiler at work every few minutes.
fn usual(second: i64, noise: &mut Noise) -> Vec<Used> {
    let mut all = vec![
        Used {
            cgroup: "/system.slice/postgresql.service",
            comm: "postgres",
            pid: 100,
            cpu: 40.0 + 25.0 * noise.next(),
            read: 2.0 * MIB * noise.next(),
            written: 3.0 * MIB * noise.next(),
            rss: 900.0 * MIB,
        },
        Used {
            cgroup: "/system.slice/nginx.service",
            comm: "nginx",
            pid: 200,
            cpu: 15.0 + 15.0 * noise.next(),
            rss: 80.0 * MIB,
            ..NOBODY
        },
        Used {
            cgroup: "/system.slice/cron.service",
            comm: "rsync",
            pid: 300,
            cpu: 3.0,
            written: if second % 600 < 60 { 20.0 * MIB } else { 0.0 },
            rss: 10.0 * MIB,
            ..NOBODY
        },
    ];
    if second % 400 < 45 {
        all.push(Used {
            cgroup: "/user.slice",
            comm: "cc1",
            pid: 400,
            cpu: 60.0 * noise.next(),
            rss: 60.0 * MIB,
            ..NOBODY
        });
    }
    all
}

fn rows(all: &[Used]) -> Vec<Json> {
    let row = |used: &Used| {
        let amount = |rate: f64| (rate * STEP as f64) as u64;
        json!({"cgroup": used.cgroup, "comm": used.comm, "pid": used.pid, "processes": 1, "exits": 0,
            "cpu_us": amount(used.cpu * 1e4), "read_bytes": amount(used.read), "write_bytes": amount(used.written),
            "rss_bytes": used.rss as u64, "major_faults": 0})
    };
    all.iter().map(row).collect()
}

/// A history of incidents, in which these programs run as well.
async fn history_of(dir: &std::path::Path, incidents: &[&[Used]]) -> History {
    let (_store, history) = history(dir).await;
    let mut noise = Noise(77);
    let mut readings: Vec<Reading> = Vec::new();
    let end = EVERY * (i64::try_from(incidents.len()).unwrap() + 1);
    for second in (1..end / STEP).map(|step| step * STEP) {
        let mut all = usual(second, &mut noise);
        let (incident, within) = (second / EVERY, second % EVERY);
        let is_incident = incident > 0 && (1..=LENGTH).contains(&within);
        for culprit in
            incidents.get(incident as usize - usize::from(incident > 0)).into_iter().flat_map(|of| *of)
        {
            if !is_incident {
                continue;
            }
            // One that runs anyway has both in one row.
            match all.iter_mut().find(|used| (used.comm, used.pid) == (culprit.comm, culprit.pid)) {
                Some(used) => *used = *culprit,
                None => all.push(*culprit),
            }
        }
        let cpu: f64 = all.iter().map(|used| used.cpu).sum();
        let written: f64 = all.iter().map(|used| used.written + used.read).sum();
        readings.push(reading(
            MetricType::Usage,
            second,
            &json!({"elapsed_ms": STEP * 1000, "processes": rows(&all)}),
        ));
        readings.push(reading(MetricType::Cpu, second, &json!({"usage_percent": cpu / 4.0})));
        let disk = json!({"io": {"write_bytes_per_sec": written, "read_bytes_per_sec": noise.next()},
            "devices": {"sda": {"write_bytes_per_sec": written, "utilization_percent": written / MIB}}});
        readings.push(reading(MetricType::Disk, second, &disk));
        let events =
            if is_incident && within == STEP { json!([{"kind": "oom_kill", "pid": 7}]) } else { json!([]) };
        readings.push(reading(MetricType::Processes, second, &json!({"active": 5, "events": events})));
    }
    rollup::store_readings(&history, &readings, Vec::new()).await.unwrap();
    history
}

/// Compares the `n`th incident, from 1, with the time before.
async fn explained(history: &History, n: i64) -> Explanation {
    let at = |second| START + time::Duration::seconds(second);
    let current = Range { start: at(n * EVERY + 1), end: at(n * EVERY + LENGTH) };
    let before = Range { start: at(n * EVERY - 4 * LENGTH), end: at(n * EVERY) };
    explain(history, current, before, 8).await.unwrap()
}

#[tokio::test]
async fn the_cause_is_among_the_first_three_in_nine_of_ten_incidents() {
    let hog = Used { cgroup: "/user.slice/session-3.scope", comm: "stress", pid: 900, cpu: 180.0, ..NOBODY };
    let writer = Used { comm: "fio", pid: 901, cpu: 4.0, written: 60.0 * MIB, ..hog };
    let incidents: [(&str, Vec<Used>, &[&str]); 10] = [
        ("a CPU hog", vec![hog], &["stress"]),
        ("a writer", vec![writer], &["fio"]),
        ("both at once", vec![hog, writer], &["stress", "fio"]),
        (
            "a reader",
            vec![Used { comm: "updatedb", written: 0.0, read: 30.0 * MIB, ..writer }],
            &["updatedb"],
        ),
        (
            "one that takes memory",
            vec![Used { comm: "leaky", cpu: 5.0, rss: 2000.0 * MIB, ..hog }],
            &["leaky"],
        ),
        (
            "the database is busier than usual",
            vec![Used {
                cgroup: "/system.slice/postgresql.service",
                comm: "postgres",
                pid: 100,
                cpu: 170.0,
                rss: 900.0 * MIB,
                ..NOBODY
            }],
            &["postgres"],
        ),
        (
            "twelve workers of one name",
            (0..12).map(|n| Used { comm: "worker", pid: 1000 + n, cpu: 9.0, ..hog }).collect(),
            &["worker"],
        ),
        (
            "a container",
            vec![Used { cgroup: "/docker/0123456789ab", comm: "java", cpu: 95.0, ..hog }],
            &["java"],
        ),
        ("a small but new one", vec![Used { comm: "miner", cpu: 24.0, ..hog }], &["miner"]),
        (
            "a log that is written by one, and compressed by another",
            vec![
                Used { comm: "chatty", cpu: 20.0, written: 12.0 * MIB, ..hog },
                Used { comm: "zstd", pid: 902, cpu: 70.0, ..hog },
            ],
            &["chatty", "zstd"],
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<&[Used]> = incidents.iter().map(|(_, culprits, _)| &culprits[..]).collect();
    let history = history_of(dir.path(), &all).await;
    let mut found = 0;
    for (n, (what, _, causes)) in (1..).zip(&incidents) {
        let explanation = explained(&history, n).await;
        let first: Vec<&str> = explanation.who.iter().take(3).map(|who| &*who.name).collect();
        let right = causes.iter().all(|cause| first.contains(cause));
        println!("{what}: {first:?}{}", if right { "" } else { ", and not the cause" });
        found += usize::from(right);
    }
    assert!(found >= 9, "{found} of 10");
}

#[tokio::test]
async fn two_hogs_are_the_first_two_lines_and_changes_are_told_by_subject() {
    let dir = tempfile::tempdir().unwrap();
    let hog = Used { cgroup: "/a", comm: "stress", pid: 900, cpu: 180.0, ..NOBODY };
    let writer = Used { cgroup: "/b", comm: "fio", pid: 901, cpu: 4.0, written: 60.0 * MIB, ..NOBODY };
    let history = history_of(dir.path(), &[&[hog, writer]]).await;
    let found = explained(&history, 1).await;
    let mut first: Vec<&str> = found.who.iter().take(2).map(|who| &*who.name).collect();
    first.sort_unstable();
    assert_eq!(first, ["fio", "stress"], "{:?}", found.who);
    let fio = found.who.iter().find(|who| &*who.name == "fio").unwrap();
    assert_eq!((fio.cgroup.as_deref(), fio.differences[0].resource), (Some("/b"), Resource::Write));
    assert!((fio.differences[0].now - 60.0 * MIB).abs() < MIB && fio.differences[0].before == 0.0, "{fio:?}");
    let subjects: Vec<&str> = found.changes.iter().map(|cluster| cluster.subject).collect();
    assert!(
        subjects.contains(&"cpu") && subjects.contains(&"storage") && subjects.len() == 2,
        "{subjects:?}"
    );
    let storage = found.changes.iter().find(|cluster| cluster.subject == "storage").unwrap();
    assert!(storage.changes.len() >= 3, "its faces are one: {storage:?}");
    assert_eq!(found.events, r#"{"kind":"oom_kill","pid":7}"#);
}

#[tokio::test]
async fn what_happened_just_before_is_told_too() {
    let dir = tempfile::tempdir().unwrap();
    let hog = Used { cgroup: "/a", comm: "stress", pid: 900, cpu: 180.0, ..NOBODY };
    let history = history_of(dir.path(), &[&[hog]]).await;
    let at = |second| START + time::Duration::seconds(second);
    let events = async |from: i64, to: i64| {
        let before = Range { start: at(from - 60), end: at(from) };
        let current = Range { start: at(from), end: at(to) };
        explain(&history, current, before, 8).await.unwrap().events
    };
    let killed = EVERY + STEP;
    assert!(events(killed + 20, killed + 50).await.contains("oom_kill"), "20 s after it");
    assert_eq!(events(killed + 40, killed + 70).await, "", "it is longer ago than the range is long");
    assert_eq!(events(killed + 400, killed + 4000).await, "", "it is longer ago than 5 minutes");
}

#[tokio::test]
async fn a_quiet_time_has_no_suspects_and_nothing_to_compare_with_accuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = history_of(dir.path(), &[&[], &[]]).await;
    let found = explained(&quiet, 2).await;
    assert!(found.who.iter().all(|who| who.score < 0.3), "{:?}", found.who);
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let busy = rows(&[Used { cgroup: "/a", comm: "stress", pid: 900, cpu: 180.0, ..NOBODY }]);
    let only = reading(MetricType::Usage, 100, &json!({"elapsed_ms": 1000, "processes": busy}));
    rollup::store_readings(&history, &[only], Vec::new()).await.unwrap();
    let at = |second| START + time::Duration::seconds(second);
    let (now, before) = (Range { start: at(90), end: at(110) }, Range { start: at(0), end: at(80) });
    let found = explain(&history, now, before, 8).await.unwrap();
    assert!(
        found.who.is_empty() && found.current_has_data != found.comparison_has_data || found.who.is_empty()
    );
}
