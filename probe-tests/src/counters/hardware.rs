//! Hardware counters read in eBPF, against group reads of the same events in user space and against a loop
//! whose instructions are known. Guests with an emulated PMU run these too, with counts that repeat exactly.

use anyhow::{Context, Result, ensure};
use perf_event::events::Hardware;
use perf_event::{Builder, Counter, ReadFormat};

use super::{loaded, value};
use crate::probe::Probe;
use crate::{Test, Verdict, load};

pub const TESTS: &[Test] = &[
    Test { name: "counters::hardware_counts_match_group_reads", run: hardware_counts_match_group_reads },
    Test { name: "counters::hardware_instructions_of_a_known_loop", run: instructions_of_a_known_loop },
];

const ROUNDS: u64 = 50_000_000;

/// The probe, if this machine has a PMU.
fn with_pmu() -> Result<Option<Probe>> {
    let mut probe = loaded()?;
    let document = probe.next()?;
    Ok((document["hardware_available"] == true).then_some(probe))
}

fn no_pmu() -> Result<Verdict> {
    Ok(Verdict::Skipped("no hardware PMU is visible: cycles are not counted here".into()))
}

/// Cycles and instructions of every CPU, read from user space.
struct Groups(Vec<[Counter; 2]>);

impl Groups {
    fn open() -> Result<Self> {
        let open = |cpu| {
            let builder = |event| {
                let mut builder = Builder::new(event);
                builder.any_pid().one_cpu(cpu).include_kernel().include_hv();
                builder
            };
            let mut leader =
                builder(Hardware::CPU_CYCLES).read_format(ReadFormat::GROUP).enabled(false).build()?;
            let member = builder(Hardware::INSTRUCTIONS).enabled(true).build_with_group(&mut leader)?;
            leader.enable()?;
            Ok([leader, member])
        };
        (0..load::cpus()?).map(open).collect::<Result<_>>().map(Self)
    }

    /// Totals of all CPUs.
    fn read(&mut self) -> Result<[f64; 2]> {
        let mut totals = [0.0; 2];
        for [leader, member] in &mut self.0 {
            let data = leader.read_group()?;
            for (total, counter) in totals.iter_mut().zip([&*leader, &*member]) {
                *total += data.get(counter).context("a counter is missing from its group")?.value() as f64;
            }
        }
        Ok(totals)
    }
}

fn hardware_counts_match_group_reads() -> Result<Verdict> {
    const TOLERANCE_PERCENT: f64 = 1.0;
    let Some(mut probe) = with_pmu()? else { return no_pmu() };
    let mut groups = Groups::open()?;
    probe.next()?;
    let before = groups.read()?;
    load::count_down(ROUNDS)?;
    let document = probe.next()?;
    let after = groups.read()?;
    let mut words = Vec::new();
    for (at, event) in ["cycles", "instructions"].into_iter().enumerate() {
        let (counted, independent) = (value(&document, event)?, after[at] - before[at]);
        let off = (counted / independent - 1.0) * 100.0;
        words.push(format!("{counted} {event} in eBPF, {independent} by group reads ({off:+.3}%)"));
        ensure!(
            off.abs() <= TOLERANCE_PERCENT,
            "{}; at most {TOLERANCE_PERCENT}% is accepted",
            words.join(", ")
        );
    }
    Ok(Verdict::Passed(words.join(", ")))
}

fn instructions_of_a_known_loop() -> Result<Verdict> {
    const TOLERANCE_PERCENT: f64 = 1.0;
    if load::in_guest() && load::cpus()? > 1 {
        return Ok(Verdict::Skipped("each emulated CPU counts the instructions of all".into()));
    }
    let Some(mut probe) = with_pmu()? else { return no_pmu() };
    let idle = value(&probe.next()?, "instructions")?;
    let executed = load::count_down(ROUNDS)? as f64;
    let busy = value(&probe.next()?, "instructions")?;
    let off = ((busy - idle) / executed - 1.0) * 100.0;
    let words = format!("{executed} instructions executed, {} counted in eBPF ({off:+.3}%)", busy - idle);
    if load::in_guest() {
        ensure!(off.abs() <= TOLERANCE_PERCENT, "{words}; at most {TOLERANCE_PERCENT}% is accepted");
    } else {
        // Other programs run here too, and their share changes from tick to tick.
        ensure!(busy >= executed, "{words}");
    }
    Ok(Verdict::Passed(words))
}
