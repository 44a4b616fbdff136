//! The CPU's own PMUs from sysfs: which CPUs each counts on, and the events it names.
//!
//! Most machines have one (`cpu` on x86, `armv8_…` on arm64); hybrid ones have one per kind of core, such as
//! `cpu_core` and `cpu_atom`, or `armv8_cortex_a53` and `armv8_cortex_a72`.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::path::Path;

use crate::config::Roots;
use crate::snapshot::cpulist::CpuList;

/// One PMU in `/sys/bus/event_source/devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorePmu {
    pub name: String,
    /// The number that `perf_event_open` knows it by.
    pub kind: u32,
    /// `None`: all CPUs.
    pub cpus: Option<CpuList>,
    /// The bit layout of each field of an event.
    format: BTreeMap<String, Vec<Bits>>,
    /// Named events with their fields, such as `event=0x3c` or `event=0xcd,umask=0x1`.
    events: BTreeMap<String, String>,
}

/// A run of bits of one of `perf_event_attr`'s configuration words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bits {
    word: usize,
    first: u32,
    last: u32,
}

/// What `perf_event_attr` takes for one event of a PMU: `config`, `config1`, `config2`.
pub type Config = [u64; 3];

/// The core PMUs, by name, without the uncore's and the software ones.
pub fn core_pmus(roots: &Roots) -> Vec<CorePmu> {
    let Ok(entries) = read_dir(roots.sys("bus/event_source/devices")) else { return Vec::new() };
    let mut pmus: Vec<CorePmu> = entries.flatten().filter_map(|entry| CorePmu::read(&entry.path())).collect();
    pmus.sort_by(|a, b| a.name.cmp(&b.name));
    pmus
}

impl CorePmu {
    fn read(directory: &Path) -> Option<Self> {
        let name = directory.file_name()?.to_string_lossy().into_owned();
        // Core PMUs of arm and of hybrid machines list their CPUs; the uncore's have a cpumask instead.
        let cpus = read_to_string(directory.join("cpus")).ok();
        if name != "cpu" && cpus.is_none() {
            return None;
        }
        let kind = read_to_string(directory.join("type")).ok()?.trim().parse().ok()?;
        let format = files(&directory.join("format"));
        let format = format.into_iter().filter_map(|(field, text)| Some((field, bits(&text)?))).collect();
        let cpus = cpus.and_then(|cpus| cpus.parse().ok());
        Some(Self { name, kind, cpus, format, events: files(&directory.join("events")) })
    }

    /// The CPUs it counts on.
    pub fn counts_on(&self, cpu: u32) -> bool {
        self.cpus.as_ref().is_none_or(|cpus| cpus.contains(cpu))
    }

    /// How to open one of its named events, if there is such an event.
    pub fn named(&self, event: &str) -> Option<Config> {
        let mut config = Config::default();
        for field in self.events.get(event)?.split(',') {
            // `field` alone is short for `field=1`; `field=?` is for the user to fill in.
            let (field, value) = field.split_once('=').unwrap_or((field, "1"));
            let value = match value.strip_prefix("0x") {
                Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok()?,
                None => value.parse().ok()?,
            };
            match field {
                "config" => config[0] |= value,
                "config1" => config[1] |= value,
                "config2" => config[2] |= value,
                _ => deposit(self.format.get(field)?, value, &mut config),
            }
        }
        Some(config)
    }

    /// An event's fields as sysfs spells them.
    pub fn fields(&self, event: &str) -> Option<&str> {
        self.events.get(event).map(String::as_str)
    }
}

/// Every file of a directory with its text.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let text = read_to_string(entry.path()).ok()?.trim().to_owned();
            Some((entry.file_name().to_string_lossy().into_owned(), text))
        })
        .collect()
}

/// Reads `config:0-7,32-35` and the like.
fn bits(format: &str) -> Option<Vec<Bits>> {
    let (word, runs) = format.split_once(':')?;
    let word = ["config", "config1", "config2"].iter().position(|name| *name == word)?;
    let run = |run: &str| {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < 64).then_some(Bits { word, first, last })
    };
    runs.split(',').map(run).collect()
}

/// Spreads a value's bits over a field's runs, lowest first.
fn deposit(field: &[Bits], mut value: u64, config: &mut Config) {
    for bits in field {
        let width = bits.last - bits.first + 1;
        let mask = u64::MAX >> (64 - width);
        config[bits.word] |= (value & mask) << bits.first;
        value = value.checked_shr(width).unwrap_or(0);
    }
}

#[cfg(test)]
pub(super) mod tests;
