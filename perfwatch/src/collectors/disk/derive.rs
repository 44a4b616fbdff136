//! From two samples of `/proc/diskstats` to throughput, latency and utilization.

use std::collections::BTreeMap;

use serde::Serialize;

use super::mounts::Partition;
use super::raw::{Counters, Raw};
use crate::collectors::rates::{Rates, per_second};
use crate::kernel_files::block_devices::Kind;
use crate::kernel_files::counter::Width;
use crate::snapshot::derive::round;

const SECTOR: u64 = 512;

/// What this machine does not report, and why.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) disks: Option<String>,
    pub(super) mounts: Option<String>,
    /// Both.
    pub(super) reason: Option<String>,
}

impl Missing {
    pub(super) fn new(disks: Option<String>, mounts: Option<String>) -> Self {
        let all: Vec<&str> = [&disks, &mounts].into_iter().flatten().map(String::as_str).collect();
        let reason = (!all.is_empty()).then(|| all.join("; "));
        Self { disks, mounts, reason }
    }
}

#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Body<'a> {
    /// Why there are no partitions, or no disks.
    reason: Option<&'a str>,
    partitions: &'a [Partition],
    io: Io,
    /// Disks, and the devices made of them (dm, md).
    devices: BTreeMap<&'a str, Activity>,
}

/// Whole disks only, so that nothing is counted twice. Counts are since boot; `null` where they overflow 64 bits, and
/// without `/proc/diskstats`.
#[derive(Debug, Default, Serialize, PartialEq)]
struct Io {
    read_bytes_per_sec: Option<f64>,
    write_bytes_per_sec: Option<f64>,
    read_bytes: Option<u64>,
    write_bytes: Option<u64>,
    read_count: Option<u64>,
    write_count: Option<u64>,
    read_time_ms: Option<u64>,
    write_time_ms: Option<u64>,
}

#[derive(Debug, Default, Serialize, PartialEq)]
struct Activity {
    read_bytes_per_sec: Option<f64>,
    write_bytes_per_sec: Option<f64>,
    read_iops: Option<f64>,
    write_iops: Option<f64>,
    /// From queueing to completion, mean of the requests that completed; `null` when none did.
    read_latency_ms: Option<f64>,
    write_latency_ms: Option<f64>,
    /// Time with at least one request in flight. A device that serves many at once is not saturated at 100.
    utilization_percent: Option<f64>,
    /// Mean number of requests in flight.
    queue_depth: Option<f64>,
}

pub(super) fn derive<'a>(
    previous: Option<(&Raw, Rates)>,
    current: &'a Raw,
    partitions: &'a [Partition],
    missing: &'a Missing,
) -> Body<'a> {
    let intervals = current.devices.iter().enumerate().map(|(at, device)| {
        let interval = previous.and_then(|(raw, rates)| {
            let before = raw.device(&device.name, at)?;
            Some(Interval { before: &before.counters, now: &device.counters, rates })
        });
        (device, interval)
    });
    Body {
        reason: missing.reason.as_deref(),
        partitions,
        io: if missing.disks.is_none() { io(previous, current) } else { Io::default() },
        devices: intervals
            .map(|(device, interval)| (&*device.name, interval.map(|i| i.activity()).unwrap_or_default()))
            .collect(),
    }
}

fn io(previous: Option<(&Raw, Rates)>, current: &Raw) -> Io {
    let disks = || current.devices.iter().enumerate().filter(|(_, device)| device.kind == Kind::Disk);
    let sum = |field: fn(&Counters) -> u64| {
        disks().try_fold(0u64, |sum, (_, device)| sum.checked_add(field(&device.counters)))
    };
    // New disks are left out; a counter that restarted makes the sum unknown.
    let bytes_per_sec = |sectors: fn(&Counters) -> u64| {
        let (raw, rates) = previous?;
        disks().next()?;
        let sectors = disks()
            .filter_map(|(at, device)| Some((raw.device(&device.name, at)?, device)))
            .map(|(before, now)| rates.width.delta(sectors(&before.counters), sectors(&now.counters)))
            .try_fold(0u64, |sum, delta| sum.checked_add(delta?))?;
        per_second(sectors.checked_mul(SECTOR)?, rates.elapsed)
    };
    let bytes = |sectors: fn(&Counters) -> u64| sum(sectors)?.checked_mul(SECTOR);
    Io {
        read_bytes_per_sec: bytes_per_sec(|c| c.sectors_read),
        write_bytes_per_sec: bytes_per_sec(|c| c.sectors_written),
        read_bytes: bytes(|c| c.sectors_read),
        write_bytes: bytes(|c| c.sectors_written),
        read_count: sum(|c| c.reads),
        write_count: sum(|c| c.writes),
        read_time_ms: sum(|c| c.read_ms),
        write_time_ms: sum(|c| c.write_ms),
    }
}

/// One device's counters at two moments.
struct Interval<'a> {
    before: &'a Counters,
    now: &'a Counters,
    rates: Rates,
}

impl Interval<'_> {
    fn count(&self, field: fn(&Counters) -> u64) -> Option<u64> {
        self.rates.width.delta(field(self.before), field(self.now))
    }

    /// Times wrap every 49.7 days on every kernel.
    fn ms(&self, field: fn(&Counters) -> u64) -> Option<u64> {
        Width::Bits32.delta(field(self.before), field(self.now))
    }

    fn bytes(&self, sectors: fn(&Counters) -> u64) -> Option<f64> {
        per_second(self.count(sectors)?.checked_mul(SECTOR)?, self.rates.elapsed)
    }

    /// ms per second of elapsed time, over 1000.
    fn share(&self, field: fn(&Counters) -> u64) -> Option<f64> {
        let elapsed_ms = self.rates.elapsed.as_secs_f64() * 1e3;
        let ms = self.ms(field)?;
        (elapsed_ms > 0.0).then(|| ms as f64 / elapsed_ms)
    }

    fn latency(&self, count: fn(&Counters) -> u64, ms: fn(&Counters) -> u64) -> Option<f64> {
        let (count, ms) = (self.count(count)?, self.ms(ms)?);
        (count > 0).then(|| round(ms as f64 / count as f64, 3))
    }

    fn activity(&self) -> Activity {
        // A device that was replaced by another of the same name restarts all counters, not only those that
        // happen to be lower now.
        let restarted = self.count(|c| c.reads).is_none() || self.count(|c| c.writes).is_none();
        if restarted {
            return Activity::default();
        }
        let iops = |field| per_second(self.count(field)?, self.rates.elapsed);
        Activity {
            read_bytes_per_sec: self.bytes(|c| c.sectors_read),
            write_bytes_per_sec: self.bytes(|c| c.sectors_written),
            read_iops: iops(|c| c.reads),
            write_iops: iops(|c| c.writes),
            read_latency_ms: self.latency(|c| c.reads, |c| c.read_ms),
            write_latency_ms: self.latency(|c| c.writes, |c| c.write_ms),
            // Not read at the same instant as the clock, so it may slightly exceed 100%.
            utilization_percent: self.share(|c| c.busy_ms).map(|share| round((share * 100.0).min(100.0), 2)),
            queue_depth: self.share(|c| c.queued_ms).map(|depth| round(depth, 3)),
        }
    }
}
