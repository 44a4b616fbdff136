//! The snapshots of the last minutes as they were sent, for a server that has just started.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::snapshot::{Document, MetricType, Snapshot};
use crate::store::rollup::Tier;
use crate::store::{Result, Store, from_micros, micros};

/// Documents of one type fetched at once.
const PAGE: usize = 256;

/// What was stored raw in `from..to`, in time order.
pub async fn recent(store: &dyn Store, from: OffsetDateTime, to: OffsetDateTime) -> Result<Vec<Snapshot>> {
    let mut ticks: BTreeMap<i64, Vec<Document>> = BTreeMap::new();
    for metric_type in MetricType::ALL {
        let mut next = micros(from);
        loop {
            let rows = store.scan(Tier::Raw, metric_type, next, micros(to), PAGE).await?;
            let full = rows.len() == PAGE;
            for row in rows {
                next = row.at + 1;
                let document = Document { metric_type, json: row.data.into() };
                ticks.entry(row.at).or_default().push(document);
            }
            if !full {
                break;
            }
        }
    }
    Ok(ticks.into_iter().map(|(at, documents)| Snapshot::new(from_micros(at), documents)).collect())
}
