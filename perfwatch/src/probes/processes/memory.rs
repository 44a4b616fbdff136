//! How much memory the listed processes hold. Mostly the same ones are listed from tick to tick, so their files stay
//! open: opening one costs more than reading it.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

pub(super) struct Memory {
    procfs: PathBuf,
    page_bytes: u64,
    /// `/proc/[pid]/statm` of the processes asked for in this tick, and of those in the tick before.
    asked: HashMap<u32, File>,
    before: HashMap<u32, File>,
}

impl Memory {
    pub(super) fn new(procfs: PathBuf) -> Self {
        let page_bytes = rustix::param::page_size() as u64;
        Self { procfs, page_bytes, asked: HashMap::new(), before: HashMap::new() }
    }

    /// Closes the files of processes that were not asked for since the last call.
    pub(super) fn begin_tick(&mut self) {
        self.before = std::mem::take(&mut self.asked);
    }

    /// Resident bytes; `None` if there is no such process.
    pub(super) fn resident(&mut self, pid: u32) -> Option<u64> {
        // A file of a process that has ended fails, also when its number has been given to another.
        let kept = self.before.remove(&pid).and_then(|file| Some((pages(&file)?, file)));
        let (pages, file) = kept.or_else(|| {
            let file = File::open(self.procfs.join(format!("{pid}/statm"))).ok()?;
            Some((pages(&file)?, file))
        })?;
        self.asked.insert(pid, file);
        Some(pages.saturating_mul(self.page_bytes))
    }
}

/// The second field, in pages.
fn pages(file: &File) -> Option<u64> {
    // Seven numbers of at most twenty digits.
    let mut buffer = [0; 160];
    let length = file.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_for_those_that_are_still_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let put = |pid: u32, text: &str| {
            std::fs::create_dir_all(root.path().join(pid.to_string())).unwrap();
            std::fs::write(root.path().join(format!("{pid}/statm")), text).unwrap();
        };
        put(1, "100 10 0\n");
        put(2, "100 20 0\n");
        let page = rustix::param::page_size() as u64;
        let mut memory = Memory::new(root.path().to_owned());
        memory.begin_tick();
        assert_eq!((memory.resident(1), memory.resident(2)), (Some(10 * page), Some(20 * page)));
        put(1, "100 11 0\n");
        memory.begin_tick();
        assert_eq!((memory.resident(1), memory.resident(3)), (Some(11 * page), None));
        memory.begin_tick();
        assert_eq!((memory.asked.len(), memory.before.len()), (0, 1));
    }

    #[test]
    fn a_process_that_has_ended_has_no_memory() {
        let mut child = std::process::Command::new("sleep").arg("infinity").spawn().unwrap();
        let mut memory = Memory::new("/proc".into());
        memory.begin_tick();
        assert!(memory.resident(child.id()) > Some(0));
        child.kill().unwrap();
        child.wait().unwrap();
        memory.begin_tick();
        assert_eq!(memory.resident(child.id()), None);
    }
}
