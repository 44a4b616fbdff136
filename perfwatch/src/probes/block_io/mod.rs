//! Probe `block_io`, document `block_io`: latency of disk requests.
//!
//! # Hook points
//! tp_btf `block_rq_issue`, `block_rq_complete`. The request is the second argument of the former before 5.11.
//!
//! # Output
//! An array mapped into our memory: each disk has a slot with the counts and histograms of each kind of request.
//! We assign the slots; requests of disks that appeared since are counted in slot 0, shown
//! as `other`, until the next reading assigns them one. Another array has a histogram for each slot of a cgroup.
//!
//! Cost: about 1 µs at issue and another at completion while the hooks are cold, as they are on an idle disk
//! (`cargo xtask bench ebpf`).

mod derive;
pub(super) mod disks;
mod groups;

use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aya::Ebpf;
use aya::maps::MapData;
use perfwatch_common::block_io::{Costs, OPERATIONS, Offsets, Operation, PROGRAMS, STACKED, UNKNOWN_DEVICE};
use perfwatch_common::groups::MAX_SLOTS;

use self::derive::{Device, Interval, OperationInterval, derive};
use self::disks::{Disk, Disks};
use self::groups::GroupLatencies;
use super::Common;
use super::budget::Budget;
use super::guarded::{Guarded, Loaded};
use super::kernel::{Kernel, SharedKernel};
use super::loader::{self, Unavailable};
use super::mapped::Mapped;
use super::slot_map::Slots;
use crate::config::Roots;
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::source::{Method, ProgramStats, Report, Source, SourceError, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "block_io";

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../perfwatch-ebpf/prebuilt/block_io.o");

/// Room for disks that appear later.
const SPARE_PLACES: usize = 16;
const MAX_PLACES: usize = 256;

pub(super) struct BlockIo {
    roots: Roots,
    kernel: SharedKernel,
    shared: SharedBlockIo,
}

/// The programs, for this document and for that of cgroups.
#[derive(Clone)]
pub(super) struct SharedBlockIo(Arc<Mutex<Shared>>);

struct Shared {
    programs: Guarded<Programs>,
    /// Of which tick, and what was counted at slots of cgroups.
    groups: Option<(String, Vec<(u8, Histogram)>)>,
}

impl std::fmt::Debug for SharedBlockIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedBlockIo")
    }
}

