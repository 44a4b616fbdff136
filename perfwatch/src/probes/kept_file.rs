//! Kernel files that stay open from tick to tick: opening one costs more than reading it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A file of several records is given up to a page at a time, as many as fit. When this much of the page is left free,
/// which is more than any record takes, there were no more.
const LEFT_FREE: usize = 2048;

/// Longer than any of the files that are read this way by far.
const CAPACITY: usize = 8192;

#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    file: Option<File>,
}

impl KeptFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// What `take` makes of the file's text now; `None` where there is none. What it is about may have gone and come
    /// back, so a descriptor that fails is opened again.
    pub(super) fn read<T>(&mut self, take: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let mut buffer = [0; CAPACITY];
        let kept = self.file.as_ref().and_then(|file| read_whole(file, &mut buffer).ok());
        let length = kept.or_else(|| {
            self.file = None;
            let file = File::open(&self.path).ok()?;
            let length = read_whole(&file, &mut buffer).ok()?;
            self.file = Some(file);
            Some(length)
        })?;
        take(std::str::from_utf8(&buffer[..length]).ok()?)
    }
}

fn read_whole(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => return Ok(length),
            read => {
                length += read;
                if read <= LEFT_FREE && buffer.len() - length >= LEFT_FREE {
                    return Ok(length);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_file_that_changes_vanishes_and_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat");
        let mut file = KeptFile::new(path.clone());
        let mut text = || file.read(|text| Some(text.to_owned()));
        assert_eq!(text(), None);
        for value in ["one\n", "two\n", "", "three\n"] {
            std::fs::write(&path, value).unwrap();
            assert_eq!(text().as_deref(), Some(value));
        }
    }

    #[test]
    fn a_descriptor_that_fails_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inflight");
        std::fs::write(&path, "1 2\n").unwrap();
        // Reading a directory fails, as the file of a device that has gone does.
        let broken = File::open(folder.path()).unwrap();
        let mut file = KeptFile { path, file: Some(broken) };
        assert_eq!(file.read(|text| Some(text.len())), Some(4));
    }
}
