//! The rules that come with PerfWatch: few, each about a symptom. docs/alerts.md says why each has its level.

use std::path::Path;

use super::file::File;
use super::period::Period;

/// Them and their tests, in the format of any file.
pub const TEXT: &str = include_str!("stock.toml");

pub fn file(retention: Period) -> File {
    File::parse(Path::new("stock.toml"), TEXT, retention)
}

#[cfg(test)]
mod noise;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::compile::Compiled;
    use crate::alerts::trial;

    const MONTH: Period = Period::seconds(30 * 86_400);

    #[test]
    fn they_are_few_and_each_is_explained_and_tested() {
        let file = file(MONTH);
        assert_eq!(file.problems, [""; 0]);
        assert!((1..=13).contains(&file.rules.len()));
        let tests: Vec<&str> = file.tests.iter().map(|test| test.what.rule.as_str()).collect();
        for rule in file.rules.iter().map(|rule| &rule.what) {
            assert!(!rule.runbook.is_empty() && !rule.summary.is_empty(), "{}", rule.name);
            assert!(!rule.keep_firing_for.is_zero(), "{}", rule.name);
            assert!(tests.contains(&rule.name.as_str()), "{} has no test", rule.name);
        }
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alerts.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        for rule in &file.rules {
            assert!(docs.contains(&format!("| `{}` |", rule.what.name)), "{} is not in docs", rule.what.name);
        }
    }

    #[test]
    fn their_own_tests_pass() {
        let file = file(MONTH);
        for test in &file.tests {
            let rule = file.rules.iter().find(|rule| rule.what.name == test.what.rule).unwrap();
            let compiled = Compiled::new(&rule.what, MONTH).unwrap();
            assert_eq!(trial::run(&test.what, &rule.what, &compiled), [""; 0], "line {}", test.line);
        }
    }
}
