//! Stacks for the tests of profiles.

use super::function::{Function, Who};
use super::table::Count;

/// A function per letter.
pub fn functions(letters: &str) -> Vec<Function> {
    letters.chars().map(|letter| Function::new(&letter.to_string(), "m")).collect()
}

pub fn who(process: &str, pid: u32) -> Who {
    Who { process: process.into(), thread: process.into(), cgroup: "/a.slice/b.service".into(), pid }
}

/// So many samples of 10 ns.
pub fn count(samples: u64) -> Count {
    Count { samples, value: samples * 10 }
}
