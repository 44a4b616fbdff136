//! One thing that a rule is about: its window, its state, and what that means for the store.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::compile::{Against, Compiled, Direction};
use super::labels::{Labels, Pasts, name_of};
use super::machine::{Finding, Memory, Status};
use super::past;
use super::rows::Known;
use super::window::{Input, Outcome, Shape, Window};

#[derive(Debug)]
pub struct Thing {
    /// Its labels as JSON; the same over restarts.
    pub name: Arc<str>,
    pub labels: Labels,
    pub window: Window,
    pub memory: Memory,
    /// What the store has.
    pub stored: Option<Memory>,
    /// The newest value of the function.
    pub value: Option<f64>,
    /// The tick in which it was last there.
    pub seen: u64,
    had_value: bool,
    /// Of a comparison with the past, with what it was made of.
    score: Option<(i64, i64, f64)>,
}

impl Thing {
    pub fn new(labels: Labels, memory: Option<Memory>) -> Self {
        let had_value = memory
            .as_ref()
            .is_some_and(|memory| memory.raised.is_some() || !matches!(memory.status, Status::NotApplicable));
        Self {
            name: name_of(&labels),
            labels,
            window: Window::default(),
            memory: memory.clone().unwrap_or_default(),
            stored: memory,
            value: None,
            seen: 0,
            had_value,
            score: None,
        }
    }

    /// Adds what was measured earlier.
    pub fn fill(&mut self, shape: &Shape, at: i64, input: &Input) {
        self.had_value |= !matches!(input, Input::Nothing);
        self.window.add(shape, at, input);
    }

    /// Takes what a reading knows; `None` if nothing can be said yet.
    pub fn find(
        &mut self,
        compiled: &Compiled,
        shape: &Shape,
        at: i64,
        known: Known,
        pasts: &Past,
    ) -> Option<Finding> {
        let Known::Input(input) = known else {
            self.value = None;
            let reason = "There is no limit that it could be a percentage of";
            return Some(Finding::NotApplicable(reason.into()));
        };
        self.fill(shape, at, &input);
        let outcome = self.window.value(shape, at);
        self.value = match outcome {
            Outcome::Value(value) => Some(value),
            _ => None,
        };
        match outcome {
            Outcome::Quiet => Some(Finding::Harmless),
            Outcome::Filling if self.memory.raised.is_some() => None,
            Outcome::Filling => Some(Finding::NoData("Its window is not half full yet".into())),
            Outcome::Nothing if self.had_value => Some(Finding::NoData("It has no value".into())),
            Outcome::Nothing => Some(Finding::NotApplicable("It has no value on this machine".into())),
            Outcome::Value(_) if self.is_below_floor(compiled) => Some(Finding::Harmless),
            Outcome::Value(value) => match compiled.against {
                None => Some(Finding::Value(value)),
                Some(against) => Some(self.compared(against, shape, compiled, value, pasts)),
            },
        }
    }

    fn is_below_floor(&self, compiled: &Compiled) -> bool {
        compiled.only_above.is_some_and(|floor| self.window.last().is_none_or(|last| last <= floor))
    }

    fn compared(
        &mut self,
        against: Against,
        shape: &Shape,
        compiled: &Compiled,
        value: f64,
        pasts: &Past,
    ) -> Finding {
        let Past::Loaded(loaded_at, pasts) = pasts else {
            return Finding::NoData("Its past is being read".into());
        };
        let Some(past) = pasts.get(&self.name) else {
            self.value = None;
            return Finding::NotApplicable(
                format!("There is no history of {} yet", against.past.as_str()).into(),
            );
        };
        let key = (self.window.newest_step(), *loaded_at);
        let score = match self.score {
            Some((step, loaded, score)) if (step, loaded) == key => score,
            _ => past::score(&self.window.distribution(), past, value, against.least, shape),
        };
        self.score = Some((key.0, key.1, score));
        self.value = Some(score);
        debug_assert_eq!(compiled.levels.direction, Direction::Above);
        Finding::Value(score)
    }

    /// The identity of what was raised at a time: hosts measure at the same times.
    pub fn episode(&self, host: &str, rule: &str, raised_at: i64) -> String {
        let mut digest = Sha256::new();
        for part in [host, "\0", rule, "\0", &self.name, "\0", &raised_at.to_string()] {
            digest.update(part.as_bytes());
        }
        digest.finalize()[..10].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is known of a rule's past.
#[derive(Debug, Default)]
pub enum Past {
    #[default]
    Unknown,
    /// Of a window that ended at this time (µs) a day or week earlier.
    Loaded(i64, Pasts),
}
