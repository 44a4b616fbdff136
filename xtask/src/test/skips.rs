//! Which tests may be skipped where all are expected to run: a committed list. A skipped test that is not on it fails
//! the run, so that none is dropped unnoticed.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Names of tests, as after `SKIPPED: `; a name that ends in `*` is a prefix.
#[derive(Debug, Default)]
pub struct Allowed(Vec<String>);

impl Allowed {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// One name per line; `#` begins a comment.
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let names: Vec<String> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        for name in &names {
            ensure!(name.len() > 1 && name != "**", "{name:?} would allow every test to be skipped");
        }
        Ok(Self(names))
    }

    /// `reason` is `<test>: <why it was skipped>`.
    pub fn allows(&self, reason: &str) -> bool {
        self.0.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => reason.starts_with(beginning),
            None => reason.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(": ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_may_be_skipped() {
        let allowed = Allowed::parse("# no PMU\ncounters::a # why\n\nstate unavailable: without*\n").unwrap();
        assert!(allowed.allows("counters::a: no PMU"));
        assert!(allowed.allows("state unavailable: without a PMU: there is one"));
        for other in ["counters::ab: no PMU", "counters: no PMU", "sqlite::counters::a: no PMU", ""] {
            assert!(!allowed.allows(other), "{other}");
        }
        assert!(!Allowed::default().allows("counters::a: no PMU"));
        assert!(Allowed::parse("*\n").is_err());
    }

    #[test]
    fn the_committed_list_can_be_read() {
        assert!(Allowed::read(&crate::step::root().join(".ci/skips.txt")).unwrap().0.len() > 5);
    }
}
