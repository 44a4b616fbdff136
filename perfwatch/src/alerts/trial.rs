//! Tests of rules: values at a steady interval, and which state is expected when. As with `promtool test rules`.

use std::sync::Arc;

use serde::Deserialize;

use super::compile::Compiled;
use super::evaluator::{Evaluator, Tick};
use super::labels::{Labels, Pasts, name_of};
use super::machine::Status;
use super::period::Period;
use super::rows::Rows;
use super::rule::{Rule, Severity};
use super::window::Input;
use crate::history::bucket::Stat;
use crate::history::questions::changes::rank::Series;
use crate::snapshot::MetricType;
use crate::snapshot::dictionary::Kind;
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::layout::Layout;
use crate::snapshot::value::{Key, Label};
use crate::store::alerts::AlertBatch;

const MAX_VALUES: usize = 100_000;
/// Each value of a histogram stands for this many events.
const EVENTS: u64 = 100;
/// When tests begin, µs: 2026-01-01.
const START: i64 = 1_767_225_600_000_000;

/// A test of one rule with one thing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    pub rule: String,
    /// What it shows.
    #[serde(default)]
    pub name: String,
    /// Time between two values.
    pub interval: Period,
    #[serde(default)]
    labels: Labels,
    /// `5`, `_` for none, `0+10x6` and `5x3` to repeat, as in promtool.
    values: String,
    /// Of the rule's field `of`.
    #[serde(default)]
    of: Option<String>,
    /// What the rule is compared with; one value for each step of the window.
    #[serde(default)]
    past: Option<String>,
    expect: Vec<Expected>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    at: Period,
    state: Status,
    #[serde(default)]
    severity: Option<Severity>,
    #[serde(default)]
    flapping: Option<bool>,
}

/// Runs a test; the problems are sentences.
pub fn run(test: &Test, rule: &Rule, compiled: &Compiled) -> Vec<String> {
    match Run::new(test, rule, compiled) {
        Ok(run) => run.problems(test),
        Err(problem) => vec![problem],
    }
}

struct Run<'a> {
    evaluator: Evaluator,
    rows: Given<'a>,
    values: Vec<Option<f64>>,
    of: Option<Vec<Option<f64>>>,
}

impl<'a> Run<'a> {
    fn new(test: &Test, rule: &Rule, compiled: &'a Compiled) -> Result<Self, String> {
        let values = expand(&test.values)?;
        let of = test.of.as_deref().map(expand).transpose()?;
        if test.interval.is_zero() {
            return Err("interval: use at least 1s".to_owned());
        }
        if of.is_some() != compiled.of.is_some() {
            return Err(match of {
                Some(_) => "of: the rule has no `of`; remove it".to_owned(),
                None => "of: is missing; give the values of the rule's `of`, such as 100x20".to_owned(),
            });
        }
        let layout = &Layout::of(compiled.metric_type).tables[compiled.table];
        if let Some(label) = test.labels.keys().find(|label| !layout.labels.contains(&label.as_str())) {
            return Err(format!(
                "labels: the field has no label {label}; it has {}",
                layout.labels.join(", ")
            ));
        }
        let label = |name: &&str| test.labels.get(*name).map_or(Label::text("x"), |value| Label::text(value));
        let key: Key = layout.labels.iter().map(label).collect();
        if !compiled.has(&key) {
            return Err(
                "labels: the rule is not about this thing; give labels that its patterns fit".to_owned()
            );
        }
        let mut evaluator = Evaluator::new("test", Vec::new());
        evaluator.set_rules(
            vec![(Arc::new(rule.clone()), Arc::new(compiled.clone()))],
            START,
            &mut AlertBatch::default(),
        );
        if let Some(past) = &test.past {
            let labels = super::labels::labels_of(compiled, &key);
            let name = if compiled.sum { name_of(&Labels::new()) } else { name_of(&labels) };
            let series = series(compiled, &expand(past)?);
            evaluator.give_past(&rule.name, START, Pasts::from([(name, series)]));
        }
        let rows = Given { compiled, keys: [key], value: None, of: None };
        Ok(Self { evaluator, rows, values, of })
    }

