//! Opening the directory of a group by its number, which the kernel does for whoever has `CAP_DAC_READ_SEARCH`.
#![allow(unsafe_code)] // open_by_handle_at(2) has no safe wrapper

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `FILEID_KERNFS` of linux/exportfs.h: the handle is the node's 64-bit number.
const KERNFS: i32 = 0xfe;
/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC`. On another file system the same handle would be another's.
const CGROUP_FILE_SYSTEMS: [u64; 2] = [0x0027_e0eb, 0x6367_7270];

#[derive(Debug)]
pub(super) struct Handles {
    /// The mount's directory; `None` if the kernel does not let us, or it is no cgroup file system.
    mount: Option<(File, PathBuf)>,
}

/// What became of opening a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Its path within the hierarchy.
    At(Arc<str>),
    /// There is none of this number any more.
    Gone,
    /// It has to be found in another way.
    Refused,
}

/// `struct file_handle` with its bytes.
#[repr(C)]
struct FileHandle {
    handle_bytes: u32,
    handle_type: i32,
    id: [u8; 8],
}

impl Handles {
    pub(super) fn new(mount: &Path) -> Self {
        let open = || {
            let file = File::open(mount).ok()?;
            let magic = rustix::fs::fstatfs(&file).ok()?.f_type as u64;
            let path = read_link(&file)?;
            CGROUP_FILE_SYSTEMS.contains(&magic).then_some((file, path))
        };
        Self { mount: open() }
    }

    pub(super) fn open(&mut self, id: u64) -> Opened {
        let Some((mount, root)) = &self.mount else { return Opened::Refused };
        let mut handle = FileHandle { handle_bytes: 8, handle_type: KERNFS, id: id.to_ne_bytes() };
        // SAFETY: `handle` has the layout of `struct file_handle` with the 8 bytes that `handle_bytes` says, and the
        // descriptor is open.
        let opened = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_raw_fd(),
                &raw mut handle,
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        let Ok(opened) = i32::try_from(opened) else { return Opened::Refused };
        if opened < 0 {
            if rustix::io::Errno::from_io_error(&std::io::Error::last_os_error())
                == Some(rustix::io::Errno::STALE)
            {
                return Opened::Gone;
            }
            // EPERM, or a kernel without such handles: it will not change.
            self.mount = None;
            return Opened::Refused;
        }
        // SAFETY: a new descriptor that nothing else owns.
        let directory = unsafe { OwnedFd::from_raw_fd(opened) };
        let below = read_link(&directory).and_then(|path| Some(path.strip_prefix(root).ok()?.to_owned()));
        // A group outside the part of the tree that is mounted here.
        let Some(below) = below else { return Opened::Refused };
        let path = [b"/", below.as_os_str().as_bytes()].concat();
        match path.strip_suffix(b" (deleted)") {
            Some(_) => Opened::Gone,
            None => Opened::At(String::from_utf8_lossy(&path).into()),
        }
    }
}

fn read_link(file: &impl AsRawFd) -> Option<PathBuf> {
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", file.as_raw_fd()), Vec::new()).ok()?;
    Some(OsString::from_vec(link.into_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn another_file_system_has_no_groups() {
        let directory = tempfile::tempdir().unwrap();
        let id = std::fs::metadata(directory.path()).unwrap().ino();
        assert_eq!(Handles::new(directory.path()).open(id), Opened::Refused);
        assert_eq!(Handles::new(Path::new("/does/not/exist")).open(1), Opened::Refused);
    }

    #[test]
    fn a_group_of_this_machine_is_found_by_its_number() {
        let mounts = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(Path::new);
        let Some(mount) = mounts.into_iter().find(|mount| Handles::new(mount).mount.is_some()) else {
            println!(
                "SKIPPED: a_group_of_this_machine_is_found_by_its_number: no cgroup file system is mounted"
            );
            return;
        };
        let group = std::fs::read_dir(mount).unwrap().flatten().find(|entry| entry.path().is_dir());
        let directory = group.map_or(mount.to_owned(), |entry| entry.path());
        let mut handles = Handles::new(mount);
        let found = handles.open(std::fs::metadata(&directory).unwrap().ino());
        if handles.mount.is_none() {
            println!(
                "SKIPPED: a_group_of_this_machine_is_found_by_its_number: CAP_DAC_READ_SEARCH is missing"
            );
            return;
        }
        let path = format!("/{}", directory.strip_prefix(mount).unwrap().display());
        assert_eq!(found, Opened::At(path.into()));
        assert_eq!(handles.open(u64::MAX), Opened::Gone);
    }
}
