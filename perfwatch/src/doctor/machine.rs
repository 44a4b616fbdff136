//! What the kernel and the machine offer, read from /proc and /sys.

use std::fs::read_to_string;
use std::path::Path;

use super::Finding;
use crate::config::Roots;
use crate::probes::{paranoid, pmu, target};

/// Capabilities the probes can use, with their bit in `CapEff` (`include/uapi/linux/capability.h`).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

pub(super) fn findings(roots: &Roots) -> Vec<Finding> {
    if let Some(build) = build(roots) {
        // What the kernel would ask for to be measured from within does not matter to this one.
        return vec![kernel(), environment(roots), build, pressure(roots), processes(roots)];
    }
    let rights = Rights::read(roots);
    vec![
        kernel(),
        environment(roots),
        btf(roots),
        capabilities(rights),
        event_level(roots, rights),
        lockdown(roots),
        pmu(roots),
        nmi_watchdog(roots),
        pressure(roots),
        processes(roots),
        bpf_stats(roots),
    ]
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).trim().to_owned())
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

/// What this build lacks on any machine.
fn build(roots: &Roots) -> Option<Finding> {
    let why = target::no_programs(roots)?;
    Some(Finding { remedy: why.remedy, ..Finding::note("build", why.reason) })
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

fn event_level(roots: &Roots, rights: Rights) -> Finding {
    const NAME: &str = "perf_event_paranoid";
    let Some(level) = text(roots.proc("sys/kernel/perf_event_paranoid")) else {
        return Finding::problem(
            NAME,
            "no /proc/sys/kernel/perf_event_paranoid: the kernel has no performance events",
            Some("use a kernel built with CONFIG_PERF_EVENTS=y".into()),
        );
    };
    if paranoid::is_stricter(roots) {
        let detail = format!("{level}: kernels of Debian and Ubuntu then let only CAP_SYS_ADMIN count");
        let finding = if rights.has(CAP_SYS_ADMIN) {
            Finding::ok(NAME, detail)
        } else {
            Finding::problem(NAME, detail, None)
        };
        return Finding { remedy: Some(paranoid::REMEDY.into()), ..finding };
    }
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

fn pmu(roots: &Roots) -> Finding {
    let pmus = pmu::core_pmus(roots);
    if pmus.is_empty() {
        return Finding::note(
            "pmu",
            "no hardware PMU is visible: cycles, instructions, caches, branches and TLBs cannot be counted \
             (a hypervisor may offer one; libvirt: <pmu state='on'/>, QEMU: -cpu host,pmu=on)",
        );
    }
    let each = pmus.iter().map(|pmu| match &pmu.cpus {
        Some(cpus) => format!("{} on CPUs {cpus}", pmu.name),
        None => pmu.name.clone(),
    });
    let names = each.collect::<Vec<_>>().join(", ");
    // A hybrid CPU's instruction tells of the core it happens to run on.
    match counters().filter(|_| pmus.len() == 1) {
        Some(counters) => Finding::ok("pmu", format!("{names}: {counters}")),
        None => Finding::ok("pmu", names),
    }
}

/// How many counters each CPU has, as it says itself. On arm64 only the kernel may ask.
#[cfg(target_arch = "x86_64")]
fn counters() -> Option<String> {
    use std::arch::x86_64::{__cpuid, __get_cpuid_max};
    const INTEL: u32 = 0xa;
    const AMD: u32 = 0x8000_0022;
    let bits = |value: u32, first: u32, width: u32| value >> first & ((1 << width) - 1);
    if __get_cpuid_max(0).0 >= INTEL {
        let leaf = __cpuid(INTEL);
        if bits(leaf.eax, 0, 8) > 1 {
            return Some(format!(
                "{} counters and {} fixed ones",
                bits(leaf.eax, 8, 8),
                bits(leaf.edx, 0, 5)
            ));
        }
    }
    if __get_cpuid_max(0x8000_0000).0 >= AMD {
        let counters = bits(__cpuid(AMD).ebx, 0, 4);
        return (counters > 0).then(|| format!("{counters} counters"));
    }
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn counters() -> Option<String> {
    None
}

fn nmi_watchdog(roots: &Roots) -> Finding {
    let on = text(roots.proc("sys/kernel/nmi_watchdog")).as_deref() == Some("1");
    if on && !pmu::core_pmus(roots).is_empty() {
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

/// Whether `/proc` shows other users' processes (its mount option `hidepid`).
fn processes(roots: &Roots) -> Finding {
    const NAME: &str = "processes";
    match std::fs::read(roots.proc("1/stat")) {
        Ok(_) => Finding::ok(NAME, "/proc shows those of all users"),
        Err(error) => Finding::problem(
            NAME,
            format!("/proc hides those of other users (hidepid): process 1 cannot be read: {error}"),
            Some(
                "add SupplementaryGroups= of the group that /proc is mounted with (gid=), or grant CAP_SYS_PTRACE"
                    .into(),
            ),
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
        assert_eq!(status("processes"), Status::Problem);
        std::fs::create_dir_all(roots.proc("1")).unwrap();
        std::fs::write(roots.proc("1/stat"), "1 (init) S 0\n").unwrap();
        assert_eq!(processes(&roots).status, Status::Ok);
    }

    #[test]
    fn a_distributions_stricter_level_asks_for_more_than_perfmon() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots { procfs: directory.path().into(), ..Roots::default() };
        std::fs::create_dir_all(roots.proc("sys/kernel")).unwrap();
        let level = |level: &str, rights| {
            std::fs::write(roots.proc("sys/kernel/perf_event_paranoid"), level).unwrap();
            event_level(&roots, Rights(rights))
        };
        let (perfmon, administrator) = (1 << CAP_PERFMON, 1 << CAP_SYS_ADMIN);
        assert_eq!(level("2", perfmon).status, Status::Ok);
        assert_eq!(level("2", 0).status, Status::Problem);
        let refused = level("3", perfmon);
        assert_eq!((refused.status, refused.remedy.as_deref()), (Status::Problem, Some(paranoid::REMEDY)));
        assert_eq!(level("3", administrator).status, Status::Ok);
    }

    #[test]
    fn each_kind_of_core_is_named_with_its_cpus() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { sysfs: dir.path().into(), ..Roots::default() };
        let devices = dir.path().join("bus/event_source/devices");
        for (name, kind, cpus) in [("cpu_atom", "10", "16-23"), ("cpu_core", "4", "0-15")] {
            std::fs::create_dir_all(devices.join(name)).unwrap();
            std::fs::write(devices.join(name).join("type"), kind).unwrap();
            std::fs::write(devices.join(name).join("cpus"), cpus).unwrap();
        }
        assert_eq!(pmu(&roots).detail, "cpu_atom on CPUs 16-23, cpu_core on CPUs 0-15");
    }
}
