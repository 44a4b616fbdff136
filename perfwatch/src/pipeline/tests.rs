//! Tests the pipeline with misbehaving sources and clock changes, each on its own simulated time.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::timekeeper::TestTime;
use super::*;
use crate::snapshot::missed::Cause;
use crate::snapshot::source::{Method, Report, SourceError, SourceSettings, State, Tick};
use crate::snapshot::{MetricType, Reading};

type Behaviour = Box<dyn FnMut() -> Result<Value, SourceError> + Send>;

struct Scripted {
    name: &'static str,
    metric_type: MetricType,
    behaviour: Behaviour,
    applied: Option<SourceSettings>,
}

impl Source for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let mut body = (self.behaviour)()?;
        body["interval_ms"] = json!(self.applied.as_ref().map(|s| s.perf_events_interval.as_millis() as u64));
        Ok(Reading::new(self.metric_type, tick.at, &body)?)
    }

    fn report(&self) -> Report {
        Report::active(self.name, self.metric_type, Method::Procfs)
    }

    fn apply(&mut self, settings: &SourceSettings) {
        self.applied = Some(settings.clone());
    }
}

fn scripted(
    name: &'static str,
    metric_type: MetricType,
    behaviour: impl FnMut() -> Result<Value, SourceError> + Send + 'static,
) -> Box<dyn Source> {
    Box::new(Scripted { name, metric_type, behaviour: Box::new(behaviour), applied: None })
}

fn settings(interval_ms: u64) -> Settings {
    Settings { interval: Duration::from_millis(interval_ms), sources: SourceSettings::default() }
}

struct Running {
    time: Arc<TestTime>,
    snapshots: UnboundedReceiver<Value>,
    stored: Receiver<OffsetDateTime>,
    settings: watch::Sender<Settings>,
    stop: watch::Sender<bool>,
    source_status: SourceStatus,
    task: tokio::task::JoinHandle<()>,
}

const BEGINNING: OffsetDateTime = datetime!(2026-01-02 03:04:05.6 UTC);

fn start(sources: Vec<Box<dyn Source>>, initial: Settings) -> Running {
    let (live, snapshots) = unbounded_channel();
    let (store, stored) = channel();
    let (settings, settings_rx) = watch::channel(initial);
    let (stop, stop_rx) = watch::channel(false);
    let source_status = SourceStatus::default();
    let outputs = Outputs {
        live: Box::new(move |s| drop(live.send(serde_json::from_slice(&s.message()).unwrap()))),
        store: Box::new(move |s| store.send(s.timestamp).unwrap()),
    };
    let time = TestTime::new(BEGINNING);
    let keeper = Timekeeper::Test(Arc::clone(&time));
    let pipeline = Pipeline::by(keeper, sources, source_status.clone(), settings_rx, outputs).unwrap();
    let task = tokio::spawn(pipeline.run(stop_rx));
    Running { time, snapshots, stored, settings, stop, source_status, task }
}

impl Running {
    /// The next snapshot, without any time passing.
    async fn next(&mut self) -> Value {
        self.snapshots.recv().await.unwrap()
    }

    /// Advances time by what the sampler waits for, which must be at most `most`.
    async fn tick_within(&mut self, most: Duration) -> Value {
        let wait = self.time.until_waited_for(most).await;
        self.time.advance(wait);
        self.next().await
    }

    async fn tick(&mut self) -> Value {
        self.tick_within(Duration::MAX).await
    }

    async fn stop(self) -> Vec<OffsetDateTime> {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
        self.stored.iter().collect()
    }
}

/// A source that signals when it is sampled, and then blocks until its gate is opened.
fn gated() -> (Sender<()>, UnboundedReceiver<()>, impl FnMut() -> Result<Value, SourceError> + Send) {
    let (open, gate) = channel::<()>();
    let (ask, asked) = unbounded_channel();
    let gate = Mutex::new(gate);
    (open, asked, move || {
        let _ = ask.send(());
        let _ = gate.lock().unwrap().recv();
        Ok(json!({"gated": true}))
    })
}

#[tokio::test]
async fn an_error_and_a_panic_stay_in_their_own_documents() {
    let mut panicked = false;
    let mut running = start(
        vec![
            scripted("good", MetricType::Cpu, || Ok(json!({"value": 1}))),
            scripted("bad", MetricType::Disk, || Err(SourceError::Malformed("half a line".into()))),
            scripted("worse", MetricType::Memory, move || {
                if !std::mem::replace(&mut panicked, true) {
                    // Bypasses the panic hook, which would print a backtrace.
                    std::panic::resume_unwind(Box::new("once"));
                }
                Ok(json!({"value": 2}))
            }),
        ],
        settings(100),
    );
    let first = running.next().await;
    assert_eq!(first["data"]["cpu"]["value"], 1);
    assert_eq!(first["data"]["cpu"]["_error"], Value::Null);
    assert_eq!(first["data"]["disk"]["_error"], "half a line");
    assert!(first["data"]["memory"]["_error"].as_str().unwrap().contains("panicked"));
    let states: Vec<State> = running.source_status.reports().iter().map(|r| r.state).collect();
    assert_eq!(states, [State::Active, State::Failed, State::Failed]);

    let second = running.tick().await;
    assert_eq!(second["data"]["memory"]["value"], 2, "the panicking source is tried again");
    running.stop().await;
}

