use std::path::Path;

use super::*;
use crate::snapshot::processes::ProcessRow;
use crate::snapshot::sched::{TaskInterval, Usage};

fn stat(pid: u32, name: &str, flags: u32, ticks: (u64, u64), started: u64, rss: i64) -> String {
    let (user, system) = ticks;
    format!(
        "{pid} ({name}) S 1 1 1 0 -1 {flags} 9 8 7 6 {user} {system} 3 4 20 0 5 0 {started} 99999 {rss} \
         18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
    )
}

#[test]
fn names_are_those_of_the_kernel_s_accounting() {
    let name = |name: &str, flags| Stat::parse(stat(1, name, flags, (0, 0), 0, 0).as_bytes()).unwrap().comm;
    for (told, meant) in [
        ("bash", "bash"),
        ("a) S (b", "a) S (b"),
        ("tab\there and \\\\ \\n", "tab\there and \\ \n"),
        ("kworker/0:1-events", "kworker/0:1-events"), // somebody's own program
    ] {
        assert_eq!(name(told, 0x40_0000), meant);
    }
    for (told, meant) in [
        ("kworker/0:1-events", "kworker/0:1"),
        ("kworker/u8:0+flush-254:0", "kworker/u8:0"),
        ("kworker/1:2H", "kworker/1:2H"),
        ("kworker/R-netns", "kworker/R-netns"),
        ("kworker/R-blkcg_punt_bio", "kworker/R-blkcg"),
        ("migration/0", "migration/0"),
    ] {
        assert_eq!(name(told, KERNEL_THREAD | 0x40), meant);
    }
}

#[test]
fn a_stat_that_is_cut_off_is_none() {
    let whole = stat(1, "x", 0, (3, 4), 77, -1);
    let parsed = Stat { comm: "x".into(), cpu_ticks: 7, started: 77, rss_pages: 0 };
    assert_eq!(Stat::parse(whole.as_bytes()), Some(parsed));
    for end in 0..40 {
        assert_eq!(Stat::parse(&whole.as_bytes()[..end]), None, "{end}");
    }
}

/// A machine with its files in a directory.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.put("etc/passwd", &format!("me:x:{}:0:::\n", rustix::process::geteuid().as_raw()));
        machine.put("proc/stat", "cpu 0\n");
        machine
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn process(&self, pid: u32, name: &str, ticks: u64, started: u64, cgroup: &str) {
        self.put(&format!("proc/{pid}/stat"), &stat(pid, name, 0, (ticks, 0), started, 10));
        self.put(&format!("proc/{pid}/cgroup"), &format!("0::{cgroup}\n"));
    }

    fn census(&self) -> Census {
        let at = |path: &str| self.0.path().join(path);
        let roots = Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") };
        Census::new(&roots)
    }
}

fn row(listing: &Listing, pid: u32) -> &ProcessRow {
    listing.rows.iter().find(|row| row.pid == pid).unwrap_or_else(|| panic!("no {pid} in {listing:?}"))
}

fn one_busy(pid: u32) -> Arc<Interval> {
    let usage = Usage { cpu_ns: 1_000_000_000, ..Usage::default() };
    let comm = *b"busy\0\0\0\0\0\0\0\0\0\0\0\0";
    let uid = rustix::process::geteuid().as_raw();
    let task = TaskInterval { pid, tgid: pid, comm, uid, cgroup: 3, usage, exited: false };
    Arc::new(Interval { elapsed: Duration::from_secs(2), tasks: vec![task], ..Interval::default() })
}

