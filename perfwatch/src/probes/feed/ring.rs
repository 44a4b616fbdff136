//! The ring buffer of the probe `profile`.

use aya::maps::{MapData, RingBuf};
use perfwatch_common::profile::{Head, PAGE};

/// Samples that nobody has taken out yet.
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
    pub(in crate::probes) fn new(buffer: RingBuf<MapData>, hz: u32) -> Self {
        Self { buffer, each: 1_000_000_000 / u64::from(hz.max(1)) }
    }

    /// Passes on what was sampled since the last time: each sample with its copy of the user stack.
    pub fn drain(&mut self, mut each: impl FnMut(&Head, &[u8])) {
        while let Some(item) = self.buffer.next() {
            if let Some((head, stack)) = sample(&item) {
                each(&head, stack);
            }
        }
    }
}

/// A sample, and the whole pages of its user stack.
pub(super) fn sample(item: &[u8]) -> Option<(Head, &[u8])> {
    let (head, stack) = item.split_at_checked(size_of::<Head>())?;
    Some((read(head)?, stack.get(..stack.len() / PAGE * PAGE)?))
}

/// What has exactly this size.
#[allow(unsafe_code)]
pub(super) fn read<T: aya::Pod>(item: &[u8]) -> Option<T> {
    // SAFETY: the slice has the size of `T`, which is plain data.
    (item.len() == size_of::<T>()).then(|| unsafe { item.as_ptr().cast::<T>().read_unaligned() })
}
