//! What a sample costs at least: a program that does nothing, and one that only copies the user's stack.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use aya::EbpfLoader;
use aya::programs::PerfEvent;
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use perfwatch::probes::target::REGISTERS_OF;
use serde_json::{Map, Value, json};

/// Committed with the probes, built from `perfwatch-ebpf/src/floor.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../perfwatch-ebpf/prebuilt/floor.o");

const PROGRAMS: [&str; 2] = ["empty_sample", "copy_stack"];
const HZ: u64 = 199;

/// ns a run of each, by the kernel's own account, while every CPU is busy. Both run at every sample.
pub fn measure(seconds: u64) -> Result<Map<String, Value>> {
    let _stats = aya::sys::enable_stats(aya::sys::Stats::RunTime).context("BPF_ENABLE_STATS")?;
    let cpus = u32::try_from(aya::util::nr_cpus().map_err(|(_, error)| error)?)?;
    let mut ebpf = EbpfLoader::new()
        .map_max_entries("SCRATCH", cpus)
        .override_global("ARCHITECTURE", &REGISTERS_OF, true)
        .load(OBJECT)?;
    for name in PROGRAMS {
        let program: &mut PerfEvent = ebpf.program_mut(name).context(name)?.try_into()?;
        program.load()?;
        for cpu in aya::util::online_cpus().map_err(|(_, error)| error)? {
            let clock = PerfEventConfig::Software(SoftwareEvent::CpuClock);
            let scope = PerfEventScope::AllProcessesOneCpu { cpu };
            program.attach(clock, scope, SamplePolicy::Frequency(HZ), false)?;
        }
    }
    thread::sleep(Duration::from_secs(seconds));
    let mut figures = Map::new();
    for name in PROGRAMS {
        let info = ebpf.program(name).context(name)?.info()?;
        let ns = info.run_time().as_nanos() as f64 / info.run_count().max(1) as f64;
        println!("floor {name}: {ns:.0} ns a sample ({} samples)", info.run_count());
        figures.insert(format!("{name}_ns"), json!(ns));
    }
    Ok(figures)
}
