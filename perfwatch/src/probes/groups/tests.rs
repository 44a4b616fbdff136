use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::probes::Options;
use crate::probes::budget::{Budget, FIRST_PAUSE};
use crate::probes::kernel::SharedKernel;
use crate::probes::sched::interval::{GroupInterval, TaskInterval};
use crate::snapshot::histogram::{Histogram, Unit};

/// A machine with groups, whose source is sampled at times of the test's choosing.
struct Machine {
    root: tempfile::TempDir,
    source: Groups,
    now: Instant,
}

impl Machine {
    fn with(prepare: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["proc", "sys/fs/cgroup", "sys/block"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        prepare(root.path());
        let at = |path: &str| root.path().join(path);
        let roots = Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") };
        let kernel = SharedKernel::new(&roots);
        let budget = Budget::new(1.0, 1, FIRST_PAUSE);
        let sched = SharedSched::new(&roots, &kernel, &budget, &crate::probes::Feed::default());
        let names = Names::new(&roots, &[]);
        let lister = Arc::new(crate::probes::ProcessLister::new(&roots, names.clone(), true));
        let block_io = SharedBlockIo::new(&budget);
        let source = Groups::new(&Common {
            roots: &roots,
            kernel,
            block_io,
            budget,
            sched,
            lister,
            feed: crate::probes::Feed::default(),
            names,
            options: Options::UNLIMITED,
        });
        Self { root, source, now: Instant::now() }
    }

    /// Of version 2, with these files below the mount.
    fn v2(files: &[(&str, &str)]) -> Self {
        let machine = Self::with(|_| ());
        machine.put(files);
        machine
    }

    fn mount(&self) -> PathBuf {
        self.root.path().join("sys/fs/cgroup")
    }

    fn put(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            put(&self.mount(), path, text);
        }
    }

    fn inode(&self, group: &str) -> u64 {
        std::fs::metadata(self.mount().join(group)).unwrap().ino()
    }

    /// The document so many seconds later.
    fn after(&mut self, seconds: u64, interval: Option<&Interval>) -> Value {
        self.now += Duration::from_secs(seconds);
        let tick = Tick::new(time::macros::datetime!(2026-01-02 03:04:05 UTC), Duration::from_secs(1));
        let reading = self.source.tick(&tick, interval, self.now).unwrap();
        serde_json::from_slice(&reading.json()).unwrap()
    }
}

/// Written in place, as the kernel changes files that are open.
fn put(below: &Path, path: &str, text: &str) {
    let path = below.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn group<'a>(document: &'a Value, path: &str) -> &'a Value {
    let groups = document["groups"].as_array().unwrap();
    groups.iter().find(|group| group["cgroup"] == path).unwrap_or_else(|| panic!("no {path}: {document}"))
}

/// The members of `row` that `expected` has.
fn check(row: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name} of {row}");
    }
}

const WEB: &str = "system.slice/web.service";

fn web(usage: u64, files: &[(&str, String)]) -> Vec<(String, String)> {
    let stat =
        |usage: u64| format!("usage_usec {usage}\nuser_usec {}\nsystem_usec {}\n", usage / 2, usage / 2);
    let throttled = usage / 1000;
    let mut all = vec![
        ("cpu.stat".to_owned(), stat(usage)),
        ("system.slice/cpu.stat".to_owned(), stat(usage)),
        (
            format!("{WEB}/cpu.stat"),
            format!("{}nr_periods 9\nnr_throttled {throttled}\nthrottled_usec {usage}\n", stat(usage)),
        ),
    ];
    all.extend(files.iter().map(|(name, text)| (format!("{WEB}/{name}"), text.clone())));
    all
}

fn put_all(machine: &Machine, files: &[(String, String)]) {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    machine.put(&files);
}

