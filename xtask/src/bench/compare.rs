//! Compares two reports: what became worse or better by more than the variation between runs.

use std::fmt;

use super::document::shown;
use super::figures::{Figure, Report, is_beside, min_and_max};

/// Smaller changes of a median are not reported: machines drift by as much.
const NOTABLE: f64 = 0.10;
/// The same for a single run, which does not show the variation between runs.
const NOTABLE_ONCE: f64 = 0.25;
/// Per CPU: with a higher load than this before it began, a benchmark measured the others too.
const BUSY: f64 = 0.5;

#[derive(Debug, Default)]
pub struct Changes {
    compared: usize,
    /// Regressions first, the largest change first.
    changes: Vec<Change>,
    /// Limits of the comparison, one sentence each.
    caveats: Vec<String>,
    other_machine: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Worse,
    /// As large as the machine's own change: reported, but not attributed to us.
    AsItsFloor,
    Better,
}

#[derive(Debug)]
struct Change {
    verdict: Verdict,
    bench: String,
    path: String,
    old: Figure,
    new: Figure,
    /// Of the floor, if both reports have one.
    floor: Option<f64>,
}

impl Change {
    fn relative(&self) -> f64 {
        relative(self.old.median, self.new.median)
    }
}

/// Which direction is better, from the unit at the end of a figure's name; counts and settings have none.
fn more_is_worse(path: &str) -> Option<bool> {
    let name = path.rsplit('.').next().unwrap_or(path);
    if name.ends_with("_per_s") || name.ends_with("_per_min") {
        return Some(false);
    }
    let unit = name.rsplit('_').next().unwrap_or(name);
    matches!(unit, "us" | "ms" | "ns" | "kib" | "mib" | "mb" | "bytes" | "percent").then_some(true)
}

/// A floor depends on the machine, not on us; so does a variant of a benchmark that runs none of our code.
fn is_ours(path: &str) -> bool {
    let of_the_machine =
        |part: &str| part == "nothing" || part.starts_with("empty ") || part.starts_with("floor of ");
    !is_beside(path) && !path.split('.').any(of_the_machine)
}

fn relative(old: f64, new: f64) -> f64 {
    if old == new { 0.0 } else { new / old - 1.0 }
}

/// Whether every run was above all earlier ones, or below, by more than runs vary.
fn differ(old: &Figure, new: &Figure) -> bool {
    let ((min_old, max_old), (min_new, max_new)) = (min_and_max(&old.runs), min_and_max(&new.runs));
    let spread = (max_old - min_old).max(max_new - min_new);
    let once = old.runs.len().min(new.runs.len()) < 2;
    let notable = if once { NOTABLE_ONCE } else { NOTABLE } * old.median.abs();
    let apart = min_new > max_old || max_new < min_old;
    apart && (new.median - old.median).abs() > notable.max(spread)
}

pub fn changes(old: &Report, new: &Report) -> Changes {
    let mut told = Changes {
        caveats: caveats(old, new),
        other_machine: old.machine != new.machine,
        ..Changes::default()
    };
    let all = new.benches.iter().flat_map(|(name, bench)| bench.figures.iter().map(move |f| (name, f)));
    for (bench, (path, now)) in all.filter(|(_, (path, _))| is_ours(path)) {
        let Some(more_is_worse) = more_is_worse(path) else { continue };
        let Some(before) = old.figure(bench, path) else { continue };
        told.compared += 1;
        if !differ(before, now) {
            continue;
        }
        let floors = old.floor(bench, path).zip(new.floor(bench, path));
        let floor =
            floors.filter(|(was, _)| was.median > 0.0).map(|(was, is)| relative(was.median, is.median));
        let change = relative(before.median, now.median);
        let beside_floor = floor.map_or(change, |floor| (1.0 + change) / (1.0 + floor) - 1.0);
        let verdict = match beside_floor {
            beside if beside.abs() < NOTABLE || beside.signum() != change.signum() => Verdict::AsItsFloor,
            beside if (beside > 0.0) == more_is_worse => Verdict::Worse,
            _ => Verdict::Better,
        };
        let (bench, path, old, new) = (bench.clone(), path.clone(), before.clone(), now.clone());
        told.changes.push(Change { verdict, bench, path, old, new, floor });
    }
    let size = |change: &Change| change.relative().abs();
    told.changes.sort_by(|a, b| a.verdict.cmp(&b.verdict).then(size(b).total_cmp(&size(a))));
    told
}

