use std::collections::BTreeSet;

use serde_json::Value;

use super::testing::sample;
use super::*;
use crate::snapshot::MetricType;

/// The names that clients of the original rely on: they must not change.
const ORIGINAL: [(MetricType, &str); 5] = [
    (
        MetricType::Cpu,
        "usage_percent per_core user system idle iowait frequency_mhz load_avg temperature core_count physical_cores",
    ),
    (
        MetricType::Memory,
        "total_bytes available_bytes used_bytes usage_percent buffers_bytes cached_bytes shared_bytes \
         swap_total_bytes swap_used_bytes swap_free_bytes swap_percent swap_sin_bytes swap_sout_bytes",
    ),
    (
        MetricType::Network,
        "bytes_sent_per_sec bytes_recv_per_sec total_bytes_sent total_bytes_recv packets_sent packets_recv \
         errors_in errors_out drops_in drops_out interfaces connection_count",
    ),
    (MetricType::Disk, "partitions io"),
    (
        MetricType::MemoryBandwidth,
        "available pgpgin_per_sec pgpgout_per_sec pswpin_per_sec pswpout_per_sec page_io_bytes_per_sec \
         swap_io_bytes_per_sec pgfault_per_sec pgmajfault_per_sec",
    ),
];

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn names_are_unique_snake_case_and_those_of_the_sources() {
    let sources = all(&Roots::default());
    let mut names = BTreeSet::new();
    for ((name, _), source) in REGISTRY.iter().zip(&sources) {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(names.insert(*name), "{name} stands twice");
        assert_eq!(*name, source.name());
        assert_eq!(*name, source.report().name);
        assert_eq!(source.report().metric_type, source.metric_type());
    }
}

#[test]
fn this_machine_is_read_twice_under_the_names_that_clients_know() {
    let mut sources = all(&Roots::default());
    for _ in 0..2 {
        for source in &mut sources {
            let document = sample(source.as_mut());
            assert_eq!(document["_error"], Value::Null);
            let known = ORIGINAL.iter().filter(|(of, _)| *of == source.metric_type());
            for name in known.flat_map(|(_, names)| names.split_whitespace()).chain(["_timestamp"]) {
                assert!(keys(&document).contains(name), "{name}");
            }
        }
    }
}

#[test]
fn rates_are_null_first_and_numbers_after() {
    let paths = [
        (MetricType::Cpu, vec!["/usage_percent", "/per_core/0", "/context_switches_per_sec"]),
        (MetricType::Network, vec!["/interfaces/0/bytes_recv_per_sec"]),
        (MetricType::MemoryBandwidth, vec!["/pgfault_per_sec", "/page_io_bytes_per_sec"]),
    ];
    for mut source in all(&Roots::default()) {
        let Some((_, paths)) = paths.iter().find(|(of, _)| *of == source.metric_type()) else { continue };
        let first = sample(source.as_mut());
        // Until the clock behind the CPU times has advanced.
        let second = (0..10_000_000)
            .map(|_| sample(source.as_mut()))
            .find(|document| paths.iter().all(|path| document.pointer(path).is_some_and(Value::is_number)));
        let second = second.unwrap_or_else(|| panic!("{} never gave all of {paths:?}", source.name()));
        for path in paths {
            assert_eq!(first.pointer(path), Some(&Value::Null), "{path}");
            assert!(second.pointer(path).is_some_and(|v| v.as_f64() >= Some(0.0)), "{path}");
        }
    }
}
