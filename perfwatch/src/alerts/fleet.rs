//! Alerts of a fleet: a hub that is on duty evaluates what every host sends it, and whether it hears them at all.
//!
//! Each host's rules run by the clock of its own readings; only `presence` is evaluated by the hub's. A hub that takes over
//! continues with what the last one stored; a host's windows are filled from history when its first readings arrive, and
//! these wait meanwhile.

mod host;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use host::Host;

use super::compile::Compiled;
use super::duty::Charge;
use super::evaluator::{Evaluator, Tick, Wanted as WantedPast};
use super::inputs::{Wanted, decode};
use super::judges::Judge;
use super::labels::Pasts;
use super::past;
use super::rule::Rule;
use super::saving::Saving;
use super::service::{Alerts, MAX_THINGS_OF_HOST};
use crate::snapshot::{MetricType, Reading};
use crate::store::alerts::AlertBatch;
use crate::store::{Result, StoreError, micros};

/// How often it is looked who is silent.
pub const PACE: Duration = Duration::from_secs(5);
/// How often hosts, rules and channels are read from the store, where other hubs change them.
const LOOK: Duration = Duration::from_secs(10);
/// The same if an unknown host sends something.
const LOOK_SOON: Duration = Duration::from_secs(2);
/// Hosts whose windows are filled at a time.
const WARMING: usize = 2;
/// Hosts whose pasts are read at a time.
const LOADED: usize = 50;
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a hub hears of its hosts.
pub trait Hearing: Send + Sync + std::fmt::Debug {
    /// Why it hears nobody: then nothing is known of any host.
    fn deaf(&self) -> Option<&'static str>;
    /// The reading of `presence`; `newest` is the end of the host's history (µs).
    fn presence(&self, host: &str, newest: Option<i64>, at: OffsetDateTime) -> Reading;
}

/// A message of a host, by its ID.
pub type Message = (String, Bytes);

#[derive(Debug)]
pub struct Parts {
    pub alerts: Alerts,
    pub hearing: Arc<dyn Hearing>,
    /// What hosts answer.
    pub messages: mpsc::Receiver<Message>,
    /// What they are asked; `None` while this hub is not on duty.
    pub wanted: watch::Sender<Option<Bytes>>,
    /// [`PACE`], except in tests.
    pub pace: Duration,
}

/// The task, until it is closed.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    pub fn spawn(parts: Parts) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(Task::new(parts).run(stopped)) }
    }

    /// Stores the last changes and ends.
    pub async fn close(self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.task).await;
    }
}

/// What the hub hears, at a time of its own clock.
struct Present {
    at: i64,
    apart: i64,
    reading: Reading,
}

impl Tick for Present {
    type Rows = Reading;

    fn at(&self) -> i64 {
        self.at
    }

    fn apart(&self) -> i64 {
        self.apart
    }

    fn rows(&self, of: MetricType) -> Option<&Reading> {
        self.covers(of).then_some(&self.reading)
    }

    fn absent(&self, _: MetricType) -> Option<Arc<str>> {
        None
    }

    fn covers(&self, of: MetricType) -> bool {
        of == MetricType::Presence
    }
}

type Loaded = Vec<(String, WantedPast, Result<Pasts>)>;

/// Rules and channels of the store, as they were last read.
type Definitions = (Vec<crate::store::alerts::StoredRule>, Vec<crate::store::deliveries::StoredChannel>);

struct Task {
    alerts: Alerts,
    hearing: Arc<dyn Hearing>,
    messages: mpsc::Receiver<Message>,
    wanted_sender: watch::Sender<Option<Bytes>>,
    pace: Duration,
    charge: Option<Charge>,
    saving: Saving,
    hosts: HashMap<String, Host>,
    /// Version of the rules that are evaluated.
    version: Option<u64>,
    rules: Vec<(Arc<Rule>, Arc<Compiled>)>,
    /// What is asked now, and was before.
    wanted: Vec<Arc<Wanted>>,
    warming: Arc<Semaphore>,
    loading: Option<JoinHandle<Loaded>>,
    /// When a past that could not be read is read again, by host.
    load_again: HashMap<String, i64>,
    looked: Option<Instant>,
    /// A host sent something that is not known yet.
    has_unknown: bool,
    definitions: Option<Definitions>,
    pruned: Option<Instant>,
    is_failing: bool,
}

