//! `cargo xtask run`: builds what is missing and becomes the server.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;

/// Build what is missing and start PerfWatch on http://127.0.0.1:8000
///
/// Needs git, a C compiler and Node.js 20 or newer with npm. History is kept in an embedded SQLite
/// database; set DATABASE_URL=postgres://… to use PostgreSQL. The first login is printed once.
#[derive(clap::Args)]
pub struct Options {
    /// Arguments for `perfwatch serve`, after `--`
    #[arg(last = true)]
    server_arguments: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let server = build::build()?;
    if let Some(advice) = advice(&server) {
        println!("{advice}");
    }
    // This process becomes the server: signals, the terminal and the exit code are its own.
    let error = Command::new(&server).arg("serve").args(&options.server_arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", server.display()))
}

/// How an ordinary user can measure everything.
fn advice(server: &Path) -> Option<String> {
    if rustix::process::geteuid().is_root() || has_capabilities(server) {
        return None;
    }
    Some(format!(
        "Running as an ordinary user: eBPF probes and hardware counters need extra rights and are off.\n\
         To grant them to this build: sudo setcap cap_bpf,cap_perfmon=ep {}",
        server.display()
    ))
}

fn has_capabilities(file: &Path) -> bool {
    let mut value = [0_u8; 64];
    rustix::fs::getxattr(file, "security.capability", &mut value).is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_the_attribute_has_no_capabilities() {
        assert!(!has_capabilities(Path::new("/bin/sh")));
        assert!(!has_capabilities(Path::new("/no/such/file")));
    }
}
