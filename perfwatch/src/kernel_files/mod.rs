//! Reading what the kernel shows in `/proc` and `/sys`: files that stay open, their fields, counters that wrap, and
//! the files that more than one source reads.
//!
//! A leaf: it imports none of our code, so collectors and probes read the same files in the same way.

pub mod block_devices;
pub mod counter;
pub mod fields;
pub mod file;
pub mod keyed;
pub mod own_cgroup;
pub mod snmp;
pub mod stat;
