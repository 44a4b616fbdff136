//! What the programs know of cgroups: the times of their tasks, at their slots, on each CPU.

use std::collections::HashMap;
use std::mem::offset_of;

use aya::Ebpf;
use perfwatch_common::groups::{COARSE, Group, Times, coarse, last_of};
use perfwatch_common::histogram::index;

use super::interval::GroupInterval;
use crate::probes::loader::Unavailable;
use crate::probes::mapped::Mapped;
use crate::probes::slot_map::{SlotMap, Slots};
use crate::snapshot::histogram::{Histogram, Unit};

pub(super) struct GroupTimes {
    groups: Mapped<Group>,
    /// Slots of each CPU, and how many of them were ever used: the first always is.
    slots: u32,
    used: u32,
    map: SlotMap,
    /// The last reading of each entry that was ever used.
    before: HashMap<u32, Box<Group>>,
}

/// What is added up over CPUs.
struct Sum {
    counts: [u64; COARSE],
    sum: u64,
    max: u64,
}

impl GroupTimes {
    pub(super) fn take(ebpf: &mut Ebpf, cpus: u32, slots: u32) -> Result<Self, Unavailable> {
        let groups = Mapped::new(ebpf, "GROUPS", cpus * slots)?;
        Ok(Self { groups, slots, used: 1, map: SlotMap::take(ebpf)?, before: HashMap::new() })
    }

    pub(super) fn follow(&mut self, slots: &Slots) {
        let most = slots.values().copied().max().unwrap_or_default();
        self.used = self.used.max(u32::from(most) + 1).min(self.slots);
        self.map.apply(slots);
    }

    /// What was added on these CPUs since the last reading, at each slot at which something was.
    pub(super) fn read(&mut self, cpus: &[u32]) -> Vec<GroupInterval> {
        (0..self.used).filter_map(|slot| self.read_slot(slot, cpus)).collect()
    }

    fn read_slot(&mut self, slot: u32, cpus: &[u32]) -> Option<GroupInterval> {
        const SUMS: [usize; 2] = [
            offset_of!(Group, wait) + offset_of!(Times, sum),
            offset_of!(Group, off_cpu) + offset_of!(Times, sum),
        ];
        let [mut wait, mut off_cpu] = [const { Sum::EMPTY }; 2];
        for cpu in cpus {
            let at = cpu * self.slots + slot;
            let sums = SUMS.map(|offset| self.groups.load_u64(at, offset));
            let before = self.before.get(&at).map_or([0; 2], |before| [before.wait.sum, before.off_cpu.sum]);
            // Waits of 0 ns are counted with the next that are not.
            if sums == before {
                continue;
            }
            let Some(now) = self.groups.get(at) else { continue };
            let before = self.before.entry(at).or_insert_with(|| Box::new(Group::EMPTY));
            wait.add(&before.wait, &now.wait, || {
                self.groups.take_u64(at, offset_of!(Group, wait) + offset_of!(Times, max))
            });
            off_cpu.add(&before.off_cpu, &now.off_cpu, || {
                self.groups.take_u64(at, offset_of!(Group, off_cpu) + offset_of!(Times, max))
            });
            **before = now;
        }
        let slot = u8::try_from(slot).ok()?;
        let (wait, off_cpu) = (wait.histogram(), off_cpu.histogram());
        (wait.count() + off_cpu.count() > 0).then_some(GroupInterval { slot, wait, off_cpu })
    }
}

impl Sum {
    const EMPTY: Self = Self { counts: [0; COARSE], sum: 0, max: 0 };

    fn add(&mut self, before: &Times, now: &Times, take_max: impl FnOnce() -> u64) {
        if before.counts == now.counts {
            return;
        }
        for (sum, (before, now)) in self.counts.iter_mut().zip(before.counts.iter().zip(&now.counts)) {
            *sum += u64::from(now.wrapping_sub(*before));
        }
        self.sum += now.sum.saturating_sub(before.sum);
        self.max = self.max.max(take_max());
    }

    fn histogram(&self) -> Histogram {
        let greatest = index(self.max);
        let counts = (0u16..).zip(self.counts).filter(|(_, count)| *count > 0);
        // Where the greatest is known, its bucket is.
        let bucket = |at| if coarse(greatest) == at { greatest.min(last_of(at)) } else { last_of(at) };
        Histogram::from_counts(
            Unit::Nanoseconds,
            counts.map(|(at, count)| (bucket(at), count)),
            self.sum,
            self.max,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: &[u64]) -> Times {
        let mut times = Times::EMPTY;
        for value in values {
            times.counts[usize::from(coarse(index(*value)))] += 1;
            times.sum += value;
            times.max = times.max.max(*value);
        }
        times
    }

    #[test]
    fn quantiles_are_never_too_low_and_the_greatest_is_exact() {
        let values: Vec<u64> = (1..=1000).map(|at| at * 10_000).collect();
        let mut sum = Sum::EMPTY;
        let now = times(&values);
        sum.add(&Times::EMPTY, &now, || now.max);
        let histogram = sum.histogram();
        assert_eq!((histogram.count(), histogram.max()), (1000, 10_000_000));
        assert_eq!(histogram.sum(), values.iter().sum::<u64>());
        for (quantile, exact) in [(0.5, 5_000_000), (0.9, 9_000_000), (0.99, 9_900_000), (1.0, 10_000_000)] {
            let told = histogram.quantile(quantile).unwrap();
            assert!(told >= exact && told <= exact * 5 / 4, "{told} for {exact}");
        }
    }

    #[test]
    fn only_what_was_added_is_told_even_if_a_count_wrapped() {
        let mut before = times(&[5_000, 80_000]);
        before.counts[0] = u32::MAX;
        let mut now = before;
        now.counts[0] = now.counts[0].wrapping_add(3);
        now.sum += 1_500;
        now.max = 600;
        let mut sum = Sum::EMPTY;
        sum.add(&before, &now, || now.max);
        let histogram = sum.histogram();
        assert_eq!((histogram.count(), histogram.sum(), histogram.max()), (3, 1_500, 600));
        let mut nothing = Sum::EMPTY;
        nothing.add(&now, &now, || unreachable!("nothing was added"));
        assert_eq!(nothing.histogram(), Histogram::empty(Unit::Nanoseconds));
    }
}
