//! Driving one probe like the pipeline does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use perfwatch::config::Roots;
use perfwatch::probes::Options;
use perfwatch::snapshot::source::{Report, Source, SourceSettings, Tick};
use serde_json::Value;

/// The tests' sampling interval.
pub const TICK: Duration = Duration::from_secs(1);

pub struct Probe(Box<dyn Source>);

impl Probe {
    /// The probe of this name, not loaded before its first sample.
    pub fn new(name: &str) -> Result<Self> {
        let mut probes = perfwatch::probes::all(&Roots::default(), Options::UNLIMITED).into_iter();
        let probe = probes.find(|probe| probe.name() == name);
        Ok(Self(probe.with_context(|| format!("no probe is named {name}"))?))
    }

    /// The same with a separate budget, and the pause before what it switches off is retried.
    pub fn within(name: &str, budget_percent: f64, pause: Duration) -> Result<Self> {
        let options = Options { budget_percent, ..Options::UNLIMITED };
        let mut probes = perfwatch::probes::retrying_after(&Roots::default(), options, pause).into_iter();
        let probe = probes.find(|probe| probe.name() == name);
        Ok(Self(probe.with_context(|| format!("no probe is named {name}"))?))
    }

    pub fn apply(&mut self, settings: &SourceSettings) {
        self.0.apply(settings);
    }

    pub fn report(&self) -> Report {
        self.0.report()
    }

    /// Waits for the next tick and samples.
    pub fn next(&mut self) -> Result<Value> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let into_tick = Duration::from_nanos(u64::try_from(since_epoch.as_nanos() % TICK.as_nanos())?);
        std::thread::sleep(TICK - into_tick);
        self.now()
    }

    /// Samples at once: for tests whose load is expensive on emulated CPUs.
    pub fn now(&mut self) -> Result<Value> {
        let reading = self.0.sample(&Tick::new(SystemTime::now().into(), TICK))?;
        let value: Value = serde_json::from_slice(&reading.json())?;
        anyhow::ensure!(value["_error"].is_null(), "the document's error: {}", value["_error"]);
        Ok(value)
    }
}
