//! `/proc/[pid]/mountinfo` as is: see proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde::Serialize;

use crate::kernel_files::fields::{lines, text};

/// One line. Names are bytes: whoever mounts chooses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Major and minor number, as written there.
    pub(super) device: Option<(u32, u32)>,
    /// The part of the file system that is mounted.
    pub(super) root: Vec<u8>,
    pub(super) point: Vec<u8>,
    pub(super) fstype: String,
    pub(super) source: String,
    pub(super) access: Access,
}

/// Whether it can be written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Access {
    #[default]
    Rw,
    /// Mounted so.
    Ro,
    /// Mounted to be written to, but the file system itself is read-only: so the kernel leaves it after errors.
    ForcedRo,
}

impl Mount {
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.point.clone()))
    }
}

/// The mounts in table order. Malformed lines are skipped.
pub(super) fn parse(table: &[u8]) -> Vec<Mount> {
    lines(table).filter_map(line).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS`. Fields are separated by exactly one space,
/// because the source may be empty.
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u32>().ok();
    let (_id, _parent) = (number()?, number()?);
    let device = device(fields.next()?);
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    if point.first() != Some(&b'/') {
        return None;
    }
    let mount_options = fields.next()?;
    fields.find(|tag| *tag == b"-")?;
    let fstype = text(&unescape(fields.next()?));
    let source = text(&unescape(fields.next().unwrap_or_default()));
    let access = match (is_read_only(mount_options), fields.next().is_some_and(is_read_only)) {
        (true, _) => Access::Ro,
        (false, true) => Access::ForcedRo,
        (false, false) => Access::Rw,
    };
    (!fstype.is_empty()).then_some(Mount { device, root, point, fstype, source, access })
}

/// Options are separated by commas, and this one comes first.
fn is_read_only(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').next() == Some(b"ro")
}

fn device(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Undoes the kernel's escapes of whitespace and backslashes: `\040` and the like.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text;
    while let [first, rest @ ..] = bytes {
        match bytes {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                plain.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                bytes = rest;
            }
            _ => {
                plain.push(*first);
                bytes = rest;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_by_its_places() {
        let mounts =
            parse(b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw\n");
        let mount = Mount {
            device: Some((98, 0)),
            root: b"/mnt1".to_vec(),
            point: b"/mnt 2".to_vec(),
            fstype: "ext3".into(),
            source: "/dev/root".into(),
            access: Access::Rw,
        };
        assert_eq!(mounts, [mount]);
    }

    #[test]
    fn sources_may_be_empty_or_a_dash() {
        let table =
            b"1 0 0:5 / /a rw - nfs  rw\n2 0 0:6 / /b rw shared:3 - fuse - rw\n3 0 0:7 / /c rw - 9p\n";
        let sources: Vec<String> = parse(table).into_iter().map(|mount| mount.source).collect();
        assert_eq!(sources, ["", "-", ""]);
    }

    #[test]
    fn what_the_kernel_made_read_only_is_told_from_what_was_mounted_so() {
        let table = b"1 0 8:1 / /a rw,noatime - ext4 /dev/sda1 rw,errors=remount-ro\n\
            2 0 8:2 / /b ro,noatime - ext4 /dev/sda2 ro\n3 0 8:3 / /c rw - ext4 /dev/sda3 ro,errors=remount-ro\n\
            4 0 8:4 / /d ro - ext4 /dev/sda4 rw\n5 0 8:5 / /e rw - ext4 /dev/sda5\n";
        let access: Vec<Access> = parse(table).into_iter().map(|mount| mount.access).collect();
        assert_eq!(access, [Access::Rw, Access::Ro, Access::ForcedRo, Access::Ro, Access::Rw]);
    }

    #[test]
    fn broken_lines_cost_no_other() {
        let table = b"\n\0\0\0\n22 1 8:1 / / rw\nx\n22 1 8:1 / relative rw - ext4 a rw\n\
            23 1 8:2 / /J\xfcrgen rw - ext4 /dev/sda2 rw\n24 1 odd / /x rw - ext4 /dev/sda3 rw\n25 1 8";
        let mounts = parse(table);
        let points: Vec<&[u8]> = mounts.iter().map(|mount| &mount.point[..]).collect();
        assert_eq!(points, [&b"/J\xfcrgen"[..], b"/x"]);
        assert_eq!(mounts[1].device, None);
    }
}