/// What grows with time, at second `at`.
fn growing(at: u64) -> Vec<(&'static str, String)> {
    let stall = |some: u64, full: u64| {
        format!(
            "some avg10=0.00 avg60=0.00 avg300=0.00 total={some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={full}\n"
        )
    };
    vec![
        ("memory.current", format!("{}\n", (1 << 20) + at)),
        (
            "memory.events",
            format!("low 0\nhigh {at}\nmax {}\noom 1\noom_kill {}\noom_group_kill 0\n", 2 * at, at / 2),
        ),
        (
            "io.stat",
            format!(
                "254:0 rbytes={} wbytes=0 rios={at} wios=0 dbytes=0 dios=0\n253:0 rbytes={} wbytes=0 rios={at} wios=0\n",
                4096 * at,
                4096 * at
            ),
        ),
        ("cpu.pressure", stall(100_000 * at, 0)),
        ("memory.pressure", stall(at, at)),
        ("io.pressure", stall(500_000 * at, 250_000 * at)),
        ("pids.current", "7\n".to_owned()),
    ]
}

#[test]
fn a_service_of_version_2() {
    let mut machine = Machine::v2(&[
        ("system.slice/web.service/memory.stat", "anon 300\nfile 200\nkernel 100\nslab 50\n"),
        ("system.slice/web.service/memory.max", "2097152\n"),
        ("system.slice/web.service/memory.high", "max\n"),
        ("system.slice/web.service/memory.swap.current", "4096\n"),
        ("system.slice/web.service/memory.swap.max", "8192\n"),
        ("system.slice/web.service/cpu.max", "50000 100000\n"),
        ("system.slice/web.service/pids.max", "max\n"),
        ("system.slice/web.service/cgroup.procs", "1\n2\n3\n"),
    ]);
    put(machine.root.path(), "sys/block/vda/dev", "254:0\n");
    put(machine.root.path(), "sys/block/dm-0/dev", "253:0\n");
    put(machine.root.path(), "sys/block/dm-0/dm/name", "root\n");
    put_all(&machine, &web(1_000_000, &growing(10)));
    let first = machine.after(0, None);
    check(
        group(&first, "/system.slice/web.service"),
        &json!({
            "kind": "service", "name": "web.service", "cpu_percent": null, "throttled_periods": null, "oom_kills": null,
            "read_bytes_per_sec": null, "io_some_percent": null, "memory_bytes": (1 << 20) + 10, "io": {},
        }),
    );
    put_all(&machine, &web(2_000_000, &growing(20)));
    let second = machine.after(4, None);
    check(
        &second,
        &json!({"hierarchy": "v2", "reason": null, "count": 3, "active": 3, "elapsed_ms": 4000.0}),
    );
    check(
        group(&second, "/system.slice/web.service"),
        &json!({
            "cpu_percent": 25.0, "user_percent": 12.5, "system_percent": 12.5, "cpu_limit": 0.5,
            "throttled_periods": 1000, "throttled_ms": 1000.0,
            "cpu_some_percent": 25.0, "cpu_full_percent": 0.0, "io_some_percent": 100.0, "io_full_percent": 62.5,
            "memory_bytes": (1 << 20) + 20, "anon_bytes": 300, "file_bytes": 200, "kernel_bytes": 100, "slab_bytes": 50,
            "memory_limit_bytes": 2_097_152, "memory_high_bytes": null, "swap_bytes": 4096, "swap_limit_bytes": 8192,
            "memory_high_events": 10, "memory_max_events": 20, "oom_events": 0, "oom_kills": 5,
            // The disk alone: what goes through the volume on it is the same.
            "read_bytes_per_sec": 10240.0, "write_bytes_per_sec": 0.0, "reads_per_sec": 2.5, "writes_per_sec": 0.0,
            "io": {
                "dm-0": {"read_bytes_per_sec": 10240.0, "write_bytes_per_sec": 0.0, "reads_per_sec": 2.5, "writes_per_sec": 0.0},
                "vda": {"read_bytes_per_sec": 10240.0, "write_bytes_per_sec": 0.0, "reads_per_sec": 2.5, "writes_per_sec": 0.0},
            },
            "processes": 3, "tasks": 7, "tasks_limit": null, "runqueue_wait_ms_per_sec": null, "ipc": null,
        }),
    );
    let root = group(&second, "/");
    check(root, &json!({"kind": "root", "name": "/", "cpu_percent": 25.0, "memory_bytes": null}));
    // Counters that went back tell nothing.
    put_all(&machine, &web(1_500_000, &growing(1)));
    check(
        group(&machine.after(4, None), "/system.slice/web.service"),
        &json!({
            "cpu_percent": null, "throttled_periods": null, "oom_kills": null, "io_some_percent": null,
        }),
    );
}

