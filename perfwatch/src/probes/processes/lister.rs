//! All processes of the machine, on request: see [`crate::snapshot::processes::listing`].
//!
//! Not part of a tick: that only leaves its measurements here; the list is made when someone asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::listing::{join, of_walk};
use super::names::{Names, called};
use super::usage::facts::FactBook;
use super::walk::{Walk, Walker};
use crate::cgroups;
use crate::config::Roots;
use crate::probes::sched::interval::Interval;
use crate::snapshot::processes::listing::{Lister, Listing};
use crate::snapshot::rfc3339;

/// A list is reused within a tick, but no longer than this: processes come and go.
const MAX_AGE: Duration = Duration::from_secs(5);

const MINUTE: Duration = Duration::from_secs(60);

/// Cached state is dropped if nobody asks for this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

pub struct ProcessLister {
    newest: Mutex<Option<Newest>>,
    inner: Mutex<Inner>,
    groups: cgroups::Names,
}

/// The measurements of the newest tick.
#[derive(Debug, Clone)]
struct Newest {
    /// The tick's, as in the documents.
    timestamp: String,
    measured: Measured,
}

#[derive(Debug, Clone)]
enum Measured {
    /// Nothing, or not yet.
    Nothing,
    Tasks(Arc<Interval>),
    /// Without task accounting: the tick has walked `/proc` itself.
    Procfs(Arc<Walk>),
}

struct Inner {
    names: Names,
    walker: Walker,
    facts: FactBook,
    /// When the current minute of `facts` began.
    minute: Instant,
    command_lines: bool,
    last: Option<(Instant, Arc<Listing>)>,
}

impl std::fmt::Debug for ProcessLister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProcessLister")
    }
}

impl ProcessLister {
    /// Cgroups are called by these names. `command_lines`: whether the list may have them.
    pub fn new(roots: &Roots, groups: cgroups::Names, command_lines: bool) -> Self {
        let inner = Inner {
            names: Names::new(roots),
            walker: Walker::new(roots),
            facts: FactBook::new(roots, command_lines),
            minute: Instant::now(),
            command_lines,
            last: None,
        };
        Self { newest: Mutex::new(None), inner: Mutex::new(inner), groups }
    }

    pub(in crate::probes) fn groups(&self) -> &cgroups::Names {
        &self.groups
    }

    /// The measurements of a tick; `None` without task accounting so far. Never blocks on a list in progress.
    pub fn ticked(&self, timestamp: &str, interval: Option<&Arc<Interval>>) {
        let measured = interval.map_or(Measured::Nothing, |interval| Measured::Tasks(Arc::clone(interval)));
        self.set(timestamp, measured);
    }

    /// What a tick found in `/proc`, without task accounting.
    pub(super) fn walked(&self, timestamp: &str, walk: &Arc<Walk>) {
        self.set(timestamp, Measured::Procfs(Arc::clone(walk)));
    }

    /// The walk of a tick, if it is the newest.
    pub(super) fn walked_at(&self, timestamp: &str) -> Option<Arc<Walk>> {
        let newest = lock(&self.newest);
        match newest.as_ref().filter(|newest| newest.timestamp == timestamp)?.measured {
            Measured::Procfs(ref walk) => Some(Arc::clone(walk)),
            _ => None,
        }
    }

    fn set(&self, timestamp: &str, measured: Measured) {
        *lock(&self.newest) = Some(Newest { timestamp: timestamp.to_owned(), measured });
        if let Ok(mut inner) = self.inner.try_lock() {
            inner.forget();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lister for ProcessLister {
    fn list(&self) -> Arc<Listing> {
        let mut inner = lock(&self.inner);
        let newest = lock(&self.newest).clone();
        let nothing_yet =
            || Newest { timestamp: rfc3339(OffsetDateTime::now_utc()), measured: Measured::Nothing };
        inner.list(newest.unwrap_or_else(nothing_yet), &self.groups)
    }
}

impl Inner {
    /// Drops cached state that is unlikely to be needed again.
    fn forget(&mut self) {
        let asked_lately = self.last.as_ref().is_some_and(|(made, _)| made.elapsed() < IDLE_TIMEOUT);
        if !asked_lately && self.last.is_some() {
            self.last = None;
            self.walker.forget();
            self.facts.forget();
        }
    }

    fn list(&mut self, Newest { timestamp, measured }: Newest, groups: &cgroups::Names) -> Arc<Listing> {
        if let Some((made, listing)) = &self.last
            && listing.timestamp == timestamp
            && made.elapsed() < MAX_AGE
        {
            return Arc::clone(listing);
        }
        let mut listing = match measured {
            Measured::Procfs(walk) => of_walk(timestamp, &walk),
            Measured::Nothing => {
                let walk = self.walker.walk(&mut self.names, true);
                // The rates cover the time between two lists, regardless of ticks.
                of_walk(timestamp, &Walk { elapsed: None, ..walk })
            }
            Measured::Tasks(interval) => {
                // Without the host's /proc only active processes are known: see `Names`.
                let sees_host = self.names.sees_host();
                let walk = if sees_host { self.walker.walk(&mut self.names, false) } else { Walk::default() };
                join(timestamp, &interval, walk, |process| self.names.named(process))
            }
        };
        let cgroups: BTreeSet<&str> = listing.rows.iter().filter_map(|row| row.cgroup.as_deref()).collect();
        listing.groups =
            cgroups.into_iter().map(|path| (path.to_owned(), called(groups, &Arc::from(path)))).collect();
        self.add_facts(&mut listing);
        let listing = Arc::new(listing);
        self.last = Some((Instant::now(), Arc::clone(&listing)));
        listing
    }

    fn add_facts(&mut self, listing: &mut Listing) {
        if self.minute.elapsed() >= MINUTE {
            self.minute = Instant::now();
            self.facts.end_minute();
        }
        for row in listing.rows.iter().filter(|row| !row.exited) {
            let facts = self.facts.of(row.pid, &row.comm, Some(row.uid), &mut self.names);
            listing.facts.insert(row.pid, facts);
        }
        listing.command_lines = self.command_lines;
    }
}

#[cfg(test)]
mod tests;
