//! Collector `memory`, document `memory`: `/proc/meminfo`, and swapped pages from `/proc/vmstat`.

mod derive;

use self::derive::{MEMINFO, Meminfo, Swapped, derive};
use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::kernel_files::keyed::Keyed;
use crate::snapshot::source::{Method, Report, Source, SourceError, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "memory";

pub(super) struct Memory {
    meminfo: KernelFile,
    meminfo_lines: Keyed<{ MEMINFO.len() }>,
    vmstat: KernelFile,
    vmstat_lines: Keyed<2>,
    swapped: Swapped,
    swapped_read: bool,
}

impl Memory {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            meminfo: KernelFile::new(roots.proc("meminfo")),
            meminfo_lines: Keyed::new(MEMINFO),
            vmstat: KernelFile::new(roots.proc("vmstat")),
            vmstat_lines: Keyed::new(["pswpin", "pswpout"]),
            swapped: Swapped::default(),
            swapped_read: false,
        }
    }

    /// Swap counters don't change without swap, so `/proc/vmstat`, which is not cheap, is read only once then.
    fn follow_swapped(&mut self, swap_exists: bool) {
        if swap_exists || !self.swapped_read {
            let values = self.vmstat.read_optional().map(|text| self.vmstat_lines.parse(text));
            let [pages_in, pages_out] = values.unwrap_or_default();
            self.swapped = Swapped { pages_in, pages_out };
            // Read once more after the last swap device was removed.
            self.swapped_read = !swap_exists;
        }
    }
}

impl Source for Memory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Memory
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let meminfo = Meminfo::from(self.meminfo_lines.parse(self.meminfo.read()?));
        self.follow_swapped(meminfo.has_swap());
        let page_size = rustix::param::page_size() as u64;
        let body = derive(&meminfo, self.swapped, page_size).ok_or_else(|| {
            SourceError::Malformed(format!("{}: no MemTotal", self.meminfo.path().display()))
        })?;
        Ok(Reading::new(MetricType::Memory, tick.at, &body)?)
    }

    fn report(&self) -> Report {
        Report::active(NAME, MetricType::Memory, Method::Procfs)
    }
}
