//! Samples every source at each tick on one plain thread, and survives sources that hang or panic.
//!
//! All sources share the thread, because waking one costs more than most of them do. A source that hangs
//! (a dead device, a stuck kernel lock) misses the deadline: its thread is abandoned with it, a new one takes over the
//! other sources, and the lost source rejoins when it returns.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::Outputs;
use super::clock::{Next, Schedule};
use super::missed::Watcher;
use super::rounds::{Round, Rounds};
use super::timekeeper::Timekeeper;
use crate::snapshot::missed::Missed;
use crate::snapshot::source::{Cost, Report, Settings, Source, SourceSettings, SourceStatus, State, Tick};
use crate::snapshot::{Reading, Snapshot, rfc3339};

const MAX_DEADLINE: Duration = Duration::from_secs(2);
/// Reading the thread's CPU time costs a system call per source. After the first ticks, only every this many ticks are
/// measured.
const MEASURED_EVERY: u64 = 8;
/// A source's mean covers about this many of its latest samples.
const REMEMBERED: u64 = 64;
/// Pause before another attempt to start a thread, if the machine is out of threads.
const NO_THREAD: Duration = Duration::from_secs(1);

/// Supervises the sampling thread.
pub(super) struct Sampler {
    shared: Arc<Shared>,
    /// Signals the end of the newest thread.
    ended: oneshot::Receiver<()>,
}

/// State shared by the threads: the current one, and abandoned ones.
struct Shared {
    slots: Vec<Mutex<Slot>>,
    control: Mutex<Control>,
    /// Wakes the thread that waits for its tick.
    changed: Condvar,
    rounds: Rounds,
    publisher: Mutex<Publisher>,
    time: Timekeeper,
}

struct Control {
    settings: Settings,
    /// `None` until the first round, which runs immediately.
    schedule: Option<Schedule>,
    watcher: Watcher,
    stop: bool,
}

/// A tick that is due.
struct Due {
    at: OffsetDateTime,
    on_grid: bool,
    missed: Option<Missed>,
    settings: Settings,
}

struct Slot {
    source: Box<dyn Source>,
    settings: Option<SourceSettings>,
    meter: Meter,
}

/// User and system CPU time of a source's measured samples.
#[derive(Default)]
struct Meter {
    samples: u64,
    cost: Cost,
}

/// Turns rounds into snapshots.
struct Publisher {
    source_status: SourceStatus,
    outputs: Outputs,
}

impl Sampler {
    pub(super) fn new(
        sources: Vec<Box<dyn Source>>,
        source_status: SourceStatus,
        outputs: Outputs,
        settings: Settings,
        time: Timekeeper,
    ) -> io::Result<Self> {
        source_status.publish(sources.iter().map(|source| source.report()).collect());
        let slot = |source| Mutex::new(Slot { source, settings: None, meter: Meter::default() });
        let shared = Arc::new(Shared {
            slots: sources.into_iter().map(slot).collect(),
            control: Mutex::new(Control { settings, schedule: None, watcher: Watcher::new(), stop: false }),
            changed: Condvar::new(),
            rounds: Rounds::new(time.clone())?,
            publisher: Mutex::new(Publisher { source_status, outputs }),
            time,
        });
        #[cfg(test)]
        if let Timekeeper::Test(time) = &shared.time {
            let shared = Arc::downgrade(&shared);
            time.on_move(move |time| {
                let Some(shared) = shared.upgrade() else { return };
                // A thread that read the old time would wait too long, so wake it.
                let control = lock(&shared.control);
                time.waits(None);
                drop(control);
                shared.changed.notify_all();
            });
        }
        Ok(Self { shared, ended: oneshot::channel().1 })
    }

