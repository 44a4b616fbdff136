//! How far apart ticks are.

/// How far apart snapshots are: a single long gap is not the pace.
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<i64>,
    gap: Option<i64>,
}

impl Pace {
    /// Takes the time of a snapshot; returns the pace, µs.
    pub fn note(&mut self, at: i64) -> i64 {
        let Some(last) = self.last.replace(at) else { return 0 };
        let gap = (at - last).max(0);
        self.gap.replace(gap).map_or(gap, |before| before.min(gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_is_not_the_pace() {
        let mut pace = Pace::default();
        let times = [0, 5, 10, 3610, 3615, 7215, 10_815];
        assert_eq!(times.map(|at| pace.note(at)), [0, 5, 5, 5, 5, 5, 3600]);
    }
}
