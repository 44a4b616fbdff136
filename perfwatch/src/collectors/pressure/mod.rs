//! Collector `pressure`, document `pressure`: `/proc/pressure/{cpu,memory,io}`.

mod derive;
mod raw;

use std::io;
use std::time::Instant;

use self::derive::derive;
use self::raw::{Raw, Resource};
use crate::collectors::rates::Rates;
use crate::config::Roots;
use crate::kernel_files::counter::Width;
use crate::kernel_files::file::{KernelFile, ReadError};
use crate::snapshot::source::{Method, Report, Source, SourceError, State, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "pressure";

pub(super) struct Pressure {
    files: [KernelFile; 3],
    previous: Option<(Raw, Instant)>,
    missing: Missing,
}

/// The resources, by file name.
const FILES: [&str; 3] = ["cpu", "memory", "io"];

/// Why this kernel reports no pressure, or not all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Missing {
    #[default]
    Nothing,
    /// The files exist, but reading them is not supported: PSI was not enabled at boot.
    Off,
    /// No such files: built without PSI, older than Linux 4.20, or switched off.
    NoFiles,
    /// Each file without data, and why.
    Some(String),
}

impl Missing {
    fn of(errors: &[Failure]) -> Self {
        let all = |kind: io::ErrorKind| {
            errors.len() == FILES.len() && errors.iter().all(|failure| failure.kind() == Some(kind))
        };
        if errors.is_empty() {
            Self::Nothing
        } else if all(io::ErrorKind::NotFound) {
            Self::NoFiles
        } else if all(io::ErrorKind::Unsupported) {
            Self::Off
        } else {
            let each = errors.iter().map(ToString::to_string);
            Self::Some(each.collect::<Vec<_>>().join("; "))
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Off => Some("pressure stall information (PSI) is switched off in this kernel"),
            Self::NoFiles => Some(
                "/proc/pressure does not exist: the kernel is older than 4.20, lacks CONFIG_PSI, or has PSI switched off",
            ),
            Self::Some(which) => Some(which),
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Off => Some("boot with the kernel parameter psi=1"),
            Self::NoFiles => Some("boot a kernel built with CONFIG_PSI=y, with the kernel parameter psi=1"),
            Self::Nothing | Self::Some(_) => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    #[error("{0}: not pressure stall information")]
    Malformed(String),
}

impl Failure {
    fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Unreadable(error) => Some(error.source.kind()),
            Self::Malformed(_) => None,
        }
    }
}

fn read(file: &mut KernelFile) -> Result<Resource, Failure> {
    let resource = raw::parse(file.read()?);
    resource.ok_or_else(|| Failure::Malformed(file.path().display().to_string()))
}

impl Pressure {
    pub(super) fn new(roots: &Roots) -> Self {
        let files = FILES.map(|file| KernelFile::new(roots.proc("pressure").join(file)));
        Self { files, previous: None, missing: Missing::Nothing }
    }

    fn read(&mut self) -> Raw {
        let mut errors = Vec::new();
        let mut raw: Raw = [None; 3];
        for (file, resource) in self.files.iter_mut().zip(&mut raw) {
            match read(file) {
                Ok(found) => *resource = Some(found),
                Err(error) => errors.push(error),
            }
        }
        self.missing = Missing::of(&errors);
        raw
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
        let raw = self.read();
        let previous = self.previous.as_ref().map(|(raw, at)| {
            // The kernel keeps stall times in 64 bits on every architecture.
            (raw, Rates { width: Width::Bits64, elapsed: now.saturating_duration_since(*at) })
        });
        let body = derive(previous, &raw, self.missing.reason());
        let document = Reading::new(MetricType::Pressure, tick.at, &body)?;
        self.previous = Some((raw, now));
        Ok(document)
    }

    fn report(&self) -> Report {
        let any = self.previous.as_ref().is_none_or(|(raw, _)| raw.iter().any(Option::is_some));
        let state = match self.missing {
            Missing::Off | Missing::NoFiles => State::Unavailable,
            Missing::Some(_) if !any => State::Failed,
            Missing::Nothing | Missing::Some(_) => State::Active,
        };
        Report {
            state,
            reason: self.missing.reason().map(str::to_owned),
            remedy: self.missing.remedy().map(str::to_owned),
            ..Report::active(NAME, MetricType::Pressure, Method::Procfs)
        }
    }
}
