//! The interface between the pipeline and collectors or probes, and their reports for `/api/sources`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Serialize;
use time::OffsetDateTime;

use super::cpulist::CpuList;
use super::missed::{Cause, Missed};
use super::{MetricType, Reading, rfc3339};

/// A producer of one reading per tick, implemented by collectors and probes. The pipeline calls it from a plain thread
/// (never an async worker), measures its cost and contains its errors and hangs.
pub trait Source: Send {
    /// Unique, snake_case.
    fn name(&self) -> &'static str;

    /// The document this source produces.
    fn metric_type(&self) -> MetricType;

    /// Reads the kernel and derives the document. An `Err` becomes the document's `_error`; the next tick retries.
    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError>;

    /// Current state; the pipeline fills in `cost`. Called after each `sample`, so it must be cheap.
    fn report(&self) -> Report;

    /// Called when the settings changed, before the next `sample`.
    fn apply(&mut self, _settings: &SourceSettings) {}
}

/// The time a snapshot is taken for.
#[derive(Debug, Clone)]
pub struct Tick {
    pub at: OffsetDateTime,
    /// Same as `_timestamp`.
    pub timestamp: String,
    /// The sampling interval in effect.
    pub interval: Duration,
}

impl Tick {
    pub fn new(at: OffsetDateTime, interval: Duration) -> Self {
        Self { at, timestamp: rfc3339(at), interval }
    }
}

/// Settings that may change while sampling: set through the configuration API, applied at the next tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub interval: Duration,
    pub sources: SourceSettings,
}

/// The part of the settings that sources use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    pub perf_events_enabled: bool,
    /// `None` means all online CPUs.
    pub perf_events_cpu_cores: Option<CpuList>,
    pub perf_events_interval: Duration,
    /// Samples of stacks, per second of each busy CPU; 0 for none.
    pub profile_hz: u32,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            perf_events_enabled: true,
            perf_events_cpu_cores: None,
            perf_events_interval: Duration::from_millis(1000),
            profile_hz: 19,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Serialize(#[from] serde_json::Error),
}

impl SourceError {
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Measuring.
    Active,
    /// Disabled by the configuration or the overhead budget; `reason` says which.
    Disabled,
    /// Not available on this machine or with these rights; `reason` and `remedy` say why and how to fix it.
    Unavailable,
    /// It should work but failed; `reason` is the error.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Procfs,
    Ebpf,
    PerfRead,
    /// Known to the server, without reading anything.
    Internal,
}

/// CPU time of a source's sample, user and system, µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    pub last_us: f64,
    pub avg_us: f64,
}

/// The cost of a loaded eBPF program: measured by the kernel if `kernel.bpf_stats_enabled` is on, otherwise by the
/// program itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramStats {
    pub name: &'static str,
    pub run_count: u64,
    pub run_time_ns: u64,
}

/// One row of `/api/sources`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub name: &'static str,
    pub metric_type: MetricType,
    pub state: State,
    pub method: Method,
    pub reason: Option<String>,
    /// The exact command or setting that fixes it.
    pub remedy: Option<String>,
    pub cost: Cost,
    pub programs: Vec<ProgramStats>,
}

impl Report {
    pub fn active(name: &'static str, metric_type: MetricType, method: Method) -> Self {
        Self {
            name,
            metric_type,
            state: State::Active,
            method,
            reason: None,
            remedy: None,
            cost: Cost::default(),
            programs: Vec::new(),
        }
    }
}

/// The latest report of every source, in registry order, and what was missed: written by the pipeline, read by the API.
#[derive(Debug, Clone, Default)]
pub struct SourceStatus(Arc<Status>);

#[derive(Debug, Default)]
struct Status {
    reports: RwLock<Vec<Report>>,
    missed: Mutex<MissedTicks>,
}

/// Ticks missed since the start.
#[derive(Debug, Clone, Default)]
struct MissedTicks {
    /// In the order of [`Cause::ALL`].
    counts: [u64; Cause::ALL.len()],
    newest: Option<(Cause, Instant)>,
}

impl SourceStatus {
    pub fn reports(&self) -> Vec<Report> {
        self.0.reports.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn publish(&self, reports: Vec<Report>) {
        *self.0.reports.write().unwrap_or_else(PoisonError::into_inner) = reports;
    }

    /// Changes the reports in place: each tick updates them, and they are rarely read.
    pub fn update(&self, change: impl FnOnce(&mut [Report])) {
        change(&mut self.0.reports.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why a type's source has nothing to measure: it is switched off or not available.
    pub fn absent(&self, of: MetricType) -> Option<String> {
        let reports = self.0.reports.read().unwrap_or_else(PoisonError::into_inner);
        let report = reports.iter().find(|report| report.metric_type == of)?;
        let is_absent = matches!(report.state, State::Disabled | State::Unavailable);
        is_absent.then(|| report.reason.clone().unwrap_or_else(|| "Its source is not active".to_owned()))
    }

    pub fn note_missed(&self, missed: Missed, at: Instant) {
        let mut ticks = self.missed();
        let place = Cause::ALL.iter().position(|cause| *cause == missed.cause);
        ticks.counts[place.unwrap_or_default()] += missed.ticks;
        ticks.newest = Some((missed.cause, at));
    }

    /// Ticks missed since the start, by cause.
    pub fn missed_ticks(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.missed().counts)
    }

    /// Why ticks were missed, if that was not longer ago.
    pub fn missed_within(&self, time: Duration) -> Option<Cause> {
        let (cause, at) = self.missed().newest?;
        (at.elapsed() <= time).then_some(cause)
    }

    fn missed(&self) -> MutexGuard<'_, MissedTicks> {
        self.0.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the sources, and whether each failed.
    pub fn failures(&self) -> Vec<(&'static str, bool)> {
        let reports = self.0.reports.read().unwrap_or_else(PoisonError::into_inner);
        reports.iter().map(|report| (report.name, report.state == State::Failed)).collect()
    }

    pub fn any_failed(&self) -> bool {
        let reports = self.0.reports.read().unwrap_or_else(PoisonError::into_inner);
        reports.iter().any(|report| report.state == State::Failed)
    }
}
