//! What one tick produces: raw samples, the pure derivations from them, and the resulting documents.
//!
//! A leaf module: independent of tokio, sqlx, axum and aya. Collectors and probes produce [`Document`]s through the
//! [`source::Source`] trait; stream and store consume a [`Snapshot`].

pub mod cpulist;
pub mod derive;
pub mod diagnosis;
pub mod dictionary;
mod flatten;
pub mod histogram;
pub mod json;
pub mod latency;
pub mod layout;
pub mod missed;
pub mod processes;
mod reading;
pub mod selection;
pub mod source;
pub mod value;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use missed::Missed;
pub use reading::{Reading, Table};

/// The documents a tick may contain, by the names used in history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    Cpu,
    Memory,
    Network,
    Disk,
    PerfEvents,
    MemoryBandwidth,
    Scheduler,
    BlockIo,
    Tcp,
    Processes,
    Pressure,
    Cgroups,
    Usage,
    Profile,
    Agent,
    Presence,
}

impl MetricType {
    /// Every type, in the order documents appear in a message.
    pub const ALL: [Self; 16] = [
        Self::Cpu,
        Self::Memory,
        Self::Network,
        Self::Disk,
        Self::PerfEvents,
        Self::MemoryBandwidth,
        Self::Scheduler,
        Self::BlockIo,
        Self::Tcp,
        Self::Processes,
        Self::Pressure,
        Self::Cgroups,
        Self::Usage,
        Self::Profile,
        Self::Agent,
        Self::Presence,
    ];

    /// The name in JSON, SQL and query parameters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::PerfEvents => "perf_events",
            Self::MemoryBandwidth => "memory_bandwidth",
            Self::Scheduler => "scheduler",
            Self::BlockIo => "block_io",
            Self::Tcp => "tcp",
            Self::Processes => "processes",
            Self::Pressure => "pressure",
            Self::Cgroups => "cgroups",
            Self::Usage => "usage",
            Self::Profile => "profile",
            Self::Agent => "agent",
            Self::Presence => "presence",
        }
    }

    /// Whether it is a document of its own: kept as JSON for SQL, described to the page, compared in "what changed". The
    /// accounts of every process are for history's own questions, how sampling goes is no news of the machine, and when a
    /// host was heard is known to hubs, for their rules.
    pub const fn is_shown(self) -> bool {
        !matches!(self, Self::Usage | Self::Profile | Self::Presence)
    }

    /// Whether it is part of live messages. With hundreds of cgroups they would be too large for slow links, and how PerfWatch
    /// itself is doing changes rarely.
    pub const fn is_streamed(self) -> bool {
        self.is_shown() && !matches!(self, Self::Cgroups | Self::Agent)
    }

    /// Parses a query parameter; `perf` is the original's alias of `perf_events`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "perf" => Some(Self::PerfEvents),
            _ => Self::ALL.into_iter().find(|t| t.as_str() == name),
        }
    }
}

/// Everything measured at one tick.
#[derive(Debug)]
pub struct Snapshot {
    /// The wall-clock multiple of the sampling interval that this tick fell on.
    pub timestamp: OffsetDateTime,
    pub readings: Vec<Reading>,
    /// Time between snapshots, if known.
    interval: Option<Duration>,
    missed: Option<Missed>,
    message: OnceLock<Bytes>,
}

impl Snapshot {
    pub fn new(timestamp: OffsetDateTime, readings: Vec<Reading>) -> Self {
        Self { timestamp, readings, interval: None, missed: None, message: OnceLock::new() }
    }

    /// Of another machine, which has made the message: without readings.
    pub fn received(timestamp: OffsetDateTime, message: Bytes) -> Self {
        Self { message: OnceLock::from(message), ..Self::new(timestamp, Vec::new()) }
    }

    /// Sets the time between snapshots.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Time between snapshots, if known.
    pub const fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Sets what was missed before it.
    #[must_use]
    pub fn after(mut self, missed: Option<Missed>) -> Self {
        self.missed = missed;
        self
    }

    /// The same tick with a reason in place of every document.
    #[must_use]
    pub fn failed(&self, reason: &str) -> Self {
        let failed = |reading: &Reading| Reading::failed(reading.metric_type, self.timestamp, reason);
        let readings = self.readings.iter().map(failed).collect();
        Self { interval: self.interval, missed: self.missed, ..Self::new(self.timestamp, readings) }
    }

    /// One source's reading at this tick.
    pub fn reading(&self, of: MetricType) -> Option<&Reading> {
        self.readings.iter().find(|reading| reading.metric_type == of)
    }

