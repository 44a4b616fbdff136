//! What the kernel and the machine offer, read from /proc and /sys.

use std::fs::read_to_string;
use std::path::Path;

use super::Finding;
use super::rights::Rights;
use crate::config::Roots;
use crate::probes::{BTF_REMEDY, paranoid, pmu, target};

pub(super) fn findings(roots: &Roots, rights: &Rights) -> Vec<Finding> {
    if let Some(build) = build(roots) {
        // What the kernel would need for probes does not matter to this build.
        return vec![kernel(), environment(roots), build, pressure(roots), processes(roots)];
    }
    let mut findings = vec![
        kernel(),
        environment(roots),
        btf(roots),
        capabilities(rights),
        lockdown(roots),
        pmu(roots),
        nmi_watchdog(roots),
    ];
    match procfs(roots) {
        // Anything else missing there is missing for this reason.
        Some(unreadable) => findings.push(unreadable),
        None => {
            findings.extend([
                event_level(roots, rights),
                pressure(roots),
                processes(roots),
                bpf_stats(roots),
            ]);
        }
    }
    findings
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
            (false, false) => "no hypervisor or container detected",
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
        return Finding::ok("btf", "the kernel provides its type information");
    }
    let file = roots.sys("kernel/btf/vmlinux");
    Finding::problem(
        "btf",
        format!("there is no {}, so eBPF programs cannot be loaded", file.display()),
        Some(BTF_REMEDY.into()),
    )
}

fn capabilities(rights: &Rights) -> Finding {
    const NAME: &str = "capabilities";
    match &*rights.missing {
        [] if rights.administrator => {
            Finding::ok(NAME, "CAP_SYS_ADMIN is held, which includes all rights needed")
        }
        [] => Finding::ok(NAME, "CAP_BPF and CAP_PERFMON are held"),
        missing => {
            let verb = if missing.len() == 1 { "is" } else { "are" };
            Finding::problem(NAME, format!("{} {verb} missing", missing.join(" and ")), rights.remedy())
        }
    }
}

/// `/proc` of the observed machine, if it cannot be read.
fn procfs(roots: &Roots) -> Option<Finding> {
    let file = roots.proc("stat");
    let error = std::fs::File::open(&file).err()?;
    Some(Finding::problem(
        "procfs",
        format!("cannot read {}: {error}", file.display()),
        Some("set PERFWATCH_PROCFS to where the host's /proc is mounted".into()),
    ))
}

fn event_level(roots: &Roots, rights: &Rights) -> Finding {
    const NAME: &str = "perf_event_paranoid";
    let Some(level) = paranoid::level(roots) else {
        return Finding::problem(
            NAME,
            "no /proc/sys/kernel/perf_event_paranoid: the kernel has no performance events",
            Some("use a kernel built with CONFIG_PERF_EVENTS=y".into()),
        );
    };
    let without_perfmon = rights.missing.contains(&"CAP_PERFMON");
    if paranoid::is_stricter(roots) {
        let detail =
            format!("{level}: on Debian and Ubuntu kernels, only CAP_SYS_ADMIN may then count events");
        return if rights.administrator {
            Finding { remedy: Some(paranoid::REMEDY.into()), ..Finding::ok(NAME, detail) }
        } else {
            Finding::problem(NAME, detail, rights.remedy().or_else(|| Some(paranoid::REMEDY.into())))
        };
    }
    match level {
        // A lower level would let every user observe all others: grant the capability instead.
        1.. if without_perfmon => Finding::problem(
            NAME,
            format!("{level}: counting events of the whole machine needs CAP_PERFMON"),
            rights.remedy(),
        ),
        1.. => Finding::ok(NAME, format!("{level}, overridden by CAP_PERFMON")),
        _ => Finding::ok(NAME, level.to_string()),
    }
}

fn lockdown(roots: &Roots) -> Finding {
    match text(roots.sys("kernel/security/lockdown")) {
        // Deliberately chosen by the administrator.
        Some(modes) if modes.contains("[confidentiality]") => Finding::note(
            "lockdown",
            "confidentiality: the kernel lets no eBPF program read its memory (integrity mode would)",
        ),
        Some(modes) => Finding::ok("lockdown", modes),
        None => Finding::ok("lockdown", "off"),
    }
}

fn pmu(roots: &Roots) -> Finding {
    let pmus = pmu::core_pmus(roots);
    if pmus.is_empty() {
        return Finding::note(
            "pmu",
            "no hardware PMU: cycles, instructions, cache, branch and TLB events cannot be counted",
        );
    }
    let each = pmus.iter().map(|pmu| match &pmu.cpus {
        Some(cpus) => format!("{} on CPUs {cpus}", pmu.name),
        None => pmu.name.clone(),
    });
    let names = each.collect::<Vec<_>>().join(", ");
    // On a hybrid CPU, CPUID describes the core it happens to run on.
    match counters().filter(|_| pmus.len() == 1) {
        Some(counters) => Finding::ok("pmu", format!("{names}: {counters}")),
        None => Finding::ok("pmu", names),
    }
}

