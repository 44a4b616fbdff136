//! BPF arrays mapped into our memory: programs write, we read, and no system call is made for it.
#![allow(unsafe_code)] // mmap(2), and reading what the kernel writes

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::Map;
use aya::{Ebpf, Pod};

use super::loader::Unavailable;

/// A `BPF_MAP_TYPE_ARRAY` made with `BPF_F_MMAPABLE`.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    base: NonNull<u8>,
    entries: u32,
    of: PhantomData<T>,
}

// SAFETY: the memory belongs to the kernel's map and is only accessed by volatile and atomic operations.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// Values are 8-byte aligned one behind the other, so `T`'s size must be a multiple of 8.
    const STRIDE: usize = {
        assert!(size_of::<T>().is_multiple_of(8));
        size_of::<T>()
    };

    /// Maps the array `name` of `entries` values.
    pub(super) fn new(ebpf: &Ebpf, name: &str, entries: u32) -> Result<Self, Unavailable> {
        let Some(Map::Array(map)) = ebpf.map(name) else {
            return Err(Unavailable { reason: format!("the object has no array {name}"), remedy: None });
        };
        // SAFETY: a new mapping at an address the kernel chooses; the result is checked.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::STRIDE * entries as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(Unavailable::from_error(&format!("mapping the array {name}"), &error));
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| Unavailable {
            reason: format!("the array {name} was mapped at 0"),
            remedy: None,
        })?;
        Ok(Self { base, entries, of: PhantomData })
    }

    pub(super) fn len(&self) -> u32 {
        self.entries
    }

    fn at(&self, index: u32) -> Option<NonNull<T>> {
        // SAFETY: the offset of an existing entry stays within the mapping.
        (index < self.entries).then(|| unsafe { self.base.add(index as usize * Self::STRIDE).cast() })
    }

    /// A copy of one value. Its 64-bit fields are each whole, but may be of slightly different moments.
    pub(super) fn get(&self, index: u32) -> Option<T> {
        // SAFETY: within the mapping, aligned to at least 8 (a page, plus multiples of `T`'s size, which its
        // alignment divides), and every bit pattern is a valid `T` (`Pod`).
        self.at(index).map(|value| unsafe { value.read_volatile() })
    }

    /// Writes the 32-bit field at `offset` (of `offset_of!`), which programs only read.
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

    /// Takes the value of the 64-bit field at `offset` (of `offset_of!`) and leaves 0.
    pub(super) fn take_u64(&self, index: u32, offset: usize) -> u64 {
        self.field::<AtomicU64>(index, offset).map_or(0, |field| field.swap(0, Ordering::Relaxed))
    }

    /// `F` is an atomic integer.
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
