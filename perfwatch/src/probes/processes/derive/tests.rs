use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::probes::sched::interval::Counted;

fn task(pid: u32, tgid: u32, cpu_ns: u64) -> TaskInterval {
    TaskInterval {
        pid,
        tgid,
        comm: *b"a-process\0\0\0\0\0\0\0",
        uid: 0,
        cgroup: u64::from(tgid % 3),
        usage: Usage { cpu_ns, switches: 1, ..Usage::default() },
        exited: false,
    }
}

fn interval(tasks: Vec<TaskInterval>) -> Interval {
    let used = tasks.iter().fold(Usage::default(), |sum, task| sum.plus(&task.usage));
    Interval { elapsed: Duration::from_secs(2), tasks, used, storage: true, ..Interval::default() }
}

fn json(interval: &Interval) -> serde_json::Value {
    let ranking = rank(interval);
    let details = vec![Details::default(); ranking.top.len()];
    let cgroups = vec![None; ranking.cgroups.len()];
    serde_json::to_value(document(interval, ranking, details, cgroups, Vec::new())).unwrap()
}

#[test]
fn threads_add_up_to_processes_and_those_are_ranked() {
    let mut exiting = task(20, 20, 100);
    exiting.exited = true;
    let mut helper = task(12, 10, 500);
    helper.exited = true; // a thread of a process that lives on
    let ranking = rank(&interval(vec![exiting, task(10, 10, 600), helper, task(30, 30, 1000)]));
    let of = |process: &Process| (process.pid, process.usage.cpu_ns, process.threads, process.exited);
    let listed: Vec<_> = ranking.top.iter().map(of).collect();
    assert_eq!(listed, [(10, 1100, 2, false), (30, 1000, 1, false), (20, 100, 1, true)]);
    assert_eq!((ranking.others, ranking.rest), (0, Usage::default()));
}

#[test]
fn a_quiet_process_with_much_storage_traffic_is_listed_too() {
    let mut tasks: Vec<_> = (1..=40).map(|pid| task(pid, pid, 1000)).collect();
    let mut writer = task(99, 99, 1);
    writer.usage.write_bytes = 1 << 20;
    tasks.push(writer);
    let ranking = rank(&interval(tasks));
    assert_eq!((ranking.top.len(), ranking.others), (TOP + 1, 20));
    assert_eq!(ranking.top.last().unwrap().pid, 99);
}

#[test]
fn counters_that_do_not_count_are_null() {
    let mut one = task(1, 1, 2_000_000_000);
    one.usage.counters = [4_000, 2_000, 10, 4, 0];
    let mut measured = interval(vec![one]);
    let silent = json(&measured);
    assert!(silent["top"][0]["cycles"].is_null() && silent["top"][0]["ipc"].is_null());
    assert_eq!(silent["top"][0]["cpu_percent"], 100.0);

    measured.counting = 0b1011;
    let row = &json(&measured)["top"][0];
    assert_eq!((&row["cycles"], &row["instructions"]), (&4000.into(), &2000.into()));
    assert_eq!((&row["ipc"], &row["branch_mpki"]), (&0.5.into(), &2.0.into()));
    assert!(row["llc_mpki"].is_null() && row["dtlb_mpki"].is_null());

    measured.counted = Counted { enabled: 1000, running: 250 };
    assert_eq!(json(&measured)["counters_running_ratio"], 0.25);
    measured.counted.running = 0; // others had the PMU all the time
    let starved = json(&measured);
    assert_eq!(starved["counters_running_ratio"], 0.0);
    assert!(starved["top"][0]["cycles"].is_null() && starved["total"]["instructions"].is_null());

    measured.storage = false;
    assert!(json(&measured)["total"]["read_bytes_per_sec"].is_null());
}

#[test]
fn events_say_what_they_are() {
    let kill = OomKill { timestamp: "t".into(), pid: 3, comm: Some("hog".into()) };
    let path = |id: u64, member: u32| Some(format!("/{id}/{member}"));
    let json = |kill: &OomKill, tasks: &[TaskInterval]| {
        serde_json::to_value(Event::oom_kill(kill, tasks, path)).unwrap()
    };
    assert_eq!(
        json(&kill, &[task(4, 3, 1)]),
        serde_json::json!({"kind": "oom_kill", "timestamp": "t", "pid": 3, "comm": "hog", "cgroup": "/0/3"})
    );
    assert!(json(&kill, &[task(3, 4, 1)])["cgroup"].is_null(), "another process");
    let unnamed = OomKill { comm: None, ..kill };
    assert_eq!(json(&unnamed, &[task(3, 3, 1)])["comm"], "a-process");
}

proptest! {
    #[test]
    fn parts_and_rest_add_up_to_the_total(
        tasks in proptest::collection::vec((1u32..200, 0u64..1_000_000, 0u64..1_000_000), 0..150),
        unread: u32,
    ) {
        let tasks: Vec<_> = (1u32..).zip(&tasks).map(|(pid, (tgid, cpu, bytes))| {
            let mut task = task(pid, *tgid, *cpu);
            task.usage.read_bytes = *bytes;
            task
        }).collect();
        let mut interval = interval(tasks);
        interval.used.cpu_ns += u64::from(unread);
        let ranking = rank(&interval);
        let add = |usage: Usage, part: &Usage| usage.plus(part);
        let processes = ranking.top.iter().map(|process| &process.usage).fold(ranking.rest, add);
        let cgroups = ranking.cgroups.iter().map(|cgroup| &cgroup.usage).fold(ranking.cgroup_rest, add);
        prop_assert_eq!(processes, interval.used);
        prop_assert_eq!(cgroups, interval.used);
        prop_assert!(ranking.top.len() <= TOP + TOP_STORAGE);
        prop_assert!(ranking.top.iter().take(TOP).is_sorted_by(|a, b| a.usage.cpu_ns >= b.usage.cpu_ns));
    }
}
