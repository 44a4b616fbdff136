//! The figures of all benchmarks and runs: every number of a benchmark's JSON by its path, with its spread.
//!
//! A number's unit is the end of its name (`_us`, `_ms`, `_ns`, `_kib`, `_mb`, `_bytes`, `_percent`, or `_per_s`). An
//! object with `us`, `floor_us` and `ratio` is one figure with its floor.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::step::output;

#[derive(Debug, Default, PartialEq)]
pub struct Report {
    pub machine: String,
    pub commit: String,
    pub runs: usize,
    /// By benchmark and path, one value for each run.
    pub figures: BTreeMap<(String, String), Vec<f64>>,
}

impl Report {
    pub fn of_this_machine(runs: usize) -> Self {
        Self { machine: machine(), commit: commit(), runs, figures: BTreeMap::new() }
    }

    /// Takes the numbers of one run.
    pub fn add(&mut self, bench: &str, figures: &Value) {
        for (path, value) in leaves(figures) {
            self.figures.entry((bench.to_owned(), path)).or_default().push(value);
        }
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let mut benches = serde_json::Map::new();
        for ((bench, path), values) in &self.figures {
            let bench = benches.entry(bench.clone()).or_insert_with(|| json!({}));
            bench[path] = json!({"median": median(values), "runs": values});
        }
        let report =
            json!({"machine": self.machine, "commit": self.commit, "runs": self.runs, "benches": benches});
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, format!("{report:#}\n")).with_context(|| file.display().to_string())
    }

    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let report: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        let mut read = Self {
            machine: report["machine"].as_str().unwrap_or_default().to_owned(),
            commit: report["commit"].as_str().unwrap_or_default().to_owned(),
            runs: report["runs"].as_u64().and_then(|runs| runs.try_into().ok()).unwrap_or(0),
            figures: BTreeMap::new(),
        };
        for (bench, figures) in report["benches"].as_object().into_iter().flatten() {
            for (path, figure) in figures.as_object().into_iter().flatten() {
                let runs =
                    figure["runs"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
                read.figures.insert((bench.clone(), path.clone()), runs);
            }
        }
        Ok(read)
    }

    fn median_of(&self, bench: &str, path: &str) -> Option<f64> {
        self.figures.get(&(bench.to_owned(), path.to_owned())).map(|values| median(values))
    }
}

/// Every number by the names that lead to it, joined by dots.
fn leaves(value: &Value) -> Vec<(String, f64)> {
    match value {
        Value::Number(number) => number.as_f64().map(|number| (String::new(), number)).into_iter().collect(),
        Value::Object(object) => object.iter().flat_map(|(name, value)| below(name, value)).collect(),
        Value::Array(array) => {
            // Of equal entries the one with a name is found again in another run.
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

pub fn least_and_greatest(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| {
        (least.min(*value), greatest.max(*value))
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\ncommit {}, medians of {} runs\n", self.machine, self.commit, self.runs)?;
        writeln!(f, "| benchmark | figure | median | spread | floor | ratio |\n|---|---|--:|--:|--:|--:|")?;
        for ((bench, path), values) in &self.figures {
            let (object, name) = path.rsplit_once('.').unwrap_or(("", path));
            if matches!(name, "floor_us" | "ratio") {
                continue; // beside the figure they belong to
            }
            let beside = |name: &str| {
                let figure = self.median_of(bench, &format!("{object}.{name}"))?;
                (path.ends_with(".us")).then(|| short(figure))
            };
            let (least, greatest) = least_and_greatest(values);
            writeln!(
                f,
                "| {bench} | {path} | {} | {}–{} | {} | {} |",
                short(median(values)),
                short(least),
                short(greatest),
                beside("floor_us").unwrap_or_default(),
                beside("ratio").unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

/// Three digits are more than any of this repeats.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(runs: &[Value]) -> Report {
        let mut report =
            Report { machine: "m".into(), commit: "c".into(), runs: runs.len(), ..Report::default() };
        for figures in runs {
            report.add("tick", figures);
        }
        report
    }

    #[test]
    fn one_row_has_the_figure_its_spread_its_floor_and_the_ratio() {
        let run = |us: f64| json!({"bench": "tick", "cold": {"cpu": {"us": us, "floor_us": 10.0, "ratio": us / 10.0}}});
        let text = report(&[run(20.0), run(10.0), run(150.0)]).to_string();
        assert!(text.contains("| tick | cold.cpu.us | 20.0 | 10.0–150 | 10.0 | 2.00 |"), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep/report.json");
        let written = report(&[
            json!({"a": [{"name": "x", "p99_ms": 1.5}, 2]}),
            json!({"a": [{"name": "x", "p99_ms": 2}, 2]}),
        ]);
        written.write(&file).unwrap();
        assert_eq!(Report::read(&file).unwrap(), written);
        assert_eq!(written.median_of("tick", "a.x.p99_ms"), Some(1.75));
        assert_eq!(written.median_of("tick", "a.1"), Some(2.0));
    }

    #[test]
    fn digits_follow_the_size() {
        assert_eq!([1234.5, 12.34, 1.234, 0.1234, 0.0].map(short), ["1234", "12.3", "1.23", "0.123", "0"]);
    }
}
