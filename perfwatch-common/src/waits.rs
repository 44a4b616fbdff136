//! Long waits for something other than a CPU, added up by where in the kernel tasks waited. Part of the probe `sched`.
//!
//! Of some waits the user stack is taken as they begin, like a sample of the running code. If such a wait turns out to
//! be long, [`Ended`] says so when it is over, and where in the kernel it was.

/// Addresses of a stack that are kept.
pub const DEPTH: usize = 48;
/// There are two maps: programs write to one while user space empties the other.
pub const MAPS: usize = 2;
/// Entries of each map, per CPU.
pub const ENTRIES: u32 = 2048;

/// ns of a window, as a power of two: 134 ms.
pub const WINDOW: u32 = 27;
/// Waits of one CPU and window that are all charged to their stacks. Of those beyond, the short ones are added up, and
/// whenever they make up [`SHORT`] (or [`MEDIUM`], of very many), all of that goes to the stack of the last: to each in
/// proportion to its time, and the sum is right.
pub const CHARGED: u32 = 64;
pub const SHORT: u64 = 16_000_000;
pub const MANY: u32 = 512;
pub const MEDIUM: u64 = 256_000_000;
/// User stacks of one CPU and window.
pub const TAKEN: u32 = 1;
/// Windows until the same task's turn comes again: two seconds. Others shall have theirs.
pub const PAUSE: u32 = 15;

/// Who waited where. A CPU has entries of its own, so that nobody else writes to them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// Of the addresses of the stack.
    pub hash: u64,
    /// The kernel's number of the task's cgroup.
    pub cgroup: u64,
    pub tgid: u32,
    pub cpu: u32,
    /// The thread's name.
    pub comm: [u8; 16],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    pub total: Total,
    /// Bytes of `stack` that are valid; negative is the kernel's error.
    pub bytes: i64,
    /// The innermost first.
    pub stack: [u64; DEPTH],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    pub count: u64,
    /// From when tasks blocked until they ran again.
    pub off_cpu_ns: u64,
    /// The part of it after they were woken, in which they waited for a CPU.
    pub runnable_ns: u64,
}

/// What a CPU needs to know to stay within bounds.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// The current window.
    pub window: u64,
    /// Waits and user stacks in it.
    pub waits: u32,
    pub stacks: u32,
    /// Short waits that are not charged yet.
    pub rest: Total,
    /// Waits that found no room in their map, and user stacks that found none in the ring buffer.
    pub lost: u64,
}

/// A long wait whose user stack was taken has ended.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    pub tid: u32,
    pub tgid: u32,
    /// That of its [`Key`].
    pub hash: u64,
    pub off_cpu_ns: u64,
}

const _: () =
    assert!(size_of::<Key>() == 40 && size_of::<Wait>() == 32 + 8 * DEPTH && size_of::<Ended>() == 24);

#[cfg(feature = "user")]
#[allow(unsafe_code)]
mod pod {
    // SAFETY: `repr(C)` and integers only, so every bit pattern is valid.
    unsafe impl aya::Pod for super::Key {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Wait {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Ended {}
}
