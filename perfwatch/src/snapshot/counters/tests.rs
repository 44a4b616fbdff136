use super::*;
use proptest::prelude::*;

const NONE: [Option<Absent>; SLOTS] = [const { None }; SLOTS];

fn context(absent: &[Option<Absent>; SLOTS]) -> Context<'_> {
    Context {
        cpu_cores: "all",
        interval: Duration::from_secs(1),
        sample_time: Duration::from_secs(7),
        absent,
    }
}

/// A CPU whose every slot counted `counter` over 1000 ns, `running` of them on the PMU.
fn cpu(cpu: u32, counter: u64, running: u64) -> CpuInterval {
    let previous = [Reading { counter: 10, enabled: 100, running: 100 }; SLOTS];
    let current = [Reading { counter: 10 + counter, enabled: 1100, running: 100 + running }; SLOTS];
    CpuInterval { cpu, previous, current }
}

#[test]
fn every_event_has_a_slot_and_all_slots_are_used() {
    assert_eq!(slots().count(), SLOTS);
    for event in EVENTS {
        first_slot_of(event);
    }
    derive(&context(&NONE), &[cpu(0, 1, 1000)]); // walks every constant lookup
}

#[test]
fn counts_are_summed_over_cpus_and_scaled_by_their_running_time() {
    let document = derive(&context(&NONE), &[cpu(0, 500, 1000), cpu(1, 500, 250)]);
    let cycles = &document.events["cycles"];
    assert_eq!(cycles.value, Some(500.0 + 2000.0));
    assert_eq!(cycles.running_ratio, Some(0.625));
    assert!(document.available && document.hardware_available);
    assert_eq!(document.derived.ipc, Some(1.0));
    assert_eq!(document.derived.llc_mpki, Some(1000.0));
}

#[test]
fn an_event_that_never_ran_is_null_with_that_reason() {
    let document = derive(&context(&NONE), &[cpu(0, 500, 1000), cpu(1, 0, 0)]);
    let cycles = &document.events["cycles"];
    assert_eq!((cycles.value, cycles.running_ratio), (None, None));
    assert_eq!(cycles.error.as_deref(), Some(NEVER_RAN));
    assert!(document.missing_events.contains(&"cycles"));
    assert_eq!(document.derived.ipc, None);
}

#[test]
fn what_the_machine_lacks_is_unsupported_and_never_zero() {
    let hardware = |(group, _)| (group > 0).then(|| Absent::Unsupported("no PMU".into()));
    let mut groups = slots();
    let absent: [Option<Absent>; SLOTS] = std::array::from_fn(|_| hardware(groups.next().unwrap()));
    let document = derive(&context(&absent), &[cpu(0, 500, 1000)]);
    assert!(document.available && !document.hardware_available);
    assert_eq!(document.unsupported_events.len(), 13);
    assert!(document.missing_events.is_empty());
    assert_eq!(document.events["instructions"].value, None);
    assert_eq!(document.events["instructions"].error.as_deref(), Some("no PMU"));
    assert_eq!(document.events["context-switches"].value, Some(500.0));
    assert_eq!(document.derived, Derived::default());
    assert_eq!(document.per_cpu[0].cycles, None);
}

#[test]
fn cpu_clock_is_in_milliseconds() {
    let mut one = cpu(0, 0, 1000);
    one.current[0].counter = one.previous[0].counter + 1_500_000;
    let document = derive(&context(&NONE), &[one]);
    assert_eq!(document.events["cpu-clock"].value, Some(1.5));
    assert_eq!(document.events["cpu-clock"].unit, "msec");
}

#[test]
fn without_a_new_reading_nothing_is_claimed() {
    let document = derive(&context(&NONE), &[]);
    assert!(!document.available);
    assert_eq!(document.events["cpu-clock"].error.as_deref(), Some(NO_READING));
    assert_eq!(document.missing_events.len(), EVENTS.len());
}

proptest! {
    #[test]
    fn no_count_is_negative_or_below_the_raw_count(
        a: (u64, u64, u64), b: (u64, u64, u64),
    ) {
        let reading = |(counter, enabled, running)| Reading { counter, enabled, running };
        if let Some(count) = count(reading(a), reading(b)) {
            prop_assert!(b.0 >= a.0 && b.2 > a.2);
            prop_assert!(count.scaled >= (b.0 - a.0) as f64);
            prop_assert!(count.scaled.is_finite());
        }
    }

    #[test]
    fn a_ratio_of_full_counts_is_exact(n in 0u64..1_000_000, d in 1u64..1_000_000) {
        let count = |value: u64| Some(Count { scaled: value as f64, enabled: 1, running: 1 });
        let expected = n as f64 / d as f64;
        prop_assert!((ratio(count(n), count(d), 1.0).unwrap() - expected).abs() <= 5e-5);
    }
}
