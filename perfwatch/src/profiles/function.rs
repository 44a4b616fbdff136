//! What a frame is called, and whose it is.

use std::sync::Arc;

/// A function of the code that ran.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Function {
    pub name: Arc<str>,
    /// The file's name, or one of those below; empty if unknown.
    pub module: Arc<str>,
}

/// Module of the kernel's functions.
pub const KERNEL: &str = "[kernel]";
/// Module of code that a process made itself.
pub const GENERATED: &str = "[generated]";
/// Module of the outermost frame of an answer: a process's name.
pub const PROCESS: &str = "[process]";
/// Name of stacks that are too small to be kept apart.
pub const OTHER: &str = "[other]";

impl Function {
    pub fn new(name: &str, module: &str) -> Self {
        Self { name: name.into(), module: module.into() }
    }

    /// As flame graph tools want it: without what separates frames, the kernel's marked.
    pub fn folded(&self) -> String {
        let kernel = if &*self.module == KERNEL { "_[k]" } else { "" };
        format!("{}{kernel}", self.name.replace(';', ":"))
    }
}

/// Whose code it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// The process's name.
    pub process: Arc<str>,
    /// The thread's.
    pub thread: Arc<str>,
    /// Its cgroup's path; empty if unknown.
    pub cgroup: Arc<str>,
    /// 0 where processes are added up by name.
    pub pid: u32,
}

/// How the user stacks of samples ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stacks {
    /// At the outermost function.
    pub complete: u64,
    /// The stack is longer than what a sample carries.
    pub too_long: u64,
    /// At a function without unwind information, or with wrong ones.
    pub no_unwind_information: u64,
    /// The kernel gave no user registers.
    pub no_registers: u64,
    /// The process was gone before its mappings could be read.
    pub gone: u64,
    /// Its mappings may not be read.
    pub forbidden: u64,
}

impl Stacks {
    pub const KINDS: usize = 6;

    pub fn from_counts(counts: [u64; Self::KINDS]) -> Self {
        let [complete, too_long, no_unwind_information, no_registers, gone, forbidden] = counts;
        Self { complete, too_long, no_unwind_information, no_registers, gone, forbidden }
    }

    pub fn counts(&self) -> [u64; Self::KINDS] {
        [
            self.complete,
            self.too_long,
            self.no_unwind_information,
            self.no_registers,
            self.gone,
            self.forbidden,
        ]
    }

    pub fn total(&self) -> u64 {
        self.counts().iter().sum()
    }

    pub fn add(&mut self, other: &Self) {
        let mut counts = self.counts();
        counts.iter_mut().zip(other.counts()).for_each(|(count, other)| *count += other);
        *self = Self::from_counts(counts);
    }
}