#[test]
fn a_container_of_version_1() {
    let id = "3f4b9d1c2a5e687790abcdef0123456789abcdef0123456789abcdef01234567";
    let mut machine = Machine::with(|root| {
        put(root, "proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t28\t1\n");
    });
    let put_at = |machine: &Machine, at: u64| {
        for (path, text) in [
            ("cpuacct/docker/ID/cpuacct.usage", (at * 500_000_000).to_string()),
            ("cpuacct/docker/ID/cpuacct.stat", format!("user {}\nsystem {}\n", at * 10, at * 20)),
            (
                "cpu/docker/ID/cpu.stat",
                format!("nr_periods 1\nnr_throttled {at}\nthrottled_time {}\n", at * 1_000_000),
            ),
            ("cpu/docker/ID/cpu.cfs_quota_us", "150000".into()),
            ("cpu/docker/ID/cpu.cfs_period_us", "100000".into()),
            ("memory/docker/ID/memory.usage_in_bytes", "4096".into()),
            ("memory/docker/ID/memory.limit_in_bytes", "1048576".into()),
            ("memory/docker/ID/memory.memsw.limit_in_bytes", "1572864".into()),
            ("memory/docker/ID/memory.failcnt", at.to_string()),
            (
                "memory/docker/ID/memory.oom_control",
                format!("oom_kill_disable 0\nunder_oom 0\noom_kill {at}\n"),
            ),
            ("memory/docker/ID/memory.stat", "total_cache 3\ntotal_rss 2\ntotal_swap 1\n".into()),
            ("memory/docker/ID/cgroup.procs", "1\n".into()),
            (
                "blkio/docker/ID/blkio.throttle.io_service_bytes_recursive",
                format!("254:0 Read {}\n254:0 Write 0\nTotal 1\n", at * 512),
            ),
            (
                "blkio/docker/ID/blkio.throttle.io_serviced_recursive",
                format!("254:0 Read {at}\n254:0 Write 0\nTotal 1\n"),
            ),
            ("pids/docker/ID/pids.current", "2".into()),
            ("pids/docker/ID/pids.max", "100".into()),
        ] {
            put(&machine.mount(), &path.replace("ID", id), &text);
        }
    };
    put_at(&machine, 1);
    machine.after(0, None);
    put_at(&machine, 2);
    let document = machine.after(1, None);
    assert_eq!((&document["hierarchy"], document["reason"].is_string()), (&json!("v1"), true));
    let ticks = 1e6 / rustix::param::clock_ticks_per_second() as f64;
    check(
        group(&document, &format!("/docker/{id}")),
        &json!({
            "kind": "container", "id": id, "runtime": "docker", "cpu_percent": 50.0,
            "user_percent": ticks * 10.0 / 1e4, "system_percent": ticks * 20.0 / 1e4, "cpu_limit": 1.5,
            "throttled_periods": 1, "throttled_ms": 1.0, "memory_bytes": 4096, "anon_bytes": 2, "file_bytes": 3,
            "kernel_bytes": null, "memory_limit_bytes": 1_048_576, "swap_bytes": 1, "swap_limit_bytes": 524_288,
            "memory_max_events": 1, "oom_kills": 1, "read_bytes_per_sec": 512.0, "reads_per_sec": 1.0,
            "tasks": 2, "tasks_limit": 100, "processes": 1, "cpu_some_percent": null,
        }),
    );
}

