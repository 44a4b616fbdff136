//! What a rule remembers of one thing: a window in at most [`STEPS`] steps, whatever its length and the interval.
//!
//! It takes readings as well as buckets of history, so that a preview runs through the same code.

use std::collections::VecDeque;
use std::sync::Arc;

use super::rule::Function;
use crate::history::bucket::Stat;
use crate::history::questions::changes::rank::Series;
use crate::snapshot::dictionary::Kind;
use crate::snapshot::histogram::{Histogram, Unit};

/// The window moves in steps of this part of it.
pub const STEPS: i64 = 30;
/// Counts are not spread over longer gaps, µs.
const MAX_COVERED: i64 = 3_600_000_000;
/// A forecast needs this many steps.
const FEWEST: usize = 5;
/// Slopes that reach the line later than this don't, s.
const NEVER: f64 = 10.0 * 366.0 * 86_400.0;

/// What a reading or bucket says about a thing.
#[derive(Debug, Clone)]
pub enum Input {
    /// No value.
    Nothing,
    /// Nothing happened that could have a value: a latency without requests.
    Quiet,
    Number(Stat),
    Histogram(Arc<Histogram>),
}

/// A window's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// There are no values in it.
    Nothing,
    /// Too little of it has been seen.
    Filling,
    Quiet,
    Value(f64),
}

#[derive(Debug, Clone)]
struct Step {
    start: i64,
    stat: Option<Stat>,
    histogram: Option<Arc<Histogram>>,
    /// Growth, and the time in which it happened, s.
    growth: f64,
    covered: f64,
    /// Readings above the level.
    above: f64,
}

/// How a window is kept and evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub function: Function,
    pub kind: Kind,
    /// µs; 0 for the newest value only.
    pub window: i64,
    pub parameter: f64,
}

#[derive(Debug, Clone, Default)]
pub struct Window {
    steps: VecDeque<Step>,
    /// Counts of all histograms in it.
    merged: Vec<(u16, u64)>,
    first: Option<i64>,
    /// The newest value, and when it was.
    last: Option<(i64, f64)>,
    quiet: Option<i64>,
}

impl Window {
    /// The newest value.
    pub fn last(&self) -> Option<f64> {
        self.last.map(|(_, value)| value)
    }

    /// Adds what was measured at a time, which must not be before any added earlier.
    pub fn add(&mut self, shape: &Shape, at: i64, input: &Input) {
        self.drop_before(shape, at);
        match input {
            Input::Nothing => return,
            Input::Quiet => self.quiet = Some(at),
            Input::Number(stat) => self.add_number(shape, at, stat),
            Input::Histogram(histogram) if histogram.count() == 0 => self.quiet = Some(at),
            Input::Histogram(histogram) => {
                self.count(histogram, true);
                let step = self.step(shape, at);
                match &mut step.histogram {
                    // A field has one unit.
                    Some(merged) => drop(Arc::make_mut(merged).merge(histogram)),
                    None => step.histogram = Some(Arc::clone(histogram)),
                }
            }
        }
        self.first.get_or_insert(at);
    }

    fn add_number(&mut self, shape: &Shape, at: i64, stat: &Stat) {
        // The last value of a bucket of a counter is its largest.
        let value = if shape.kind == Kind::Counter { stat.max } else { stat.average() };
        let before = self.last.replace((at, value));
        if shape.window == 0 {
            return;
        }
        let (growth, covered) = match before {
            Some((then, before)) if at > then && at - then <= MAX_COVERED => {
                let growth = match shape.kind {
                    Kind::Interval => stat.sum,
                    // It started anew.
                    Kind::Counter if value < before => 0.0,
                    _ => value - before,
                };
                (growth, (at - then) as f64 / 1e6)
            }
            _ => (0.0, 0.0),
        };
        let above = match shape.function {
            Function::ShareAbove => share_above(stat, shape.parameter) * stat.count as f64,
            _ => 0.0,
        };
        let step = self.step(shape, at);
        match &mut step.stat {
            Some(known) => known.merge(stat),
            None => step.stat = Some(*stat),
        }
        step.growth += growth;
        step.covered += covered;
        step.above += above;
    }

