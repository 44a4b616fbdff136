//! Every process of the machine, those included that did nothing: what the document of processes is too short for.
//!
//! Made when someone asks, from what the last tick measured and from what `/proc` says by then.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::derive::round;
use super::super::sched::{Interval, Usage};
use super::{Details, Process, ProcessRow, Rates, add_up};

/// What a tick measured of processes.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The tick's, as it stands in the documents.
    pub timestamp: String,
    /// `None` where tasks are not accounted for, or not yet.
    pub interval: Option<Arc<Interval>>,
}

/// Makes [`Listing`]s. Reads several files for each process, so it is nothing for an async worker.
pub trait Lister: std::fmt::Debug + Send + Sync {
    fn list(&self) -> Arc<Listing>;
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Of the tick whose interval the rates are of.
    pub timestamp: String,
    pub elapsed_ms: Option<f64>,
    /// Processes that ran at all in the interval; `None` where that is not known.
    pub active: Option<usize>,
    /// All processes, those included that ended and are not listed.
    pub total: Option<Rates>,
    /// In no order.
    pub rows: Vec<ProcessRow>,
}

/// A process as `/proc` has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    pub pid: u32,
    /// As the kernel's own accounting names it.
    pub comm: String,
    pub uid: u32,
    pub details: Details,
    /// Its CPU time since the last listing, for where nothing better tells it.
    pub cpu_percent: Option<f64>,
}

impl Listing {
    /// Every process once: what is `present` with what it used, and those that were active and have ended.
    /// `names` looks up user and cgroup of an active one.
    pub fn join(
        measured: Measured,
        present: Vec<Present>,
        mut names: impl FnMut(&Process) -> Details,
    ) -> Self {
        let Measured { timestamp, interval } = measured;
        let Some(interval) = interval else {
            let row = |present: Present| {
                let rates = Rates { cpu_percent: present.cpu_percent, ..Rates::default() };
                present.idle(rates)
            };
            let rows = present.into_iter().map(row).collect();
            return Self { timestamp, elapsed_ms: None, active: None, total: None, rows };
        };
        let mut active: HashMap<u32, Process> =
            add_up(&interval.tasks).map(|process| (process.pid, process)).collect();
        let known = active.len();
        let nothing = Rates::of(&Usage::default(), &interval);
        let mut rows = Vec::with_capacity(present.len());
        for present in present {
            rows.push(match active.remove(&present.pid) {
                Some(process) => {
                    // One that has ended may still be there, for its parent to ask how.
                    let rss_bytes = present.details.rss_bytes.filter(|_| !process.exited);
                    let details = Details { rss_bytes, ..names(&process) };
                    ProcessRow::new(process, details, &interval)
                }
                None => present.idle(nothing),
            });
        }
        rows.extend(active.into_values().map(|process| {
            let details = names(&process);
            ProcessRow::new(process, details, &interval)
        }));
        Self {
            timestamp,
            elapsed_ms: Some(round(interval.elapsed.as_secs_f64() * 1e3, 3)),
            active: Some(known),
            total: Some(Rates::of(&interval.used, &interval)),
            rows,
        }
    }

    /// The processes whose name, user or cgroup contains the text, whatever its case, or whose number it is.
    pub fn find(&self, text: Option<&str>) -> Vec<&ProcessRow> {
        let Some(text) = text else { return self.rows.iter().collect() };
        let (pid, text) = (text.parse::<u32>().ok(), text.to_lowercase());
        let contains = |field: &str| field.to_lowercase().contains(&text);
        let found = |row: &&ProcessRow| {
            Some(row.pid) == pid
                || contains(&row.comm)
                || row.user.as_deref().is_some_and(contains)
                || row.cgroup.as_deref().is_some_and(contains)
        };
        self.rows.iter().filter(found).collect()
    }
}

impl Present {
    fn idle(self, rates: Rates) -> ProcessRow {
        ProcessRow {
            pid: self.pid,
            comm: self.comm,
            user: self.details.user,
            uid: self.uid,
            cgroup: self.details.cgroup,
            threads: 0,
            exited: false,
            rss_bytes: self.details.rss_bytes,
            rates,
        }
    }
}

#[cfg(test)]
mod tests;
