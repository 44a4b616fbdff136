use super::*;
use proptest::prelude::*;

fn pmu(name: &str) -> Pmu {
    Pmu { name: name.into(), absent: [const { None }; SLOTS], counted_as: [None; SLOTS] }
}

fn context(pmus: &[Pmu]) -> Context<'_> {
    Context {
        cpu_cores: "all",
        interval: Duration::from_secs(1),
        sample_time: Duration::from_secs(7),
        pmus,
        nmi_watchdog: false,
    }
}

/// A CPU whose every slot counted `counter` over 1000 ns, `running` of them on the PMU; busy for half of them.
fn cpu(cpu: u32, counter: u64, running: u64) -> CpuInterval {
    let previous = [Reading { counter: 10, enabled: 100, running: 100 }; SLOTS];
    let current = [Reading { counter: 10 + counter, enabled: 1100, running: 100 + running }; SLOTS];
    CpuInterval { cpu, pmu: 0, busy: Some(Duration::from_nanos(500)), previous, current }
}

#[test]
fn every_event_has_a_slot_and_all_slots_are_used() {
    assert_eq!(slots().count(), SLOTS);
    for event in EVENTS {
        first_slot_of(event);
    }
    derive(&context(&[pmu("cpu")]), &[cpu(0, 1, 1000)]); // walks every constant lookup
}

#[test]
fn counts_are_summed_over_cpus_and_scaled_by_their_running_time() {
    let document = derive(&context(&[pmu("cpu")]), &[cpu(0, 500, 1000), cpu(1, 500, 250)]);
    let cycles = &document.events["cycles"];
    assert_eq!(cycles.value, Some(500.0 + 2000.0));
    assert_eq!(cycles.running_ratio, Some(0.625));
    assert!(document.available && document.hardware_available);
    assert_eq!(document.derived.ipc, Some(1.0));
    assert_eq!(document.derived.llc_mpki, Some(1000.0));
}

#[test]
fn an_event_that_never_ran_is_null_with_that_reason() {
    let document = derive(&context(&[pmu("cpu")]), &[cpu(0, 500, 1000), cpu(1, 0, 0)]);
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
    let document = derive(&context(&[Pmu { absent, ..pmu("") }]), &[cpu(0, 500, 1000)]);
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
    let document = derive(&context(&[pmu("cpu")]), &[one]);
    assert_eq!(document.events["cpu-clock"].value, Some(1.5));
    assert_eq!(document.events["cpu-clock"].unit, "msec");
}

#[test]
fn without_a_new_reading_nothing_is_claimed() {
    let document = derive(&context(&[pmu("cpu")]), &[]);
    assert!(!document.available);
    assert_eq!(document.events["cpu-clock"].error.as_deref(), Some(NO_READING));
    assert_eq!(document.missing_events.len(), EVENTS.len());
}

#[test]
fn a_group_fits_a_pmu_of_four_counters_of_which_the_watchdog_holds_one() {
    assert!(GROUPS[1..].iter().all(|group| group.len() <= 3));
}

#[test]
fn who_else_holds_a_counter_is_told_when_a_group_never_ran() {
    let pmus = [pmu("cpu")];
    let context = Context { nmi_watchdog: true, ..context(&pmus) };
    let document = derive(&context, &[cpu(0, 0, 0)]);
    let error = document.events["cycles"].error.as_deref().unwrap();
    assert!(error.starts_with(NEVER_RAN) && error.contains("nmi_watchdog=0"), "{error}");
}

#[test]
fn hybrid_cores_are_summed_and_told_apart() {
    let pmus = [pmu("cpu_core"), pmu("cpu_atom")];
    let atom = CpuInterval { pmu: 1, ..cpu(4, 200, 1000) };
    let document = derive(&context(&pmus), &[cpu(0, 500, 1000), cpu(1, 300, 1000), atom]);
    assert_eq!(document.events["cycles"].value, Some(1000.0));
    let value = |pmu: &str| document.pmus[pmu].events["cycles"].value;
    assert_eq!((value("cpu_core"), value("cpu_atom")), (Some(800.0), Some(200.0)));
    assert_eq!(document.pmus["cpu_core"].cpus, "0-1");
}

#[test]
fn what_one_kind_of_core_lacks_is_no_total_but_the_other_kind_still_counts_it() {
    let (loads, misses) = (first_slot_of("L1-icache-loads"), first_slot_of("LLC-load-misses"));
    let mut pmus = [pmu("cpu_core"), pmu("cpu_atom")];
    pmus[0].absent[loads] = Some(Absent::Unsupported("not offered".into()));
    pmus[1].counted_as[misses] = Some("cache-misses");
    let atom = CpuInterval { pmu: 1, ..cpu(4, 200, 1000) };
    let document = derive(&context(&pmus), &[cpu(0, 500, 1000), atom]);
    let total = &document.events["L1-icache-loads"];
    assert_eq!(total.value, None);
    assert!(total.error.as_deref().unwrap().starts_with("cpu_core: not offered"), "{total:?}");
    assert_eq!(document.unsupported_events, ["L1-icache-loads"]);
    assert_eq!(document.pmus["cpu_atom"].events["L1-icache-loads"].value, Some(200.0));
    assert_eq!(document.pmus["cpu_core"].events["L1-icache-loads"].value, None);
    assert_eq!(document.counted_as["LLC-load-misses"], "cache-misses");
    assert_eq!(document.pmus["cpu_core"].counted_as.len(), 0);
}

#[test]
fn frequency_is_cycles_per_time_not_idle() {
    let document = derive(&context(&[pmu("cpu")]), &[cpu(0, 1500, 1000), cpu(1, 500, 1000)]);
    assert_eq!(document.per_cpu[0].frequency_mhz, Some(3000.0));
    assert_eq!(document.derived.frequency_mhz, Some(2000.0));
    let unknown = CpuInterval { busy: None, ..cpu(0, 1500, 1000) };
    let document = derive(&context(&[pmu("cpu")]), &[unknown]);
    assert_eq!((document.per_cpu[0].frequency_mhz, document.derived.frequency_mhz), (None, None));
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
