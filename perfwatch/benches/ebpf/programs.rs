//! Each program compared with its floor.

use std::collections::BTreeMap;
use std::time::Instant;

use aya::maps::PerfEventArray;
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use perfwatch::snapshot::source::Source;
use serde_json::{Map, Value, json};

use crate::trips::Trips;
use crate::workload::Workload;
use crate::{median, probes, tick};

/// Committed with the probes, built from `perfwatch-ebpf/src/floor.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../perfwatch-ebpf/prebuilt/floor.o");

/// The programs that have a floor, each with its tracepoint. `oom_kill` and `flush` have none: they rarely run, or only
/// once per tick on each busy CPU.
const PROGRAMS: &[(&str, &str)] = &[
    ("switch", "sched_switch"),
    ("migrate", "sched_migrate_task"),
    ("fork", "sched_process_fork"),
    ("exec", "sched_process_exec"),
    ("exit", "sched_process_exit"),
    ("read_counters", "hrtimer_expire_entry"),
    ("issue", "block_rq_issue"),
    ("complete", "block_rq_complete"),
    ("received", "tcp_rcv_space_adjust"),
    ("state", "inet_sock_set_state"),
    ("retransmit", "tcp_retransmit_skb"),
    ("reset_sent", "tcp_send_reset"),
    ("reset_received", "tcp_receive_reset"),
    ("synack", "tcp_retransmit_synack"),
];

/// Time slices per round, some ten milliseconds each.
const SLICES: usize = 20;
/// Minimum runs of a program in a slice for its figure to be meaningful.
const ENOUGH: u64 = 10;

/// Programs on tracepoints of the object `floor`, attached until dropped.
pub struct Floor {
    ebpf: Ebpf,
    _events: PerfEventArray<aya::maps::MapData>,
}

impl Floor {
    /// Attaches programs, each to its tracepoint; those without one on this kernel are skipped.
    pub fn attach(programs: &[(&str, &str)]) -> Self {
        let btf = Btf::from_sys_fs().unwrap();
        let cpus = u32::try_from(aya::util::nr_cpus().unwrap()).unwrap();
        let counting = counting();
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("CPUS", cpus)
            .override_global("COUNTING", &counting, true)
            .load(OBJECT)
            .unwrap();
        let mut events = PerfEventArray::try_from(ebpf.take_map("EVENTS").unwrap()).unwrap();
        for cpu in aya::util::online_cpus().unwrap() {
            // The buffer is dropped at once; the event stays in the array.
            drop(events.open(cpu, None).unwrap());
        }
        for (program, tracepoint) in programs {
            let hook: &mut BtfTracePoint = ebpf.program_mut(program).unwrap().try_into().unwrap();
            match hook.load(tracepoint, &btf) {
                Ok(()) => drop(hook.attach().unwrap()),
                Err(ProgramError::Btf(_)) => {} // there is no such tracepoint
                Err(error) => panic!("the floor of {program}: {error}"),
            }
        }
        Self { ebpf, _events: events }
    }

    fn costs(&self) -> Costs {
        let cost = |(name, program): (&str, &aya::programs::Program)| {
            let info = program.info().ok()?;
            let time = u64::try_from(info.run_time().as_nanos()).unwrap();
            Some((name.to_owned(), (info.run_count(), time)))
        };
        self.ebpf.programs().filter_map(cost).collect()
    }
}

/// Bit mask with one bit per counter charged to tasks here, as the probe reports them.
fn counting() -> u32 {
    let mut sources = probes(&["processes"]);
    let reading = sources[0].sample(&tick()).unwrap();
    let document: Value = serde_json::from_slice(&reading.json()).unwrap();
    let counted = ["cycles", "instructions", "llc_mpki", "branch_mpki", "dtlb_mpki"]
        .iter()
        .filter(|field| !document["total"][field].is_null())
        .count();
    (1 << counted) - 1
}

/// Runs and their time in ns, by program.
pub type Costs = BTreeMap<String, (u64, u64)>;

