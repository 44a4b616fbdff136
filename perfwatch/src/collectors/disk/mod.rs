//! Collector `disk`, document `disk`: `/proc/diskstats`, and the space on mounted file systems by mountinfo and statvfs(2).

mod derive;
mod inventory;
mod mounts;
mod raw;
mod remote;

use std::mem;
use std::time::Instant;

use self::derive::derive;
use self::inventory::Inventory;
use self::mounts::Mounts;
use self::raw::Raw;
use super::counter::{Rates, Width};
use super::file::KernelFile;
use crate::config::Roots;
use crate::snapshot::source::{Method, Report, Source, SourceError, Tick};
use crate::snapshot::{Reading, MetricType};

pub(super) const NAME: &str = "disk";

pub(super) struct Disk {
    width: Width,
    diskstats: KernelFile,
    inventory: Inventory,
    mounts: Mounts,
    raw: Raw,
    previous: Option<(Raw, Instant)>,
}

impl Disk {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            width: Width::of_kernel(roots),
            diskstats: KernelFile::new(roots.proc("diskstats")),
            inventory: Inventory::new(roots),
            mounts: Mounts::new(roots),
            raw: Raw::default(),
            previous: None,
        }
    }
}

impl Source for Disk {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Disk
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let now = Instant::now();
        self.raw.parse(self.diskstats.read()?, &mut self.inventory);
        let partitions = self.mounts.read(now);
        let previous = self
            .previous
            .as_ref()
            .map(|(raw, at)| (raw, Rates { width: self.width, elapsed: now.saturating_duration_since(*at) }));
        let body = derive(previous, &self.raw, partitions);
        let document = Reading::new(MetricType::Disk, tick.at, &body)?;
        // The older sample's memory becomes the next one's.
        let reused = self.previous.take().map(|(raw, _)| raw).unwrap_or_default();
        self.previous = Some((mem::replace(&mut self.raw, reused), now));
        Ok(document)
    }

    fn report(&self) -> Report {
        Report::active(NAME, MetricType::Disk, Method::Procfs)
    }
}
