//! Which user code waits: the user stacks of some waits stand for those of all that were at the same place in the kernel.

use std::sync::Arc;

use super::place::{Ended, Place as Frame};
use super::recent::Recent;

/// Waits of a generation whose end is awaited.
const MAX_PENDING: usize = 1024;
/// Places in the kernel of a generation, by process.
const MAX_PLACES: usize = 1024;
/// User stacks that lead to one place.
const MAX_STACKS: usize = 32;
/// Waits of one place that are remembered; then each counts half, so that what is new soon counts more than what was.
const MAX_WAITS: u64 = 64;

/// A user stack, the outermost frame first.
#[derive(Debug, Clone)]
pub struct UserStack {
    pub frames: Arc<[Frame]>,
    pub ended: Ended,
}

/// How often a stack was seen, and how long it waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    pub waits: u64,
    pub ns: u64,
}

/// A place in the kernel where threads of one name of one process wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub tgid: u32,
    pub thread: Arc<str>,
    pub hash: u64,
}

#[derive(Debug)]
pub struct Waiting {
    /// By thread, with its name.
    pending: Recent<u32, (Arc<str>, UserStack)>,
    known: Recent<Place, Vec<(UserStack, Seen)>>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { pending: Recent::new(MAX_PENDING), known: Recent::new(MAX_PLACES) }
    }
}

impl Waiting {
    /// A thread begins to wait.
    pub fn begin(&mut self, tid: u32, thread: Arc<str>, stack: UserStack) {
        self.pending.age();
        self.pending.insert(tid, (thread, stack));
    }

    /// Its wait, which was long, has ended.
    pub fn end(&mut self, ended: &perfwatch_common::waits::Ended) {
        let Some((thread, stack)) = self.pending.remove(&ended.tid) else { return };
        let place = Place { tgid: ended.tgid, thread, hash: ended.hash };
        self.known.age();
        let known = self.known.meet_or_insert(place);
        let at = known.iter().position(|(known, _)| known.frames == stack.frames).unwrap_or_else(|| {
            known.push((stack, Seen::default()));
            known.len() - 1
        });
        let seen = &mut known[at].1;
        seen.waits += 2;
        seen.ns += ended.off_cpu_ns;
        if known.iter().map(|(_, seen)| seen.waits).sum::<u64>() > 2 * MAX_WAITS || known.len() > MAX_STACKS {
            for (_, seen) in known.iter_mut() {
                seen.waits /= 2;
                seen.ns /= 2;
            }
            known.retain(|(_, seen)| seen.waits > 0);
        }
    }

    /// The stacks that lead to a place in the kernel.
    pub fn stacks(&self, place: &Place) -> &[(UserStack, Seen)] {
        self.known.get(place).map_or(&[], Vec::as_slice)
    }
}

/// Parts of a whole by weight; together they are the whole. Without weights, all is one part.
pub fn shares(whole: u64, weights: &[u64]) -> Vec<u64> {
    let all: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if all == 0 {
        let mut parts = vec![0; weights.len().max(1)];
        parts[0] = whole;
        return parts;
    }
    let (mut done, mut given) = (0, 0);
    let share = |weight: &u64| {
        done += u128::from(*weight);
        let until = u64::try_from(u128::from(whole) * done / all).unwrap_or(whole);
        let part = until - given;
        given = until;
        part
    };
    weights.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use perfwatch_common::waits::Ended as WaitEnded;

    use super::*;

    fn stack(address: u64) -> UserStack {
        UserStack { frames: [Frame::Kernel(address)].into(), ended: Ended::Complete }
    }

    #[test]
    fn shares_are_all_of_it() {
        assert_eq!(shares(10, &[1, 1, 1]), [3, 3, 4]);
        assert_eq!(shares(1, &[3, 1]), [0, 1]);
        assert_eq!(shares(u64::MAX, &[7, 2, 1 << 40]).iter().sum::<u64>(), u64::MAX);
        assert_eq!(shares(5, &[]), [5]);
        assert_eq!(shares(5, &[0, 0]), [5, 0]);
    }

    #[test]
    fn what_is_new_soon_counts_more_than_what_was() {
        let mut waiting = Waiting::default();
        let place = Place { tgid: 7, thread: "t".into(), hash: 42 };
        let ended = WaitEnded { tid: 1, tgid: 7, hash: 42, off_cpu_ns: 1000 };
        for n in 0..200 {
            waiting.begin(1, "t".into(), stack(if n < 100 { 1 } else { 2 }));
            waiting.end(&ended);
        }
        let known = waiting.stacks(&place);
        assert!(known.iter().map(|(_, seen)| seen.waits).sum::<u64>() <= 2 * MAX_WAITS);
        let heaviest = known.iter().max_by_key(|(_, seen)| seen.ns).unwrap();
        assert_eq!(&*heaviest.0.frames, [Frame::Kernel(2)]);
        let before = known.len();
        waiting.end(&ended);
        assert_eq!(waiting.stacks(&place).len(), before, "no wait of it had begun");
        assert!(waiting.stacks(&Place { tgid: 8, ..place }).is_empty());
    }
}