/// Probes query the kernel's run time statistics once per sample.
pub fn costs_of(sources: &mut [Box<dyn Source>]) -> Costs {
    let programs = sources.iter_mut().flat_map(|source| {
        source.sample(&tick()).unwrap();
        source.report().programs
    });
    programs.map(|program| (program.name.to_owned(), (program.run_count, program.run_time_ns))).collect()
}

/// ns per run in each slice with enough runs.
#[derive(Default)]
struct Measured {
    ours: Vec<f64>,
    floor: Vec<f64>,
    runs: u64,
}

/// Records the cost of the wanted programs and their floors between two readings.
fn note(
    measured: &mut BTreeMap<String, Measured>,
    before: &(Costs, Costs),
    after: &(Costs, Costs),
    wanted: impl Fn(&str) -> bool,
) {
    for (name, ours) in after.0.iter().filter(|(name, _)| wanted(name)) {
        let runs = ours.0 - before.0[name].0;
        let program = measured.entry(name.clone()).or_default();
        program.runs += runs;
        let Some(floor) = after.1.get(name) else { continue };
        let floor_runs = floor.0 - before.1[name].0;
        if runs.min(floor_runs) >= ENOUGH {
            program.ours.push((ours.1 - before.0[name].1) as f64 / runs as f64);
            program.floor.push((floor.1 - before.1[name].1) as f64 / floor_runs as f64);
        }
    }
}

/// Uses the kernel's accounting, which adds two clock reads to each run. Every event runs both, so neither gets the
/// quieter moments; which one runs first, and warms the caches for the other, alternates by round.
pub fn beside_their_floors(trips: &mut Trips, rounds: usize) -> Value {
    let Ok(stats) = aya::sys::enable_stats(aya::sys::Stats::RunTime) else {
        println!("no figures per event: BPF_ENABLE_STATS is not permitted here");
        return Value::Null;
    };
    let workload = Workload::new();
    let mut measured: BTreeMap<String, Measured> = BTreeMap::new();
    let mut percents = Vec::new();
    for round in 0..rounds {
        let (floor, mut sources);
        if round % 2 == 0 {
            floor = Floor::attach(PROGRAMS);
            sources = probes(&[]);
        } else {
            sources = probes(&[]);
            floor = Floor::attach(PROGRAMS);
        }
        for _ in 0..SLICES {
            let start = (costs_of(&mut sources), floor.costs());
            let began = Instant::now();
            trips.batch();
            let elapsed = began.elapsed().as_nanos() as f64;
            let middle = (costs_of(&mut sources), floor.costs());
            let all = |costs: &Costs| costs.values().map(|(_, ns)| ns).sum::<u64>();
            percents.push((all(&middle.0) - all(&start.0)) as f64 / elapsed * 100.0);
            workload.run();
            let end = (costs_of(&mut sources), floor.costs());
            // `switch` from the round trips, all other programs from the workload.
            note(&mut measured, &start, &middle, |name| name == "switch");
            note(&mut measured, &middle, &end, |name| name != "switch");
        }
    }
    drop(stats);
    let percent = median(&percents);
    let mut figures = print(&measured);
    println!("all of them while nothing but round trips goes on: {percent:.2}% of one CPU");
    figures.insert("all_probes_of_one_cpu_percent".into(), percent.into());
    Value::Object(figures)
}

/// The slices in which the machine did little else: other work only adds time.
fn lowest_quarter(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted[..sorted.len().div_ceil(4)])
}

fn print(measured: &BTreeMap<String, Measured>) -> Map<String, Value> {
    println!("\nby the kernel's own accounting, median of the lowest quarter of slices of time");
    println!("{:16} {:>9} {:>9} {:>6} {:>10}", "program", "ns/event", "floor ns", "ratio", "events");
    let mut figures = Map::new();
    for (name, program) in measured {
        if program.ours.is_empty() {
            println!("{name:16} {:>9} {:>9} {:>6} {:>10}", "-", "-", "-", program.runs);
            continue;
        }
        let (ours, floor) = (lowest_quarter(&program.ours), lowest_quarter(&program.floor));
        println!("{name:16} {ours:9.0} {floor:9.0} {:6.2} {:>10}", ours / floor, program.runs);
        let figure = json!({"event_ns": ours, "floor_event_ns": floor});
        figures.insert(name.clone(), figure);
    }
    figures
}
