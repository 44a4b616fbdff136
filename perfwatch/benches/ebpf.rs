//! Measures the cost of the eBPF programs, compared with the lowest possible cost.
//!
//! First the effect on a workload: a round trip through two pipes between two processes pinned to one CPU (two context
//! switches and two wake-ups), in turns without programs, with empty programs, with programs that only call the helpers
//! ours must call, and with the probes. Then each program against its floor, both attached to the same tracepoint, so
//! that both see the same events. Before these, all probes on an idle machine, and reading the task table with ten
//! thousand processes. Needs the rights to load programs.
//!
//! `cargo bench -p perfwatch --bench ebpf [-- <rounds> [--json <file>]]`
#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

#[path = "ebpf/idle.rs"]
mod idle;
#[path = "ebpf/programs.rs"]
mod programs;
#[path = "ebpf/table.rs"]
mod table;
#[path = "ebpf/trips.rs"]
mod trips;
#[path = "ebpf/workload.rs"]
mod workload;

use perfwatch::config::Roots;
use perfwatch::snapshot::source::{Source, Tick};
use serde_json::{Map, Value, json};

use programs::Floor;
use trips::{TRIPS, Trips};

enum Arm {
    Nothing,
    /// Floor programs, by name and tracepoint.
    Floor(&'static [(&'static str, &'static str)]),
    /// Probes by registry name; all if empty.
    Probes(&'static [&'static str]),
}

const ARMS: &[(&str, Arm)] = &[
    ("nothing", Arm::Nothing),
    ("empty sched_switch", Arm::Floor(&[("empty_switch", "sched_switch")])),
    (
        "empty sched_switch + sched_wakeup",
        Arm::Floor(&[("empty_switch", "sched_switch"), ("empty_wakeup", "sched_wakeup")]),
    ),
    ("floor of sched_switch", Arm::Floor(&[("switch", "sched_switch")])),
    ("runqueue + processes", Arm::Probes(&["runqueue", "processes"])),
    ("counters", Arm::Probes(&["counters"])),
    ("all probes", Arm::Probes(&[])),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--echo"] => return trips::echo(),
        ["--exit"] => return,
        [table::FLAG_CROWD, processes, what] => return table::crowd(processes, what),
        [table::FLAG_TICKS, count] => return table::ticks(count),
        _ => {}
    }
    let rounds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(10usize);
    let cpu = std::thread::available_parallelism().map_or(0, |n| n.get() - 1);
    // Before anything is pinned to a CPU.
    let (idle, table) = (idle::measure(), table::measure());
    let mut trips = Trips::start(cpu);
    trips.measure();
    let mut figures = round_trips(&mut trips, rounds, cpu);
    figures.extend([("idle".into(), idle), ("table".into(), table)]);
    figures.insert("programs".into(), programs::beside_their_floors(&mut trips, rounds));
    if let Some(file) = json_file() {
        std::fs::write(file, Value::Object(figures).to_string()).unwrap();
    }
}

/// The argument after `--json`.
fn json_file() -> Option<String> {
    std::env::args().skip_while(|arg| arg != "--json").nth(1)
}

fn round_trips(trips: &mut Trips, rounds: usize, cpu: usize) -> Map<String, Value> {
    let mut measured: Vec<Vec<f64>> = vec![Vec::new(); ARMS.len()];
    for round in 0..rounds {
        // Each round starts with a different arm, so that machine drift affects all equally.
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
        let figure = json!({
            "round_trip_ns": median(trips), "slower_ns": median(&slower), "slower_percent": median(&percent),
        });
        figures.insert((*name).to_owned(), figure);
    }
    figures
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Keeps programs attached until dropped.
enum Loaded {
    Nothing,
    Floor { _floor: Floor },
    Probes { _sources: Vec<Box<dyn Source>> },
}

impl Loaded {
    fn load(arm: &Arm) -> Self {
        match arm {
            Arm::Nothing => Self::Nothing,
            Arm::Floor(programs) => Self::Floor { _floor: Floor::attach(programs) },
            Arm::Probes(names) => Self::Probes { _sources: probes(names) },
        }
    }
}

/// The named probes, or all, while counting.
fn probes(names: &[&str]) -> Vec<Box<dyn Source>> {
    let mut sources = perfwatch::probes::all(&Roots::default(), perfwatch::probes::Options::UNLIMITED);
    sources.retain(|source| names.is_empty() || names.contains(&source.name()));
    for source in &mut sources {
        source.sample(&tick()).unwrap();
    }
    sources
}

fn tick() -> Tick {
    Tick::new(std::time::SystemTime::now().into(), std::time::Duration::from_secs(1))
}
