//! Document `block_io`: latency of disk requests.

use std::collections::BTreeMap;
use std::time::Duration;

use perfwatch_common::block_io::{OPERATIONS, READ, WRITE};
use serde::Serialize;

use crate::snapshot::derive::round;
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::latency::{Latency, Statistic};

/// What the programs counted in one interval.
#[derive(Debug, Clone, Default)]
pub struct Interval {
    pub elapsed: Duration,
    pub devices: Vec<Device>,
}

/// A disk that has had requests.
#[derive(Debug, Clone)]
pub struct Device {
    pub name: String,
    /// Made of other disks, or of a file on one: its requests are repeated below.
    pub stacked: bool,
    /// By kind; `None` for a kind the disk never had.
    pub operations: [Option<OperationInterval>; OPERATIONS.len()],
    pub in_flight: Option<InFlight>,
}

/// Requests in flight now (`/sys/block/<name>/inflight`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InFlight {
    pub read: u64,
    pub write: u64,
}

#[derive(Debug, Clone)]
pub struct OperationInterval {
    pub completed: u64,
    pub bytes: u64,
    pub errors: u64,
    pub unseen: u64,
    pub from_issue: Histogram,
    pub from_queue: Histogram,
    pub size: Histogram,
}

impl OperationInterval {
    /// A disk on which nothing completed.
    pub fn nothing() -> Self {
        Self {
            completed: 0,
            bytes: 0,
            errors: 0,
            unseen: 0,
            from_issue: Histogram::empty(Unit::Nanoseconds),
            from_queue: Histogram::empty(Unit::Nanoseconds),
            size: Histogram::empty(Unit::Bytes),
        }
    }
}

/// Everything is `null` or empty in the first document, which has no interval yet.
#[derive(Debug, Default, Serialize)]
pub struct BlockIo {
    elapsed_ms: Option<f64>,
    /// Reads and writes of all disks that are not made of others, from issue to completion.
    total: Option<Latency>,
    devices: BTreeMap<String, DeviceRow>,
}

#[derive(Debug, Serialize)]
struct DeviceRow {
    in_flight: Option<InFlight>,
    read: Option<OperationRow>,
    write: Option<OperationRow>,
    flush: Option<OperationRow>,
    discard: Option<OperationRow>,
}

#[derive(Debug, Serialize)]
struct OperationRow {
    requests: u64,
    requests_per_sec: Option<f64>,
    bytes_per_sec: Option<f64>,
    errors: u64,
    /// Requests issued before the programs were attached: not part of the times from issue.
    unseen: u64,
    /// From issue to completion: the device's own time.
    #[serde(flatten)]
    from_issue: Latency,
    /// From when the request was made, so including the time it waited in queues.
    from_queue: Latency,
    size: Sizes,
}

#[derive(Debug, Serialize)]
struct Sizes {
    mean_bytes: Option<f64>,
    max_bytes: Option<u64>,
    histogram: Histogram,
}

/// Derives the document; without an interval everything is `null`.
pub fn derive(interval: Option<&Interval>) -> BlockIo {
    let Some(interval) = interval else { return BlockIo::default() };
    let mut total = Histogram::empty(Unit::Nanoseconds);
    for device in interval.devices.iter().filter(|device| !device.stacked) {
        for operation in [READ, WRITE] {
            if let Some(operation) = &device.operations[operation as usize] {
                let same_unit = total.merge(&operation.from_issue);
                debug_assert!(same_unit, "all are of times");
            }
        }
    }
    BlockIo {
        elapsed_ms: Some(round(interval.elapsed.as_secs_f64() * 1e3, 3)),
        total: Some(Latency::of(total)),
        devices: interval
            .devices
            .iter()
            .map(|device| (device.name.clone(), row(device, interval.elapsed)))
            .collect(),
    }
}

fn row(device: &Device, elapsed: Duration) -> DeviceRow {
    let [read, write, flush, discard] = device.operations.each_ref().map(|operation| {
        let operation = operation.as_ref()?;
        let per_sec = |amount: u64| {
            let seconds = elapsed.as_secs_f64();
            (seconds > 0.0).then(|| round(amount as f64 / seconds, 1))
        };
        Some(OperationRow {
            requests: operation.completed,
            requests_per_sec: per_sec(operation.completed),
            bytes_per_sec: per_sec(operation.bytes),
            errors: operation.errors,
            unseen: operation.unseen,
            from_issue: Latency::of(operation.from_issue.clone()),
            from_queue: Latency::of(operation.from_queue.clone()),
            size: Sizes {
                mean_bytes: Statistic::MeanBytes.of(&operation.size).as_f64(),
                max_bytes: Statistic::MaxBytes.of(&operation.size).as_u64(),
                histogram: operation.size.clone(),
            },
        })
    });
    DeviceRow { in_flight: device.in_flight, read, write, flush, discard }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfwatch_common::histogram::index;

    fn operation(latencies: &[u64]) -> OperationInterval {
        let histogram = |unit, values: &[u64]| {
            let max = values.iter().copied().max().unwrap_or(0);
            Histogram::from_counts(unit, values.iter().map(|v| (index(*v), 1)), values.iter().sum(), max)
        };
        OperationInterval {
            completed: latencies.len() as u64,
            bytes: 4096 * latencies.len() as u64,
            errors: 0,
            unseen: 0,
            from_issue: histogram(Unit::Nanoseconds, latencies),
            from_queue: histogram(Unit::Nanoseconds, latencies),
            size: histogram(Unit::Bytes, &vec![4096; latencies.len()]),
        }
    }

    #[test]
    fn the_total_is_of_reads_and_writes_of_all_disks() {
        let device = |name: &str, operations| Device {
            name: name.into(),
            stacked: name.starts_with("dm-"),
            operations,
            in_flight: None,
        };
        let flush = Some(operation(&[9_000_000]));
        let interval = Interval {
            elapsed: Duration::from_secs(2),
            devices: vec![
                device("vda", [Some(operation(&[1000, 3000])), Some(operation(&[2000])), flush, None]),
                device("vdb", [None, Some(operation(&[5_000_000_000])), None, None]),
                device("dm-0", [None, Some(operation(&[5_000_000_100])), None, None]), // the same request
            ],
        };
        let json = serde_json::to_value(derive(Some(&interval))).unwrap();
        assert_eq!(json["total"]["histogram"]["count"], 4);
        assert_eq!(json["total"]["max_us"], 5_000_000.0);
        let read = &json["devices"]["vda"]["read"];
        assert_eq!((&read["requests"], &read["requests_per_sec"]), (&2.into(), &1.0.into()));
        assert_eq!(read["bytes_per_sec"], 4096.0);
        assert_eq!((&read["max_us"], &read["from_queue"]["max_us"]), (&3.0.into(), &3.0.into()));
        assert_eq!(read["size"]["histogram"]["unit"], "bytes");
        assert!(json["devices"]["vdb"]["read"].is_null());
    }

    #[test]
    fn without_an_interval_nothing_is_claimed() {
        let json = serde_json::to_value(derive(None)).unwrap();
        assert_eq!(json, serde_json::json!({"elapsed_ms": null, "total": null, "devices": {}}));
    }
}
