//! The figures of all benchmarks and runs: every number of a benchmark's JSON by its path, with its spread.
//!
//! A benchmark's output: one JSON object of any depth. The end of a number's name is its unit (`_us`, `_ms`, `_ns`,
//! `_kib`, `_mb`, `_bytes`, `_percent`, or `_per_s`); its floor is its sibling with `floor_` before the same name.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::goals::ROWS;
use crate::step::output;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub machine: String,
    pub benches: BTreeMap<String, Bench>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    pub commit: String,
    /// When it began, seconds since the epoch.
    pub began: u64,
    /// Of all runs.
    pub seconds: u64,
    /// Over the minute before it began: what else the machine was doing.
    pub load_average: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// By path.
    pub figures: BTreeMap<String, Figure>,
    #[serde(skip)]
    since: Since,
}

/// Start of a benchmark by a monotonic clock; ignored when reports are compared.
#[derive(Debug)]
struct Since(Instant);

impl Default for Since {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl PartialEq for Since {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub median: f64,
    /// One value per run.
    pub runs: Vec<f64>,
}

impl Report {
    pub fn of_this_machine() -> Self {
        Self { machine: machine(), benches: BTreeMap::new() }
    }

    /// Imports the figures of an earlier report.
    pub fn keep(&mut self, earlier: Self) -> Result<()> {
        ensure!(
            earlier.machine == self.machine,
            "the figures to keep are another machine's: {}",
            earlier.machine
        );
        self.benches = earlier.benches;
        Ok(())
    }

    pub fn begin(&mut self, bench: &str) {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let began = Bench { commit: commit(), began, load_average: load_average(), ..Bench::default() };
        self.benches.insert(bench.to_owned(), began);
    }

    /// Adds the numbers of one run.
    pub fn add(&mut self, bench: &str, figures: &Value) {
        let of_bench = &mut self.benches.entry(bench.to_owned()).or_default().figures;
        for (path, value) in leaves(figures) {
            let figure = of_bench.entry(path).or_default();
            figure.runs.push(value);
            figure.median = median(&figure.runs);
        }
    }

    pub fn fail(&mut self, bench: &str, why: &str) {
        eprintln!("FAILED: {bench}: {why}");
        self.benches.entry(bench.to_owned()).or_default().failed = Some(why.to_owned());
    }

    pub fn skip(&mut self, bench: &str, why: &str) {
        self.benches.entry(bench.to_owned()).or_default().skipped = Some(why.to_owned());
    }

    pub fn end(&mut self, bench: &str) {
        if let Some(bench) = self.benches.get_mut(bench) {
            bench.seconds = bench.since.0.elapsed().as_secs();
        }
    }

    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.benches.iter().filter(|(_, bench)| bench.failed.is_some()).map(|(name, _)| name.as_str())
    }

    /// The commits that were measured; more than one if some figures were kept.
    pub fn commits(&self) -> Vec<&str> {
        let mut commits: Vec<&str> = self.benches.values().map(|bench| bench.commit.as_str()).collect();
        commits.sort_unstable();
        commits.dedup();
        commits
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| file.display().to_string())
    }

    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        serde_json::from_str(&text).with_context(|| file.display().to_string())
    }

    pub fn figure(&self, bench: &str, path: &str) -> Option<&Figure> {
        self.benches.get(bench)?.figures.get(path)
    }

    /// The lower bound for `path`, measured in the same run.
    pub fn floor(&self, bench: &str, path: &str) -> Option<&Figure> {
        let named = ROWS.iter().find(|row| (row.bench, row.path) == (bench, path)).and_then(|row| row.floor);
        self.figure(bench, &named.map_or_else(|| floor_of(path), str::to_owned))
    }
}

/// Path of a figure's floor, if its benchmark measured one.
fn floor_of(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((object, name)) => format!("{object}.floor_{name}"),
        None => format!("floor_{path}"),
    }
}

/// Whether a number only accompanies another one.
pub fn is_beside(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    name == "ratio" || name.starts_with("floor_")
}

/// Every number by the names that lead to it, joined by dots.
fn leaves(value: &Value) -> Vec<(String, f64)> {
    match value {
        Value::Number(number) => number.as_f64().map(|number| (String::new(), number)).into_iter().collect(),
        Value::Object(object) => object.iter().flat_map(|(name, value)| below(name, value)).collect(),
        Value::Array(array) => {
            // Among equal entries, one with a name can be found again in another run.
            let name =
                |index: usize, entry: &Value| entry["name"].as_str().map_or(index.to_string(), str::to_owned);
            array.iter().enumerate().flat_map(|(index, entry)| below(&name(index, entry), entry)).collect()
        }
        _ => Vec::new(),
    }
}

fn below(name: &str, value: &Value) -> Vec<(String, f64)> {
    let joined = |path: String| if path.is_empty() { name.to_owned() } else { format!("{name}.{path}") };
    leaves(value).into_iter().map(|(path, number)| (joined(path), number)).collect()
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

pub fn min_and_max(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(*value), max.max(*value)))
}

fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kib: f64 = kib.trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{model}, {count} CPUs, {:.0} GiB, Linux {}", kib / f64::from(1 << 20), kernel.trim())
}

fn commit() -> String {
    let commit = output("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = output("git", &["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    if changed { format!("{commit} with changes") } else { commit }
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep/report.json");
        let mut written = Report::of_this_machine();
        written.begin("tick");
        written.add("tick", &json!({"a": [{"name": "x", "p99_ms": 1.5}, 2]}));
        written.add("tick", &json!({"a": [{"name": "x", "p99_ms": 2}, 2]}));
        written.begin("page");
        written.skip("page", "no browser");
        written.fail("ebpf", "not permitted");
        written.write(&file).unwrap();
        assert_eq!(Report::read(&file).unwrap(), written);
        assert_eq!(written.figure("tick", "a.x.p99_ms").map(|figure| figure.median), Some(1.75));
        assert_eq!(written.figure("tick", "a.1").map(|figure| figure.median), Some(2.0));
        assert_eq!(written.failed().collect::<Vec<_>>(), ["ebpf"]);
    }

    #[test]
    fn a_failing_benchmark_keeps_what_its_other_runs_measured() {
        let mut report = Report::default();
        report.add("tick", &json!({"us": 1}));
        report.fail("tick", "the second run hung");
        assert_eq!(report.figure("tick", "us").map(|figure| figure.runs.len()), Some(1));
    }

    #[test]
    fn another_machines_figures_are_not_kept() {
        let earlier = Report { machine: "another".into(), ..Report::default() };
        assert!(Report::of_this_machine().keep(earlier).is_err());
    }

    #[test]
    fn floors_stand_beside_their_figures() {
        assert_eq!(floor_of("cold.cpu.us"), "cold.cpu.floor_us");
        assert_eq!(floor_of("busy_percent"), "floor_busy_percent");
        assert!(is_beside("cold.cpu.ratio") && is_beside("floor_busy_percent") && !is_beside("cold.cpu.us"));
    }
}
