//! The ABI shared by eBPF programs and user space.
#![no_std]
