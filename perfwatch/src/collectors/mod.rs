//! What the kernel reports in `/proc` and `/sys`: one collector per document.
//!
//! Each collector reads a raw sample, derives its document purely from two raw samples and the monotonic time
//! between them, and keeps its descriptors and buffers from tick to tick: on a cold tick, opening and closing
//! a file costs as much again as reading it.

mod cpu;
mod disk;
mod memory;
mod network;
mod positions;
mod pressure;
mod rates;
#[cfg(test)]
mod testing;
mod vmstat;

use std::path::Path;

use crate::config::Roots;
use crate::kernel_files::file::ReadError;
use crate::snapshot::source::{Source, SourceError};

/// Makes a collector that has not read anything yet.
pub type New = fn(&Roots) -> Box<dyn Source>;

/// Every collector, in the order of their documents in a snapshot.
pub const REGISTRY: &[(&str, New)] = &[
    (cpu::NAME, |roots| Box::new(cpu::Cpu::new(roots))),
    (memory::NAME, |roots| Box::new(memory::Memory::new(roots))),
    (network::NAME, |roots| Box::new(network::Network::new(roots))),
    (disk::NAME, |roots| Box::new(disk::Disk::new(roots))),
    (vmstat::NAME, |roots| Box::new(vmstat::Vmstat::new(roots))),
    (pressure::NAME, |roots| Box::new(pressure::Pressure::new(roots))),
];

/// Whether `/proc/self` and `/proc/net` show what the user wants to see. If `/proc` belongs to another system
/// (a container that sees its host's), init's entries do.
fn has_own_procfs(roots: &Roots) -> bool {
    roots.procfs == Path::new("/proc")
}

impl From<ReadError> for SourceError {
    fn from(error: ReadError) -> Self {
        Self::io(error.path.display().to_string(), error.source)
    }
}

/// All collectors, none of which has read anything yet.
pub fn all(roots: &Roots) -> Vec<Box<dyn Source>> {
    REGISTRY.iter().map(|(_, new)| new(roots)).collect()
}

#[cfg(test)]
mod tests;
