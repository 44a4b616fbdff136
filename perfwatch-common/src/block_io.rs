//! Probe `block_io`: what the programs on the block layer's tracepoints keep, and where in the running kernel's
//! structs they find it. The arrays are mapped into user space.

use crate::cost;
use crate::histogram::Buckets;

/// The programs, by their place in the array of costs.
pub const PROGRAMS: [&str; 2] = ["issue", "complete"];
pub const ISSUE: usize = 0;
pub const COMPLETE: usize = 1;

/// One CPU's.
pub type Costs = cost::Costs<{ PROGRAMS.len() }>;

/// Kinds of requests, by their place among a device's.
pub const OPERATIONS: [&str; 4] = ["read", "write", "flush", "discard"];
pub const READ: u32 = 0;
pub const WRITE: u32 = 1;
pub const FLUSH: u32 = 2;
pub const DISCARD: u32 = 3;

/// Requests that may be on their way to devices at one time; of more the latency from issue is unknown.
pub const IN_FLIGHT: u32 = 16_384;

/// The place of devices that user space has not given one.
pub const UNKNOWN_DEVICE: u32 = 0;

/// A bit of the place of a device that is made of others: its requests are repeated by them.
pub const STACKED: u32 = 1 << 31;

/// Byte offsets of struct members in the running kernel, from its BTF.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Which argument of `block_rq_issue` the request is: the second before 5.11.
    pub issued_argument: u32,
    /// Where a request leads to its disk: `rq_disk`, or its queue since 5.17.
    pub request_link: u32,
    /// 1 if that link is the queue.
    pub link_is_queue: u32,
    pub queue_disk: u32,
    pub request_cmd_flags: u32,
    pub request_data_len: u32,
    pub request_start_time: u32,
    pub disk_major: u32,
    pub disk_first_minor: u32,
    pub request_bio: u32,
    /// Leads to the cgroup that a transfer is charged to; 0 in kernels without (`CONFIG_BLK_CGROUP`).
    pub bio_blkg: u32,
    pub blkg_blkcg: u32,
    pub blkcg_cgroup: u32,
    pub cgroup_kn: u32,
    pub kernfs_node_id: u32,
}

/// A request on its way to a device.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// `CLOCK_MONOTONIC`, ns.
    pub at_ns: u64,
    pub bytes: u64,
}

/// One kind of requests of one device, written by all CPUs.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Requests that completed.
    pub completed: u64,
    pub bytes: u64,
    pub errors: u64,
    /// Completed requests that were not seen when they were issued.
    pub unseen: u64,
    /// From issue to completion, ns.
    pub from_issue: Buckets,
    /// From when the request was made to its completion, ns.
    pub from_queue: Buckets,
    /// Bytes.
    pub size: Buckets,
}

impl Operation {
    pub const EMPTY: Self = Self {
        completed: 0,
        bytes: 0,
        errors: 0,
        unseen: 0,
        from_issue: Buckets::EMPTY,
        from_queue: Buckets::EMPTY,
        size: Buckets::EMPTY,
    };
}

const _: () = assert!(size_of::<Operation>() == 32 + 3 * size_of::<Buckets>());

/// The kernel's number of a device, as it encodes it itself.
pub const fn device(major: u32, minor: u32) -> u32 {
    major << 20 | minor
}

#[cfg(feature = "user")]
#[allow(unsafe_code)]
mod pod {
    // SAFETY: `repr(C)` and integers only, so every bit pattern is valid.
    unsafe impl aya::Pod for super::Offsets {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Operation {}
}
