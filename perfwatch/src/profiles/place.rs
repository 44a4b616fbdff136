//! Where code is.

/// A file that code was run from, as long as the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// An address without its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Kernel(u64),
    /// In a file, as an address of its symbol table.
    File(FileId, u64),
    /// Code that a process made itself.
    Generated {
        pid: u32,
        address: u64,
    },
    /// Not in anything that the process has mapped, as far as can be seen.
    Unknown,
    /// The stack went on; its rest could not be found.
    Cut,
}

/// How the unwinding of a user stack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// At the outermost function.
    Complete,
    /// The stack is longer than what a sample carries.
    TooLong,
    /// A function without unwind information, or with wrong ones.
    NoWay,
    /// The kernel gave no user registers.
    NoRegisters,
    /// The process was gone before its mappings could be read.
    Gone,
    /// Its mappings may not be read.
    Forbidden,
}
