//! How many cores the CPUs' threads belong to.

use std::collections::BTreeSet;
use std::fs;

use crate::config::Roots;

/// The number of cores behind the online CPUs: from `/sys`, else from `/proc/cpuinfo`.
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
    let text = String::from_utf8_lossy(&text);
    let cpus = procfs::CpuInfo::from_buf_read(text.as_bytes()).ok()?;
    let cores: Option<BTreeSet<(u32, &str)>> = (0..cpus.num_cores())
        .map(|cpu| Some((cpus.physical_id(cpu)?, cpus.get_field(cpu, "core id")?)))
        .collect();
    cores.map(|cores| cores.len()).filter(|cores| *cores > 0)
}
