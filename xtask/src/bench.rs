//! `cargo xtask bench`: what PerfWatch costs, measured, told in one table and kept as JSON.

mod compare;
mod figures;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::prerequisites::{self, Purpose};
use crate::step::{command, npm, root, run};
use crate::{build, build_ebpf, page};
use figures::Report;

/// The one that is measured in a browser; the others are files in perfwatch/benches.
const PAGE: &str = "page";

/// Measure what PerfWatch costs on this machine
///
/// Every benchmark measures its floor in the same run: raw preads of the same files, an empty eBPF program, a
/// SELECT of the same bytes. All of them run --runs times; the table has medians over the runs, the spread from the
/// least to the greatest, and the ratio to the floor. Close other programs first.
#[derive(clap::Args)]
pub struct Options {
    /// Benchmarks to run, all by default
    names: Vec<String>,
    /// How often each runs
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How long `page` watches the open dashboard; 60 shows whether its memory stays flat
    #[arg(long, default_value_t = 1, value_name = "N")]
    minutes: u32,
    /// Where to write the figures
    #[arg(long, value_name = "FILE", default_value = "target/bench/report.json")]
    json: PathBuf,
    /// Figures of an earlier run: fail when something has become worse than its spread explains
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
}

pub fn bench(options: &Options) -> Result<()> {
    let known = known()?;
    if let Some(unknown) = options.names.iter().find(|name| !known.contains(name)) {
        bail!("no benchmark {unknown}; there are: {}", known.join(", "));
    }
    let old = options.compare.as_deref().map(Report::read).transpose()?;
    prerequisites::ensure(Purpose::Test)?;
    build_ebpf::ensure()?;
    page::build()?;
    let folder = root().join("target/bench");
    std::fs::create_dir_all(&folder)?;

    let mut report = Report::of_this_machine(options.runs.max(1));
    let names = if options.names.is_empty() { &known } else { &options.names };
    for name in names {
        for number in 1..=report.runs {
            let file = folder.join(format!("{name}.{number}.json"));
            let _ = std::fs::remove_file(&file);
            run(
                &format!("{name}, run {number} of {}", report.runs),
                measuring(name, &file, options.minutes)?,
            )?;
            // A benchmark that writes no figures has printed what it has to say.
            if let Ok(text) = std::fs::read_to_string(&file) {
                let figures: Value =
                    serde_json::from_str(&text).with_context(|| file.display().to_string())?;
                report.add(name, &figures);
            }
        }
    }
    println!("\n{report}");
    let json = root().join(&options.json);
    report.write(&json)?;
    println!("written to {}", json.display());
    if let Some(old) = old {
        let changes = compare::changes(&old, &report);
        println!("\nagainst {}:\n{changes}", old.commit);
        if changes.regressed() {
            bail!("something has become worse");
        }
    }
    Ok(())
}

fn measuring(name: &str, file: &Path, minutes: u32) -> Result<Command> {
    if name == PAGE {
        let server = build::build()?;
        let mut page = npm(&["run", "--silent", "bench", "--", "--json"]);
        page.arg(file).args(["--minutes", &minutes.to_string()]).env("PERFWATCH_BINARY", server);
        return Ok(page);
    }
    let mut bench = command("cargo", &["bench", "--locked", "--package", "perfwatch", "--bench", name, "--"]);
    bench.arg("--json").arg(file);
    Ok(bench)
}

/// The benchmarks that exist.
fn known() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("perfwatch/benches"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    let package = std::fs::read_to_string(root().join("frontend/package.json"))?;
    if serde_json::from_str::<Value>(&package)?["scripts"]["bench"].is_string() {
        names.push(PAGE.to_owned());
    }
    Ok(names)
}
