//! Results of the guests' probe tests, as one table of kernels and probes.

use std::collections::{BTreeMap, BTreeSet};

use super::guest::{Console, End};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// With what was measured.
    Passed(String),
    Failed(String),
    Skipped(String),
}

/// The result of one guest.
#[derive(Debug)]
pub struct Outcome {
    guest: String,
    verdicts: Vec<(String, Verdict)>,
    /// Why the guest failed, apart from its tests.
    problems: Vec<String>,
    seconds: f64,
}

impl Outcome {
    pub fn of(guest: String, console: &Console) -> Self {
        let mut outcome =
            Self { guest, verdicts: Vec::new(), problems: Vec::new(), seconds: console.took.as_secs_f64() };
        let mut summary = None;
        for (_, line) in &console.lines {
            let mut verdict = |rest: &str, make: fn(String) -> Verdict| {
                let (name, words) = rest.split_once(": ").unwrap_or((rest, ""));
                outcome.verdicts.push((name.to_owned(), make(words.to_owned())));
            };
            if let Some(rest) = line.strip_prefix("PASS ") {
                verdict(rest, Verdict::Passed);
            } else if let Some(rest) = line.strip_prefix("FAIL ") {
                verdict(rest, Verdict::Failed);
            } else if let Some(rest) = line.strip_prefix("SKIPPED: ") {
                verdict(rest, Verdict::Skipped);
            } else if let Some(complaint) = line.strip_prefix("guest: kernel: ") {
                outcome.problems.push(format!("the kernel complained: {complaint}"));
            }
            summary = line.strip_prefix("probe-tests: ").or(summary);
        }
        let count = outcome.count();
        let counted = format!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
        let last = console.lines.iter().rev().find(|(_, line)| !line.is_empty());
        let last = last.map_or("nothing was printed", |(_, line)| line);
        match console.end {
            End::Done if summary == Some(&counted) => {}
            End::Done => outcome.problems.push(match summary {
                Some(summary) => format!("the tests counted {summary}, but {counted} arrived"),
                None => "the tests ended without a summary".to_owned(),
            }),
            End::Died => outcome.problems.push(format!("the guest died; its last line: {last}")),
            End::TimedOut => outcome.problems.push(format!("the guest hung; its last line: {last}")),
        }
        outcome
    }

    pub fn failed(guest: String, problem: String) -> Self {
        Self { guest, verdicts: Vec::new(), problems: vec![problem], seconds: 0.0 }
    }

    /// How long the guest took from start to end.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.count().failed == 0
    }

    fn count(&self) -> Count {
        let mut count = Count::default();
        for (_, verdict) in &self.verdicts {
            count.add(verdict);
        }
        count
    }

    /// The column of one probe: how many of its tests passed, or why there are none.
    fn cell(&self, probe: &str) -> String {
        let mut count = Count::default();
        for (_, verdict) in self.verdicts.iter().filter(|(name, _)| probe_of(name) == probe) {
            count.add(verdict);
        }
        match count {
            Count { failed: 1.., passed, skipped, .. } => {
                format!("FAILED {} of {}", count.failed, count.failed + passed + skipped)
            }
            Count { passed: 0, skipped: 0, .. } => "-".to_owned(),
            Count { passed: 0, .. } => "unavailable".to_owned(),
            Count { passed, skipped: 0, .. } => format!("ok ({passed})"),
            Count { passed, skipped, .. } => format!("ok ({passed}, {skipped} skipped)"),
        }
    }
}

/// Tests are named `<probe>::<what holds>`.
fn probe_of(test: &str) -> &str {
    test.split("::").next().unwrap_or(test)
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Count {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed(_) => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }
}

