//! Statically linked binaries for x86-64, arm64 and 32-bit ARM (armv7), built here.
//!
//! rustup's targets are used if installed. Otherwise Debian's `rustc-web` compiles, with arm64's
//! standard library unpacked from Debian's archive into its own sysroot, and armv7's, which Debian does not have,
//! built from the sources that the eBPF programs' `core` is built from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian::{self, Archive};
use crate::step::{command, find_on_path, output, root, run};

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_STD: &str = "libstd-rust-web-dev";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
const ARM64_LINKER: &str = "aarch64-linux-gnu-gcc";
const ARMV7_LINKER: &str = "arm-linux-gnueabihf-gcc";
/// GNU's linker forgets that libc's memcpy is Thumb code once a program is too long for branches to it, and the program
/// then crashes before its first line.
const LLD: &str = "ld.lld";
/// SQLite reads the time and file times: in 64 bits, or both would end in 2038. Rust's own library does so
/// anyway.
const ARMV7_CFLAGS: &str = "-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Architecture {
    #[value(name = "x86-64")]
    X86_64,
    Arm64,
    Armv7,
}

impl Architecture {
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Arm64, Self::Armv7];

    /// Those whose kernels accept the eBPF programs.
    pub const WITH_PROBES: [Self; 2] = [Self::X86_64, Self::Arm64];

    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Armv7 => "armhf",
        }
    }

    /// The name in QEMU's user emulation.
    pub fn emulator(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-x86_64",
            Self::Arm64 => "qemu-aarch64",
            Self::Armv7 => "qemu-arm",
        }
    }

    /// Whether this machine runs it without an emulator.
    pub fn is_here(self) -> bool {
        self.target().starts_with(std::env::consts::ARCH)
    }

    /// Rust's name of the target.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::Armv7 => "armv7-unknown-linux-gnueabihf",
        }
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
            Self::Armv7 => "armv7",
        })
    }
}

/// A compiler with the standard library of every architecture requested.
#[derive(Debug)]
pub enum Toolchain {
    /// rustup's, as cargo finds it.
    Rustup,
    /// Debian's, with arm64's library in its own sysroot if requested; armv7's is built.
    Debian { arm64_sysroot: Option<PathBuf> },
}

impl Toolchain {
    /// The one that is here; downloads what it lacks.
    pub fn find(architectures: &[Architecture]) -> Result<Self> {
        if architectures.iter().all(|architecture| has_std("rustc", *architecture)) {
            return Ok(Self::Rustup);
        }
        if !Path::new(DEBIAN_RUSTC).exists() {
            let missing = architectures.iter().filter(|architecture| !has_std("rustc", **architecture));
            let targets: Vec<&str> = missing.map(|architecture| architecture.target()).collect();
            bail!("no compiler for this: run `rustup target add {}`", targets.join(" "));
        }
        let arm64_sysroot = architectures.contains(&Architecture::Arm64).then(arm64_sysroot).transpose()?;
        Ok(Self::Debian { arm64_sysroot })
    }

    /// Builds a package's binary of the same name, statically linked, for each architecture.
    pub fn build(
        &self,
        package: &str,
        profile: &str,
        architectures: &[Architecture],
    ) -> Result<Vec<PathBuf>> {
        // Cargo's settings for the standard library apply to everything it builds at once.
        let (building, ready): (Vec<_>, Vec<_>) =
            architectures.iter().copied().partition(|architecture| self.builds_std(*architecture));
        for (architectures, builds_std) in [(ready, false), (building, true)] {
            if architectures.is_empty() {
                continue;
            }
            let mut cargo = command("cargo", &["build", "--locked", "--package", package]);
            cargo.args(["--profile", profile]);
            self.configure(&mut cargo);
            if builds_std {
                // A stable compiler must be allowed to.
                cargo.args(["-Z", "build-std=std,panic_unwind"]).env("RUSTC_BOOTSTRAP", "1");
            }
            for architecture in &architectures {
                cargo.args(["--target", architecture.target()]);
            }
            let names: Vec<String> = architectures.iter().map(ToString::to_string).collect();
            run(&format!("Compiling {package} for {}, statically linked", names.join(" and ")), cargo)?;
        }
        let folder = if profile == "dev" { "debug" } else { profile };
        let binary = |architecture: &Architecture| {
            let target = root().join("target");
            target.join(architecture.target()).join(folder).join(package)
        };
        Ok(architectures.iter().map(binary).collect())
    }

