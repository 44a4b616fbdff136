//! `cargo xtask build-ebpf`: the eBPF objects, committed so that nobody needs their toolchain.
//!
//! `perfwatch-ebpf/prebuilt/SOURCES.sha256` lists the hash of every file the objects come from and of the
//! objects themselves, in the format of sha256sum(1). While it matches, the objects are used as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::prerequisites::{self, EbpfToolchain, Purpose};
use crate::steady_rustc;
use crate::step::{command, output, quiet, root, run};

const CRATE: &str = "perfwatch-ebpf";
const PREBUILT: &str = "perfwatch-ebpf/prebuilt";
const MANIFEST: &str = "perfwatch-ebpf/prebuilt/SOURCES.sha256";
/// Sources of the objects.
const SOURCES: &[&str] = &[
    "perfwatch-common/Cargo.toml",
    "perfwatch-common/src",
    "perfwatch-ebpf/Cargo.lock",
    "perfwatch-ebpf/Cargo.toml",
    "perfwatch-ebpf/src",
];
const TARGET: &str = "bpfel-unknown-none";
const LINKER_VERSION: &str = "0.13.0";

/// Compile the eBPF programs and commit-ready objects
///
/// Does nothing if the objects match their sources according to perfwatch-ebpf/prebuilt/SOURCES.sha256.
/// Needs Debian's rustc-web, rust-web-src and llvm-22-dev (installed when run as root on Debian), or
/// rustup's nightly with rust-src and a bpf-linker on the path.
#[derive(clap::Args)]
pub struct Options {
    /// Compile even if the sources have not changed
    #[arg(long)]
    force: bool,
    /// Compile, and fail unless the result is identical to the committed objects; changes nothing
    #[arg(long, conflicts_with = "force")]
    check: bool,
    /// Compile programs with logging into target/ebpf-log, for a debug build of the server
    #[arg(long, conflicts_with_all = ["force", "check"])]
    log: bool,
}

pub fn build_ebpf(options: &Options) -> Result<()> {
    if options.log {
        build_logging()
    } else if options.check {
        check()
    } else if options.force {
        build()
    } else {
        ensure()
    }
}

/// Rebuilds the objects if their sources have changed.
pub fn ensure() -> Result<()> {
    let differences = differences(&root())?;
    if differences.is_empty() {
        return Ok(());
    }
    println!("The eBPF objects do not fit their sources: {}", differences.join(", "));
    build()
}

/// Rebuilds every object from its sources and records their hashes.
fn build() -> Result<()> {
    let root = root();
    let built = compile(&[])?;
    let prebuilt = root.join(PREBUILT);
    fs::create_dir_all(&prebuilt)?;
    for object in objects(&prebuilt)? {
        fs::remove_file(object)?;
    }
    for (name, path) in built {
        let to = prebuilt.join(format!("{name}.o"));
        fs::copy(&path, &to).with_context(|| format!("cannot copy {}", path.display()))?;
    }
    fs::write(root.join(MANIFEST), manifest(&root)?).context("cannot write SOURCES.sha256")?;
    println!("{PREBUILT}: {}", names(&objects(&prebuilt)?).join(" "));
    Ok(())
}

/// Builds objects whose programs log, next to the committed ones.
fn build_logging() -> Result<()> {
    let folder = root().join("target/ebpf-log");
    fs::create_dir_all(&folder)?;
    for (name, path) in compile(&["--features", "log"])? {
        fs::copy(&path, folder.join(format!("{name}.o")))
            .with_context(|| format!("cannot copy {}", path.display()))?;
    }
    println!("Try: PERFWATCH_EBPF_OBJECTS=target/ebpf-log cargo run -p perfwatch -- serve --log debug");
    Ok(())
}

