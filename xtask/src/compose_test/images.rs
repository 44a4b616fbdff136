//! Base images where none can be pulled: Debian's base system and, on top of it, what each official image
//! offers to our Dockerfile, under the official image's name. Only ever in our own engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::engine::Engine;
use crate::debian;
use crate::step::{command, output, quiet, root};

const BASE: &str = "perfwatch-debootstrap:bookworm";
/// Build cache, kept between runs.
const CACHE: &str = "2GB";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image, the Dockerfile next to this file, and folders of this machine that it copies from.
struct StandIn {
    image: &'static str,
    dockerfile: &'static str,
    contexts: Vec<(&'static str, PathBuf)>,
}

pub fn make_stand_ins(engine: &Engine) -> Result<()> {
    if engine.ask(&["image", "inspect", "--format", "{{.Id}}", BASE]).is_err() {
        import_base(engine)?;
    }
    let empty = debian::cache_directory()?.join("docker/empty");
    fs::create_dir_all(&empty)?;
    for stand_in in stand_ins()? {
        let file = root().join("xtask/src/compose_test/stand_ins").join(stand_in.dockerfile);
        let mut build = engine.docker(&["build", "--tag", stand_in.image, "--file"]);
        build.arg(file);
        for (name, folder) in &stand_in.contexts {
            build.arg("--build-context").arg(format!("{name}={}", folder.display()));
        }
        build.arg(&empty);
        quiet(&format!("Making a stand-in for {}", stand_in.image), build)?;
    }
    Ok(())
}

/// Build leftovers, pruned to what speeds up the next build: the disk is not the engine's.
pub fn prune(engine: &Engine) -> Result<()> {
    engine.ask(&["builder", "prune", "--force", "--keep-storage", CACHE])?;
    engine.ask(&["image", "prune", "--force"])?;
    Ok(())
}

fn stand_ins() -> Result<Vec<StandIn>> {
    let folder_of = |program: &str| -> Result<PathBuf> {
        let path = output("sh", &["-c", &format!("readlink -f \"$(command -v {program})\"")]);
        let path = PathBuf::from(path.with_context(|| format!("{program} is not on the path"))?);
        Ok(path.parent().unwrap_or(&path).to_owned())
    };
    let sysroot = output("rustc", &["--print", "sysroot"]).context("rustc names no sysroot")?;
    let npm = folder_of("npm")?; // …/npm/bin
    let plain = |image, dockerfile| StandIn { image, dockerfile, contexts: Vec::new() };
    Ok(vec![
        StandIn {
            contexts: vec![("certificates", certificates()?)],
            ..plain("debian:bookworm-slim", "debian.Dockerfile")
        },
        StandIn {
            contexts: vec![("node", folder_of("node")?), ("npm", npm.parent().unwrap_or(&npm).to_owned())],
            ..plain("node:22-bookworm-slim", "node.Dockerfile")
        },
        StandIn {
            contexts: vec![("toolchain", sysroot.into())],
            ..plain("rust:1.95-bookworm", "rust.Dockerfile")
        },
        plain("nginx:stable-bookworm", "nginx.Dockerfile"),
        plain("postgres:15-alpine", "postgres.Dockerfile"),
        plain("nats:2.10-alpine", "nats.Dockerfile"),
    ])
}

/// A folder with the certificates this machine trusts, which a proxy before it may have added to.
fn certificates() -> Result<PathBuf> {
    let folder = debian::cache_directory()?.join("docker/certificates");
    fs::create_dir_all(&folder)?;
    fs::copy(CERTIFICATES, folder.join("build-machine.crt")).context(CERTIFICATES)?;
    Ok(folder)
}

fn import_base(engine: &Engine) -> Result<()> {
    let system = debian::cache_directory()?.join("docker/bookworm");
    let _ = fs::remove_dir_all(&system);
    let mut debootstrap = command("debootstrap", &["--variant=minbase", "bookworm"]);
    debootstrap.arg(&system).arg(debian::mirror()?);
    quiet("Making Debian's base system", debootstrap)?;
    import(engine, &system)?;
    fs::remove_dir_all(system)?;
    Ok(())
}

fn import(engine: &Engine, system: &Path) -> Result<()> {
    let mut tar = command("tar", &["--exclude=./var/cache/apt/archives/*.deb", "--create", "--directory"]);
    let mut tar = tar.arg(system).arg(".").stdout(Stdio::piped()).spawn().context("cannot start tar")?;
    let stream = tar.stdout.take().context("no pipe")?;
    let import =
        engine.docker(&["import", "--change", "CMD [\"bash\"]", "-", BASE]).stdin(stream).output()?;
    if !tar.wait()?.success() || !import.status.success() {
        bail!("docker import: {}", String::from_utf8_lossy(&import.stderr).trim());
    }
    Ok(())
}