#[test]
fn idle_processes_stand_beside_active_ones_and_a_tick_s_list_is_made_once() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    machine.process(42, "busy", 5, 2, "/jobs");
    let census = machine.census();
    census.ticked("one", Some(&one_busy(42)));
    let first = census.list();
    assert_eq!((first.timestamp.as_str(), first.rows.len()), ("one", 2));
    let page = rustix::param::page_size() as u64;
    let init = row(&first, 1);
    assert_eq!(
        (init.comm.as_str(), init.user.as_deref(), init.cgroup.as_deref()),
        ("init", Some("me"), Some("/"))
    );
    assert_eq!((init.rss_bytes, init.rates.cpu_percent), (Some(10 * page), Some(0.0)));
    let busy = row(&first, 42);
    assert_eq!((busy.user.as_deref(), busy.cgroup.as_deref()), (Some("me"), Some("/jobs")));
    assert_eq!((busy.rss_bytes, busy.rates.cpu_percent), (Some(10 * page), Some(50.0)));

    machine.process(7, "new", 0, 3, "/");
    census.ticked("two", Some(&one_busy(42)));
    assert_eq!(row(&census.list(), 7).comm, "new");
    std::fs::remove_dir_all(machine.0.path().join("proc/7")).unwrap();
    let inner = census.inner.lock().unwrap();
    assert_eq!(inner.known.len(), 3);
    drop(inner);
    census.ticked("three", Some(&one_busy(42)));
    assert_eq!(census.list().rows.len(), 2);
    assert_eq!(census.inner.lock().unwrap().known.len(), 2, "who has gone is forgotten");
}

#[test]
fn between_two_ticks_everyone_gets_the_same_list() {
    let machine = Machine::new();
    let census = machine.census();
    census.ticked("one", None);
    let first = census.list();
    let second = census.list();
    // A machine may stand still for longer than a list is fresh: then it is rightly made anew.
    let stood_still = census.inner.lock().unwrap().last.as_ref().unwrap().0.elapsed() >= FRESH;
    assert!(Arc::ptr_eq(&first, &second) || stood_still);
    census.ticked("two", None);
    assert_eq!(census.list().timestamp, "two");
}

#[test]
fn nothing_is_remembered_when_nobody_asks_any_more() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    let census = machine.census();
    census.list();
    let mut inner = census.inner.lock().unwrap();
    let (made, listing) = inner.last.take().unwrap();
    // A machine that was started within the last minute has no such moment.
    let Some(long_ago) = made.checked_sub(REMEMBERED) else { return };
    inner.last = Some((long_ago, listing));
    census.ticked("while a list is made", None);
    assert_eq!(inner.known.len(), 1);
    drop(inner);
    census.ticked("later", None);
    let inner = census.inner.lock().unwrap();
    assert!(inner.last.is_none() && inner.known.is_empty());
}

#[test]
fn where_tasks_are_not_accounted_for_cpu_time_comes_from_stat() {
    let machine = Machine::new();
    machine.process(1, "init", 100, 1, "/");
    machine.process(2, "other", 100, 1, "/");
    let census = machine.census();
    let first = census.list();
    assert_eq!(row(&first, 1).rates.cpu_percent, None, "there is nothing to compare with yet");
    assert!(first.timestamp.ends_with('Z'), "no tick yet: {}", first.timestamp);
    machine.process(1, "init", 100_000, 1, "/moved");
    machine.process(2, "another", 100_000, 9, "/");
    census.ticked("one", None);
    let second = census.list();
    assert!(row(&second, 1).rates.cpu_percent > Some(0.0));
    assert_eq!(row(&second, 1).cgroup.as_deref(), Some("/"), "kept for a while");
    assert_eq!(row(&second, 2).rates.cpu_percent, None, "its number has been given to another");
    assert_eq!((row(&second, 1).rates.context_switches_per_sec, second.total), (None, None));
}

#[test]
fn the_running_machine_lists_this_process_and_a_sleeping_one() {
    if std::fs::read_link("/proc/self/ns/pid").unwrap() != Path::new("pid:[4026531836]") {
        println!(
            "SKIPPED: the_running_machine_lists_this_process_and_a_sleeping_one: not in the first PID namespace"
        );
        return;
    }
    let mut child = std::process::Command::new("sleep").arg("infinity").spawn().unwrap();
    let census = Census::new(&Roots::default());
    // The child is this program until it has become the other.
    let started = Instant::now();
    let listing = loop {
        let listing = census.list();
        if row(&listing, child.id()).comm == "sleep" || started.elapsed() > Duration::from_secs(60) {
            break listing;
        }
        census.inner.lock().unwrap().last = None;
    };
    let sleeping = row(&listing, child.id());
    let own = row(&listing, std::process::id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((sleeping.comm.as_str(), sleeping.uid), ("sleep", rustix::process::geteuid().as_raw()));
    assert!(sleeping.rss_bytes > Some(0) && sleeping.cgroup.is_some());
    assert!(own.rss_bytes > sleeping.rss_bytes);
}