impl SharedBlockIo {
    pub(super) fn new(budget: &Budget) -> Self {
        Self(Arc::new(Mutex::new(Shared { programs: Guarded::new(NAME, budget), groups: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the requests of these groups at their slots, if the programs run.
    pub(super) fn follow(&self, slots: &Slots) {
        if let Some(programs) = self.lock().programs.loaded() {
            programs.groups.follow(slots);
        }
    }

    /// Latency from issue, by slot, in the interval that ends with this tick; `None` if it was not read.
    pub(super) fn groups(&self, tick: &Tick) -> Option<Vec<(u8, Histogram)>> {
        self.lock().groups.take_if(|(timestamp, _)| *timestamp == tick.timestamp).map(|(_, groups)| groups)
    }
}

impl BlockIo {
    pub(super) fn new(common: &Common<'_>) -> Self {
        Self { roots: common.roots.clone(), kernel: common.kernel.clone(), shared: common.block_io.clone() }
    }
}

impl Source for BlockIo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::BlockIo
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let load = || Programs::load(self.kernel.get()?, &self.roots);
        let mut shared = self.shared.lock();
        let interval = shared.programs.read(load, Programs::read);
        let groups = shared.programs.loaded().filter(|_| interval.is_some());
        shared.groups = groups.map(|programs| (tick.timestamp.clone(), programs.groups.read()));
        drop(shared);
        self.kernel.release();
        Ok(Reading::new(MetricType::BlockIo, tick.at, &derive(interval.as_ref()))?)
    }

    fn report(&self) -> Report {
        self.shared.lock().programs.report(Report::active(NAME, MetricType::BlockIo, Method::Ebpf))
    }
}

struct Programs {
    ebpf: Ebpf,
    totals: Mapped<Operation>,
    costs: Mapped<Costs>,
    groups: GroupLatencies,
    /// Slot by device number, for the programs.
    places: aya::maps::HashMap<MapData, u32, u32>,
    disks: Disks,
    /// Which disk has which slot, from 1.
    placed: Vec<Disk>,
    /// The last reading of each entry of `totals` that was ever used.
    before: HashMap<u32, Box<Operation>>,
    read_at: Instant,
}

impl Loaded for Programs {
    fn stats(&self) -> Vec<ProgramStats> {
        let costs = (0..self.costs.len()).filter_map(|cpu| self.costs.get(cpu));
        let sum = costs.fold(Costs::default(), |sum, cpu| sum.plus(&cpu));
        loader::stats(&self.ebpf, PROGRAMS, &sum)
    }

    fn missing(&self) -> &[Unavailable] {
        &[]
    }
}

impl Programs {
    fn load(kernel: &Kernel, roots: &Roots) -> Result<Self, Unavailable> {
        let internal = |what: &str| Unavailable::new(format!("the block_io object has no {what}"));
        let offsets = offsets(kernel)?;
        let disks = Disks::new(roots);
        let places = (disks.list().len() + SPARE_PLACES).clamp(SPARE_PLACES, MAX_PLACES);
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let entries = places * OPERATIONS.len() as u32;
        let possible = loader::possible_cpus()?;
        let mut ebpf = loader::load(NAME, OBJECT, |loader| {
            loader
                .override_global("OFFSETS", &offsets, true)
                .map_max_entries("DEVICES", places)
                .map_max_entries("TOTALS", entries)
                .map_max_entries("GROUPS", MAX_SLOTS)
                .map_max_entries("COSTS", possible);
        })?;
        let totals = Mapped::new(&ebpf, "TOTALS", entries)?;
        let costs = Mapped::new(&ebpf, "COSTS", possible)?;
        let groups = GroupLatencies::take(&mut ebpf)?;
        let map = ebpf.take_map("DEVICES").ok_or_else(|| internal("DEVICES"))?;
        let map = aya::maps::HashMap::try_from(map).map_err(|_| internal("DEVICES"))?;
        let mut programs = Self {
            ebpf,
            totals,
            costs,
            groups,
            places: map,
            disks,
            placed: Vec::new(),
            before: HashMap::new(),
            read_at: Instant::now(),
        };
        programs.place_disks();
        kernel.attach(&mut programs.ebpf, "complete", "block_rq_complete")?;
        kernel.attach(&mut programs.ebpf, "issue", "block_rq_issue")?;
        programs.read_at = Instant::now();
        Ok(programs)
    }

    /// Assigns a slot to each disk without one, while any are left.
    fn place_disks(&mut self) {
        let most = self.totals.len() as usize / OPERATIONS.len() - 1;
        for disk in self.disks.list() {
            let known = self.placed.iter().position(|placed| placed.number == disk.number);
            let at = known.unwrap_or(self.placed.len());
            if at >= most || known.is_some_and(|at| self.placed[at] == disk) {
                continue;
            }
            let place = at as u32 + 1;
            let value = if disk.stacked { place | STACKED } else { place };
            if let Err(error) = self.places.insert(disk.number, value, 0) {
                tracing::warn!(disk = disk.name, %error, "the block_io programs cannot identify a disk");
            }
            match known {
                Some(at) => self.placed[at] = disk, // another may have got its number
                None => self.placed.push(disk),
            }
        }
    }

    fn read(&mut self) -> Interval {
        let elapsed = self.read_at.elapsed();
        self.read_at = Instant::now();
        let mut devices = Vec::new();
        let unplaced = self.operations(UNKNOWN_DEVICE);
        let unknown_active = unplaced.iter().flatten().any(|operation| operation.completed > 0);
        if unplaced.iter().any(Option::is_some) {
            devices.push(Device {
                name: "other".into(),
                stacked: false,
                operations: unplaced,
                in_flight: None,
            });
        }
        for place in 1..=self.placed.len() as u32 {
            let operations = self.operations(place);
            if operations.iter().any(Option::is_some) {
                let disk = &self.placed[place as usize - 1];
                let in_flight = self.disks.in_flight(&disk.name);
                devices.push(Device {
                    name: disk.name.clone(),
                    stacked: disk.stacked,
                    operations,
                    in_flight,
                });
            }
        }
        if unknown_active {
            self.place_disks();
        }
        Interval { elapsed, devices }
    }

    /// What the disk in a slot has done since the last reading; `None` for what it never did.
    fn operations(&mut self, place: u32) -> [Option<OperationInterval>; OPERATIONS.len()] {
        std::array::from_fn(|operation| {
            let index = place * OPERATIONS.len() as u32 + operation as u32;
            // Checked first: an entry is 23 KB, and most have never been used.
            let completed = self.totals.load_u64(index, offset_of!(Operation, completed));
            if completed == 0 {
                return None;
            }
            let before = self.before.entry(index).or_insert_with(|| Box::new(Operation::EMPTY));
            if before.completed == completed {
                return Some(OperationInterval::nothing());
            }
            let Operation { completed, bytes, errors, unseen, .. } = **before;
            self.totals.refresh(index, before, offset_of!(Operation, from_issue));
            let grown = |offset, unit, copy| self.totals.grown(index, offset, unit, copy);
            let (from_issue, from_queue) =
                (offset_of!(Operation, from_issue), offset_of!(Operation, from_queue));
            Some(OperationInterval {
                completed: before.completed.saturating_sub(completed),
                bytes: before.bytes.saturating_sub(bytes),
                errors: before.errors.saturating_sub(errors),
                unseen: before.unseen.saturating_sub(unseen),
                from_issue: grown(from_issue, Unit::Nanoseconds, &mut before.from_issue),
                from_queue: grown(from_queue, Unit::Nanoseconds, &mut before.from_queue),
                size: grown(offset_of!(Operation, size), Unit::Bytes, &mut before.size),
            })
        })
    }
}

/// Where this kernel keeps what the programs read.
fn offsets(kernel: &Kernel) -> Result<Offsets, Unavailable> {
    let request = |path: &str| kernel.offset("request", &[path]);
    let queue_disk = kernel.offset("request_queue", &["disk"]);
    let (request_link, link_is_queue, queue_disk) = match (request("rq_disk"), queue_disk) {
        (Ok(link), _) => (link, 0, 0),
        (Err(_), Ok(disk)) => (request("q")?, 1, disk),
        (Err(why), Err(_)) => return Err(why),
    };
    let arguments = kernel.arguments("block_rq_issue").unwrap_or_default();
    let issued = arguments.iter().position(|argument| argument.as_deref() == Some("request"));
    Ok(Offsets {
        issued_argument: issued.and_then(|at| u32::try_from(at).ok()).ok_or_else(|| {
            Unavailable::new("this kernel's tracepoint block_rq_issue does not pass the request".to_owned())
        })?,
        request_link,
        link_is_queue,
        queue_disk,
        request_cmd_flags: request("cmd_flags")?,
        request_data_len: request("__data_len")?,
        request_start_time: request("start_time_ns")?,
        disk_major: kernel.offset("gendisk", &["major"])?,
        disk_first_minor: kernel.offset("gendisk", &["first_minor"])?,
        ..group_offsets(kernel).unwrap_or_default()
    })
}

/// Where a request leads to the cgroup that it is charged to; only kernels with `CONFIG_BLK_CGROUP` have all of it.
fn group_offsets(kernel: &Kernel) -> Option<Offsets> {
    let offset = |structure: &str, path: &str| kernel.offset(structure, &[path]).ok();
    Some(Offsets {
        request_bio: offset("request", "bio")?,
        bio_blkg: offset("bio", "bi_blkg")?,
        blkg_blkcg: offset("blkcg_gq", "blkcg")?,
        blkcg_cgroup: offset("blkcg", "css.cgroup")?,
        cgroup_kn: offset("cgroup", "kn")?,
        kernfs_node_id: offset("kernfs_node", "id")?,
        ..Offsets::default()
    })
}
