//! What the probe `sched` tells of long waits.

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, RingBuf};
use perfwatch_common::profile::Head;
use perfwatch_common::waits::{Ended, Key, MAPS, Wait};

use super::ring;
use crate::probes::loader::Unavailable;

/// Two maps in which waits are added up: programs write to one while the other is emptied. And a ring buffer with the
/// user stacks of some.
pub struct Waits {
    maps: [HashMap<MapData, Key, Wait>; MAPS],
    into: Array<MapData, u32>,
    current: u32,
    stacks: RingBuf<MapData>,
}

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waits").field("current", &self.current).finish_non_exhaustive()
    }
}

/// What the ring buffer has.
#[derive(Debug)]
pub enum WaitStack<'a> {
    /// A wait begins: the user registers and the top of the stack.
    Begins(&'a Head, &'a [u8]),
    /// It has ended, and was long.
    Ended(Ended),
}

impl Waits {
    pub(in crate::probes) fn take(ebpf: &mut Ebpf) -> Result<Self, Unavailable> {
        let missing = |name: &str| Unavailable::new(format!("the object has no map {name}"));
        let mut map = |name: &str| ebpf.take_map(name).ok_or_else(|| missing(name));
        let mut hash = |name| HashMap::try_from(map(name)?).map_err(|_| missing(name));
        let maps = [hash("WAITS_0")?, hash("WAITS_1")?];
        let into = Array::try_from(map("WAITS_INTO")?).map_err(|_| missing("WAITS_INTO"))?;
        let stacks = RingBuf::try_from(map("STACKS")?).map_err(|_| missing("STACKS"))?;
        Ok(Self { maps, into, current: 0, stacks })
    }

    /// Passes on the user stacks since the last time.
    pub fn stacks(&mut self, mut each: impl FnMut(WaitStack<'_>)) {
        while let Some(item) = self.stacks.next() {
            if let Some(ended) = ring::read::<Ended>(&item) {
                each(WaitStack::Ended(ended));
            } else if let Some((head, stack)) = ring::sample(&item) {
                each(WaitStack::Begins(&head, stack));
            }
        }
    }

    /// Passes on what ended between the last time but one and the last: programs that still wrote to that map then have
    /// long done so.
    pub fn drain(&mut self, mut each: impl FnMut(&Key, &Wait)) {
        let other = 1 - self.current;
        let map = &mut self.maps[other as usize];
        let keys: Vec<Key> = map.keys().filter_map(Result::ok).collect();
        for key in keys {
            if let Ok(wait) = map.get(&key, 0) {
                each(&key, &wait);
            }
            let _ = map.remove(&key);
        }
        if self.into.set(0, other, 0).is_ok() {
            self.current = other;
        }
    }
}
