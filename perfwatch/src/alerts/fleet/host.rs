//! One host of a fleet: its evaluator, the clock of its readings, and what waits until its windows are filled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::alerts::inputs::{Heard, Wanted};
use crate::alerts::judges::Judge;
use crate::alerts::pace::Pace;
use crate::alerts::rule::Rule;
use crate::alerts::warming;
use crate::history::History;
use crate::store::alerts::AlertBatch;

/// After this much without readings there are none, or after some of a slow host's intervals.
const GAP: Duration = Duration::from_secs(30);
const GAP_INTERVALS: i64 = 4;
/// Ticks that wait while a host's windows are filled.
const MAX_HELD: usize = 64;
/// Readings that were set back by more than this come from a clock that was set back, µs; others are late.
const SET_BACK: i64 = 300_000_000;

/// A host that is evaluated.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) judge: Judge,
    pub(super) newest: Option<i64>,
    /// Its newest tick, µs, and when that came.
    pub(super) last: i64,
    pub(super) came: Instant,
    pace: Pace,
    apart: i64,
    /// It was noted that there are no readings.
    is_gap: bool,
    /// Rules that need no filling of windows any more.
    pub(super) before: Vec<Arc<Rule>>,
    pub(super) is_warm: bool,
    pub(super) warming: Option<JoinHandle<()>>,
    pub(super) held: VecDeque<Heard>,
}

impl Host {
    pub(super) fn new(judge: Judge) -> Self {
        Self {
            judge,
            newest: None,
            last: i64::MIN,
            came: Instant::now(),
            pace: Pace::default(),
            apart: 0,
            is_gap: false,
            before: Vec::new(),
            is_warm: false,
            warming: None,
            held: VecDeque::new(),
        }
    }

    /// Evaluates a tick, unless it is late or was evaluated.
    pub(super) fn evaluate(&mut self, mut heard: Heard, out: &mut AlertBatch) {
        if heard.at <= self.last && self.last - heard.at < SET_BACK {
            return;
        }
        (self.last, self.is_gap) = (heard.at, false);
        heard.apart = self.pace.note(heard.at);
        self.apart = heard.apart;
        self.judge.lock().evaluate(&heard, out);
    }

    /// Notes that readings stay away, once.
    pub(super) fn note_gap(&mut self, now: i64, wanted: &Arc<Wanted>, out: &mut AlertBatch) {
        let silent = self.came.elapsed();
        let apart = Duration::from_micros(self.apart.saturating_mul(GAP_INTERVALS).unsigned_abs());
        if self.is_gap || silent < GAP.max(apart) || !self.held.is_empty() {
            return;
        }
        self.is_gap = true;
        let passed = i64::try_from(silent.as_micros()).unwrap_or(i64::MAX);
        let at = if self.last == i64::MIN {
            // By its own clock, if that is known.
            self.newest.unwrap_or(now)
        } else {
            // What was held up on its way and is from before comes too late.
            self.last = self.last.saturating_add(passed);
            self.last
        };
        self.judge.lock().evaluate(&Heard::nothing(at, self.apart, wanted), out);
    }
}

/// Fills a host's windows, a few hosts at a time.
fn warm(host: &mut Host, history: &History, id: &str, permits: &Arc<Semaphore>) {
    let Some(first) = host.held.front().map(|heard| heard.at) else { return };
    let (history, judge, permits) = (history.of_host(id), host.judge.clone(), Arc::clone(permits));
    let before = std::mem::take(&mut host.before);
    host.warming = Some(tokio::spawn(async move {
        let Ok(_permit) = permits.acquire().await else { return };
        warming::warm(&history, &judge, first, &before).await;
    }));
}

impl Host {
    /// Keeps ticks until the host's windows are filled, which begins with the first.
    pub(super) fn hold(&mut self, heard: Vec<Heard>, history: &History, id: &str, permits: &Arc<Semaphore>) {
        self.held.extend(heard);
        let surplus = self.held.len().saturating_sub(MAX_HELD);
        self.held.drain(..surplus);
        if self.warming.is_none() {
            warm(self, history, id, permits);
        }
    }

    /// Evaluates what waited until its windows were filled.
    pub(super) fn release(&mut self, out: &mut AlertBatch) {
        if self.warming.take_if(|warming| warming.is_finished()).is_some() {
            self.is_warm = true;
            for heard in std::mem::take(&mut self.held) {
                self.evaluate(heard, out);
            }
        }
    }
}
