//! `cargo xtask bench`: measures what PerfWatch costs, shown as one table and kept as JSON.

mod compare;
mod document;
mod figures;
mod goals;
mod measure;
mod peers;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::prerequisites::{self, Purpose};
use crate::step::{interrupted, root};
use crate::{build_ebpf, page};
use figures::Report;
use measure::{Length, Outcome};

/// Measured in a browser; the others are files in perfwatch/benches.
const PAGE: &str = "page";

/// Measure what PerfWatch costs on this machine
///
/// Every benchmark measures its floor in the same run: raw preads of the same files, an empty eBPF program, a
/// SELECT of the same chunks. The table has medians over the runs, the spread from the least to the largest, the
/// ratio to the floor, and the goal. Close other programs first; without names it takes about two hours.
#[derive(clap::Args)]
pub struct Options {
    /// Benchmarks to run [default: all]
    names: Vec<String>,
    /// Number of runs [default: fleet and history 1, others 2]
    #[arg(long)]
    runs: Option<usize>,
    /// Use a snapshot every 5 s in the 30 days of history instead of every 30 s; takes six times as long
    #[arg(long)]
    full: bool,
    /// How long `page` watches the open dashboard, minutes; 60 shows whether its memory stays flat
    #[arg(long, default_value_t = 1, value_name = "N")]
    minutes: u64,
    /// Where to write the figures
    #[arg(long, value_name = "FILE", default_value = "target/bench/report.json")]
    json: PathBuf,
    /// Keep the figures in FILE of benchmarks that are not run now
    #[arg(long)]
    keep: bool,
    /// Only show the figures in FILE
    #[arg(long, conflicts_with_all = ["names", "runs", "full", "minutes", "keep"])]
    show: bool,
    /// Compare with an earlier run: fail on regressions beyond the spread
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Write the results into the documents, and the figures beside them
    #[arg(long)]
    write_docs: bool,
    /// Print every figure, not only those with goals
    #[arg(long)]
    all: bool,
}

pub fn bench(options: &Options) -> Result<()> {
    let old = options.compare.as_deref().map(Report::read).transpose()?;
    let json = root().join(&options.json);
    let report = if options.show { Report::read(&json)? } else { measured(options, &json)? };
    if options.all {
        println!("\n{}", document::every_figure(&report));
    }
    println!("\n{}", document::results(&report));
    if options.write_docs {
        document::write(&report)?;
    }
    if let Some(old) = old {
        let changes = compare::changes(&old, &report);
        println!("against {}:\n{changes}", old.commits().join(", "));
        let worse = changes.regressions();
        ensure!(worse.is_empty(), "regressed: {}", worse.join(", "));
    }
    let failed: Vec<&str> = report.failed().collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Runs the benchmarks; figures are on disk before the next one starts, and a failure does not stop the others.
fn measured(options: &Options, json: &std::path::Path) -> Result<Report> {
    let known = known()?;
    if let Some(unknown) = options.names.iter().find(|name| !known.contains(name)) {
        bail!("no benchmark {unknown}; available: {}", known.join(", "));
    }
    prerequisites::ensure(Purpose::Test)?;
    build_ebpf::ensure()?;
    page::build()?;
    let length = Length { full: options.full, minutes: options.minutes };
    let mut report = Report::of_this_machine();
    if options.keep && json.exists() {
        report.keep(Report::read(json)?)?;
    }
    let names = if options.names.is_empty() { known } else { options.names.clone() };
    // A benchmark that does not compile must not keep the others from compiling.
    let compiled = measure::prepare(&names).is_ok();
    for name in &names {
        let runs = options.runs.unwrap_or_else(|| measure::usual_runs(name)).max(1);
        let prepared = if compiled { Ok(()) } else { measure::prepare(std::slice::from_ref(name)) };
        report.begin(name);
        match prepared {
            Err(error) => report.fail(name, &format!("{error:#}")),
            Ok(()) => {
                for number in 1..=runs {
                    match measure::run(name, number, runs, &length) {
                        Ok(Outcome::Figures(figures)) => report.add(name, &figures),
                        Ok(Outcome::Skipped(why)) => report.skip(name, &why),
                        Err(error) => report.fail(name, &format!("{error:#}")),
                    }
                }
            }
        }
        report.end(name);
        report.write(json)?;
        if interrupted() {
            bail!("interrupted; the figures so far are in {}", json.display());
        }
    }
    println!("written to {}", json.display());
    Ok(report)
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
    // Shortest first: results appear early.
    names.sort_by_key(|name| (name == "history", name != "tick", name.clone()));
    let package = std::fs::read_to_string(root().join("frontend/package.json"))?;
    if serde_json::from_str::<Value>(&package)?["scripts"]["bench"].is_string() {
        names.push(PAGE.to_owned());
    }
    Ok(names)
}