fn caveats(old: &Report, new: &Report) -> Vec<String> {
    let mut caveats = Vec::new();
    if old.machine != new.machine {
        caveats.push(format!("measured on another machine, so not held against this one: {}", old.machine));
    }
    let cpus = std::thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
    for (name, now) in &new.benches {
        let Some(before) = old.benches.get(name) else {
            caveats.push(format!("{name}: not measured before"));
            continue;
        };
        for (when, load) in [("before", before.load_average), ("now", now.load_average)] {
            if load > BUSY * cpus {
                caveats.push(format!("{name}: the machine was busy {when}, load average {load}"));
            }
        }
        if let Some(why) = &now.skipped {
            caveats.push(format!("{name}: skipped now: {why}"));
        }
        // A benchmark that failed or was skipped altogether reports that itself.
        let gone = before.figures.keys().filter(|path| is_ours(path) && !now.figures.contains_key(*path));
        let gone: Vec<&str> = gone.map(String::as_str).collect();
        if !gone.is_empty() && !now.figures.is_empty() {
            caveats.push(format!("{name}: measured before and not now: {}", gone.join(", ")));
        }
    }
    caveats
}

impl Changes {
    /// Regressions on the same machine; another machine's figures are for information only.
    pub fn regressions(&self) -> Vec<String> {
        let worse = |change: &&Change| !self.other_machine && change.verdict == Verdict::Worse;
        let name = |change: &Change| format!("{} {}", change.bench, change.path);
        self.changes.iter().filter(worse).map(name).collect()
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.changes.iter().filter(|change| change.verdict == verdict).count()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for caveat in &self.caveats {
            writeln!(f, "note: {caveat}")?;
        }
        for change in &self.changes {
            let Change { verdict, bench, path, old, new, floor } = change;
            let verdict = match verdict {
                Verdict::Worse => "WORSE ",
                Verdict::AsItsFloor => "drift ",
                Verdict::Better => "better",
            };
            let percent = change.relative() * 100.0;
            let (old, new) = (with_spread(path, old), with_spread(path, new));
            write!(f, "{verdict} {bench} {path}: {old} -> {new} ({percent:+.0}%")?;
            match floor {
                Some(floor) => writeln!(f, ", its floor {:+.0}%)", floor * 100.0)?,
                None => writeln!(f, ")")?,
            }
        }
        let [worse, drift, better] =
            [Verdict::Worse, Verdict::AsItsFloor, Verdict::Better].map(|verdict| self.count(verdict));
        writeln!(
            f,
            "{} figures compared: {worse} worse, {better} better, {drift} as their floors",
            self.compared
        )
    }
}

