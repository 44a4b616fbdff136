//! The space on a file system, from statvfs(2).

use std::path::PathBuf;

use rustix::fs::StatVfs;
use serde::Serialize;

use crate::snapshot::derive::{percent, round};

/// A number is `null` while the file system does not answer, and where it reports an impossible value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Space {
    pub(super) total_bytes: Option<u64>,
    pub(super) used_bytes: Option<u64>,
    /// Available to ordinary users.
    pub(super) free_bytes: Option<u64>,
    /// Of the space available to ordinary users, like df(1).
    pub(super) usage_percent: Option<f64>,
    /// Of the inodes; unknown where there is no fixed number.
    pub(super) inodes_percent: Option<f64>,
}

impl From<StatVfs> for Space {
    fn from(fs: StatVfs) -> Self {
        // Some FUSE daemons fill in only one of the two sizes, as statvfs(3) permits.
        let size = if fs.f_frsize == 0 { fs.f_bsize } else { fs.f_frsize };
        let bytes = |blocks: u64| blocks.checked_mul(size).filter(|bytes| *bytes <= i64::MAX as u64);
        // An overfull file system reports negative counts, and these numbers are unsigned.
        let unreserved = |blocks: u64| if blocks > i64::MAX as u64 { 0 } else { blocks };
        let Some(total) = bytes(fs.f_blocks) else { return Self::default() };
        let free = unreserved(fs.f_bfree);
        if free > fs.f_blocks {
            return Self { total_bytes: Some(total), ..Self::default() };
        }
        // More than the total is a negative number of fewer bits.
        let available = if fs.f_bavail > fs.f_blocks { 0 } else { fs.f_bavail.min(free) };
        let used = bytes(fs.f_blocks - free);
        let available = bytes(available);
        let inodes = inodes_percent(&fs);
        let share = used.zip(available).and_then(|(used, free)| percent(used, used.saturating_add(free)));
        Self {
            total_bytes: Some(total),
            used_bytes: used,
            free_bytes: available,
            usage_percent: share.map(|p| round(p, 2)),
            inodes_percent: inodes,
        }
    }
}

/// Used share of the inodes available to ordinary users, as `df -i` shows it.
fn inodes_percent(fs: &StatVfs) -> Option<f64> {
    let used = fs.f_files.checked_sub(fs.f_ffree).filter(|_| fs.f_files > 0)?;
    let available = fs.f_favail.min(fs.f_ffree);
    percent(used, used.saturating_add(available)).map(|p| round(p, 2))
}

/// Where a file system's space is queried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// The device number that stat(2) must report there: otherwise the path leads to what is mounted over it, or to the
    /// folder that a mount would have covered.
    pub(super) device: Option<(u32, u32)>,
}

impl Place {
    /// Whether the path leads to this file system.
    pub(super) fn is_visible(&self) -> bool {
        let Ok(stat) = rustix::fs::stat(&self.path) else { return false };
        let found = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        self.device.is_none_or(|device| device == found)
    }

    /// Its answer; this may block for as long as the file system likes.
    pub(super) fn ask(&self) -> Option<Space> {
        rustix::fs::statvfs(&self.path).ok().map(Space::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::fs::StatVfsMountFlags;

    fn space(blocks: u64, free: u64, available: u64) -> Space {
        sized(blocks, free, available, 4096, 4096)
    }

    fn sized(f_blocks: u64, f_bfree: u64, f_bavail: u64, f_bsize: u64, f_frsize: u64) -> Space {
        Space::from(StatVfs {
            f_bsize,
            f_frsize,
            f_blocks,
            f_bfree,
            f_bavail,
            f_files: 0,
            f_ffree: 0,
            f_favail: 0,
            f_fsid: 0,
            f_flag: StatVfsMountFlags::empty(),
            f_namemax: 255,
        })
    }

    #[test]
    fn more_than_full_is_full() {
        for below_zero in [u64::MAX - 39, u64::from(u32::MAX) - 39] {
            let full = space(1000, 10, below_zero);
            assert_eq!((full.free_bytes, full.usage_percent), (Some(0), Some(100.0)), "{below_zero}");
            assert_eq!(full.used_bytes, Some(990 * 4096));
        }
        let full = space(1000, u64::MAX - 9, u64::MAX - 9);
        assert_eq!((full.used_bytes, full.free_bytes), (Some(1000 * 4096), Some(0)));
    }

    #[test]
    fn what_cannot_be_is_not_known() {
        let more_free_than_there_is = space(1000, 5000, 5000);
        assert_eq!(more_free_than_there_is.total_bytes, Some(1000 * 4096));
        assert_eq!(more_free_than_there_is.usage_percent, None);
        assert_eq!(more_free_than_there_is.free_bytes, None);
        assert_eq!(space(u64::MAX, u64::MAX, u64::MAX), Space::default());
        assert_eq!(space(0, 0, 0).usage_percent, None, "a file system without blocks");
    }

    #[test]
    fn inodes_are_shown_where_their_number_is_fixed() {
        let of = |files, free, available| {
            let answer = StatVfs {
                f_bsize: 4096,
                f_frsize: 4096,
                f_blocks: 1000,
                f_bfree: 500,
                f_bavail: 400,
                f_files: files,
                f_ffree: free,
                f_favail: available,
                f_fsid: 0,
                f_flag: StatVfsMountFlags::empty(),
                f_namemax: 255,
            };
            Space::from(answer).inodes_percent
        };
        assert_eq!(of(1000, 250, 250), Some(75.0));
        assert_eq!(of(1000, 0, 0), Some(100.0));
        assert_eq!(of(0, 0, 0), None, "such as on btrfs");
        assert_eq!(of(10, 20, 20), None, "more free than there are");
    }

    #[test]
    fn either_block_size_will_do() {
        assert_eq!(sized(1000, 500, 400, 4096, 0), sized(1000, 500, 400, 1, 4096));
    }

    #[test]
    fn space_reserved_for_root_is_neither_used_nor_free() {
        let space = space(1000, 500, 400);
        assert_eq!((space.used_bytes, space.free_bytes), (Some(500 * 4096), Some(400 * 4096)));
        assert_eq!(space.usage_percent, Some(55.56));
    }

    proptest! {
        #[test]
        fn a_part_is_never_more_than_the_whole(blocks: u64, free: u64, available: u64, size in 0..1u64 << 20) {
            let Space { total_bytes, used_bytes, free_bytes, usage_percent, .. } =
                sized(blocks, free, available, size, size);
            prop_assert!(used_bytes.is_none_or(|used| Some(used) <= total_bytes));
            prop_assert!(free_bytes.is_none_or(|free| Some(free) <= total_bytes));
            prop_assert!(usage_percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        }
    }
}
