//! The pipeline against sources that misbehave.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;
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
    snapshots: tokio::sync::mpsc::UnboundedReceiver<Value>,
    stored: Receiver<OffsetDateTime>,
    settings: watch::Sender<Settings>,
    stop: watch::Sender<bool>,
    source_status: SourceStatus,
    task: tokio::task::JoinHandle<()>,
}

fn start(sources: Vec<Box<dyn Source>>, initial: Settings) -> Running {
    let (live, snapshots) = tokio::sync::mpsc::unbounded_channel();
    let (store, stored) = channel();
    let (settings, settings_rx) = watch::channel(initial);
    let (stop, stop_rx) = watch::channel(false);
    let source_status = SourceStatus::default();
    let outputs = Outputs {
        live: Box::new(move |s| drop(live.send(serde_json::from_slice(&s.message()).unwrap()))),
        store: Box::new(move |s| store.send(s.timestamp).unwrap()),
    };
    let pipeline = Pipeline::new(sources, source_status.clone(), settings_rx, outputs).unwrap();
    let task = tokio::spawn(pipeline.run(stop_rx));
    Running { snapshots, stored, settings, stop, source_status, task }
}

impl Running {
    async fn next(&mut self) -> Value {
        tokio::time::timeout(Duration::from_secs(20), self.snapshots.recv()).await.unwrap().unwrap()
    }
}

/// A source that blocks until its gate is opened.
fn gated() -> (Sender<()>, impl FnMut() -> Result<Value, SourceError> + Send) {
    let (open, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    (open, move || {
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
                    // Without the panic hook, whose backtrace can take longer than the deadline.
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

    let second = running.next().await;
    assert_eq!(second["data"]["memory"]["value"], 2, "the panicking source is tried again");
    running.stop.send(true).unwrap();
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_hanging_source_stops_nothing_and_rejoins() {
    let (open, behaviour) = gated();
    let mut running = start(
        vec![
            scripted("before", MetricType::Cpu, || Ok(json!({"value": 1}))),
            scripted("hangs", MetricType::Disk, behaviour),
            scripted("after", MetricType::Memory, || Ok(json!({"value": 2}))),
        ],
        settings(100),
    );
    let first = running.next().await;
    assert_eq!(first["data"]["cpu"]["value"], 1);
    assert!(first["data"]["disk"]["_error"].as_str().unwrap().contains("no answer"));
    assert!(first["data"]["memory"]["_error"].is_string(), "not reached within this tick's deadline");
    let second = running.next().await;
    assert_eq!(second["data"]["memory"]["value"], 2, "a new thread has taken the other sources over");
    assert!(second["data"]["disk"]["_error"].is_string());
    assert_eq!(running.source_status.reports()[1].state, State::Failed);

    drop(open);
    loop {
        if running.next().await["data"]["disk"]["gated"] == true {
            break;
        }
    }
    assert_eq!(running.source_status.reports()[1].state, State::Active);
    running.stop.send(true).unwrap();
    running.task.await.unwrap();
}

#[tokio::test]
async fn settings_take_effect_at_the_next_tick_and_the_grid_holds() {
    let mut running = start(vec![scripted("cpu", MetricType::Cpu, || Ok(json!({})))], settings(3_600_000));
    assert_eq!(running.next().await["data"]["cpu"]["interval_ms"], 1000);
    let mut changed = settings(100);
    changed.sources.perf_events_interval = Duration::from_millis(250);
    running.settings.send(changed).unwrap();
    for _ in 0..3 {
        assert_eq!(running.next().await["data"]["cpu"]["interval_ms"], 250);
    }
    running.stop.send(true).unwrap();
    running.task.await.unwrap();
    let stored: Vec<_> = running.stored.iter().collect();
    assert!(stored.len() >= 3, "every grid tick is stored, the priming one is not");
    assert!(stored.iter().all(|t| t.unix_timestamp_nanos() % 100_000_000 == 0));
}
