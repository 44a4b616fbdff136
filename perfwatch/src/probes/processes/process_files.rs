//! A process's files in `/proc/[pid]`: its `stat`, `io` and `cgroup`.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::kernel_files::fields::{Fields, lines};

/// A `stat` takes some hundred bytes, a `cgroup` the names of its groups in each hierarchy.
pub(super) type Buffer = [u8; 16 * 1024];

/// `PF_KTHREAD` of the flags in `stat`.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// `TASK_COMM_LEN` minus the NUL.
const COMM: usize = 15;

/// Reads a file below `procfs` with as few system calls as possible: the kernel returns each of a process's files
/// whole at the first read.
pub(super) fn read<'a>(procfs: &OwnedFd, path: &str, buffer: &'a mut Buffer) -> Result<&'a [u8], Errno> {
    let file = rustix::fs::openat(procfs, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = rustix::io::read(&file, &mut buffer[..])?;
    Ok(&buffer[..length])
}

/// The fields used of a process's `stat`; see proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: String,
    /// User and system time in clock ticks.
    pub(super) cpu_ticks: u64,
    pub(super) threads: usize,
    /// Since boot, in clock ticks.
    pub(super) started: u64,
    pub(super) rss_pages: u64,
    pub(super) parent: u32,
    /// Page faults since it started: those that needed no storage, and those that did.
    pub(super) faults: (u64, u64),
}

impl Stat {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        // The name is in parentheses and may contain any byte but NUL.
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let name = text.get(open + 1..close)?;
        let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(22).collect();
        // Numbered as in the manual, where the name is field 2.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let kernel_thread = fields.get(6)?.parse::<u32>().ok()? & KERNEL_THREAD != 0;
        Some(Self {
            comm: comm(name, kernel_thread),
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            threads: fields.get(17)?.parse().ok()?,
            started: field(22)?,
            parent: fields.get(1)?.parse().ok()?,
            faults: (field(10)?, field(12)?),
            // Briefly negative, when the kernel's count is not exact.
            rss_pages: fields.get(21)?.parse::<i64>().ok()?.max(0).unsigned_abs(),
        })
    }
}

/// The kernel's name of a process, as in its accounting, from the form in `stat`: with line breaks and
/// backslashes escaped, kernel threads by their full name, and workers with their work queue.
fn comm(name: &[u8], kernel_thread: bool) -> String {
    let mut raw = Vec::with_capacity(name.len());
    let mut bytes = name.iter().copied();
    while let Some(byte) = bytes.next() {
        raw.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(other) => other,
                None => byte,
            },
            byte => byte,
        });
    }
    if kernel_thread {
        // `kworker/0:1-events` and `kworker/u8:0+flush-254:0`, but not `kworker/R-netns`.
        if raw.starts_with(b"kworker/")
            && let Some(colon) = raw.iter().position(|byte| *byte == b':')
            && let Some(work) = raw[colon..].iter().position(|byte| matches!(byte, b'-' | b'+'))
        {
            raw.truncate(colon + work);
        }
        raw.truncate(COMM);
    }
    String::from_utf8_lossy(&raw).into_owned()
}

/// What a process read from and wrote to storage; see proc_pid_io(5). Only its user may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) read_bytes: u64,
    /// Counted when page cache pages become dirty, minus what was deleted before it was written.
    pub(super) write_bytes: u64,
}

impl Io {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let value = |wanted: &[u8]| {
            lines(text).find_map(|line| {
                let mut words = Fields::new(line);
                (words.word() == Some(wanted)).then(|| words.number()).flatten()
            })
        };
        Some(Self { read_bytes: value(b"read_bytes:")?, write_bytes: value(b"write_bytes:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::stat;
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel_s_accounting() {
        let name =
            |name: &str, flags| Stat::parse(stat(1, name, flags, (0, 0), 0, 0).as_bytes()).unwrap().comm;
        for (told, meant) in [
            ("bash", "bash"),
            ("a) S (b", "a) S (b"),
            ("tab\there and \\\\ \\n", "tab\there and \\ \n"),
            ("kworker/0:1-events", "kworker/0:1-events"), // a user's own program
        ] {
            assert_eq!(name(told, 0x40_0000), meant);
        }
        for (told, meant) in [
            ("kworker/0:1-events", "kworker/0:1"),
            ("kworker/u8:0+flush-254:0", "kworker/u8:0"),
            ("kworker/1:2H", "kworker/1:2H"),
            ("kworker/R-netns", "kworker/R-netns"),
            ("kworker/R-blkcg_punt_bio", "kworker/R-blkcg"),
            ("migration/0", "migration/0"),
        ] {
            assert_eq!(name(told, KERNEL_THREAD | 0x40), meant);
        }
    }

    #[test]
    fn a_stat_that_is_cut_off_is_none() {
        let whole = stat(1, "x", 0, (3, 4), 77, -1);
        let parsed = Stat {
            comm: "x".into(),
            cpu_ticks: 7,
            threads: 5,
            started: 77,
            rss_pages: 0,
            parent: 1,
            faults: (9, 7),
        };
        assert_eq!(Stat::parse(whole.as_bytes()), Some(parsed));
        for end in 0..40 {
            assert_eq!(Stat::parse(&whole.as_bytes()[..end]), None, "{end}");
        }
    }

    #[test]
    fn storage_traffic_is_read_by_its_names() {
        let text = b"rchar: 9\nwchar: 8\nsyscr: 7\nsyscw: 6\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n";
        assert_eq!(Io::parse(text), Some(Io { read_bytes: 4096, write_bytes: 8192 }));
        assert_eq!(Io::parse(b"rchar: 9\nread_bytes: 4096\n"), None);
        assert_eq!(Io::parse(b""), None);
    }
}
