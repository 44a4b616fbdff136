//! Kernel files that stay open, and their text in a buffer that stays allocated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::fields;

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ReadError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Enough for most files; longer ones double it once.
const FIRST_CAPACITY: usize = 4096;

/// The kernel fills a page, or the buffer if that is smaller, with as many records as fit. When this much is left free,
/// which is more than any record takes, that was the last one: another call would only confirm it.
const LEFT_FREE: usize = 2048;

/// A file of `/proc` or `/sys` that is reread from its start again and again.
#[derive(Debug)]
pub struct KernelFile {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl KernelFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, buffer: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's current text. A descriptor that fails (its device is gone, `/proc` was remounted) is reopened
    /// once.
    pub fn read(&mut self) -> Result<&[u8], ReadError> {
        let length = self
            .read_kept()
            .or_else(|_| {
                self.file = Some(File::open(&self.path)?);
                self.read_kept()
            })
            .map_err(|error| {
                self.file = None;
                ReadError { path: self.path.clone(), source: error }
            })?;
        Ok(&self.buffer[..length])
    }

    /// Like [`Self::read`], for files that a machine may well lack.
    pub fn read_optional(&mut self) -> Option<&[u8]> {
        self.read().ok()
    }

    /// Whether the kernel announces that the text has changed since the last call (`/proc/*/mountinfo` does); true
    /// if it is not open.
    pub fn is_announced(&self) -> bool {
        let Some(file) = &self.file else { return true };
        let mut polled = [PollFd::new(file, PollFlags::PRI)];
        let changed = rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        changed.is_err() || polled[0].revents().intersects(PollFlags::PRI | PollFlags::ERR)
    }

    fn read_kept(&mut self) -> io::Result<usize> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        read_whole(file, &mut self.buffer)
    }
}

/// A file of `/sys` that holds one value. Small, because a machine may have thousands.
#[derive(Debug)]
pub struct Attribute {
    path: PathBuf,
    file: Option<Kept>,
}

/// Descriptors that all attributes together keep open: beyond it they are opened for each reading, so that a machine
/// with thousands of interfaces leaves some for connections.
const MAX_KEPT: usize = 1024;

/// How many are open now.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// A descriptor that counts towards the limit.
#[derive(Debug)]
struct Kept(File);

impl Kept {
    /// `None` if the limit is reached.
    fn new(file: File) -> Option<Self> {
        let one_more = |kept| (kept < MAX_KEPT).then_some(kept + 1);
        KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Self(file))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Longer than any number or keyword in `/sys`.
pub type Value = [u8; 64];

impl Attribute {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The current value, in `value`; `None` if the kernel refuses it, as it does for a link that is down.
    pub fn read<'a>(&mut self, value: &'a mut Value) -> Option<&'a [u8]> {
        let kept = self.file.as_ref().and_then(|Kept(file)| file.read_at(value, 0).ok());
        let length = match kept {
            Some(length) => length,
            None => {
                self.file = None;
                let file = File::open(&self.path).ok()?;
                let length = file.read_at(value, 0).ok()?;
                self.file = Kept::new(file);
                length
            }
        };
        Some(value[..length].trim_ascii())
    }

    pub fn read_signed(&mut self) -> Option<i64> {
        fields::signed(self.read(&mut [0; 64])?)
    }
}

/// Reads `file` from its start into `buffer`, which only grows; returns the text's length.
///
/// Files of several records return at most a page per call, so only an empty answer marks the end, or one that leaves
/// [`LEFT_FREE`].
pub fn read_whole(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            let capacity = (buffer.len() * 2).max(FIRST_CAPACITY);
            buffer.resize(capacity, 0);
        }
        match file.read_at(&mut buffer[length..], length as u64) {
            Ok(0) => return Ok(length),
            Ok(read) => {
                length += read;
                if read <= LEFT_FREE && buffer.len() - length >= LEFT_FREE {
                    return Ok(length);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The word that a file holds, such as the name of a chip; `None` if it cannot be read.
pub fn keyword(folder: &Path, file: &str) -> Option<String> {
    std::fs::read(folder.join(file)).ok().map(|text| fields::text(text.trim_ascii()))
}

/// Entries of `folder` that begin with `prefix`, ordered by the number after it; none if there is no such folder.
pub fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let digits = name.as_encoded_bytes().strip_prefix(prefix.as_bytes())?;
            let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
            Some((fields::number(&digits[..end])?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_file_that_changes_grows_vanishes_and_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat");
        let mut file = KernelFile::new(path.clone());
        assert!(file.read().unwrap_err().to_string().contains("stat"));
        assert_eq!(file.read_optional(), None);

        std::fs::write(&path, "one").unwrap();
        assert_eq!(file.read().unwrap(), b"one");
        let long = "x".repeat(3 * FIRST_CAPACITY + 7);
        std::fs::write(&path, &long).unwrap();
        assert_eq!(file.read().unwrap(), long.as_bytes());
        std::fs::write(&path, "").unwrap();
        assert_eq!(file.read().unwrap(), b"");
    }

    #[test]
    fn a_descriptor_that_fails_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speed");
        std::fs::write(&path, "1000\n").unwrap();
        // Reading a directory fails with EISDIR, as a vanished device's attribute fails with ENODEV.
        let broken = File::open(folder.path()).unwrap();
        let mut file = KernelFile { path, file: Some(broken), buffer: Vec::new() };
        assert_eq!(file.read().unwrap(), b"1000\n");
    }

    #[test]
    fn thousands_of_attributes_keep_a_bounded_number_of_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speed");
        std::fs::write(&path, "1000\n").unwrap();
        let mut attributes: Vec<Attribute> =
            (0..2 * MAX_KEPT).map(|_| Attribute::new(path.clone())).collect();
        for speed in ["1000", "2500"] {
            std::fs::write(&path, speed).unwrap();
            let read = attributes.iter_mut().filter_map(Attribute::read_signed);
            assert_eq!(read.filter(|read| read.to_string() == speed).count(), 2 * MAX_KEPT);
            assert!(KEPT.load(Ordering::Relaxed) <= MAX_KEPT);
        }
        let kept = attributes.iter().filter(|attribute| attribute.file.is_some()).count();
        assert!(kept <= MAX_KEPT && kept > 0, "{kept}");
    }
}
