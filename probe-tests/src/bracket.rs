//! What an independent source counted between moments that surround those of a probe.
//!
//! Two sources are never read at the same instant, and on a machine with other work the moments between can hold thousands
//! of events. So the independent source is read before and after each reading of the probe: what the probe counted lies
//! between the events from the inner moments and those from the outer ones, however busy the machine is.

use anyhow::{Result, ensure};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bracket {
    /// Between a moment after the probe's first reading and one before its last.
    pub least: f64,
    /// Between a moment before the first and one after the last.
    pub most: f64,
}

impl Bracket {
    /// `start` and `end` are the source's readings before and after each of the probe's two readings.
    pub fn new(start: [f64; 2], end: [f64; 2]) -> Self {
        Self { least: end[0] - start[1], most: end[1] - start[0] }
    }

    /// Whether the probe's count lies in between; `slack` allows for different rounding of the two sources.
    pub fn holds(self, counted: f64, slack: f64) -> bool {
        (self.least - slack..=self.most + slack).contains(&counted)
    }

    /// In words, or an error if it does not.
    pub fn check(self, what: &str, counted: f64, slack: f64) -> Result<String> {
        let Self { least, most } = self;
        let words = format!("{counted:.1} {what} counted, {least:.1} to {most:.1} by the independent source");
        ensure!(self.holds(counted, slack), "{words}");
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_outside_is_told_and_one_inside_is_not() {
        // 100 to 110 at the start, 300 to 330 at the end.
        let bracket = Bracket::new([100.0, 110.0], [300.0, 330.0]);
        assert_eq!(bracket, Bracket { least: 190.0, most: 230.0 });
        assert!(bracket.check("events", 190.0, 0.0).is_ok() && bracket.check("events", 230.0, 0.0).is_ok());
        assert!(bracket.check("events", 188.0, 1.0).is_err() && bracket.check("events", 400.0, 1.0).is_err());
    }
}
