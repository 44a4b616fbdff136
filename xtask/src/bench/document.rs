//! Figures for people: the table of what has a goal, the table of everything, and the sections of documents
//! generated from them, so that nobody types a figure.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::figures::{Bench, Figure, Report, is_beside, min_and_max};
use super::goals::{Goal, ROWS, Row};
use super::peers;
use crate::step::root;

const BEGIN: &str = "<!-- written by `cargo xtask bench --write-docs` -->";
const END: &str = "<!-- end of what is written -->";

/// The figures that the documents are generated from, stored next to them.
fn kept() -> PathBuf {
    root().join("docs/benchmarks.json")
}

/// The documents with a generated section, and its content.
fn sections(report: &Report) -> Result<[(PathBuf, String); 2]> {
    let peers = peers::table(report).context("bench tick has no figures of the server on SQLite")?;
    Ok([(root().join("docs/benchmarks.md"), results(report)), (root().join("README.md"), peers)])
}

/// Writes the results into the documents, and the figures next to them.
pub fn write(report: &Report) -> Result<()> {
    let failed: Vec<&str> = report.failed().collect();
    ensure!(failed.is_empty(), "not written into documents: {} failed", failed.join(", "));
    for (document, section) in sections(report)? {
        let text = fs::read_to_string(&document)?;
        let text = replaced(&text, &section).with_context(|| document.display().to_string())?;
        fs::write(&document, text)?;
        println!("written into {}", document.display());
    }
    report.write(&kept())
}

