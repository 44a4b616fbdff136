//! Which code ran, and which waited: stacks become profiles, which are kept and compared.
//!
//! [`samples`] makes named stacks of what the probes took. The [`archive`] keeps their sums by minute, hour and day, as
//! [tables](table) that are stored like history's chunks, and answers from them: with a [flame graph](flame), a
//! [comparison](compare), or a file for other tools ([`pprof`]).

pub mod archive;
pub mod builder;
pub mod compare;
pub mod flame;
pub mod function;
mod numbered;
pub mod pprof;
// The unwinder knows these two.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub mod samples;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod tree;
