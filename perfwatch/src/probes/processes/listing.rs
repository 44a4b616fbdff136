//! How the list of all processes is made: on request, from what the last tick measured and the current state of
//! `/proc`.

use std::collections::HashMap;

use super::derive::{Details, Process, add_up, rates, row};
use super::walk::{Present, Walk};
use crate::probes::sched::interval::{Interval, Usage};
use crate::snapshot::derive::round;
use crate::snapshot::processes::listing::Listing;
use crate::snapshot::processes::{ProcessRow, Rates};

/// Every process once: those in the walk with their usage, and active ones that have ended. `names` looks up
/// user and cgroup of an active one.
pub(super) fn join(
    timestamp: String,
    interval: &Interval,
    walk: Walk,
    mut names: impl FnMut(&Process) -> Details,
) -> Listing {
    let mut active: HashMap<u32, Process> =
        add_up(&interval.tasks).map(|process| (process.pid, process)).collect();
    let known = active.len();
    let nothing = rates(&Usage::default(), interval);
    let mut rows = Vec::with_capacity(walk.present.len());
    for present in walk.present {
        rows.push(match active.remove(&present.pid) {
            Some(process) => {
                // An exited process may still be there as a zombie.
                let rss_bytes = present.details.rss_bytes.filter(|_| !process.exited);
                let details = Details { rss_bytes, ..names(&process) };
                row(process, details, interval)
            }
            // None of its threads was active.
            None => ProcessRow { threads: 0, rates: nothing, ..of_procfs(&present) },
        });
    }
    // Hidden ones that were active are known all the same.
    let hidden = walk.hidden.map(|hidden| hidden.saturating_sub(active.len()));
    rows.extend(active.into_values().map(|process| {
        let details = names(&process);
        row(process, details, interval)
    }));
    Listing {
        timestamp,
        elapsed_ms: Some(round(interval.elapsed.as_secs_f64() * 1e3, 3)),
        active: Some(known),
        hidden,
        total: Some(rates(&interval.used, interval)),
        rows,
        ..Listing::default()
    }
}

/// Every process of a walk, for use without task accounting.
pub(super) fn of_walk(timestamp: String, walk: &Walk) -> Listing {
    let total = Rates { cpu_percent: walk.total_cpu_percent, ..Rates::default() };
    Listing {
        timestamp,
        elapsed_ms: walk.elapsed.map(|elapsed| round(elapsed.as_secs_f64() * 1e3, 3)),
        active: walk.elapsed.map(|_| walk.active()),
        hidden: walk.hidden,
        total: walk.total_cpu_percent.map(|_| total),
        rows: walk.present.iter().map(of_procfs).collect(),
        ..Listing::default()
    }
}

/// A process with only what `/proc` provides.
pub(super) fn of_procfs(present: &Present) -> ProcessRow {
    ProcessRow {
        pid: present.pid,
        comm: present.comm.clone(),
        user: present.details.user.clone(),
        uid: present.uid,
        cgroup: present.details.cgroup.clone(),
        threads: present.threads,
        exited: false,
        rss_bytes: present.details.rss_bytes,
        rates: Rates {
            cpu_percent: present.used.cpu_percent,
            read_bytes_per_sec: present.used.read_bytes_per_sec,
            write_bytes_per_sec: present.used.write_bytes_per_sec,
            ..Rates::default()
        },
    }
}

#[cfg(test)]
mod tests;
