//! The machine this is, as `/api/config` describes it.

use std::fs::read_to_string;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Roots;
use crate::snapshot::cpulist::CpuList;
use crate::store::Engine;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct System {
    hostname: String,
    /// The running kernel's release.
    #[schema(example = "6.12.0")]
    kernel: String,
    #[schema(example = "x86_64")]
    architecture: String,
    cpu_model: Option<String>,
    /// Online CPUs.
    cpu_count: Option<usize>,
    memory_total_bytes: Option<u64>,
    #[schema(example = "sqlite")]
    database: &'static str,
    /// Capabilities the server holds that sources need.
    #[schema(example = json!(["CAP_PERFMON", "CAP_BPF"]))]
    privileges: Vec<&'static str>,
}

pub(super) fn describe(roots: &Roots, engine: Engine) -> System {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let meminfo = read_to_string(roots.proc("meminfo")).unwrap_or_default();
    System {
        // In a container the host's name is its own; the kernel's are the same.
        hostname: read_to_string(roots.proc("sys/kernel/hostname"))
            .map_or_else(|_| text(uname.nodename()), |name| name.trim().to_owned()),
        kernel: text(uname.release()),
        architecture: text(uname.machine()),
        cpu_model: cpu_model(&read_to_string(roots.proc("cpuinfo")).unwrap_or_default()),
        cpu_count: online_cpus(roots).map(|cpus| cpus.len()),
        memory_total_bytes: field(&meminfo, "MemTotal")
            .and_then(|value| value.strip_suffix(" kB")?.trim().parse::<u64>().ok())
            .map(|kib| kib * 1024),
        database: engine.as_str(),
        privileges: privileges(),
    }
}

pub(super) fn online_cpus(roots: &Roots) -> Option<CpuList> {
    read_to_string(roots.sys("devices/system/cpu/online")).ok()?.parse().ok()
}

/// x86 and s390 name the model; Arm gives numbers only, others their own words.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "cpu model", "cpu", "uarch"].iter().find_map(|key| field(cpuinfo, key)).or_else(
        || {
            let part = |key| field(cpuinfo, key);
            Some(format!("Arm implementer {} part {}", part("CPU implementer")?, part("CPU part")?))
        },
    )
}

/// The value of the first `key : value` line.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

fn privileges() -> Vec<&'static str> {
    /// The capabilities that open a source, by their bit in `CapEff`.
    const USED: [(u32, &str); 5] = [
        (19, "CAP_SYS_PTRACE"),
        (21, "CAP_SYS_ADMIN"),
        (24, "CAP_SYS_RESOURCE"),
        (38, "CAP_PERFMON"),
        (39, "CAP_BPF"),
    ];
    // Our own process, wherever the observed system's /proc is.
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let held = field(&status, "CapEff").and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
    USED.into_iter().filter(|(bit, _)| held >> bit & 1 == 1).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_on_each_architecture() {
        let x86 = "processor\t: 0\nmodel\t\t: 6\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(cpu_model(x86).as_deref(), Some("Some CPU @ 2 GHz"));
        let arm = "processor\t: 0\nBogoMIPS\t: 125.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n";
        assert_eq!(cpu_model(arm).as_deref(), Some("Arm implementer 0x41 part 0xd08"));
        assert_eq!(cpu_model(""), None);
    }
}
