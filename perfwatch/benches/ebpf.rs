//! What the eBPF probes cost the workload: one round trip through two pipes between two processes pinned to one
//! CPU (two context switches and two wake-ups), without programs, with programs that do nothing, and with
//! probes, in turns. Needs the rights to load programs.
//!
//! `cargo bench -p perfwatch --bench ebpf [-- <rounds> [--json <file>]]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};
use perfwatch::config::Roots;
use perfwatch::snapshot::source::{Source, Tick};
use serde_json::{Map, Value, json};

/// Committed beside the probes, built from `perfwatch-ebpf/src/empty.rs`.
static EMPTY: &[u8] = aya::include_bytes_aligned!("../../perfwatch-ebpf/prebuilt/empty.o");

const TRIPS: u32 = 50_000;

enum Arm {
    Nothing,
    /// Tracepoints with an empty program each.
    Empty(&'static [&'static str]),
    /// Probes by the names of the registry; all of them if empty.
    Probes(&'static [&'static str]),
}

const ARMS: &[(&str, Arm)] = &[
    ("nothing", Arm::Nothing),
    ("empty sched_switch", Arm::Empty(&["sched_switch"])),
    ("empty sched_switch + sched_wakeup", Arm::Empty(&["sched_switch", "sched_wakeup"])),
    ("runqueue + processes", Arm::Probes(&["runqueue", "processes"])),
    ("all probes", Arm::Probes(&[])),
];

fn main() {
    if std::env::args().any(|arg| arg == "--echo") {
        return echo();
    }
    let rounds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(10usize);
    let cpu = std::thread::available_parallelism().map_or(0, |n| n.get() - 1);
    let mut trips = Trips::start(cpu);
    trips.measure();
    let mut measured: Vec<Vec<f64>> = vec![Vec::new(); ARMS.len()];
    for round in 0..rounds {
        // Each round begins with another arm, so that a drift of the machine hits all alike.
        for turn in 0..ARMS.len() {
            let number = (round + turn) % ARMS.len();
            let loaded = Loaded::load(&ARMS[number].1);
            measured[number].push(trips.measure());
            drop(loaded);
        }
    }
    println!("{TRIPS} round trips on CPU {cpu}, median of {rounds} rounds, differences within a round");
    let base = measured[0].clone();
    let mut figures = Map::new();
    for ((name, _), trips) in ARMS.iter().zip(&measured) {
        let slower: Vec<f64> = trips.iter().zip(&base).map(|(with, without)| with - without).collect();
        let percent: Vec<f64> =
            trips.iter().zip(&base).map(|(with, without)| (with / without - 1.0) * 100.0).collect();
        println!(
            "{name:36} {:7.0} ns/round trip {:+7.0} ns {:+6.1}%",
            median(trips),
            median(&slower),
            median(&percent)
        );
        let figure = json!({"round_trip_ns": median(trips), "slower_percent": median(&percent)});
        figures.insert((*name).to_owned(), figure);
    }
    figures.insert("programs".into(), per_event(&mut trips));
    if let Some(file) = json_file() {
        std::fs::write(file, Value::Object(figures).to_string()).unwrap();
    }
}

