//! Where code is.

use crate::profiles::function::Stacks;

/// A file that code was run from, as long as the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// What a process runs, until it runs something else, or another process has its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Image {
    pub pid: u32,
    /// Of when it was started, and where its memory is.
    pub hash: u32,
}

/// An address without its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Kernel(u64),
    /// In a file, as an address of its symbol table.
    File(FileId, u64),
    /// Code that a process made itself.
    Generated {
        by: Image,
        address: u64,
    },
    /// Not in anything that the process has mapped, as far as can be seen.
    Unknown,
    /// The stack went on; its rest could not be found.
    Cut,
    /// Not code: the task was woken, and waited for a CPU.
    RunQueue,
}

/// How the unwinding of a user stack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Complete,
    TooLong,
    NoWay,
    NoRegisters,
    Gone,
    Forbidden,
}

impl Ended {
    /// Counts it.
    pub fn note(self, stacks: &mut Stacks) {
        let count = match self {
            Self::Complete => &mut stacks.complete,
            Self::TooLong => &mut stacks.too_long,
            Self::NoWay => &mut stacks.no_unwind_information,
            Self::NoRegisters => &mut stacks.no_registers,
            Self::Gone => &mut stacks.gone,
            Self::Forbidden => &mut stacks.forbidden,
        };
        *count += 1;
    }
}
