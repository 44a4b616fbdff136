//! The state of one rule for one thing, from value to value: pending, raised, changed in severity, cleared.
//!
//! What happens alternates: nothing is cleared that was not raised, and nothing raised twice. All of it is kept in
//! [`Memory`], which survives restarts; time comes from the snapshots.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::compile::Levels;
use super::rule::Severity;

/// Raised this often within [`FLAP_WINDOW`], it flaps.
pub const FLAP_RAISES: usize = 4;
const FLAP_WINDOW: i64 = 3_600_000_000;
/// A flapping alert is cleared after this much quiet, µs.
pub const FLAP_QUIET: i64 = 1_800_000_000;
/// After a longer gap nothing is known to have lasted, µs.
const MAX_GAP: i64 = 300_000_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    Ok,
    Pending,
    Firing,
    /// There should be a value and is none: neither fine nor firing.
    NoData,
    /// There is nothing to have one.
    NotApplicable,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::NoData => "no_data",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// What is known of a thing at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    Value(f64),
    /// Nothing happened, or the thing is gone: surely no alarm.
    Harmless,
    NoData(Arc<str>),
    NotApplicable(Arc<str>),
}

/// From raising to clearing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    pub at: i64,
    /// Now; the worst is in the history.
    pub severity: Severity,
    pub worst: Severity,
    /// When it was raised.
    pub value: f64,
    pub peak: f64,
    /// It came and went so often that it is kept until it has been quiet for longer.
    pub flapping: bool,
}

/// What is remembered of a thing, also over restarts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub status: Status,
    /// Since when it has the status, µs.
    pub since: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// Since when warning and critical are exceeded.
    pending: [Option<i64>; 2],
    /// Since when the severity is no longer justified.
    clearing: Option<i64>,
    pub raised: Option<Raised>,
    /// When it was raised lately.
    raises: Vec<i64>,
    /// The last evaluation.
    last: i64,
}

/// What happened at an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    Raised,
    SeverityChanged,
    /// It is over; why, if not by its value.
    Cleared(Raised, Option<Arc<str>>),
}

impl Memory {
    /// Takes the finding of a time. Readings may be `apart` µs from each other.
    pub fn step(&mut self, levels: &Levels, at: i64, apart: i64, finding: &Finding) -> Option<Happened> {
        if at < self.last || at - self.last > MAX_GAP.max(3 * apart) {
            // The clock was set back, or nothing was measured for long.
            self.pending = [None; 2];
            self.clearing = None;
        }
        self.last = at;
        match finding {
            Finding::Value(value) => self.valued(levels, at, Some(*value)),
            Finding::Harmless => self.valued(levels, at, None),
            Finding::NoData(reason) => {
                self.pending = [None; 2];
                self.clearing = None;
                self.become_(Status::NoData, at, Some(reason));
                None
            }
            Finding::NotApplicable(reason) => {
                self.pending = [None; 2];
                self.become_(Status::NotApplicable, at, Some(reason));
                self.clear(Some(Arc::clone(reason)))
            }
        }
    }

    /// Ends it because of the rule, not of a value.
    pub fn end(&mut self, at: i64, reason: &Arc<str>) -> Option<Happened> {
        self.become_(Status::NotApplicable, at, Some(reason));
        self.clear(Some(Arc::clone(reason)))
    }

    fn become_(&mut self, status: Status, at: i64, reason: Option<&Arc<str>>) {
        if self.status != status {
            self.since = at;
            self.status = status;
        }
        if self.reason.as_ref() != reason {
            self.reason = reason.cloned();
        }
    }

    fn clear(&mut self, reason: Option<Arc<str>>) -> Option<Happened> {
        self.clearing = None;
        self.raised.take().map(|raised| Happened::Cleared(raised, reason))
    }

