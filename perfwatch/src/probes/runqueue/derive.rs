//! Document `scheduler`: how long tasks waited for a CPU, and how long they were off it.

use serde::Serialize;

use crate::probes::sched::interval::{CpuInterval, Interval};
use crate::snapshot::derive::{percent, round};
use crate::snapshot::latency::{Latency, micros};

/// All fields are `null` in the first document, which has no interval yet.
#[derive(Debug, Default, Serialize)]
pub struct Scheduler {
    pub elapsed_ms: Option<f64>,
    pub context_switches: Option<u64>,
    pub context_switches_per_sec: Option<f64>,
    /// Times a task ran on a different CPU than before.
    pub migrations: Option<u64>,
    pub migrations_per_sec: Option<f64>,
    /// Time spent waiting, summed over tasks, in ms per second.
    pub runqueue_wait_ms_per_sec: Option<f64>,
    /// Times a task got a CPU and its wait was unknown; not part of the histograms.
    pub runqueue_wait_unknown: Option<u64>,
    /// From runnable to running: after waking up and after being preempted.
    pub runqueue_wait: Option<Latency>,
    pub runqueue_wait_woken: Option<Latency>,
    pub runqueue_wait_preempted: Option<Latency>,
    /// From when a task blocked until it ran again, including the wait for a CPU.
    pub off_cpu: Option<Latency>,
    pub per_cpu: Vec<PerCpu>,
}

#[derive(Debug, Serialize, PartialEq)]
pub struct PerCpu {
    pub cpu: u32,
    pub context_switches_per_sec: Option<f64>,
    /// Share of the time that a task ran.
    pub busy_percent: Option<f64>,
    pub runqueue_wait_p99_us: Option<f64>,
    pub runqueue_wait_max_us: Option<f64>,
}

/// Derives the document; without an interval everything is `null`.
pub fn derive(interval: Option<&Interval>) -> Scheduler {
    let Some(interval) = interval else { return Scheduler::default() };
    let totals = interval.totals();
    let per_sec = |count: u64| per_second(count, interval);
    let woken = interval.merged(|cpu| &cpu.woken);
    let preempted = interval.merged(|cpu| &cpu.preempted);
    let mut all = woken.clone();
    let same_unit = all.merge(&preempted);
    debug_assert!(same_unit, "both are of times");
    Scheduler {
        elapsed_ms: Some(round(interval.elapsed.as_secs_f64() * 1e3, 3)),
        context_switches: Some(totals.usage.switches),
        context_switches_per_sec: per_sec(totals.usage.switches),
        migrations: Some(totals.migrations),
        migrations_per_sec: per_sec(totals.migrations),
        runqueue_wait_ms_per_sec: per_sec(totals.usage.wait_ns).map(|ns| round(ns / 1e6, 3)),
        runqueue_wait_unknown: Some(totals.unknown_waits),
        runqueue_wait: Some(Latency::of(all)),
        runqueue_wait_woken: Some(Latency::of(woken)),
        runqueue_wait_preempted: Some(Latency::of(preempted)),
        off_cpu: Some(Latency::of(interval.merged(|cpu| &cpu.off_cpu))),
        per_cpu: interval.cpus.iter().map(|cpu| per_cpu(cpu, interval)).collect(),
    }
}

fn per_second(count: u64, interval: &Interval) -> Option<f64> {
    let seconds = interval.elapsed.as_secs_f64();
    (seconds > 0.0).then(|| round(count as f64 / seconds, 3))
}

