use super::super::testing::{Machine, stat};
use super::*;

fn walker(machine: &Machine) -> (Walker, Names) {
    (Walker::new(&machine.roots()), Names::new(&machine.roots()))
}

fn of(walk: &Walk, pid: u32) -> &Present {
    walk.present.iter().find(|present| present.pid == pid).unwrap()
}

#[test]
fn the_second_walk_tells_what_was_used() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/init.scope");
    machine.process(42, "busy", 5, 2, "/jobs");
    machine.put("proc/42/io", "read_bytes: 4096\nwrite_bytes: 0\n");
    let (mut walker, mut names) = walker(&machine);
    let first = walker.walk(&mut names, true);
    assert_eq!((first.elapsed, first.present.len(), first.hidden), (None, 2, Some(0)));
    assert_eq!(of(&first, 42).used, Used::default());
    assert_eq!((of(&first, 42).threads, of(&first, 42).details.user.as_deref()), (5, Some("me")));

    machine.process(42, "busy", 1_000_005, 2, "/jobs");
    machine.put("proc/42/io", "read_bytes: 1004096\nwrite_bytes: 0\n");
    let second = walker.walk(&mut names, true);
    let busy = of(&second, 42).used;
    assert!(second.elapsed.is_some() && busy.cpu_percent > Some(0.0) && busy.read_bytes_per_sec > Some(0.0));
    assert_eq!(busy.write_bytes_per_sec, Some(0.0));
    let init = of(&second, 1).used;
    assert_eq!((init.cpu_percent, init.read_bytes_per_sec), (Some(0.0), None), "its io is not there");
}

#[test]
fn who_came_in_between_has_used_what_it_has() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    let (mut walker, mut names) = walker(&machine);
    walker.walk(&mut names, true);
    let later = walker.since_boot() + 1;
    machine.process(7, "new", 50, later, "/");
    machine.put("proc/7/io", "read_bytes: 4096\nwrite_bytes: 0\n");
    machine.process(8, "unhidden", 50, 3, "/");
    let walk = walker.walk(&mut names, true);
    assert!(of(&walk, 7).used.cpu_percent > Some(0.0) && of(&walk, 7).used.read_bytes_per_sec > Some(0.0));
    assert_eq!(of(&walk, 8).used, Used::default(), "it is older than the walk before");
}

#[test]
fn another_of_the_same_number_is_another() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    machine.process(7, "one", 500, 3, "/one");
    let (mut walker, mut names) = walker(&machine);
    walker.walk(&mut names, true);
    machine.process(7, "other", 100_000, 9, "/other");
    let walk = walker.walk(&mut names, true);
    let other = of(&walk, 7);
    assert_eq!((other.used, other.details.cgroup.as_deref()), (Used::default(), Some("/other")));
    machine.remove("proc/7");
    assert_eq!((walker.walk(&mut names, true).present.len(), walker.remembered()), (1, 1));
}

#[test]
fn without_cgroups_or_with_broken_files_the_others_are_there() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    machine.remove("proc/1/cgroup");
    machine.put("proc/2/stat", "");
    machine.put("proc/3/stat", "3 (cut) S 1 1");
    machine.put("proc/4/stat", &stat(4, "well", 0, (1, 1), 5, 10));
    machine.put("proc/4/cgroup", "nonsense\n");
    let (mut walker, mut names) = walker(&machine);
    let walk = walker.walk(&mut names, true);
    assert_eq!((walk.present.len(), walk.hidden), (2, Some(0)));
    assert!(walk.present.iter().all(|present| present.details.cgroup.is_none()));
}

#[test]
fn the_running_machine_is_walked() {
    let roots = Roots::default();
    let (mut walker, mut names) = (Walker::new(&roots), Names::new(&roots));
    walker.walk(&mut names, true);
    let walk = walker.walk(&mut names, true);
    let own = of(&walk, std::process::id());
    assert!(own.used.cpu_percent.is_some() && own.details.rss_bytes > Some(0) && own.threads > 0);
}
