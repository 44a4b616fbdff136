//! From two samples of pressure stall information to its document.

use serde::Serialize;

use super::raw::{Raw, Resource, Stall};
use crate::collectors::rates::Rates;

/// A resource is `null` if the kernel reports no pressure for it, and `reason` says why.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Body<'a> {
    /// The kernel reports the pressure of any of them.
    available: bool,
    reason: Option<&'a str>,
    cpu: Option<Pressure>,
    memory: Option<Pressure>,
    io: Option<Pressure>,
}

#[derive(Debug, Serialize, PartialEq)]
struct Pressure {
    some: Line,
    full: Option<Line>,
}

#[derive(Debug, Serialize, PartialEq)]
struct Line {
    /// Percent of the time, averaged by the kernel over 10 s, 60 s and 300 s.
    avg10: f64,
    avg60: f64,
    avg300: f64,
    /// Measured over the tick.
    stalled_us_per_sec: Option<f64>,
}

pub(super) fn derive<'a>(
    previous: Option<(&Raw, Rates)>,
    current: &Raw,
    reason: Option<&'a str>,
) -> Body<'a> {
    let [cpu, memory, io] = std::array::from_fn(|resource| {
        let before = previous.and_then(|(raw, rates)| Some((raw[resource]?, rates)));
        current[resource].map(|now| pressure(before, now))
    });
    Body { available: current.iter().any(Option::is_some), reason, cpu, memory, io }
}

fn pressure(before: Option<(Resource, Rates)>, now: Resource) -> Pressure {
    Pressure {
        some: line(before.map(|(resource, rates)| (resource.some, rates)), now.some),
        full: now.full.map(|full| line(before.and_then(|(r, rates)| Some((r.full?, rates))), full)),
    }
}

fn line(before: Option<(Stall, Rates)>, now: Stall) -> Line {
    Line {
        avg10: now.avg10,
        avg60: now.avg60,
        avg300: now.avg300,
        stalled_us_per_sec: before.and_then(|(stall, rates)| rates.of(stall.total, now.total)),
    }
}