/// Number of counters per CPU, from CPUID. On arm64 only the kernel can read it.
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
                "{} general and {} fixed counters",
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
                "on: it occupies one hardware counter, so events are multiplexed more",
            )
        };
    }
    Finding::ok("nmi_watchdog", "occupies no hardware counter")
}

fn pressure(roots: &Roots) -> Finding {
    match read_to_string(roots.proc("pressure/cpu")) {
        Ok(_) => Finding::ok("psi", "the kernel measures stall time"),
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
            format!("/proc is mounted with hidepid (cannot read process 1: {error})"),
            Some(
                "add PerfWatch's user to the group that /proc is mounted with (gid=); in the systemd unit: \
                 SupplementaryGroups="
                    .into(),
            ),
        ),
    }
}

fn bpf_stats(roots: &Roots) -> Finding {
    match text(roots.proc("sys/kernel/bpf_stats_enabled")).as_deref() {
        Some("1") => Finding::ok("bpf_stats", "the kernel times all eBPF programs"),
        Some(_) => Finding::ok("bpf_stats", "off; PerfWatch times its own programs by sampling"),
        None => Finding::note("bpf_stats", "this kernel cannot time eBPF programs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn rights(missing: &[&'static str], administrator: bool, strict: bool) -> Rights {
        Rights { missing: missing.to_vec(), administrator, strict }
    }

    #[test]
    fn missing_capabilities_come_with_the_command_that_grants_them() {
        assert_eq!(capabilities(&rights(&[], false, false)).status, Status::Ok);
        let none = capabilities(&rights(&["CAP_BPF", "CAP_PERFMON"], false, false));
        assert_eq!((none.status, &*none.detail), (Status::Problem, "CAP_BPF and CAP_PERFMON are missing"));
        assert!(none.remedy.unwrap().starts_with("sudo setcap cap_bpf,cap_perfmon=ep "));
    }

    #[test]
    fn an_empty_tree_is_diagnosed_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let roots = Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") };
        let look = || findings(&roots, &rights(&[], false, false));
        let status = |found: &[Finding], name: &str| {
            found.iter().find(|finding| finding.name == name).map(|finding| finding.status)
        };
        let found = look();
        assert_eq!(status(&found, "btf"), Some(Status::Problem));
        assert_eq!(status(&found, "pmu"), Some(Status::Note));
        // A missing /proc is one problem, not one per file.
        assert_eq!((status(&found, "procfs"), status(&found, "psi")), (Some(Status::Problem), None));
        std::fs::create_dir_all(roots.proc("1")).unwrap();
        std::fs::write(roots.proc("stat"), "cpu 1\n").unwrap();
        let found = look();
        assert_eq!((status(&found, "procfs"), status(&found, "psi")), (None, Some(Status::Problem)));
        assert_eq!(status(&found, "processes"), Some(Status::Problem));
        std::fs::write(roots.proc("1/stat"), "1 (init) S 0\n").unwrap();
        assert_eq!(processes(&roots).status, Status::Ok);
    }

    #[test]
    fn no_level_weaker_than_the_documented_one_is_advised() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots { procfs: directory.path().into(), ..Roots::default() };
        std::fs::create_dir_all(roots.proc("sys/kernel")).unwrap();
        let level = |level: &str, missing: &[&'static str], administrator| {
            std::fs::write(roots.proc("sys/kernel/perf_event_paranoid"), level).unwrap();
            event_level(&roots, &rights(missing, administrator, paranoid::is_stricter(&roots)))
        };
        let all = ["CAP_BPF", "CAP_PERFMON"];
        assert_eq!(level("2", &[], false).detail, "2, overridden by CAP_PERFMON");
        let refused = level("2", &all, false);
        assert_eq!(refused.status, Status::Problem);
        assert!(refused.remedy.unwrap().starts_with("sudo setcap"));
        let strict = level("3", &[], false);
        assert_eq!((strict.status, strict.remedy.as_deref()), (Status::Problem, Some(paranoid::REMEDY)));
        let both = level("4", &all, false).remedy.unwrap();
        assert!(both.starts_with("sudo setcap") && both.ends_with(paranoid::REMEDY), "{both}");
        assert_eq!(level("3", &[], true).status, Status::Ok);
        assert_eq!(level("-1", &all, false).status, Status::Ok);
        let documented = include_str!("../../../docs/deployment.md");
        assert!(documented.contains("kernel.perf_event_paranoid=2") && paranoid::REMEDY.ends_with("=2"));
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
