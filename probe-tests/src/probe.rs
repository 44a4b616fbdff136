//! Driving one probe like the pipeline does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use perfwatch::config::Roots;
use perfwatch::probes::{Feed, Options};
use perfwatch::snapshot::source::{Report, Source, SourceSettings, Tick};
use serde_json::Value;

/// The tests' sampling interval.
pub const TICK: Duration = Duration::from_secs(1);

pub struct Probe {
    source: Box<dyn Source>,
    /// Sampled before it at each tick, as in a server.
    before: Vec<Box<dyn Source>>,
}

impl Probe {
    /// The probe of this name, not loaded before its first sample.
    pub fn new(name: &str) -> Result<Self> {
        let mut probes = perfwatch::probes::all(&Roots::default(), Options::UNLIMITED).into_iter();
        let probe = probes.find(|probe| probe.name() == name);
        let source = probe.with_context(|| format!("no probe is named {name}"))?;
        Ok(Self { source, before: Vec::new() })
    }

    /// With the stacks that it takes.
    pub fn feeding(name: &str, feed: &Feed) -> Result<Self> {
        let probes = perfwatch::probes::feeding(&Roots::default(), Options::UNLIMITED, feed);
        let probe = probes.into_iter().find(|probe| probe.name() == name);
        Ok(Self { source: probe.with_context(|| format!("no probe is named {name}"))?, before: Vec::new() })
    }

    /// With others that it knows something from.
    pub fn after(before: &[&str], name: &str) -> Result<Self> {
        let all = perfwatch::probes::all(&Roots::default(), Options::UNLIMITED).into_iter();
        let (mut sources, before): (Vec<_>, Vec<_>) = all
            .filter(|probe| probe.name() == name || before.contains(&probe.name()))
            .partition(|probe| probe.name() == name);
        Ok(Self { source: sources.pop().with_context(|| format!("no probe is named {name}"))?, before })
    }

    /// One with a separate budget, and the pause before what it switches off is retried.
    pub fn within(name: &str, budget_percent: f64, pause: Duration) -> Result<Self> {
        let options = Options { budget_percent, ..Options::UNLIMITED };
        let mut probes = perfwatch::probes::retrying_after(&Roots::default(), options, pause).into_iter();
        let probe = probes.find(|probe| probe.name() == name);
        let source = probe.with_context(|| format!("no probe is named {name}"))?;
        Ok(Self { source, before: Vec::new() })
    }

    pub fn apply(&mut self, settings: &SourceSettings) {
        self.source.apply(settings);
    }

    pub fn report(&self) -> Report {
        self.source.report()
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
        let tick = Tick::new(SystemTime::now().into(), TICK);
        for source in &mut self.before {
            source.sample(&tick)?;
        }
        let reading = self.source.sample(&tick)?;
        let value: Value = serde_json::from_slice(&reading.json())?;
        anyhow::ensure!(value["_error"].is_null(), "the document's error: {}", value["_error"]);
        Ok(value)
    }
}