fn per_cpu(cpu: &CpuInterval, interval: &Interval) -> PerCpu {
    let mut waits = cpu.woken.clone();
    let same_unit = waits.merge(&cpu.preempted);
    debug_assert!(same_unit, "both are of times");
    let elapsed = u64::try_from(interval.elapsed.as_nanos()).unwrap_or(u64::MAX);
    PerCpu {
        cpu: cpu.cpu,
        context_switches_per_sec: per_second(cpu.totals.usage.switches, interval),
        busy_percent: percent(cpu.totals.usage.cpu_ns, elapsed).map(|p| round(p.min(100.0), 2)),
        runqueue_wait_p99_us: waits.quantile(0.99).map(micros),
        runqueue_wait_max_us: (waits.count() > 0).then(|| micros(waits.max())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::sched::interval::Totals;
    use crate::snapshot::histogram::{Histogram, Unit};
    use perfwatch_common::histogram::{Buckets, index};
    use perfwatch_common::sched::{Cpu, SWITCH};
    use std::time::Duration;

    fn idle() -> Cpu {
        Cpu {
            epoch: 0,
            current: 0,
            touched: 0,
            migrations: 0,
            cpu_ns: 0,
            wait_ns: 0,
            unknown_waits: 0,
            evicted: 0,
            forks: 0,
            exits: 0,
            read_bytes: 0,
            write_bytes: 0,
            replaced: 0,
            pace: perfwatch_common::waits::Pace::default(),
            costs: perfwatch_common::cost::Costs::default(),
            counters: [0; 5],
            seen: [perfwatch_common::counters::Reading { counter: 0, enabled: 0, running: 0 }; 5],
            share: perfwatch_common::sched::Share::default(),
            woken: Buckets::EMPTY,
            preempted: Buckets::EMPTY,
            off_cpu: Buckets::EMPTY,
        }
    }

    fn switch(cpu: &mut Cpu, times: u32) {
        for _ in 0..times {
            cpu.costs.count(SWITCH);
        }
    }

    fn added(before: &Buckets, after: &Buckets) -> Histogram {
        let counts = (0..).zip(before.counts.iter().zip(&after.counts));
        let grown = counts.map(|(bucket, (before, after))| (bucket, after - before));
        Histogram::from_counts(Unit::Nanoseconds, grown, after.sum - before.sum, after.max)
    }

    fn record(buckets: &mut Buckets, value: u64) {
        buckets.counts[usize::from(index(value))] += 1;
        buckets.sum += value;
        buckets.max = buckets.max.max(value);
    }

    #[test]
    fn the_first_document_claims_nothing() {
        let json = serde_json::to_value(derive(None)).unwrap();
        assert!(json["context_switches"].is_null() && json["runqueue_wait"].is_null());
    }

    #[test]
    fn only_what_the_interval_added_is_shown() {
        let mut before = idle();
        switch(&mut before, 100);
        before.cpu_ns = 5_000;
        record(&mut before.woken, 1 << 40);
        let mut after = before;
        switch(&mut after, 50);
        after.cpu_ns += 500_000_000;
        after.wait_ns += 12_000;
        after.woken.max = 0; // taken at the last reading
        record(&mut after.woken, 10_000);
        record(&mut after.preempted, 2_000);
        record(&mut after.off_cpu, 3_000_000_000); // over 2^31 ns

        let interval = Interval {
            elapsed: Duration::from_secs(1),
            cpus: vec![CpuInterval {
                cpu: 3,
                totals: Totals::of(&after).since(&Totals::of(&before)),
                woken: added(&before.woken, &after.woken),
                preempted: added(&before.preempted, &after.preempted),
                off_cpu: added(&before.off_cpu, &after.off_cpu),
            }],
            ..Interval::default()
        };
        let document = derive(Some(&interval));
        assert_eq!(document.context_switches, Some(50));
        let wait = document.runqueue_wait.unwrap();
        assert_eq!((wait.histogram.count(), wait.histogram.sum(), wait.max_us), (2, 12_000, Some(10.0)));
        assert_eq!(document.runqueue_wait_woken.unwrap().histogram.count(), 1);
        let off = document.off_cpu.unwrap();
        assert_eq!(off.max_us, Some(3_000_000.0));
        assert_eq!(document.per_cpu[0].busy_percent, Some(50.0));
        assert_eq!(document.runqueue_wait_ms_per_sec, Some(0.012));
    }
}
