//! Source `cgroups`, document `cgroups`: every group's files, and what the programs of [`super::sched`] know of its tasks.
//!
//! At each tick CPU times are read from the top down, and not below a group in which nothing ran. Of the others, those
//! in which something ran come first, and as many files are read as the budget of a tick allows; what was not read
//! keeps its newest value.

mod document;
mod files;
mod group;
mod raw;
mod slots;
mod times;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_common::block_io::device;
use perfwatch_common::groups;

use self::document::{Body, Devices, MAX_LISTED};
use self::files::Reader;
use self::group::Group;
use self::raw::MemoryParser;
use self::slots::Slots;
use self::times::Times;
use super::Common;
use super::block_io::SharedBlockIo;
use super::block_io::disks::Disks;
use super::loader;
use super::processes::derive::rates;
use super::sched::SharedSched;
use super::sched::interval::{Interval, Usage};
use crate::cgroups::{Hierarchy, Named, Names, walk};
use crate::config::Roots;
use crate::snapshot::derive::round;
use crate::snapshot::processes::Rates;
use crate::snapshot::source::{Method, Report, Source, SourceError, State, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "cgroups";

/// Groups followed.
const MAX_GROUPS: usize = groups::MAX_GROUPS as usize;

/// Above so many, less is read of those in which nothing runs.
const MANY_GROUPS: usize = 512;

/// Pause between two walks over the tree, and if a task is in a group that the last one did not find.
const WALK_PAUSE: Duration = Duration::from_secs(15);
const SHORT_WALK_PAUSE: Duration = Duration::from_secs(1);

/// Until disks are listed again.
const DISKS_PAUSE: Duration = Duration::from_secs(30);

/// Readings of files in a tick: so many, and some more for each group.
const READINGS: usize = 250;
const READINGS_PER_GROUP: usize = 2;
const MAX_READINGS: usize = 2000;
/// In the first tick, which opens the files.
const FIRST_READINGS: usize = 20_000;
/// One of so many is for limits and the like.
const SHARE_OF_SLOW: usize = 4;

pub(super) struct Groups {
    roots: Roots,
    sched: SharedSched,
    block_io: SharedBlockIo,
    slots: Slots,
    names: Names,
    reader: Reader,
    memory: MemoryParser,
    /// Each after the one that it is in.
    groups: Vec<Group>,
    /// Positions by the kernel's number.
    positions: HashMap<u64, usize>,
    walked: Option<Instant>,
    sampled: Option<Instant>,
    disks: Disks,
    devices: Devices,
    listed_disks: Option<Instant>,
}

impl Groups {
    pub(super) fn new(common: &Common<'_>) -> Self {
        let hierarchy = Hierarchy::of_machine(common.roots);
        Self {
            roots: common.roots.clone(),
            sched: common.sched.share(),
            block_io: common.block_io.clone(),
            slots: Slots::new(groups::slots(loader::possible_cpus().unwrap_or(u32::MAX))),
            names: common.names.clone(),
            reader: Reader::new(hierarchy, common.roots),
            memory: MemoryParser::new(hierarchy),
            groups: Vec::new(),
            positions: HashMap::new(),
            walked: None,
            sampled: None,
            disks: Disks::new(common.roots),
            devices: Devices::new(),
            listed_disks: None,
        }
    }

    fn walk(&mut self, now: Instant) {
        let is_first = self.walked.is_none();
        let found = walk(&self.reader.hierarchy().mount(&self.roots), MAX_GROUPS);
        let mut known: HashMap<u64, Group> =
            self.groups.drain(..).map(|group| (group.inode, group)).collect();
        self.positions.clear();
        for (at, directory) in found.into_iter().enumerate() {
            self.positions.insert(directory.inode, at);
            // An inode that is used again belongs to another group.
            let group = match known.remove(&directory.inode).filter(|group| group.path == directory.path) {
                Some(mut group) => {
                    group.parent = directory.parent;
                    group
                }
                None => Group::new(directory, !is_first, now),
            };
            self.groups.push(group);
        }
        known.values().for_each(|group| self.reader.close(&group.files));
        self.walked = Some(now);
    }

    fn walk_if_due(&mut self, interval: Option<&Interval>, now: Instant) {
        let pause = |last: Instant| now.saturating_duration_since(last);
        let is_unknown = |group: &u64| !self.positions.contains_key(group);
        let is_due = self.walked.is_none_or(|last| {
            let mut running =
                interval.into_iter().flat_map(|interval| &interval.tasks).map(|task| task.cgroup);
            pause(last) >= WALK_PAUSE
                || (pause(last) >= SHORT_WALK_PAUSE && running.any(|group| is_unknown(&group)))
        });
        if is_due {
            self.walk(now);
        }
        if self.listed_disks.is_none_or(|last| pause(last) >= DISKS_PAUSE) {
            let numbered: HashMap<u32, (String, bool)> =
                self.disks.list().into_iter().map(|disk| (disk.number, (disk.name, disk.stacked))).collect();
            self.devices = numbered.into_iter().map(|(number, disk)| (parts(number), disk)).collect();
            self.listed_disks = Some(now);
        }
    }

    /// Adds up the tasks' usage in each group and in those that it is in.
    fn add_up(&mut self, interval: &Interval) {
        self.groups.iter_mut().for_each(|group| group.usage = Usage::default());
        for task in &interval.tasks {
            // Of a group that is gone only the whole machine is known.
            let at = self.positions.get(&task.cgroup).copied().unwrap_or_default();
            if let Some(group) = self.groups.get_mut(at) {
                group.usage = group.usage.plus(&task.usage);
            }
        }
        for at in (1..self.groups.len()).rev() {
            let (usage, parent) = (self.groups[at].usage, self.groups[at].parent);
            self.groups[parent].usage = self.groups[parent].usage.plus(&usage);
        }
        if let Some(root) = self.groups.first_mut() {
            root.usage = interval.used; // also of threads that were not read in time
        }
    }

    fn read(&mut self, now: Instant) {
        self.reader.budget = match self.sampled {
            Some(_) => (READINGS + READINGS_PER_GROUP * self.groups.len()).min(MAX_READINGS),
            None => FIRST_READINGS,
        };
        for at in 0..self.groups.len() {
            let (above, from_here) = self.groups.split_at_mut(at);
            let group = &mut from_here[0];
            let rests = above.get(group.parent).is_some_and(|parent| parent.has_cpu() && !parent.active);
            // Once more after it was active: the kernel counts the last period in which it was throttled when that is over.
            if rests && group.has_cpu() && !group.active {
                group.rest(now);
            } else {
                group.read_cpu(&mut self.reader, now);
            }
        }
        self.reader.budget = self.reader.budget.max(READINGS);
        let sparing = self.groups.len() > MANY_GROUPS;
        // What changes slowly has the rest, but never nothing.
        let reserved = self.reader.budget / SHARE_OF_SLOW;
        for at in self.due(now, |group| group.traffic_due) {
            if self.reader.budget <= reserved {
                break;
            }
            self.groups[at].read_traffic(&mut self.reader, sparing, now);
        }
        for at in self.due(now, |group| group.slow_due) {
            if self.reader.budget == 0 {
                break;
            }
            self.groups[at].read_slow(&mut self.reader, &mut self.memory, now);
        }
    }

    /// The groups that are due: those in which something ran first, then who has waited longest.
    fn due(&self, now: Instant, of: fn(&Group) -> Instant) -> Vec<usize> {
        let mut due: Vec<usize> = (0..self.groups.len()).filter(|at| of(&self.groups[*at]) <= now).collect();
        due.sort_by_key(|at| (!self.groups[*at].active, of(&self.groups[*at])));
        due
    }

    fn tick(
        &mut self,
        tick: &Tick,
        interval: Option<&Interval>,
        now: Instant,
    ) -> Result<Reading, SourceError> {
        let walked = self.walked;
        self.walk_if_due(interval, now);
        let (mut times, mut changed) = (Vec::new(), self.walked != walked);
        if let Some(interval) = interval {
            self.add_up(interval);
            let active = times::active(interval, &self.positions);
            let counted = times::Counted { interval, active: &active, requests: self.block_io.groups(tick) };
            times = times::of_groups(&self.groups, &self.positions, &self.slots, counted);
            changed |= self.slots.assign(&self.groups, &self.positions, &active);
        }
        self.follow(changed);
        self.read(now);
        let reading = self.reading(tick, interval, &times, now);
        self.sampled = Some(now);
        reading
    }

    /// Tells the programs which groups to count by themselves from now on.
    fn follow(&mut self, changed: bool) {
        if changed {
            let Self { slots, groups, reader, .. } = self;
            slots.publish(groups, |group| match reader.hierarchy() {
                Hierarchy::V2 => Some(group.inode),
                Hierarchy::V1 => group.number_of_requests(reader),
            });
        }
        self.sched.follow(&self.slots.of_tasks);
        self.block_io.follow(&self.slots.of_requests);
    }

    /// Why some values are missing for all groups.
    fn reason(&self) -> Option<&'static str> {
        match self.reader.hierarchy() {
            Hierarchy::V1 => Some("cgroup version 1 has no pressure, high limit or kernel memory of a group"),
            Hierarchy::V2 if self.groups.iter().any(Group::has_pressure) => None,
            Hierarchy::V2 => self
                .groups
                .iter()
                .any(Group::was_read_twice)
                .then_some("this kernel does not measure pressure (PSI)"),
        }
    }

    fn reading(
        &mut self,
        tick: &Tick,
        interval: Option<&Interval>,
        times: &[Times],
        now: Instant,
    ) -> Result<Reading, SourceError> {
        let used: Option<Vec<Rates>> =
            interval.map(|interval| self.groups.iter().map(|group| rates(&group.usage, interval)).collect());
        let used_of = |at: usize| used.as_ref().map(|used| &used[at]);
        let cpu: Vec<Option<f64>> = self
            .groups
            .iter()
            .enumerate()
            .map(|(at, group)| document::cpu_percent(group, used_of(at)))
            .collect();
        let chosen = document::choose(&self.groups, &cpu, MAX_LISTED);
        let mut paths = HashSet::new();
        let listed: Vec<(usize, Arc<Named>)> = (0..self.groups.len())
            .filter(|at| chosen[*at])
            // Two names that are not UTF-8 may look the same.
            .filter(|at| paths.insert(&*self.groups[*at].path))
            .map(|at| (at, self.names.of(&self.groups[at].path)))
            .collect();
        let elapsed = self.sampled.map(|last| now.saturating_duration_since(last));
        let body = Body {
            elapsed_ms: elapsed.map(|elapsed| round(elapsed.as_secs_f64() * 1e3, 3)),
            hierarchy: match self.reader.hierarchy() {
                Hierarchy::V1 => "v1",
                Hierarchy::V2 => "v2",
            },
            reason: self.reason(),
            count: self.groups.len(),
            active: self.groups.iter().filter(|group| group.active).count(),
            groups: listed
                .iter()
                .map(|(at, named)| {
                    document::row(&self.groups[*at], named, used_of(*at), times.get(*at), &self.devices)
                })
                .collect(),
            other: document::other(&self.groups, &cpu, &chosen),
        };
        Ok(Reading::new(MetricType::Cgroups, tick.at, &body)?)
    }
}

