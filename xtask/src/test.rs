//! `cargo xtask test`: runs every suite and ends with one line that counts all of them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::step::command;

#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    /// Reads one line of a suite's output: a libtest summary, or a test that says why it did not run.
    fn read(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("test result:") {
            self.passed += number_before(summary, " passed");
            self.failed += number_before(summary, " failed");
        } else if line.starts_with("SKIPPED: ") {
            self.skipped += 1;
        }
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let Some(end) = text.find(word) else { return 0 };
    let digits = text[..end].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

pub fn run_tests() -> Result<()> {
    let mut count = Count::default();
    println!("==> cargo test");
    let mut suite =
        command("cargo", &["test", "--workspace", "--locked", "--no-fail-fast", "--", "--nocapture"]);
    let mut child =
        suite.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("the suite's output was not captured")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        count.read(&line);
    }
    let status = child.wait()?;
    if !status.success() && count.failed == 0 {
        count.failed = 1; // it did not even compile or was killed
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    if count.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_summaries_and_skips() {
        let mut count = Count::default();
        count.read("test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out");
        count.read("SKIPPED: counters: no hardware PMU");
        count.read("test something ... ok");
        assert_eq!((count.passed, count.failed, count.skipped), (12, 3, 1));
    }
}
