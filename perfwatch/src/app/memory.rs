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
/// machine it takes longer, so the next releases follow at growing distances: each costs as much as a tick, and again as
/// much when what was let go is used after all.
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
        pause = (pause * 6).min(LONGEST);
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

/// The code and constants of the program and the C library, neither of which is ever unmapped.
fn program() -> Vec<Part> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    unwritten_parts(&smaps, &[release as *const () as usize, libc::getpid as *const () as usize])
}

/// Lets go of code and constants. Most of them served the start; what still runs is mapped again from the page cache as
/// it is used.
fn release(program: &[Part]) {
    for part in program {
        // SAFETY: the part is a private mapping of a file, for as long as this process lasts, that nothing was ever
        // written to. What is read from it next is the file's content, as if the kernel had needed the memory.
        let _ = unsafe { madvise(part.start as *mut _, part.end - part.start, Advice::LinuxDontNeed) };
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    start: usize,
    end: usize,
    resident_kib: usize,
}

/// The mappings of the files that have something at these addresses, as far as they cannot be written and never were:
/// relocated constants are not among them.
fn unwritten_parts(smaps: &str, addresses: &[usize]) -> Vec<Part> {
    let mut files = Vec::new();
    let mut parts: Vec<(Part, &str)> = Vec::new();
    let mut read_only = false;
    for line in smaps.lines() {
        if let Some((start, end, access, inode)) = mapping(line) {
            if addresses.iter().any(|address| (start..end).contains(address)) {
                files.push(inode);
            }
            read_only = matches!(access, "r--p" | "r-xp") && inode != "0";
            if read_only {
                parts.push((Part { start, end, resident_kib: 0 }, inode));
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
    parts.into_iter().filter(|(_, inode)| files.contains(inode)).map(|(part, _)| part).collect()
}

/// `start-end access offset device inode path`: the addresses, the access and the inode, 0 where there is no file.
fn mapping(line: &str) -> Option<(usize, usize, &str, &str)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    let access = words.next()?;
    let inode = words.nth(2)?;
    Some((start, end, access, inode))
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
        let found = |addresses: &[usize]| {
            let parts = unwritten_parts(SMAPS, addresses);
            parts.iter().map(|part| (part.start, part.end, part.resident_kib)).collect::<Vec<_>>()
        };
        let constants = (0x55d0_c000_0000, 0x55d0_c010_0000, 512);
        let code = (0x55d0_c010_0000, 0x55d0_c080_0000, 7168);
        let library = (0x7f00_0000_0000, 0x7f00_0010_0000, 1000);
        assert_eq!(found(&[0x55d0_c010_0010]), [constants, code]);
        assert_eq!(found(&[0x7f00_0000_0000, 0x55d0_c090_0000]), [constants, code, library]);
        assert_eq!(found(&[0x1000]), []);
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
