//! Which user code waits: the user stacks of some waits stand for those of all that were at the same place in the kernel.

use std::collections::HashMap;
use std::sync::Arc;

use super::place::{Ended, Place};

/// Waits whose end is awaited.
const MAX_PENDING: usize = 4096;
/// Places in the kernel, by process.
const MAX_PLACES: usize = 4096;
/// User stacks that lead to one place.
const MAX_STACKS: usize = 32;
/// Waits of one place that are remembered; then each counts half, so that what is new soon counts more than what was.
const MAX_WEIGHT: u32 = 64;

/// A user stack, the outermost frame first.
#[derive(Debug, Clone)]
pub struct UserStack {
    pub frames: Arc<[Place]>,
    pub ended: Ended,
}

#[derive(Debug, Default)]
pub struct Waiting {
    /// By thread.
    pending: HashMap<u32, UserStack>,
    /// By process and place in the kernel, the stacks and how often each was seen.
    known: HashMap<(u32, Arc<str>, u64), Vec<(UserStack, u32)>>,
}

impl Waiting {
    /// A thread begins to wait.
    pub fn begin(&mut self, tid: u32, stack: UserStack) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.clear();
        }
        self.pending.insert(tid, stack);
    }

    /// Its wait, which was long, has ended.
    pub fn end(&mut self, tid: u32, tgid: u32, process: &Arc<str>, hash: u64) {
        let Some(stack) = self.pending.remove(&tid) else { return };
        let key = (tgid, Arc::clone(process), hash);
        if self.known.len() >= MAX_PLACES && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let known = self.known.entry(key).or_default();
        match known.iter_mut().find(|(known, _)| known.frames == stack.frames) {
            Some((_, weight)) => *weight += 1,
            None => known.push((stack, 1)),
        }
        if known.iter().map(|(_, weight)| weight).sum::<u32>() > MAX_WEIGHT || known.len() > MAX_STACKS {
            known.iter_mut().for_each(|(_, weight)| *weight /= 2);
            known.retain(|(_, weight)| *weight > 0);
        }
    }

    /// The stacks that lead to a place in the kernel, with their weights.
    pub fn stacks(&self, tgid: u32, process: &Arc<str>, hash: u64) -> &[(UserStack, u32)] {
        self.known.get(&(tgid, Arc::clone(process), hash)).map_or(&[], Vec::as_slice)
    }
}

/// Parts of a whole by weight; together they are the whole.
pub fn shares(whole: u64, weights: &[u32]) -> Vec<u64> {
    let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let (mut done, mut given) = (0, 0);
    let share = |weight: &u32| {
        done += u64::from(*weight);
        let until = u128::from(whole) * u128::from(done) / u128::from(all.max(1));
        let until = u64::try_from(until).unwrap_or(whole);
        let part = until - given;
        given = until;
        part
    };
    weights.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(address: u64) -> UserStack {
        UserStack { frames: [Place::Kernel(address)].into(), ended: Ended::Complete }
    }

    #[test]
    fn shares_are_all_of_it() {
        assert_eq!(shares(10, &[1, 1, 1]), [3, 3, 4]);
        assert_eq!(shares(1, &[3, 1]), [0, 1]);
        assert_eq!(shares(u64::MAX, &[7, 2, 9]).iter().sum::<u64>(), u64::MAX);
        assert!(shares(5, &[]).is_empty());
    }

    #[test]
    fn what_is_new_soon_counts_more_than_what_was() {
        let mut waiting = Waiting::default();
        let name: Arc<str> = "p".into();
        for n in 0..200 {
            waiting.begin(1, stack(if n < 100 { 1 } else { 2 }));
            waiting.end(1, 7, &name, 42);
        }
        let known = waiting.stacks(7, &name, 42);
        assert!(known.iter().map(|(_, weight)| weight).sum::<u32>() <= MAX_WEIGHT);
        let heaviest = known.iter().max_by_key(|(_, weight)| weight).unwrap();
        assert_eq!(&*heaviest.0.frames, [Place::Kernel(2)]);
        waiting.end(1, 7, &name, 42);
        assert!(waiting.stacks(8, &name, 42).is_empty());
    }
}
