//! The disks of `/sys/block`.

use std::collections::HashMap;
use std::path::PathBuf;

use perfwatch_common::block_io::device;

use super::derive::InFlight;
use crate::config::Roots;
use crate::kernel_files::block_devices::{Kind, kinds};
use crate::kernel_files::fields::Fields;
use crate::kernel_files::file::Attribute;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::probes) struct Disk {
    /// The kernel's device number.
    pub number: u32,
    pub name: String,
    /// Made of other disks, or of a file on one.
    pub stacked: bool,
}

pub(in crate::probes) struct Disks {
    folder: PathBuf,
    in_flight: HashMap<String, Attribute>,
}

impl Disks {
    pub(in crate::probes) fn new(roots: &Roots) -> Self {
        Self { folder: roots.sys("block"), in_flight: HashMap::new() }
    }

    pub(in crate::probes) fn list(&self) -> Vec<Disk> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let numbered: Vec<(u32, String)> = entries
            .filter_map(|entry| {
                let text = std::fs::read_to_string(entry.path().join("dev")).ok()?;
                let (major, minor) = text.trim().split_once(':')?;
                let number = device(major.parse().ok()?, minor.parse().ok()?);
                Some((number, entry.file_name().to_string_lossy().into_owned()))
            })
            .collect();
        let names: Vec<&str> = numbered.iter().map(|(_, name)| name.as_str()).collect();
        let kinds = kinds(&self.folder, &names);
        let disk = |((number, name), kind): ((u32, String), Kind)| Disk {
            number,
            name,
            stacked: kind != Kind::Disk,
        };
        numbered.into_iter().zip(kinds).map(disk).collect()
    }

    /// Requests in flight on a disk; `None` if it is gone.
    pub(super) fn in_flight(&mut self, name: &str) -> Option<InFlight> {
        if !self.in_flight.contains_key(name) {
            let file = Attribute::new(self.folder.join(name).join("inflight"));
            self.in_flight.insert(name.to_owned(), file);
        }
        let mut value = [0; 64];
        let found = self.in_flight.get_mut(name)?.read(&mut value).and_then(|text| {
            let mut fields = Fields::new(text);
            // The kernel's counts may briefly go negative, and are printed without a sign.
            let mut count = || fields.number().filter(|count| *count <= i32::MAX as u64);
            Some(InFlight { read: count()?, write: count()? })
        });
        if found.is_none() {
            self.in_flight.remove(name);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_known_by_number_and_asked_by_name() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("block/vda");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("dev"), "254:16\n").unwrap();
        std::fs::write(folder.join("inflight"), "       2        5\n").unwrap();
        std::fs::create_dir_all(root.path().join("block/odd")).unwrap();
        let mut disks = Disks::new(&Roots { sysfs: root.path().into(), ..Roots::default() });
        let vda = Disk { number: 254 << 20 | 16, name: "vda".into(), stacked: false };
        assert_eq!(disks.list(), std::slice::from_ref(&vda));
        std::fs::create_dir_all(folder.join("slaves/vdb")).unwrap();
        assert_eq!(disks.list(), [Disk { stacked: true, ..vda }]);
        assert_eq!(disks.in_flight("vda"), Some(InFlight { read: 2, write: 5 }));
        assert_eq!(disks.in_flight("vdb"), None);
        std::fs::write(folder.join("inflight"), "4294967295 0\n").unwrap();
        assert_eq!(disks.in_flight("vda"), None, "below zero");
    }
}
