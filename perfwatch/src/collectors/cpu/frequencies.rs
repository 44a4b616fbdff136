//! CPU frequencies from cpufreq.

use std::fs;
use std::path::PathBuf;

use super::derive::by_cpu;
use crate::config::Roots;
use crate::kernel_files::fields::Fields;
use crate::kernel_files::file::{Attribute, entries};
use crate::kernel_files::stat::Stat;
use crate::snapshot::derive::round;

/// Ten times the fastest any CPU has run: anything above is a driver's "unknown".
const MAX_KHZ: i64 = 100_000_000;

/// `scaling_cur_freq` of every cpufreq policy; a policy is a set of CPUs that change frequency together.
#[derive(Debug)]
pub(super) struct Frequencies {
    folder: PathBuf,
    policies: Vec<(Vec<u32>, Attribute)>,
}

impl Frequencies {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { folder: roots.sys("devices/system/cpu/cpufreq"), policies: Vec::new() }
    }

    /// MHz by CPU number; `None` without cpufreq. `rescan`: the set of CPUs has changed.
    pub(super) fn read(&mut self, stat: &Stat, rescan: bool) -> Option<Vec<Option<f64>>> {
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
            let khz = frequency.read_signed().filter(|khz| (1..=MAX_KHZ).contains(khz));
            let mhz = khz.map(|khz| round(khz as f64 / 1e3, 1));
            cpus.iter().filter(|cpu| stat.cpu(**cpu).is_some()).map(move |cpu| (*cpu, mhz))
        });
        let mhz = by_cpu(known);
        mhz.iter().any(Option::is_some).then_some(mhz)
    }
}
