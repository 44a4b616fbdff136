//! Which functions ran more, or less, of the time than before.

use super::flame::{Flame, Side};
use super::tree::ROOT;

/// Standard errors that chance seldom explains, with some thousand functions to choose from.
const SIGNIFICANT: f64 = 4.5;
/// Of all of the range: less is not worth a look.
pub const NOTABLE: f64 = 0.005;

/// A function's shares of both ranges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    pub function: u32,
    /// By side: without what it calls.
    pub own: [f64; 2],
    /// By side: with what it calls.
    pub total: [f64; 2],
    /// How far the shares are apart, in standard errors of what so few samples can tell.
    pub significance: f64,
    pub is_significant: bool,
}

impl Change {
    /// How far its shares moved, without and with what it calls.
    pub fn moved(&self) -> (f64, f64) {
        ((self.own[0] - self.own[1]).abs(), (self.total[0] - self.total[1]).abs())
    }
}

/// All functions: first those whose change is no chance, each group by how much its own share moved.
pub fn compare(flame: &Flame) -> Vec<Change> {
    let mut own = vec![[0u64; 2]; flame.functions.len()];
    let mut total = vec![[0u64; 2]; flame.functions.len()];
    let totals = [flame.totals(Side::Current), flame.totals(Side::Comparison)];
    for (n, node) in flame.nodes.iter().enumerate() {
        let Some(function) = node.frame else { continue };
        // A function that calls itself has each stack once.
        let is_outermost = {
            let mut at = node.parent;
            loop {
                if at == ROOT {
                    break true;
                }
                if flame.nodes[at as usize].frame == Some(function) {
                    break false;
                }
                at = flame.nodes[at as usize].parent;
            }
        };
        for side in [0, 1] {
            own[function as usize][side] += flame.own[n][side].value;
            if is_outermost {
                total[function as usize][side] += totals[side][n];
            }
        }
    }
    let all = [0, 1].map(|side| totals[side].first().copied().unwrap_or(0).max(1) as f64);
    let has_both = totals.iter().all(|totals| totals.first().is_some_and(|all| *all > 0));
    let shares = |of: [u64; 2]| [0, 1].map(|side| of[side] as f64 / all[side]);
    let changes = own.into_iter().zip(total).zip(0u32..).map(|((own, total), function)| {
        let (own, total) = (shares(own), shares(total));
        let apart = [apart(own, flame.effective), apart(total, flame.effective)];
        let significance = if apart[0].abs() > apart[1].abs() { apart[0] } else { apart[1] };
        let mut change = Change { function, own, total, significance, is_significant: false };
        let (moved, moved_total) = change.moved();
        change.is_significant = has_both
            && [(moved, apart[0]), (moved_total, apart[1])]
                .into_iter()
                .any(|(moved, apart)| moved >= NOTABLE && apart.abs() >= SIGNIFICANT);
        change
    });
    let mut changes: Vec<Change> = changes.collect();
    changes.sort_by(|a, b| {
        let (by, than) = (b.moved(), a.moved());
        b.is_significant
            .cmp(&a.is_significant)
            .then(by.0.total_cmp(&than.0))
            .then(by.1.total_cmp(&than.1))
            .then(a.function.cmp(&b.function))
    });
    changes
}

/// Two shares' distance in standard errors, positive for more than before.
fn apart(share: [f64; 2], samples: [f64; 2]) -> f64 {
    if samples.iter().any(|samples| *samples < 1.0) {
        return 0.0;
    }
    let pooled = (share[0] * samples[0] + share[1] * samples[1]) / (samples[0] + samples[1]);
    let error = (pooled * (1.0 - pooled) * (1.0 / samples[0] + 1.0 / samples[1])).sqrt();
    if error > 0.0 { (share[0] - share[1]) / error } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::builder::Builder;
    use crate::profiles::flame::{Adding, Filter};
    use crate::profiles::testing::{count, functions, who};

    fn flame(sides: [&[(&str, u64)]; 2]) -> Flame {
        let mut adding = Adding::default();
        for (side, stacks) in [Side::Current, Side::Comparison].into_iter().zip(sides) {
            let mut builder = Builder::default();
            for (stack, samples) in stacks {
                builder.add(0, &who("p", 1), &functions(stack), count(*samples));
            }
            adding.add(side, &builder.table(), &Filter::default(), (0, 1));
        }
        adding.finish(1000)
    }

    fn names(flame: &Flame, changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| flame.functions[change.function as usize].name.to_string()).collect()
    }

    #[test]
    fn the_function_that_became_slower_is_first() {
        let flame = flame([&[("mas", 600), ("mb", 400)], &[("mas", 300), ("mb", 700)]]);
        let changes = compare(&flame);
        assert_eq!(names(&flame, &changes)[..2], ["s", "b"]);
        let first = changes[0];
        assert!(
            first.is_significant && (first.own[0] - 0.6).abs() < 1e-9 && (first.own[1] - 0.3).abs() < 1e-9
        );
        let caller = changes.iter().find(|change| &*flame.functions[change.function as usize].name == "a");
        assert!(caller.unwrap().is_significant, "what calls it takes longer too");
        let main = changes.iter().find(|change| &*flame.functions[change.function as usize].name == "m");
        assert!(!main.unwrap().is_significant, "all of the time is in both ranges below it");
    }

    #[test]
    fn few_samples_tell_nothing() {
        let changes = compare(&flame([&[("a", 3), ("b", 2)], &[("a", 2), ("b", 3)]]));
        assert!(changes.iter().all(|change| !change.is_significant));
        let nothing = compare(&flame([&[("a", 1000)], &[]]));
        assert!(nothing.iter().all(|change| !change.is_significant), "there is nothing to compare with");
    }

    #[test]
    fn a_function_that_calls_itself_counts_once() {
        let flame = flame([&[("aaba", 10)], &[]]);
        let changes = compare(&flame);
        let a =
            changes.iter().find(|change| &*flame.functions[change.function as usize].name == "a").unwrap();
        assert_eq!((a.own[0], a.total[0]), (1.0, 1.0));
    }
}