/// Prints the table, the measurements, and the reasons behind every cell that is not a plain pass.
pub fn print(outcomes: &[Outcome]) -> Count {
    let mut probes: Vec<&str> = Vec::new();
    for (name, _) in outcomes.iter().flat_map(|outcome| &outcome.verdicts) {
        if !probes.contains(&probe_of(name)) {
            probes.push(probe_of(name));
        }
    }
    let mut rows = vec![vec!["kernel".to_owned()]];
    rows[0].extend(probes.iter().map(|probe| (*probe).to_owned()));
    rows[0].push("seconds".to_owned());
    for outcome in outcomes {
        let mut row = vec![outcome.guest.clone()];
        row.extend(probes.iter().map(|probe| outcome.cell(probe)));
        row.push(format!("{:.1}", outcome.seconds));
        rows.push(row);
    }
    println!();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(&rows, at))).collect();
        println!("{}", cells.join("  ").trim_end());
    }
    print_measured(outcomes);
    print_reasons(outcomes);
    let mut total = Count::default();
    for outcome in outcomes {
        let count = outcome.count();
        total.passed += count.passed;
        total.failed += count.failed + outcome.problems.len();
        total.skipped += count.skipped;
    }
    total
}

fn width(rows: &[Vec<String>], column: usize) -> usize {
    rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
}

/// Hardware counts compared with an independent source.
fn print_measured(outcomes: &[Outcome]) {
    let mut title = Some("\nHardware counters read in eBPF:");
    for outcome in outcomes {
        for (name, verdict) in outcome.verdicts.iter().filter(|(name, _)| name.contains("::hardware_")) {
            let Verdict::Passed(measured) = verdict else { continue };
            if let Some(title) = title.take() {
                println!("{title}");
            }
            println!("  {}: {}: {measured}", outcome.guest, name.split("::").last().unwrap_or(name));
        }
    }
}

/// One line per reason, with the guests it applies to.
fn print_reasons(outcomes: &[Outcome]) {
    let mut reasons: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for outcome in outcomes {
        for (name, verdict) in &outcome.verdicts {
            let reason = match verdict {
                Verdict::Passed(_) => continue,
                Verdict::Failed(words) => format!("FAILED {name}: {words}"),
                Verdict::Skipped(words) => format!("SKIPPED: {name}: {words}"),
            };
            reasons.entry(reason).or_default().insert(&outcome.guest);
        }
        for problem in &outcome.problems {
            reasons.entry(format!("FAILED {problem}")).or_default().insert(&outcome.guest);
        }
    }
    if !reasons.is_empty() {
        println!();
    }
    for (reason, guests) in reasons {
        let guests = if guests.len() == outcomes.len() {
            "every guest".to_owned()
        } else {
            guests.into_iter().collect::<Vec<_>>().join("; ")
        };
        println!("{reason} [{guests}]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome(end: End, lines: &[&str]) -> Outcome {
        let lines = lines.iter().map(|line| (Duration::from_secs(1), (*line).to_owned())).collect();
        Outcome::of("x86-64 6.1".to_owned(), &Console { lines, end, took: Duration::from_secs(3) })
    }

    #[test]
    fn cells_tell_good_failed_and_unavailable_apart() {
        let outcome = outcome(
            End::Done,
            &[
                "PASS counters::a: 3 counted",
                "SKIPPED: counters::b: no PMU",
                "FAIL tcp::a: 0 counted: too few",
                "PASS tcp::b",
                "SKIPPED: scheduler::a: no BTF",
                "probe-tests: 2 passed, 1 failed, 2 skipped",
                "guest: done",
            ],
        );
        assert_eq!(outcome.cell("counters"), "ok (1, 1 skipped)");
        assert_eq!(outcome.cell("tcp"), "FAILED 1 of 2");
        assert_eq!(outcome.cell("scheduler"), "unavailable");
        assert_eq!(outcome.cell("block_io"), "-");
        assert!(!outcome.is_good());
        assert_eq!(outcome.verdicts[2].1, Verdict::Failed("0 counted: too few".to_owned()));
    }

    #[test]
    fn a_guest_is_good_only_with_a_summary_and_a_clean_end() {
        let summary = "probe-tests: 1 passed, 0 failed, 0 skipped";
        assert!(outcome(End::Done, &["PASS a::b", summary]).is_good());
        assert!(!outcome(End::Done, &["PASS a::b"]).is_good());
        assert!(!outcome(End::Died, &["PASS a::b", summary, "Kernel panic"]).is_good());
        assert!(!outcome(End::TimedOut, &["PASS a::b", summary]).is_good());
        assert!(!outcome(End::Done, &["fragment PASS a::b", summary]).is_good());
        assert!(!outcome(End::Done, &["PASS a::b", summary, "guest: kernel: WARNING: CPU: 0"]).is_good());
    }
}
