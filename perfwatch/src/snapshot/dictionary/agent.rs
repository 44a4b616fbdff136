//! The fields of `agent`: how PerfWatch itself is doing.

use super::Export::None;
use super::{Field, Kind, field};

pub(super) const AGENT: &[Field] = &[
    field("failing", "", "How many parts of PerfWatch are failing.", None),
    field(
        "parts[part].part",
        "",
        "`database` while it does not respond or takes no snapshots; `spool`: what waits for it cannot be written to disk; `history`: snapshots were lost in the interval; `fleet` while NATS does not take history; `outbox`: history that waited for NATS was lost or reduced to minutes in the interval; each source, as `source cpu`.",
        None,
    )
    .of_kind(Kind::State),
    field("parts[part].failing", "", "1 while it is failing, otherwise 0.", None),
];
