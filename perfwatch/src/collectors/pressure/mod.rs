//! Collector `pressure`, document `pressure`: `/proc/pressure/{cpu,memory,io}`.

mod derive;
mod raw;

use std::io;
use std::time::Instant;

use self::derive::derive;
use self::raw::Raw;
use super::counter::{Rates, Width};
use super::file::KernelFile;
use crate::config::Roots;
use crate::snapshot::source::{Method, Report, Source, SourceError, State, Tick};
use crate::snapshot::{Reading, MetricType};

pub(super) const NAME: &str = "pressure";

pub(super) struct Pressure {
    files: [KernelFile; 3],
    previous: Option<(Raw, Instant)>,
    absent: Option<Absent>,
}

/// Why this kernel tells no pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// The files exist, but reading them is not supported: PSI was not enabled at boot.
    Off,
    /// No such files: built without PSI, or older than Linux 4.20, or switched off.
    NoFiles,
}

impl Absent {
    fn reason(self) -> &'static str {
        match self {
            Self::Off => "pressure stall information (PSI) is switched off in this kernel",
            Self::NoFiles => {
                "/proc/pressure does not exist: the kernel is older than 4.20, lacks CONFIG_PSI, or has PSI switched off"
            }
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Off => "boot with the kernel parameter psi=1",
            Self::NoFiles => "boot a kernel built with CONFIG_PSI=y, with the kernel parameter psi=1",
        }
    }
}

impl Pressure {
    pub(super) fn new(roots: &Roots) -> Self {
        let files = ["cpu", "memory", "io"].map(|file| KernelFile::new(roots.proc("pressure").join(file)));
        Self { files, previous: None, absent: None }
    }

    fn read(&mut self) -> Result<Raw, SourceError> {
        let [cpu, memory, io] = &mut self.files;
        let read = |file: &mut KernelFile| -> Result<raw::Resource, SourceError> {
            let resource = raw::parse(file.read()?);
            resource.ok_or_else(|| {
                SourceError::Malformed(format!("{}: not pressure stall information", file.path().display()))
            })
        };
        Ok(Raw { cpu: read(cpu)?, memory: read(memory)?, io: read(io)? })
    }
}

fn absence(error: &SourceError) -> Option<Absent> {
    let SourceError::Io { source, .. } = error else { return None };
    match source.kind() {
        io::ErrorKind::NotFound => Some(Absent::NoFiles),
        io::ErrorKind::Unsupported => Some(Absent::Off),
        _ => None,
    }
}

impl Source for Pressure {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Pressure
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let now = Instant::now();
        let raw = match self.read() {
            Ok(raw) => Some(raw),
            Err(error) => {
                self.absent = Some(absence(&error).ok_or(error)?);
                None
            }
        };
        if raw.is_some() {
            self.absent = None;
        }
        let previous = self.previous.as_ref().map(|(raw, at)| {
            // The kernel keeps stall times in 64 bits on every architecture.
            (raw, Rates { width: Width::Bits64, elapsed: now.saturating_duration_since(*at) })
        });
        let body = derive(previous, raw.as_ref(), self.absent.map(Absent::reason));
        let document = Reading::new(MetricType::Pressure, tick.at, &body)?;
        self.previous = raw.map(|raw| (raw, now));
        Ok(document)
    }

    fn report(&self) -> Report {
        let report = Report::active(NAME, MetricType::Pressure, Method::Procfs);
        match self.absent {
            None => report,
            Some(absent) => Report {
                state: State::Unavailable,
                reason: Some(absent.reason().into()),
                remedy: Some(absent.remedy().into()),
                ..report
            },
        }
    }
}
