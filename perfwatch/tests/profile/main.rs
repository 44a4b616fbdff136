//! Profiles of programs whose shape is known: by `perfwatch profile`, and by the server.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

mod held_against_perf;
mod hostile;
mod inlined;
mod lifetimes;
mod served;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Killed at the end of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Compiles a program of this directory.
fn compile(dir: &Path, name: &str, flags: &[&str]) -> PathBuf {
    compile_as(dir, name, name, flags)
}

fn compile_as(dir: &Path, source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let program = dir.join(format!("pw-{name}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profile").join(format!("{source}.c"));
    let compiled =
        Command::new("cc").args(flags).arg("-O2").arg("-o").arg(&program).arg(source).status().unwrap();
    assert!(compiled.success());
    program
}

/// Starts a program of known shape.
fn start(dir: &Path, flags: &[&str]) -> Running {
    Running(Command::new(compile(dir, "shape", flags)).stdin(Stdio::null()).spawn().unwrap())
}

/// The counts of a process's stacks, and what was said about them; `None` where nothing may be sampled.
fn profile(pid: u32) -> Option<(HashMap<String, u64>, String)> {
    profile_with(&["--seconds", "3", "--hz", "997"], Some(pid))
}

fn profile_with(arguments: &[&str], pid: Option<u32>) -> Option<(HashMap<String, u64>, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.arg("profile").args(arguments);
    if let Some(pid) = pid {
        command.args(["--pid", &pid.to_string()]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        let test = std::thread::current();
        println!("SKIPPED: {}: {}", test.name().unwrap_or("profile"), said.trim());
        return None;
    }
    Some((stacks(&String::from_utf8(output.stdout).unwrap()), said))
}

/// The counts of folded stacks.
fn stacks(folded: &str) -> HashMap<String, u64> {
    let lines = folded.lines().map(|line| line.rsplit_once(' ').unwrap());
    lines.map(|(stack, count)| (stack.to_owned(), count.parse().unwrap())).collect()
}

/// The percentage of samples whose stack has a frame.
fn share(stacks: &HashMap<String, u64>, frame: &str) -> f64 {
    let all: u64 = stacks.values().sum();
    let with = stacks.iter().filter(|(stack, _)| stack.split(';').any(|other| other == frame));
    let with: u64 = with.map(|(_, count)| count).sum();
    100.0 * with as f64 / all.max(1) as f64
}

fn has_the_shape(flags: &[&str]) -> Option<HashMap<String, u64>> {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), flags);
    let (stacks, said) = profile(running.0.id())?;
    for (function, expected) in [("sixty", 60.0), ("thirty", 30.0), ("ten", 10.0), ("main", 100.0)] {
        let share = share(&stacks, function);
        assert!((share - expected).abs() <= 5.0, "{function}: {share}: {said}\n{stacks:#?}");
    }
    // From the process inwards.
    let whole = stacks.keys().filter(|stack| stack.starts_with("pw-shape;") && stack.contains(";main;"));
    assert!(whole.count() > 0, "{stacks:#?}");
    Some(stacks)
}

#[test]
fn programs_without_frame_pointers_are_unwound() {
    has_the_shape(&["-fomit-frame-pointer"]);
}

#[test]
fn programs_with_frame_pointers_are_unwound() {
    has_the_shape(&["-fno-omit-frame-pointer"]);
}

#[test]
fn static_programs_are_unwound() {
    has_the_shape(&["-static"]);
}

#[test]
fn deep_recursion_is_whole() {
    let Some(stacks) = has_the_shape(&["-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-DDEPTH=400"])
    else {
        return;
    };
    let deepest =
        stacks.keys().map(|stack| stack.split(';').filter(|frame| *frame == "deeper").count()).max();
    assert!(deepest >= Some(400), "{deepest:?}");
}

#[test]
fn functions_of_a_stripped_program_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &["-s"]);
    let Some((stacks, said)) = profile(running.0.id()) else { return };
    let frames: BTreeSet<&str> = stacks
        .keys()
        .flat_map(|stack| stack.split(';'))
        .filter(|frame| frame.starts_with("pw-shape+0x"))
        .collect();
    for expected in [60.0, 30.0, 10.0] {
        let found = frames.iter().any(|frame| (share(&stacks, frame) - expected).abs() <= 5.0);
        assert!(found, "none has {expected} %: {said}\n{stacks:#?}");
    }
    // One for each function, wherever it was met.
    assert!(frames.len() <= 8, "{frames:?}");
}

#[test]
fn functions_of_a_just_in_time_compiler_are_named() {
    // Node writes /tmp/perf-PID.map.
    let script =
        "function spin() { let n = 0; for (let i = 0; i < 1e6; i++) n += i % 7; return n; } for (;;) spin();";
    let node = Command::new("node").args(["--perf-basic-prof", "-e", script]).stdin(Stdio::null()).spawn();
    let Ok(node) = node.map(Running) else {
        println!("SKIPPED: functions_of_a_just_in_time_compiler_are_named: there is no node");
        return;
    };
    let pid = node.0.id();
    let profiled = profile(pid);
    drop(node);
    let _ = std::fs::remove_file(format!("/tmp/perf-{pid}.map"));
    let Some((stacks, said)) = profiled else { return };
    let all: u64 = stacks.values().sum();
    let told = stacks.iter().filter(|(stack, _)| stack.contains("spin")).map(|(_, count)| count).sum::<u64>();
    assert!(told * 2 > all, "{told} of {all}: {said}\n{stacks:#?}");
}

#[test]
fn a_process_that_does_not_run_has_no_samples() {
    let sleeper = Running(Command::new("sleep").arg("600").spawn().unwrap());
    let Some((stacks, said)) = profile(sleeper.0.id()) else { return };
    assert!(stacks.is_empty(), "{stacks:?}");
    assert!(said.starts_with("0 samples of "), "{said}");
}

#[test]
fn deleted_programs_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &["-fomit-frame-pointer"]);
    let program: PathBuf = dir.path().join("pw-shape");
    std::fs::remove_file(program).unwrap();
    let Some((stacks, said)) = profile(running.0.id()) else { return };
    assert!(share(&stacks, "sixty") > 50.0, "{said}\n{stacks:#?}");
}

/// Its files exist in its own mount namespace only, and its number is another there.
#[test]
fn programs_in_namespaces_of_their_own_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "shape", &["-fomit-frame-pointer"]);
    let inner = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs none \"$1\" && cp \"$0\" \"$1/pw-inner\" && exec \"$1/pw-inner\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]);
    let unshared = command.arg(&program).arg(inner.path()).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut unshared) = unshared.map(Running) else {
        println!("SKIPPED: programs_in_namespaces_of_their_own_are_named: there is no unshare");
        return;
    };
    let children = format!("/proc/{0}/task/{0}/children", unshared.0.id());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let pid: u32 = loop {
        if let Some(status) = unshared.0.try_wait().unwrap() {
            println!(
                "SKIPPED: programs_in_namespaces_of_their_own_are_named: namespaces are not allowed: {status}"
            );
            return;
        }
        let child = std::fs::read_to_string(&children).unwrap_or_default();
        let name = std::fs::read_to_string(format!("/proc/{}/comm", child.trim())).unwrap_or_default();
        if name.trim() == "pw-inner" {
            break child.trim().parse().unwrap();
        }
        assert!(std::time::Instant::now() < deadline, "it does not start: {child:?} {name:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let Some((stacks, said)) = profile(pid) else { return };
    assert!((share(&stacks, "sixty") - 60.0).abs() <= 5.0, "{said}\n{stacks:#?}");
}
