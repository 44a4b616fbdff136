//! Which groups have a slot, at which programs count what happens in them: see `perfwatch_common::groups`.
//!
//! Every group in which a task runs gets one, while there are any; what happens in the others counts for a group that
//! they are in. A group that is gone frees its slot, and so does one in which nothing has run for long, if another needs
//! it. Programs keep a task's slot until the next reading, so a slot is given to the next group two readings later.

use std::collections::HashMap;
use std::sync::Arc;

use super::group::Group;
use crate::probes::slot_map;

/// Readings until what was counted for the last owner has been read.
const QUARANTINE: u64 = 2;
/// Readings in which nothing ran in a group that has to make room for another.
const IDLE: u64 = 60;

#[derive(Debug)]
pub(super) struct Slots {
    /// By slot; the first is the root's.
    slots: Vec<Slot>,
    /// The slot of each group that has one, by the kernel's number.
    of: HashMap<u64, u8>,
    readings: u64,
    /// Of each group that is found at a slot, its own or another's, in the hierarchy that names groups and in that of
    /// block I/O.
    pub(super) of_tasks: slot_map::Slots,
    pub(super) of_requests: slot_map::Slots,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Unused,
    /// Since that reading something has been running in its owner; the last time in the other.
    Owned {
        owner: u64,
        since: u64,
        active: u64,
    },
    Freed {
        owner: u64,
        at: u64,
    },
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        let slots = vec![Slot::Unused; count as usize];
        Self {
            slots,
            of: HashMap::new(),
            readings: 0,
            of_tasks: slot_map::Slots::default(),
            of_requests: slot_map::Slots::default(),
        }
    }

    /// Whose it is, or was.
    pub(super) fn owner(&self, slot: u8) -> Option<u64> {
        match self.slots.get(usize::from(slot))? {
            Slot::Unused => None,
            Slot::Owned { owner, .. } | Slot::Freed { owner, .. } => Some(*owner),
        }
    }

    /// Whether all that happened in a group since the last reading was counted at its own slot.
    pub(super) fn counted_all(&self, group: u64) -> bool {
        let slot = self.of.get(&group).and_then(|slot| self.slots.get(usize::from(*slot)));
        matches!(slot, Some(Slot::Owned { since, .. }) if *since < self.readings)
    }

    /// After a reading in which tasks ran in the groups at the positions `active`; true if another group has a slot
    /// now, or one has none any more. `positions` are by the kernel's number.
    pub(super) fn assign(
        &mut self,
        groups: &[Group],
        positions: &HashMap<u64, usize>,
        active: &[usize],
    ) -> bool {
        self.readings += 1;
        let now = self.readings;
        let mut changed = false;
        for slot in &mut self.slots {
            if let Slot::Owned { owner, .. } = *slot
                && !positions.contains_key(&owner)
            {
                self.of.remove(&owner);
                *slot = Slot::Freed { owner, at: now };
                changed = true;
            }
        }
        let mut without = Vec::new();
        for group in active.iter().filter(|at| **at != 0).filter_map(|at| groups.get(*at)) {
            match self.of.get(&group.inode) {
                Some(slot) => {
                    if let Slot::Owned { active, .. } = &mut self.slots[usize::from(*slot)] {
                        *active = now;
                    }
                }
                None => without.push(group),
            }
        }
        without
            .sort_by_key(|group| std::cmp::Reverse(group.usage.cpu_ns.saturating_add(group.usage.wait_ns)));
        let mut wanting = without.into_iter();
        for slot in 1..self.slots.len() {
            let is_free = match self.slots[slot] {
                Slot::Unused => true,
                Slot::Freed { at, .. } => now >= at + QUARANTINE,
                Slot::Owned { .. } => false,
            };
            if !is_free {
                continue;
            }
            let Some(group) = wanting.next() else { break };
            self.slots[slot] = Slot::Owned { owner: group.inode, since: now, active: now };
            self.of.insert(group.inode, u8::try_from(slot).unwrap_or_default());
            changed = true;
        }
        self.make_room(wanting.count(), now) || changed
    }

    /// Frees the slots of so many groups, or fewer, in which nothing has run for long; false if there are none.
    fn make_room(&mut self, most: usize, now: u64) -> bool {
        if most == 0 {
            return false;
        }
        let mut idle: Vec<(u64, usize)> = (0..)
            .zip(&self.slots)
            .filter_map(|(at, slot)| match slot {
                Slot::Owned { active, .. } if active + IDLE < now => Some((*active, at)),
                _ => None,
            })
            .collect();
        idle.sort_unstable();
        let found = !idle.is_empty();
        for (_, at) in idle.into_iter().take(most) {
            if let Some(owner) = self.owner(u8::try_from(at).unwrap_or_default()) {
                self.of.remove(&owner);
                self.slots[at] = Slot::Freed { owner, at: now };
            }
        }
        found
    }

    /// What programs are to know now. `request_id` is a group's number in the hierarchy of block I/O, if it has one.
    pub(super) fn publish(
        &mut self,
        groups: &mut [Group],
        mut request_id: impl FnMut(&mut Group) -> Option<u64>,
    ) {
        let mut found: Vec<u8> = Vec::with_capacity(groups.len());
        let (mut tasks, mut requests) = (HashMap::new(), HashMap::new());
        for (at, group) in groups.iter_mut().enumerate() {
            let inherited = found.get(group.parent).copied().unwrap_or_default();
            let own = self.of.get(&group.inode).copied().filter(|_| at != 0);
            let slot = own.unwrap_or(inherited);
            found.push(slot);
            if slot != 0 {
                tasks.insert(group.inode, slot);
                requests.extend(request_id(group).map(|id| (id, slot)));
            }
        }
        // Those that apply them compare addresses only.
        for (known, new) in [(&mut self.of_tasks, tasks), (&mut self.of_requests, requests)] {
            if **known != new {
                *known = Arc::new(new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;
    use crate::cgroups::Directory;

    /// The root with number 1, and in it these, each with its parent's position.
    fn machine(made: &[(u64, usize)]) -> (Vec<Group>, HashMap<u64, usize>) {
        let root = [(1, 0)];
        let groups: Vec<Group> = root
            .iter()
            .chain(made)
            .map(|(inode, parent)| {
                let (path, below) = (format!("/{inode}").into(), PathBuf::new());
                Group::new(Directory { inode: *inode, path, below, parent: *parent }, false, Instant::now())
            })
            .collect();
        let positions = groups.iter().enumerate().map(|(at, group)| (group.inode, at)).collect();
        (groups, positions)
    }

    fn slot(slots: &Slots, group: u64) -> u8 {
        slots.of_tasks.get(&group).copied().unwrap_or_default()
    }

    fn reading(slots: &mut Slots, machine: &mut (Vec<Group>, HashMap<u64, usize>), active: &[usize]) {
        slots.assign(&machine.0, &machine.1, active);
        slots.publish(&mut machine.0, |group| Some(group.inode + 1000));
    }

    #[test]
    fn a_group_in_which_something_runs_has_a_slot_and_counts_for_those_in_it() {
        let mut slots = Slots::new(4);
        let mut all = machine(&[(10, 0), (11, 1), (12, 1)]);
        reading(&mut slots, &mut all, &[0, 1]);
        let ten = slot(&slots, 10);
        assert!(ten != 0 && slots.owner(ten) == Some(10) && !slots.counted_all(10), "since just now");
        assert_eq!((slot(&slots, 11), slot(&slots, 12), slot(&slots, 1)), (ten, ten, 0));
        assert_eq!(slots.of_requests.get(&1011), Some(&ten));
        let published = Arc::clone(&slots.of_tasks);
        reading(&mut slots, &mut all, &[1]);
        assert!(slots.counted_all(10) && Arc::ptr_eq(&published, &slots.of_tasks), "nothing changed");
        reading(&mut slots, &mut all, &[2]);
        assert!(slot(&slots, 11) != ten && slot(&slots, 12) == ten);
    }

    #[test]
    fn a_slot_whose_group_is_gone_is_nobodys_for_two_readings() {
        let mut slots = Slots::new(2);
        reading(&mut slots, &mut machine(&[(10, 0)]), &[1]);
        assert_eq!(slot(&slots, 10), 1);
        let mut later = machine(&[(20, 0)]);
        for _ in 0..QUARANTINE {
            reading(&mut slots, &mut later, &[1]);
            assert_eq!((slot(&slots, 10), slot(&slots, 20)), (0, 0));
            assert_eq!(slots.owner(1), Some(10), "what comes late is not the next one's");
        }
        reading(&mut slots, &mut later, &[1]);
        assert_eq!((slot(&slots, 20), slots.owner(1)), (1, Some(20)));
        // A number that is used again is another group's; but the directory is found anew.
        reading(&mut slots, &mut machine(&[(10, 0)]), &[]);
        assert_eq!(slot(&slots, 10), 0);
    }

    #[test]
    fn those_that_rest_make_room_and_those_that_run_keep_theirs() {
        let mut slots = Slots::new(3);
        let mut all = machine(&[(10, 0), (11, 0), (12, 0)]);
        all.0[3].usage.cpu_ns = 1;
        reading(&mut slots, &mut all, &[1, 2]);
        for _ in 0..IDLE {
            reading(&mut slots, &mut all, &[2, 3]);
        }
        assert!(slot(&slots, 10) != 0 && slot(&slots, 12) == 0, "not yet");
        let before = (slot(&slots, 10), slot(&slots, 11));
        for _ in 0..=QUARANTINE {
            reading(&mut slots, &mut all, &[2, 3]);
        }
        assert_eq!((slot(&slots, 10), slot(&slots, 11), slot(&slots, 12)), (0, before.1, before.0));
    }

    #[test]
    fn of_many_the_busiest_come_first() {
        let mut slots = Slots::new(3);
        let mut all = machine(&[(10, 0), (11, 0), (12, 0)]);
        for (at, cpu) in [(1, 5), (2, 9), (3, 7)] {
            all.0[at].usage.cpu_ns = cpu;
        }
        reading(&mut slots, &mut all, &[1, 2, 3]);
        assert!(slot(&slots, 10) == 0 && slot(&slots, 11) != 0 && slot(&slots, 12) != 0);
    }
}
