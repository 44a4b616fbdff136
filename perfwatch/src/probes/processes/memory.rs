//! How much memory the listed processes hold. The same ones are usually listed again and again, so their files stay
//! open for a while: opening one costs more than reading it.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::kernel_files::fields::Fields;
use crate::kernel_files::file::Attribute;

pub(super) struct Memory {
    procfs: PathBuf,
    page_bytes: u64,
    tick: u32,
    known: HashMap<u32, Known>,
}

struct Known {
    /// `/proc/[pid]/statm`. Kernel threads have no memory of their own, and no file is kept open for them.
    file: Option<Attribute>,
    /// The tick at which it was opened, and the last one at which it was read.
    opened: u32,
    asked: u32,
}

/// Ticks for which a file is kept, and after which a kernel thread's number may belong to another process.
const KEPT: u32 = 8;

impl Memory {
    pub(super) fn new(procfs: PathBuf) -> Self {
        let page_bytes = rustix::param::page_size() as u64;
        Self { procfs, page_bytes, tick: 0, known: HashMap::new() }
    }

    /// Closes the files of processes that have not been read recently.
    pub(super) fn begin_tick(&mut self) {
        self.tick = self.tick.wrapping_add(1);
        let tick = self.tick;
        self.known.retain(|_, known| {
            let since = if known.file.is_some() { known.asked } else { known.opened };
            tick.wrapping_sub(since) <= KEPT
        });
    }

    /// Resident bytes; `None` if there is no such process.
    pub(super) fn resident(&mut self, pid: u32) -> Option<u64> {
        if let Some(known) = self.known.get_mut(&pid) {
            known.asked = self.tick;
            let Some(file) = &mut known.file else { return Some(0) };
            // The file of an exited process fails, even if its PID has been reused.
            if let Some(Pages { resident, .. }) = pages(file) {
                return Some(resident.saturating_mul(self.page_bytes));
            }
            self.known.remove(&pid);
        }
        let mut file = Attribute::new(self.procfs.join(format!("{pid}/statm")));
        let Pages { size, resident } = pages(&mut file)?;
        let file = Some(file).filter(|_| size > 0);
        self.known.insert(pid, Known { file, opened: self.tick, asked: self.tick });
        Some(resident.saturating_mul(self.page_bytes))
    }
}

struct Pages {
    size: u64,
    resident: u64,
}

/// The first two fields, which are shorter than the maximum of an attribute.
fn pages(file: &mut Attribute) -> Option<Pages> {
    let mut value = [0; 64];
    let mut fields = Fields::new(file.read(&mut value)?);
    Some(Pages { size: fields.number()?, resident: fields.number()? })
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
        (0..KEPT).for_each(|_| memory.begin_tick());
        assert_eq!(memory.known.keys().collect::<Vec<_>>(), [&1]);
        memory.begin_tick();
        assert!(memory.known.is_empty());
    }

    #[test]
    fn a_thread_of_the_kernel_is_not_asked_at_every_tick() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("9")).unwrap();
        let put = |text: &str| std::fs::write(root.path().join("9/statm"), text).unwrap();
        let mut memory = Memory::new(root.path().to_owned());
        let mut next = || {
            memory.begin_tick();
            memory.resident(9)
        };
        put("0 0 0\n");
        assert_eq!(next(), Some(0));
        put("100 10 0\n");
        assert_eq!(next(), Some(0));
        let asked_again = (0..=KEPT).filter_map(|_| next()).find(|bytes| *bytes > 0);
        assert_eq!(asked_again, Some(10 * rustix::param::page_size() as u64));
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
