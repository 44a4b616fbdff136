//! Runs binaries built for another architecture here, under qemu's user emulation.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cross::Architecture;
use crate::prerequisites::emulator;
use crate::step::command;

/// `--version` and `doctor --json` of a binary, under an emulator unless this machine runs it itself.
pub fn check(binary: &Path, architecture: Architecture, version: &str) -> Result<()> {
    let machine = architecture;
    let mut words: Vec<String> = Vec::new();
    if !architecture.is_here() {
        let name = architecture.emulator();
        let Some(emulator) = emulator(name) else {
            println!("SKIPPED: running the {machine} binary: no {name} (Debian: qemu-user-static)");
            return Ok(());
        };
        words.push(emulator.display().to_string());
    }
    words.push(binary.display().to_string());
    let said = |arguments: &[&str]| -> Result<String> {
        let (program, own) = words.split_first().context("no program")?;
        // doctor's exit status says whether everything is in use, which it is not in an emulator.
        let output = command(program, &[]).args(own).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let told = said(&["--version"])?;
    ensure!(told == format!("perfwatch {version}"), "{machine} --version: {told}");
    let doctor: Value = serde_json::from_str(&said(&["doctor", "--json"])?)
        .with_context(|| format!("{machine} doctor --json"))?;
    let sources = doctor["sources"].as_array().context("doctor names no sources")?;
    let works = |source: &&Value| source["status"] == "ok";
    let cpu = sources.iter().find(|source| source["name"] == "cpu").filter(works);
    ensure!(cpu.is_some(), "{machine}: the cpu source does not work: {sources:?}");
    let working = sources.iter().filter(works).count();
    println!("PASS {machine}: {told}; doctor finds {working} of {} sources working", sources.len());
    Ok(())
}
