//! From samples to named stacks.
//!
//! A sample has the registers and the top of a user stack. [`process`] unwinds it with the tables of the files that the
//! process has mapped ([`files`]) into places in those files, which lose their meaning neither when the process exits
//! nor when it was loaded elsewhere; [`gather`] adds up what came in some seconds. [`symbols`] names it, in a process of
//! its own ([`symbolizer`]): what it reads belongs to others, who may have written anything, or truncate it meanwhile.

pub mod files;
#[cfg(test)]
mod fuzz;
pub mod gather;
mod kernel_symbols;
pub mod place;
pub mod process;
mod recent;
pub mod symbolizer;
pub mod symbols;
mod tables;
mod waiting;
