//! Stacks on their way from the programs, which the tick loads and unloads, to the thread that looks at them.

mod ring;
mod waits;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perfwatch_common::profile::Head;
use perfwatch_common::waits::{Key, Wait};

pub use ring::Ring;
pub use waits::{WaitStack, Waits};

/// How many user stacks there were, and how many of them whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unwound {
    pub stacks: u64,
    pub complete: u64,
    /// Of processes that may not be looked into.
    pub forbidden: u64,
}

/// Shared by the sources and whoever takes their stacks.
#[derive(Debug, Clone, Default)]
pub struct Feed(Arc<Mutex<Fed>>);

#[derive(Debug, Default)]
struct Fed {
    samples: Lent<Ring>,
    waits: Lent<Waits>,
    unwound: Unwound,
    lost: u64,
}

/// Something that is replaced or taken away while another may be using it.
#[derive(Debug)]
struct Lent<T> {
    here: Option<T>,
    /// Changes whenever it is replaced or taken away.
    generation: u64,
}

impl<T> Default for Lent<T> {
    fn default() -> Self {
        Self { here: None, generation: 0 }
    }
}

impl<T> Lent<T> {
    fn replace(&mut self, by: Option<T>) {
        self.generation += 1;
        self.here = by;
    }

    fn give_back(&mut self, thing: T, generation: u64) {
        if self.generation == generation {
            self.here = Some(thing);
        }
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Fed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_samples(&self, ring: Option<Ring>) {
        self.lock().samples.replace(ring);
    }

    pub(super) fn open_waits(&self, waits: Option<Waits>) {
        self.lock().waits.replace(waits);
    }

    /// Whether anything comes.
    pub fn is_open(&self) -> bool {
        let fed = self.lock();
        fed.samples.here.is_some() || fed.waits.here.is_some()
    }

    pub(super) fn note_lost(&self, lost: u64) {
        self.lock().lost += lost;
    }

    pub(super) fn unwound(&self) -> Unwound {
        self.lock().unwound
    }

    /// Uses what is there; loading and unloading do not wait for it.
    fn with<T, R>(&self, of: fn(&mut Fed) -> &mut Lent<T>, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let (mut thing, generation) = {
            let mut fed = self.lock();
            let lent = of(&mut fed);
            (lent.here.take()?, lent.generation)
        };
        let result = work(&mut thing);
        of(&mut self.lock()).give_back(thing, generation);
        Some(result)
    }

    /// Passes on what was sampled since the last time, with the ns that a sample stands for.
    pub fn samples(&self, mut each: impl FnMut(&Head, &[u8], u64)) {
        let drain = |ring: &mut Ring| {
            let stands_for = ring.each;
            ring.drain(|head, stack| each(head, stack, stands_for));
        };
        self.with(|fed| &mut fed.samples, drain);
    }

    /// Passes on the user stacks of some waits.
    pub fn wait_stacks(&self, each: impl FnMut(WaitStack<'_>)) {
        self.with(|fed| &mut fed.waits, |waits| waits.stacks(each));
    }

    /// Passes on long waits that have ended, added up.
    pub fn waits(&self, each: impl FnMut(&Key, &Wait)) {
        self.with(|fed| &mut fed.waits, |waits| waits.drain(each));
    }

    /// Notes what became of user stacks.
    pub fn note(&self, unwound: Unwound) {
        let mut fed = self.lock();
        fed.unwound.stacks += unwound.stacks;
        fed.unwound.complete += unwound.complete;
        fed.unwound.forbidden += unwound.forbidden;
    }

    /// Samples that were lost since this was last asked.
    pub fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }
}
