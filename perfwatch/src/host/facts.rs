//! What machine this is: stored with its history, so that it can be told when the machine is gone.

use std::fs::read_to_string;
use std::path::Path;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Roots;
use crate::snapshot::cpulist::CpuList;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Facts {
    /// The distribution's name, from os-release(5).
    #[schema(example = "Debian GNU/Linux 13 (trixie)")]
    pub os: Option<String>,
    /// The running kernel's release.
    #[schema(example = "6.12.0")]
    pub kernel: Option<String>,
    #[schema(example = "x86_64")]
    pub architecture: Option<String>,
    pub cpu_model: Option<String>,
    /// Online CPUs.
    pub cpu_count: Option<u32>,
    pub memory_total_bytes: Option<u64>,
    /// The machine's time zone, by its IANA name; `null` if it cannot be told.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
}

impl Facts {
    pub fn read(roots: &Roots) -> Self {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| Some(part.to_string_lossy().into_owned());
        let meminfo = read_to_string(roots.proc("meminfo")).unwrap_or_default();
        Self {
            os: os(&roots.rootfs),
            kernel: text(uname.release()),
            architecture: text(uname.machine()),
            cpu_model: cpu_model(&read_to_string(roots.proc("cpuinfo")).unwrap_or_default()),
            cpu_count: online_cpus(roots).and_then(|cpus| u32::try_from(cpus.len()).ok()),
            memory_total_bytes: field(&meminfo, "MemTotal")
                .and_then(|value| value.strip_suffix(" kB")?.trim().parse::<u64>().ok())
                .map(|kib| kib * 1024),
            time_zone: time_zone(&roots.rootfs),
        }
    }
}

pub fn online_cpus(roots: &Roots) -> Option<CpuList> {
    read_to_string(roots.sys("devices/system/cpu/online")).ok()?.parse().ok()
}

fn os(rootfs: &Path) -> Option<String> {
    let release = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|path| read_to_string(rootfs.join(path)).ok())?;
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = name.trim().trim_matches(['"', '\'']).trim();
    (!name.is_empty() && name.len() <= 128).then(|| name.to_owned())
}

/// `/etc/localtime` is a link into the zone database; Debian also writes the name into a file.
fn time_zone(rootfs: &Path) -> Option<String> {
    let linked = std::fs::read_link(rootfs.join("etc/localtime")).ok();
    let linked = linked.as_deref().and_then(Path::to_str).and_then(|target| {
        let (_, name) = target.split_once("/zoneinfo/")?;
        let name = name.strip_prefix("posix/").or_else(|| name.strip_prefix("right/")).unwrap_or(name);
        zone_name(name)
    });
    linked.or_else(|| zone_name(&read_to_string(rootfs.join("etc/timezone")).ok()?))
}

fn zone_name(text: &str) -> Option<String> {
    let name = text.trim();
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    (name.len() <= 64 && name.split('/').all(is_part)).then(|| name.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_zone_is_that_of_the_link_else_of_the_file() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        assert_eq!(time_zone(root.path()), None);
        std::fs::write(etc.join("timezone"), "Asia/Kolkata\n").unwrap();
        assert_eq!(time_zone(root.path()).as_deref(), Some("Asia/Kolkata"));
        let localtime = etc.join("localtime");
        for (target, expected) in [
            ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
            ("../usr/share/zoneinfo/posix/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            // Neither names a zone: the file does.
            ("/usr/share/zoneinfo/../passwd", "Asia/Kolkata"),
            ("/etc/elsewhere", "Asia/Kolkata"),
        ] {
            std::os::unix::fs::symlink(target, &localtime).unwrap();
            assert_eq!(time_zone(root.path()).as_deref(), Some(expected), "{target}");
            std::fs::remove_file(&localtime).unwrap();
        }
    }

    #[test]
    fn the_system_is_named_as_it_names_itself() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(os(root.path()), None);
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let release = root.path().join("etc/os-release");
        std::fs::write(&release, "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n").unwrap();
        assert_eq!(os(root.path()).as_deref(), Some("Debian GNU/Linux 13 (trixie)"));
        std::fs::write(&release, "PRETTY_NAME=''\n").unwrap();
        assert_eq!(os(root.path()), None);
    }

    #[test]
    fn models_are_found_on_each_architecture() {
        let x86 = "processor\t: 0\nmodel\t\t: 6\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(cpu_model(x86).as_deref(), Some("Some CPU @ 2 GHz"));
        let arm = "processor\t: 0\nBogoMIPS\t: 125.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n";
        assert_eq!(cpu_model(arm).as_deref(), Some("Arm implementer 0x41 part 0xd08"));
        assert_eq!(cpu_model(""), None);
    }
}
