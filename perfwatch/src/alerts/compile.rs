//! A rule with its names resolved to positions in the layout, checked as a whole.

use super::fields::{self, Named, nearest};
use super::pattern::Pattern;
use super::period::Period;
use super::rule::{Function, Level, Past, Rule, Severity};
use crate::snapshot::MetricType;
use crate::snapshot::dictionary::Kind;
use crate::snapshot::layout::{Layout, Place};
use crate::snapshot::value::Label;

/// Longer windows would say little that history doesn't.
pub const MAX_WINDOW: Period = Period::seconds(7 * 86_400);
const MAX_SUMMARY: usize = 300;
const MAX_RUNBOOK: usize = 1000;
const MAX_NAME: usize = 64;

/// What is wrong with a rule, and at which of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub key: &'static str,
    pub message: String,
}

/// A comparison: beyond `raise` it is raised, and from `clear` on cleared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    pub raise: f64,
    pub clear: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Above,
    Below,
}

impl Direction {
    pub fn is_beyond(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::Below => value < limit,
        }
    }
}

/// When to raise and clear.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    pub direction: Direction,
    pub warning: Option<Limits>,
    pub critical: Option<Limits>,
    /// µs.
    pub hold: i64,
    pub keep: i64,
}

impl Levels {
    pub const fn of(&self, severity: Severity) -> Option<Limits> {
        match severity {
            Severity::Warning => self.warning,
            Severity::Critical => self.critical,
        }
    }
}

/// The comparison with the past.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    pub past: Past,
    pub least: f64,
}

#[derive(Debug, Clone)]
pub struct Compiled {
    pub metric_type: MetricType,
    pub table: usize,
    pub column: usize,
    /// The histogram that the column is derived from: if that is empty, nothing happened.
    pub histogram: Option<usize>,
    pub of: Option<usize>,
    pub kind: Kind,
    place: &'static Place,
    labels: Vec<(usize, Pattern)>,
    pub sum: bool,
    pub is: Option<String>,
    pub function: Function,
    /// µs.
    pub window: i64,
    /// Of `quantile`, `share_above` or `forecast`.
    pub parameter: f64,
    pub against: Option<Against>,
    pub only_above: Option<f64>,
    pub levels: Levels,
    /// Of the function's value.
    pub unit: &'static str,
}

impl Compiled {
    /// Checks a rule; `retention` is how long history is kept. All problems are told at once.
    pub fn new(rule: &Rule, retention: Period) -> Result<Self, Vec<Problem>> {
        let mut check = Check { rule, problems: Vec::new() };
        check.texts();
        let field = check.field();
        let (column, labels) = match field {
            Some(field) => (Some((field, check.column_of(field))), check.labels(field)),
            None => (None, Vec::new()),
        };
        let window = check.window(retention);
        let parameter = check.parameter(field);
        let against = check.against(field, retention);
        let levels = check.levels();
        check.plain("only_above", rule.only_above);
        let (Some((field, of)), Some(levels), true) = (column, levels, check.problems.is_empty()) else {
            return Err(check.problems);
        };
        let layout = &Layout::of(field.metric_type).tables[field.place.table];
        Ok(Self {
            metric_type: field.metric_type,
            table: field.place.table,
            column: field.column,
            histogram: layout.columns[field.column].derived.map(|derived| derived.histogram),
            of,
            kind: field.kind(),
            place: field.place,
            labels,
            sum: rule.sum,
            is: rule.is.clone(),
            function: rule.function,
            window,
            parameter,
            against,
            only_above: rule.only_above,
            levels,
            unit: unit(rule, field.place.field.unit),
        })
    }

    /// Whether the rule is about the row with this key.
    pub fn has(&self, key: &[Label]) -> bool {
        self.place.has(key)
            && self.labels.iter().all(|(at, pattern)| match key.get(*at) {
                Some(Label::Text(text)) => pattern.has(text),
                Some(other) => pattern.has(&other.to_string()),
                None => false,
            })
    }
}