impl Task {
    fn new(parts: Parts) -> Self {
        let Parts { alerts, hearing, messages, wanted: wanted_sender, pace } = parts;
        let saving = Saving::new(Arc::clone(alerts.store()));
        Self {
            alerts,
            hearing,
            messages,
            wanted_sender,
            pace,
            charge: None,
            saving,
            hosts: HashMap::new(),
            version: None,
            rules: Vec::new(),
            wanted: Vec::new(),
            warming: Arc::new(Semaphore::new(WARMING)),
            loading: None,
            load_again: HashMap::new(),
            looked: None,
            has_unknown: false,
            definitions: None,
            pruned: None,
            is_failing: false,
        }
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(self.pace);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = async { stopped.wait_for(|stop| *stop).await.map(drop) } => break,
                _ = ticks.tick() => self.tick().await,
                message = self.messages.recv() => match message {
                    Some((host, message)) => self.hear(&host, &message),
                    None => break,
                },
            }
        }
        if let Some(charge) = self.charge.take() {
            for (id, host) in &self.hosts {
                let unsettled = host.judge.lock().unsettled();
                self.saving.add(id, unsettled);
            }
            self.saving.close(&charge).await;
        }
    }

    /// What one host sent.
    fn hear(&mut self, id: &str, message: &[u8]) {
        if self.charge.is_none() {
            return;
        }
        let Some(host) = self.hosts.get_mut(id) else {
            self.has_unknown = true;
            return;
        };
        let heard = match decode(id, message, &self.wanted) {
            Ok(heard) => heard,
            Err(error) => return tracing::debug!(host = id, %error, "readings for alerts cannot be used"),
        };
        host.came = Instant::now();
        if !host.is_warm {
            return host.hold(heard, self.alerts.history(), id, &self.warming);
        }
        let mut batch = AlertBatch::default();
        heard.into_iter().for_each(|heard| host.evaluate(heard, &mut batch));
        if !batch.is_empty() {
            self.saving.add(id, batch);
            if let Some(charge) = &self.charge {
                self.saving.start(charge);
            }
        }
    }

    async fn tick(&mut self) {
        match self.alerts.duty().charge() {
            Some(charge) if self.charge.as_ref() == Some(&charge) => {}
            Some(charge) => {
                self.leave();
                self.take_over(charge).await;
            }
            None if self.alerts.duty().is_anothers() => self.leave(),
            // The database is away: what is found meanwhile is stored later, unless another takes over.
            None => {}
        }
        self.look().await;
        let Some(charge) = self.charge.clone() else { return };
        if !self.saving.settle(false).await {
            tracing::warn!("another hub evaluates alerts; what this one found is dropped");
            return self.leave();
        }
        let now = OffsetDateTime::now_utc();
        self.set_rules(micros(now));
        let deaf = self.hearing.deaf();
        let apart = i64::try_from(self.pace.as_micros()).unwrap_or(i64::MAX);
        for (id, host) in &mut self.hosts {
            let mut batch = AlertBatch::default();
            host.release(&mut batch);
            if let Some(wanted) = self.wanted.first() {
                host.note_gap(micros(now), wanted, &mut batch);
            }
            let reading = match deaf {
                Some(reason) => Reading::failed(MetricType::Presence, now, reason),
                None => self.hearing.presence(id, host.newest, now),
            };
            host.judge.lock().evaluate(&Present { at: micros(now), apart, reading }, &mut batch);
            self.saving.add(id, batch);
        }
        self.saving.start(&charge);
        if deaf.is_none() {
            self.alerts.note_evaluated(self.saving.is_failing());
        }
        self.load_pasts(micros(now)).await;
        self.prune(micros(now));
    }

    /// Another hub evaluates, or none.
    fn leave(&mut self) {
        if self.charge.take().is_none() {
            return;
        }
        self.hosts.clear();
        self.version = None;
        self.saving = Saving::new(Arc::clone(self.alerts.store()));
        self.wanted_sender.send_replace(None);
    }

    /// Continues with what was stored; if that cannot be read now, at the next tick.
    async fn take_over(&mut self, charge: Charge) {
        let read = async {
            self.alerts.reload().await?;
            self.alerts.stored_judges(true).await
        };
        match read.await {
            Ok(judges) => {
                self.is_failing = false;
                self.hosts =
                    judges.iter().map(|(id, judge)| (id.clone(), Host::new(judge.clone()))).collect();
                self.alerts.judges().replace(judges);
                (self.charge, self.looked) = (Some(charge), None);
            }
            Err(error) if !std::mem::replace(&mut self.is_failing, true) => {
                tracing::warn!(%error, "alerts wait for the database");
            }
            Err(_) => {}
        }
    }

    /// Notices hosts, rules and channels that changed, and maintenance windows that begin.
    async fn look(&mut self) {
        let wait = if self.has_unknown { LOOK_SOON } else { LOOK };
        if self.looked.is_some_and(|looked| looked.elapsed() < wait) {
            return;
        }
        (self.looked, self.has_unknown) = (Some(Instant::now()), false);
        if let Err(error) = self.look_at_definitions().await {
            tracing::debug!(%error, "alert rules and channels cannot be read again now");
        }
        if self.charge.is_none() {
            if let Err(error) = self.alerts.refresh().await {
                tracing::debug!(%error, "what another hub evaluates cannot be read now");
            }
            return;
        }
        if let Err(error) = self.look_at_hosts().await {
            tracing::debug!(%error, "the hosts of the fleet cannot be read now");
        }
        let (alerts, at) = (self.alerts.clone(), micros(OffsetDateTime::now_utc()));
        tokio::spawn(async move {
            if let Err(error) = alerts.keep_windows(at).await {
                tracing::debug!(%error, "maintenance windows cannot be read now");
            }
        });
    }

    async fn look_at_definitions(&mut self) -> Result<()> {
        let store = self.alerts.store();
        let stored = (store.alert_rules().await?, store.alert_channels().await?);
        let has_changed = self.definitions.as_ref() != Some(&stored) || self.alerts.files().has_changed();
        if has_changed {
            self.alerts.reload().await?;
            self.definitions = Some(stored);
        }
        Ok(())
    }

    async fn look_at_hosts(&mut self) -> Result<()> {
        let chunks = self.alerts.history().chunks();
        let newest: HashMap<String, i64> = chunks.newest().await?.into_iter().collect();
        let known = chunks.hosts().await?;
        let at = micros(OffsetDateTime::now_utc());
        let names: BTreeMap<&str, &str> =
            known.iter().map(|host| (host.id.as_str(), host.name.as_str())).collect();
        let gone: Vec<String> =
            self.hosts.keys().filter(|id| !names.contains_key(id.as_str())).cloned().collect();
        for id in gone {
            let Some(host) = self.hosts.remove(&id) else { continue };
            let mut batch = AlertBatch::default();
            host.judge.lock().set_rules(Vec::new(), at, &mut batch);
            self.saving.add(&id, batch);
            self.alerts.judges().remove(&id);
        }
        for (id, name) in names {
            let host = self.hosts.entry(id.to_owned()).or_insert_with(|| {
                let mut evaluator = Evaluator::new(id, Vec::new()).of(name, MAX_THINGS_OF_HOST);
                evaluator.show_rules(&self.rules);
                let judge = Judge::new(evaluator);
                self.alerts.judges().put(id, judge.clone());
                Host::new(judge)
            });
            host.newest = newest.get(id).copied();
            let mut evaluator = host.judge.lock();
            if evaluator.host_name() != name {
                evaluator.rename(name);
            }
        }
        Ok(())
    }

    /// Applies rules that have changed, to all hosts.
    fn set_rules(&mut self, at: i64) {
        let version = self.alerts.version();
        if self.version == Some(version) {
            return;
        }
        self.version = Some(version);
        self.rules = self.alerts.catalogue().running();
        let wanted = Arc::new(Wanted::of(self.rules.iter().map(|(_, compiled)| &**compiled)));
        self.wanted_sender.send_replace(Some(wanted.text()));
        if self.wanted.first() != Some(&wanted) {
            self.wanted.insert(0, wanted);
            self.wanted.truncate(2);
        }
        for (id, host) in &mut self.hosts {
            let mut batch = AlertBatch::default();
            let mut evaluator = host.judge.lock();
            // Of a host that was not warmed yet, all are new.
            if host.is_warm {
                host.before = evaluator.known_rules();
                host.is_warm = false;
            }
            evaluator.set_rules(self.rules.clone(), at, &mut batch);
            drop(evaluator);
            self.saving.add(id, batch);
        }
    }

    /// Reads the pasts that rules compare with, some hosts at a time.
    async fn load_pasts(&mut self, now: i64) {
        if let Some(task) = self.loading.take_if(|task| task.is_finished())
            && let Ok(loaded) = task.await
        {
            for (id, wanted, pasts) in loaded {
                match pasts {
                    Ok(pasts) => {
                        if let Some(host) = self.hosts.get(&id) {
                            host.judge.lock().give_past(&wanted.rule, wanted.at, pasts);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, rule = &*wanted.rule, "the past of an alert rule cannot be read");
                        self.load_again.insert(id, now + past::GRID);
                    }
                }
            }
        }
        if self.loading.is_some() {
            return;
        }
        self.load_again.retain(|_, at| now < *at);
        let due = self.hosts.iter().filter(|(id, host)| host.is_warm && !self.load_again.contains_key(*id));
        let wanted: Vec<(String, Vec<WantedPast>)> = due
            .map(|(id, host)| (id.clone(), host.judge.lock().wanted(host.last)))
            .filter(|(_, wanted)| !wanted.is_empty())
            .take(LOADED)
            .collect();
        if wanted.is_empty() {
            return;
        }
        let history = self.alerts.history().clone();
        self.loading = Some(tokio::spawn(async move {
            let mut loaded = Vec::new();
            for (id, wanted) in wanted {
                let history = history.of_host(&id);
                for wanted in wanted {
                    let pasts = past::load(&history, &wanted.compiled, &wanted.shape, wanted.at).await;
                    loaded.push((id.clone(), wanted, pasts));
                }
            }
            loaded
        }));
    }

    fn prune(&mut self, at: i64) {
        if self.pruned.is_some_and(|pruned| pruned.elapsed() < PRUNE_EVERY) {
            return;
        }
        self.pruned = Some(Instant::now());
        let store = Arc::clone(self.alerts.store());
        let hosts: Vec<String> = self.hosts.keys().cloned().collect();
        tokio::spawn(async move {
            let pruned = async {
                for host in hosts {
                    store.prune_alerts(&host, at).await?;
                }
                Ok::<_, StoreError>(())
            };
            if let Err(error) = pruned.await {
                tracing::debug!(%error, "old alerts cannot be removed now");
            }
        });
    }
}
