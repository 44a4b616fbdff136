//! Alerts in the running server: a task that evaluates each snapshot and stores what changed.
//!
//! The tick passes snapshots on and never waits. What the store does not take is tried again at the next tick.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::catalogue::{Catalogue, Over};
use super::channels::{Channels, Options};
use super::duty::{Charge, Duty};
use super::evaluator::{Evaluator, MAX_ALL_THINGS, Tick, Wanted};
use super::judges::{Judge, Judges};
use super::labels::Pasts;
use super::pace::Pace;
use super::past;
use super::period::Period;
use super::saving::Saving;
use super::warming;
use super::watched::Watched;
use crate::history::History;
use crate::snapshot::source::SourceStatus;
use crate::snapshot::{MetricType, Reading, Snapshot};
use crate::store::alerts::AlertBatch;
use crate::store::{Result, Store, micros};

/// Snapshots that wait to be evaluated.
const QUEUE: usize = 64;
/// How long reading the past of all rules may take at the start.
const WARM_TIMEOUT: Duration = Duration::from_secs(20);
/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// What another hub evaluates is read again after this time, if it is asked for.
const REFRESH: Duration = Duration::from_secs(2);
/// Things that all rules may watch on one host of a fleet.
pub const MAX_THINGS_OF_HOST: usize = 1000;
const PRUNE_EVERY: i64 = 3_600_000_000;
/// Files of rules are looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// The same of maintenance windows, of which each is known some seconds before it begins.
const LOOK_FOR_WINDOWS: Duration = Duration::from_secs(10);
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
    over: Over,
    duty: Duty,
    judges: Judges,
    /// When the states that another hub stored were read last.
    refreshed: tokio::sync::Mutex<Option<Instant>>,
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
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, task).await;
    }
}

impl Alerts {
    /// Of a machine that is alone.
    pub fn new(store: Arc<dyn Store>, history: History, dir: PathBuf, channels: Options) -> Self {
        Self::with(store, history, dir, channels, (Over::Machine, Duty::always()))
    }

    /// Of a hub: rules are evaluated for every host of the fleet, by whichever hub is on duty.
    pub fn of_hub(
        store: Arc<dyn Store>,
        history: History,
        dir: PathBuf,
        channels: Options,
        duty: Duty,
    ) -> Self {
        Self::with(store, history, dir, channels, (Over::Fleet, duty))
    }

    fn with(
        store: Arc<dyn Store>,
        history: History,
        dir: PathBuf,
        channels: Options,
        (over, duty): (Over, Duty),
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            history,
            files: Mutex::new(Watched::new(dir)),
            over,
            duty,
            judges: Judges::default(),
            refreshed: tokio::sync::Mutex::default(),
            catalogue: RwLock::default(),
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

    pub fn over(&self) -> Over {
        self.0.over
    }

    /// The one host that rules are about, or `None` for all of a fleet.
    pub fn only_host(&self) -> Option<&str> {
        match self.0.over {
            Over::Machine => Some(self.0.history.host()),
            Over::Fleet => None,
        }
    }

    pub fn duty(&self) -> &Duty {
        &self.0.duty
    }

    pub fn judges(&self) -> &Judges {
        &self.0.judges
    }

    /// Counts changes of the rules.
    pub(super) fn version(&self) -> u64 {
        *self.0.version.borrow()
    }

    /// Rules were evaluated just now.
    pub(super) fn note_evaluated(&self, is_failing: bool) {
        *self.0.evaluated.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.is_failing.store(is_failing, Ordering::Relaxed);
    }

    /// Reads what another hub stored, if that is on duty.
    pub async fn refresh(&self) -> Result<()> {
        if !self.0.duty.is_anothers() {
            return Ok(());
        }
        let mut refreshed = self.0.refreshed.lock().await;
        if refreshed.is_some_and(|at| at.elapsed() < REFRESH) {
            return Ok(());
        }
        let judges = self.stored_judges(false).await?;
        judges.values().for_each(|judge| judge.lock().note_evaluated_elsewhere());
        // It may have become our duty meanwhile.
        if self.0.duty.is_anothers() {
            self.0.judges.replace(judges);
            *refreshed = Some(Instant::now());
        }
        Ok(())
    }

    /// An evaluator for each host as the store has it: for all hosts, or only those of which it has something.
    pub(super) async fn stored_judges(&self, all: bool) -> Result<BTreeMap<String, Judge>> {
        if self.catalogue().rules.is_empty() {
            self.reload().await?;
        }
        let hosts = self.0.history.chunks().hosts().await?;
        let mut states: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (host, state) in self.0.store.all_alert_states().await? {
            states.entry(host).or_default().push(state);
        }
        let rules = self.catalogue().running();
        let mut judges = BTreeMap::new();
        for host in hosts {
            let states = states.remove(&host.id);
            if !all && states.is_none() {
                continue;
            }
            let states = states.unwrap_or_default();
            let mut evaluator = Evaluator::new(&host.id, states).of(&host.name, MAX_THINGS_OF_HOST);
            evaluator.show_rules(&rules);
            judges.insert(host.id, Judge::new(evaluator));
        }
        Ok(judges)
    }

    /// How long history is kept.
    pub async fn retention(&self) -> Result<Period> {
        Ok(Period::seconds(self.0.store.archive_policy().await?.retention_days * 86_400))
    }

    pub(super) fn files(&self) -> MutexGuard<'_, Watched> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all rules and channels again; rules apply from the next snapshot on.
    pub async fn reload(&self) -> Result<()> {
        let retention = self.retention().await?;
        let stored = self.0.store.alert_rules().await?;
        let files = self.files().read(retention);
        let catalogue = Catalogue::new(files, &stored, retention, self.0.over);
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
        match of {
            MetricType::Presence => Some("Only hubs know when hosts were heard".into()),
            of => self.sources.absent(of).map(Into::into),
        }
    }
}

type Loaded = Vec<(Wanted, Result<Pasts>)>;

struct Task {
    alerts: Alerts,
    sources: SourceStatus,
    judge: Judge,
    charge: Charge,
    saving: Saving,
    loading: Option<JoinHandle<Loaded>>,
    load_again: i64,
    /// Version of the rules that are evaluated.
    version: Option<u64>,
    pace: Pace,
    pruned: Option<i64>,
    looked: Option<Instant>,
    looked_for_windows: Option<Instant>,
}

impl Task {
    fn new(alerts: Alerts, sources: SourceStatus) -> Self {
        let judge = Judge::new(Evaluator::new(alerts.0.history.host(), Vec::new()));
        let saving = Saving::new(Arc::clone(&alerts.0.store));
        Self {
            alerts,
            sources,
            judge,
            charge: Charge::default(),
            saving,
            loading: None,
            load_again: i64::MIN,
            version: None,
            pace: Pace::default(),
            pruned: None,
            looked: None,
            looked_for_windows: None,
        }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Arc<Snapshot>>) {
        if !self.restore(&mut queue).await {
            return;
        }
        while let Some(snapshot) = queue.recv().await {
            self.take(&snapshot).await;
        }
        let unsettled = self.judge.lock().unsettled();
        let host = self.alerts.0.history.host().to_owned();
        self.saving.add(&host, unsettled);
        self.saving.close(&self.charge).await;
    }