/// `text` with the section between the markers replaced.
fn replaced(text: &str, section: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("no mark where the results begin")?;
    let (_, after) = rest.split_once(END).context("no mark where the results end")?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

/// What has a goal, and what failed or was skipped.
pub fn results(report: &Report) -> String {
    let rows = ROWS.iter().filter_map(|row| told(report, row)).collect();
    let mut text = format!("{}\n\n", report.machine);
    let heads = ["", "", "median", "spread", "floor", "ratio", "goal", ""];
    text.push_str(&table(&heads, rows));
    text.push('\n');
    for (name, bench) in &report.benches {
        let _ = writeln!(text, "- {name}: {}", circumstances(bench));
    }
    text
}

fn circumstances(bench: &Bench) -> String {
    if let Some(why) = &bench.failed {
        return format!("FAILED: {}", why.lines().next().unwrap_or_default());
    }
    if bench.figures.is_empty() {
        return format!("skipped: {}", bench.skipped.as_deref().unwrap_or("no figures"));
    }
    let runs = bench.figures.values().map(|figure| figure.runs.len()).max().unwrap_or(0);
    let Bench { commit, seconds, load_average, .. } = bench;
    format!(
        "{runs} run{} of commit {commit} in {seconds} s, load average before {load_average}",
        plural(runs)
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Every number, including those without a goal.
pub fn every_figure(report: &Report) -> String {
    let mut rows = Vec::new();
    for (name, bench) in &report.benches {
        for (path, figure) in bench.figures.iter().filter(|(path, _)| !is_beside(path)) {
            let floor = report.floor(name, path);
            let [median, spread, floor, ratio] = cells(path, figure, floor);
            rows.push(vec![name.clone(), path.clone(), median, spread, floor, ratio]);
        }
    }
    table(&["", "figure", "median", "spread", "floor", "ratio"], rows)
}

fn told(report: &Report, row: &Row) -> Option<Vec<String>> {
    let figure = report.figure(row.bench, row.path)?;
    let floor = report.floor(row.bench, row.path);
    let [median, spread, floor_cell, ratio] = cells(row.path, figure, floor);
    let (goal, met) = match row.goal {
        Goal::AtMost(most) => (format!("≤ {}", shown(row.path, most)), Some(figure.median <= most)),
        Goal::AtLeast(least) => (format!("≥ {}", shown(row.path, least)), Some(figure.median >= least)),
        Goal::TimesFloor(times) => {
            (format!("≤ {times} × floor"), floor.map(|floor| figure.median <= times * floor.median))
        }
        Goal::None => (String::new(), None),
    };
    let verdict = met.map_or("", |met| if met { "met" } else { "**missed**" });
    let (bench, what) = (row.bench.to_owned(), row.what.to_owned());
    Some(vec![bench, what, median, spread, floor_cell, ratio, goal, verdict.to_owned()])
}

/// Median, spread, floor and ratio.
fn cells(path: &str, figure: &Figure, floor: Option<&Figure>) -> [String; 4] {
    let (min, max) = min_and_max(&figure.runs);
    let spread = match figure.runs.len() {
        0 | 1 => String::new(),
        _ => format!("{} – {}", shown(path, min), shown(path, max)),
    };
    let floor_cell = floor.map(|floor| shown(path, floor.median)).unwrap_or_default();
    // Multiples of nothing, or of what is lost in the noise, would only look like a number.
    let ratio = floor.filter(|floor| floor.median > 0.0);
    let ratio = ratio.map(|floor| short(figure.median / floor.median)).unwrap_or_default();
    [shown(path, figure.median), spread, floor_cell, ratio]
}

/// A value in the unit at the end of its name, scaled to a readable multiple.
pub fn shown(path: &str, value: f64) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    if name.ends_with("_per_s") {
        return format!("{}/s", short(value));
    }
    if let Some(amount) = name.strip_suffix("_per_hour") {
        return format!("{}/h", shown(amount, value));
    }
    let size = value.abs();
    let (scale, unit) = match name.rsplit('_').next().unwrap_or(name) {
        "us" if size >= 1000.0 => (1e-3, " ms"),
        "us" => (1.0, " µs"),
        "ms" if size >= 10_000.0 => (1e-3, " s"),
        "ms" => (1.0, " ms"),
        "ns" if size >= 10_000.0 => (1e-3, " µs"),
        "ns" => (1.0, " ns"),
        "kib" if size >= 1024.0 => (1.0 / 1024.0, " MiB"),
        "kib" => (1.0, " KiB"),
        "mb" => (1.0, " MB"),
        "bytes" if size >= 1e6 => (1e-6, " MB"),
        "bytes" if size >= 1e3 => (1e-3, " kB"),
        "bytes" => (1.0, " B"),
        "percent" => (1.0, " %"),
        _ => (1.0, ""),
    };
    format!("{}{unit}", short(value * scale))
}

/// Three digits are more than any of this reproduces.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Markdown whose columns also line up in a terminal.
fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    const WORDS: usize = 2; // the first columns; the others are numbers, right-aligned
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heads.get(column).map_or(0, |head| head.chars().count()), 3]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from("|");
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            let _ = if column < WORDS {
                write!(line, " {cell:<width$} |")
            } else {
                write!(line, " {cell:>width$} |")
            };
        }
        line + "\n"
    };
    let mut text = line(&mut heads.iter().copied());
    for (column, width) in widths.iter().enumerate() {
        let dashes = "-".repeat(width + 1);
        text.push_str(&if column < WORDS { format!("|{dashes}-") } else { format!("|{dashes}:") });
    }
    text.push_str("|\n");
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let mut report = Report { machine: "m".into(), ..Report::default() };
        for us in [1250.0, 1000.0, 2500.0] {
            report.add(
                "tick",
                &json!({"server": {"sqlite": {"us": us, "floor_us": 500.0, "anonymous_kib": 9_000}}}),
            );
        }
        report
    }

    #[test]
    fn a_row_has_the_figure_its_spread_its_floor_the_ratio_and_the_goal() {
        let text = results(&report());
        let row = text.lines().find(|line| line.contains("server on SQLite")).unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let expected = ["1.25 ms", "1.00 ms – 2.50 ms", "500 µs", "2.50", "≤ 1.35 ms", "met"];
        assert_eq!(cells[3..9], expected, "{text}");
        let memory = text.lines().find(|line| line.contains("(RssAnon) on SQLite")).unwrap();
        assert!(memory.contains("8.79 MiB") && memory.contains("≤ 14.0 MiB"), "{memory}");
        assert!(!text.contains("PostgreSQL"), "what was not measured is not told: {text}");
    }

    #[test]
    fn every_figure_is_told_once_and_floors_beside_theirs() {
        let text = every_figure(&report());
        assert_eq!(text.lines().count(), 2 + 2, "{text}");
        assert!(text.contains("500 µs"), "{text}");
    }

    #[test]
    fn what_failed_or_was_skipped_is_told() {
        let mut report = report();
        report.fail("ebpf", "exit status: 1");
        report.skip("page", "no browser");
        let text = results(&report);
        assert!(text.contains("- ebpf: FAILED: exit status: 1\n- page: skipped: no browser\n"), "{text}");
    }

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nz\n");
        assert_eq!(replaced(&text, "new\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nz\n"));
        assert!(replaced("no marks", "new").is_err());
    }

    #[test]
    fn the_documents_say_what_the_figures_beside_them_say() {
        let documents = ["docs/benchmarks.md", "README.md"].map(|name| root().join(name));
        // Until figures are kept the documents have none.
        let written = if kept().exists() {
            sections(&Report::read(&kept()).unwrap()).unwrap()
        } else {
            documents.map(|document| (document, String::new()))
        };
        for (document, section) in written {
            let text = fs::read_to_string(&document).unwrap();
            let expected = replaced(&text, &section).unwrap();
            // Both are pages long: the command shows the difference better than an assertion does.
            assert!(
                expected == text,
                "{} is old: cargo xtask bench --show --json docs/benchmarks.json --write-docs",
                document.display()
            );
        }
    }

    #[test]
    fn values_carry_the_unit_of_their_name() {
        let pairs = [
            ("a.us", 1234.5, "1.23 ms"),
            ("p99_ms", 12.34, "12.3 ms"),
            ("rss_kib", 12.0, "12.0 KiB"),
            ("heap_slope_kib_per_hour", -2048.0, "-2.00 MiB/h"),
            ("message_bytes", 23_400.0, "23.4 kB"),
            ("busy_percent", 0.0, "0 %"),
            ("writing_per_s", 1667.0, "1667/s"),
            ("clients", 1000.0, "1000"),
        ];
        for (path, value, expected) in pairs {
            assert_eq!(shown(path, value), expected, "{path}");
        }
    }
}