/// The argument after `--json`.
fn json_file() -> Option<String> {
    std::env::args().skip_while(|arg| arg != "--json").nth(1)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Keeps programs attached until dropped.
enum Loaded {
    Nothing,
    Empty { ebpf: Box<Ebpf> },
    Probes { sources: Vec<Box<dyn Source>> },
}

impl Loaded {
    fn load(arm: &Arm) -> Self {
        match arm {
            Arm::Nothing => Self::Nothing,
            Arm::Empty(tracepoints) => {
                let btf = Btf::from_sys_fs().unwrap();
                let mut ebpf = Ebpf::load(EMPTY).unwrap();
                for tracepoint in *tracepoints {
                    let program = ebpf.program_mut(&tracepoint.replace("sched", "empty")).unwrap();
                    let program: &mut BtfTracePoint = program.try_into().unwrap();
                    program.load(tracepoint, &btf).unwrap();
                    program.attach().unwrap();
                }
                Self::Empty { ebpf: Box::new(ebpf) }
            }
            Arm::Probes(names) => {
                let mut sources = perfwatch::probes::all(&Roots::default(), 100.0);
                sources.retain(|source| names.is_empty() || names.contains(&source.name()));
                for source in &mut sources {
                    source.sample(&tick("the beginning")).unwrap();
                }
                Self::Probes { sources }
            }
        }
    }
}

fn tick(moment: &str) -> Tick {
    Tick { timestamp: moment.into(), interval: Duration::from_secs(1) }
}

/// The kernel's accounting of each program while the round trips go on; it adds about 30 ns to each run.
fn per_event(trips: &mut Trips) -> Value {
    let Ok(stats) = aya::sys::enable_stats(aya::sys::Stats::RunTime) else {
        println!("no figures per event: BPF_ENABLE_STATS is not permitted here");
        return Value::Null;
    };
    println!("by the kernel's own accounting:");
    let mut figures = Map::new();
    let empty = Loaded::load(&Arm::Empty(&["sched_switch", "sched_wakeup"]));
    trips.measure();
    if let Loaded::Empty { ebpf } = &empty {
        for (name, program) in ebpf.programs() {
            let Ok(info) = program.info() else { continue };
            let time = u64::try_from(info.run_time().as_nanos()).unwrap();
            print_program(name, info.run_count(), time, &mut figures);
        }
    }
    drop(empty);
    let mut probes = Loaded::load(&Arm::Probes(&[]));
    let began = Instant::now();
    trips.measure();
    let elapsed = began.elapsed().as_nanos() as f64;
    let mut total = 0;
    if let Loaded::Probes { sources } = &mut probes {
        for source in sources {
            source.sample(&tick("the end")).unwrap();
            for program in source.report().programs {
                let (Some(runs), Some(time)) = (program.run_count, program.run_time_ns) else { continue };
                // Two documents may share programs; and what the kernel has not counted did not run.
                if runs > 0 && !figures.contains_key(&program.name) {
                    total += time;
                    print_program(&program.name, runs, time, &mut figures);
                }
            }
        }
    }
    drop(stats);
    let percent = total as f64 / elapsed * 100.0;
    println!("  all probes together {percent:.2}% of one CPU");
    figures.insert("all_probes_of_one_cpu_percent".into(), percent.into());
    Value::Object(figures)
}

fn print_program(name: &str, runs: u64, time_ns: u64, figures: &mut Map<String, Value>) {
    let each = time_ns as f64 / runs.max(1) as f64;
    println!("  {name:36} {each:6.0} ns/run, {runs} runs");
    figures.insert(name.to_owned(), json!({"per_run_ns": each}));
}

/// The other end of the pipes: sends every byte back.
fn echo() {
    let mut byte = [0];
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), unbuffered_stdout());
    while stdin.read_exact(&mut byte).is_ok() && stdout.write_all(&byte).is_ok() {}
}

fn unbuffered_stdout() -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open("/proc/self/fd/1").unwrap()
}

struct Trips {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Trips {
    fn start(cpu: usize) -> Self {
        let mut set = rustix::thread::CpuSet::new();
        set.set(cpu);
        rustix::thread::sched_setaffinity(None, &set).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--echo")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from }
    }

    /// ns per round trip: the fastest tenth of short batches, since other work on the machine only adds.
    fn measure(&mut self) -> f64 {
        const BATCH: u32 = 500;
        let mut batches: Vec<f64> = (0..TRIPS / BATCH)
            .map(|_| {
                let began = Instant::now();
                let mut byte = [7];
                for _ in 0..BATCH {
                    self.to.write_all(&byte).unwrap();
                    self.from.read_exact(&mut byte).unwrap();
                }
                began.elapsed().as_nanos() as f64 / f64::from(BATCH)
            })
            .collect();
        batches.sort_by(f64::total_cmp);
        let fastest = batches.len() / 10;
        batches[..fastest].iter().sum::<f64>() / fastest as f64
    }
}

impl Drop for Trips {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
