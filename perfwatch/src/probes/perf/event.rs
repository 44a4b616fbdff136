//! How each event is requested: by the kernel's generic name, on hybrid machines addressed to one PMU, or by
//! the CPU's own name if the kernel's table has no generic one.

use perf_event::Builder;
use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Hardware, Raw, Software};

use super::super::pmu::CorePmu;

pub(super) fn is_software(event: &str) -> bool {
    matches!(event, "cpu-clock" | "context-switches" | "cpu-migrations" | "page-faults")
}

/// The kernel's generic event.
pub(in super::super) fn generic(event: &str) -> Builder<'static> {
    let cache = |which, result| Builder::new(Cache { which, operation: CacheOp::READ, result });
    match event {
        "cpu-clock" => Builder::new(Software::CPU_CLOCK),
        "context-switches" => Builder::new(Software::CONTEXT_SWITCHES),
        "cpu-migrations" => Builder::new(Software::CPU_MIGRATIONS),
        "page-faults" => Builder::new(Software::PAGE_FAULTS),
        "cycles" => Builder::new(Hardware::CPU_CYCLES),
        "instructions" => Builder::new(Hardware::INSTRUCTIONS),
        "branches" => Builder::new(Hardware::BRANCH_INSTRUCTIONS),
        "branch-misses" => Builder::new(Hardware::BRANCH_MISSES),
        "L1-dcache-loads" => cache(CacheId::L1D, CacheResult::ACCESS),
        "L1-dcache-load-misses" => cache(CacheId::L1D, CacheResult::MISS),
        "LLC-loads" => cache(CacheId::LL, CacheResult::ACCESS),
        "LLC-load-misses" => cache(CacheId::LL, CacheResult::MISS),
        "L1-icache-loads" => cache(CacheId::L1I, CacheResult::ACCESS),
        "dTLB-loads" => cache(CacheId::DTLB, CacheResult::ACCESS),
        "dTLB-load-misses" => cache(CacheId::DTLB, CacheResult::MISS),
        "iTLB-loads" => cache(CacheId::ITLB, CacheResult::ACCESS),
        "iTLB-load-misses" => cache(CacheId::ITLB, CacheResult::MISS),
        other => unreachable!("{other} is not in GROUPS of the probe counters"),
    }
}

/// The generic event of one PMU among several: its number is in the upper half of `config` (since Linux 5.13).
pub(super) fn extended(event: &str, pmu: &CorePmu) -> Builder<'static> {
    let mut builder = generic(event);
    builder.attrs_mut().config |= u64::from(pmu.kind) << 32;
    builder
}

/// The CPU's own event that means the same as `event`, with its name.
pub(super) fn named(event: &str, pmu: &CorePmu) -> Option<(&'static str, Builder<'static>)> {
    let name = stand_in(event, pmu)?;
    let [config, config1, config2] = pmu.named(name)?;
    let mut builder = Builder::new(Raw::new(config).config1(config1).config2(config2));
    builder.attrs_mut().type_ = pmu.kind;
    Some((name, builder))
}

/// Events of one ratio, and their names on CPUs, best first. Both halves of a ratio are replaced together.
struct Family {
    events: &'static [&'static str],
    names: &'static [&'static [&'static str]],
}

const FAMILIES: &[Family] = &[
    Family { events: &["cycles"], names: &[&["cpu-cycles"], &["cpu_cycles"]] },
    Family { events: &["instructions"], names: &[&["instructions"], &["inst_retired"]] },
    Family {
        events: &["branches", "branch-misses"],
        names: &[
            &["branch-instructions", "branch-misses"],
            &["br_retired", "br_mis_pred_retired"],
            &["br_pred", "br_mis_pred"],
        ],
    },
    Family {
        events: &["L1-dcache-loads", "L1-dcache-load-misses"],
        names: &[&["l1d_cache_rd", "l1d_cache_refill_rd"], &["l1d_cache", "l1d_cache_refill"]],
    },
    Family {
        events: &["LLC-loads", "LLC-load-misses"],
        names: &[
            &["ll_cache_rd", "ll_cache_miss_rd"],
            &["l3d_cache", "l3d_cache_refill"],
            &["cache-references", "cache-misses"],
        ],
    },
    Family { events: &["L1-icache-loads"], names: &[&["l1i_cache"]] },
    Family {
        events: &["dTLB-loads", "dTLB-load-misses"],
        names: &[&["l1d_tlb_rd", "l1d_tlb_refill_rd"], &["l1d_tlb", "l1d_tlb_refill"]],
    },
    Family { events: &["iTLB-loads", "iTLB-load-misses"], names: &[&["l1i_tlb", "l1i_tlb_refill"]] },
];

/// Intel's architectural events of the last-level cache. AMD uses these names for requests to L2.
const LAST_LEVEL: [&str; 2] = ["event=0x2e,umask=0x4f", "event=0x2e,umask=0x41"];

fn stand_in(event: &str, pmu: &CorePmu) -> Option<&'static str> {
    let has = |name: &&str| match (*name, pmu.fields(name)) {
        ("cache-references" | "cache-misses", Some(fields)) => LAST_LEVEL.contains(&fields),
        (_, fields) => fields.is_some(),
    };
    let (family, at) = FAMILIES
        .iter()
        .find_map(|family| Some((family, family.events.iter().position(|name| *name == event)?)))?;
    let names = family.names.iter().find(|names| names.iter().all(has))?;
    names.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::counters::derive::EVENTS;
    use crate::probes::pmu::tests::machine;

    #[test]
    fn every_event_can_be_asked_for() {
        for event in EVENTS {
            generic(event);
            let families = FAMILIES.iter().filter(|family| family.events.contains(&event)).count();
            assert_eq!(families, usize::from(!is_software(event)), "{event}");
        }
        for family in FAMILIES {
            assert!(family.names.iter().all(|names| names.len() == family.events.len()));
        }
    }

    #[test]
    fn a_hybrid_machines_pmus_are_addressed_by_number() {
        let pmus = machine("alder-lake");
        let config = |event, pmu: usize| extended(event, &pmus[pmu]).attrs().config;
        assert_eq!(config("cycles", 1), 4 << 32);
        assert_eq!(config("instructions", 0), 10 << 32 | 1);
        assert_eq!(config("LLC-load-misses", 1), 4 << 32 | 1 << 16 | 2); // (type, result, operation, level)
    }

    #[test]
    fn cpus_events_stand_in_for_generic_ones_with_both_halves() {
        let (alder_lake, zen3, rk3399) = (machine("alder-lake"), machine("zen3"), machine("rk3399"));
        let atom = &alder_lake[0];
        assert_eq!(stand_in("LLC-loads", atom), Some("cache-references"));
        assert_eq!(stand_in("LLC-load-misses", atom), Some("cache-misses"));
        // Zen's cache-references are requests to L2.
        assert_eq!(stand_in("LLC-loads", &zen3[0]), None);
        assert_eq!(stand_in("branches", &zen3[0]), Some("branch-instructions"));
        // A Cortex-A72 has no event for taken branches; it counts predictable ones together with mispredicted ones.
        let a72 = &rk3399[1];
        assert_eq!(stand_in("branches", a72), Some("br_pred"));
        assert_eq!(stand_in("L1-icache-loads", a72), Some("l1i_cache"));
        // It counts TLB refills, but not look-ups.
        assert_eq!(stand_in("dTLB-load-misses", a72), None);
        let (name, builder) = named("branches", a72).unwrap();
        assert_eq!((name, builder.attrs().type_, builder.attrs().config), ("br_pred", 8, 0x12));
        assert_eq!(stand_in("context-switches", a72), None);
    }
}