/// Rebuilds the objects elsewhere and fails unless they are identical to the committed ones.
fn check() -> Result<()> {
    let different: Vec<String> = compile(&[])?
        .into_iter()
        .filter(|(name, path)| {
            let committed = fs::read(root().join(PREBUILT).join(format!("{name}.o"))).ok();
            committed.is_none() || committed != fs::read(path).ok()
        })
        .map(|(name, _)| name)
        .collect();
    if !different.is_empty() {
        bail!("rebuilt objects differ from the committed ones: {}", different.join(", "));
    }
    println!("the committed objects match their sources");
    Ok(())
}

/// The files whose hashes differ from the manifest; empty if the objects match their sources.
pub fn differences(root: &Path) -> Result<Vec<String>> {
    let recorded = fs::read_to_string(root.join(MANIFEST)).unwrap_or_default();
    let recorded = parse(&recorded);
    let current = hashes(root)?;
    let paths = recorded.keys().chain(current.keys().filter(|path| !recorded.contains_key(*path)));
    Ok(paths.filter(|path| recorded.get(*path) != current.get(*path)).cloned().collect())
}

fn parse(manifest: &str) -> BTreeMap<String, String> {
    let pairs = manifest.lines().filter_map(|line| line.split_once("  "));
    pairs.map(|(hash, path)| (path.to_owned(), hash.to_owned())).collect()
}

fn manifest(root: &Path) -> Result<String> {
    let mut text = String::new();
    for (path, hash) in hashes(root)? {
        writeln!(text, "{hash}  {path}")?;
    }
    Ok(text)
}

/// The hash of every source and every object by its path from the root.
fn hashes(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for source in SOURCES {
        for entry in walkdir::WalkDir::new(root.join(source)) {
            let entry = entry?;
            if entry.file_type().is_file() {
                insert_hash(&mut hashes, root, entry.path())?;
            }
        }
    }
    for object in objects(&root.join(PREBUILT))? {
        insert_hash(&mut hashes, root, &object)?;
    }
    Ok(hashes)
}

fn insert_hash(hashes: &mut BTreeMap<String, String>, root: &Path, file: &Path) -> Result<()> {
    let path = file.strip_prefix(root)?.to_string_lossy().into_owned();
    let bytes = fs::read(file).with_context(|| format!("cannot read {path}"))?;
    hashes.insert(path, sha256(&bytes));
    Ok(())
}

/// SHA-256 in hexadecimal, as sha256sum prints it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

fn objects(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut objects = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "o") {
            objects.push(path);
        }
    }
    objects.sort();
    Ok(objects)
}

fn names(objects: &[PathBuf]) -> Vec<String> {
    objects.iter().filter_map(|path| path.file_stem()).map(|s| s.to_string_lossy().into_owned()).collect()
}

/// Compiles every program; returns the objects by name, still in cargo's target folder.
fn compile(arguments: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    prerequisites::ensure(Purpose::Ebpf)?;
    let Some(toolchain) = prerequisites::ebpf_toolchain() else {
        bail!("the toolchain for eBPF programs is not installed")
    };
    run("Compiling the eBPF programs", cargo_build(&toolchain, arguments)?)?;
    let folder = root().join(CRATE).join("target").join(TARGET).join("release");
    let programs = programs(&fs::read_to_string(root().join(CRATE).join("Cargo.toml"))?)?;
    Ok(programs.into_iter().map(|name| (name.clone(), folder.join(name))).collect())
}

/// The `[[bin]]`s of the crate's manifest.
fn programs(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("perfwatch-ebpf/Cargo.toml")?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array).context("no [[bin]] in perfwatch-ebpf")?;
    let names = bins.iter().filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned));
    Ok(names.collect())
}

