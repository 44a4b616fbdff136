//! The directories of a hierarchy.

use std::fs::DirEntry;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A group's directory.
#[derive(Debug, Clone)]
pub struct Directory {
    /// The kernel's number of the group, on 64-bit kernels.
    pub inode: u64,
    /// Within the hierarchy, from `/`. Names that are not UTF-8 are shown with replacement characters.
    pub path: Arc<str>,
    /// Below the mount.
    pub below: PathBuf,
    /// Position of the group that it is in; its own for the first.
    pub parent: usize,
}

/// Every group below `mount`, but not more than `most`: each after the one that it is in, siblings by name. Empty if
/// there is no such mount.
pub fn walk(mount: &Path, most: usize) -> Vec<Directory> {
    let Ok(root) = std::fs::metadata(mount) else { return Vec::new() };
    let mut found = Vec::new();
    // The last is visited next.
    let mut ahead = vec![Directory { inode: root.ino(), path: "/".into(), below: PathBuf::new(), parent: 0 }];
    while let Some(directory) = ahead.pop() {
        if found.len() == most {
            break;
        }
        let at = found.len();
        let mut inside: Vec<DirEntry> = subdirectories(&mount.join(&directory.below)).collect();
        inside.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        ahead.extend(inside.into_iter().map(|entry| {
            let name = entry.file_name();
            let above = directory.path.trim_end_matches('/');
            Directory {
                inode: entry.ino(),
                path: format!("{above}/{}", name.to_string_lossy()).into(),
                below: directory.below.join(name),
                parent: at,
            }
        }));
        found.push(directory);
    }
    found
}

/// None of a directory that cannot be read, nor of one that says it has none: its links are those from below it.
fn subdirectories(directory: &Path) -> impl Iterator<Item = DirEntry> {
    let is_leaf = std::fs::metadata(directory).is_ok_and(|it| it.nlink() == 2);
    let entries = (!is_leaf).then(|| std::fs::read_dir(directory).ok()).flatten();
    entries.into_iter().flatten().flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_after_what_they_are_in() {
        let root = tempfile::tempdir().unwrap();
        for path in ["b/2", "b/1/x", "a", "b-c"] {
            std::fs::create_dir_all(root.path().join(path)).unwrap();
        }
        std::fs::write(root.path().join("a/cpu.stat"), "").unwrap();
        let found = walk(root.path(), 100);
        let paths: Vec<&str> = found.iter().map(|directory| &*directory.path).collect();
        assert_eq!(paths, ["/", "/a", "/b", "/b/1", "/b/1/x", "/b/2", "/b-c"]);
        let parents: Vec<usize> = found.iter().map(|directory| directory.parent).collect();
        assert_eq!(parents, [0, 0, 0, 2, 3, 2, 0]);
        assert_eq!(found[4].inode, std::fs::metadata(root.path().join("b/1/x")).unwrap().ino());
        assert_eq!(walk(root.path(), 3).len(), 3);
        assert!(walk(&root.path().join("none"), 3).is_empty());
    }
}
