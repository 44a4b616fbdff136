//! The systemd unit: accepted by systemd without a warning, and as hardened as it claims.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::{output, root};

/// systemd's own score, in tenths: 0 is closed, 100 open. Its own bound for "OK" is 50; half a point of this are the rights
/// to name the code of other processes.
const MAX_EXPOSURE: &str = "30";
const UNITS: &str = "usr/lib/systemd/system";

pub fn check() -> Result<Vec<String>> {
    let unit = root().join("deploy/perfwatch.service");
    if output("systemd-analyze", &["--version"]).is_none() {
        println!("SKIPPED: systemd unit: systemd-analyze is not installed");
        return Ok(Vec::new());
    }
    // verify looks up what the unit refers to: a root with the machine's units and an executable.
    let image = root().join("target/service-root");
    let _ = fs::remove_dir_all(&image);
    fs::create_dir_all(image.join("usr/bin"))?;
    fs::create_dir_all(image.join(UNITS))?;
    fs::copy("/bin/true", image.join("usr/bin/perfwatch")).context("/bin/true")?;
    for entry in walkdir::WalkDir::new("/usr/lib/systemd/system").max_depth(1) {
        let entry = entry?;
        if entry.file_type().is_file() {
            fs::copy(entry.path(), image.join(UNITS).join(entry.file_name()))?;
        }
    }
    fs::copy(&unit, image.join(UNITS).join("perfwatch.service"))?;
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--recursive-errors=no"]).arg(format!("--root={}", image.display()));
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager"]).arg(format!("--threshold={MAX_EXPOSURE}"));
    let mut found = complaints(verify.arg("perfwatch.service"))?;
    found.extend(complaints(security.arg(&unit))?);
    Ok(found)
}

/// A check's output when it fails.
fn complaints(check: &mut Command) -> Result<Vec<String>> {
    let output = check.output().context("cannot start systemd-analyze")?;
    if output.status.success() && output.stderr.is_empty() {
        return Ok(Vec::new());
    }
    let texts = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)];
    let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with('✓'));
    Ok(lines.map(|line| format!("deploy/perfwatch.service: {line}")).collect())
}