#[test]
fn nothing_is_read_below_a_group_in_which_nothing_ran() {
    let stat = |usage: u64| format!("usage_usec {usage}\n");
    let mut machine = Machine::v2(&[
        ("cpu.stat", &stat(1)),
        ("a/cpu.stat", &stat(1)),
        ("a/b/cpu.stat", &stat(1)),
        ("a/b/memory.current", "1"),
        ("c/cpu.stat", &stat(1)),
    ]);
    machine.after(0, None);
    // Once more after it came to rest, for what it did last.
    machine.after(1, None);
    machine.put(&[
        ("cpu.stat", &stat(100_001)),
        ("c/cpu.stat", &stat(100_001)),
        ("a/b/cpu.stat", &stat(9_999_999)),
    ]);
    machine.put(&[("a/b/memory.current", "2")]);
    let document = machine.after(1, None);
    assert_eq!(group(&document, "/c")["cpu_percent"], 10.0);
    check(group(&document, "/a"), &json!({"cpu_percent": 0.0}));
    check(group(&document, "/a/b"), &json!({"cpu_percent": 0.0, "memory_bytes": 1}));
    assert_eq!(document["active"], 2);
    // Others may take its memory: it is read now and then.
    machine.put(&[("cpu.stat", &stat(100_002))]);
    assert_eq!(group(&machine.after(20, None), "/a/b")["memory_bytes"], 2);
}

/// One busy task of a group.
fn task(pid: u32, cgroup: u64, millis: u64) -> TaskInterval {
    let usage = Usage { cpu_ns: millis * 1_000_000, wait_ns: 2_000_000, switches: 3, ..Usage::default() };
    TaskInterval { pid, tgid: pid, comm: [0; 16], uid: 0, cgroup, usage, exited: false }
}

fn interval(tasks: Vec<TaskInterval>) -> Interval {
    let used = tasks.iter().fold(Usage::default(), |sum, task| sum.plus(&task.usage));
    Interval { elapsed: Duration::from_secs(1), tasks, used, ..Interval::default() }
}

#[test]
fn a_group_includes_the_tasks_of_those_below_it() {
    // Without the CPU controller's files, as where they are not mounted.
    let mut machine = Machine::v2(&[("a/b/memory.current", "1"), ("c/memory.current", "1")]);
    machine.after(0, None);
    let (a, b, c) = (machine.inode("a"), machine.inode("a/b"), machine.inode("c"));
    let tasks =
        vec![task(1, a, 100), task(2, b, 200), task(3, b, 50), task(4, c, 300), task(5, u64::MAX, 40)];
    let document = machine.after(1, Some(&interval(tasks)));
    for (path, cpu, waits) in [("/a/b", 25.0, 4.0), ("/a", 35.0, 6.0), ("/c", 30.0, 2.0), ("/", 69.0, 10.0)] {
        check(group(&document, path), &json!({"cpu_percent": cpu, "runqueue_wait_ms_per_sec": waits}));
    }
    assert_eq!(group(&document, "/a/b")["context_switches_per_sec"], 6.0);
    // A group that a task is in is found before the next walk is due.
    machine.put(&[("new/memory.current", "5")]);
    let document = machine.after(1, Some(&interval(vec![task(1, machine.inode("new"), 10)])));
    check(group(&document, "/new"), &json!({"cpu_percent": 1.0, "memory_bytes": 5}));
}

