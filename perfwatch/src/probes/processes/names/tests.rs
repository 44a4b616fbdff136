use super::*;
use crate::probes::sched::interval::Usage;

#[test]
fn users_have_the_first_of_their_names() {
    let names = parse_passwd("root:x:0:0::/root:/bin/sh\n#comment\ntoor:x:0:0::/:\nweb:x:33:33:::\n");
    assert_eq!(names.get(&0).map(String::as_str), Some("root"));
    assert_eq!(names.get(&33).map(String::as_str), Some("web"));
    assert_eq!(names.len(), 2);
}

#[test]
fn a_name_that_is_not_utf_8_costs_no_other_user_its_name() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("passwd");
    let text = b"root:x:0:0::/:\n\njm:x:1000:1000:J\xfcrgen M,,,:/home/jm:/bin/sh\n\0\0:\nno numbers\nweb:x:33:33:::\nold:x:";
    std::fs::write(&path, text).unwrap();
    let mut users = Users::new(path);
    let names = [0, 1000, 33].map(|uid| users.name(uid));
    assert_eq!(names, ["root", "jm", "web"].map(|name| Some(name.to_owned())));
    assert_eq!(users.names.len(), 3);
}

/// A version 2 machine with one process and one limited group.
fn machine() -> (tempfile::TempDir, Roots) {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("proc/42/cgroup", "0::/jobs/build\n");
    put("proc/42/statm", "1000 25 3 1 0 9 0\n");
    put("sys/fs/cgroup/jobs/build/cpu.stat", "nr_throttled 3\nthrottled_usec 1500\n");
    put("etc/passwd", "builder:x:1000:1000:::\n");
    let at = |path: &str| root.path().join(path);
    let roots = Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") };
    (root, roots)
}

#[test]
fn a_process_gets_names_and_memory() {
    let (_root, roots) = machine();
    let group = std::fs::metadata(roots.sys("fs/cgroup/jobs/build")).unwrap();
    let mut names = Names::new(&roots);
    let mut process = Process {
        pid: 42,
        comm: "cc".into(),
        uid: 1000,
        cgroup: std::os::unix::fs::MetadataExt::ino(&group),
        threads: 1,
        exited: false,
        usage: Usage::default(),
    };
    let details = names.details(&process);
    assert_eq!(details.user.as_deref(), Some("builder"));
    assert_eq!(details.cgroup.as_deref(), Some("/jobs/build"));
    assert_eq!(details.rss_bytes, Some(25 * rustix::param::page_size() as u64));
    // Another in the same group, which has exited: the name is known by now.
    (process.pid, process.uid, process.exited) = (43, 5, true);
    let details = names.details(&process);
    assert_eq!((details.user, details.rss_bytes), (None, None));
    assert_eq!(details.cgroup.as_deref(), Some("/jobs/build"));
}

#[test]
fn throttling_is_told_once() {
    let (root, roots) = machine();
    let mut names = Names::new(&roots);
    let groups = || ["/jobs/build", "/without/limit"].into_iter();
    assert_eq!(names.throttled(groups(), "t0"), []);
    let stat = root.path().join("sys/fs/cgroup/jobs/build/cpu.stat");
    std::fs::write(stat, "nr_throttled 5\nthrottled_usec 4000\n").unwrap();
    let event = Event::CgroupThrottled {
        timestamp: "t1".into(),
        cgroup: "/jobs/build".into(),
        periods: 2,
        throttled_ms: 2.5,
    };
    assert_eq!(names.throttled(groups(), "t1"), [event]);
    assert_eq!(names.throttled(groups(), "t2"), []);
}

#[test]
fn a_missing_controller_is_looked_for_again_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cpu.stat");
    let mut limit = Limit::new(path.clone());
    assert_eq!(limit.read(), (None, None));
    let looked = limit.missing.unwrap();
    std::fs::write(&path, "nr_throttled 3\nthrottled_usec 1500\n").unwrap();
    // A machine may stall for that long: then it is rightly found at once.
    let soon = limit.read();
    assert!(soon == (None, None) || looked.elapsed() >= CONTROLLER_LOOKED_FOR);
    limit.missing = looked.checked_sub(CONTROLLER_LOOKED_FOR);
    limit.last = None;
    let found = Some(Throttled { periods: 3, micros: 1500 });
    assert_eq!(limit.read(), (None, found));
    assert_eq!((limit.read(), limit.missing), ((found, found), None));
}
