//! What must be on the machine before a command starts: found, installed, or named in one exact command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::cross::{self, Architecture};
use crate::step::{find_on_path, output, quiet};

/// The oldest Node.js that the page's tools support.
const NODE_MAJOR: u32 = 20;

/// What a command is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Compile the server and build the page.
    Build,
    /// That, plus a database server, a browser and load generators.
    Test,
    /// Compile the eBPF programs.
    Ebpf,
    /// Boot guests with other kernels.
    Kernels,
    /// Run our own Docker engine.
    Compose,
    /// Compile for this architecture, or for all.
    Dist(Option<Architecture>),
    /// Compile for armv7, and run that.
    Armv7,
    /// Install a package in a small separate Debian.
    TestRoot,
}

/// One thing a command needs, and what provides it.
#[derive(Debug)]
struct Need {
    /// In words, for the message.
    what: &'static str,
    found: fn() -> bool,
    debian: &'static [&'static str],
    fedora: &'static [&'static str],
    arch: &'static [&'static str],
}

const BUILD: &[Need] = &[
    Need {
        what: "git",
        found: || on_path("git"),
        debian: &["git", "ca-certificates"],
        fedora: &["git"],
        arch: &["git"],
    },
    Need {
        what: "a C compiler and linker",
        found: || on_path("cc"),
        debian: &["gcc", "libc6-dev"],
        fedora: &["gcc"],
        arch: &["gcc"],
    },
];

const TEST: &[Need] = &[
    Need {
        what: "PostgreSQL's server programs",
        found: || postgresql().is_some(),
        debian: &["postgresql"],
        fedora: &["postgresql-server"],
        arch: &["postgresql"],
    },
    Need {
        what: "Chromium",
        found: || chromium().is_some(),
        debian: &["chromium"],
        fedora: &["chromium"],
        arch: &["chromium"],
    },
    Need {
        what: "perf",
        found: || on_path("perf"),
        debian: &["linux-perf"],
        fedora: &["perf"],
        arch: &["perf"],
    },
    Need {
        what: "stress-ng",
        found: || on_path("stress-ng"),
        debian: &["stress-ng"],
        fedora: &["stress-ng"],
        arch: &["stress-ng"],
    },
    Need {
        what: "PgBouncer",
        found: || on_path("pgbouncer") || Path::new("/usr/sbin/pgbouncer").exists(),
        debian: &["pgbouncer"],
        fedora: &["pgbouncer"],
        arch: &["pgbouncer"],
    },
    Need {
        what: "nats-server",
        found: || on_path("nats-server") || Path::new("/usr/sbin/nats-server").exists(),
        debian: &["nats-server"],
        fedora: &["nats-server"],
        arch: &["nats-server"],
    },
    Need {
        what: "nginx",
        found: || on_path("nginx") || Path::new("/usr/sbin/nginx").exists(),
        debian: &["nginx"],
        fedora: &["nginx"],
        arch: &["nginx"],
    },
    Need {
        what: "Caddy",
        found: || on_path("caddy"),
        debian: &["caddy"],
        fedora: &["caddy"],
        arch: &["caddy"],
    },
    Need {
        what: "promtool",
        found: || on_path("promtool"),
        debian: &["prometheus"],
        fedora: &["golang-github-prometheus"],
        arch: &["prometheus"],
    },
    Need {
        what: "Podman",
        found: || on_path("podman") && (on_path("runc") || on_path("crun")),
        debian: &["podman", "runc", "crun"],
        fedora: &["podman"],
        arch: &["podman"],
    },
    Need { what: "LXC", found: || on_path("lxc-start"), debian: &["lxc"], fedora: &["lxc"], arch: &["lxc"] },
    Need {
        what: "Alertmanager",
        found: || on_path("prometheus-alertmanager"),
        debian: &["prometheus-alertmanager"],
        fedora: &["golang-github-prometheus-alertmanager"],
        arch: &["alertmanager"],
    },
    Need {
        what: "aiosmtpd, a mail server in Python",
        found: || output("/usr/bin/python3", &["-c", "import aiosmtpd"]).is_some(),
        debian: &["python3-aiosmtpd"],
        fedora: &["python3-aiosmtpd"],
        arch: &["python-aiosmtpd"],
    },
];

