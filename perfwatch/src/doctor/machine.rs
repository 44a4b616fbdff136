//! What the kernel and the machine offer, read from /proc and /sys.

use std::fs::read_to_string;
use std::path::Path;

use super::Finding;
use crate::config::Roots;

/// Capabilities the probes can use, with their bit in `CapEff` (`include/uapi/linux/capability.h`).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

pub(super) fn findings(roots: &Roots) -> Vec<Finding> {
    let rights = Rights::read(roots);
    vec![
        kernel(),
        environment(roots),
        btf(roots),
        capabilities(rights),
        paranoid(roots, rights),
        lockdown(roots),
        pmu(roots),
        nmi_watchdog(roots),
        pressure(roots),
        bpf_stats(roots),
    ]
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    Some(read_to_string(path).ok()?.trim().to_owned())
}

fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let detail = format!("{} on {}", uname.release().to_string_lossy(), uname.machine().to_string_lossy());
    Finding::ok("kernel", detail)
}

fn environment(roots: &Roots) -> Finding {
    let cpuinfo = text(roots.proc("cpuinfo")).unwrap_or_default();
    let virtual_machine = cpuinfo
        .lines()
        .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"))
        || roots.sys("hypervisor/type").exists();
    let container = Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("container").is_some();
    Finding::ok(
        "environment",
        match (virtual_machine, container) {
            (true, true) => "a container in a virtual machine",
            (true, false) => "a virtual machine",
            (false, true) => "a container",
            (false, false) => "no hypervisor and no container seen",
        },
    )
}

fn btf(roots: &Roots) -> Finding {
    if roots.sys("kernel/btf/vmlinux").exists() {
        return Finding::ok("btf", "the kernel carries its type information");
    }
    let remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (all large distributions since 2021)";
    Finding::problem(
        "btf",
        "no /sys/kernel/btf/vmlinux: eBPF programs cannot be attached",
        Some(remedy.into()),
    )
}

/// The effective capabilities of this process.
#[derive(Debug, Clone, Copy)]
struct Rights(u64);

impl Rights {
    fn read(roots: &Roots) -> Self {
        let status = text(roots.proc("self/status")).unwrap_or_default();
        Self::parse(&status).unwrap_or(Self(0))
    }

    fn parse(status: &str) -> Option<Self> {
        let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }

    fn has(self, capability: u32) -> bool {
        self.0 >> capability & 1 == 1
    }
}

fn capabilities(rights: Rights) -> Finding {
    let administrator = rights.has(CAP_SYS_ADMIN);
    let missing: Vec<_> = [("CAP_BPF", CAP_BPF), ("CAP_PERFMON", CAP_PERFMON)]
        .into_iter()
        .filter(|(_, bit)| !rights.has(*bit) && !administrator)
        .map(|(name, _)| name)
        .collect();
    if missing.is_empty() {
        return Finding::ok("capabilities", "CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) are held");
    }
    let binary = std::env::current_exe().unwrap_or_else(|_| "perfwatch".into());
    Finding::problem(
        "capabilities",
        format!("{} not held: the kernel's programs cannot be loaded", missing.join(" and ")),
        Some(format!("sudo setcap cap_bpf,cap_perfmon=ep {}", binary.display())),
    )
}

fn paranoid(roots: &Roots, rights: Rights) -> Finding {
    const NAME: &str = "perf_event_paranoid";
    let Some(level) = text(roots.proc("sys/kernel/perf_event_paranoid")) else {
        return Finding::problem(
            NAME,
            "no /proc/sys/kernel/perf_event_paranoid: the kernel has no performance events",
            Some("use a kernel built with CONFIG_PERF_EVENTS=y".into()),
        );
    };
    let above = rights.has(CAP_PERFMON) || rights.has(CAP_SYS_ADMIN);
    match level.parse::<i32>() {
        Ok(value) if value > 0 && !above => Finding::problem(
            NAME,
            format!("{value}: counting the whole machine needs CAP_PERFMON or a level of 0"),
            Some("sudo sysctl kernel.perf_event_paranoid=0".into()),
        ),
        _ => {
            Finding::ok(NAME, if above { format!("{level}, which CAP_PERFMON stands above") } else { level })
        }
    }
}

