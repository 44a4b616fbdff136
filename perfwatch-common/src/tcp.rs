//! Probe `tcp`: what the programs on TCP's tracepoints keep, and where in the running kernel's structs they find
//! it. The array is mapped into user space.

use crate::cost::Costs;
use crate::histogram::Buckets;

/// The programs, by their place in [`Tcp::costs`].
pub const PROGRAMS: [&str; 6] = ["received", "state", "retransmit", "reset_sent", "reset_received", "synack"];
pub const RECEIVED: usize = 0;
pub const STATE: usize = 1;
pub const RETRANSMIT: usize = 2;
pub const RESET_SENT: usize = 3;
pub const RESET_RECEIVED: usize = 4;
pub const SYNACK: usize = 5;

/// Connections that may be being opened at one time; of more the latency is unknown.
pub const CONNECTING: u32 = 16_384;

/// Byte offsets of struct members in the running kernel, from its BTF.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    pub sock_protocol: u32,
    /// Of `struct tcp_sock`, which begins with a `struct sock`.
    pub tcp_sock_srtt_us: u32,
    pub skb_cb: u32,
    /// Of `struct tcp_skb_cb`, which lies in that.
    pub cb_gso_segs: u32,
}

/// What one CPU saw. Programs on it may interrupt each other: everything is added atomically.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Segments, not buffers: one buffer holds many with segmentation offload.
    pub retransmits: u64,
    pub resets_sent: u64,
    pub resets_received: u64,
    /// Connections that were opened from here.
    pub connects: u64,
    /// Attempts to that failed.
    pub connect_failures: u64,
    /// Connections that others opened to here.
    pub accepts: u64,
    pub costs: Costs<{ PROGRAMS.len() }>,
    /// From the first SYN until the connection stood, ns.
    pub connect_latency: Buckets,
    /// The kernel's smoothed round-trip time when an application received data and when a connection ended, ns.
    pub smoothed_rtt: Buckets,
}

#[cfg(feature = "user")]
#[allow(unsafe_code)]
mod pod {
    // SAFETY: `repr(C)` and integers only, so every bit pattern is valid.
    unsafe impl aya::Pod for super::Offsets {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Tcp {}
}
