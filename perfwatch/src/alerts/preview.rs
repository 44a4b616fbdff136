//! A rule run over stored history: when it would have been raised.

use std::sync::Arc;

use super::compile::{Compiled, Direction};
use super::courses::{self, Course, Courses, MAX_DRAWN};
use super::evaluator::{Evaluator, Tick};
use super::machine::Status;
use super::past::{self, Shadow};
use super::rule::Rule;
use crate::history::History;
use crate::history::bucket::Bucket;
use crate::history::questions::Interval;
use crate::history::questions::points::Points;
use crate::snapshot::MetricType;
use crate::store::Result;
use crate::store::alerts::{AlertBatch, Episode};

/// Alerts that are listed; all are counted.
const MAX_LISTED: usize = 500;
/// Longer ranges are read at a minute a step.
const FINEST: i64 = 2 * 3_600_000_000;
/// Longer ranges are read at five minutes a step.
const FINE: i64 = 2 * 86_400_000_000;

/// What a rule would have done.
#[derive(Debug)]
pub struct Preview {
    /// Width of the steps that it was evaluated at.
    pub interval: Interval,
    pub raised: usize,
    /// Time that at least one thing was firing, µs.
    pub firing: i64,
    /// The first of them, in the order of raising; open ones were not cleared within the range.
    pub episodes: Vec<Episode>,
    /// The values that it would have seen, of the things that come nearest to being raised.
    pub courses: Vec<Course>,
    /// Distance of their values, µs.
    pub spacing: i64,
    /// Things that it is about.
    pub things: usize,
    pub has_data: bool,
    /// Why nothing could be evaluated.
    pub note: Option<(Status, Arc<str>)>,
}

struct Step<'a> {
    at: i64,
    width: i64,
    bucket: &'a Bucket,
}

impl Tick for Step<'_> {
    type Rows = Bucket;

    fn at(&self) -> i64 {
        self.at
    }

    fn apart(&self) -> i64 {
        self.width
    }

    fn rows(&self, of: MetricType) -> Option<&Bucket> {
        (of == self.bucket.metric_type()).then_some(self.bucket)
    }

    fn absent(&self, _: MetricType) -> Option<Arc<str>> {
        None
    }
}

/// Runs a rule over the histories of several hosts.
pub async fn run_over(
    histories: &[History],
    rule: &Rule,
    compiled: &Compiled,
    from: i64,
    to: i64,
) -> Result<Preview> {
    let Some((first, others)) = histories.split_first() else {
        return Ok(Preview::empty(interval_of(from, to)));
    };
    let mut all = run(first, rule, compiled, from, to).await?;
    for history in others {
        all.add(run(history, rule, compiled, from, to).await?, compiled.levels.direction);
    }
    Ok(all)
}

fn interval_of(from: i64, to: i64) -> Interval {
    let interval = if to - from <= FINEST {
        "5s"
    } else if to - from <= FINE {
        "1m"
    } else {
        "5m"
    };
    Interval::parse(interval).unwrap_or(Interval::WHOLE)
}

/// Runs a rule over `from..to`, µs. The window before it is read as well.
pub async fn run(history: &History, rule: &Rule, compiled: &Compiled, from: i64, to: i64) -> Result<Preview> {
    let interval = interval_of(from, to);
    if compiled.metric_type == MetricType::Presence {
        let reason = "What hubs hear is not recorded: there is no past to try it on";
        let note = Some((Status::NotApplicable, reason.into()));
        return Ok(Preview { note, ..Preview::empty(interval) });
    }
    let width = interval.width();
    let mut compiled = compiled.clone();
    if compiled.window > 0 {
        // A window holds one step at least.
        compiled.window = compiled.window.max(width);
    }
    let mut evaluator = Evaluator::new(history.host(), Vec::new());
    let rules = vec![(Arc::new(rule.clone()), Arc::new(compiled.clone()))];
    evaluator.set_rules(rules, from, &mut AlertBatch::default());
    let Some(shape) = evaluator.rules().first().map(|running| *running.shape()) else {
        unreachable!("it was set above")
    };
    let begin = from - compiled.window;
    let mut points = Points::open(history, past::query(&compiled, begin, to, interval)).await?;
    let mut earlier = match compiled.against {
        Some(against) => {
            let back = against.past.micros();
            let query = past::query(&compiled, begin - back, to - back, interval);
            Some((Points::open(history, query).await?, back, Shadow::default(), None))
        }
        None => None,
    };
    let mut preview = Preview::empty(interval);
    let mut courses = Courses::new(history.host(), from, to, width, compiled.levels.direction);
    let mut last = i64::MIN;
    while let Some((start, bucket)) = points.next_sum().await? {
        // What a bucket says is known at its end.
        let at = start + width;
        if let Some((points, back, shadow, next)) = &mut earlier {
            loop {
                if next.is_none() {
                    *next = points.next_sum().await?;
                }
                match next.take() {
                    Some((then, bucket)) if then + *back <= start => {
                        shadow.add(&compiled, &shape, then + width, &bucket);
                    }
                    other => {
                        *next = other;
                        break;
                    }
                }
            }
            evaluator.give_past(&rule.name, at, shadow.pasts());
        }
        if start < from {
            evaluator.warm(&rule.name, at, &bucket);
            continue;
        }
        preview.has_data = true;
        let was_firing = is_firing(&evaluator);
        let mut batch = AlertBatch::default();
        evaluator.evaluate(&Step { at, width, bucket: &bucket }, &mut batch);
        if was_firing && at - last <= 3 * width {
            preview.firing += at - last;
        }
        last = at;
        courses.add(at, &evaluator.rules()[0].things);
        batch.episodes.into_iter().for_each(|episode| preview.note(episode));
    }
    let running = &evaluator.rules()[0];
    preview.things = running.things.len();
    preview.note.clone_from(&running.note);
    preview.spacing = courses.width();
    preview.courses = courses.worst();
    let now = evaluator.unsettled().episodes;
    now.into_iter().for_each(|episode| preview.note(episode));
    Ok(preview)
}

