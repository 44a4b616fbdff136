//! PerfWatch: a Linux performance monitor that measures in the kernel.
//!
//! Modules stand in the order a reading passes through them; ARCHITECTURE.md has the picture.

pub mod auth;
pub mod config;
pub mod pipeline;
pub mod probes;
pub mod snapshot;
pub mod store;
pub mod stream;
