//! The same CPU time, sampled by perf and by `perfwatch profile`.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Running, share, stacks, start};

const TIMEOUT: Duration = Duration::from_secs(60);
const FUNCTIONS: [&str; 3] = ["sixty", "thirty", "ten"];

fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The fields of `/proc/PID/stat` from the state on.
fn stat(pid: u32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect()
}

/// Seconds of CPU time.
fn cpu_time(pid: u32) -> f64 {
    let stat = stat(pid);
    let ticks: u64 = stat[11].parse::<u64>().unwrap() + stat[12].parse::<u64>().unwrap();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Starts perf, which waits for being enabled; the reason if it cannot.
fn start_perf(dir: &Path, pid: u32) -> Result<Running, String> {
    let [control, answers] = ["control", "answers"].map(|name| {
        let path = dir.join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK;
        File::from(rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap())
    });
    let fifos = format!("fifo:{},{}", dir.join("control").display(), dir.join("answers").display());
    let mut command = Command::new("perf");
    command.args([
        "record",
        "-e",
        "cpu-clock",
        "-F",
        "199",
        "--call-graph",
        "dwarf,4096",
        "-D",
        "-1",
        "--control",
        &fifos,
    ]);
    command.args(["-p", &pid.to_string(), "-o"]).arg(dir.join("perf.data"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(dir.join("said")).unwrap());
    let mut perf = command.spawn().map(Running).map_err(|error| format!("there is no perf: {error}"))?;
    (&control).write_all(b"enable\n").unwrap();
    let (mut answered, mut bytes, mut ended) = (Vec::new(), [0; 64], None);
    wait_until("perf answers", || {
        ended = perf.0.try_wait().unwrap();
        match (&answers).read(&mut bytes) {
            Ok(read) => answered.extend_from_slice(&bytes[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        ended.is_some() || answered.windows(3).any(|window| window == b"ack")
    });
    match ended {
        Some(status) => {
            let said = std::fs::read_to_string(dir.join("said")).unwrap_or_default();
            Err(format!("perf may not sample: {status}: {}", said.trim()))
        }
        None => Ok(perf),
    }
}

/// Samples, and how many of them have each function, as perf tells it.
fn told_by_perf(dir: &Path) -> (u64, [u64; 3]) {
    let mut script = Command::new("perf");
    let output =
        script.args(["script", "-F", "comm,ip,sym", "-i"]).arg(dir.join("perf.data")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let samples: Vec<&str> = text.split("\n\n").filter(|sample| !sample.trim().is_empty()).collect();
    let of = |function: &&str| {
        samples.iter().filter(|sample| sample.split_whitespace().any(|word| word == *function)).count() as u64
    };
    (samples.len() as u64, FUNCTIONS.each_ref().map(of))
}

#[test]
fn counts_and_shares_are_those_of_perf() {
    const TEST: &str = "counts_and_shares_are_those_of_perf";
    let dir = tempfile::tempdir().unwrap();
    let shape = start(dir.path(), &["-fomit-frame-pointer"]);
    let pid = shape.0.id();
    wait_until("it has begun", || cpu_time(pid) > 0.05);
    // It runs only while both look.
    signal(&shape.0, Signal::STOP);
    wait_until("it is stopped", || stat(pid)[0] == "T");
    let mut perf = match start_perf(dir.path(), pid) {
        Ok(perf) => perf,
        Err(reason) => {
            println!("SKIPPED: {TEST}: {reason}");
            return;
        }
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.args(["profile", "--hz", "199", "--seconds", "600", "--pid", &pid.to_string()]);
    let said = dir.path().join("perfwatch-said");
    command.stdout(Stdio::piped()).stderr(File::create(&said).unwrap());
    let mut own = Running(command.spawn().unwrap());
    let descriptors = format!("/proc/{}/fd", own.0.id());
    let cpus = std::thread::available_parallelism().unwrap().get();
    let mut ended = None;
    wait_until("perfwatch samples", || {
        ended = own.0.try_wait().unwrap();
        let open = std::fs::read_dir(&descriptors).into_iter().flatten().flatten();
        let links = open.filter(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("bpf_link"))
        });
        ended.is_some() || links.count() >= cpus
    });
    if ended.is_some() {
        println!("SKIPPED: {TEST}: {}", std::fs::read_to_string(&said).unwrap().trim());
        return;
    }
    let before = cpu_time(pid);
    signal(&shape.0, Signal::CONT);
    wait_until("it ran for four seconds", || cpu_time(pid) - before >= 4.0);
    signal(&shape.0, Signal::STOP);
    wait_until("it is stopped", || stat(pid)[0] == "T");
    signal(&perf.0, Signal::INT);
    signal(&own.0, Signal::INT);
    perf.0.wait().unwrap();
    let mut text = String::new();
    own.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let stacks = stacks(&text);
    let count: u64 = stacks.values().sum();
    let (samples, functions) = told_by_perf(dir.path());
    assert!(samples > 500, "perf took {samples}");
    let ratio = count as f64 / samples as f64;
    assert!((ratio - 1.0).abs() <= 0.1, "{count} samples, perf {samples}\n{stacks:#?}");
    for (function, perfs) in FUNCTIONS.iter().zip(functions) {
        let (own, perfs) = (share(&stacks, function), 100.0 * perfs as f64 / samples as f64);
        assert!((own - perfs).abs() <= 5.0, "{function}: {own} %, perf {perfs} %\n{stacks:#?}");
    }
}
