//! One run of one benchmark: compiled first, watched, and its figures read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::PAGE;
use crate::build;
use crate::step::{command, npm, quiet, root, run_within};

/// A longer run hangs.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);
const PATIENCE_FULL: Duration = Duration::from_secs(90 * 60);
/// What takes slots of five minutes, and waits so that no hour ends meanwhile.
const PATIENCE_FLEET: Duration = Duration::from_secs(75 * 60);

/// Amounts for what takes long.
pub struct Length {
    /// History at a snapshot each 5 s.
    pub full: bool,
    /// Of watching the dashboard.
    pub minutes: u64,
}

impl Length {
    fn patience(&self, name: &str) -> Duration {
        let least = match name {
            "fleet" => PATIENCE_FLEET,
            _ if self.full => PATIENCE_FULL,
            _ => TIMEOUT,
        };
        least + Duration::from_secs(2 * 60 * self.minutes)
    }
}

pub enum Outcome {
    Figures(Value),
    /// It reported why it measured nothing here.
    Skipped(String),
}

/// Usual number of runs, so that all end within two hours. Each run has medians of its own; history's seeds a month first
/// and asks hundreds of questions, and fleet's takes slots of five minutes of several sizes.
pub fn usual_runs(name: &str) -> usize {
    if ["fleet", "history"].contains(&name) { 1 } else { 2 }
}

/// Compiles what benchmarks need, so that no compiler runs beside one. All at once: they share nearly everything, and
/// the server, which the page is served by, comes with them.
pub fn prepare(names: &[String]) -> Result<()> {
    let in_rust: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != PAGE).collect();
    if in_rust.len() < names.len() {
        // For a month of history, in which the page is zoomed.
        let seed = ["build", "--release", "--locked", "--package", "perfwatch", "--example", "seed"];
        quiet("Compiling the example that seeds history", command("cargo", &seed))?;
    }
    if in_rust.is_empty() {
        return build::build().map(drop);
    }
    let mut compile = cargo_bench(&in_rust);
    compile.arg("--no-run");
    quiet(&format!("Compiling bench {}", in_rust.join(", ")), compile)
}

pub fn run(name: &str, number: usize, runs: usize, length: &Length) -> Result<Outcome> {
    let folder = folder()?;
    let (file, log) =
        (folder.join(format!("{name}.{number}.json")), folder.join(format!("{name}.{number}.log")));
    let _ = fs::remove_file(&file);
    let output = File::create(&log).with_context(|| log.display().to_string())?;
    let mut benchmark = measuring(name, &file, length);
    benchmark.stdout(output.try_clone()?).stderr(output);
    let title = format!("{name}, run {number} of {runs}");
    let status = run_within(&title, benchmark, length.patience(name));
    let said = fs::read_to_string(&log).unwrap_or_default();
    let skipped: Vec<&str> = said.lines().filter(|line| line.starts_with("SKIPPED: ")).collect();
    skipped.iter().for_each(|line| println!("    {line}"));
    if let Err(error) = status {
        let lines: Vec<&str> = said.lines().rev().take(8).collect();
        lines.iter().rev().for_each(|line| eprintln!("    {line}"));
        return Err(error.context(format!("see {}", log.display())));
    }
    let Ok(text) = fs::read_to_string(&file) else {
        return match skipped.first() {
            Some(line) => Ok(Outcome::Skipped(line.trim_start_matches("SKIPPED: ").to_owned())),
            None => bail!("it wrote no figures; see {}", log.display()),
        };
    };
    Ok(Outcome::Figures(serde_json::from_str(&text).with_context(|| file.display().to_string())?))
}

fn folder() -> Result<PathBuf> {
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

fn measuring(name: &str, file: &Path, length: &Length) -> Command {
    if name == PAGE {
        let mut page = npm(&["run", "--silent", "bench", "--", "--json"]);
        page.arg(file)
            .args(["--minutes", &length.minutes.to_string()])
            .env("PERFWATCH_BINARY", root().join("target/release/perfwatch"));
        return page;
    }
    let mut bench = cargo_bench(&[name]);
    bench.arg("--").arg("--json").arg(file);
    if name == "history" && !length.full {
        bench.args(["--interval", "30"]);
    }
    bench
}

fn cargo_bench(names: &[&str]) -> Command {
    let mut bench = command("cargo", &["bench", "--quiet", "--locked", "--package", "perfwatch"]);
    for name in names {
        bench.args(["--bench", name]);
    }
    bench
}
