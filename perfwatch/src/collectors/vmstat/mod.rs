//! Collector `memory_bandwidth`, document `memory_bandwidth`: `/proc/vmstat`.
//!
//! The name is the original's; it measures the traffic between memory and disks, and the memory management work
//! that keeps memory free.

mod derive;
mod raw;

use std::time::Instant;

use self::derive::derive;
use self::raw::{Parser, Raw};
use crate::collectors::rates::Rates;
use crate::config::Roots;
use crate::kernel_files::counter::Width;
use crate::kernel_files::file::KernelFile;
use crate::snapshot::source::{Method, Report, Source, SourceError, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "memory_bandwidth";

pub(super) struct Vmstat {
    width: Width,
    file: KernelFile,
    parser: Parser,
    previous: Option<(Raw, Instant)>,
}

impl Vmstat {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            width: Width::of_kernel(&roots.procfs),
            file: KernelFile::new(roots.proc("vmstat")),
            parser: Parser::new(),
            previous: None,
        }
    }
}

impl Source for Vmstat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::MemoryBandwidth
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let now = Instant::now();
        let raw = self.parser.parse(self.file.read()?);
        let previous = self
            .previous
            .as_ref()
            .map(|(raw, at)| (raw, Rates { width: self.width, elapsed: now.saturating_duration_since(*at) }));
        let body = derive(previous, &raw, rustix::param::page_size() as u64);
        let document = Reading::new(MetricType::MemoryBandwidth, tick.at, &body)?;
        self.previous = Some((raw, now));
        Ok(document)
    }

    fn report(&self) -> Report {
        Report::active(NAME, MetricType::MemoryBandwidth, Method::Procfs)
    }
}
