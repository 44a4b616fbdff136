//! The fields of `presence`: what a hub hears of a host.

use super::Export::None;
use super::{Field, field};

pub(super) const PRESENCE: &[Field] = &[
    field(
        "silent_seconds",
        "s",
        "How long nothing was heard of the host; an hour less after a clean stop. There is none while the hub does not hear NATS, or has not listened for a minute.",
        None,
    ),
    field(
        "clock_skew_seconds",
        "s",
        "How far the host's clock is ahead of the hub's, with the time that a message took.",
        None,
    ),
];
