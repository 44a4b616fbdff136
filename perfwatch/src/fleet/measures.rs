//! The few numbers that tell how a machine is: they travel with its signs of life.
//!
//! They are read from sums of readings, so that those of a tick and those of a stored minute are the same numbers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::history::bucket::{Bucket, Cell, Stat, longest};
use crate::snapshot::layout::Layout;
use crate::snapshot::{MetricType, Snapshot};

/// Absent is not zero: a machine without disks has no `disk_percent`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measures {
    /// CPU usage, of all CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f32>,
    /// Used share of the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<f32>,
    /// Share of the last ten seconds that some tasks waited for CPU, memory or I/O: the worst of the three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure_percent: Option<f32>,
    /// Utilization of the busiest disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_percent: Option<f32>,
    /// Usage of the fullest file system that can be written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_percent: Option<f32>,
    /// Sent and received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_bytes_per_sec: Option<f32>,
}

/// How many measures there are.
pub const COUNT: usize = 6;

/// What they are read from: types and their fields.
pub const FIELDS: [(MetricType, &[&str]); 5] = [
    (MetricType::Cpu, &["usage_percent"]),
    (MetricType::Memory, &["usage_percent"]),
    (MetricType::Pressure, &["cpu.some.avg10", "memory.some.avg10", "io.some.avg10"]),
    (MetricType::Disk, &["devices.utilization_percent", "partitions.usage_percent", "partitions.access"]),
    (MetricType::Network, &["bytes_sent_per_sec", "bytes_recv_per_sec"]),
];

impl Measures {
    /// Those of a tick.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut measures = Self::default();
        for (metric_type, _) in FIELDS {
            if let Some(reading) = snapshot.reading(metric_type) {
                let mut sums = Bucket::new(metric_type);
                sums.add(reading);
                measures.read(&sums);
            }
        }
        measures
    }

    /// Takes from one type's sums what they have of it.
    pub fn read(&mut self, sums: &Bucket) {
        let average = |name: &str| sums.stat(name).map(Stat::average);
        match sums.metric_type() {
            MetricType::Cpu => self.cpu_percent = average("usage_percent").and_then(percent),
            MetricType::Memory => self.memory_percent = average("usage_percent").and_then(percent),
            MetricType::Pressure => {
                let kinds = ["cpu.some.avg10", "memory.some.avg10", "io.some.avg10"];
                self.pressure_percent =
                    kinds.into_iter().filter_map(average).reduce(f64::max).and_then(percent);
            }
            MetricType::Disk => {
                self.disk_percent =
                    largest(sums, "devices", "utilization_percent", |_| true).and_then(percent);
                let access = column("partitions", "access");
                let is_writable = |row: &[Cell]| match access.map(|(_, column)| &row[column]) {
                    Some(Cell::States(states)) => {
                        longest(states).and_then(|state| state.as_str()).is_none_or(|state| state != "ro")
                    }
                    _ => true,
                };
                self.filesystem_percent =
                    largest(sums, "partitions", "usage_percent", is_writable).and_then(percent);
            }
            MetricType::Network => {
                let ways = ["bytes_sent_per_sec", "bytes_recv_per_sec"];
                let sum = ways.into_iter().filter_map(average).reduce(|a, b| a + b);
                self.network_bytes_per_sec = sum.map(|sum| sum.round() as f32);
            }
            _ => {}
        }
    }

    /// In the order of the fields.
    pub const fn values(&self) -> [Option<f32>; COUNT] {
        [
            self.cpu_percent,
            self.memory_percent,
            self.pressure_percent,
            self.disk_percent,
            self.filesystem_percent,
            self.network_bytes_per_sec,
        ]
    }

    pub const fn from_values(values: [Option<f32>; COUNT]) -> Self {
        let [cpu_percent, memory_percent, pressure_percent, disk_percent, filesystem_percent, network] =
            values;
        Self {
            cpu_percent,
            memory_percent,
            pressure_percent,
            disk_percent,
            filesystem_percent,
            network_bytes_per_sec: network,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.values().iter().all(Option::is_none)
    }

    /// Without what no machine measures, as others may have sent it.
    #[must_use]
    pub fn plausible(&self) -> Self {
        Self::from_values(self.values().map(|value| value.filter(|value| value.is_finite() && *value >= 0.0)))
    }
}

/// With one decimal, which is what anyone looks at.
fn percent(value: f64) -> Option<f32> {
    value.is_finite().then(|| ((value * 10.0).round() / 10.0) as f32)
}

fn column(table: &str, name: &str) -> Option<(usize, usize)> {
    let layout = Layout::of(MetricType::Disk);
    let at = layout.tables.iter().position(|of| of.path == table)?;
    Some((at, layout.tables[at].column(name)?))
}

/// The largest average in a column of a disk's table, among the rows that count.
fn largest(sums: &Bucket, table: &str, name: &str, counts: impl Fn(&[Cell]) -> bool) -> Option<f64> {
    let (table, column) = column(table, name)?;
    let rows = (0..sums.keys_of(table).len()).map(|row| sums.row(table, row));
    let values = rows.filter(|row| counts(row)).filter_map(|row| match &row[column] {
        Cell::Number(stat) => Some(stat.average()),
        _ => None,
    });
    values.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::snapshot::Reading;

    const AT: time::OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn snapshot(bodies: &[(MetricType, serde_json::Value)]) -> Snapshot {
        let readings = bodies.iter().map(|(of, body)| Reading::new(*of, AT, body).unwrap());
        Snapshot::new(AT, readings.collect())
    }

    #[test]
    fn the_worst_of_each_is_told() {
        let partition = |mountpoint: &str, access: &str, usage: f64| json!({"device": "a", "mountpoint": mountpoint, "fstype": "ext4", "usage_percent": usage, "access": access});
        let measures = Measures::of(&snapshot(&[
            (MetricType::Cpu, json!({"usage_percent": 12.34})),
            (MetricType::Pressure, json!({"cpu": {"some": {"avg10": 1.0}}, "io": {"some": {"avg10": 7.5}}})),
            (
                MetricType::Disk,
                json!({
                    "devices": {"sda": {"utilization_percent": 3.0}, "sdb": {"utilization_percent": 80.0}},
                    "partitions": [partition("/", "rw", 40.0), partition("/image", "ro", 100.0)],
                }),
            ),
            (MetricType::Network, json!({"bytes_sent_per_sec": 100.4, "bytes_recv_per_sec": 20.0})),
        ]));
        let told = serde_json::to_value(measures).unwrap();
        assert_eq!(
            told,
            json!({
                "cpu_percent": 12.3_f32, "pressure_percent": 7.5, "disk_percent": 80.0, "filesystem_percent": 40.0,
                "network_bytes_per_sec": 120.0,
            }),
            "what was not measured is absent"
        );
        assert_eq!(serde_json::from_value::<Measures>(told).unwrap(), measures);
    }

    #[test]
    fn what_no_machine_measures_is_dropped() {
        let sent = Measures {
            cpu_percent: Some(f32::INFINITY),
            disk_percent: Some(-1.0),
            memory_percent: Some(5.0),
            ..Measures::default()
        };
        assert_eq!(sent.plausible(), Measures { memory_percent: Some(5.0), ..Measures::default() });
        assert!(Measures::default().is_empty() && !sent.is_empty());
    }
}
