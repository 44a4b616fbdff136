//! Alerts in the running server: a task that evaluates each snapshot and stores what changed.
//!
//! The tick passes snapshots on and never waits. What the store does not take is tried again at the next tick.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::catalogue::Catalogue;
use super::channels::{Channels, Options};
use super::evaluator::{Evaluator, Tick, Wanted};
use super::labels::Pasts;
use super::past;
use super::period::Period;
use super::unsaved::merge;
use super::watched::Watched;
use crate::history::History;
use crate::history::questions::points::Points;
use crate::snapshot::source::SourceStatus;
use crate::snapshot::{MetricType, Reading, Snapshot};
use crate::store::alerts::AlertBatch;
use crate::store::{Result, Store, micros};

/// Snapshots that wait to be evaluated.
const QUEUE: usize = 64;
/// How long reading the past of all rules may take at the start.
const WARM_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the last changes may take to be stored at shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const PRUNE_EVERY: i64 = 3_600_000_000;
/// Files of rules and maintenance windows are looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// Pause between attempts to read what an earlier run left.
const LOAD_RETRY: Duration = Duration::from_secs(2);

/// What the API and the rest of the server see of alerts. Clones share it.
#[derive(Debug, Clone)]
pub struct Alerts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    history: History,
    files: Mutex<Watched>,
    evaluator: Mutex<Evaluator>,
    catalogue: RwLock<Arc<Catalogue>>,
    channels: Channels,
    /// When rules were evaluated last.
    evaluated: Mutex<Option<Instant>>,
    /// The store does not take what changes.
    is_failing: AtomicBool,
    /// Counts changes of the rules.
    version: watch::Sender<u64>,
}

/// Passes snapshots to the task.
#[derive(Debug, Clone)]
pub struct Submitter(mpsc::WeakSender<Arc<Snapshot>>);

impl Submitter {
    /// Never waits: with so many waiting, one more would come too late anyway.
    pub fn submit(&self, snapshot: &Arc<Snapshot>) {
        if let Some(queue) = self.0.upgrade() {
            let _ = queue.try_send(Arc::clone(snapshot));
        }
    }
}

/// The task, until it is closed.
#[derive(Debug)]
pub struct Running {
    queue: mpsc::Sender<Arc<Snapshot>>,
    task: JoinHandle<()>,
}

impl Running {
    pub fn submitter(&self) -> Submitter {
        Submitter(self.queue.downgrade())
    }

    /// Evaluates what waits, stores the last changes and ends.
    pub async fn close(self) {
        let Self { queue, task } = self;
        drop(queue);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT + Duration::from_secs(1), task).await;
    }
}

impl Alerts {
    pub fn new(store: Arc<dyn Store>, history: History, dir: PathBuf, channels: Options) -> Self {
        let evaluator = Mutex::new(Evaluator::new(history.host(), Vec::new()));
        let catalogue = RwLock::default();
        let files = Mutex::new(Watched::new(dir));
        Self(Arc::new(Shared {
            store,
            history,
            files,
            evaluator,
            catalogue,
            channels: Channels::new(channels),
            evaluated: Mutex::default(),
            is_failing: AtomicBool::new(false),
            version: watch::Sender::new(0),
        }))
    }

    pub fn spawn(&self, sources: SourceStatus) -> Running {
        let (queue, received) = mpsc::channel(QUEUE);
        let task = tokio::spawn(Task::new(self.clone(), sources).run(received));
        Running { queue, task }
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub fn history(&self) -> &History {
        &self.0.history
    }

    pub fn channels(&self) -> &Channels {
        &self.0.channels
    }

    /// How long ago rules were evaluated; `None` if they never were.
    pub fn since_evaluated(&self) -> Option<Duration> {
        let last = *self.0.evaluated.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|at| at.elapsed())
    }

    /// Whether the store does not take what changes.
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Ordering::Relaxed)
    }

    /// Reads the stored channels again; those of files are as [`Self::reload`] found them.
    pub async fn reload_channels(&self) -> Result<()> {
        let of_files = self.files().channels().to_vec();
        self.0.channels.reload(&*self.0.store, of_files).await
    }

    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.0.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Held only for moments.
    pub fn evaluator(&self) -> MutexGuard<'_, Evaluator> {
        self.0.evaluator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long history is kept.
    pub async fn retention(&self) -> Result<Period> {
        Ok(Period::seconds(self.0.store.archive_policy().await?.retention_days * 86_400))
    }

    fn files(&self) -> MutexGuard<'_, Watched> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all rules and channels again; rules apply from the next snapshot on.
    pub async fn reload(&self) -> Result<()> {
        let retention = self.retention().await?;
        let stored = self.0.store.alert_rules().await?;
        let files = self.files().read(retention);
        let catalogue = Catalogue::new(files, &stored, retention);
        for problem in &catalogue.problems {
            tracing::error!(problem, "an alert rule cannot be used");
        }
        *self.0.catalogue.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalogue);
        self.0.version.send_modify(|version| *version += 1);
        self.reload_channels().await
    }
}

