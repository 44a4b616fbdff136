//! The files of one group, kept open as long as there are few enough of them on the machine.

use std::fs::File as Open;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit};

use super::raw::{FILES, File};
use crate::cgroups::Hierarchy;
use crate::config::Roots;
use crate::kernel_files::file::read_whole;

/// Each costs the kernel some kilobytes.
const MAX_KEPT: usize = 4096;
/// The rest is for connections and the store.
const SHARE_OF_LIMIT: u64 = 4;

/// What a reading costs, in readings of a small file that is open.
const OPENING: usize = 7;
const MISSING: usize = 2;
const MEMORY_STAT: usize = 8;

/// What all groups share: where the hierarchies are, descriptors, a buffer, and what may be read in this tick.
#[derive(Debug)]
pub(super) struct Reader {
    hierarchy: Hierarchy,
    mounts: [PathBuf; FILES],
    names: [&'static str; FILES],
    exists: [bool; FILES],
    kept: usize,
    max_kept: usize,
    buffer: Vec<u8>,
    /// Readings left.
    pub(super) budget: usize,
}

/// Of one group.
#[derive(Debug, Default)]
pub(super) struct Files {
    open: [Option<Open>; FILES],
    /// A bit for each that was not there.
    missing: u32,
}

impl Reader {
    pub(super) fn new(hierarchy: Hierarchy, roots: &Roots) -> Self {
        const ALL: [File; FILES] = [
            File::Cpu,
            File::Throttling,
            File::CpuModes,
            File::CpuLimit,
            File::CpuPeriod,
            File::Memory,
            File::MemoryStat,
            File::MemoryEvents,
            File::MemoryFailures,
            File::MemoryMax,
            File::MemoryHigh,
            File::Swap,
            File::SwapMax,
            File::Io,
            File::IoRequests,
            File::CpuPressure,
            File::MemoryPressure,
            File::IoPressure,
            File::Tasks,
            File::TasksMax,
            File::Processes,
        ];
        let places = ALL.map(|file| file.place(hierarchy));
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / SHARE_OF_LIMIT;
        Self {
            hierarchy,
            mounts: places
                .map(|place| place.map(|(of, _)| hierarchy.controller(roots, of)).unwrap_or_default()),
            names: places.map(|place| place.map_or("", |(_, name)| name)),
            exists: places.map(|place| place.is_some()),
            kept: 0,
            max_kept: usize::try_from(limit).unwrap_or(MAX_KEPT).min(MAX_KEPT),
            buffer: Vec::new(),
            budget: 0,
        }
    }

    pub(super) fn hierarchy(&self) -> Hierarchy {
        self.hierarchy
    }

    /// Where the files of one kind are, below the mount of their hierarchy.
    pub(super) fn directory(&self, file: File, below: &std::path::Path) -> PathBuf {
        self.mounts[file as usize].join(below)
    }

    /// Closes the files of a group that is gone.
    pub(super) fn close(&mut self, files: &Files) {
        self.kept -= files.open.iter().flatten().count();
    }

    /// The text of a group's file; `None` if it has none. `directory` is the group's, below the mounts.
    pub(super) fn read(
        &mut self,
        files: &mut Files,
        directory: &std::path::Path,
        file: File,
    ) -> Option<&[u8]> {
        let at = file as usize;
        if !self.exists[at] || files.missing & 1 << at != 0 {
            return None;
        }
        let mut cost = if file == File::MemoryStat { MEMORY_STAT } else { 1 };
        let mut length = files.open[at].as_ref().and_then(|open| read_whole(open, &mut self.buffer).ok());
        if length.is_none() {
            if files.open[at].take().is_some() {
                self.kept -= 1;
            }
            let open = Open::open(self.mounts[at].join(directory).join(self.names[at]));
            // Some files open and cannot be read: pressure, where it is switched off.
            let read = open.and_then(|open| read_whole(&open, &mut self.buffer).map(|length| (open, length)));
            match read {
                Ok((open, read)) => {
                    cost += OPENING;
                    length = Some(read);
                    if self.kept < self.max_kept {
                        self.kept += 1;
                        files.open[at] = Some(open);
                    }
                }
                Err(_) => {
                    cost = MISSING;
                    files.missing |= 1 << at;
                }
            }
        }
        self.budget = self.budget.saturating_sub(cost);
        length.map(|length| &self.buffer[..length])
    }
}

impl Files {
    /// Controllers may have been switched on since.
    pub(super) fn look_again(&mut self) {
        self.missing = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_stays_open_and_all_are_read() {
        let root = tempfile::tempdir().unwrap();
        let roots = Roots { sysfs: root.path().to_owned(), ..Roots::default() };
        let names: Vec<PathBuf> = (0..20).map(|at| format!("g{at}").into()).collect();
        for name in &names {
            let group = roots.sys("fs/cgroup").join(name);
            std::fs::create_dir_all(&group).unwrap();
            std::fs::write(group.join("memory.current"), format!("{}\n", name.display())).unwrap();
        }
        let mut reader = Reader { max_kept: 5, ..Reader::new(Hierarchy::V2, &roots) };
        let mut groups: Vec<Files> = names.iter().map(|_| Files::default()).collect();
        for _ in 0..3 {
            for (files, name) in groups.iter_mut().zip(&names) {
                let text = reader.read(files, name, File::Memory).unwrap().to_owned();
                assert_eq!(String::from_utf8(text).unwrap(), format!("{}\n", name.display()));
                assert_eq!(reader.read(files, name, File::Swap), None);
                assert_eq!(reader.read(files, name, File::CpuPeriod), None, "version 1 only");
            }
            assert_eq!(reader.kept, 5);
        }
        groups.iter().for_each(|files| reader.close(files));
        assert_eq!(reader.kept, 0);
        // A controller that is switched on later.
        std::fs::write(roots.sys("fs/cgroup/g0/memory.swap.current"), "7").unwrap();
        assert_eq!(reader.read(&mut groups[0], &names[0], File::Swap), None);
        groups[0].look_again();
        assert_eq!(reader.read(&mut groups[0], &names[0], File::Swap), Some(&b"7"[..]));
    }

    #[test]
    fn readings_cost_what_they_take() {
        let root = tempfile::tempdir().unwrap();
        let roots = Roots { sysfs: root.path().to_owned(), ..Roots::default() };
        let group = roots.sys("fs/cgroup/g");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join("cpu.stat"), "usage_usec 1\n").unwrap();
        let mut reader = Reader::new(Hierarchy::V2, &roots);
        let mut files = Files::default();
        reader.budget = 100;
        reader.read(&mut files, "g".as_ref(), File::Cpu);
        let opened = reader.budget;
        reader.read(&mut files, "g".as_ref(), File::Cpu);
        assert_eq!((100 - opened, opened - reader.budget), (1 + OPENING, 1));
    }
}
