//! Two reports beside each other: what became worse or better by more than the runs differ among themselves.

use std::fmt;

use super::document::shown;
use super::figures::{Report, is_beside, least_and_greatest};

/// Smaller changes of a median are not told: machines drift by as much.
const NOTABLE: f64 = 0.10;

#[derive(Debug, Default)]
pub struct Changes {
    /// Worse ones first, the largest change first.
    changes: Vec<Change>,
    other_machine: bool,
}

#[derive(Debug)]
struct Change {
    bench: String,
    path: String,
    old: f64,
    new: f64,
    worse: bool,
}

/// Which way is better, by the unit at the end of a figure's name; counts and settings have no better.
fn more_is_worse(path: &str) -> Option<bool> {
    let name = path.rsplit('.').next().unwrap_or(path);
    if name.ends_with("_per_s") || name.ends_with("_per_min") {
        return Some(false);
    }
    let unit = name.rsplit('_').next().unwrap_or(name);
    matches!(unit, "us" | "ms" | "ns" | "kib" | "mib" | "mb" | "bytes" | "percent").then_some(true)
}

pub fn changes(old: &Report, new: &Report) -> Changes {
    let mut changes = Vec::new();
    let all = new.benches.iter().flat_map(|(name, bench)| bench.figures.iter().map(move |f| (name, f)));
    // A floor is the machine's, not ours.
    for (bench, (path, now)) in all.filter(|(_, (path, _))| !is_beside(path)) {
        let Some(more_is_worse) = more_is_worse(path) else { continue };
        let Some(before) = old.figure(bench, path) else { continue };
        let ((least_old, greatest_old), (least_new, greatest_new)) =
            (least_and_greatest(&before.runs), least_and_greatest(&now.runs));
        let apart = least_new > greatest_old || greatest_new < least_old;
        let (was, is) = (before.median, now.median);
        if apart && (is - was).abs() > NOTABLE * was.abs() {
            let worse = (is > was) == more_is_worse;
            changes.push(Change { bench: bench.clone(), path: path.clone(), old: was, new: is, worse });
        }
    }
    let size = |change: &Change| ((change.new - change.old) / change.old).abs();
    changes.sort_by(|a, b| b.worse.cmp(&a.worse).then(size(b).total_cmp(&size(a))));
    Changes { changes, other_machine: old.machine != new.machine }
}

impl Changes {
    /// Whether something became worse on the same machine; another machine's figures only inform.
    pub fn regressed(&self) -> bool {
        !self.other_machine && self.changes.iter().any(|change| change.worse)
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.other_machine {
            writeln!(f, "(measured on another machine: not held against this one)")?;
        }
        if self.changes.is_empty() {
            return writeln!(f, "no change beyond the spread");
        }
        for Change { bench, path, old, new, worse } in &self.changes {
            let verdict = if *worse { "WORSE " } else { "better" };
            let percent = (new / old - 1.0) * 100.0;
            let (old, new) = (shown(path, *old), shown(path, *new));
            writeln!(f, "{verdict} {bench} {path}: {old} -> {new} ({percent:+.0}%)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(machine: &str, values: &[(f64, f64)]) -> Report {
        let mut report = Report { machine: machine.into(), ..Report::default() };
        for (us, rows) in values {
            report.add("b", &json!({"a": {"us": us, "floor_us": us, "count": us}, "rows_per_s": rows}));
        }
        report
    }

    #[test]
    fn only_what_the_spread_does_not_explain_is_told() {
        let old = report("m", &[(100.0, 10.0), (110.0, 10.0), (120.0, 10.0)]);
        assert!(!changes(&old, &report("m", &[(119.0, 10.0), (150.0, 10.0), (160.0, 10.0)])).regressed());
        let worse = changes(&old, &report("m", &[(130.0, 20.0), (150.0, 20.0), (160.0, 20.0)]));
        assert!(worse.regressed());
        let text = worse.to_string();
        assert_eq!(
            text,
            "WORSE  b a.us: 110 µs -> 150 µs (+36%)\nbetter b rows_per_s: 10.0/s -> 20.0/s (+100%)\n"
        );
    }

    #[test]
    fn fewer_rows_a_second_are_worse_and_other_machines_only_inform() {
        let old = report("m", &[(1.0, 10.0)]);
        assert!(changes(&old, &report("m", &[(1.0, 5.0)])).regressed());
        assert!(!changes(&old, &report("n", &[(1.0, 5.0)])).regressed());
        assert_eq!(changes(&old, &old).to_string(), "no change beyond the spread\n");
    }
}
