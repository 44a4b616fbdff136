//! `cargo xtask lint`: what a change must satisfy before its tests run.

mod hygiene;
mod imports;
mod licences;
mod service;

use anyhow::{Result, bail};

use crate::prerequisites::{self, Purpose};
use crate::step::{command, npm, output, run};
use crate::{build_ebpf, page};

/// Check formatting, lints, import directions, eBPF objects, licences; changes nothing
///
/// All checks run; those that failed are listed at the end.
#[derive(clap::Args)]
pub struct Options {
    /// Also ask the RustSec and npm databases for advisories (needs a network and cargo-deny)
    #[arg(long)]
    advisories: bool,
}

type Check = (&'static str, fn() -> Result<()>);

const CHECKS: &[Check] = &[
    ("rustfmt", || run("rustfmt", command("cargo", &["fmt", "--all", "--check"]))),
    ("rustfmt of the eBPF programs", || {
        run("rustfmt of the eBPF programs", {
            command("cargo", &["fmt", "--manifest-path", "perfwatch-ebpf/Cargo.toml", "--check"])
        })
    }),
    ("import directions", || findings("import directions", imports::check()?)),
    ("file hygiene", || findings("file hygiene", hygiene::check()?)),
    ("eBPF objects against their sources", || {
        findings("eBPF objects against their sources", stale_objects()?)
    }),
    ("licences", || findings("licences", licences::check()?)),
    ("systemd unit", || findings("systemd unit", service::check()?)),
    ("eslint", || run("eslint", npm(&["run", "--silent", "lint"]))),
    ("formatting of the page", || run("formatting of the page", npm(&["run", "--silent", "format:check"]))),
    ("types of the page", || run("types of the page", npm(&["run", "--silent", "typecheck"]))),
    ("clippy", || {
        run("clippy", {
            command(
                "cargo",
                &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"],
            )
        })
    }),
];

const ADVISORIES: &[Check] = &[
    ("RustSec", || run("RustSec", command("cargo", &["deny", "check", "advisories", "bans", "sources"]))),
    ("npm audit", || run("npm audit", npm(&["audit", "--omit=dev"]))),
];

pub fn lint(options: &Options) -> Result<()> {
    prerequisites::ensure(Purpose::Build)?;
    if options.advisories && output("cargo", &["deny", "--version"]).is_none() {
        bail!("missing: cargo-deny. Run\n\n    cargo install cargo-deny\n\nand try again");
    }
    // eslint and vue-tsc are npm packages, and the server does not compile without the page it embeds.
    page::build()?;
    let advisories = if options.advisories { ADVISORIES } else { &[] };
    let mut failed = Vec::new();
    for (name, check) in CHECKS.iter().chain(advisories) {
        if let Err(error) = check() {
            if crate::step::interrupted() {
                return Err(error);
            }
            eprintln!("{error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("lint: {}", failed.join(", "));
    }
    println!("lint: all clean");
    Ok(())
}

/// Prints the findings of one of our own checks; fails if there are any.
fn findings(name: &str, found: Vec<String>) -> Result<()> {
    println!("==> {name}");
    for finding in &found {
        eprintln!("{finding}");
    }
    if found.is_empty() { Ok(()) } else { bail!("{name}: {} found", found.len()) }
}

fn stale_objects() -> Result<Vec<String>> {
    let differences = build_ebpf::differences(&crate::step::root())?;
    Ok(differences.iter().map(|path| format!("{path}: run cargo xtask build-ebpf")).collect())
}
