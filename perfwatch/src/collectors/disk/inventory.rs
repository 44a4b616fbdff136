//! Classifies the lines of `/proc/diskstats`: disks, devices made of disks, partitions, loop devices.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Roots;
use crate::kernel_files::block_devices::{Kind, kinds};
use crate::kernel_files::fields::{self, Fields, lines};

#[derive(Debug)]
struct Line {
    /// The line up to the end of the device's name.
    head: Vec<u8>,
    /// `None` for what is left out: partitions, loop devices and RAM disks, and lines without a device.
    name: Option<Arc<str>>,
    kind: Kind,
}

/// The devices in file order.
#[derive(Debug)]
pub(super) struct Inventory {
    block: PathBuf,
    lines: Vec<Line>,
}

impl Inventory {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { block: roots.sys("block"), lines: Vec::new() }
    }

    /// Calls `each` with every disk and stacked device and the counters after its name.
    ///
    /// Devices are looked up in `/sys` only when a line's device differs from the previous text.
    pub(super) fn walk(&mut self, text: &[u8], mut each: impl FnMut(&Arc<str>, Kind, &[u8])) {
        if !self.describes(text) {
            self.lines = self.describe(text);
        }
        for (line, known) in lines(text).zip(&self.lines) {
            if let Some(name) = &known.name {
                each(name, known.kind, line.strip_prefix(&known.head[..]).unwrap_or_default());
            }
        }
    }

    fn describe(&self, text: &[u8]) -> Vec<Line> {
        let heads: Vec<Option<(Vec<u8>, String)>> = lines(text).map(head).collect();
        let names: Vec<&str> = heads.iter().flatten().map(|(_, name)| name.as_str()).collect();
        let mut kinds = kinds(&self.block, &names).into_iter();
        lines(text)
            .zip(&heads)
            .map(|(line, found)| {
                let known = found.as_ref().zip(found.as_ref().and_then(|_| kinds.next()));
                let Some(((head, name), kind)) = known else {
                    return Line { head: line.to_vec(), name: None, kind: Kind::Partition };
                };
                let shown = matches!(kind, Kind::Disk | Kind::Stacked);
                Line { head: head.clone(), name: shown.then(|| name.as_str().into()), kind }
            })
            .collect()
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
}

/// The line up to the end of the device's name, and that name; `None` for a line without a device.
fn head(line: &[u8]) -> Option<(Vec<u8>, String)> {
    let mut words = Fields::new(line);
    let (_major, _minor) = (words.number()?, words.number()?);
    let name = fields::text(words.word()?);
    Some((line[..line.len() - words.rest().len()].to_vec(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inventory: &mut Inventory, text: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        inventory.walk(text, |name, _, numbers| {
            names.push(format!("{name}:{}", String::from_utf8_lossy(numbers).trim()));
        });
        names
    }

    #[test]
    fn broken_lines_move_no_numbers_to_another_device() {
        let mut inventory = Inventory::new(&Roots { sysfs: "/nowhere".into(), ..Roots::default() });
        for broken in [&b""[..], b"8", b"   8   ", b"\0\0\0", b"\xff\xfe 1 sdz 5", b"garbage of words here"] {
            let text = [b"8 0 sda 1\n", broken, b"\n8 16 sdb 2\n"].concat();
            assert_eq!(names(&mut inventory, &text), ["sda:1", "sdb:2"], "{}", broken.escape_ascii());
        }
        assert_eq!(names(&mut inventory, b"8 0 sda 1\n8 16 sdb 3\n"), ["sda:1", "sdb:3"]);
    }
}