/// A snapshot as the evaluator sees it.
struct Live<'a> {
    snapshot: &'a Snapshot,
    sources: &'a SourceStatus,
    apart: i64,
}

impl Tick for Live<'_> {
    type Rows = Reading;

    fn at(&self) -> i64 {
        micros(self.snapshot.timestamp)
    }

    fn apart(&self) -> i64 {
        self.apart
    }

    fn rows(&self, of: MetricType) -> Option<&Reading> {
        self.snapshot.reading(of)
    }

    fn absent(&self, of: MetricType) -> Option<Arc<str>> {
        self.sources.absent(of).map(Into::into)
    }
}

/// How far apart snapshots are: a single long gap is not the pace.
#[derive(Debug, Default)]
struct Pace {
    last: Option<i64>,
    gap: Option<i64>,
}

impl Pace {
    /// Takes the time of a snapshot; returns the pace, µs.
    fn note(&mut self, at: i64) -> i64 {
        let Some(last) = self.last.replace(at) else { return 0 };
        let gap = (at - last).max(0);
        self.gap.replace(gap).map_or(gap, |before| before.min(gap))
    }
}

type Loaded = Vec<(Wanted, Result<Pasts>)>;

struct Task {
    alerts: Alerts,
    sources: SourceStatus,
    unsaved: AlertBatch,
    saving: Option<(JoinHandle<Result<()>>, AlertBatch)>,
    loading: Option<JoinHandle<Loaded>>,
    load_again: i64,
    /// Version of the rules that are evaluated.
    version: Option<u64>,
    pace: Pace,
    pruned: Option<i64>,
    looked: Option<Instant>,
    failing: bool,
}

