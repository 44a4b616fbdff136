//! `cargo xtask test`: installs what the tests need, runs every suite and ends with one line of totals.
//!
//! Suites report differently: libtest's summaries, and one last line `NAME: N passed, N failed, N skipped`
//! from the others. A libtest test that cannot run here prints `SKIPPED: <test>: <reason>` and returns, so
//! libtest counts it as passed; it is subtracted there.

mod failures;
mod skips;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::prerequisites::{self, Purpose};
use crate::step::{command, npm, read_lines, root, run};
use crate::{build_ebpf, page};
use failures::Failures;
use skips::Allowed;

/// Install what the tests need, run every suite, count them
///
/// Suites: the Rust tests, the probes against the running kernel and in a guest with the oldest one, random requests
/// to the API, the server on 32-bit ARM under emulation, the page's unit tests, and the page in Chromium against the real
/// server. `cargo xtask kernels` has
/// more guests. What cannot run on this machine is skipped and named with its reason.
#[derive(clap::Args)]
pub struct Options {
    /// Suites to run [default: all]
    #[arg(value_enum)]
    suites: Vec<Suite>,

    /// A list of the tests that may be skipped; others that are skipped count as failed. CI passes .ci/skips.txt
    #[arg(long, value_name = "FILE")]
    skips: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// The Rust tests of every crate
    Rust,
    /// The probes in the running kernel
    Probes,
    /// The probes in a guest: the oldest kernel, on arm64 with an emulated PMU
    Guest,
    /// Random requests generated from the OpenAPI document, against the running server
    Api,
    /// The server on 32-bit ARM, compiled for it and emulated
    Armv7,
    /// The page's unit tests
    Unit,
    /// The page in Chromium
    E2e,
    /// The server while PostgreSQL is down for a minute and hangs for half a minute; runs beside the others
    Outage,
}

/// More Rust tests that fail than these are not tried again.
const MOST_AGAIN: usize = 5;
/// Names the tests that mostly wait.
const LONG: &str = "through_a_long_outage";

impl Suite {
    const ALL: [Self; 8] =
        [Self::Rust, Self::Probes, Self::Guest, Self::Api, Self::Armv7, Self::Unit, Self::E2e, Self::Outage];

    fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust tests",
            Self::Probes => "Probes in the running kernel",
            Self::Guest => "Probes in a guest",
            Self::Api => "The API against its document",
            Self::Armv7 => "The server on 32-bit ARM",
            Self::Unit => "Unit tests of the page",
            Self::E2e => "The page in Chromium",
            Self::Outage => "The server in a long outage",
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Rust => command(
                "cargo",
                &["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output", "--skip", LONG],
            ),
            // Of the whole workspace, so that nothing is recompiled for other features.
            Self::Outage => command(
                "cargo",
                &["test", "--workspace", "--locked", "--test", "outage", "--", "--show-output", LONG],
            ),
            Self::Probes => Command::new(root().join("target/debug/probe-tests")),
            Self::Guest => {
                command("cargo", &["xtask", "kernels", "--arch", "arm64", "--kernel", "5.10", "--cpus", "1"])
            }
            Self::Api => command("cargo", &["xtask", "schemathesis"]),
            Self::Armv7 => command("cargo", &["xtask", "armv7"]),
            Self::Unit => npm(&["run", "--silent", "test:unit"]),
            Self::E2e => {
                let mut e2e = npm(&["run", "--silent", "test:e2e"]);
                e2e.env("PERFWATCH_BINARY", root().join("target/debug/perfwatch"));
                e2e
            }
        }
    }
}

#[derive(Debug, Default)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Why tests did not run here, in their own words.
    reasons: BTreeSet<String>,
    failures: Failures,
    /// What failed at its first try, with why.
    flaky: Vec<String>,
    /// Set once the suite has reported its result.
    summarised: bool,
}

impl Count {
    /// Reads one line of a suite's output.
    fn read(&mut self, suite: Suite, line: &str) {
        let line = without_colours(line);
        if let Some((_, reason)) = line.split_once("SKIPPED: ") {
            self.reasons.insert(reason.trim().to_owned());
            return;
        }
        if let Some(test) = line.strip_prefix("FLAKY: ") {
            self.flaky.push(test.to_owned());
        }
        self.failures.read(&line);
        let prefix = match suite {
            Suite::Rust | Suite::Outage => "test result:",
            Suite::Probes => "probe-tests:",
            Suite::Guest => "kernels:",
            Suite::Api => "schemathesis:",
            Suite::Armv7 => "armv7:",
            Suite::Unit => "Tests  ",
            Suite::E2e => "e2e:",
        };
        let Some(summary) = line.trim_start().strip_prefix(prefix) else { return };
        self.passed += number_before(summary, " passed");
        self.failed += number_before(summary, " failed");
        self.skipped += number_before(summary, " skipped");
        self.summarised = true;
    }

