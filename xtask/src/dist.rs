//! `cargo xtask dist`: what people download: static binaries, packages, checksums and a bill of materials.

mod package;
mod sbom;
mod smoke;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::build_ebpf::sha256;
use crate::cross::{Architecture, Toolchain};
use crate::prerequisites::{self, Purpose};
use crate::step::{command, output, quiet, root, run};
use crate::{build_ebpf, page};

/// Build static binaries, Debian packages and checksums in target/dist
///
/// For x86-64, arm64 and 32-bit ARM (armv7), with a bill of materials (CycloneDX). The binaries run on any Linux of their
/// architecture; those of another one are tried under qemu's user emulation. Packages are made with cargo-deb (built in
/// target/tools) and, as root on Debian, installed in a test root made with debootstrap.
#[derive(clap::Args)]
pub struct Options {
    /// Build for this architecture only
    #[arg(long, value_enum)]
    architecture: Option<Architecture>,
    /// Do not install the package in a test root
    #[arg(long)]
    no_install_test: bool,
}

const NAME: &str = "perfwatch";

pub fn folder() -> PathBuf {
    root().join("target/dist")
}

pub fn dist(options: &Options) -> Result<()> {
    let architectures = match options.architecture {
        Some(architecture) => vec![architecture],
        None => Architecture::ALL.to_vec(),
    };
    prerequisites::ensure(Purpose::Dist(options.architecture))?;
    build_ebpf::ensure()?;
    page::build()?;
    let folder = folder();
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;

    let version = version()?;
    let binaries = Toolchain::find(&architectures)?.build(NAME, "release", &architectures)?;
    share(&binaries, &architectures)?;
    let mut made = Vec::new();
    for (architecture, binary) in architectures.iter().zip(&binaries) {
        check_static(binary)?;
        smoke::check(binary, *architecture, &version)?;
        made.push(archive(&version, architecture.debian(), binary)?);
        made.push(package::build(*architecture, &version)?);
    }
    made.push(sbom::write(&folder, &version)?);
    checksums(&folder, &made)?;
    if !options.no_install_test {
        package::install_in_test_root(&made)?;
    }
    println!();
    for file in made.iter().map(|name| folder.join(name)).chain([folder.join("SHA256SUMS")]) {
        println!("{:>9.1} kB  {}", fs::metadata(&file)?.len() as f64 / 1e3, file.display());
    }
    Ok(())
}

fn version() -> Result<String> {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let version = manifest["workspace"]["package"]["version"].as_str();
    Ok(version.context("the workspace has no version")?.to_owned())
}

/// Man pages and completions, written by the binary that runs here.
fn share(binaries: &[PathBuf], architectures: &[Architecture]) -> Result<()> {
    let here = architectures.iter().position(|architecture| architecture.is_here());
    let program = match here.and_then(|index| binaries.get(index)) {
        Some(binary) => binary.clone(),
        None => {
            run("Compiling for man pages", command("cargo", &["build", "--locked", "--package", NAME]))?;
            root().join("target/debug/perfwatch")
        }
    };
    let program = program.to_string_lossy().into_owned();
    let share = folder().join("share");
    let man = share.join("man/man1");
    fs::create_dir_all(&man)?;
    if output(&program, &["man", &man.to_string_lossy()]).is_none() {
        bail!("{program} man failed");
    }
    for (shell, file) in [
        ("bash", "bash-completion/completions/perfwatch"),
        ("zsh", "zsh/vendor-completions/_perfwatch"),
        ("fish", "fish/vendor_completions.d/perfwatch.fish"),
    ] {
        let text =
            output(&program, &["completions", shell]).with_context(|| format!("completions for {shell}"))?;
        let file = share.join(file);
        fs::create_dir_all(file.parent().unwrap_or(&share))?;
        fs::write(file, text + "\n")?;
    }
    Ok(())
}

/// A program without an interpreter needs nothing from the machine it runs on.
fn check_static(binary: &Path) -> Result<()> {
    let bytes = fs::read(binary).with_context(|| binary.display().to_string())?;
    if has_interpreter(&bytes) {
        bail!("{} is not linked statically", binary.display());
    }
    Ok(())
}

/// Whether an ELF file has a PT_INTERP program header.
fn has_interpreter(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    const CLASS_32: u8 = 1;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let (start, size, count) = match elf.get(4) {
        Some(&CLASS_32) => (number(28, 4), number(42, 2), number(44, 2)),
        _ => (number(32, 8), number(54, 2), number(56, 2)),
    };
    let (Some(start), Some(size), Some(count)) = (start, size, count) else { return false };
    (0..count).any(|index| {
        let at = usize::try_from(start + index * size).unwrap_or(usize::MAX);
        number(at, 4) == Some(PT_INTERP)
    })
}

/// The binary and its accompanying files, for those who unpack rather than install.
fn archive(version: &str, architecture: &str, binary: &Path) -> Result<String> {
    let name = format!("{NAME}-{version}-linux-{architecture}");
    let stage = folder().join(&name);
    fs::create_dir_all(&stage)?;
    fs::copy(binary, stage.join(NAME))?;
    for file in ["LICENSE", "README.md", "CHANGELOG.md", "deploy/perfwatch.service", "deploy/perfwatch.toml"]
    {
        let from = root().join(file);
        fs::copy(&from, stage.join(from.file_name().unwrap_or_default())).with_context(|| file.to_owned())?;
    }
    let file = format!("{name}.tar.gz");
    let mut tar = command("tar", &["--create", "--gzip", "--owner=0", "--group=0", "--sort=name", "--file"]);
    tar.arg(folder().join(&file)).arg("--directory").arg(folder()).arg(&name).arg("share");
    // Man pages and completions are made once, and included in each archive.
    tar.arg(format!("--transform=s,^share,{name}/share,"));
    quiet(&format!("Packing {file}"), tar)?;
    fs::remove_dir_all(stage)?;
    Ok(file)
}

fn checksums(folder: &Path, files: &[String]) -> Result<()> {
    let mut text = String::new();
    for file in files {
        writeln!(text, "{}  {file}", sha256(&fs::read(folder.join(file))?))?;
    }
    fs::write(folder.join("SHA256SUMS"), text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_why_no_counter_is_opened_on_armv7_still_holds() {
        let metadata = output("cargo", &["metadata", "--format-version=1", "--locked"]).unwrap();
        let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let found = packages.iter().find(|package| package["name"] == "perf-event-open-sys2").unwrap();
        let manifest = Path::new(found["manifest_path"].as_str().unwrap());
        let library = fs::read_to_string(manifest.parent().unwrap().join("src/lib.rs")).unwrap();
        assert!(library.contains("target_arch = \"aarch64\"") && !library.contains("target_arch = \"arm\""));
    }

    #[test]
    fn interpreters_are_found() {
        // This test is a dynamically linked program.
        let own = fs::read("/proc/self/exe").unwrap();
        assert!(has_interpreter(&own));
        assert!(!has_interpreter(b"\x7fELF"));
        assert!(!has_interpreter(&[0; 64]));
        // 32 bits: one program header, right after a file header of 52 bytes.
        let mut elf = [0; 56];
        elf[4] = 1;
        (elf[28], elf[42], elf[44], elf[52]) = (52, 32, 1, 3);
        assert!(has_interpreter(&elf));
        elf[52] = 1;
        assert!(!has_interpreter(&elf));
    }
}
