//! From two samples of pressure stall information to its document.

use serde::Serialize;

use super::raw::{Raw, Resource, Stall};
use crate::collectors::counter::Rates;

/// The resources are `null` where the kernel tells no pressure, and `reason` says why.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Body {
    available: bool,
    reason: Option<&'static str>,
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

pub(super) fn derive(
    previous: Option<(&Raw, Rates)>,
    current: Option<&Raw>,
    reason: Option<&'static str>,
) -> Body {
    let resource = |of: fn(&Raw) -> &Resource| {
        let before = previous.map(|(raw, rates)| (of(raw), rates));
        current.map(of).map(|now| Pressure {
            some: line(before.map(|(r, rates)| (r.some, rates)), now.some),
            full: now.full.map(|full| line(before.and_then(|(r, rates)| Some((r.full?, rates))), full)),
        })
    };
    Body {
        available: current.is_some(),
        reason,
        cpu: resource(|raw| &raw.cpu),
        memory: resource(|raw| &raw.memory),
        io: resource(|raw| &raw.io),
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