/// Debian's own compiler with its library sources and the LLVM it was built with; elsewhere rustup's nightly.
const EBPF: &[Need] = &[Need {
    what: "a Rust compiler with library sources, and LLVM 22",
    found: || ebpf_toolchain().is_some(),
    debian: &["rustc-web", "rust-web-src", "llvm-22-dev", "zlib1g-dev", "libzstd-dev"],
    fedora: &[],
    arch: &[],
}];

/// An emulator per architecture, and what compiles and links arm64 binaries.
const KERNELS: &[Need] = &[
    Need {
        what: "QEMU for x86-64",
        found: || on_path("qemu-system-x86_64"),
        debian: &["qemu-system-x86"],
        fedora: &["qemu-system-x86-core"],
        arch: &["qemu-system-x86"],
    },
    Need {
        what: "QEMU for arm64",
        found: || on_path("qemu-system-aarch64"),
        debian: &["qemu-system-arm"],
        fedora: &["qemu-system-aarch64-core"],
        arch: &["qemu-system-aarch64"],
    },
    ARM64,
];

const ARM64: Need = Need {
    what: "a compiler and linker for arm64",
    found: cross::can_build_arm64,
    debian: &["rustc-web", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    fedora: &[],
    arch: &[],
};

const ARMV7: Need = Need {
    what: "a compiler with library sources, and a linker, for 32-bit ARM",
    found: cross::can_build_armv7,
    debian: &["rustc-web", "rust-web-src", "gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "lld"],
    fedora: &[],
    arch: &[],
};

/// Without it `dist` tests less, and says so: installed where permitted, never required.
const EMULATION: Need = Need {
    what: "qemu's user emulation for arm64 and armv7",
    found: || ["aarch64", "arm"].into_iter().all(|machine| emulator(&format!("qemu-{machine}")).is_some()),
    debian: &["qemu-user-static"],
    fedora: &["qemu-user-static"],
    arch: &["qemu-user-static"],
};

/// The same: an emulator whose clock a test can change, which the static one does not allow.
const DYNAMIC_EMULATION: Need = Need {
    what: "qemu's user emulation for armv7",
    found: || on_path("qemu-arm"),
    debian: &["qemu-user"],
    fedora: &["qemu-user"],
    arch: &["qemu-user"],
};

/// The same.
const LINTIAN: Need = Need {
    what: "Debian's checks of packages",
    found: || on_path("lintian"),
    debian: &["lintian"],
    fedora: &[],
    arch: &[],
};

/// What Debian's unpacked engine calls, and what makes base images for it.
const COMPOSE: &[Need] = &[
    Need {
        what: "Docker with its compose plugin",
        found: || on_path("runc") && on_path("iptables-save") && on_path("ip"),
        debian: &["runc", "iptables", "iproute2"],
        fedora: &["docker-cli", "moby-engine", "docker-compose"],
        arch: &["docker", "docker-compose", "docker-buildx"],
    },
    DEBOOTSTRAP,
];

const DEBOOTSTRAP: Need = Need {
    what: "debootstrap",
    found: || on_path("debootstrap"),
    debian: &["debootstrap"],
    fedora: &["debootstrap"],
    arch: &["debootstrap"],
};

/// How eBPF programs are compiled on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EbpfToolchain {
    /// Debian's `rustc-web`, whose core library is built from its own sources by the stable compiler.
    Debian { rustc: PathBuf, llvm: PathBuf },
    /// rustup's nightly with `rust-src`, and a `bpf-linker` on the path.
    Rustup,
}

/// The toolchain for eBPF programs, if complete.
pub fn ebpf_toolchain() -> Option<EbpfToolchain> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    let llvm = PathBuf::from("/usr/lib/llvm-22");
    let sources = Path::new("/usr/lib/rustlib/src/rust/library/core/Cargo.toml");
    if rustc.exists() && sources.exists() && llvm.join("bin/llvm-config").exists() {
        return Some(EbpfToolchain::Debian { rustc, llvm });
    }
    let components = output("rustup", &["+nightly", "component", "list", "--installed"])?;
    let has_sources = components.lines().any(|line| line == "rust-src");
    (has_sources && on_path("bpf-linker")).then_some(EbpfToolchain::Rustup)
}