impl Task {
    fn new(alerts: Alerts, sources: SourceStatus) -> Self {
        Self {
            alerts,
            sources,
            unsaved: AlertBatch::default(),
            saving: None,
            loading: None,
            load_again: i64::MIN,
            version: None,
            pace: Pace::default(),
            pruned: None,
            looked: None,
            failing: false,
        }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Arc<Snapshot>>) {
        if !self.restore(&mut queue).await {
            return;
        }
        while let Some(snapshot) = queue.recv().await {
            self.take(&snapshot).await;
        }
        self.settle(true).await;
        merge(&mut self.unsaved, self.alerts.evaluator().unsettled());
        let saved = self.alerts.0.store.save_alerts(self.alerts.0.history.host(), &self.unsaved);
        match tokio::time::timeout(CLOSE_TIMEOUT, saved).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the last changes of alerts could not be stored"),
            Err(_) => tracing::error!("the last changes of alerts could not be stored in time"),
        }
    }

    /// Reads what an earlier run left: without it, alerts would be raised twice. `false` if the server stops meanwhile.
    async fn restore(&mut self, queue: &mut mpsc::Receiver<Arc<Snapshot>>) -> bool {
        loop {
            let host = self.alerts.0.history.host();
            let loaded = async {
                self.alerts.reload().await?;
                self.alerts.0.store.alert_states(host).await
            };
            match loaded.await {
                Ok(states) => {
                    *self.alerts.evaluator() = Evaluator::new(host, states);
                    self.failing = false;
                    return true;
                }
                Err(error) if !self.failing => {
                    self.failing = true;
                    tracing::warn!(%error, "alerts wait for the database");
                }
                Err(_) => {}
            }
            let waited = async {
                // Snapshots from before are not evaluated.
                while queue.recv().await.is_some() {}
            };
            if tokio::time::timeout(LOAD_RETRY, waited).await.is_ok() {
                return false;
            }
        }
    }

    async fn take(&mut self, snapshot: &Snapshot) {
        let at = micros(snapshot.timestamp);
        self.look(at).await;
        let version = *self.alerts.0.version.borrow();
        if self.version != Some(version) {
            self.version = Some(version);
            let rules = self.alerts.catalogue().running();
            let mut batch = AlertBatch::default();
            let before: Vec<_> =
                self.alerts.evaluator().rules().iter().map(|running| Arc::clone(&running.rule)).collect();
            self.alerts.evaluator().set_rules(rules, at, &mut batch);
            merge(&mut self.unsaved, batch);
            if tokio::time::timeout(WARM_TIMEOUT, self.warm(at, &before)).await.is_err() {
                tracing::warn!("reading the past of alert rules takes too long; some begin without it");
            }
        }
        self.settle(false).await;
        let apart = self.pace.note(at);
        let mut batch = AlertBatch::default();
        self.alerts.evaluator().evaluate(&Live { snapshot, sources: &self.sources, apart }, &mut batch);
        *self.alerts.0.evaluated.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.alerts.0.is_failing.store(self.failing, Ordering::Relaxed);
        merge(&mut self.unsaved, batch);
        self.save();
        self.load(at);
        self.prune(at);
    }

    /// Notices files that changed, and maintenance windows that begin.
    async fn look(&mut self, at: i64) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        if self.alerts.files().has_changed() {
            match tokio::time::timeout(WARM_TIMEOUT, self.alerts.reload()).await {
                Ok(Ok(())) => tracing::info!("files of alert rules have changed and were read again"),
                Ok(Err(error)) => tracing::debug!(%error, "alert rules cannot be read again now"),
                Err(_) => tracing::debug!("reading alert rules again takes too long now"),
            }
        }
        let alerts = self.alerts.clone();
        tokio::spawn(async move {
            if let Err(error) = alerts.keep_windows(at).await {
                tracing::debug!(%error, "maintenance windows cannot be read now");
            }
        });
    }

    /// Fills the windows of new rules from history.
    async fn warm(&self, at: i64, before: &[Arc<super::rule::Rule>]) {
        let new: Vec<_> = {
            let evaluator = self.alerts.evaluator();
            let new = evaluator.rules().iter().filter(|running| !before.contains(&running.rule));
            new.map(|running| (running.rule.name.clone(), running.compiled.clone())).collect()
        };
        for (name, compiled) in new.into_iter().filter(|(_, compiled)| compiled.window > 0) {
            let query = past::query(&compiled, at - compiled.window, at - 1, past::interval(compiled.window));
            let filled = async {
                let mut points = Points::open(&self.alerts.0.history, query).await?;
                while let Some((start, bucket)) = points.next_sum().await? {
                    self.alerts.evaluator().warm(&name, start, &bucket);
                }
                Ok::<_, crate::store::StoreError>(())
            };
            if let Err(error) = filled.await {
                tracing::warn!(%error, rule = name, "the past of an alert rule cannot be read; it begins without it");
            }
        }
    }

    /// Takes the results of what runs beside.
    async fn settle(&mut self, wait: bool) {
        if let Some((task, batch)) = self.saving.take_if(|(task, _)| wait || task.is_finished()) {
            let saved = tokio::time::timeout(CLOSE_TIMEOUT, task).await;
            let error = match saved {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(error.to_string()),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            match error {
                None if self.failing => {
                    self.failing = false;
                    tracing::info!("the database takes alerts again");
                }
                None => {}
                Some(error) => {
                    if !self.failing {
                        self.failing = true;
                        tracing::error!(
                            error,
                            "the database does not take alerts; they are stored as soon as it does"
                        );
                    }
                    let later = std::mem::replace(&mut self.unsaved, batch);
                    merge(&mut self.unsaved, later);
                }
            }
        }
        if let Some(task) = self.loading.take_if(|task| task.is_finished())
            && let Ok(loaded) = task.await
        {
            for (wanted, pasts) in loaded {
                match pasts {
                    Ok(pasts) => self.alerts.evaluator().give_past(&wanted.rule, wanted.at, pasts),
                    Err(error) => {
                        self.load_again = wanted.at + past::GRID;
                        tracing::debug!(%error, rule = &*wanted.rule, "the past of an alert rule cannot be read");
                    }
                }
            }
        }
    }

    fn save(&mut self) {
        if self.unsaved.is_empty() || self.saving.is_some() {
            return;
        }
        let batch = std::mem::take(&mut self.unsaved);
        let (store, host) = (Arc::clone(&self.alerts.0.store), self.alerts.0.history.host().to_owned());
        let saved = batch.clone();
        let task = tokio::spawn(async move { store.save_alerts(&host, &saved).await });
        self.saving = Some((task, batch));
    }

    fn load(&mut self, at: i64) {
        if self.loading.is_some() || at < self.load_again {
            return;
        }
        let wanted = self.alerts.evaluator().wanted(at);
        if wanted.is_empty() {
            return;
        }
        let history = self.alerts.0.history.clone();
        self.loading = Some(tokio::spawn(async move {
            let mut loaded = Vec::new();
            for wanted in wanted {
                let pasts = past::load(&history, &wanted.compiled, &wanted.shape, wanted.at).await;
                loaded.push((wanted, pasts));
            }
            loaded
        }));
    }

    fn prune(&mut self, at: i64) {
        if self.pruned.is_some_and(|pruned| (0..PRUNE_EVERY).contains(&(at - pruned))) {
            return;
        }
        self.pruned = Some(at);
        let (store, host) = (Arc::clone(&self.alerts.0.store), self.alerts.0.history.host().to_owned());
        tokio::spawn(async move {
            if let Err(error) = store.prune_alerts(&host, at).await {
                tracing::debug!(%error, "old alerts cannot be removed now");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_is_not_the_pace() {
        let mut pace = Pace::default();
        let times = [0, 5, 10, 3610, 3615, 7215, 10_815];
        assert_eq!(times.map(|at| pace.note(at)), [0, 5, 5, 5, 5, 5, 3600]);
    }
}
