//! Collector `disk`, document `disk`: `/proc/diskstats`, and space on mounted file systems by mountinfo and statvfs(2).

mod choice;
mod derive;
mod inventory;
mod mountinfo;
mod mounts;
mod raw;
mod remote;
mod space;

use std::mem;
use std::time::Instant;

use self::derive::{Missing, derive};
use self::inventory::Inventory;
use self::mounts::Mounts;
use self::raw::Raw;
use crate::collectors::rates::Rates;
use crate::config::Roots;
use crate::kernel_files::counter::Width;
use crate::kernel_files::file::KernelFile;
use crate::snapshot::source::{Method, Report, Source, SourceError, State, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "disk";

pub(super) struct Disk {
    width: Width,
    diskstats: KernelFile,
    inventory: Inventory,
    mounts: Mounts,
    raw: Raw,
    previous: Option<(Raw, Instant)>,
    missing: Missing,
}

impl Disk {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            width: Width::of_kernel(&roots.procfs),
            diskstats: KernelFile::new(roots.proc("diskstats")),
            inventory: Inventory::new(roots),
            mounts: Mounts::new(roots),
            raw: Raw::default(),
            previous: None,
            missing: Missing::default(),
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
        // Some emulations of /proc lack this file; the file systems exist all the same.
        let disks = match self.diskstats.read() {
            Ok(text) => {
                self.raw.parse(text, &mut self.inventory);
                None
            }
            Err(error) => {
                self.raw.clear();
                Some(format!("disks are not known: {error}"))
            }
        };
        self.mounts.refresh(now);
        self.missing = Missing::new(disks, self.mounts.missing().map(str::to_owned));
        let previous = self
            .previous
            .as_ref()
            .map(|(raw, at)| (raw, Rates { width: self.width, elapsed: now.saturating_duration_since(*at) }));
        let body = derive(previous, &self.raw, self.mounts.partitions(), &self.missing);
        let document = Reading::new(MetricType::Disk, tick.at, &body)?;
        // Reuse the older sample's memory for the next one.
        let reused = self.previous.take().map(|(raw, _)| raw).unwrap_or_default();
        self.previous = Some((mem::replace(&mut self.raw, reused), now));
        Ok(document)
    }

    fn report(&self) -> Report {
        let report = Report::active(NAME, MetricType::Disk, Method::Procfs);
        let nothing = self.missing.disks.is_some() && self.missing.mounts.is_some();
        let state = if nothing { State::Unavailable } else { State::Active };
        Report { state, reason: self.missing.reason.clone(), ..report }
    }
}
