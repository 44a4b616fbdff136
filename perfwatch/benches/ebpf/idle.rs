//! Cost of all programs on an idle machine.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::probes;
use crate::programs::costs_of;

const TICKS: u32 = 30;

/// Share of one CPU used by all probes according to the kernel's accounting, read once a second, the server's shortest
/// interval. The machine may not be fully idle, so its own load is reported too.
pub fn measure() -> Value {
    let Ok(stats) = aya::sys::enable_stats(aya::sys::Stats::RunTime) else {
        println!("no idle share: BPF_ENABLE_STATS is not permitted here");
        return Value::Null;
    };
    let mut sources = probes(&[]);
    let total = |costs: crate::programs::Costs| costs.values().map(|(_, ns)| ns).sum::<u64>();
    let start = total(costs_of(&mut sources));
    let (began, busy) = (Instant::now(), busy_seconds());
    for _ in 0..TICKS {
        std::thread::sleep(Duration::from_secs(1));
        costs_of(&mut sources);
    }
    let taken = total(costs_of(&mut sources)) - start;
    let seconds = began.elapsed().as_secs_f64();
    let of_one_cpu = taken as f64 / (seconds * 1e9) * 100.0;
    let machine = (busy_seconds() - busy) / seconds * 100.0;
    drop(stats);
    println!(
        "\nall probes while this benchmark sleeps: {of_one_cpu:.3}% of one CPU in {seconds:.0} s, \
         the whole machine {machine:.0}%"
    );
    json!({"of_one_cpu_percent": of_one_cpu, "machine_busy_cpus": machine / 100.0})
}

/// CPU time of all CPUs except idle and iowait, in seconds.
fn busy_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<f64> =
        stat.lines().next().unwrap().split_whitespace().skip(1).map(|field| field.parse().unwrap()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let ticks = fields[..3].iter().chain(&fields[5..8]).sum::<f64>();
    ticks / rustix::param::clock_ticks_per_second() as f64
}
