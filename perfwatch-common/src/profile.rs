//! Probe `profile`: what a sample of the running code holds, and where in the running kernel's structs the program
//! finds it. Samples travel through a ring buffer; the array of costs is mapped into user space.

use crate::cost::Costs;

pub const PROGRAMS: [&str; 1] = ["sample"];
pub const SAMPLE: usize = 0;

/// Addresses of a stack at most: the kernel's own limit (`kernel.perf_event_max_stack`).
pub const FRAMES: usize = 127;
pub const PAGE: usize = 4096;
/// Pages of a user stack from its top on that a sample carries at most.
pub const PAGES: usize = 8;

/// Architectures whose registers the program knows.
pub const X86_64: u32 = 1;
pub const AARCH64: u32 = 2;

/// Byte offsets of struct members in the running kernel, from its BTF, and what the kernel is.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Constants {
    pub architecture: u32,
    /// Whether the kernel gives programs the user registers of a task (`bpf_task_pt_regs`, since 5.15).
    pub has_task_regs: u32,
    pub task_cgroups: u32,
    /// To the cgroup of a controller, or directly to that of the unified hierarchy.
    pub css_set_link: u32,
    pub link_is_css: u32,
    pub css_cgroup: u32,
    pub cgroup_kn: u32,
    pub kernfs_node_id: u32,
}

/// User registers that unwinding begins with.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registers {
    pub ip: u64,
    pub sp: u64,
    pub fp: u64,
    /// The link register, where the architecture has one.
    pub lr: u64,
}

/// All of a sample but its copy of the user stack.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    pub pid: u32,
    pub tid: u32,
    /// The cgroup's id in the hierarchy that counts.
    pub cgroup: u64,
    pub comm: [u8; 16],
    /// Zero where they are not known.
    pub registers: Registers,
    /// Bytes of `kernel` and `user` that are valid; negative is the kernel's error.
    pub kernel_bytes: i32,
    pub user_bytes: i32,
    /// Pages of the user stack that follow, from the one that `registers.sp` points into.
    pub pages: u32,
    pub cpu: u32,
    /// The innermost first.
    pub kernel: [u64; FRAMES],
    /// By the chain of frame pointers.
    pub user: [u64; FRAMES],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub head: Head,
    pub stack: [[u8; PAGE]; PAGES],
}

const _: () = assert!(size_of::<Head>().is_multiple_of(8));

/// One CPU's account.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    pub costs: Costs<{ PROGRAMS.len() }>,
    /// Samples that found no room in the ring buffer.
    pub lost: u64,
}

#[cfg(feature = "user")]
#[allow(unsafe_code)]
mod pod {
    // SAFETY: `repr(C)` and integers only, so every bit pattern is valid.
    unsafe impl aya::Pod for super::Constants {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Account {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Head {}
}