    fn step(&mut self, shape: &Shape, at: i64) -> &mut Step {
        let width = width(shape.window);
        let start = at.div_euclid(width) * width;
        if self.steps.back().is_none_or(|step| step.start < start) {
            let (stat, histogram) = (None, None);
            self.steps.push_back(Step { start, stat, histogram, growth: 0.0, covered: 0.0, above: 0.0 });
        }
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn drop_before(&mut self, shape: &Shape, now: i64) {
        let kept_from = now - shape.window;
        while let Some(step) = self.steps.front()
            && step.start + width(shape.window) <= kept_from
        {
            if let Some(histogram) = self.steps.pop_front().and_then(|step| step.histogram) {
                self.count(&histogram, false);
            }
        }
        if self.quiet.is_some_and(|at| at < kept_from) {
            self.quiet = None;
        }
    }

    /// Adds a histogram's counts to the sum, or takes them out.
    fn count(&mut self, histogram: &Histogram, add: bool) {
        for (index, count) in histogram.buckets() {
            match self.merged.binary_search_by_key(index, |(index, _)| *index) {
                Ok(at) if add => self.merged[at].1 = self.merged[at].1.saturating_add(*count),
                Ok(at) => self.merged[at].1 = self.merged[at].1.saturating_sub(*count),
                Err(at) if add => self.merged.insert(at, (*index, *count)),
                Err(_) => {}
            }
        }
        if !add {
            self.merged.retain(|(_, count)| *count > 0);
        }
    }

    /// All values in the window, for a comparison of distributions.
    pub fn distribution(&self) -> Series {
        if self.steps.iter().any(|step| step.histogram.is_some()) {
            let mut all: Option<Histogram> = None;
            for histogram in self.steps.iter().filter_map(|step| step.histogram.as_deref()) {
                match &mut all {
                    Some(all) => drop(all.merge(histogram)),
                    None => all = Some(histogram.clone()),
                }
            }
            return Series::Histogram(all.unwrap_or_else(|| Histogram::empty(Unit::Nanoseconds)));
        }
        let value = |step: &Step| Some((step.start, step.stat?.average()));
        Series::Numbers(self.steps.iter().filter_map(value).collect())
    }

    /// The start of the newest step. Until that changes, the distribution hardly does.
    pub fn newest_step(&self) -> i64 {
        self.steps.back().map_or(i64::MIN, |step| step.start)
    }

    /// The function's value at a time.
    pub fn value(&mut self, shape: &Shape, now: i64) -> Outcome {
        self.drop_before(shape, now);
        if shape.window == 0 {
            return match (self.last, self.quiet) {
                (Some((at, value)), _) if at == now => Outcome::Value(value),
                (_, Some(at)) if at == now => Outcome::Quiet,
                _ => Outcome::Nothing,
            };
        }
        let Some(first) = self.first else { return Outcome::Nothing };
        if now - first < shape.window / 2 {
            return Outcome::Filling;
        }
        let none = if self.quiet.is_some() { Outcome::Quiet } else { Outcome::Nothing };
        self.evaluated(shape, now).map_or(none, Outcome::Value)
    }

    fn evaluated(&self, shape: &Shape, now: i64) -> Option<f64> {
        let stats = || self.steps.iter().filter_map(|step| step.stat);
        let all = || {
            stats().reduce(|mut sum, stat| {
                sum.merge(&stat);
                sum
            })
        };
        match shape.function {
            Function::Last => self.last(),
            Function::Average => all().map(|stat| stat.average()),
            Function::Min => all().map(|stat| stat.min),
            Function::Max => all().map(|stat| stat.max),
            Function::Rate => {
                let (growth, covered) = self.steps.iter().fold((0.0, 0.0), |(growth, covered), step| {
                    (growth + step.growth, covered + step.covered)
                });
                (covered > 0.0).then(|| growth / covered)
            }
            Function::ShareAbove => {
                let count: u64 = stats().map(|stat| stat.count).sum();
                let above: f64 = self.steps.iter().map(|step| step.above).sum();
                (count > 0).then(|| above / count as f64 * 100.0)
            }
            Function::Quantile if self.merged.is_empty() => {
                let mut values: Vec<f64> = stats().map(|stat| stat.average()).collect();
                values.sort_unstable_by(f64::total_cmp);
                let rank = (shape.parameter * values.len() as f64).ceil().max(1.0) as usize;
                values.get(rank - 1).copied()
            }
            Function::Quantile => {
                let max = self.steps.iter().filter_map(|step| step.histogram.as_ref()).map(|h| h.max()).max();
                quantile(&self.merged, shape.parameter, max?)
            }
            Function::Forecast => self.forecast(shape.parameter, now),
        }
    }

    /// Seconds until the line is reached, by linear regression: 0 beyond it, infinite if it is never reached.
    fn forecast(&self, line: f64, now: i64) -> Option<f64> {
        let points = self.steps.iter().filter_map(|step| {
            let stat = step.stat?;
            Some(((step.start - now) as f64 / 1e6, stat.average()))
        });
        let points: Vec<(f64, f64)> = points.collect();
        let last = self.last()?;
        if points.len() < FEWEST {
            return None;
        }
        let n = points.len() as f64;
        let (mean_t, mean_v) =
            points.iter().fold((0.0, 0.0), |(t, v), point| (t + point.0 / n, v + point.1 / n));
        let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), (t, v)| {
            (above + (t - mean_t) * (v - mean_v), below + (t - mean_t) * (t - mean_t))
        });
        let slope = if below > 0.0 { above / below } else { 0.0 };
        // A field that falls has its line below.
        let first = points[0].1;
        let is_there = if first <= line { last >= line } else { last <= line };
        let left = (line - last) / slope;
        Some(match is_there {
            true => 0.0,
            false if left.is_finite() && left > 0.0 && left < NEVER => left,
            false => f64::INFINITY,
        })
    }
}

/// Width of a step, µs.
const fn width(window: i64) -> i64 {
    let width = window / STEPS;
    if width < 1_000_000 { 1_000_000 } else { width }
}

/// The part of a bucket's readings above a level, taken as spread evenly between their ends.
fn share_above(stat: &Stat, level: f64) -> f64 {
    if stat.min > level {
        1.0
    } else if stat.max <= level {
        0.0
    } else {
        (stat.max - level) / (stat.max - stat.min)
    }
}

fn quantile(counts: &[(u16, u64)], q: f64, max: u64) -> Option<f64> {
    let total = counts.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
    let rank = (q * total as f64).ceil().max(1.0) as u64;
    let mut seen = 0u64;
    for (index, count) in counts {
        seen = seen.saturating_add(*count);
        if seen >= rank {
            let (_, high) = perfwatch_common::histogram::bounds(*index)?;
            return Some(high.min(max) as f64);
        }
    }
    None
}

#[cfg(test)]
mod tests;
