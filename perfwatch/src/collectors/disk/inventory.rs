//! Which lines of `/proc/diskstats` are what: disks, devices made of disks, partitions, loop devices.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::collectors::fields::{self, Fields, lines};
use crate::config::Roots;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole disk: the only kind that counts towards totals.
    Disk,
    /// dm, md and the like: its I/O is counted again by the disks below.
    Stacked,
    /// Partitions (counted by their disk), loop devices (by the file below), RAM disks: left out.
    Other,
}

#[derive(Debug)]
struct Line {
    /// The line up to the end of the device's name.
    head: Vec<u8>,
    name: Arc<str>,
    kind: Kind,
}

/// The devices in the order of the file.
#[derive(Debug)]
pub(super) struct Inventory {
    block: PathBuf,
    lines: Vec<Line>,
}

impl Inventory {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { block: roots.sys("block"), lines: Vec::new() }
    }

    /// Calls `each` with every disk and stacked device and the counters behind its name.
    ///
    /// Devices are looked up in `/sys` only when a line's device is another than in the text before.
    pub(super) fn walk(&mut self, text: &[u8], mut each: impl FnMut(&Arc<str>, Kind, &[u8])) {
        if !self.describes(text) {
            let has_sysfs = self.block.is_dir();
            self.lines = lines(text).filter_map(|line| self.line(line, has_sysfs)).collect();
        }
        for (line, known) in lines(text).zip(&self.lines) {
            if known.kind != Kind::Other {
                each(&known.name, known.kind, line.strip_prefix(&known.head[..]).unwrap_or_default());
            }
        }
    }

    fn describes(&self, text: &[u8]) -> bool {
        let mut known = self.lines.iter();
        let same = lines(text).all(|line| {
            known.next().is_some_and(|known| {
                line.strip_prefix(&known.head[..]).is_some_and(|rest| matches!(rest, [b' ', ..] | []))
            })
        });
        same && known.next().is_none()
    }

    fn line(&self, line: &[u8], has_sysfs: bool) -> Option<Line> {
        let mut words = Fields::new(line);
        words.skip(2)?; // major and minor
        let name = fields::text(words.word()?);
        let head = line[..line.len() - words.rest().len()].to_vec();
        let kind = if has_sysfs { self.kind(&name) } else { kind_by_name(&name) };
        Some(Line { head, name: name.into(), kind })
    }

    fn kind(&self, name: &str) -> Kind {
        let folder = self.block.join(name.replace('/', "!"));
        if is_memory_or_loop(name) || !folder.is_dir() {
            return Kind::Other; // partitions stand under their disk, not here
        }
        let stacked = ["dm", "md", "bcache"].iter().any(|kind| folder.join(kind).is_dir())
            || fs::read_dir(folder.join("slaves")).is_ok_and(|mut slaves| slaves.next().is_some());
        if stacked { Kind::Stacked } else { Kind::Disk }
    }
}

fn is_memory_or_loop(name: &str) -> bool {
    ["loop", "ram", "zram"].iter().any(|prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Without `/sys`: by the names that drivers have always given.
fn kind_by_name(name: &str) -> Kind {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let letters = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
    if name.strip_prefix("dm-").is_some_and(digits) || name.strip_prefix("md").is_some_and(digits) {
        return Kind::Stacked;
    }
    let lettered =
        ["sd", "vd", "xvd", "hd"].iter().any(|driver| name.strip_prefix(driver).is_some_and(letters));
    let numbered = ["mmcblk", "sr", "nbd"].iter().any(|driver| name.strip_prefix(driver).is_some_and(digits));
    let nvme = name
        .strip_prefix("nvme")
        .and_then(|rest| rest.split_once('n'))
        .is_some_and(|(controller, namespace)| digits(controller) && digits(namespace));
    if lettered || numbered || nvme { Kind::Disk } else { Kind::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_disks_from_their_partitions() {
        for disk in ["sda", "sdaa", "vda", "xvdb", "nvme0n1", "nvme10n12", "mmcblk0", "sr0"] {
            assert_eq!(kind_by_name(disk), Kind::Disk, "{disk}");
        }
        for other in
            ["sda1", "nvme0n1p1", "mmcblk0p2", "mmcblk0boot0", "loop0", "ram0", "zram0", "sd", "nvme0"]
        {
            assert_eq!(kind_by_name(other), Kind::Other, "{other}");
        }
        assert_eq!((kind_by_name("dm-0"), kind_by_name("md127")), (Kind::Stacked, Kind::Stacked));
    }
}
