//! PerfWatch: a Linux performance monitor that measures in the kernel.
//!
//! Modules stand in the order a reading passes through them; ARCHITECTURE.md has the picture.
//! Those that only measure stand without the `server` feature.

#[cfg(feature = "server")]
pub mod auth;
pub mod config;
#[cfg(feature = "server")]
pub mod pipeline;
pub mod probes;
pub mod snapshot;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod stream;
