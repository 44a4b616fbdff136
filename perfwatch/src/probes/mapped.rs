//! BPF arrays mapped into our memory: programs write, we read, without system calls.
#![allow(unsafe_code)] // mmap(2), and reading what the kernel writes

use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::Map;
use aya::{Ebpf, Pod};
use perfwatch_common::histogram::{BUCKETS, Buckets};

use super::loader::Unavailable;
use crate::snapshot::histogram::{Histogram, Unit};

/// Counts of a distribution that are compared at once: one cache line.
const LINE: usize = 8;
type Line = [u64; LINE];
const _: () = assert!(BUCKETS.is_multiple_of(LINE));

/// A `BPF_MAP_TYPE_ARRAY` made with `BPF_F_MMAPABLE`.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    base: NonNull<u8>,
    entries: u32,
    of: PhantomData<T>,
}

// SAFETY: the memory belongs to the kernel's map and is only accessed by atomic operations.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// Values are 8-byte aligned one behind the other, so `T`'s size must be a multiple of 8.
    const STRIDE: usize = {
        assert!(size_of::<T>().is_multiple_of(8));
        size_of::<T>()
    };

    /// Maps the array `name` of `entries` values.
    pub(super) fn new(ebpf: &Ebpf, name: &str, entries: u32) -> Result<Self, Unavailable> {
        let size = Self::STRIDE * entries as usize;
        let map = descriptor(ebpf, name)?.as_raw_fd();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address the kernel chooses; the result is checked.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), size, access, libc::MAP_SHARED, map, 0) };
        if base == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(Unavailable::from_error(&format!("mapping the array {name}"), &error));
        }
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Unavailable::new(format!("the array {name} was mapped at 0")))?;
        Ok(Self { base, entries, of: PhantomData })
    }

    pub(super) fn len(&self) -> u32 {
        self.entries
    }

    fn at(&self, index: u32) -> Option<NonNull<T>> {
        let start = index as usize * Self::STRIDE;
        // SAFETY: the offset of an existing entry stays within the mapping.
        (index < self.entries).then(|| unsafe { self.base.add(start).cast() })
    }

    /// A copy of one value. Each of its 64-bit fields is consistent, but they may be of slightly different moments.
    pub(super) fn get(&self, index: u32) -> Option<T> {
        let words = self.words(index)?;
        let mut copy = MaybeUninit::<T>::uninit();
        let to = copy.as_mut_ptr().cast::<u64>();
        for (n, word) in words.iter().enumerate() {
            // SAFETY: `copy` has as many words (`STRIDE`).
            unsafe { to.add(n).write_unaligned(word.load(Ordering::Relaxed)) };
        }
        // SAFETY: all of it is written, and every bit pattern is a valid `T` (`Pod`).
        Some(unsafe { copy.assume_init() })
    }

    /// Updates the first `length` bytes of a copy; false if there is no such value.
    pub(super) fn refresh(&self, index: u32, copy: &mut T, length: usize) -> bool {
        let Some(words) = self.words(index) else { return false };
        let copy = std::ptr::from_mut(copy).cast::<u64>();
        for (n, word) in words.iter().take(length / size_of::<u64>()).enumerate() {
            // SAFETY: the copy is ours alone and has as many words (`STRIDE`), and every bit pattern is a valid `T`
            // (`Pod`).
            unsafe { copy.add(n).write_unaligned(word.load(Ordering::Relaxed)) };
        }
        true
    }

    /// What was added to the distribution at `offset` (from `offset_of!`) since `copy`, which is updated: in one pass
    /// over both, writing only the few lines that differ. Resets the maximum if values were added.
    pub(super) fn grown(&self, index: u32, offset: usize, unit: Unit, copy: &mut Buckets) -> Histogram {
        let mut grown = Vec::new();
        let lines = copy.counts.chunks_exact_mut(LINE);
        for ((first, before), at) in (0u16..).step_by(LINE).zip(lines).zip((0..).step_by(size_of::<Line>())) {
            let Some(line) =
                self.field::<[AtomicU64; LINE]>(index, offset + offset_of!(Buckets, counts) + at)
            else {
                break;
            };
            let now: Line = std::array::from_fn(|n| line[n].load(Ordering::Relaxed));
            if now == *before {
                continue;
            }
            let counts = (first..).zip(before.iter().zip(now));
            grown.extend(
                counts
                    .filter(|(_, (before, now))| now > *before)
                    .map(|(bucket, (before, now))| (bucket, now - before)),
            );
            before.copy_from_slice(&now);
        }
        let sum = self.load_u64(index, offset + offset_of!(Buckets, sum));
        let added = sum.saturating_sub(std::mem::replace(&mut copy.sum, sum));
        let max_at = offset + offset_of!(Buckets, max);
        let max = if grown.is_empty() { 0 } else { self.take_u64(index, max_at) };
        Histogram::from_counts(unit, grown, added, max)
    }

    /// Writes the 32-bit field at `offset` (from `offset_of!`), which programs only read.
    pub(super) fn set_u32(&self, index: u32, offset: usize, value: u32) {
        if let Some(field) = self.field::<AtomicU32>(index, offset) {
            field.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn load_u32(&self, index: u32, offset: usize) -> u32 {
        self.field::<AtomicU32>(index, offset).map_or(0, |field| field.load(Ordering::Relaxed))
    }

    pub(super) fn load_u64(&self, index: u32, offset: usize) -> u64 {
        self.field::<AtomicU64>(index, offset).map_or(0, |field| field.load(Ordering::Relaxed))
    }

    /// Takes the value of the 64-bit field at `offset` (from `offset_of!`) and leaves 0.
    pub(super) fn take_u64(&self, index: u32, offset: usize) -> u64 {
        self.field::<AtomicU64>(index, offset).map_or(0, |field| field.swap(0, Ordering::Relaxed))
    }

    /// All 64-bit words of a value.
    fn words(&self, index: u32) -> Option<&[AtomicU64]> {
        let value = self.at(index)?.cast::<AtomicU64>();
        // SAFETY: an entry of the mapping, aligned to 8 (a page, plus multiples of 8: `STRIDE`), and valid for every bit
        // pattern; others access it by plain stores of its size at most, which are atomic on the machines BPF runs on.
        Some(unsafe { std::slice::from_raw_parts(value.as_ptr(), Self::STRIDE / size_of::<AtomicU64>()) })
    }

    /// `F` is an atomic integer, or an array of them.
    fn field<F>(&self, index: u32, offset: usize) -> Option<&F> {
        let fits = offset.is_multiple_of(align_of::<F>()) && offset + size_of::<F>() <= size_of::<T>();
        // SAFETY: within an entry of the mapping, aligned, and valid for every bit pattern; others access it
        // by plain stores of its size at most, which are atomic on the machines BPF runs on.
        fits.then(|| self.at(index).map(|entry| unsafe { entry.cast::<u8>().add(offset).cast().as_ref() }))?
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; nothing borrows from it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), size_of::<T>() * self.entries as usize) };
    }
}

