//! Debian packages: made with cargo-deb, and installed, checked and purged in a test root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{NAME, folder};
use crate::cross::Architecture;
use crate::debian;
use crate::prerequisites::{self, Purpose};
use crate::step::{command, output, quiet, root};

const CARGO_DEB: &str = "3.8.0";

/// Packages the binary compiled for `architecture`; returns the file name in the download folder.
pub fn build(architecture: Architecture, version: &str) -> Result<String> {
    let tool = cargo_deb()?;
    // Named in perfwatch/Cargo.toml.
    fs::write(root().join("target/debian-changelog"), changelog(version)?)?;
    let before = packages()?;
    let mut deb = command(&tool.to_string_lossy(), &["--no-build", "--no-strip", "--package", "perfwatch"]);
    deb.args(["--target", architecture.target(), "--output"]).arg(folder());
    quiet(&format!("Packaging for {architecture}"), deb)?;
    let made = packages()?.into_iter().find(|package| !before.contains(package));
    let made = made.with_context(|| format!("cargo-deb built no package for {architecture}"))?;
    lint(&made)?;
    Ok(made)
}

/// The package's changelog in Debian's format; the program's own is installed next to it.
fn changelog(version: &str) -> Result<String> {
    let manifest: toml::Table = fs::read_to_string(root().join("perfwatch/Cargo.toml"))?.parse()?;
    let maintainer = manifest["package"]["metadata"]["deb"]["maintainer"].as_str();
    let maintainer = maintainer.context("the package has no maintainer")?;
    let made = output("git", &["log", "-1", "--format=%cD"]);
    let made = made.unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned());
    Ok(format!(
        "{NAME} ({version}-1) unstable; urgency=medium\n\n  * What changed is in changelog.gz.\n\n -- {maintainer}  {made}\n"
    ))
}

/// Debian's own checks of packages.
fn lint(package: &str) -> Result<()> {
    if output("lintian", &["--version"]).is_none() {
        println!("SKIPPED: lintian on {package}: it is not installed");
        return Ok(());
    }
    let mut lintian = command("lintian", &["--allow-root", "--fail-on", "error"]);
    lintian.arg(folder().join(package));
    quiet(&format!("lintian on {package}"), lintian)?;
    println!("PASS lintian has nothing against {package}");
    Ok(())
}

fn packages() -> Result<Vec<String>> {
    let entries = fs::read_dir(folder())?.collect::<Result<Vec<_>, _>>()?;
    let names = entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.ends_with(".deb")).collect())
}

fn cargo_deb() -> Result<PathBuf> {
    let tools = root().join("target/tools");
    let tool = tools.join("bin/cargo-deb");
    if output(&tool.to_string_lossy(), &["--version"]).is_none_or(|version| !version.contains(CARGO_DEB)) {
        let mut install = command("cargo", &["install", "cargo-deb", "--version", CARGO_DEB, "--locked"]);
        install.args(["--force", "--root"]).arg(tools);
        quiet("Building cargo-deb", install)?;
    }
    Ok(tool)
}

/// Installs the package of this machine's architecture in a small Debian, runs it there, and purges it.
pub fn install_in_test_root(made: &[String]) -> Result<()> {
    let skip = |why: &str| {
        println!("SKIPPED: the package in a test root: {why}");
        Ok(())
    };
    let Some(architecture) = output("dpkg", &["--print-architecture"]) else {
        return skip("this is not Debian");
    };
    let Some(package) = made.iter().find(|name| name.ends_with(&format!("_{architecture}.deb"))) else {
        return skip("no package for this architecture was made");
    };
    if !rustix::process::geteuid().is_root() {
        return skip("only root may enter it");
    }
    let system = test_root()?;
    let package = folder().join(package);
    let result = installed(&system, &package);
    fs::remove_dir_all(&system)?;
    result
}

fn installed(system: &Path, package: &Path) -> Result<()> {
    let inside = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("chroot")
            .arg(system)
            .args(arguments)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()?;
        if !output.status.success() {
            bail!("{}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    fs::copy(package, system.join("tmp/perfwatch.deb"))?;
    inside(&["dpkg", "--install", "/tmp/perfwatch.deb"])?;
    let version = inside(&["perfwatch", "--version"])?;
    let user = inside(&["id", "perfwatch"])?;
    let mode = inside(&["stat", "--format=%U:%G %a", "/etc/perfwatch/perfwatch.toml"])?;
    ensure!(mode == "root:perfwatch 640", "perfwatch.toml: {mode}");
    let link = system.join("etc/systemd/system/multi-user.target.wants/perfwatch.service");
    ensure!(fs::symlink_metadata(&link).is_ok(), "the unit is not enabled");
    for file in ["usr/share/man/man1/perfwatch.1.gz", "usr/share/bash-completion/completions/perfwatch"] {
        ensure!(system.join(file).exists(), "{file} is missing");
    }
    inside(&["dpkg", "--purge", "perfwatch"])?;
    ensure!(!system.join("usr/bin/perfwatch").exists(), "purging left the program");
    ensure!(!system.join("etc/perfwatch/perfwatch.toml").exists(), "purging left the settings");
    println!("PASS the package installs, runs and is removed in a test root: {version}, {user}");
    Ok(())
}

/// A small Debian with what the package's scripts call, made once and copied for each test.
fn test_root() -> Result<PathBuf> {
    let cached = debian::cache_directory()?.join("package-root.tar");
    let system = root().join("target/package-root");
    let _ = fs::remove_dir_all(&system);
    fs::create_dir_all(&system)?;
    if !cached.exists() {
        prerequisites::ensure(Purpose::TestRoot)?;
        let mut debootstrap =
            command("debootstrap", &["--variant=minbase", "--include=adduser,systemd", "stable"]);
        debootstrap.arg(&system).arg(debian::mirror()?);
        quiet("Making a test root", debootstrap)?;
        let partial = cached.with_extension("partial");
        let mut tar = command("tar", &["--create", "--exclude=./var/cache/apt/archives/*.deb", "--file"]);
        tar.arg(&partial).arg("--directory").arg(&system).arg(".");
        quiet("Keeping the test root", tar)?;
        fs::rename(partial, cached)?;
        return Ok(system);
    }
    let mut tar = command("tar", &["--extract", "--file"]);
    tar.arg(cached).arg("--directory").arg(&system);
    quiet("Unpacking the test root", tar)?;
    Ok(system)
}
