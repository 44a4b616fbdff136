//! What failed and why, from a suite's output, to be said again at the end, where it is looked for first.

/// Lines after the name of a test that failed: its error, and what differs.
const REASON: usize = 8;

#[derive(Debug, Default)]
pub struct Failures {
    pub lines: Vec<String>,
    /// The names of libtest tests.
    pub tests: Vec<String>,
    /// How many of the next lines belong to it.
    more: usize,
    /// Whether the output shown now is that of a libtest test that failed.
    of_failed: bool,
}

impl Failures {
    pub fn read(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.lines.push(test.to_owned());
            self.tests.push(test.to_owned());
            return;
        }
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.of_failed = self.tests.iter().any(|failed| failed == test);
            return;
        }
        let begins = line.starts_with("FAIL ")
            || line.starts_with("FAILED ")
            || self.of_failed && line.contains(" panicked at ");
        if begins {
            self.more = REASON;
            self.lines.push(line.to_owned());
        } else if self.more > 0 && !line.is_empty() {
            let goes_on = !["ok ", "PASS ", "SKIPPED", "note:", "stack backtrace", "test "]
                .iter()
                .any(|other| line.starts_with(other));
            self.more = if goes_on { self.more - 1 } else { 0 };
            if goes_on {
                self.lines.push(format!("  {line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(output: &str) -> Vec<String> {
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        failures.lines
    }

    #[test]
    fn a_failed_test_is_told_with_its_reason() {
        let libtest = "test a ... ok\ntest b::c ... FAILED\n---- a stdout ----\nthread 'x' panicked at y:\nno\n\
                       ---- b::c stdout ----\nhello\nthread 'main' (7) panicked at src/lib.rs:3:\nleft: 1\nnote: run";
        assert_eq!(failures(libtest), ["b::c", "thread 'main' (7) panicked at src/lib.rs:3:", "  left: 1"]);
        let page =
            "ok   one (3 ms)\nFAIL two [SQLite] (9 ms)\nError: + actual\n\n+ 'a: 39'\nok   three (1 ms)";
        assert_eq!(failures(page), ["FAIL two [SQLite] (9 ms)", "  Error: + actual", "  + 'a: 39'"]);
        assert_eq!(failures("PASS a: 3\nFAIL b: too few\nPASS c: 4"), ["FAIL b: too few"]);
        assert!(failures("PASS a\nok b").is_empty());
    }
}
