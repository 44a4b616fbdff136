//! Which code ran: samples of stacks become profiles.
//!
//! A sample has the registers and the top of a user stack ([`crate::probes::profile`]). [`process`] unwinds it with the
//! tables of the files that the process has mapped ([`files`]) into places in those files, which lose their meaning
//! neither when the process exits nor when it was loaded elsewhere. [`symbols`] names them, in a process of its own:
//! what it reads belongs to others, who may have written anything, or truncate it meanwhile. [`gather`] adds samples
//! up to profiles of a minute, by process, thread and cgroup.

pub mod files;
pub mod gather;
pub mod place;
pub mod process;
pub mod symbolizer;
pub mod symbols;
pub mod tree;