    /// The suite's result, once it has ended.
    fn finish(mut self, suite: Suite, status: ExitStatus) -> Self {
        if matches!(suite, Suite::Rust | Suite::Outage) {
            // libtest has no skipping at run time: those tests returned, and count as passed.
            self.skipped = self.reasons.len() as u64;
            self.passed = self.passed.saturating_sub(self.skipped);
        }
        if (!status.success() || !self.summarised) && self.failed == 0 {
            self.failed = 1; // it did not compile, crashed, or never got to its summary
        }
        self
    }

    /// With what failed tried again.
    fn after(self, second: Self) -> Self {
        let failed = second.failed.min(self.failed);
        Self {
            passed: self.passed + self.failed - failed,
            failed,
            flaky: [self.flaky, self.failures.lines].concat(),
            failures: second.failures,
            ..self
        }
    }

    /// Counts forbidden skips as failures, and says so.
    fn fail_skips(&mut self, allowed: &Allowed) {
        let missing: Vec<&String> = self.reasons.iter().filter(|reason| !allowed.allows(reason)).collect();
        for reason in &missing {
            println!("FAILED: skipped, and not on the list of tests that may be: {reason}");
        }
        let missing = missing.len() as u64;
        self.failed += missing;
        self.skipped = self.skipped.saturating_sub(missing);
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.reasons.extend(other.reasons);
        self.failures.lines.extend(other.failures.lines);
        self.flaky.extend(other.flaky);
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let Some(end) = text.find(word) else { return 0 };
    let digits = text[..end].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// The line without colour escape sequences.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain
}

/// Compiles tests and server, all at once: cargo resolves features per invocation, and would compile what suites
/// share once for each. The debug server serves the page from frontend/dist, so a changed page needs no compiler.
pub fn compile() -> Command {
    command("cargo", &["build", "--workspace", "--locked", "--bins", "--tests"])
}

pub fn test(options: &Options) -> Result<()> {
    let allowed = options.skips.as_deref().map(Allowed::read).transpose()?;
    prerequisites::ensure(Purpose::Test)?;
    build_ebpf::ensure()?;
    page::build()?;
    let suites = if options.suites.is_empty() { &Suite::ALL[..] } else { &options.suites };
    if suites.iter().any(|suite| *suite != Suite::Unit) {
        run("Compiling tests and server", compile())?;
    }
    let beside = suites.contains(&Suite::Outage).then(|| {
        std::thread::spawn(|| {
            let mut lines = Vec::new();
            count(Suite::Outage, |line| lines.push(line.to_owned())).map(|counted| (counted, lines))
        })
    });
    let mut results = Vec::new();
    for &suite in suites.iter().filter(|suite| **suite != Suite::Outage) {
        let (counted, took) = count(suite, |line| println!("{line}"))?;
        let counted = if suite == Suite::Rust { again(counted)? } else { counted };
        results.push((suite, (counted, took)));
    }
    if let Some(beside) = beside {
        let (counted, lines) = beside.join().map_err(|_| anyhow!("a suite's thread panicked"))??;
        println!("==> {} (ran beside the others)\n{}", Suite::Outage.title(), lines.join("\n"));
        results.push((Suite::Outage, counted));
    }
    let mut total = Count::default();
    let mut table = Vec::new();
    for (suite, (count, took)) in results {
        table.push(format!("{:<30} {count} ({took:.0?})", suite.title()));
        total.add(count);
    }
    println!("\n{}", table.join("\n"));
    list("Skipped", &total.reasons);
    list("Failed at the first try", &total.flaky);
    list("Failed", &total.failures.lines);
    if let Some(allowed) = allowed {
        total.fail_skips(&allowed);
    }
    println!("\n{total}");
    if total.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

fn list<'a>(title: &str, lines: impl IntoIterator<Item = &'a String>) {
    let lines: Vec<_> = lines.into_iter().map(|line| format!("\n  {line}")).collect();
    if !lines.is_empty() {
        println!("\n{title}:{}", lines.concat());
    }
}

/// Tries the Rust tests that failed beside others once more.
fn again(first: Count) -> Result<Count> {
    let tests = &first.failures.tests;
    // Something else failed as well, such as compiling, or it is no chance.
    if tests.is_empty() || tests.len() > MOST_AGAIN || first.failed != tests.len() as u64 {
        return Ok(first);
    }
    let mut command = command(
        "cargo",
        &["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output", "--exact"],
    );
    command.args(tests);
    let mut second = Count::default();
    let status = read_lines("Rust tests that failed, once more", command, |line| {
        println!("{line}");
        second.read(Suite::Rust, line);
    })?;
    Ok(first.after(second.finish(Suite::Rust, status)))
}

/// Runs a suite to its end; returns its result and how long it took.
fn count(suite: Suite, mut show: impl FnMut(&str)) -> Result<(Count, Duration)> {
    let started = Instant::now();
    let mut count = Count::default();
    let status = read_lines(suite.title(), suite.command(), |line| {
        show(line);
        count.read(suite, line);
    })?;
    Ok((count.finish(suite, status), started.elapsed()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn count(suite: Suite, lines: &[&str], exit: i32) -> (u64, u64, u64) {
        let mut count = Count::default();
        for line in lines {
            count.read(suite, line);
        }
        let count = count.finish(suite, ExitStatus::from_raw(exit << 8));
        (count.passed, count.failed, count.skipped)
    }

    #[test]
    fn libtest_passes_are_less_what_was_skipped() {
        let lines = [
            "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out",
            "SKIPPED: counters: no hardware PMU",
            "test b ... SKIPPED: counters: no hardware PMU",
            "test something ... ok",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        assert_eq!(count(Suite::Rust, &lines, 1), (13, 3, 1));
        assert_eq!(count(Suite::Outage, &lines, 1), (13, 3, 1));
    }

    #[test]
    fn other_suites_count_themselves() {
        let probes = ["SKIPPED: cycles: no PMU", "probe-tests: 7 passed, 0 failed, 2 skipped"];
        assert_eq!(count(Suite::Probes, &probes, 0), (7, 0, 2));
        assert_eq!(count(Suite::Guest, &["kernels: 9 passed, 0 failed, 1 skipped"], 0), (9, 0, 1));
        let random = "schemathesis: 0 passed, 0 failed, 1 skipped";
        assert_eq!(count(Suite::Api, &[random], 0), (0, 0, 1));
        let emulated = ["FAILED history: none", "armv7: 8 passed, 1 failed, 0 skipped"];
        assert_eq!(count(Suite::Armv7, &emulated, 1), (8, 1, 0));
        let vitest = [
            "\u{1b}[2m Test Files \u{1b}[22m 3 passed (3)",
            "\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m1 failed\u{1b}[39m | 30 passed (31)",
        ];
        assert_eq!(count(Suite::Unit, &vitest, 1), (30, 1, 0));
        assert_eq!(count(Suite::E2e, &["e2e: 4 passed, 1 failed, 0 skipped"], 1), (4, 1, 0));
    }

    #[test]
    fn a_skip_that_is_not_allowed_is_a_failure() {
        let mut count = Count::default();
        count.read(Suite::Probes, "SKIPPED: cycles: no PMU");
        count.read(Suite::Probes, "probe-tests: 7 passed, 0 failed, 1 skipped");
        count.fail_skips(&Allowed::default());
        assert_eq!((count.passed, count.failed, count.skipped), (7, 1, 0));
    }

    #[test]
    fn what_passes_at_the_second_try_is_told_and_no_failure() {
        let read = |lines: &[&str]| {
            let mut count = Count::default();
            lines.iter().for_each(|line| count.read(Suite::Rust, line));
            count
        };
        let first = read(&[
            "test a ... FAILED",
            "test b ... FAILED",
            "test result: FAILED. 7 passed; 2 failed; 0 ignored",
        ]);
        let second = read(&[
            "test a ... ok",
            "test b ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
        ]);
        let both = first.after(second);
        assert_eq!((both.passed, both.failed), (8, 1));
        assert_eq!(
            (both.flaky, both.failures.lines),
            (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()])
        );
    }

    #[test]
    fn silence_and_crashes_are_failures() {
        assert_eq!(count(Suite::E2e, &[], 0), (0, 1, 0));
        assert_eq!(count(Suite::Rust, &["test result: ok. 2 passed; 0 failed;"], 101), (2, 1, 0));
    }
}