#[test]
fn times_are_those_of_a_group_and_of_what_is_in_it() {
    let mut machine = Machine::v2(&[("a/b/memory.current", "1"), ("c/memory.current", "1")]);
    machine.after(0, None);
    let (b, c) = (machine.inode("a/b"), machine.inode("c"));
    let ran = || interval(vec![task(1, b, 10), task(2, c, 10)]);
    let counts = |document: &Value| {
        ["/", "/a", "/a/b", "/c"].map(|path| group(document, path)["off_cpu"]["histogram"]["count"].clone())
    };
    // At first what happens in them counts for the root alone.
    for _ in 0..2 {
        let document = machine.after(1, Some(&ran()));
        assert_eq!(counts(&document), [json!(0), Value::Null, Value::Null, Value::Null]);
    }
    let slots = [b, c].map(|group| machine.source.slots.of_tasks[&group]);
    assert!(slots[0] != slots[1] && slots.iter().all(|slot| *slot != 0), "{slots:?}");
    let times = |slot, values: &[u64]| {
        let of = |values: &[u64]| {
            let counts = values.iter().map(|ns| (perfwatch_common::histogram::index(*ns), 1));
            let max = values.iter().copied().max().unwrap_or_default();
            Histogram::from_counts(Unit::Nanoseconds, counts, values.iter().sum(), max)
        };
        GroupInterval { slot, wait: of(&values[1..]), off_cpu: of(values) }
    };
    let counted = vec![
        times(0, &[1_000]),
        times(slots[0], &[5_000, 9_000_000]),
        times(slots[1], &[3_000, 4_000, 5_000]),
    ];
    let document = machine.after(1, Some(&Interval { groups: counted, ..ran() }));
    assert_eq!(counts(&document), [6, 2, 2, 3].map(|count| json!(count)));
    let row = group(&document, "/a/b");
    assert_eq!((&row["off_cpu"]["max_us"], &row["off_cpu"]["mean_us"]), (&json!(9000.0), &json!(4502.5)));
    check(&row["runqueue_wait"]["histogram"], &json!({"count": 1, "sum": 9_000_000}));
    assert_eq!(row["block_latency"], Value::Null, "the programs of block I/O do not run");
    // Of a group that is gone, what is read later is the machine's.
    std::fs::remove_dir_all(machine.mount().join("c")).unwrap();
    let late = Interval { groups: vec![times(slots[1], &[7_000])], ..interval(vec![task(1, b, 10)]) };
    let document = machine.after(20, Some(&late));
    let count = |path| group(&document, path)["off_cpu"]["histogram"]["count"].clone();
    assert_eq!((count("/"), count("/a")), (json!(1), json!(0)));
}

#[test]
fn what_a_new_group_counts_belongs_to_the_interval_in_which_it_was_made() {
    let mut machine =
        Machine::v2(&[("old/memory.events", "oom_kill 3\n"), ("old/cpu.stat", "usage_usec 1\n")]);
    let first = machine.after(0, None);
    assert_eq!(group(&first, "/old")["oom_kills"], Value::Null, "of whatever time before");
    machine.put(&[
        ("new/memory.events", "oom_kill 2\n"),
        ("new/cpu.stat", "usage_usec 5\nnr_throttled 4\nthrottled_usec 3000\n"),
    ]);
    std::fs::remove_dir_all(machine.mount().join("old")).unwrap();
    let second = machine.after(20, None);
    check(group(&second, "/new"), &json!({"oom_kills": 2, "throttled_periods": 4, "throttled_ms": 3.0}));
    assert_eq!(second["count"], 2, "{second}");
    assert_eq!(group(&machine.after(1, None), "/new")["oom_kills"], 0);
}

