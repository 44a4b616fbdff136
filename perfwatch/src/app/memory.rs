//! Keeping the resident set small: a monitor must not be what fills the machine.
#![allow(unsafe_code)] // mallopt, malloc_trim and madvise have no safe wrapper

use std::sync::LazyLock;
use std::time::Duration;

use rustix::mm::{Advice, madvise};

/// Tells glibc's allocator to keep little of what was freed: few arenas, where by default each thread may have one,
/// and thresholds that stay put, where by default one large buffer raises them to twice its size for good. The end
/// of an arena is released only by them, not by `malloc_trim`.
pub(super) fn keep_small() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, 256 << 10), (libc::M_TRIM_THRESHOLD, 512 << 10)]
    {
        // SAFETY: called before any other thread exists; unknown parameters are ignored.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// By then most sources are set up and the live charts filled, which takes many times what running does. On a busy
/// machine it takes longer, so the next releases follow at growing distances.
const FIRST: Duration = Duration::from_secs(10);
/// Long queries and exports leave holes behind that the allocator would keep.
const LONGEST: Duration = Duration::from_secs(600);

/// Returns memory that is not used any more to the system, after the start and then now and again.
pub(super) async fn keep_releasing() {
    let mut pause = FIRST;
    // Telling them apart takes longer than letting go of them.
    let program = LazyLock::new(program);
    loop {
        tokio::time::sleep(pause).await;
        release_unused(&program);
        pause = (pause * 2).min(LONGEST);
    }
}

fn release_unused(program: &[Part]) {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
    release(program);
}

/// The program's own code and constants.
fn program() -> Vec<Part> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    unwritten_parts(&smaps, release as *const () as usize)
}

/// Lets go of code and constants. Most of them served the start; what still runs is mapped again from the page cache as
/// it is used.
fn release(program: &[Part]) {
    for part in program {
        // SAFETY: the part is a private mapping of the executable that nothing was ever written to, so what is read
        // from it next is the same as before. The file cannot change while it is executed.
        let _ = unsafe { madvise(part.start as *mut _, part.end - part.start, Advice::LinuxDontNeed) };
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    start: usize,
    end: usize,
    resident_kib: usize,
}

/// The mappings of the file that `address` lies in which cannot be written and never were: relocated constants are
/// not among them.
fn unwritten_parts(smaps: &str, address: usize) -> Vec<Part> {
    let mut file = None;
    let mut parts: Vec<(Part, &str)> = Vec::new();
    let mut read_only = false;
    for line in smaps.lines() {
        if let Some((range, access, inode)) = mapping(line) {
            read_only = matches!(access, "r--p" | "r-xp") && !inode.ends_with(" 0");
            if range.contains(&address) {
                file = Some(inode);
            }
            if read_only {
                parts.push((Part { start: range.start, end: range.end, resident_kib: 0 }, inode));
            }
        } else if read_only
            && let Some((name, kib)) = line.split_once(':')
            && let Some(kib) = kib.trim().strip_suffix(" kB").and_then(|kib| kib.parse().ok())
        {
            match name {
                "Rss" => {
                    if let Some((part, _)) = parts.last_mut() {
                        part.resident_kib = kib;
                    }
                }
                "Anonymous" if kib > 0 => {
                    parts.pop();
                    read_only = false;
                }
                _ => {}
            }
        }
    }
    parts.into_iter().filter(|(_, inode)| Some(*inode) == file).map(|(part, _)| part).collect()
}

/// `start-end access offset device inode path`: the addresses, the access, and the device with the inode.
fn mapping(line: &str) -> Option<(std::ops::Range<usize>, &str, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (access, rest) = rest.split_once(' ')?;
    let (_offset, rest) = rest.split_once(' ')?;
    let inode = rest.match_indices(' ').nth(1).map_or(rest, |(end, _)| &rest[..end]);
    Some((number(start)?..number(end)?, access, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0100000 r--p 00000000 fe:00 77 /bin/perfwatch
Rss:                 512 kB
Anonymous:             0 kB
55d0c0100000-55d0c0800000 r-xp 00100000 fe:00 77 /bin/perfwatch
Rss:                7168 kB
Anonymous:             0 kB
55d0c0800000-55d0c0900000 r--p 00800000 fe:00 77 /bin/perfwatch
Rss:                 600 kB
Anonymous:           600 kB
55d0c0900000-55d0c0901000 rw-p 00900000 fe:00 77 /bin/perfwatch
Rss:                   4 kB
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 78 /lib/libc.so.6
Rss:                1000 kB
Anonymous:             0 kB
7f0000200000-7f0000300000 r--p 00000000 00:00 0
Rss:                   0 kB
Anonymous:             0 kB
";

    #[test]
    fn only_what_was_never_written_is_let_go() {
        let found = |address| {
            let parts = unwritten_parts(SMAPS, address);
            parts.iter().map(|part| (part.start, part.resident_kib)).collect::<Vec<_>>()
        };
        assert_eq!(found(0x55d0_c010_0010), [(0x55d0_c000_0000, 512), (0x55d0_c010_0000, 7168)]);
        assert_eq!(found(0x7f00_0000_0000), [(0x7f00_0000_0000, 1000)]);
        assert_eq!(found(0x1000), []);
    }

    #[test]
    fn code_that_was_let_go_is_there_when_it_runs() {
        let resident = || program().iter().map(|part| part.resident_kib).sum::<usize>();
        assert!(!program().is_empty());
        for part in program() {
            // SAFETY: mapped, and only read.
            let all =
                unsafe { madvise(part.start as *mut _, part.end - part.start, Advice::LinuxPopulateRead) };
            if let Err(error) = all {
                println!(
                    "SKIPPED: code_that_was_let_go_is_there_when_it_runs: cannot read all of it: {error}"
                );
                return;
            }
        }
        let all = resident();
        release(&program());
        // Other tests run on meanwhile, but hardly through all that there is.
        let left = resident();
        assert!(left < all, "{left} of {all} KiB");
    }
}
