//! The machines of a fleet as a hub sees them: whether each lives, and its headline measures. Few series a host, so that
//! one Prometheus can scrape a hub, and another federate from it; for everything, scrape the machines.

use super::exposition::{Exposition, Kind, Label};
use crate::api::AppState;
use crate::fleet::presence::State;
use crate::host::Host;
use crate::store::micros;
use time::OffsetDateTime;

/// Hosts whose series are told; `perfwatch_fleet_hosts` counts all.
const MAX_HOSTS: usize = 5000;

/// Names of the measures, what they tell, and the factor to base units.
const MEASURES: [(&str, &str, f64); 6] = [
    ("host_cpu_ratio", "CPU usage of a host, of all CPUs.", 0.01),
    ("host_memory_ratio", "Used share of a host's memory.", 0.01),
    (
        "host_pressure_ratio",
        "Share of the last ten seconds that some tasks waited for CPU, memory or I/O: the worst of the three.",
        0.01,
    ),
    ("host_disk_ratio", "Utilization of the busiest disk.", 0.01),
    ("host_filesystem_ratio", "Usage of the fullest file system that can be written to.", 0.01),
    ("host_network_bytes_per_second", "Sent and received by a host.", 1.0),
];

pub(super) fn write(state: &AppState, hosts: &[Host], exposition: &mut Exposition) {
    let now = micros(OffsetDateTime::now_utc());
    let count = hosts.len() as f64;
    exposition.add("fleet_hosts", Kind::Gauge, "Hosts that this hub knows.", &[], count);
    for host in hosts.iter().take(MAX_HOSTS) {
        let labels: [Label; 1] = [("host", host.id.clone())];
        let seen = state.fleet.courses.now(&host.id);
        let presence = state.fleet.presence.state(&host.id, seen.stored, now);
        let lives = u8::from(presence != State::Silent);
        exposition.add("host_live", Kind::Gauge, "1 if a host was heard of lately.", &labels, lives);
        let named = [labels[0].clone(), ("name", host.name.clone())];
        exposition.add("host_info", Kind::Gauge, "The name of a host.", &named, 1);
        if let Some(skew) = state.fleet.presence.skew(&host.id) {
            let help = "How far a host's clock is ahead of this hub's.";
            exposition.add("host_clock_skew_seconds", Kind::Gauge, help, &labels, skew as f64 / 1e6);
        }
        for ((name, help, factor), value) in MEASURES.into_iter().zip(seen.measures.values()) {
            if let Some(value) = value.filter(|_| presence != State::Silent) {
                exposition.add(name, Kind::Gauge, help, &labels, f64::from(value) * factor);
            }
        }
    }
}
