//! The ABI shared by eBPF programs and user space: one file per probe, `repr(C)` types and indices.
#![no_std]

pub mod block_io;
pub mod cost;
pub mod counters;
pub mod groups;
pub mod histogram;
pub mod profile;
pub mod sched;
pub mod tcp;
pub mod waits;
