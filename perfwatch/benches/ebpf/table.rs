//! Cost of reading the task table with ten thousand processes.
#![allow(unsafe_code)] // fork creates minimal processes

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use perfwatch::snapshot::source::Source;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use crate::{median, probes, tick};

const PROCESSES: usize = 10_000;
const TICKS: usize = 5;
/// How often each active process wakes up: a few times per tick of a second.
const PAUSE: Duration = Duration::from_millis(300);

/// One sample with only the machine's own processes, one with ten thousand sleeping ones, and one with ten thousand
/// that are active in every tick. The floor is one pread of `stat` per process, the least that asking the kernel takes.
pub fn measure() -> Value {
    println!("\nreading the table of tasks, medians of {TICKS} ticks of a second");
    println!(
        "{:24} {:>8} {:>8} {:>8} {:>9} {:>8}",
        "processes", "CPU µs", "floor µs", "active", "syscalls", "evicted"
    );
    let mut figures = Map::new();
    for (name, processes, active) in
        [("the machine's own", 0, false), ("sleeping", PROCESSES, false), ("active", PROCESSES, true)]
    {
        let crowd = Crowd::start(processes, active);
        let measured = sample(processes * usize::from(active));
        let floor = floor();
        let calls = system_calls();
        drop(crowd);
        println!(
            "{name:24} {:8.0} {floor:8.0} {:8} {:>9} {:8}",
            measured.us,
            measured.active,
            calls.map_or_else(|| "-".to_owned(), |calls| format!("{calls:.1}")),
            measured.evicted,
        );
        let mut figure = json!({
            "tick_us": measured.us, "floor_tick_us": floor, "active_per_tick": measured.active,
            "evicted_per_tick": measured.evicted,
        });
        if let Some(calls) = calls {
            figure["system_calls"] = calls.into();
        }
        figures.insert(name.to_owned(), figure);
    }
    Value::Object(figures)
}

struct Measured {
    us: f64,
    active: u64,
    evicted: u64,
}

/// Samples a few ticks; at least `expected` processes must have been active in the busiest.
fn sample(expected: usize) -> Measured {
    let mut source = loaded();
    let (mut costs, mut active, mut evicted) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TICKS {
        std::thread::sleep(Duration::from_secs(1));
        let began = thread_us();
        let reading = source.sample(&tick()).unwrap();
        costs.push(thread_us() - began);
        let document: Value = serde_json::from_slice(&reading.json()).unwrap();
        adds_up(&document);
        active.push(document["active"].as_u64().unwrap());
        evicted.push(document["evicted"].as_u64().unwrap());
    }
    active.sort_unstable();
    evicted.sort_unstable();
    let most = active[TICKS - 1];
    assert!(most >= expected as u64, "{most} of {expected} processes were seen in the fullest tick");
    Measured { us: median(&costs), active: active[TICKS / 2], evicted: evicted[TICKS / 2] }
}

/// The probe after its first sample, in which everything is new.
fn loaded() -> Box<dyn Source> {
    let mut source = probes(&["processes"]).pop().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    source.sample(&tick()).unwrap();
    source
}

/// Totals equal the sum of the parts and the rest, except for rounding.
fn adds_up(document: &Value) {
    let total = document["total"]["cpu_percent"].as_f64().unwrap();
    for (list, rest) in [("top", "other"), ("cgroups", "other_cgroups")] {
        let rows = document[list].as_array().unwrap();
        let listed: f64 = rows.iter().map(|row| row["cpu_percent"].as_f64().unwrap()).sum();
        let sum = listed + document[rest]["cpu_percent"].as_f64().unwrap();
        let rounding = 0.0005 * (rows.len() + 2) as f64 + 1e-6;
        assert!((sum - total).abs() <= rounding, "{list} and {rest} are {sum}% of the total {total}%");
    }
}

/// CPU µs of one pread of each process's `stat` into one buffer.
fn floor() -> f64 {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: most, maximum: most }).unwrap();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let stats: Vec<File> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            // A process may just have exited.
            is_process(&entry.file_name().to_string_lossy())
                .then(|| File::open(entry.path().join("stat")).ok())?
        })
        .collect();
    let mut buffer = [0; 4096];
    let mut costs = Vec::new();
    for _ in 0..TICKS {
        std::thread::sleep(Duration::from_millis(200));
        let began = thread_us();
        for stat in &stats {
            let _ = stat.read_at(&mut buffer, 0);
        }
        costs.push(thread_us() - began);
    }
    median(&costs)
}

/// System calls per tick, counted by strace on this program's own ticks: the difference between two runs divided by
/// their difference in ticks. `None` if strace is not available.
fn system_calls() -> Option<f64> {
    const FEW: usize = 1;
    const MANY: usize = 4;
    let count = |ticks: usize| -> Option<f64> {
        let report = std::env::current_exe().ok()?.with_extension("strace");
        let mut strace = Command::new("strace");
        strace.args(["-c", "-U", "calls,name", "-o"]).arg(&report);
        strace.arg(std::env::current_exe().ok()?).args([FLAG_TICKS, &ticks.to_string()]);
        let ran = strace.stderr(Stdio::null()).status().ok()?.success();
        let text = std::fs::read_to_string(&report).ok();
        let _ = std::fs::remove_file(&report);
        let text = text.filter(|_| ran)?;
        let total = text.lines().find_map(|line| line.trim_end().strip_suffix("total"))?;
        total.trim().parse().ok()
    };
    Some((count(MANY)? - count(FEW)?) / (MANY - FEW) as f64)
}

/// First argument of the program whose system calls are counted.
pub const FLAG_TICKS: &str = "--table-ticks";

/// Runs as that program.
pub fn ticks(count: &str) {
    let mut source = loaded();
    for _ in 0..count.parse().unwrap() {
        std::thread::sleep(Duration::from_secs(1));
        source.sample(&tick()).unwrap();
    }
}

/// Processes that are idle, or nearly so, until dropped.
struct Crowd(Option<Child>);

/// First argument of the parent of all these processes.
pub const FLAG_CROWD: &str = "--crowd";

impl Crowd {
    fn start(processes: usize, active: bool) -> Self {
        if processes == 0 {
            return Self(None);
        }
        let mut leader = Command::new(std::env::current_exe().unwrap())
            .args([FLAG_CROWD, &processes.to_string(), if active { "active" } else { "sleeping" }])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0];
        leader.stdout.as_mut().unwrap().read_exact(&mut ready).expect("the processes could not be started");
        Self(Some(leader))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(leader) = &mut self.0 {
            // At the end of its input the leader kills all of them; if it is gone, they exit by themselves.
            drop(leader.stdin.take());
            let _ = leader.wait();
        }
    }
}

/// The leader: creates the processes, reports it, and kills them when its input ends.
pub fn crowd(processes: &str, what: &str) {
    let active = what == "active";
    let mut children = Vec::new();
    for _ in 0..processes.parse().unwrap() {
        // SAFETY: this process has one thread, and the child only makes system calls.
        match unsafe { libc::fork() } {
            0 => live(active),
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            child => children.push(child),
        }
    }
    std::io::stdout().write_all(b"!").unwrap();
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    for &child in &children {
        // SAFETY: the child has not been waited for, so its PID can't have been reused.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
    for child in children {
        // SAFETY: the status pointer may be null.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
}

fn live(active: bool) -> ! {
    // SAFETY: system calls that don't access our memory; the child dies with its leader.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    loop {
        if active {
            std::thread::sleep(PAUSE);
        } else {
            // SAFETY: no preconditions.
            unsafe { libc::pause() };
        }
    }
}

fn thread_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}
