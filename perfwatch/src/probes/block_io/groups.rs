//! Latency of the requests that cgroups are charged with, at their slots.

use std::collections::HashMap;
use std::mem::offset_of;

use aya::Ebpf;
use perfwatch_common::groups::MAX_SLOTS;
use perfwatch_common::histogram::Buckets;

use crate::probes::loader::Unavailable;
use crate::probes::mapped::Mapped;
use crate::probes::slot_map::{SlotMap, Slots};
use crate::snapshot::histogram::{Histogram, Unit};

pub(super) struct GroupLatencies {
    groups: Mapped<Buckets>,
    map: SlotMap,
    /// The last reading of each slot that was ever used.
    before: HashMap<u8, Box<Buckets>>,
}

impl GroupLatencies {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, Unavailable> {
        let groups = Mapped::new(ebpf, "GROUPS", MAX_SLOTS)?;
        Ok(Self { groups, map: SlotMap::take(ebpf)?, before: HashMap::new() })
    }

    pub(super) fn follow(&mut self, slots: &Slots) {
        self.map.apply(slots);
    }

    /// What was added since the last reading, at each slot at which something was.
    pub(super) fn read(&mut self) -> Vec<(u8, Histogram)> {
        let grown = (0..=u8::MAX).filter_map(|slot| {
            // No request takes 0 ns.
            let sum = self.groups.load_u64(slot.into(), offset_of!(Buckets, sum));
            if sum == self.before.get(&slot).map_or(0, |before| before.sum) {
                return None;
            }
            let before = self.before.entry(slot).or_insert_with(|| Box::new(Buckets::EMPTY));
            Some((slot, self.groups.grown(slot.into(), 0, Unit::Nanoseconds, before)))
        });
        grown.collect()
    }
}
