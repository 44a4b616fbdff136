//! `/proc/pressure/*` as it stands.

use crate::collectors::fields::{self, Fields, lines};

/// A line such as `some avg10=2.47 avg60=2.35 avg300=0.78 total=44418991`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stall {
    /// Percent of the last 10 s.
    pub(super) avg10: f64,
    pub(super) avg60: f64,
    pub(super) avg300: f64,
    /// µs since boot.
    pub(super) total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Resource {
    /// At least one task was stalled.
    pub(super) some: Stall,
    /// All tasks that could run were. Not told for the CPU before Linux 5.13.
    pub(super) full: Option<Stall>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Raw {
    pub(super) cpu: Resource,
    pub(super) memory: Resource,
    pub(super) io: Resource,
}

/// `None` when the text is not one of these files.
pub(super) fn parse(text: &[u8]) -> Option<Resource> {
    let (mut some, mut full) = (None, None);
    for line in lines(text) {
        let mut words = Fields::new(line);
        match words.word()? {
            b"some" => some = Some(stall(&mut words)?),
            b"full" => full = Some(stall(&mut words)?),
            _ => {}
        }
    }
    Some(Resource { some: some?, full })
}

fn stall(words: &mut Fields<'_>) -> Option<Stall> {
    let mut value = |name: &str| words.word()?.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    Some(Stall {
        avg10: value("avg10").and_then(fields::float)?,
        avg60: value("avg60").and_then(fields::float)?,
        avg300: value("avg300").and_then(fields::float)?,
        total: value("total").and_then(fields::number)?,
    })
}
