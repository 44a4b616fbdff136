//! The CPU time of a container, as its documents have it and as the kernel counts it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use perfwatch::cgroups::Names;
use perfwatch::config::Roots;
use perfwatch::probes::{self, Options, ProcessLister};
use perfwatch::snapshot::source::{Source, Tick};
use serde_json::Value;

use crate::TIMEOUT;

/// The kernel updates a running task's time at its timer's ticks, and reports that of its processes in hundredths; we read
/// two documents a moment apart.
const SLACK_MS: f64 = 60.0;

/// Time on a CPU, ms.
fn scheduled(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6
}

fn documents(sources: &mut [Box<dyn Source>]) -> Vec<Value> {
    let tick = Tick::new(SystemTime::now().into(), Duration::from_secs(1));
    let reading = |source: &mut Box<dyn Source>| source.sample(&tick).unwrap().json();
    sources.iter_mut().map(|source| serde_json::from_slice(&reading(source)).unwrap()).collect()
}

fn row<'a>(document: &'a Value, list: &str, field: &str, value: &Value) -> Option<&'a Value> {
    document[list].as_array().unwrap().iter().find(|row| row[field] == *value)
}

/// Checks what is measured of a group whose only busy process is `pid`; returns its row in the document `cgroups`.
pub(crate) fn is_accounted(pid: u32, cgroup: &str) -> Value {
    let roots = Roots::default();
    let lister = Arc::new(ProcessLister::new(&roots, Names::new(&roots, &[]), true));
    let mut sources = probes::telling(&roots, Options::UNLIMITED, &lister, &probes::Feed::default());
    sources.retain(|source| matches!(source.name(), "processes" | "cgroups" | "usage"));
    // The first loads the programs, the second begins an interval.
    documents(&mut sources);
    documents(&mut sources);
    let begun = Instant::now();
    loop {
        let from = scheduled(pid);
        documents(&mut sources);
        let started = scheduled(pid);
        std::thread::sleep(Duration::from_secs(1));
        let ended = scheduled(pid);
        let read = documents(&mut sources);
        let to = scheduled(pid);
        let holds = |ms: f64| ((ended - started) - SLACK_MS..=(to - from) + SLACK_MS).contains(&ms);
        let mut account = None;
        let mut group = None;
        for document in &read {
            if document.get("hierarchy").is_some() {
                group = row(document, "groups", "cgroup", &cgroup.into());
            } else if document["processes"].is_array() {
                account = row(document, "processes", "pid", &pid.into());
            }
        }
        if let (Some(account), Some(group)) = (account, group) {
            assert_eq!((&account["cgroup"], &account["comm"]), (&cgroup.into(), &"sh".into()), "{account}");
            let used = account["cpu_us"].as_f64().unwrap() / 1e3;
            // The group's is read at another moment, and a percentage.
            let elapsed = (to - from).max(1000.0);
            let percent = group["cpu_percent"].as_f64();
            let of_group =
                percent.is_some_and(|percent| percent * elapsed / 100.0 >= (ended - started) * 0.8);
            if holds(used) && of_group {
                println!("{cgroup}: {used:.0} ms, {:.0} to {:.0} by the kernel", ended - started, to - from);
                return group.clone();
            }
            assert!(
                begun.elapsed() < TIMEOUT,
                "{used} ms of {} to {}, {percent:?} %",
                ended - started,
                to - from
            );
        }
        assert!(begun.elapsed() < TIMEOUT, "no rows of {pid} in {cgroup}: {account:?}, {group:?}");
    }
}