fn is_firing(evaluator: &Evaluator) -> bool {
    evaluator.rules().iter().flat_map(|running| &running.things).any(|thing| thing.memory.raised.is_some())
}

impl Preview {
    fn empty(interval: Interval) -> Self {
        Self {
            interval,
            raised: 0,
            firing: 0,
            episodes: Vec::new(),
            courses: Vec::new(),
            spacing: 0,
            things: 0,
            has_data: false,
            note: None,
        }
    }

    /// Takes in another host's.
    fn add(&mut self, other: Self, direction: Direction) {
        self.raised += other.raised;
        self.firing += other.firing;
        self.episodes.extend(other.episodes);
        self.episodes.sort_by_key(|episode| episode.raised_at);
        self.episodes.truncate(MAX_LISTED);
        self.courses.extend(other.courses);
        courses::sort(&mut self.courses, direction);
        self.courses.truncate(MAX_DRAWN);
        self.spacing = self.spacing.max(other.spacing);
        self.things += other.things;
        self.has_data |= other.has_data;
        if self.things > 0 {
            self.note = None;
        }
    }

    fn note(&mut self, episode: Episode) {
        // The newest are last.
        match self.episodes.iter_mut().rev().find(|known| known.id == episode.id) {
            Some(known) => *known = episode,
            None if episode.cleared_at.is_some() => {}
            None => {
                self.raised += 1;
                if self.episodes.len() < MAX_LISTED {
                    self.episodes.push(episode);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::period::Period;
    use crate::history::maintenance::DocumentDays;
    use crate::history::testing::{START, cpu, history};
    use crate::history::writer::{LogPlace, Writer};
    use crate::snapshot::Snapshot;
    use crate::store::micros;

    /// Two hours at a reading every ten seconds, with ten busy minutes from the first hour on.
    async fn seeded(dir: &std::path::Path) -> (Arc<dyn crate::store::Store>, History) {
        let (store, history) = history(dir).await;
        let log = LogPlace { dir: dir.join("log"), max_bytes: 1 << 24 };
        let writer = Writer::spawn(history.clone(), log, DocumentDays(0)).unwrap();
        for n in 0..720 {
            let seconds = n * 10;
            let busy = if (3600..4200).contains(&seconds) { 95.0 } else { 10.0 };
            let at = START + time::Duration::seconds(seconds);
            writer.submit_waiting(Arc::new(Snapshot::new(at, vec![cpu(seconds, busy)]))).await;
        }
        writer.drained().await;
        writer.close().await;
        (store, history)
    }

    async fn previewed(history: &History, text: &str) -> Preview {
        let rule: Rule = toml::from_str(text).unwrap();
        let compiled = Compiled::new(&rule, Period::seconds(30 * 86_400)).unwrap();
        let (from, to) = (micros(START), micros(START) + 7200 * 1_000_000);
        run(history, &rule, &compiled, from, to).await.unwrap()
    }

    #[tokio::test]
    async fn a_rule_is_raised_where_history_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, history) = seeded(dir.path()).await;
        let rule = "name = \"busy\"\nfield = \"cpu.usage_percent\"\nfunction = \"average\"\nwindow = \"3m\"\n\
                    warning = { above = 80, clear = 50 }";
        let found = previewed(&history, rule).await;
        assert_eq!((found.raised, found.episodes.len(), found.things, found.has_data), (1, 1, 1, true));
        let minute = |at: i64| (at - micros(START)) / 60_000_000;
        let episode = &found.episodes[0];
        let (raised, cleared) = (minute(episode.raised_at), minute(episode.cleared_at.unwrap()));
        assert!((62..=64).contains(&raised) && (71..=73).contains(&cleared), "{raised} {cleared}");
        assert_eq!((found.firing / 60_000_000, episode.peak), (cleared - raised, 95.0));
        let values = &found.courses[0].values;
        assert_eq!(found.courses.len(), 1);
        assert!(values.iter().flatten().any(|value| *value == 95.0) && values.len() <= 400, "{values:?}");
        let never = previewed(&history, &rule.replace("above = 80", "above = 99")).await;
        assert_eq!((never.raised, never.firing), (0, 0));
        store.close().await;
    }

    #[tokio::test]
    async fn without_history_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (store, history) = history(dir.path()).await;
        let found =
            previewed(&history, "name = \"a\"\nfield = \"cpu.usage_percent\"\nwarning = { above = 1 }").await;
        assert!(!found.has_data && found.raised == 0);
        store.close().await;
    }
}