    fn valued(&mut self, levels: &Levels, at: i64, value: Option<f64>) -> Option<Happened> {
        let beyond = |limit: f64| value.is_some_and(|value| levels.direction.is_beyond(value, limit));
        let current = self.raised.as_ref().map(|raised| raised.severity);
        let mut target = None;
        for severity in Severity::ALL {
            let Some(limits) = levels.of(severity) else {
                self.pending[severity as usize] = None;
                continue;
            };
            let since = &mut self.pending[severity as usize];
            let lasts = if beyond(limits.raise) {
                at - *since.get_or_insert(at) >= levels.hold
            } else {
                *since = None;
                false
            };
            // What is raised stays until its value is clear; so does the lesser severity below it.
            let stays = current.is_some_and(|current| current >= severity) && beyond(limits.clear);
            if target.is_none() && (lasts || stays) {
                target = Some(severity);
            }
        }
        if let (Some(raised), Some(value)) = (&mut self.raised, value)
            && value.is_finite()
            && (!raised.peak.is_finite() || levels.direction.is_beyond(value, raised.peak))
        {
            raised.peak = value;
        }
        match (current, target) {
            (None, None) => {
                let pending = self.pending.iter().any(Option::is_some);
                self.become_(if pending { Status::Pending } else { Status::Ok }, at, None);
                None
            }
            (None, Some(severity)) => Some(self.raise(severity, at, value.unwrap_or_default())),
            (Some(current), target) => self.go_on(levels, at, current, target),
        }
    }

    fn raise(&mut self, severity: Severity, at: i64, value: f64) -> Happened {
        self.raises.retain(|then| (0..FLAP_WINDOW).contains(&(at - then)));
        self.raises.push(at);
        let flapping = self.raises.len() >= FLAP_RAISES;
        if flapping {
            self.raises.drain(..self.raises.len() - FLAP_RAISES);
        }
        // JSON has no infinity.
        let value = value.clamp(f64::MIN, f64::MAX);
        self.raised = Some(Raised { at, severity, worst: severity, value, peak: value, flapping });
        self.clearing = None;
        self.become_(Status::Firing, at, None);
        Happened::Raised
    }

    fn go_on(
        &mut self,
        levels: &Levels,
        at: i64,
        current: Severity,
        target: Option<Severity>,
    ) -> Option<Happened> {
        if let Some(raised) = &self.raised {
            let began = raised.at;
            self.become_(Status::Firing, at, None);
            // Also after a time without data.
            self.since = began;
        }
        if target >= Some(current) {
            self.clearing = None;
            let raised = self.raised.as_mut()?;
            let severity = target.filter(|target| *target > current)?;
            raised.severity = severity;
            raised.worst = raised.worst.max(severity);
            return Some(Happened::SeverityChanged);
        }
        let flapping = self.raised.as_ref().is_some_and(|raised| raised.flapping);
        let keep = if flapping { levels.keep.max(FLAP_QUIET) } else { levels.keep };
        if at - *self.clearing.get_or_insert(at) < keep {
            return None;
        }
        self.clearing = None;
        match target {
            Some(severity) => {
                self.raised.as_mut()?.severity = severity;
                Some(Happened::SeverityChanged)
            }
            None => {
                let pending = self.pending.iter().any(Option::is_some);
                self.become_(if pending { Status::Pending } else { Status::Ok }, at, None);
                self.clear(None)
            }
        }
    }

    /// Whether nothing is lost with it: it is not raised, and was not lately.
    pub fn is_idle(&self, at: i64) -> bool {
        self.raised.is_none() && self.raises.iter().all(|then| at - then > FLAP_WINDOW)
    }

    /// What has to be stored when it changes: all but the time of the last evaluation and the running peak.
    pub fn differs(&self, other: &Self) -> bool {
        let of = |memory: &Self| {
            let raised = memory.raised.as_ref().map(|raised| (raised.at, raised.severity, raised.flapping));
            (memory.status, memory.since, memory.pending, memory.clearing, raised, memory.raises.len())
        };
        of(self) != of(other)
    }
}

#[cfg(test)]
mod tests;