/// The directory of `initdb` and `pg_ctl`: Debian keeps them off the path, newest version last.
pub fn postgresql() -> Option<PathBuf> {
    if let Some(initdb) = find_on_path("initdb") {
        return initdb.parent().map(Path::to_owned);
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs.join("initdb").exists().then_some((version, programs))
        })
        .collect();
    versions.sort();
    versions.pop().filter(|(version, _)| *version >= 15).map(|(_, programs)| programs)
}

/// A browser the end-to-end tests can drive.
pub fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .into_iter()
        .find_map(find_on_path)
}

/// The program of QEMU's user emulation, such as qemu-arm: Debian's is linked statically, and named so.
pub fn emulator(name: &str) -> Option<PathBuf> {
    find_on_path(&format!("{name}-static")).or_else(|| find_on_path(name))
}

fn on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

/// The package manager of this machine, if we know its package names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distribution {
    Debian,
    Fedora,
    Arch,
    Other,
}

impl Distribution {
    fn of(os_release: &str) -> Self {
        let ids = os_release
            .lines()
            .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
            .flat_map(|ids| ids.trim_matches('"').split_whitespace());
        for id in ids {
            match id {
                "debian" | "ubuntu" => return Self::Debian,
                "fedora" | "rhel" => return Self::Fedora,
                "arch" => return Self::Arch,
                _ => {}
            }
        }
        Self::Other
    }

    fn here() -> Self {
        Self::of(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    fn packages(self, need: &Need) -> &'static [&'static str] {
        match self {
            Self::Debian => need.debian,
            Self::Fedora => need.fedora,
            Self::Arch => need.arch,
            Self::Other => &[],
        }
    }

    /// The exact command to run, if we know this machine's package names.
    fn command(self, packages: &[&str]) -> Option<String> {
        let install = match self {
            Self::Debian => "sudo apt-get install --yes --no-install-recommends",
            Self::Fedora => "sudo dnf install --assumeyes",
            Self::Arch => "sudo pacman -S --needed",
            Self::Other => return None,
        };
        (!packages.is_empty()).then(|| format!("{install} {}", packages.join(" ")))
    }
}

/// Makes sure that `purpose` is possible: as root on Debian or Ubuntu by installing what is missing,
/// elsewhere by naming the command that does, before any work is done.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let mut needs: Vec<&Need> = match purpose {
        Purpose::Build => BUILD.iter().collect(),
        Purpose::Test => BUILD.iter().chain(TEST).collect(),
        Purpose::Ebpf => BUILD.iter().chain(EBPF).collect(),
        Purpose::Kernels => BUILD.iter().chain(KERNELS).collect(),
        Purpose::Compose => COMPOSE.iter().collect(),
        Purpose::Dist(Some(Architecture::X86_64)) => BUILD.iter().collect(),
        Purpose::Dist(Some(Architecture::Arm64)) => BUILD.iter().chain([&ARM64]).collect(),
        Purpose::Dist(Some(Architecture::Armv7)) => BUILD.iter().chain([&ARMV7]).collect(),
        Purpose::Dist(None) => BUILD.iter().chain([&ARM64, &ARMV7]).collect(),
        Purpose::Armv7 => BUILD.iter().chain([&ARMV7, &EMULATION]).collect(),
        Purpose::TestRoot => vec![&DEBOOTSTRAP],
    };
    let distribution = Distribution::here();
    let may_install = distribution == Distribution::Debian && rustix::process::geteuid().is_root();
    if matches!(purpose, Purpose::Dist(_)) && may_install {
        needs.extend([&EMULATION, &LINTIAN]);
    }
    if purpose == Purpose::Armv7 && may_install {
        needs.push(&DYNAMIC_EMULATION);
    }
    if matches!(purpose, Purpose::Build | Purpose::Test | Purpose::Dist(_) | Purpose::Armv7) {
        node(may_install)?;
    }
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| !(need.found)()).collect();
    if !missing.is_empty() {
        let packages: Vec<&str> =
            missing.iter().flat_map(|need| distribution.packages(need)).copied().collect();
        if may_install {
            apt_get_install(&packages)?;
        } else {
            bail!(refusal(&missing, distribution, &packages));
        }
        let still: Vec<&str> = missing.iter().filter(|need| !(need.found)()).map(|need| need.what).collect();
        if !still.is_empty() {
            bail!("still missing after installing {}: {}", packages.join(" "), still.join(", "));
        }
    }
    Ok(())
}