    fn builds_std(&self, architecture: Architecture) -> bool {
        matches!(self, Self::Debian { .. }) && architecture == Architecture::Armv7
    }

    fn configure(&self, cargo: &mut Command) {
        const STATIC: &str = "-C target-feature=+crt-static";
        let mut arm64_flags = STATIC.to_owned();
        if let Self::Debian { arm64_sysroot } = self {
            cargo.env("RUSTC", DEBIAN_RUSTC);
            if let Some(sysroot) = arm64_sysroot {
                arm64_flags.push_str(&format!(" --sysroot {}", sysroot.display()));
            }
        }
        let mut armv7_flags = format!("{STATIC} -C link-arg=-fuse-ld=lld");
        if let Some(folder) = lld().as_deref().and_then(Path::parent) {
            // A cross compiler looks for linkers in its own folders.
            armv7_flags.push_str(&format!(" -C link-arg=-B{}", folder.display()));
        }
        cargo
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", ARM64_LINKER)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", arm64_flags)
            .env("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER", ARMV7_LINKER)
            .env("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_RUSTFLAGS", armv7_flags)
            .env("CFLAGS_armv7_unknown_linux_gnueabihf", ARMV7_CFLAGS)
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", STATIC)
            // Would override the flags above.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
}

/// Whether arm64 binaries can be compiled and linked here; the sysroot may still have to be downloaded.
pub fn can_build_arm64() -> bool {
    let compiles =
        has_std("rustc", Architecture::Arm64) || (debian_rustc_is_new_enough() && installed_std().is_some());
    compiles && output(ARM64_LINKER, &["--version"]).is_some()
}

/// Whether armv7 binaries can be compiled and linked here.
pub fn can_build_armv7() -> bool {
    let compiles = has_std("rustc", Architecture::Armv7)
        || (debian_rustc_is_new_enough() && Path::new(DEBIAN_LIBRARY).exists());
    compiles && output(ARMV7_LINKER, &["--version"]).is_some() && lld().is_some()
}

/// Where LLVM's linker is, behind the links to it.
fn lld() -> Option<PathBuf> {
    fs::canonicalize(find_on_path(LLD)?).ok().map(|program| program.with_file_name(LLD))
}

/// Whether Debian's compiler is installed in a version that can build our packages: the security archive's is
/// newer than the distribution's first.
fn debian_rustc_is_new_enough() -> bool {
    let minor = |version: &str| version.split('.').nth(1)?.parse::<u32>().ok();
    let needed = fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    let needed = needed
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"1"))
        .map(|rest| format!("1{rest}"));
    let here = output(DEBIAN_RUSTC, &["--version"]);
    let here = here.as_deref().and_then(|text| text.split_whitespace().nth(1)).and_then(minor);
    here.is_some() && here >= needed.as_deref().map(|text| text.trim_end_matches('"')).and_then(minor)
}

fn has_std(rustc: &str, architecture: Architecture) -> bool {
    let folder = output(rustc, &["--print", "target-libdir", "--target", architecture.target()]);
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok());
    entries
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// The standard library version that Debian's compiler was packaged with.
fn installed_std() -> Option<String> {
    output("dpkg-query", &["--show", "--showformat=${Version}", DEBIAN_STD])
}

/// Debian's standard library for arm64, in exactly the version of the installed compiler.
fn arm64_sysroot() -> Result<PathBuf> {
    let version = installed_std().with_context(|| format!("{DEBIAN_STD} is not installed"))?;
    let sysroot = debian::cache_directory()?.join("sysroot").join(&version);
    let library = sysroot.join("lib/rustlib").join(Architecture::Arm64.target());
    if library.exists() {
        return Ok(sysroot);
    }
    let package = format!("{DEBIAN_STD}:arm64={version}");
    let unpacked = debian::cache_directory()?.join("sysroot").join("unpacking");
    Archive::open()?.unpack(&package, &unpacked)?;
    fs::create_dir_all(sysroot.join("lib/rustlib"))?;
    fs::rename(unpacked.join("usr/lib/rustlib").join(Architecture::Arm64.target()), &library)
        .with_context(|| format!("{package} has no library for {}", Architecture::Arm64.target()))?;
    fs::remove_dir_all(unpacked)?;
    Ok(sysroot)
}
