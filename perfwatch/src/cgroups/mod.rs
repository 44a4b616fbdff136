//! Control groups: which hierarchy tells tasks apart, which path belongs to the kernel's number of a group, what the
//! group is, and what people call it.
//!
//! A leaf: it reads files below the roots, and sockets that were configured; it knows nothing of documents.

mod identity;

pub use identity::{Identity, Kind, Runtime};
