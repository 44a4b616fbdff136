//! All rules, evaluated at a tick: readings in, changes for the store out.
//!
//! Rules and things are found by position; nothing here waits, and time comes from the snapshots.

use std::collections::HashMap;
use std::sync::Arc;

use super::changes::{About, episode, stored};
use super::compile::Compiled;
use super::labels::{Labels, Pasts, labels_of, name_of};
use super::machine::{Finding, Memory, Status};
use super::past;
use super::rows::{Known, Rows, of_row, of_sum};
use super::rule::{Function, Rule};
use super::thing::{Past, Thing};
use super::window::{Input, Shape};
use crate::snapshot::MetricType;
use crate::snapshot::layout::Layout;
use crate::snapshot::value::Key;
use crate::store::alerts::{AlertBatch, AlertState};

/// Things per rule; more are not watched, and the rule says so.
pub const MAX_THINGS: usize = 256;
/// Things of all rules.
pub const MAX_ALL_THINGS: usize = 10_000;

/// A tick's readings, or a time of stored history.
pub trait Tick {
    type Rows: Rows;
    /// µs.
    fn at(&self) -> i64;
    /// About how far apart ticks are, µs.
    fn apart(&self) -> i64;
    fn rows(&self, of: MetricType) -> Option<&Self::Rows>;
    /// Why a source has nothing to measure: no such hardware, no rights, switched off.
    fn absent(&self, of: MetricType) -> Option<Arc<str>>;
    /// Whether it is a time at which rules about this type are evaluated; the others are left as they are.
    fn covers(&self, _of: MetricType) -> bool {
        true
    }
}

/// A rule and its things.
#[derive(Debug)]
pub struct Running {
    pub rule: Arc<Rule>,
    pub compiled: Arc<Compiled>,
    shape: Shape,
    pub things: Vec<Thing>,
    index: HashMap<Key, Slot>,
    /// Why there are no things.
    pub note: Option<(Status, Arc<str>)>,
    /// There are more things than are watched.
    pub is_cut: bool,
    past: Past,
    /// When it was evaluated last, µs.
    last: i64,
}

/// What a row is to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The rule is not about it.
    Other,
    /// It has had no value yet.
    Empty,
    /// A position in `things`.
    Thing(usize),
}

impl Running {
    fn new(rule: Arc<Rule>, compiled: Arc<Compiled>) -> Self {
        let shape = Shape {
            function: compiled.function,
            kind: compiled.kind,
            window: if compiled.function == Function::Last { 0 } else { compiled.window },
            parameter: compiled.parameter,
        };
        Self {
            rule,
            compiled,
            shape,
            things: Vec::new(),
            index: HashMap::new(),
            note: None,
            is_cut: false,
            past: Past::default(),
            last: i64::MIN,
        }
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// The past that a rule is to be compared with.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub rule: Arc<str>,
    pub compiled: Arc<Compiled>,
    pub shape: Shape,
    /// End of the present window, µs.
    pub at: i64,
}

#[derive(Debug)]
pub struct Evaluator {
    host: String,
    host_name: String,
    /// Things of all rules at most.
    most: usize,
    rules: Vec<Running>,
    /// What earlier runs left, by rule and thing.
    restored: HashMap<(String, String), Memory>,
    tick: u64,
}

impl Evaluator {
    pub fn new(host: &str, states: Vec<AlertState>) -> Self {
        let restored = states.into_iter().filter_map(|AlertState { rule, series, state }| {
            // What cannot be read was written by another version: it begins anew.
            Some(((rule, series), serde_json::from_str(&state).ok()?))
        });
        Self {
            host: host.to_owned(),
            host_name: String::new(),
            most: MAX_ALL_THINGS,
            rules: Vec::new(),
            restored: restored.collect(),
            tick: 0,
        }
    }