/// Major and minor number, from the kernel's own form.
fn parts(number: u32) -> (u32, u32) {
    let (major, minor) = (number >> 20, number & 0xf_ffff);
    debug_assert_eq!(device(major, minor), number);
    (major, minor)
}

impl Source for Groups {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Cgroups
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let interval = self.sched.interval(tick);
        self.tick(tick, interval.as_deref(), Instant::now())
    }

    fn report(&self) -> Report {
        let report = Report::active(NAME, MetricType::Cgroups, Method::Procfs);
        if self.walked.is_some() && self.groups.is_empty() {
            let mount = self.reader.hierarchy().mount(&self.roots);
            return Report {
                state: State::Unavailable,
                reason: Some(format!("{} cannot be read", mount.display())),
                remedy: Some("mount a cgroup2 file system at /sys/fs/cgroup".to_owned()),
                ..report
            };
        }
        // The files are read in any case.
        let programs = self.sched.report(Report::active(NAME, MetricType::Cgroups, Method::Ebpf));
        match programs.state {
            State::Active => Report { method: Method::Ebpf, ..report },
            _ => Report {
                reason: programs.reason.map(|why| format!("without waits, switches and counters: {why}")),
                remedy: programs.remedy,
                ..report
            },
        }
    }
}

#[cfg(test)]
mod tests;
