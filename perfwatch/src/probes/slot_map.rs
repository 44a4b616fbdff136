//! At which slot programs count what happens in a cgroup: see `perfwatch_common::groups`.

use std::collections::HashMap;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::MapData;

use super::loader::Unavailable;

/// Slots by the kernel's number of a group; never changed, only replaced.
pub(super) type Slots = Arc<HashMap<u64, u8>>;

/// The map in which programs look slots up.
#[derive(Debug)]
pub(super) struct SlotMap {
    map: aya::maps::HashMap<MapData, u64, u32>,
    applied: Slots,
}

impl SlotMap {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, Unavailable> {
        const NAME: &str = "GROUP_SLOTS";
        let map = ebpf.take_map(NAME).and_then(|map| aya::maps::HashMap::try_from(map).ok());
        let map = map.ok_or_else(|| Unavailable::new(format!("the object has no hash map {NAME}")))?;
        Ok(Self { map, applied: Slots::default() })
    }

    /// Tells the programs what has changed.
    pub(super) fn apply(&mut self, slots: &Slots) {
        if Arc::ptr_eq(slots, &self.applied) {
            return;
        }
        for group in self.applied.keys().filter(|group| !slots.contains_key(*group)) {
            if let Err(error) = self.map.remove(group) {
                tracing::warn!(group, %error, "programs still count at the slot of a cgroup that has none");
            }
        }
        for (group, slot) in slots.iter().filter(|(group, slot)| self.applied.get(*group) != Some(*slot)) {
            if let Err(error) = self.map.insert(group, u32::from(*slot), 0) {
                tracing::warn!(group, slot, %error, "programs cannot find the slot of a cgroup");
            }
        }
        self.applied = Arc::clone(slots);
    }
}
