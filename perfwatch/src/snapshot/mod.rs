//! What one tick yields: raw samples, the pure derivations from them, and the documents they become.
//!
//! A leaf: knows no tokio, sqlx, axum or aya. Collectors and probes produce [`Document`]s through the
//! [`source::Source`] trait; stream and store consume a [`Snapshot`].

pub mod cpulist;
pub mod derive;
pub mod diagnosis;
pub mod dictionary;
pub mod histogram;
pub mod latency;
pub mod processes;
pub mod source;

use std::cell::RefCell;
use std::sync::OnceLock;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The documents a tick may carry, by the names history stores them under.
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
}

impl MetricType {
    /// Every type, in the order documents appear in a message.
    pub const ALL: [Self; 11] = [
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
        }
    }

    /// Reads a query parameter; `perf` is the original's alias of `perf_events`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "perf" => Some(Self::PerfEvents),
            _ => Self::ALL.into_iter().find(|t| t.as_str() == name),
        }
    }
}

/// One metric type's JSON object of one tick, serialized once for every consumer.
#[derive(Debug, Clone)]
pub struct Document {
    pub metric_type: MetricType,
    /// A JSON object that begins with `_timestamp` and `_error`.
    pub json: Bytes,
}

impl Document {
    /// Serializes the fields of `body` (which must be a struct or map) behind `_timestamp` and `_error: null`.
    pub fn new(
        metric_type: MetricType,
        timestamp: &str,
        body: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        thread_local! {
            // Documents are of all sizes, and growing to them anew each time costs more than the copy.
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        BUFFER.with_borrow_mut(|json| {
            json.clear();
            json.extend_from_slice(br#"{"_timestamp":""#);
            json.extend_from_slice(timestamp.as_bytes());
            json.extend_from_slice(br#"","_error":null"#);
            let seam = json.len();
            serde_json::to_writer(&mut *json, body)?;
            debug_assert_eq!(json[seam], b'{', "a document's body is a JSON object");
            // `{"a":1}` becomes `,"a":1}`; an empty object only closes.
            if json.get(seam + 1) == Some(&b'}') {
                json.remove(seam);
            } else {
                json[seam] = b',';
            }
            Ok(Self { metric_type, json: Bytes::copy_from_slice(json) })
        })
    }

    /// What stands in for a document whose source failed: nothing but the reason.
    pub fn failed(metric_type: MetricType, timestamp: &str, error: &str) -> Self {
        let json = serde_json::json!({ "_timestamp": timestamp, "_error": error });
        Self { metric_type, json: json.to_string().into() }
    }
}

/// Everything measured at one tick.
#[derive(Debug)]
pub struct Snapshot {
    /// The wall-clock multiple of the sampling interval this tick fell on.
    pub timestamp: OffsetDateTime,
    pub documents: Vec<Document>,
    message: OnceLock<Bytes>,
}

impl Snapshot {
    pub fn new(timestamp: OffsetDateTime, documents: Vec<Document>) -> Self {
        Self { timestamp, documents, message: OnceLock::new() }
    }

    /// What one source made of this tick.
    pub fn document(&self, of: MetricType) -> Option<&Document> {
        self.documents.iter().find(|document| document.metric_type == of)
    }

    /// The WebSocket message `{"type":"metrics",…}`, assembled once and shared.
    pub fn message(&self) -> Bytes {
        self.message
            .get_or_init(|| {
                let size: usize = self.documents.iter().map(|d| d.json.len() + 24).sum();
                let mut out = Vec::with_capacity(size + 96);
                out.extend_from_slice(br#"{"type":"metrics","timestamp":""#);
                out.extend_from_slice(rfc3339(self.timestamp).as_bytes());
                out.extend_from_slice(br#"","data":{"#);
                for (i, document) in self.documents.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.push(b'"');
                    out.extend_from_slice(document.metric_type.as_str().as_bytes());
                    out.extend_from_slice(b"\":");
                    out.extend_from_slice(&document.json);
                }
                out.extend_from_slice(b"}}");
                out.into()
            })
            .clone()
    }
}

/// A timestamp as every answer spells it: RFC 3339 in UTC.
pub fn rfc3339(timestamp: OffsetDateTime) -> String {
    timestamp
        .to_offset(time::UtcOffset::UTC)
        .format(&Rfc3339)
        .expect("years 0 to 9999 always format, and OffsetDateTime holds no others without `large-dates`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use time::macros::datetime;

    #[test]
    fn a_document_carries_timestamp_error_and_the_body() {
        let document = Document::new(MetricType::Cpu, "t", &json!({"user": 1.5})).unwrap();
        let value: Value = serde_json::from_slice(&document.json).unwrap();
        assert_eq!(value, json!({"_timestamp": "t", "_error": null, "user": 1.5}));
        let empty = Document::new(MetricType::Cpu, "t", &json!({})).unwrap();
        assert_eq!(&empty.json[..], br#"{"_timestamp":"t","_error":null}"#);
    }

    #[test]
    fn a_message_holds_every_document_once() {
        let at = datetime!(2026-01-02 03:04:05 UTC);
        let documents = vec![
            Document::new(MetricType::Cpu, "t", &json!({"a": 1})).unwrap(),
            Document::failed(MetricType::Disk, "t", "no \"disk\""),
        ];
        let snapshot = Snapshot::new(at, documents);
        let value: Value = serde_json::from_slice(&snapshot.message()).unwrap();
        assert_eq!(value["type"], "metrics");
        assert_eq!(value["timestamp"], "2026-01-02T03:04:05Z");
        assert_eq!(value["data"]["cpu"]["a"], 1);
        assert_eq!(value["data"]["disk"]["_error"], "no \"disk\"");
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