    fn problems(mut self, test: &Test) -> Vec<String> {
        let mut expected: Vec<&Expected> = test.expect.iter().collect();
        expected.sort_by_key(|expected| expected.at);
        let mut expected = expected.into_iter().peekable();
        let mut problems = Vec::new();
        for (n, value) in (0i64..).zip(&self.values) {
            self.rows.value = *value;
            self.rows.of =
                self.of.as_ref().and_then(|of| of.get(usize::try_from(n).ok()?).copied().flatten());
            let since = n * test.interval.as_seconds();
            let (at, apart) = (START + since * 1_000_000, test.interval.micros());
            self.evaluator.evaluate(&Time { at, apart, rows: &self.rows }, &mut AlertBatch::default());
            while let Some(expected) =
                expected.next_if(|expected| expected.at.as_seconds() < since + test.interval.as_seconds())
            {
                problems.extend(self.compare(expected));
            }
        }
        problems.extend(expected.map(|late| format!("at {}: there are no values any more", late.at)));
        problems
    }

    fn compare(&self, expected: &Expected) -> Option<String> {
        let running = self.evaluator.rules().first()?;
        let thing = running.things.first();
        let status = match (thing, &running.note) {
            (Some(thing), _) => thing.memory.status,
            (None, Some((status, _))) => *status,
            (None, None) => Status::Ok,
        };
        let raised = thing.and_then(|thing| thing.memory.raised.as_ref());
        let severity = raised.map(|raised| raised.severity);
        let flapping = raised.is_some_and(|raised| raised.flapping);
        let fits = status == expected.state
            && expected.severity.is_none_or(|wanted| severity == Some(wanted))
            && expected.flapping.is_none_or(|wanted| flapping == wanted);
        let told = |status: Status, severity: Option<Severity>| match severity {
            Some(severity) => format!("{} ({})", status.as_str(), severity.as_str()),
            None => status.as_str().to_owned(),
        };
        (!fits).then(|| {
            let value =
                thing.and_then(|thing| thing.value).map_or("no value".to_owned(), |v| format!("value {v}"));
            let flapping = if flapping { ", flapping" } else { "" };
            format!(
                "at {}: expected {}, got {}{flapping} with {value}",
                expected.at,
                told(expected.state, expected.severity),
                told(status, severity),
            )
        })
    }
}

fn series(compiled: &Compiled, values: &[Option<f64>]) -> Series {
    if compiled.kind == Kind::Histogram {
        let mut all = Histogram::empty(Unit::Nanoseconds);
        for value in values.iter().flatten() {
            // One unit.
            let _ = all.merge(&histogram(*value));
        }
        return Series::Histogram(all);
    }
    Series::Numbers((0i64..).zip(values).filter_map(|(n, value)| Some((n, (*value)?))).collect())
}

fn histogram(value: f64) -> Histogram {
    let value = value.max(0.0) as u64;
    let bucket = (perfwatch_common::histogram::index(value), EVENTS);
    Histogram::from_counts(Unit::Nanoseconds, [bucket], value.saturating_mul(EVENTS), value)
}

/// One row with the values of a test.
#[derive(Debug)]
struct Given<'a> {
    compiled: &'a Compiled,
    keys: [Key; 1],
    value: Option<f64>,
    of: Option<f64>,
}

impl Rows for Given<'_> {
    fn error(&self) -> Option<Arc<str>> {
        None
    }

    fn keys(&self, table: usize) -> &[Key] {
        if table == self.compiled.table { &self.keys } else { &[] }
    }

    fn input(&self, _: usize, _: usize, column: usize, _: Option<&str>) -> Input {
        let of = self.compiled.of == Some(column) && column != self.compiled.column;
        match if of { self.of } else { self.value } {
            Some(value) if self.compiled.kind == Kind::Histogram => {
                Input::Histogram(Arc::new(histogram(value)))
            }
            Some(value) if self.compiled.column == column || of => Input::Number(Stat::one(value)),
            _ => Input::Nothing,
        }
    }

    fn reason(&self) -> Option<Arc<str>> {
        None
    }
}