#[tokio::test]
async fn ticks_that_were_missed_are_counted_and_told() {
    let mut running =
        start(vec![scripted("good", MetricType::Cpu, || Ok(json!({"value": 1})))], settings(100));
    running.next().await;
    for _ in 0..2 {
        assert_eq!(running.tick().await["missed"], Value::Null);
    }
    let wait = running.time.until_waited_for(Duration::from_millis(100)).await;
    running.time.advance(wait + Duration::from_millis(330));
    assert_eq!(running.next().await["missed"], json!({"ticks": 3, "cause": "busy"}));
    let counts: Vec<u64> = running.source_status.missed_ticks().map(|(_, ticks)| ticks).collect();
    assert_eq!(counts, [0, 0, 3]);
    assert_eq!(running.source_status.missed_within(Duration::from_secs(3600)), Some(Cause::Busy));
    // The clock was set: nothing was missed.
    running.time.until_waited_for(Duration::from_millis(100)).await;
    running.time.set_wall(time::Duration::hours(3));
    assert_eq!(running.next().await["missed"], Value::Null);
    running.stop().await;
}

#[tokio::test]
async fn a_hanging_source_stops_nothing_and_rejoins() {
    let (open, mut asked, behaviour) = gated();
    let mut running = start(
        vec![
            scripted("before", MetricType::Cpu, || Ok(json!({"value": 1}))),
            scripted("hangs", MetricType::Disk, behaviour),
            scripted("after", MetricType::Memory, || Ok(json!({"value": 2}))),
        ],
        settings(100),
    );
    asked.recv().await.unwrap();
    running.time.advance(Duration::from_millis(79));
    assert!(running.snapshots.try_recv().is_err(), "it has time left");
    running.time.advance(Duration::from_millis(1));
    let first = running.next().await;
    assert_eq!(first["data"]["cpu"]["value"], 1);
    assert!(first["data"]["disk"]["_error"].as_str().unwrap().contains("no answer within 80 ms"));
    assert!(first["data"]["memory"]["_error"].is_string(), "not reached within this tick's deadline");
    let second = running.tick().await;
    assert_eq!(second["data"]["memory"]["value"], 2, "a new thread has taken the other sources over");
    assert!(second["data"]["disk"]["_error"].is_string());
    assert_eq!(running.source_status.reports()[1].state, State::Failed);

    drop(open);
    // Its old thread is about to release it.
    while running.tick().await["data"]["disk"]["gated"] != true {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.source_status.reports()[1].state, State::Active);
    running.stop().await;
}

#[tokio::test]
async fn settings_take_effect_at_the_next_tick_and_the_grid_holds() {
    let mut running = start(vec![scripted("cpu", MetricType::Cpu, || Ok(json!({})))], settings(3_600_000));
    assert_eq!(running.next().await["data"]["cpu"]["interval_ms"], 1000);
    let mut changed = settings(100);
    changed.sources.perf_events_interval = Duration::from_millis(250);
    running.settings.send(changed).unwrap();
    for _ in 0..3 {
        let tick = running.tick_within(Duration::from_secs(1)).await;
        assert_eq!(tick["data"]["cpu"]["interval_ms"], 250);
    }
    let stored = running.stop().await;
    // The first stored tick keeps its distance from the priming one, which is not stored.
    let expected = [2, 3, 4].map(|tenth| BEGINNING + Duration::from_millis(100) * tenth);
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn a_clock_that_is_set_and_a_suspend_bring_one_tick_each_and_no_flood() {
    let mut running = start(vec![scripted("cpu", MetricType::Cpu, || Ok(json!({})))], settings(1000));
    running.next().await;
    running.tick().await;
    // A clock step of one hour, and one of four hours, as after a suspend.
    for hours in [1, 4] {
        running.time.until_waited_for(Duration::MAX).await;
        running.time.set_wall(time::Duration::hours(hours));
        running.next().await;
        assert!(running.time.until_waited_for(Duration::MAX).await <= Duration::from_secs(1));
        running.tick().await;
    }
    // Set back: the next tick comes within an interval, not when the old time is reached again.
    running.time.set_wall(-time::Duration::hours(7));
    running.tick_within(Duration::from_secs(1)).await;
    running.tick().await;
    // To the 1970s, and ten years ahead.
    running.time.set_wall(-time::Duration::days(365 * 50));
    running.tick_within(Duration::from_secs(1)).await;
    running.time.until_waited_for(Duration::MAX).await;
    running.time.set_wall(time::Duration::days(365 * 60));
    running.next().await;
    assert!(running.snapshots.try_recv().is_err());
    let stored = running.stop().await;
    assert_eq!(stored.len(), 9, "{stored:?}");
    assert!(stored.iter().all(|tick| tick.unix_timestamp_nanos() % 1_000_000_000 == 0));
    let unique: std::collections::BTreeSet<_> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "no tick comes twice: {stored:?}");
}
