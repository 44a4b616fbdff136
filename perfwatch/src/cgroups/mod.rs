//! Control groups: which hierarchy tells tasks apart, which path belongs to the kernel's number of a group, what the
//! group is, and what people call it.
//!
//! A leaf: it reads files below the roots, and sockets that were configured; it knows nothing of documents.

mod handles;
mod hierarchy;
mod identity;
mod names;
mod paths;
mod walk;

pub use hierarchy::{Hierarchy, Throttled};
pub use identity::{Identity, Kind, Runtime};
pub use names::{Found, Named, Names};
pub use paths::Paths;
pub use walk::{Directory, walk};
