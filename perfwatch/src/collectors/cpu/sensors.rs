//! What `/sys` knows of the CPUs: physical cores, cpufreq and temperatures. All of it may be absent.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::derive::by_cpu;
use super::raw::Raw;
use crate::collectors::fields::{self, Fields};
use crate::collectors::file::Attribute;
use crate::config::Roots;
use crate::snapshot::derive::round;

/// Drivers may be loaded at any time, which nothing announces.
const RESCAN: Duration = Duration::from_secs(60);

/// hwmon chips that sit in CPU packages, or for boards with one chip next to it.
const CPU_CHIPS: [&str; 10] = [
    "coretemp",
    "k8temp",
    "k10temp",
    "zenpower",
    "fam15h_power",
    "via_cputemp",
    "cpu_thermal",
    "soc_thermal",
    "scpi_sensors",
    "bigcore0_thermal",
];

/// Kinds of thermal zones that tell a CPU's temperature, by how they begin.
const CPU_ZONES: [&str; 5] = ["x86_pkg_temp", "cpu", "soc", "bigcore", "littlecore"];

/// How many cores the online CPUs are threads of: by `/sys`, else by `/proc/cpuinfo`.
pub(super) fn physical_cores(roots: &Roots, online: impl Iterator<Item = u32>) -> Option<usize> {
    let siblings: Option<BTreeSet<String>> = online
        .map(|cpu| {
            let topology = roots.sys(format!("devices/system/cpu/cpu{cpu}/topology"));
            fs::read_to_string(topology.join("core_cpus_list"))
                .or_else(|_| fs::read_to_string(topology.join("thread_siblings_list"))) // before Linux 5.4
                .ok()
        })
        .collect();
    siblings.map(|cores| cores.len()).filter(|cores| *cores > 0).or_else(|| cores_of_cpuinfo(roots))
}

fn cores_of_cpuinfo(roots: &Roots) -> Option<usize> {
    use procfs::prelude::FromBufRead;
    let text = fs::read(roots.proc("cpuinfo")).ok()?;
    let cpus = procfs::CpuInfo::from_buf_read(&text[..]).ok()?;
    let cores: Option<BTreeSet<(u32, &str)>> = (0..cpus.num_cores())
        .map(|cpu| Some((cpus.physical_id(cpu)?, cpus.get_field(cpu, "core id")?)))
        .collect();
    cores.map(|cores| cores.len()).filter(|cores| *cores > 0)
}

/// `scaling_cur_freq` of every cpufreq policy, a policy being the CPUs that change frequency together.
#[derive(Debug)]
pub(super) struct Frequencies {
    folder: PathBuf,
    policies: Vec<(Vec<u32>, Attribute)>,
}

impl Frequencies {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { folder: roots.sys("devices/system/cpu/cpufreq"), policies: Vec::new() }
    }

    /// MHz by CPU number; `None` where there is no cpufreq. `rescan`: the set of CPUs has changed.
    pub(super) fn read(&mut self, raw: &Raw, rescan: bool) -> Option<Vec<Option<f64>>> {
        if rescan {
            self.policies = entries(&self.folder, "policy")
                .into_iter()
                .filter_map(|policy| {
                    let cpus = fs::read(policy.join("related_cpus")).ok()?;
                    let mut words = Fields::new(cpus.trim_ascii());
                    let cpus = std::iter::from_fn(|| words.number());
                    let cpus = cpus.filter_map(|cpu| u32::try_from(cpu).ok()).collect();
                    Some((cpus, Attribute::new(policy.join("scaling_cur_freq"))))
                })
                .collect();
        }
        if self.policies.is_empty() {
            return None;
        }
        let known = self.policies.iter_mut().flat_map(|(cpus, frequency)| {
            let mhz = frequency.read_signed().map(|khz| round(khz as f64 / 1e3, 1));
            cpus.iter().filter(|cpu| raw.cpu(**cpu).is_some()).map(move |cpu| (*cpu, mhz))
        });
        let mhz = by_cpu(known);
        mhz.iter().any(Option::is_some).then_some(mhz)
    }
}

/// The temperature sensors of the CPUs.
#[derive(Debug)]
pub(super) struct Thermometers {
    hwmon: PathBuf,
    thermal: PathBuf,
    sensors: Vec<Attribute>,
    scanned: Option<Instant>,
}

impl Thermometers {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            hwmon: roots.sys("class/hwmon"),
            thermal: roots.sys("class/thermal"),
            sensors: Vec::new(),
            scanned: None,
        }
    }

    /// °C of each sensor that answers; `None` when none does.
    pub(super) fn read(&mut self, now: Instant) -> Option<Vec<f64>> {
        if self.scanned.is_none_or(|at| now.saturating_duration_since(at) >= RESCAN) {
            self.scanned = Some(now);
            self.sensors = self.find();
        }
        let celsius: Vec<f64> = self
            .sensors
            .iter_mut()
            .filter_map(Attribute::read_signed)
            .map(|millidegrees| round(millidegrees as f64 / 1e3, 1))
            .collect();
        (!celsius.is_empty()).then_some(celsius)
    }

    /// The CPUs' hwmon chips; where there are none, their thermal zones, which would name the same sensors again.
    fn find(&self) -> Vec<Attribute> {
        let chips = entries(&self.hwmon, "hwmon");
        let inputs: Vec<Attribute> = chips
            .iter()
            .filter(|chip| keyword(chip, "name").is_some_and(|name| CPU_CHIPS.contains(&name.as_str())))
            .flat_map(|chip| entries(chip, "temp"))
            .filter(|file| file.as_os_str().as_encoded_bytes().ends_with(b"_input"))
            .map(Attribute::new)
            .collect();
        if !inputs.is_empty() {
            return inputs;
        }
        entries(&self.thermal, "thermal_zone")
            .into_iter()
            .filter(|zone| {
                keyword(zone, "type").is_some_and(|kind| CPU_ZONES.iter().any(|cpu| kind.starts_with(cpu)))
            })
            .map(|zone| Attribute::new(zone.join("temp")))
            .collect()
    }
}

fn keyword(folder: &Path, file: &str) -> Option<String> {
    fs::read(folder.join(file)).ok().map(|text| fields::text(text.trim_ascii()))
}

/// What in `folder` begins with `prefix`, in the order of the numbers that follow it; nothing if there is no such folder.
fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(folder)
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
