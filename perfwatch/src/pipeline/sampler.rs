//! Runs every source once per tick on one plain thread and survives whatever a source does.
//!
//! All sources share the thread, because waking one costs more than most of them do. A source that hangs
//! (a dead device, a stuck kernel lock) is found out by the deadline: its thread is abandoned with it, a new
//! one takes the other sources over, and the lost source rejoins when it returns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::snapshot::source::{Board, Cost, Report, Settings, Source, SourceSettings, State, Tick};
use crate::snapshot::{Document, Snapshot, rfc3339};

const LONGEST_DEADLINE: Duration = Duration::from_secs(2);

pub(super) struct Sampler {
    slots: Arc<[Mutex<Slot>]>,
    /// The newest report of each source, which stands while the source hangs.
    reports: Vec<Report>,
    jobs: mpsc::Sender<Job>,
    board: Board,
}

struct Slot {
    source: Box<dyn Source>,
    settings: Option<SourceSettings>,
    meter: Meter,
}

/// Mean and last user+system CPU time of a source's samples.
#[derive(Default)]
struct Meter {
    total_us: f64,
    samples: u64,
}

struct Job {
    tick: Tick,
    settings: SourceSettings,
    outcome: Arc<Outcome>,
    done: oneshot::Sender<()>,
}

struct Outcome {
    /// One entry per slot; `None` until that source has answered.
    answers: Mutex<Vec<Option<(Document, Report)>>>,
    abandoned: AtomicBool,
}

impl Sampler {
    pub(super) fn new(sources: Vec<Box<dyn Source>>, board: Board) -> Self {
        let reports: Vec<Report> = sources.iter().map(|source| source.report()).collect();
        board.publish(reports.clone());
        let slots: Arc<[Mutex<Slot>]> = sources
            .into_iter()
            .map(|source| Mutex::new(Slot { source, settings: None, meter: Meter::default() }))
            .collect();
        Self { jobs: spawn(Arc::clone(&slots)), slots, reports, board }
    }

    /// Samples every source for `timestamp`, waiting at most until the deadline.
    pub(super) async fn sample(&mut self, timestamp: OffsetDateTime, settings: &Settings) -> Snapshot {
        let tick = Tick { timestamp: rfc3339(timestamp), interval: settings.interval };
        let outcome = Arc::new(Outcome {
            answers: Mutex::new((0..self.slots.len()).map(|_| None).collect()),
            abandoned: AtomicBool::new(false),
        });
        let (done, answered) = oneshot::channel();
        let job = Job {
            tick: tick.clone(),
            settings: settings.sources.clone(),
            outcome: Arc::clone(&outcome),
            done,
        };
        let deadline = settings.interval.mul_f64(0.8).min(LONGEST_DEADLINE);
        let in_time = self.jobs.send(job).is_ok() && tokio::time::timeout(deadline, answered).await.is_ok();
        if !in_time {
            outcome.abandoned.store(true, Ordering::Relaxed);
            self.jobs = spawn(Arc::clone(&self.slots));
        }

        let mut answers = lock(&outcome.answers);
        let documents = answers
            .iter_mut()
            .zip(&mut self.reports)
            .map(|(answer, standing)| match answer.take() {
                Some((document, report)) => {
                    note_transition(standing, &report);
                    *standing = report;
                    document
                }
                None => {
                    let error =
                        format!("no answer within {} ms; left alone until it returns", deadline.as_millis());
                    let hung = Report {
                        state: State::Failed,
                        reason: Some(error.clone()),
                        remedy: None,
                        ..standing.clone()
                    };
                    note_transition(standing, &hung);
                    *standing = hung;
                    Document::failed(standing.metric_type, &tick.timestamp, &error)
                }
            })
            .collect();
        self.board.publish(self.reports.clone());
        Snapshot::new(timestamp, documents)
    }
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

fn spawn(slots: Arc<[Mutex<Slot>]>) -> mpsc::Sender<Job> {
    let (jobs, inbox) = mpsc::channel::<Job>();
    let thread = std::thread::Builder::new().name("sampler".into()).spawn(move || {
        while let Ok(job) = inbox.recv() {
            // Asking for the thread's own time is a system call: once between two sources is enough.
            let mut begun = thread_cpu_us();
            for (index, slot) in slots.iter().enumerate() {
                let mut slot = match slot.try_lock() {
                    Ok(slot) => slot,
                    Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                    // An abandoned thread still hangs in it.
                    Err(TryLockError::WouldBlock) => continue,
                };
                let answer = slot.sample(&job.tick, &job.settings, &mut begun);
                if job.outcome.abandoned.load(Ordering::Relaxed) {
                    return;
                }
                lock(&job.outcome.answers)[index] = Some(answer);
            }
            // The receiver is gone only when the deadline has passed in this instant.
            let _ = job.done.send(());
        }
    });
    if let Err(error) = thread {
        // Without a thread every source is reported as not answering, and each tick tries again.
        tracing::error!(%error, "cannot start the sampler thread");
    }
    jobs
}

impl Slot {
    /// `begun` is the thread's time when the source before was done, and then when this one is.
    fn sample(&mut self, tick: &Tick, settings: &SourceSettings, begun: &mut f64) -> (Document, Report) {
        let sampled = catch_unwind(AssertUnwindSafe(|| {
            if self.settings.as_ref() != Some(settings) {
                self.source.apply(settings);
                self.settings = Some(settings.clone());
            }
            self.source.sample(tick)
        }));
        let report = self.source.report();
        let done = thread_cpu_us();
        let cost = self.meter.add(done - std::mem::replace(begun, done));
        let report = Report { cost, ..report };
        let error = match sampled {
            Ok(Ok(document)) => return (document, report),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "internal error: the source panicked (see the log)".to_owned(),
        };
        let document = Document::failed(report.metric_type, &tick.timestamp, &error);
        (document, Report { state: State::Failed, reason: Some(error), ..report })
    }
}

impl Meter {
    fn add(&mut self, last_us: f64) -> Cost {
        self.total_us += last_us;
        self.samples += 1;
        Cost { last_us, avg_us: self.total_us / self.samples as f64 }
    }
}

fn thread_cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
