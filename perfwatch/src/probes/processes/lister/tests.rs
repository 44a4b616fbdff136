use std::path::Path;

use super::super::testing::Machine;
use super::*;
use crate::probes::sched::interval::{TaskInterval, Usage};
use crate::snapshot::processes::ProcessRow;

fn lister(machine: &Machine) -> ProcessLister {
    ProcessLister::new(&machine.roots(), cgroups::Names::new(&machine.roots(), &[]), true)
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
    let lister = lister(&machine);
    lister.ticked("one", Some(&one_busy(42)));
    let first = lister.list();
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
    lister.ticked("two", Some(&one_busy(42)));
    assert_eq!(row(&lister.list(), 7).comm, "new");
    std::fs::remove_dir_all(machine.0.path().join("proc/7")).unwrap();
    assert_eq!(lister.inner.lock().unwrap().walker.remembered(), 3);
    lister.ticked("three", Some(&one_busy(42)));
    assert_eq!(lister.list().rows.len(), 2);
    assert_eq!(lister.inner.lock().unwrap().walker.remembered(), 2, "who has gone is forgotten");
}

#[test]
fn the_list_tells_parents_programs_and_command_lines_unless_they_are_off() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    machine.process(42, "busy", 5, 2, "/jobs");
    machine.put("proc/42/cmdline", "busy\0--token\0s3cret\0");
    std::os::unix::fs::symlink("/usr/bin/busy", machine.0.path().join("proc/42/exe")).unwrap();
    let listing = lister(&machine).list();
    let facts = &listing.facts[&42];
    assert_eq!((facts.parent_pid, facts.executable.as_deref()), (Some(1), Some("/usr/bin/busy")));
    assert_eq!(facts.command.as_deref(), Some("busy --token ********"));
    assert_eq!(listing.facts[&1].command, None);
    assert_eq!(listing.find(Some("--TOKEN")).len(), 1);
    assert_eq!(listing.find(Some("s3cret")).len(), 0);
    assert!(listing.command_lines);

    let silent =
        ProcessLister::new(&machine.roots(), cgroups::Names::new(&machine.roots(), &[]), false).list();
    assert_eq!((silent.command_lines, silent.facts[&42].command.as_deref()), (false, None));
    assert_eq!(silent.facts[&42].parent_pid, Some(1));
}

#[test]
fn between_two_ticks_everyone_gets_the_same_list() {
    let machine = Machine::new();
    let lister = lister(&machine);
    lister.ticked("one", None);
    let first = lister.list();
    let second = lister.list();
    // A machine may stall for longer than a list is fresh: then it is rightly recreated.
    let stood_still = lister.inner.lock().unwrap().last.as_ref().unwrap().0.elapsed() >= MAX_AGE;
    assert!(Arc::ptr_eq(&first, &second) || stood_still);
    lister.ticked("two", None);
    assert_eq!(lister.list().timestamp, "two");
}

#[test]
fn nothing_is_remembered_when_nobody_asks_any_more() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    let lister = lister(&machine);
    lister.list();
    let mut inner = lister.inner.lock().unwrap();
    let (made, listing) = inner.last.take().unwrap();
    // A machine that booted within the last minute has no such moment.
    let Some(long_ago) = made.checked_sub(IDLE_TIMEOUT) else { return };
    inner.last = Some((long_ago, listing));
    lister.ticked("while a list is made", None);
    assert_eq!(inner.walker.remembered(), 1);
    drop(inner);
    lister.ticked("later", None);
    let inner = lister.inner.lock().unwrap();
    assert!(inner.last.is_none() && inner.walker.remembered() == 0);
}

#[test]
fn where_tasks_are_not_accounted_for_cpu_time_comes_from_stat() {
    let machine = Machine::new();
    machine.process(1, "init", 100, 1, "/");
    machine.process(2, "other", 100, 1, "/");
    let lister = lister(&machine);
    let first = lister.list();
    assert_eq!(row(&first, 1).rates.cpu_percent, None, "there is nothing to compare with yet");
    assert!(first.timestamp.ends_with('Z'), "no tick yet: {}", first.timestamp);
    machine.process(1, "init", 100_000, 1, "/moved");
    machine.process(2, "another", 100_000, 9, "/");
    lister.ticked("one", None);
    let second = lister.list();
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
    let lister = ProcessLister::new(&Roots::default(), cgroups::Names::new(&Roots::default(), &[]), true);
    // The child is this program until it has exec'd the other, which has no memory for a moment.
    let started = Instant::now();
    let listing = loop {
        let listing = lister.list();
        let child = row(&listing, child.id());
        if child.comm == "sleep" && child.rss_bytes > Some(0) || started.elapsed() > Duration::from_secs(60) {
            break listing;
        }
        lister.inner.lock().unwrap().last = None;
    };
    let sleeping = row(&listing, child.id());
    let own = row(&listing, std::process::id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((sleeping.comm.as_str(), sleeping.uid), ("sleep", rustix::process::geteuid().as_raw()));
    assert!(sleeping.rss_bytes > Some(0) && sleeping.cgroup.is_some());
    assert!(own.rss_bytes > sleeping.rss_bytes);
}

#[test]
fn a_tick_that_walked_itself_is_listed_as_it_was() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    let (mut names, mut walker) = (Names::new(&machine.roots()), Walker::new(&machine.roots()));
    walker.walk(&mut names, true);
    machine.process(1, "init", 1_000_000, 1, "/");
    let walk = Walk { hidden: Some(4), ..walker.walk(&mut names, true) };
    let lister = lister(&machine);
    lister.walked("one", &Arc::new(walk));
    machine.process(9, "came later", 5, 1, "/");
    let listing = lister.list();
    assert_eq!((listing.timestamp.as_str(), listing.rows.len()), ("one", 1));
    assert_eq!((listing.hidden, listing.active), (Some(4), Some(1)));
    assert!(listing.elapsed_ms.is_some() && row(&listing, 1).rates.cpu_percent > Some(0.0));
    assert_eq!((row(&listing, 1).threads, row(&listing, 1).rates.cycles), (5, None));
}