    /// Reads what an earlier run left: without it, alerts would be raised twice. `false` if the server stops meanwhile.
    async fn restore(&mut self, queue: &mut mpsc::Receiver<Arc<Snapshot>>) -> bool {
        let mut is_told = false;
        loop {
            let host = self.alerts.0.history.host();
            let loaded = async {
                self.alerts.reload().await?;
                self.alerts.0.store.alert_states(host).await
            };
            match loaded.await {
                Ok(states) => {
                    let name = &self.alerts.0.channels.place().host_name;
                    self.judge = Judge::new(Evaluator::new(host, states).of(name, MAX_ALL_THINGS));
                    self.alerts.0.judges.put(host, self.judge.clone());
                    return true;
                }
                Err(error) if !is_told => {
                    is_told = true;
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
        let version = self.alerts.version();
        let host = self.alerts.0.history.host().to_owned();
        if self.version != Some(version) {
            self.version = Some(version);
            let rules = self.alerts.catalogue().running();
            let mut batch = AlertBatch::default();
            let before = self.judge.lock().known_rules();
            self.judge.lock().set_rules(rules, at, &mut batch);
            self.saving.add(&host, batch);
            let warm = warming::warm(&self.alerts.0.history, &self.judge, at, &before);
            if tokio::time::timeout(WARM_TIMEOUT, warm).await.is_err() {
                tracing::warn!("reading the past of alert rules takes too long; some begin without it");
            }
        }
        self.saving.settle(false).await;
        self.take_pasts().await;
        let apart = self.pace.note(at);
        let mut batch = AlertBatch::default();
        self.judge.lock().evaluate(&Live { snapshot, sources: &self.sources, apart }, &mut batch);
        self.alerts.note_evaluated(self.saving.is_failing());
        self.saving.add(&host, batch);
        self.saving.start(&self.charge);
        self.load(at);
        self.prune(at);
    }

    /// Notices files that changed, and maintenance windows that begin.
    async fn look(&mut self, at: i64) {
        let is_over = |looked: Option<Instant>, pause| looked.is_none_or(|looked| looked.elapsed() >= pause);
        if is_over(self.looked_for_windows, LOOK_FOR_WINDOWS) {
            self.looked_for_windows = Some(Instant::now());
            let alerts = self.alerts.clone();
            tokio::spawn(async move {
                if let Err(error) = alerts.keep_windows(at).await {
                    tracing::debug!(%error, "maintenance windows cannot be read now");
                }
            });
        }
        if !is_over(self.looked, LOOK) {
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
    }

    /// Takes what was read of the past.
    async fn take_pasts(&mut self) {
        if let Some(task) = self.loading.take_if(|task| task.is_finished())
            && let Ok(loaded) = task.await
        {
            for (wanted, pasts) in loaded {
                match pasts {
                    Ok(pasts) => self.judge.lock().give_past(&wanted.rule, wanted.at, pasts),
                    Err(error) => {
                        self.load_again = wanted.at + past::GRID;
                        tracing::debug!(%error, rule = &*wanted.rule, "the past of an alert rule cannot be read");
                    }
                }
            }
        }
    }

    fn load(&mut self, at: i64) {
        if self.loading.is_some() || at < self.load_again {
            return;
        }
        let wanted = self.judge.lock().wanted(at);
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
