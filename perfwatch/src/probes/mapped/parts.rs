//! Which parts of a large array are mapped: those that were read recently. Mapped pages count as our memory, and of a
//! table by PID few pages are read in any minute.
#![allow(unsafe_code)] // mmap(2)

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

/// A multiple of the size of a page on every machine.
const PART: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    /// Not read since the last [`Parts::release_idle`].
    Idle,
    Used,
}

#[derive(Debug)]
pub(super) struct Parts {
    map: OwnedFd,
    base: NonNull<u8>,
    size: usize,
    states: Box<[Cell<State>]>,
}

impl Parts {
    /// Reserves addresses for `size` bytes of the map, with nothing behind them yet.
    pub(super) fn reserve(map: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        let map = map.try_clone_to_owned()?;
        // SAFETY: a new mapping at an address the kernel chooses; the result is checked.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, UNBACKED, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let states = vec![Cell::new(State::Absent); size.div_ceil(PART)].into_boxed_slice();
        Ok(Self { map, base, size, states })
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Maps the part at `start`; false if the kernel has no memory for it.
    pub(super) fn need(&self, start: usize, length: usize) -> bool {
        (start / PART..=(start + length - 1) / PART).all(|part| {
            let Some(state) = self.states.get(part) else { return false };
            let there = state.get() != State::Absent || self.map_part(part);
            if there {
                state.set(State::Used);
            }
            there
        })
    }

    /// Unmaps what was not needed since the last time.
    pub(super) fn release_idle(&mut self) {
        for part in 0..self.states.len() {
            match self.states[part].get() {
                State::Absent => {}
                State::Used => self.states[part].set(State::Idle),
                State::Idle => {
                    if self.replace(part, libc::PROT_NONE, UNBACKED, -1, 0) {
                        self.states[part].set(State::Absent);
                    }
                }
            }
        }
    }

    fn map_part(&self, part: usize) -> bool {
        let Ok(offset) = libc::off_t::try_from(part * PART) else { return false };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        self.replace(part, access, libc::MAP_SHARED, self.map.as_raw_fd(), offset)
    }

    fn replace(&self, part: usize, access: i32, flags: i32, file: i32, offset: libc::off_t) -> bool {
        let start = part * PART;
        let length = PART.min(self.size - start);
        // SAFETY: within what `reserve` took. References into a part that is let go would need `self` to be borrowed,
        // and `release_idle` borrows it mutably.
        unsafe {
            let at = self.base.add(start).as_ptr().cast();
            libc::mmap(at, length, access, flags | libc::MAP_FIXED, file, offset) == at
        }
    }

    #[cfg(test)]
    pub(super) fn mapped(&self) -> usize {
        self.states.iter().filter(|state| state.get() != State::Absent).count()
    }
}

const UNBACKED: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

impl Drop for Parts {
    fn drop(&mut self) {
        // SAFETY: exactly what `reserve` took, with whatever lies in it; nothing borrows from it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn parts_come_when_they_are_needed_and_go_when_they_are_not() {
        // A file instead of a kernel map.
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3 * PART + 100).map(|at| (at / 7) as u8).collect();
        file.write_all(&content).unwrap();
        let mut parts = Parts::reserve(file.as_fd(), content.len()).unwrap();
        assert_eq!(parts.mapped(), 0);

        let read = |parts: &Parts, at: usize, length: usize| {
            assert!(parts.need(at, length));
            // SAFETY: `need` has mapped it.
            unsafe { std::slice::from_raw_parts(parts.base().add(at).as_ptr(), length) }.to_vec()
        };
        // Across two parts, and up to the very end.
        assert_eq!(read(&parts, PART - 5, 10), content[PART - 5..PART + 5]);
        assert_eq!(parts.mapped(), 2);
        assert_eq!(read(&parts, 3 * PART + 90, 10), content[3 * PART + 90..]);
        assert_eq!(parts.mapped(), 3);
        assert!(!parts.need(4 * PART, 1));

        parts.release_idle();
        assert_eq!(parts.mapped(), 3, "all were read since");
        assert_eq!(read(&parts, PART, 4), content[PART..PART + 4]);
        parts.release_idle();
        assert_eq!(parts.mapped(), 1, "only the one in the middle was read since");
        assert_eq!(read(&parts, 0, 4), content[..4]);
        // What is written reaches the file, even if it was unmapped before.
        assert!(parts.need(2 * PART, 1));
        // SAFETY: `need` has mapped it.
        unsafe { parts.base().add(2 * PART).write_volatile(!content[2 * PART]) };
        parts.release_idle();
        parts.release_idle();
        assert_eq!(parts.mapped(), 0);
        assert_eq!(read(&parts, 2 * PART, 1), [!content[2 * PART]]);
    }
}