fn unit(rule: &Rule, of_field: &'static str) -> &'static str {
    match (rule.function, of_field) {
        _ if rule.against.is_some() => "",
        (Function::Forecast, _) => "s",
        (Function::ShareAbove, _) => "%",
        _ if rule.of.is_some() => "%",
        (Function::Rate, "bytes") => "bytes/s",
        (Function::Rate, "ms") => "ms/s",
        (Function::Rate, "") => "1/s",
        (Function::Rate, _) => "",
        (_, unit) => unit,
    }
}

struct Check<'a> {
    rule: &'a Rule,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { key, message: message.into() });
    }

    fn texts(&mut self) {
        let rule = self.rule;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if rule.name.is_empty() || rule.name.len() > MAX_NAME || !rule.name.bytes().all(is_plain) {
            self.problem("name", "use 1 to 64 lower-case letters, digits and dashes, such as disk-full");
        }
        for (key, text, most) in
            [("summary", &rule.summary, MAX_SUMMARY), ("runbook", &rule.runbook, MAX_RUNBOOK)]
        {
            if text.chars().count() > most || text.chars().any(char::is_control) {
                self.problem(key, format!("use one line of at most {most} characters"));
            }
        }
    }

    fn field(&mut self) -> Option<&'static Named> {
        let rule = self.rule;
        let field = match fields::find(&rule.field) {
            Ok(field) => field,
            Err(sentence) => {
                self.problem("field", sentence);
                return None;
            }
        };
        let name = &field.name;
        match (field.kind(), &rule.is) {
            (Kind::Events | Kind::Text | Kind::Gate, _) => {
                self.problem("field", format!("{name} is a list; use a field with a number"));
            }
            (Kind::State, None) => {
                self.problem(
                    "field",
                    format!("{name} is a text; add is = \"…\" with the one to compare with"),
                );
            }
            (Kind::State, Some(_)) => {}
            (_, Some(_)) => {
                self.problem("is", format!("{name} is a number; remove is, and compare its value"));
            }
            (Kind::Histogram, None) if rule.function != Function::Quantile => {
                let beside = name.strip_suffix("histogram").unwrap_or(name);
                self.problem(
                    "function",
                    format!("{name} is a histogram; use function = \"quantile\", or a field such as {beside}p99_us"),
                );
            }
            _ => {}
        }
        Some(field)
    }

    fn column_of(&mut self, field: &Named) -> Option<usize> {
        let of = match fields::find(self.rule.of.as_deref()?) {
            Ok(of) => of,
            Err(sentence) => {
                self.problem("of", sentence);
                return None;
            }
        };
        let same = (of.metric_type, of.place.table) == (field.metric_type, field.place.table);
        if !same {
            self.problem(
                "of",
                format!("{} is not of the same thing as {}; use a field beside it", of.name, field.name),
            );
        } else if matches!(of.kind(), Kind::Histogram | Kind::State | Kind::Events)
            || field.kind() == Kind::Histogram
            || self.rule.is.is_some()
        {
            self.problem("of", "only a number can be a percentage of another; remove of");
        }
        Some(of.column)
    }

    fn labels(&mut self, field: &Named) -> Vec<(usize, Pattern)> {
        let known = field.labels();
        let mut labels = Vec::new();
        for (label, pattern) in &self.rule.labels {
            match known.iter().position(|name| name == label) {
                Some(at) => labels.push((at, Pattern::new(pattern))),
                None if known.is_empty() => {
                    self.problem("labels", format!("{} has no labels; remove {label}", field.name));
                }
                None => {
                    let near = nearest(label, known.iter().copied()).unwrap_or(known[known.len() - 1]);
                    self.problem(
                        "labels",
                        format!("{} has no label {label}; did you mean {near}?", field.name),
                    );
                }
            }
        }
        labels
    }

    fn window(&mut self, retention: Period) -> i64 {
        let (rule, window) = (self.rule, self.rule.window);
        if rule.function == Function::Last && rule.against.is_none() {
            if !window.is_zero() {
                self.problem(
                    "window",
                    "the newest value has no window; add function = \"average\", or remove window",
                );
            }
        } else if window.is_zero() {
            self.problem("window", "is missing; the function needs one, such as window = \"5m\"");
        } else if window > retention {
            self.problem(
                "window",
                format!("{window} is longer than history is kept ({retention}); use a shorter one, or keep history longer"),
            );
        } else if window > MAX_WINDOW {
            self.problem("window", format!("{window} is too long; use at most {MAX_WINDOW}"));
        }
        for (key, period) in [("for", rule.hold), ("keep_firing_for", rule.keep_firing_for)] {
            if period > MAX_WINDOW {
                self.problem(key, format!("{period} is too long; use at most {MAX_WINDOW}"));
            }
        }
        window.micros()
    }

    fn plain(&mut self, key: &'static str, number: Option<f64>) {
        if number.is_some_and(|number| !number.is_finite()) {
            self.problem(key, "nothing compares with that number; use a finite one");
        }
    }

    fn parameter(&mut self, field: Option<&'static Named>) -> f64 {
        let rule = self.rule;
        let wanted = match rule.function {
            Function::Quantile => "quantile",
            Function::ShareAbove => "level",
            Function::Forecast => "line",
            _ => "",
        };
        for (key, given) in [("quantile", rule.quantile), ("level", rule.level), ("line", rule.line)] {
            self.plain(key, given);
            if key != wanted && given.is_some() {
                self.problem(key, "the function does not use it; remove it, or change function");
            }
        }
        let name = field.map_or("the field", |field| &field.name);
        match (rule.function, rule.quantile, rule.level, rule.line) {
            (Function::Quantile, Some(q), ..) if (0.0..=1.0).contains(&q) => q,
            (Function::Quantile, ..) => {
                self.problem("quantile", "use a number from 0 to 1, such as quantile = 0.99");
                0.0
            }
            (Function::ShareAbove, _, Some(level), _) => level,
            (Function::ShareAbove, _, None, _) => {
                self.problem("level", format!("is missing: which level is {name} to be above?"));
                0.0
            }
            (Function::Forecast, _, _, Some(line)) => line,
            (Function::Forecast, _, _, None) if rule.of.is_some() => 100.0,
            (Function::Forecast, ..) => {
                self.problem("line", format!("is missing: which value is {name} to reach?"));
                0.0
            }
            _ => 0.0,
        }
    }

    fn against(&mut self, field: Option<&'static Named>, retention: Period) -> Option<Against> {
        let rule = self.rule;
        self.plain("least", rule.least);
        let Some(past) = rule.against else {
            if rule.least.is_some() {
                self.problem("least", "is only used with against; remove it, or add against = \"last_week\"");
            }
            return None;
        };
        if !matches!(rule.function, Function::Average | Function::Quantile) {
            self.problem("function", "with against, use average or quantile");
        }
        if rule.sum || rule.of.is_some() || rule.is.is_some() {
            self.problem("against", "cannot be combined with sum, of or is; remove those");
        }
        if field.is_some_and(|field| field.kind() == Kind::Counter) {
            self.problem("against", "a count that only grows always differs from its past; use its rate");
        }
        let needed = Period::seconds(past.micros() / 1_000_000 + rule.window.as_seconds());
        if needed > retention {
            self.problem(
                "against",
                format!("needs {needed} of history, which is kept for {retention}; keep it longer, or use yesterday"),
            );
        }
        let least = rule.least.unwrap_or_default();
        if rule.least.is_none_or(|least| least <= 0.0) {
            self.problem(
                "least",
                "is missing: from which difference on, in the field's unit, does it matter?",
            );
        }
        Some(Against { past, least })
    }

    fn levels(&mut self) -> Option<Levels> {
        let rule = self.rule;
        let warning = rule.warning.and_then(|level| self.level("warning", &level));
        let critical = rule.critical.and_then(|level| self.level("critical", &level));
        let direction = match (warning, critical) {
            (None, None) => {
                if rule.warning.is_none() && rule.critical.is_none() {
                    self.problem(
                        "warning",
                        "a rule needs a level, such as warning = { above = 90, clear = 80 }",
                    );
                }
                return None;
            }
            (Some((one, _)), Some((other, _))) if one != other => {
                self.problem("critical", "warning and critical must both be above, or both below");
                return None;
            }
            (Some((direction, _)), _) | (None, Some((direction, _))) => direction,
        };
        if direction == Direction::Below && rule.against.is_some() {
            self.problem("against", "the value is a distance, 0 to 1; use above");
        }
        let (warning, critical) = (warning.map(|level| level.1), critical.map(|level| level.1));
        if let (Some(warning), Some(critical)) = (warning, critical)
            && direction.is_beyond(warning.raise, critical.raise)
        {
            self.problem("critical", "warning must be raised no later than critical; swap the two");
        }
        let (hold, keep) = (rule.hold.micros(), rule.keep_firing_for.micros());
        Some(Levels { direction, warning, critical, hold, keep })
    }

    fn level(&mut self, key: &'static str, level: &Level) -> Option<(Direction, Limits)> {
        let (direction, raise) = match (level.above, level.below) {
            (Some(above), None) => (Direction::Above, above.0),
            (None, Some(below)) => (Direction::Below, below.0),
            _ => {
                self.problem(key, "use either above or below, such as { above = 90, clear = 80 }");
                return None;
            }
        };
        let clear = level.clear.map_or(raise, |clear| clear.0);
        if !raise.is_finite() || !clear.is_finite() {
            self.problem(key, "nothing compares with that number; use finite ones");
            return None;
        }
        if direction.is_beyond(clear, raise) {
            let side = if direction == Direction::Above { "above" } else { "below" };
            self.problem(key, format!("clear must not be {side} the level itself; the two may be swapped"));
        }
        Some((direction, Limits { raise, clear }))
    }
}

#[cfg(test)]
mod tests;