    /// What people call the host, and how many things all rules may watch there.
    #[must_use]
    pub fn of(mut self, host_name: &str, most: usize) -> Self {
        host_name.clone_into(&mut self.host_name);
        self.most = most;
        self
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    pub fn rename(&mut self, host_name: &str) {
        host_name.clone_into(&mut self.host_name);
    }

    pub fn rules(&self) -> &[Running] {
        &self.rules
    }

    /// The rules that are evaluated.
    pub fn known_rules(&self) -> Vec<Arc<Rule>> {
        self.rules.iter().map(|running| Arc::clone(&running.rule)).collect()
    }

    /// Evaluates all rules.
    pub fn evaluate(&mut self, tick: &impl Tick, out: &mut AlertBatch) {
        self.tick += 1;
        let at = tick.at();
        let mut room = self.most.saturating_sub(self.rules.iter().map(|running| running.things.len()).sum());
        let (host, host_name) = (self.host.as_str(), self.host_name.as_str());
        for running in &mut self.rules {
            let of = running.compiled.metric_type;
            if !tick.covers(of) {
                continue;
            }
            if at < running.last {
                // The clock was set back: what windows hold is of another time.
                running.things.iter_mut().for_each(|thing| thing.window = Default::default());
            }
            running.last = at;
            let one = One { host, host_name, tick: self.tick, at, apart: tick.apart() };
            let missing = match tick.rows(of) {
                None => Some("There was no reading".into()),
                Some(rows) => rows.error(),
            };
            match (missing, tick.rows(of)) {
                (None, Some(rows)) => one.run(running, rows, &mut self.restored, &mut room, out),
                (missing, _) => {
                    let finding = match tick.absent(of) {
                        Some(reason) => Finding::NotApplicable(reason),
                        None => Finding::NoData(missing.unwrap_or_else(|| "There was no reading".into())),
                    };
                    one.run_without(running, &finding, &mut self.restored, out);
                }
            }
        }
    }

    /// Fills windows with the past, without deciding anything.
    pub fn warm(&mut self, rule: &str, at: i64, rows: &impl Rows) {
        let Some(running) = self.rules.iter_mut().find(|running| running.rule.name == rule) else { return };
        let mut room = MAX_ALL_THINGS;
        running.each(rows, &mut self.restored, &mut room, |running, thing, known| {
            if let Known::Input(input) = known {
                let shape = running.shape;
                running.things[thing].fill(&shape, at, &input);
            }
        });
    }

    /// Which rules have to be given their past at a time.
    pub fn wanted(&self, at: i64) -> Vec<Wanted> {
        let grid = at.div_euclid(past::GRID) * past::GRID;
        let wants = |running: &&Running| {
            running.compiled.against.is_some()
                && !matches!(running.past, Past::Loaded(known, _) if known == grid)
        };
        let wanted = |running: &Running| Wanted {
            rule: running.rule.name.as_str().into(),
            compiled: running.compiled.clone(),
            shape: running.shape,
            at: grid,
        };
        self.rules.iter().filter(wants).map(wanted).collect()
    }

    pub fn give_past(&mut self, rule: &str, at: i64, pasts: Pasts) {
        if let Some(running) = self.rules.iter_mut().find(|running| running.rule.name == rule) {
            running.past = Past::Loaded(at, pasts);
        }
    }

    /// Everything that is not settled, to be stored at the end.
    pub fn unsettled(&self) -> AlertBatch {
        let mut batch = AlertBatch::default();
        for running in &self.rules {
            for thing in running.things.iter().filter(|thing| thing.memory.status != Status::Ok) {
                batch.put.push(stored(&running.rule.name, thing));
                let raised = thing.memory.raised.as_ref();
                batch
                    .episodes
                    .extend(raised.map(|raised| episode(&self.host, &running.rule.name, thing, raised)));
            }
        }
        batch
    }
}

impl Running {
    /// Calls `each` for all things that the rule is about.
    fn each(
        &mut self,
        rows: &impl Rows,
        restored: &mut HashMap<(String, String), Memory>,
        room: &mut usize,
        mut each: impl FnMut(&mut Self, usize, Known),
    ) {
        if self.compiled.sum {
            if let Some(known) = of_sum(&self.compiled, rows)
                && let Some(sum) = self.place(Labels::new(), restored, room)
            {
                each(self, sum, known);
            }
            return;
        }
        let keys = rows.keys(self.compiled.table);
        if self.index.len() > 2 * keys.len() + 64 {
            // Rows that come and go.
            self.index.retain(|_, slot| matches!(slot, Slot::Thing(_)));
        }
        // Things of earlier runs have no slot until their row is seen.
        let is_slot = |slot: &&Slot| matches!(slot, Slot::Thing(_));
        let is_full = self.things.len() >= MAX_THINGS
            && self.index.values().filter(is_slot).count() == self.things.len();
        for (row, key) in keys.iter().enumerate() {
            let slot = match self.index.get(key) {
                Some(slot) => *slot,
                None => {
                    let slot = if self.compiled.has(key) { Slot::Empty } else { Slot::Other };
                    self.index.insert(key.clone(), slot);
                    slot
                }
            };
            if slot == Slot::Other {
                continue;
            }
            let known = of_row(&self.compiled, rows, row);
            let thing = match slot {
                Slot::Thing(thing) => thing,
                _ if is_full => {
                    self.is_cut = true;
                    continue;
                }
                _ => {
                    let is_empty = matches!(known, Known::NoWhole | Known::Input(Input::Nothing));
                    // Most cgroups have no quota, most links no speed.
                    if is_empty && restored.is_empty() {
                        continue;
                    }
                    let labels = labels_of(&self.compiled, key);
                    if is_empty
                        && !restored.contains_key(&(self.rule.name.clone(), name_of(&labels).to_string()))
                    {
                        continue;
                    }
                    let Some(thing) = self.place(labels, restored, room) else {
                        self.is_cut = true;
                        continue;
                    };
                    self.index.insert(key.clone(), Slot::Thing(thing));
                    thing
                }
            };
            each(self, thing, known);
        }
    }