    /// Starts a thread that continues where the last one stopped.
    pub(super) async fn start(&mut self) {
        loop {
            let (end, ended) = oneshot::channel();
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("sampler".into()).spawn(move || {
                shared.sample_until_stopped();
                // The supervisor no longer waits for an abandoned thread.
                let _ = end.send(());
            });
            match thread {
                Ok(_) => {
                    self.ended = ended;
                    return;
                }
                Err(error) => tracing::error!(%error, "cannot start the sampler thread"),
            }
            tokio::time::sleep(NO_THREAD).await;
        }
    }

    /// Waits until a round is overdue or its thread has died. Cancel-safe.
    pub(super) async fn overdue(&mut self) {
        tokio::select! {
            () = self.shared.rounds.overdue() => {}
            _ = &mut self.ended => tracing::error!("the sampler thread died; starting another"),
        }
    }

    /// Publishes what an overdue round has, and starts a replacement thread.
    pub(super) async fn replace(&mut self) {
        if self.shared.publish_overdue() || self.ended.is_terminated() {
            self.start().await;
        }
    }

    pub(super) fn apply(&self, settings: Settings) {
        lock(&self.shared.control).settings = settings;
        self.shared.changed.notify_all();
    }

    /// Stops the thread; a round in progress is still published.
    pub(super) async fn stop(mut self) {
        lock(&self.shared.control).stop = true;
        self.shared.changed.notify_all();
        while !self.ended.is_terminated() {
            tokio::select! {
                _ = &mut self.ended => {}
                () = self.shared.rounds.overdue() => {
                    if self.shared.publish_overdue() {
                        return;
                    }
                }
            }
        }
    }
}

impl Shared {
    fn sample_until_stopped(&self) {
        while let Some(Due { at, on_grid, missed, settings }) = self.next_tick() {
            let interval = settings.interval;
            let patience = interval.mul_f64(0.8).min(MAX_DEADLINE);
            let answers = self.slots.iter().map(|_| None).collect();
            let round = self.rounds.begin(Round { at, on_grid, missed, interval, patience, answers });
            let tick = Tick::new(at, settings.interval);
            if !self.sample(round, &tick, &settings.sources) {
                return;
            }
            let Some(round) = self.rounds.finish(round) else { return };
            lock(&self.publisher).publish(round);
        }
    }

    /// Waits for the next tick, except for the first. `None` on shutdown.
    fn next_tick(&self) -> Option<Due> {
        let mut control = lock(&self.control);
        loop {
            let Control { settings, schedule, watcher, stop } = &mut *control;
            let now = self.time.wall();
            let Some(schedule) = schedule else {
                *schedule = Some(Schedule::new(now));
                return Some(Due { at: now, on_grid: false, missed: None, settings: settings.clone() });
            };
            if *stop {
                return None;
            }
            match schedule.next(now, settings.interval) {
                Next::Now(at) => {
                    let missed = watcher.tick(&self.time, at, settings.interval);
                    return Some(Due { at, on_grid: true, missed, settings: settings.clone() });
                }
                Next::After(wait) => control = self.time.wait(&self.changed, control, wait),
            }
        }
    }