fn with_spread(path: &str, figure: &Figure) -> String {
    let (min, max) = min_and_max(&figure.runs);
    match figure.runs.len() {
        0 | 1 => shown(path, figure.median),
        _ => format!("{} [{} – {}]", shown(path, figure.median), shown(path, min), shown(path, max)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One benchmark whose runs each measured `us`, with a floor, and `rows` a second.
    fn report(machine: &str, runs: &[(f64, f64, f64)]) -> Report {
        let mut report = Report { machine: machine.into(), ..Report::default() };
        for (us, floor_us, rows) in runs {
            report.add("b", &json!({"a": {"us": us, "floor_us": floor_us, "count": us}, "rows_per_s": rows}));
        }
        report
    }

    fn runs(us: [f64; 3]) -> Report {
        report("m", &us.map(|us| (us, 50.0, 10.0)))
    }

    #[test]
    fn only_what_the_spread_does_not_explain_is_told() {
        let old = runs([100.0, 110.0, 120.0]);
        assert_eq!(changes(&old, &runs([119.0, 150.0, 160.0])).regressions().len(), 0, "ranges meet");
        assert_eq!(changes(&old, &runs([121.0, 135.0, 170.0])).regressions().len(), 0, "runs differ by more");
        assert_eq!(changes(&runs([100.0; 3]), &runs([109.0; 3])).regressions().len(), 0, "less than a tenth");
        let worse = changes(&old, &runs([140.0, 150.0, 160.0]));
        assert_eq!(worse.regressions().len(), 1);
        assert_eq!(
            worse.to_string(),
            "WORSE  b a.us: 110 µs [100 µs – 120 µs] -> 150 µs [140 µs – 160 µs] (+36%, its floor +0%)\n\
             2 figures compared: 1 worse, 0 better, 0 as their floors\n"
        );
    }

    #[test]
    fn a_single_run_knows_no_spread_and_has_to_differ_by_more() {
        let single = |us| report("m", &[(us, 50.0, 10.0)]);
        assert_eq!(changes(&single(100.0), &single(124.0)).regressions().len(), 0);
        assert_eq!(changes(&single(100.0), &single(126.0)).regressions().len(), 1);
        assert_eq!(changes(&runs([100.0; 3]), &single(124.0)).regressions().len(), 0);
        assert_eq!(changes(&runs([100.0; 3]), &runs([124.0; 3])).regressions().len(), 1);
    }

    #[test]
    fn fewer_rows_a_second_are_worse_and_other_machines_only_inform() {
        let old = report("m", &[(1.0, 1.0, 10.0)]);
        assert_eq!(changes(&old, &report("m", &[(1.0, 1.0, 5.0)])).regressions().len(), 1);
        let faster = changes(&old, &report("m", &[(1.0, 1.0, 20.0)]));
        assert_eq!(
            (faster.regressions().len(), faster.to_string()),
            (
                0,
                "better b rows_per_s: 10.0/s -> 20.0/s (+100%)\n2 figures compared: 0 worse, 1 better, 0 as their floors\n"
                    .into()
            )
        );
        let elsewhere = changes(&old, &report("n", &[(1.0, 1.0, 5.0)]));
        assert_eq!(elsewhere.regressions().len(), 0);
        assert!(elsewhere.to_string().starts_with("note: measured on another machine"), "{elsewhere}");
        assert_eq!(
            changes(&old, &old).to_string(),
            "2 figures compared: 0 worse, 0 better, 0 as their floors\n"
        );
    }

    #[test]
    fn a_machine_that_became_slower_raises_the_floor_too() {
        let old = report("m", &[(100.0, 50.0, 10.0)]);
        let drifted = changes(&old, &report("m", &[(150.0, 74.0, 10.0)]));
        assert_eq!(drifted.regressions().len(), 0);
        assert!(drifted.to_string().contains("drift  b a.us: 100 µs -> 150 µs (+50%, its floor +48%)"));
        assert_eq!(changes(&old, &report("m", &[(150.0, 60.0, 10.0)])).regressions().len(), 1);
        let faster = changes(&old, &report("m", &[(60.0, 30.0, 10.0)])).to_string();
        assert!(faster.contains("drift  b a.us") && faster.contains("0 worse, 0 better"), "{faster}");
        assert_eq!(
            changes(&old, &report("m", &[(100.0, 90.0, 10.0)])).regressions().len(),
            0,
            "a floor alone"
        );
    }

    #[test]
    fn what_runs_without_us_is_not_ours() {
        let measured = |ns: f64| {
            let mut report = Report::default();
            let arm = json!({"slower_ns": ns});
            report.add(
                "ebpf",
                &json!({"nothing": arm, "empty sched_switch": arm, "floor of x": arm, "y": arm}),
            );
            report
        };
        let told = changes(&measured(100.0), &measured(200.0));
        assert_eq!((told.compared, told.regressions()), (1, vec!["ebpf y.slower_ns".to_owned()]), "{told}");
    }

    #[test]
    fn what_cannot_be_compared_is_told() {
        let old = runs([100.0; 3]);
        let mut new = Report { machine: "m".into(), ..Report::default() };
        new.add("b", &json!({"rows_per_s": 10}));
        new.add("c", &json!({"us": 1}));
        new.skip("b", "no database");
        let Some(bench) = new.benches.get_mut("b") else { panic!("b was added") };
        bench.load_average = 1e6;
        let told = changes(&old, &new).to_string();
        for note in [
            "b: the machine was busy now, load average 1000000",
            "b: skipped now: no database",
            "b: measured before and not now: a.count, a.us",
            "c: not measured before",
        ] {
            assert!(told.contains(&format!("note: {note}\n")), "{told}");
        }
    }
}