fn refusal(missing: &[&Need], distribution: Distribution, packages: &[&str]) -> String {
    let what: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let mut message = format!("missing: {}.", what.join(", "));
    match distribution.command(packages) {
        Some(command) => message.push_str(&format!(" Run\n\n    {command}\n\nand start again")),
        None => message.push_str(" Install them and start again"),
    }
    if missing.iter().any(|need| need.debian.contains(&"rustc-web")) && packages.is_empty() {
        message.push_str(
            "; with rustup: rustup toolchain install nightly --component rust-src \
             && cargo install bpf-linker",
        );
    }
    message
}

fn apt_get_install(packages: &[&str]) -> Result<()> {
    // Existing lists may lack an archive, such as security updates, and then offer an older compiler.
    static FETCHED: OnceLock<()> = OnceLock::new();
    if FETCHED.get().is_none() {
        quiet("Fetching Debian's package lists", apt_get(&["update"]))?;
        let _ = FETCHED.set(());
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    let title = format!("Installing {}", packages.join(" "));
    quiet(&title, apt_get(&arguments))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Node.js is more often installed from its own site than from the distribution, whose version may be too old.
fn node(may_install: bool) -> Result<()> {
    let version = || output("node", &["--version"]);
    if version().is_none() && may_install && debian_offers_node() {
        apt_get_install(&["nodejs", "npm"])?;
    }
    let remedy = format!(
        "install Node.js {NODE_MAJOR} or newer with npm (https://nodejs.org/en/download) and start again"
    );
    let Some(version) = version() else { bail!("missing: Node.js; {remedy}") };
    if node_major(&version).is_none_or(|major| major < NODE_MAJOR) {
        bail!("Node.js {version} is too old; {remedy}");
    }
    if output("npm", &["--version"]).is_none() {
        bail!("missing: npm; {remedy}");
    }
    Ok(())
}

fn debian_offers_node() -> bool {
    let policy = output("apt-cache", &["policy", "nodejs"]).unwrap_or_default();
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    candidate.and_then(|version| node_major(&format!("v{version}"))).is_some_and(|major| major >= NODE_MAJOR)
}

fn node_major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_told_apart_by_id_and_likeness() {
        assert_eq!(Distribution::of("NAME=\"Debian\"\nID=debian\n"), Distribution::Debian);
        assert_eq!(Distribution::of("ID=pop\nID_LIKE=\"ubuntu debian\"\n"), Distribution::Debian);
        assert_eq!(Distribution::of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\""), Distribution::Fedora);
        assert_eq!(Distribution::of("ID=arch"), Distribution::Arch);
        assert_eq!(Distribution::of("ID=nixos"), Distribution::Other);
    }

    #[test]
    fn the_message_is_one_command_that_can_be_pasted() {
        let missing: Vec<&Need> = BUILD.iter().collect();
        let packages = ["git", "gcc"];
        let message = refusal(&missing, Distribution::Debian, &packages);
        assert!(message.contains("\n    sudo apt-get install --yes --no-install-recommends git gcc\n"));
        assert!(refusal(&missing, Distribution::Other, &[]).contains("git, a C compiler and linker"));
    }

    #[test]
    fn every_need_has_a_debian_package() {
        for need in BUILD.iter().chain(TEST).chain(EBPF).chain(KERNELS).chain(COMPOSE).chain([
            &ARM64,
            &ARMV7,
            &EMULATION,
            &DYNAMIC_EMULATION,
            &LINTIAN,
        ]) {
            assert!(!need.debian.is_empty(), "{}", need.what);
        }
    }

    #[test]
    fn node_versions_are_read() {
        assert_eq!(node_major("v20.20.2"), Some(20));
        assert_eq!(node_major("v8.0.0\n"), Some(8));
        assert_eq!(node_major("nonsense"), None);
    }
}
