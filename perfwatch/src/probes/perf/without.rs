//! For targets without bindings to perf_event_open(2) in the library: the same names, and nothing to open.
//! `target` says so before anything is tried.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use perfwatch_common::counters::{Reading, SLOTS};

use super::super::counters::derive::{Absent, Pmu};
use super::{Core, Refused};

/// There is none.
#[derive(Debug)]
pub(in super::super) struct Counter(Infallible);

impl Counter {
    pub(in super::super) fn enable(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

impl AsRawFd for Counter {
    fn as_raw_fd(&self) -> RawFd {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(in super::super) struct CpuEvents {
    pub cpu: u32,
    none: Counter,
}

impl CpuEvents {
    pub(in super::super) fn open(_: u32, core: Core<'_>, pmu: &mut Pmu) -> Result<Self, Refused> {
        let error = unsupported(core);
        pmu.absent.fill(Some(Absent::Unsupported(error.to_string())));
        Err(Refused(error))
    }

    pub(in super::super) fn descriptors(&self) -> impl Iterator<Item = (usize, RawFd)> + '_ {
        std::iter::once((0, self.none.as_raw_fd()))
    }

    pub(in super::super) fn read_groups(&mut self) -> io::Result<[Reading; SLOTS]> {
        match self.none.0 {}
    }
}

pub(in super::super) fn open(
    _: u32,
    core: Core<'_>,
    _: &str,
    _: Option<&mut Counter>,
) -> io::Result<(Counter, Option<&'static str>)> {
    Err(unsupported(core))
}

pub(in super::super) fn timer(_: u32, _: u64) -> io::Result<Counter> {
    Err(unsupported(Core::Unknown))
}

fn unsupported(core: Core<'_>) -> io::Error {
    let whose = match core {
        Core::Unknown => "performance counters",
        Core::Only(pmu) | Core::Hybrid(pmu) => &pmu.name,
    };
    io::Error::new(io::ErrorKind::Unsupported, format!("{whose}: this build opens none"))
}