struct Time<'a, 'b> {
    at: i64,
    apart: i64,
    rows: &'a Given<'b>,
}

impl<'b> Tick for Time<'_, 'b> {
    type Rows = Given<'b>;

    fn at(&self) -> i64 {
        self.at
    }

    fn apart(&self) -> i64 {
        self.apart
    }

    fn rows(&self, of: MetricType) -> Option<&Given<'b>> {
        (of == self.rows.compiled.metric_type).then_some(self.rows)
    }

    fn absent(&self, _: MetricType) -> Option<Arc<str>> {
        None
    }
}

/// `1 _ 0+10x6 5x3`: as promtool, `a+bxn` is `n + 1` values.
fn expand(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    for word in text.split_whitespace() {
        let refused = || format!("values: {word:?} is not a value; write 5, _, 5x10, 0+2x10 or 9-1x5");
        let (start, repeat) = match word.split_once('x') {
            Some((start, repeat)) => (start, repeat.parse::<usize>().map_err(|_| refused())?),
            None => (word, 0),
        };
        if values.len() + repeat >= MAX_VALUES {
            return Err(format!("values: use at most {MAX_VALUES}"));
        }
        // A sign at the beginning belongs to the number.
        let sign = start.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map(|(at, _)| at);
        let (first, step) = sign.map_or((start, "0"), |at| start.split_at(at));
        let number =
            |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(refused);
        if first == "_" {
            values.extend(std::iter::repeat_n(None, repeat + 1));
            continue;
        }
        let (first, step) = (number(first)?, number(step)?);
        values.extend((0..=repeat).map(|n| Some(first + step * n as f64)));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_written_as_for_promtool() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(expand("1 -2 0+10x2 9-1x1"), Ok(some(&[1.0, -2.0, 0.0, 10.0, 20.0, 9.0, 8.0])));
        assert_eq!(expand("_x1 3x1"), Ok(vec![None, None, Some(3.0), Some(3.0)]));
        for bad in ["x", "5x", "a", "1+x3", "nan", "inf", "1e999", "5x100000000"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    fn tried(rule: &str, test: &str) -> Vec<String> {
        let rule: Rule = toml::from_str(rule).unwrap();
        let compiled = Compiled::new(&rule, Period::seconds(30 * 86_400)).unwrap();
        run(&toml::from_str(test).unwrap(), &rule, &compiled)
    }

    #[test]
    fn a_test_that_fails_says_what_was_expected_and_what_is() {
        let rule = "name = \"r\"\nfield = \"cpu.usage_percent\"\nwarning = { above = 90 }\nfor = \"1m\"";
        let test = |expect: &str| {
            format!("rule = \"r\"\ninterval = \"30s\"\nvalues = \"95x9\"\nexpect = [{expect}]")
        };
        assert_eq!(
            tried(rule, &test("{ at = \"30s\", state = \"pending\" }, { at = \"1m\", state = \"firing\" }")),
            [""; 0]
        );
        assert_eq!(
            tried(rule, &test("{ at = \"2m\", state = \"ok\" }, { at = \"9h\", state = \"ok\" }")),
            ["at 2m: expected ok, got firing (warning) with value 95", "at 9h: there are no values any more"]
        );
    }

    #[test]
    fn the_past_of_a_histogram_can_be_given() {
        let rule = "name = \"r\"\nfield = \"block_io.devices.write.histogram\"\nfunction = \"quantile\"\nquantile = 0.99\n\
                    window = \"10m\"\nagainst = \"last_week\"\nleast = 5000000\nwarning = { above = 0.6 }";
        let test = |now: &str, state: &str| {
            format!(
                "rule = \"r\"\ninterval = \"30s\"\nlabels = {{ device = \"sda\" }}\nvalues = \"{now}\"\n\
                 past = \"1000000x29\"\nexpect = [{{ at = \"9m\", state = \"{state}\" }}]"
            )
        };
        assert_eq!(tried(rule, &test("50000000x30", "firing")), [""; 0]);
        assert_eq!(tried(rule, &test("3000000x30", "ok")), [""; 0], "less than matters");
    }
}