#[test]
fn four_thousand_groups_are_bounded_and_all_are_read() {
    let mut machine = Machine::v2(&[("cpu.stat", "usage_usec 1\n")]);
    let files: Vec<(String, String)> = (0..4000)
        .flat_map(|at| {
            let group = format!("s{}.slice/g{at}", at % 40);
            [
                (format!("{group}/cpu.stat"), "usage_usec 1\n".to_owned()),
                (format!("{group}/memory.current"), at.to_string()),
            ]
        })
        .collect();
    put_all(&machine, &files);
    let slices: Vec<_> =
        (0..40).map(|at| (format!("s{at}.slice/cpu.stat"), "usage_usec 1\n".to_owned())).collect();
    put_all(&machine, &slices);
    let mut readings = 0;
    let mut document = machine.after(0, None);
    while machine.source.groups.iter().any(|group| group.path.contains("/g") && group.memory_bytes.is_none())
    {
        readings += 1;
        assert!(readings < 100, "some are never read");
        document = machine.after(1, None);
    }
    document = if readings == 0 { document } else { machine.after(1, None) };
    let listed = document["groups"].as_array().unwrap();
    assert_eq!((document["count"].as_u64(), listed.len()), (Some(4041), MAX_LISTED));
    assert_eq!(document["other"]["count"], 4041 - MAX_LISTED);
    check(group(&document, "/s39.slice/g3999"), &json!({"memory_bytes": 3999}));
    let memory = |rows: &[Value]| rows.iter().filter_map(|row| row["memory_bytes"].as_u64()).sum::<u64>();
    // Slices have none of their own here.
    let all = memory(listed) + document["other"]["memory_bytes"].as_u64().unwrap();
    assert_eq!(all, (0..4000).sum::<u64>());
}

#[test]
fn names_of_any_kind_are_harmless() {
    let mut machine = Machine::v2(&[]);
    let long = "x".repeat(200);
    let names: Vec<Vec<u8>> = vec![
        b"<img src=x onerror=alert(1)>".to_vec(),
        b"\x1b[31mred\x07\r".to_vec(),
        b"not utf-8 \xff".to_vec(),
        b"not utf-8 \xfe".to_vec(),
        b"a:b \"quoted\" \\x2d".to_vec(),
        vec![long.as_str(); 15].join("/").into_bytes(),
    ];
    for name in &names {
        let folder = machine.mount().join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("memory.current"), "7").unwrap();
    }
    let document = machine.after(0, None);
    check(group(&document, "/<img src=x onerror=alert(1)>"), &json!({"memory_bytes": 7, "kind": "group"}));
    assert_eq!(group(&document, "/\u{1b}[31mred\u{7}\r")["name"], "\u{fffd}[31mred\u{fffd}\u{fffd}");
    // Two that look the same are listed once.
    let alike = document["groups"].as_array().unwrap();
    let alike = alike.iter().filter(|row| row["cgroup"] == "/not utf-8 \u{fffd}").count();
    assert_eq!((alike, &document["count"]), (1, &json!(1 + 5 + 15)));
    let deep = group(&document, &format!("/{}", vec![long.as_str(); 15].join("/")));
    assert!(deep["memory_bytes"] == 7 && deep["name"].as_str().unwrap().chars().count() < 300);
}

#[test]
fn files_that_vanish_or_hold_nonsense_cost_no_other_group() {
    let mut machine = Machine::v2(&[
        ("a/cpu.stat", "usage_usec x\n"),
        ("a/memory.current", "-1"),
        ("a/memory.max", ""),
        ("a/io.stat", "\n\0 rbytes\n"),
        ("b/cpu.stat", "usage_usec 1\n"),
        ("b/memory.current", "9"),
    ]);
    std::fs::create_dir_all(machine.mount().join("a/memory.events")).unwrap();
    machine.after(0, None);
    std::fs::remove_dir_all(machine.mount().join("a")).unwrap();
    machine.put(&[("b/cpu.stat", "usage_usec 500001\n")]);
    let document = machine.after(1, None);
    check(group(&document, "/a"), &json!({"cpu_percent": null, "memory_limit_bytes": null}));
    check(group(&document, "/b"), &json!({"cpu_percent": 50.0, "memory_bytes": 9}));
}

#[test]
fn a_machine_without_groups_says_so() {
    let mut machine = Machine::v2(&[]);
    std::fs::remove_dir_all(machine.mount()).unwrap();
    let document = machine.after(0, None);
    assert_eq!((&document["count"], &document["groups"]), (&json!(0), &json!([])));
    let report = machine.source.report();
    assert_eq!(report.state, State::Unavailable);
    assert!(report.reason.unwrap().contains("fs/cgroup") && report.remedy.is_some());
}
