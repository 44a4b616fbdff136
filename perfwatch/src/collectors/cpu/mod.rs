//! Collector `cpu`, document `cpu`: `/proc/stat`, `/proc/loadavg`, cpufreq, and hwmon or thermal zones.

mod derive;
mod frequencies;
mod thermometers;
mod topology;

use std::mem;
use std::time::Instant;

use self::derive::{Context, Event, derive};
use self::frequencies::Frequencies;
use self::thermometers::Thermometers;
use crate::collectors::rates::Rates;
use crate::config::Roots;
use crate::kernel_files::counter::Width;
use crate::kernel_files::fields::{self, Fields};
use crate::kernel_files::file::KernelFile;
use crate::kernel_files::stat::Stat;
use crate::snapshot::source::{Method, Report, Source, SourceError, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "cpu";

pub(super) struct Cpu {
    roots: Roots,
    width: Width,
    stat: KernelFile,
    loadavg: KernelFile,
    frequencies: Frequencies,
    thermometers: Thermometers,
    /// Of the CPUs in the newest sample; recounted when that set changes.
    physical_cores: Option<usize>,
    raw: Stat,
    previous: Option<(Stat, Instant)>,
    started: Vec<Event>,
    /// Documents that have yet to report the start.
    telling: u8,
}

/// The kernel's limit on task numbers. Kernels that lost count have shown negative loads and loads of billions.
const MAX_LOAD: f64 = (1u64 << 22) as f64;

/// The pipeline only shows its first snapshot; the second is the first to be stored.
const TELLING: u8 = 2;

impl Cpu {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            width: Width::of_kernel(&roots.procfs),
            stat: KernelFile::new(roots.proc("stat")),
            loadavg: KernelFile::new(roots.proc("loadavg")),
            frequencies: Frequencies::new(roots),
            thermometers: Thermometers::new(roots),
            physical_cores: None,
            raw: Stat::default(),
            previous: None,
            started: Vec::new(),
            telling: TELLING,
            roots: roots.clone(),
        }
    }

    fn starts(&mut self, timestamp: &str) -> Vec<Event> {
        if self.telling == TELLING {
            self.started = Event::of_start(&self.raw, timestamp);
        }
        self.telling = self.telling.saturating_sub(1);
        if self.telling > 0 { self.started.clone() } else { mem::take(&mut self.started) }
    }

    fn load_avg(&mut self) -> Option<[f64; 3]> {
        let mut words = Fields::new(self.loadavg.read_optional()?);
        let mut next = || words.word().and_then(fields::float).filter(|load| (0.0..=MAX_LOAD).contains(load));
        Some([next()?, next()?, next()?])
    }
}

impl Source for Cpu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Cpu
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let now = Instant::now();
        self.raw.parse(self.stat.read()?).ok_or_else(|| {
            SourceError::Malformed(format!("{}: no line of CPU times", self.stat.path().display()))
        })?;
        let same_cpus = self.previous.as_ref().is_some_and(|(previous, _)| previous.same_cpus(&self.raw));
        if !same_cpus {
            self.physical_cores =
                topology::physical_cores(&self.roots, self.raw.cpus.iter().map(|(cpu, _)| *cpu));
        }
        let context = Context {
            events: self.starts(&tick.timestamp),
            load_avg: self.load_avg(),
            frequency_mhz: self.frequencies.read(&self.raw, !same_cpus),
            temperature_celsius: self.thermometers.read(now),
            physical_cores: self.physical_cores,
        };
        let previous = self
            .previous
            .as_ref()
            .map(|(raw, at)| (raw, Rates { width: self.width, elapsed: now.saturating_duration_since(*at) }));
        let document = Reading::new(MetricType::Cpu, tick.at, &derive(context, previous, &self.raw))?;
        // Reuse the older sample's memory for the next one.
        let reused = self.previous.take().map(|(raw, _)| raw).unwrap_or_default();
        self.previous = Some((mem::replace(&mut self.raw, reused), now));
        Ok(document)
    }

    fn report(&self) -> Report {
        Report::active(NAME, MetricType::Cpu, Method::Procfs)
    }
}
