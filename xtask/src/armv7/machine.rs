//! A recorded machine of the collectors' tests, as a 32-bit kernel would show it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::step::root;

/// More than 32-bit addresses reach: such kernels may have it all the same.
pub const MEMORY_KIB: u64 = 8 << 20;
/// Bytes read since the start.
pub const SECTORS: u64 = 5_000_000_000;
/// `btime` of 2040-01-01.
pub const STARTED_AT: &str = "2040-01-01T00:00:00Z";
const BTIME: u64 = 2_208_988_800;

#[derive(Debug)]
pub struct Machine {
    /// Has `proc`, `sys` and `root`.
    pub folder: PathBuf,
}

impl Machine {
    pub fn new(folder: PathBuf) -> Result<Self> {
        let machine = Self { folder };
        let recording = root().join("perfwatch/tests/fixtures/proc/bare/first.txt");
        let recording = fs::read_to_string(&recording).with_context(|| recording.display().to_string())?;
        for file in recording.split("==> ").skip(1) {
            let (path, text) = file.split_once(" <==\n").context("a recording without paths")?;
            machine.write(path, text)?;
        }
        machine.edit("/proc/stat", "btime", &format!("btime {BTIME}"))?;
        machine.edit("/proc/meminfo", "MemTotal:", &format!("MemTotal: {MEMORY_KIB} kB"))?;
        machine
            .write("/proc/diskstats", &format!("179 0 mmcblk0 9 0 {SECTORS} 9 9 0 9 9 0 9 9 0 0 0 0\n"))?;
        machine.write("/proc/sys/kernel/arch", "armv7l\n")?;
        for folder in ["sys/block/mmcblk0", "root"] {
            fs::create_dir_all(machine.folder.join(folder))?;
        }
        machine.count(0, 0)?;
        Ok(machine)
    }

    /// Sets the counters of received bytes and of KiB paged in.
    pub fn count(&self, received: u64, paged_in: u64) -> Result<()> {
        let heading = "Inter-|   Receive  |  Transmit\n face |bytes packets |bytes packets\n";
        self.write(
            "/proc/1/net/dev",
            &format!("{heading}  eth0: {received} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"),
        )?;
        self.edit("/proc/vmstat", "pgpgin", &format!("pgpgin {paged_in}"))
    }

    /// In place, like the kernel's files.
    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Replaces the line that begins with a word.
    fn edit(&self, path: &str, word: &str, line: &str) -> Result<()> {
        let text = fs::read_to_string(self.folder.join(path.trim_start_matches('/')))?;
        let lines =
            text.lines().map(|old| if old.split_whitespace().next() == Some(word) { line } else { old });
        self.write(path, &(lines.collect::<Vec<_>>().join("\n") + "\n"))
    }
}