fn lockdown(roots: &Roots) -> Finding {
    match text(roots.sys("kernel/security/lockdown")) {
        Some(modes) if modes.contains("[confidentiality]") => Finding::problem(
            "lockdown",
            "confidentiality: eBPF programs may not read kernel memory",
            Some("boot with lockdown=integrity".into()),
        ),
        Some(modes) => Finding::ok("lockdown", modes),
        None => Finding::ok("lockdown", "not in use"),
    }
}

/// Names of the CPU's own PMUs: `cpu`, on hybrid machines `cpu_core` and `cpu_atom`, on arm `armv8_…`.
fn core_pmus(roots: &Roots) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(roots.sys("bus/event_source/devices")) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Core PMUs of arm and of hybrid machines list their CPUs; the uncore's have a cpumask instead.
            name == "cpu" || entry.path().join("cpus").exists()
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn pmu(roots: &Roots) -> Finding {
    match core_pmus(roots) {
        names if names.is_empty() => Finding::note(
            "pmu",
            "no hardware PMU is visible: cycles, instructions, caches, branches and TLBs cannot be counted \
             (a hypervisor may offer one; libvirt: <pmu state='on'/>, QEMU: -cpu host,pmu=on)",
        ),
        names => Finding::ok("pmu", names.join(", ")),
    }
}

fn nmi_watchdog(roots: &Roots) -> Finding {
    let on = text(roots.proc("sys/kernel/nmi_watchdog")).as_deref() == Some("1");
    if on && !core_pmus(roots).is_empty() {
        return Finding {
            remedy: Some("sudo sysctl kernel.nmi_watchdog=0".into()),
            ..Finding::ok(
                "nmi_watchdog",
                "on: it holds one hardware counter, so groups are multiplexed sooner",
            )
        };
    }
    Finding::ok("nmi_watchdog", "holds no hardware counter")
}

fn pressure(roots: &Roots) -> Finding {
    match read_to_string(roots.proc("pressure/cpu")) {
        Ok(_) => Finding::ok("psi", "the kernel accounts for stalls"),
        Err(error) => Finding::problem(
            "psi",
            format!("/proc/pressure cannot be read: {error}"),
            Some("boot with psi=1 (kernel built with CONFIG_PSI=y)".into()),
        ),
    }
}

fn bpf_stats(roots: &Roots) -> Finding {
    match text(roots.proc("sys/kernel/bpf_stats_enabled")).as_deref() {
        Some("1") => Finding::ok("bpf_stats", "run times of all eBPF programs are counted"),
        Some(_) => Finding::ok("bpf_stats", "off; PerfWatch measures its own programs in samples"),
        None => Finding::note("bpf_stats", "this kernel does not count run times of eBPF programs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn capabilities_are_read_by_their_bits() {
        let bpf_and_perfmon = Rights::parse("Name:\tx\nCapEff:\t000000c000000000\n").unwrap();
        assert!(bpf_and_perfmon.has(CAP_BPF) && bpf_and_perfmon.has(CAP_PERFMON));
        assert!(!bpf_and_perfmon.has(CAP_SYS_ADMIN));
        assert_eq!(capabilities(bpf_and_perfmon).status, Status::Ok);
        let none = capabilities(Rights(0));
        assert_eq!(none.status, Status::Problem);
        assert!(none.remedy.unwrap().starts_with("sudo setcap cap_bpf,cap_perfmon=ep "));
    }

    #[test]
    fn an_empty_tree_is_diagnosed_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let roots = Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") };
        let found = findings(&roots);
        let status = |name: &str| found.iter().find(|finding| finding.name == name).unwrap().status;
        assert_eq!(status("btf"), Status::Problem);
        assert_eq!(status("psi"), Status::Problem);
        assert_eq!(status("pmu"), Status::Note);
    }

    #[test]
    fn core_pmus_are_told_from_the_uncores() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { sysfs: dir.path().into(), ..Roots::default() };
        for path in ["cpu_atom/cpus", "cpu_core/cpus", "uncore_imc/cpumask", "software/type"] {
            let path = dir.path().join("bus/event_source/devices").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "0").unwrap();
        }
        assert_eq!(core_pmus(&roots), ["cpu_atom", "cpu_core"]);
    }
}