fn cargo_build(toolchain: &EbpfToolchain, arguments: &[&str]) -> Result<Command> {
    let mut build = match toolchain {
        EbpfToolchain::Debian { rustc, .. } => {
            let mut build = command("cargo", &["build"]);
            // core is compiled from the compiler's own sources, which a stable compiler must be allowed to do.
            build.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            build
        }
        EbpfToolchain::Rustup => command("rustup", &["run", "nightly", "cargo", "build"]),
    };
    build
        .args(["--release", "--locked", "--target", TARGET, "-Z", "build-std=core"])
        .args(arguments)
        .current_dir(root().join(CRATE))
        // The outer cargo's settings for the host's compiler would leak into this one.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags().join("\u{1f}"))
        .env("RUSTC_WRAPPER", std::env::current_exe()?)
        .env(steady_rustc::REQUEST, "1")
        // Not a flag: flags take part in symbol names, and the linker's path differs between machines.
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker(toolchain)?);
    Ok(build)
}

/// Objects carry BTF and line information, with paths that say nothing about the machine that built them.
fn rust_flags() -> Vec<String> {
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cargo"))
    });
    // The last matching prefix wins, so the longest comes last.
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
        let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
        for registry in registries {
            flags.push(format!("--remap-path-prefix={}=/cargo/registry", registry.path().display()));
        }
    }
    flags.push(format!("--remap-path-prefix={}=/perfwatch", root().display()));
    flags
}

/// bpf-linker: the one on the path with rustup, our own with Debian's LLVM.
fn linker(toolchain: &EbpfToolchain) -> Result<PathBuf> {
    let EbpfToolchain::Debian { llvm, .. } = toolchain else { return Ok("bpf-linker".into()) };
    let tools = root().join("target/bpf-tools");
    let linker = tools.join("bin/bpf-linker");
    let version = output(&linker.to_string_lossy(), &["--version"]).unwrap_or_default();
    if !version.contains(LINKER_VERSION) {
        let mut install = command("cargo", &["install", "bpf-linker", "--version", LINKER_VERSION]);
        install
            .args(["--no-default-features", "--features", "llvm-22", "--locked", "--force", "--root"])
            .arg(&tools)
            .env("LLVM_PREFIX", llvm)
            .env("LLVM_SYS_221_PREFIX", llvm);
        quiet("Building bpf-linker", install)?;
    }
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for file in [
            "perfwatch-common/Cargo.toml",
            "perfwatch-common/src/lib.rs",
            "perfwatch-ebpf/Cargo.lock",
            "perfwatch-ebpf/Cargo.toml",
            "perfwatch-ebpf/src/counters.rs",
            "perfwatch-ebpf/prebuilt/counters.o",
        ] {
            let path = tree.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::write(tree.path().join(MANIFEST), manifest(tree.path()).unwrap()).unwrap();
        tree
    }

    #[test]
    fn an_untouched_tree_fits() {
        assert_eq!(differences(tree().path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_change_is_named() {
        let tree = tree();
        fs::write(tree.path().join("perfwatch-ebpf/src/counters.rs"), "changed").unwrap();
        fs::write(tree.path().join("perfwatch-ebpf/src/new.rs"), "new").unwrap();
        fs::remove_file(tree.path().join("perfwatch-common/src/lib.rs")).unwrap();
        fs::write(tree.path().join("perfwatch-ebpf/prebuilt/counters.o"), "by hand").unwrap();
        let mut differences = differences(tree.path()).unwrap();
        differences.sort();
        assert_eq!(
            differences,
            [
                "perfwatch-common/src/lib.rs",
                "perfwatch-ebpf/prebuilt/counters.o",
                "perfwatch-ebpf/src/counters.rs",
                "perfwatch-ebpf/src/new.rs",
            ]
        );
    }

    #[test]
    fn without_a_manifest_everything_differs() {
        let tree = tree();
        fs::remove_file(tree.path().join(MANIFEST)).unwrap();
        assert_eq!(differences(tree.path()).unwrap().len(), 6);
    }

    #[test]
    fn hashes_are_those_of_sha256sum() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn programs_are_the_bins() {
        let manifest = "[package]\nname='x'\n[[bin]]\nname='a'\n[[bin]]\nname='b'\npath='src/b.rs'\n";
        assert_eq!(programs(manifest).unwrap(), ["a", "b"]);
        assert!(programs("[package]\n").is_err());
    }
}