    /// Samples every source that is not stuck in an abandoned thread. Returns false if this thread has been abandoned.
    fn sample(&self, round: u64, tick: &Tick, settings: &SourceSettings) -> bool {
        let measured = round <= MEASURED_EVERY || round.is_multiple_of(MEASURED_EVERY);
        // One clock reading between two sources is enough.
        let mut begun = measured.then(thread_cpu_us);
        for (index, slot) in self.slots.iter().enumerate() {
            let mut slot = match slot.try_lock() {
                Ok(slot) => slot,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            let answer = slot.sample(tick, settings, &mut begun);
            if !self.rounds.answer(round, index, answer) {
                return false;
            }
        }
        true
    }

    /// Publishes an overdue round; returns whether there was one.
    fn publish_overdue(&self) -> bool {
        let overdue = self.rounds.take_overdue();
        let found = overdue.is_some();
        if let Some(round) = overdue {
            lock(&self.publisher).publish(round);
        }
        found
    }
}

impl Publisher {
    fn publish(&mut self, round: Round) {
        let Round { at, on_grid, missed, interval, patience, answers } = round;
        let mut readings = Vec::with_capacity(answers.len());
        self.source_status.update(|reports| {
            for (answer, standing) in answers.into_iter().zip(reports) {
                let (reading, report) = answer.unwrap_or_else(|| hung(standing, at, patience));
                note_transition(standing, &report);
                *standing = report;
                readings.push(reading);
            }
        });
        if let Some(missed) = missed {
            let Missed { ticks, cause } = missed;
            tracing::debug!(ticks, cause = cause.as_str(), "ticks were missed");
            self.source_status.note_missed(missed, Instant::now());
        }
        let snapshot = Arc::new(Snapshot::new(at, readings).every(interval).after(missed));
        tracing::trace!(timestamp = rfc3339(at), "tick");
        (self.outputs.live)(&snapshot);
        if on_grid {
            (self.outputs.store)(&snapshot);
        }
    }
}

/// The replacement for the reading of a source that did not respond.
fn hung(standing: &Report, at: OffsetDateTime, patience: Duration) -> (Reading, Report) {
    let error = format!("no answer within {} ms; skipped until it returns", patience.as_millis());
    let document = Reading::failed(standing.metric_type, at, &error);
    let failed = Report { state: State::Failed, reason: Some(error), remedy: None, ..standing.clone() };
    (document, failed)
}

/// One log line when a source changes state, not one per tick.
fn note_transition(before: &Report, after: &Report) {
    if before.state == after.state {
        return;
    }
    let reason = after.reason.as_deref().unwrap_or("recovered");
    match after.state {
        State::Failed => tracing::warn!(source = after.name, reason, "source failed"),
        state => tracing::info!(source = after.name, ?state, reason, "source changed"),
    }
}

impl Slot {
    /// `begun` is the thread's CPU time at the end of the previous source, and is updated to that of this one; `None`
    /// if not measured.
    fn sample(
        &mut self,
        tick: &Tick,
        settings: &SourceSettings,
        begun: &mut Option<f64>,
    ) -> (Reading, Report) {
        let sampled = catch_unwind(AssertUnwindSafe(|| {
            if self.settings.as_ref() != Some(settings) {
                self.source.apply(settings);
                self.settings = Some(settings.clone());
            }
            self.source.sample(tick)
        }));
        let report = self.source.report();
        if let Some(begun) = begun {
            let done = thread_cpu_us();
            self.meter.add(done - std::mem::replace(begun, done));
        }
        let report = Report { cost: self.meter.cost, ..report };
        let error = match sampled {
            Ok(Ok(document)) => return (document, report),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "internal error: the source panicked (see the log)".to_owned(),
        };
        let document = Reading::failed(report.metric_type, tick.at, &error);
        (document, Report { state: State::Failed, reason: Some(error), ..report })
    }
}

impl Meter {
    fn add(&mut self, last_us: f64) {
        // The first sample includes the source's setup, so the second replaces it in the mean.
        let of = self.samples.clamp(1, REMEMBERED);
        let before = self.cost.avg_us;
        self.cost = Cost { last_us, avg_us: before + (last_us - before) / of as f64 };
        self.samples += 1;
    }
}

fn thread_cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_of_the_newest_samples_and_not_of_the_one_that_set_the_source_up() {
        let mut meter = Meter::default();
        meter.add(100_000.0);
        assert_eq!(meter.cost, Cost { last_us: 100_000.0, avg_us: 100_000.0 });
        meter.add(10.0);
        meter.add(20.0);
        assert_eq!(meter.cost, Cost { last_us: 20.0, avg_us: 15.0 });
        for _ in 0..10 * REMEMBERED {
            meter.add(50.0);
        }
        assert!((meter.cost.avg_us - 50.0).abs() < 0.01, "{:?}", meter.cost);
    }
}
