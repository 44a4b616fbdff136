//! PerfWatch: a Linux performance monitor that measures in the kernel.
//!
//! Modules are in the order in which a reading passes through them; see ARCHITECTURE.md.
//! Those that only measure do not need the `server` feature.

pub mod config;
pub mod snapshot;
#[cfg(feature = "server")]
pub mod host;
pub mod kernel_files;
pub mod cgroups;
pub mod collectors;
pub mod probes;
#[cfg(feature = "server")]
pub mod pipeline;
#[cfg(feature = "server")]
pub mod stream;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod history;
#[cfg(feature = "server")]
pub mod profiles;
#[cfg(feature = "server")]
pub mod alerts;
#[cfg(feature = "server")]
pub mod fleet;
#[cfg(feature = "server")]
pub mod auth;
#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod doctor;
#[cfg(feature = "server")]
pub mod app;
#[cfg(test)]
mod mutation;