    /// The WebSocket message `{"type":"metrics",…}`, built on first use and shared.
    pub fn message(&self) -> Bytes {
        self.message
            .get_or_init(|| {
                let mut out = Vec::with_capacity(16 << 10);
                out.extend_from_slice(br#"{"type":"metrics","timestamp":""#);
                out.extend_from_slice(rfc3339(self.timestamp).as_bytes());
                out.push(b'"');
                if let Some(interval) = self.interval {
                    out.extend_from_slice(format!(",\"interval_ms\":{}", interval.as_millis()).as_bytes());
                }
                if let Some(Missed { ticks, cause }) = self.missed {
                    let cause = cause.as_str();
                    out.extend_from_slice(
                        format!(r#","missed":{{"ticks":{ticks},"cause":"{cause}"}}"#).as_bytes(),
                    );
                }
                out.extend_from_slice(br#","data":{"#);
                let shown = self.readings.iter().filter(|reading| reading.metric_type.is_streamed());
                for (i, reading) in shown.enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.push(b'"');
                    out.extend_from_slice(reading.metric_type.as_str().as_bytes());
                    out.extend_from_slice(b"\":");
                    reading.append_json(&mut out);
                }
                out.extend_from_slice(b"}}");
                out.into()
            })
            .clone()
    }
}

/// A timestamp as in all responses: RFC 3339 in UTC, which covers years 0 to 9999. A store written by others may
/// contain earlier ones.
pub fn rfc3339(timestamp: OffsetDateTime) -> String {
    let utc = timestamp.checked_to_offset(time::UtcOffset::UTC);
    utc.and_then(|utc| utc.format(&Rfc3339).ok()).unwrap_or_else(|| "0000-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use time::macros::datetime;

    const AT: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    #[test]
    fn no_time_is_too_early_to_be_written() {
        assert_eq!(rfc3339(AT), "2026-01-02T03:04:05Z");
        for early in [
            datetime!(-0001-12-31 23:59:59 UTC),
            datetime!(-9999-01-01 00:00 +23:59),
            datetime!(0000-01-01 00:00 +1),
        ] {
            assert_eq!(rfc3339(early), "0000-01-01T00:00:00Z", "{early}");
        }
    }

    #[test]
    fn a_document_carries_timestamp_error_and_the_body() {
        let reading = Reading::new(MetricType::Cpu, AT, &json!({"user": 1.5})).unwrap();
        let text = r#"{"_timestamp":"2026-01-02T03:04:05Z","_error":null,"user":1.5}"#;
        assert_eq!(std::str::from_utf8(&reading.json()).unwrap(), text);
        let empty = Reading::new(MetricType::Cpu, AT, &json!({})).unwrap();
        assert_eq!(&empty.json()[..], br#"{"_timestamp":"2026-01-02T03:04:05Z","_error":null}"#);
    }

    #[test]
    fn a_message_holds_every_document_once() {
        let readings = vec![
            Reading::new(MetricType::Cpu, AT, &json!({"user": 1})).unwrap(),
            Reading::failed(MetricType::Disk, AT, "no \"disk\""),
        ];
        let snapshot = Snapshot::new(AT, readings);
        let value: Value = serde_json::from_slice(&snapshot.message()).unwrap();
        assert_eq!(value["type"], "metrics");
        assert_eq!(value["timestamp"], "2026-01-02T03:04:05Z");
        assert_eq!(value["data"]["cpu"]["user"], 1);
        assert_eq!(value["data"]["disk"]["_error"], "no \"disk\"");
        assert!(value.get("missed").is_none());
        let short: Value = serde_json::from_slice(&snapshot.failed("too large").message()).unwrap();
        let document = json!({"_timestamp": "2026-01-02T03:04:05Z", "_error": "too large"});
        assert_eq!(short["data"], json!({"cpu": document, "disk": document}));
        let missed = Missed { ticks: 3, cause: missed::Cause::CpuQuota };
        let snapshot = Snapshot::new(AT, Vec::new()).every(Duration::from_secs(1)).after(Some(missed));
        for snapshot in [snapshot.failed("too large"), snapshot] {
            let value: Value = serde_json::from_slice(&snapshot.message()).unwrap();
            assert_eq!(value["missed"], json!({"ticks": 3, "cause": "cpu_quota"}));
            assert_eq!(value["interval_ms"], 1000);
        }
    }

    #[test]
    fn names_round_trip_and_perf_is_an_alias() {
        for t in MetricType::ALL {
            assert_eq!(MetricType::parse(t.as_str()), Some(t));
            assert_eq!(serde_json::to_value(t).unwrap(), t.as_str());
        }
        assert_eq!(MetricType::parse("perf"), Some(MetricType::PerfEvents));
        assert_eq!(MetricType::parse("CPU"), None);
    }
}