    /// The position of a thing, which is added unless there are too many.
    fn place(
        &mut self,
        labels: Labels,
        restored: &mut HashMap<(String, String), Memory>,
        room: &mut usize,
    ) -> Option<usize> {
        let name = name_of(&labels);
        if let Some(at) = self.things.iter().position(|known| known.name == name) {
            return Some(at);
        }
        if self.things.len() >= MAX_THINGS || *room == 0 {
            return None;
        }
        *room -= 1;
        let memory = restored.remove(&(self.rule.name.clone(), name.to_string()));
        self.things.push(Thing::new(labels, memory));
        Some(self.things.len() - 1)
    }

    /// Things of earlier runs that are not there now.
    fn adopt(&mut self, restored: &mut HashMap<(String, String), Memory>) {
        let mine: Vec<(String, String)> =
            restored.keys().filter(|(rule, _)| *rule == self.rule.name).cloned().collect();
        for key in mine {
            let labels = serde_json::from_str(&key.1).unwrap_or_default();
            let memory = restored.remove(&key);
            self.things.push(Thing::new(labels, memory));
        }
    }
}

/// One rule at one tick.
struct One<'a> {
    host: &'a str,
    host_name: &'a str,
    tick: u64,
    at: i64,
    apart: i64,
}

impl One<'_> {
    fn run(
        &self,
        running: &mut Running,
        rows: &impl Rows,
        restored: &mut HashMap<(String, String), Memory>,
        room: &mut usize,
        out: &mut AlertBatch,
    ) {
        running.is_cut = false;
        running.each(rows, restored, room, |running, thing, known| {
            let Running { rule, compiled, shape, things, past, .. } = running;
            let thing = &mut things[thing];
            thing.seen = self.tick;
            if let Some(finding) = thing.find(compiled, shape, self.at, known, past) {
                self.step(rule, compiled, thing, &finding, out);
            }
        });
        if !restored.is_empty() {
            running.adopt(restored);
        }
        let mut gone = false;
        for thing in running.things.iter_mut().filter(|thing| thing.seen != self.tick) {
            thing.value = None;
            self.step(&running.rule, &running.compiled, thing, &Finding::Harmless, out);
            gone |= thing.memory.is_idle(self.at);
        }
        if gone {
            self.forget(running, out);
        }
        running.note = running.things.is_empty().then(|| {
            let table = &Layout::of(running.compiled.metric_type).tables[running.compiled.table];
            let what = match table.path.as_str() {
                "" => "It has no value on this machine".to_owned(),
                path => format!("None of the {path} on this machine is meant and has a value"),
            };
            (Status::NotApplicable, rows.reason().unwrap_or_else(|| what.into()))
        });
    }

    fn forget(&self, running: &mut Running, out: &mut AlertBatch) {
        let Running { things, rule, index, .. } = running;
        let mut kept = 0;
        let mut moved = Vec::with_capacity(things.len());
        things.retain(|thing| {
            let keep = thing.seen == self.tick || !thing.memory.is_idle(self.at);
            if !keep && thing.stored.is_some() {
                out.forget.push((rule.name.clone(), thing.name.to_string()));
            }
            moved.push(keep.then_some(kept));
            kept += usize::from(keep);
            keep
        });
        index.retain(|_, slot| match slot {
            Slot::Thing(thing) => match moved[*thing] {
                Some(to) => {
                    *thing = to;
                    true
                }
                None => false,
            },
            _ => true,
        });
    }

    fn run_without(
        &self,
        running: &mut Running,
        finding: &Finding,
        restored: &mut HashMap<(String, String), Memory>,
        out: &mut AlertBatch,
    ) {
        if !restored.is_empty() {
            running.adopt(restored);
        }
        for thing in &mut running.things {
            thing.value = None;
            self.step(&running.rule, &running.compiled, thing, finding, out);
        }
        running.note = match finding {
            Finding::NotApplicable(reason) => Some((Status::NotApplicable, Arc::clone(reason))),
            Finding::NoData(reason) => Some((Status::NoData, Arc::clone(reason))),
            _ => None,
        };
    }

    fn step(
        &self,
        rule: &Rule,
        compiled: &Compiled,
        thing: &mut Thing,
        finding: &Finding,
        out: &mut AlertBatch,
    ) {
        let happened = thing.memory.step(&compiled.levels, self.at, self.apart, finding);
        About { host: self.host, host_name: self.host_name, rule, unit: compiled.unit }
            .note(thing, happened, self.at, out);
        let changed = match &thing.stored {
            Some(stored) => thing.memory.differs(stored),
            // What is fine needs no row.
            None => thing.memory.status != Status::Ok,
        };
        if !changed {
            return;
        }
        if thing.memory.status == Status::Ok && thing.memory.is_idle(self.at) {
            out.forget.push((rule.name.clone(), thing.name.to_string()));
            thing.stored = None;
        } else {
            out.put.push(stored(&rule.name, thing));
            thing.stored = Some(thing.memory.clone());
        }
    }
}

mod rules;
#[cfg(test)]
mod tests;
