//! Document `tcp`: what slows connections down.

use std::time::Duration;

use perfwatch_common::tcp::Tcp as Cpu;
use serde::Serialize;

use crate::snapshot::derive::round;
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::latency::Latency;

/// What all CPUs counted in one interval.
#[derive(Debug, Clone)]
pub struct Interval {
    pub elapsed: Duration,
    pub retransmits: u64,
    pub resets_sent: u64,
    pub resets_received: u64,
    pub connects: u64,
    pub connect_failures: u64,
    pub accepts: u64,
    pub connect_latency: Histogram,
    pub smoothed_rtt: Histogram,
    /// Segments in the same interval, from `/proc/net/snmp`.
    pub segments: Option<Segments>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    pub received: u64,
    /// Without retransmitted ones.
    pub sent: u64,
    /// Those that reset or refuse a connection.
    pub resets_sent: u64,
}

impl Interval {
    pub fn new(elapsed: Duration) -> Self {
        Self {
            elapsed,
            retransmits: 0,
            resets_sent: 0,
            resets_received: 0,
            connects: 0,
            connect_failures: 0,
            accepts: 0,
            connect_latency: Histogram::empty(Unit::Nanoseconds),
            smoothed_rtt: Histogram::empty(Unit::Nanoseconds),
            segments: None,
        }
    }

    /// Adds what one CPU counted between two readings.
    pub fn add(&mut self, previous: &Counts, current: &Counts) {
        let grown = |field: fn(&Counts) -> u64| field(current).saturating_sub(field(previous));
        self.retransmits += grown(|counts| counts.retransmits);
        self.resets_sent += grown(|counts| counts.resets_sent);
        self.resets_received += grown(|counts| counts.resets_received);
        self.connects += grown(|counts| counts.connects);
        self.connect_failures += grown(|counts| counts.connect_failures);
        self.accepts += grown(|counts| counts.accepts);
    }

    /// Adds the times that one CPU recorded in the interval.
    pub fn add_times(&mut self, connect_latency: &Histogram, smoothed_rtt: &Histogram) {
        let same_unit = self.connect_latency.merge(connect_latency) && self.smoothed_rtt.merge(smoothed_rtt);
        debug_assert!(same_unit, "all are of times");
    }
}

/// Running totals of one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    retransmits: u64,
    resets_sent: u64,
    resets_received: u64,
    connects: u64,
    connect_failures: u64,
    accepts: u64,
}

impl Counts {
    pub fn of(cpu: &Cpu) -> Self {
        Self {
            retransmits: cpu.retransmits,
            resets_sent: cpu.resets_sent,
            resets_received: cpu.resets_received,
            connects: cpu.connects,
            connect_failures: cpu.connect_failures,
            accepts: cpu.accepts,
        }
    }
}

/// All fields are `null` in the first document, which has no interval yet.
#[derive(Debug, Default, Serialize)]
pub struct Tcp {
    elapsed_ms: Option<f64>,
    /// Retransmitted segments.
    retransmits: Option<u64>,
    retransmits_per_sec: Option<f64>,
    /// Of the segments sent.
    retransmit_percent: Option<f64>,
    resets_sent: Option<u64>,
    resets_sent_per_sec: Option<f64>,
    resets_received: Option<u64>,
    resets_received_per_sec: Option<f64>,
    connects: Option<u64>,
    connects_per_sec: Option<f64>,
    connect_failures: Option<u64>,
    connect_failures_per_sec: Option<f64>,
    accepts: Option<u64>,
    accepts_per_sec: Option<f64>,
    segments_received_per_sec: Option<f64>,
    segments_sent_per_sec: Option<f64>,
    /// From the first SYN until the connection was established.
    connect_latency: Option<Latency>,
    /// The kernel's smoothed round-trip time when an application received data and when a connection ended.
    smoothed_rtt: Option<Latency>,
}

/// Derives the document; without an interval everything is `null`.
pub fn derive(interval: Option<&Interval>) -> Tcp {
    let Some(interval) = interval else { return Tcp::default() };
    let per_sec = |count: u64| {
        let seconds = interval.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| round(count as f64 / seconds, 3))
    };
    let share = |segments: Segments| {
        let all = segments.sent.saturating_add(interval.retransmits);
        (all > 0).then(|| round(interval.retransmits as f64 * 100.0 / all as f64, 4))
    };
    Tcp {
        elapsed_ms: Some(round(interval.elapsed.as_secs_f64() * 1e3, 3)),
        retransmits: Some(interval.retransmits),
        retransmits_per_sec: per_sec(interval.retransmits),
        retransmit_percent: interval.segments.and_then(share),
        resets_sent: Some(interval.resets_sent),
        resets_sent_per_sec: per_sec(interval.resets_sent),
        resets_received: Some(interval.resets_received),
        resets_received_per_sec: per_sec(interval.resets_received),
        connects: Some(interval.connects),
        connects_per_sec: per_sec(interval.connects),
        connect_failures: Some(interval.connect_failures),
        connect_failures_per_sec: per_sec(interval.connect_failures),
        accepts: Some(interval.accepts),
        accepts_per_sec: per_sec(interval.accepts),
        segments_received_per_sec: interval.segments.and_then(|segments| per_sec(segments.received)),
        segments_sent_per_sec: interval.segments.and_then(|segments| per_sec(segments.sent)),
        connect_latency: Some(Latency::of(interval.connect_latency.clone())),
        smoothed_rtt: Some(Latency::of(interval.smoothed_rtt.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retransmits_are_a_share_of_what_was_sent() {
        let mut interval = Interval::new(Duration::from_secs(2));
        interval.retransmits = 5;
        let json = serde_json::to_value(derive(Some(&interval))).unwrap();
        assert_eq!(json["retransmits_per_sec"], 2.5);
        assert!(json["retransmit_percent"].is_null());
        interval.segments = Some(Segments { received: 10, sent: 95, resets_sent: 0 });
        let json = serde_json::to_value(derive(Some(&interval))).unwrap();
        assert_eq!(
            (&json["retransmit_percent"], &json["segments_sent_per_sec"]),
            (&5.0.into(), &47.5.into())
        );
    }

    #[test]
    fn without_an_interval_nothing_is_claimed() {
        let json = serde_json::to_value(derive(None)).unwrap();
        assert!(json.as_object().unwrap().values().all(serde_json::Value::is_null));
    }
}
