//! Samples on their way from the programs, which the tick loads and unloads, to the thread that unwinds them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::maps::{MapData, RingBuf};
use perfwatch_common::profile::{Head, PAGE};

/// A ring buffer of samples.
pub struct Ring {
    buffer: RingBuf<MapData>,
    /// ns that a sample stands for.
    pub each: u64,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("each", &self.each).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(buffer: RingBuf<MapData>, hz: u32) -> Self {
        Self { buffer, each: 1_000_000_000 / u64::from(hz.max(1)) }
    }

    /// Passes on what was sampled since the last time: each sample with its copy of the user stack.
    pub fn drain(&mut self, mut each: impl FnMut(&Head, &[u8])) {
        while let Some(item) = self.buffer.next() {
            let Some((head, stack)) = item.split_at_checked(size_of::<Head>()) else { continue };
            let stack = stack.get(..stack.len() / PAGE * PAGE).unwrap_or_default();
            each(&read(head), stack);
        }
    }
}

#[allow(unsafe_code)]
fn read(head: &[u8]) -> Head {
    // SAFETY: the slice has the size of a `Head`, which is plain data (`Pod`).
    unsafe { head.as_ptr().cast::<Head>().read_unaligned() }
}

/// How many user stacks there were, and how many of them whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unwound {
    pub stacks: u64,
    pub complete: u64,
}

/// Shared by the source `profile` and whoever takes its samples.
#[derive(Debug, Clone, Default)]
pub struct Feed(Arc<Mutex<Fed>>);

#[derive(Debug, Default)]
struct Fed {
    ring: Option<Ring>,
    /// Changes whenever the programs are loaded or unloaded.
    generation: u64,
    unwound: Unwound,
    lost: u64,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Fed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self, ring: Option<Ring>) {
        let mut fed = self.lock();
        fed.generation += 1;
        fed.ring = ring;
    }

    pub(super) fn note_lost(&self, lost: u64) {
        self.lock().lost += lost;
    }

    pub(super) fn unwound(&self) -> Unwound {
        self.lock().unwound
    }

    /// Passes on what was sampled since the last time; returns how many ns each sample stands for, or `None` if none are
    /// taken. Loading and unloading do not wait for it.
    pub fn drain(&self, each: impl FnMut(&Head, &[u8])) -> Option<u64> {
        let (generation, ring) = {
            let mut fed = self.lock();
            (fed.generation, fed.ring.take())
        };
        let mut ring = ring?;
        ring.drain(each);
        let each = ring.each;
        let mut fed = self.lock();
        if fed.generation == generation {
            fed.ring = Some(ring);
        }
        Some(each)
    }

    /// Notes what became of user stacks.
    pub fn note(&self, unwound: Unwound) {
        let mut fed = self.lock();
        fed.unwound.stacks += unwound.stacks;
        fed.unwound.complete += unwound.complete;
    }

    /// Samples that were lost since this was last asked.
    pub fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }
}