fn descriptor<'a>(ebpf: &'a Ebpf, name: &str) -> Result<BorrowedFd<'a>, Unavailable> {
    match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(map.fd().as_fd()),
        _ => Err(Unavailable::new(format!("the object has no array {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Laid out like an object's array: a head followed by two distributions.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Entry {
        head: [u64; 3],
        first: Buckets,
        second: Buckets,
    }

    // SAFETY: `repr(C)` and 64-bit integers only, so every bit pattern is valid.
    unsafe impl Pod for Entry {}

    const EMPTY: Entry = Entry { head: [0; 3], first: Buckets::EMPTY, second: Buckets::EMPTY };

    /// Our own memory instead of a kernel map.
    fn array(entries: u32) -> Mapped<Entry> {
        let (flags, access) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
        let size = size_of::<Entry>() * entries as usize;
        // SAFETY: a new mapping at an address the kernel chooses; the result is checked.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        Mapped { base: NonNull::new(base.cast()).unwrap(), entries, of: PhantomData }
    }

    impl Mapped<Entry> {
        /// What a program does.
        fn update(&self, index: u32, update: impl FnOnce(&mut Entry)) {
            let mut entry = self.get(index).unwrap();
            update(&mut entry);
            // SAFETY: an entry of the mapping, which nothing else accesses meanwhile.
            unsafe { self.at(index).unwrap().write_volatile(entry) };
        }
    }

    fn record(buckets: &mut Buckets, bucket: u16, value: u64) {
        buckets.counts[usize::from(bucket)] += 1;
        buckets.sum += value;
        buckets.max = buckets.max.max(value);
    }

    #[test]
    fn a_head_is_refreshed_and_nothing_behind_it() {
        let array = array(2);
        array.update(1, |entry| {
            entry.head = [1, 2, 3];
            entry.first.sum = 4;
        });
        let mut copy = EMPTY;
        assert!(array.refresh(1, &mut copy, offset_of!(Entry, first)));
        assert_eq!((copy.head, copy.first.sum), ([1, 2, 3], 0));
        assert!(array.refresh(1, &mut copy, usize::MAX));
        assert_eq!(copy.first.sum, 4);
        assert!(!array.refresh(2, &mut copy, 8), "there is no such entry");
    }

    #[test]
    fn a_maximum_is_taken_with_the_values_it_belongs_to() {
        let array = array(1);
        let mut copy = EMPTY;
        let mut grown = || array.grown(0, offset_of!(Entry, second), Unit::Bytes, &mut copy.second);
        assert_eq!(grown(), Histogram::empty(Unit::Bytes));
        array.update(0, |entry| record(&mut entry.second, 975, 31 << 59));
        let histogram = grown();
        assert_eq!((histogram.buckets(), histogram.max()), (&[(975, 1)][..], 31 << 59));
        // Noted by a program whose count has yet to arrive.
        array.update(0, |entry| entry.second.max = 7);
        assert_eq!(grown(), Histogram::empty(Unit::Bytes));
        array.update(0, |entry| record(&mut entry.second, 7, 7));
        let histogram = grown();
        assert_eq!((histogram.buckets(), histogram.max(), histogram.sum()), (&[(7, 1)][..], 7, 7));
        assert_eq!(array.load_u64(0, offset_of!(Entry, second.max)), 0);
    }

    proptest! {
        #[test]
        fn every_value_is_found_in_one_interval(
            intervals in proptest::collection::vec(proptest::collection::vec((0u16..976, any::<bool>()), 0..40), 1..6),
        ) {
            let array = array(1);
            let mut copy = EMPTY;
            for values in intervals {
                let of = |second: bool| {
                    let values = values.iter().filter(|value| value.1 == second);
                    let (sum, max) = values.clone().fold((0, 0), |(sum, max), (bucket, _)| {
                        (sum + u64::from(*bucket), max.max(u64::from(*bucket)))
                    });
                    Histogram::from_counts(Unit::Nanoseconds, values.map(|(bucket, _)| (*bucket, 1)), sum, max)
                };
                array.update(0, |entry| {
                    for (bucket, second) in &values {
                        let buckets = if *second { &mut entry.second } else { &mut entry.first };
                        record(buckets, *bucket, u64::from(*bucket));
                    }
                });
                let unit = Unit::Nanoseconds;
                prop_assert_eq!(array.grown(0, offset_of!(Entry, first), unit, &mut copy.first), of(false));
                prop_assert_eq!(array.grown(0, offset_of!(Entry, second), unit, &mut copy.second), of(true));
            }
            prop_assert_eq!(copy.first.counts, array.get(0).unwrap().first.counts);
            prop_assert_eq!(copy.second.sum, array.get(0).unwrap().second.sum);
        }
    }
}
