use std::time::Duration;

use super::super::walk::Used;
use super::*;
use crate::probes::sched::interval::TaskInterval;
use crate::snapshot::processes::order::Order;

fn task(pid: u32, tgid: u32, cpu_ns: u64, exited: bool) -> TaskInterval {
    let usage = Usage { cpu_ns, switches: 4, ..Usage::default() };
    TaskInterval { pid, tgid, comm: *b"busy\0\0\0\0\0\0\0\0\0\0\0\0", uid: 7, cgroup: 9, usage, exited }
}

fn measured(tasks: Vec<TaskInterval>) -> Interval {
    let used = tasks.iter().fold(Usage::default(), |sum, task| sum.plus(&task.usage));
    Interval { elapsed: Duration::from_secs(2), tasks, used, storage: true, ..Interval::default() }
}

fn present(pid: u32, comm: &str, rss_bytes: u64) -> Present {
    let details =
        Details { user: Some("root".into()), cgroup: Some("/Init".into()), rss_bytes: Some(rss_bytes) };
    let used = Used { cpu_percent: Some(12.5), ..Used::default() };
    Present { pid, comm: comm.into(), uid: 0, threads: 3, details, used }
}

fn walk(present: Vec<Present>) -> Walk {
    Walk { present, hidden: Some(0), ..Walk::default() }
}

/// The list of a tick named `t`.
fn joined(interval: Interval, listed: Vec<Present>) -> Listing {
    join("t".into(), &interval, walk(listed), names)
}

fn names(process: &Process) -> Details {
    Details { user: Some(format!("u{}", process.uid)), cgroup: Some("/jobs".into()), rss_bytes: None }
}

fn pids(rows: &[&ProcessRow]) -> Vec<u32> {
    rows.iter().map(|row| row.pid).collect()
}

#[test]
fn each_process_stands_there_once_with_what_it_used() {
    let tasks = vec![
        task(10, 10, 500_000_000, false),
        task(11, 10, 500_000_000, false),
        task(20, 20, 200_000_000, true),  // a zombie
        task(30, 30, 100_000_000, false), // has exited since
    ];
    let listed = vec![present(10, "older name", 4096), present(20, "busy", 0), present(1, "idle", 8192)];
    let listing = joined(measured(tasks), listed);
    assert_eq!(
        (listing.timestamp.as_str(), listing.elapsed_ms, listing.active),
        ("t", Some(2000.0), Some(3))
    );
    assert_eq!(listing.total.unwrap().cpu_percent, Some(65.0));
    let mut rows = listing.find(None);
    Order::default().sort(&mut rows);
    assert_eq!(pids(&rows), [10, 20, 30, 1]);

    let busy = rows[0];
    assert_eq!((busy.comm.as_str(), busy.uid, busy.threads, busy.exited), ("busy", 7, 2, false));
    assert_eq!((busy.user.as_deref(), busy.cgroup.as_deref()), (Some("u7"), Some("/jobs")));
    assert_eq!((busy.rss_bytes, busy.rates.cpu_percent), (Some(4096), Some(50.0)));
    assert_eq!((rows[1].exited, rows[1].rss_bytes), (true, None));
    assert_eq!((rows[2].exited, rows[2].rss_bytes, rows[2].rates.cpu_percent), (false, None, Some(5.0)));

    let idle = rows[3];
    assert_eq!((idle.comm.as_str(), idle.uid, idle.threads, idle.exited), ("idle", 0, 0, false));
    assert_eq!((idle.user.as_deref(), idle.cgroup.as_deref()), (Some("root"), Some("/Init")));
    assert_eq!((idle.rss_bytes, idle.rates.cpu_percent), (Some(8192), Some(0.0)));
    assert_eq!(idle.rates.context_switches_per_sec, Some(0.0));
    assert_eq!((idle.rates.cycles, idle.rates.ipc), (None, None), "not counted, which is not zero");
}

#[test]
fn what_is_not_accounted_for_is_not_zero() {
    let listing = of_walk("t".into(), &walk(vec![present(1, "init", 4096)]));
    assert_eq!((listing.elapsed_ms, listing.active, listing.total), (None, None, None));
    let rates = Rates { cpu_percent: Some(12.5), ..Rates::default() };
    let row = &listing.rows[0];
    assert_eq!((row.rss_bytes, row.threads, row.rates), (Some(4096), 3, rates));
}

#[test]
fn hidden_processes_that_were_active_are_listed_and_no_longer_hidden() {
    let hiding = Walk { hidden: Some(9), ..walk(vec![present(1, "init", 4096)]) };
    let listing = join("t".into(), &measured(vec![task(5, 5, 1, false)]), hiding, names);
    assert_eq!((listing.rows.len(), listing.hidden), (2, Some(8)));
    let unknown = Walk { hidden: None, ..walk(Vec::new()) };
    assert_eq!(of_walk("t".into(), &unknown).hidden, None);
}

#[test]
fn counters_of_idle_processes_are_zero_where_there_are_counters() {
    let mut interval = Interval { elapsed: Duration::from_secs(1), counting: 0b11, ..Interval::default() };
    interval.counted.enabled = 10;
    interval.counted.running = 10;
    let listing = joined(interval, vec![present(1, "init", 1)]);
    let rates = listing.rows[0].rates;
    assert_eq!((rates.cycles, rates.instructions, rates.ipc), (Some(0), Some(0), None));
    assert_eq!(rates.read_bytes_per_sec, None, "storage traffic is not accounted for");
}

#[test]
fn processes_are_found_by_any_of_their_names() {
    let rows = vec![present(1, "Systemd", 1), present(2, "nginx", 3), present(21, "nginx", 2)];
    let listing = joined(measured(vec![task(5, 5, 1, false)]), rows);
    let find = |text: &str, field: &str| {
        let mut rows = listing.find(Some(text));
        Order::by(field).unwrap().sort(&mut rows);
        pids(&rows)
    };
    assert_eq!(find("NGINX", "pid"), [2, 21]);
    assert_eq!(find("system", "pid"), [1]);
    assert_eq!(find("2", "pid"), [2], "a number is a whole one");
    assert_eq!(find("/init", "rss_bytes"), [2, 21, 1]);
    assert_eq!(find("u7", "pid"), [5]);
    assert_eq!(find("", "comm"), [1, 5, 2, 21], "capitals come first");
    assert_eq!(find("", "rss_bytes"), [2, 21, 1, 5], "what is not known comes last");
    assert!(find("nothing of the kind", "cpu_percent").is_empty());
    assert!(Order::by("_timestamp").is_none());
}

#[test]
fn every_field_of_a_row_orders() {
    let listing = joined(measured(Vec::new()), vec![present(1, "a", 1), present(2, "b", 2)]);
    let json = serde_json::to_value(&listing.rows[0]).unwrap();
    for field in json.as_object().unwrap().keys().filter(|field| !["uid", "exited"].contains(&field.as_str()))
    {
        let order = Order::by(field).unwrap_or_else(|| panic!("no order by {field}"));
        let mut rows = listing.find(None);
        order.sort(&mut rows);
        assert_eq!(rows.len(), 2, "{field}");
    }
}
