//! The fields of the document about sampling.

use super::Export::{Gauge, Interval, None};
use super::{Field, Kind, field};

/// How sampling goes; the profiles themselves are not documents.
pub(super) const PROFILE: &[Field] = &[
    field("elapsed_ms", "ms", "Time that the values cover.", None),
    field(
        "frequency_hz",
        "Hz",
        "Samples per second of each busy CPU.",
        Gauge("profile_frequency_hertz", 1.0),
    ),
    field("trigger", "", "What makes a CPU take a sample: `cycles` or `cpu_clock`.", None)
        .of_kind(Kind::State),
    field("samples", "", "Samples of running code.", Interval("profile_samples_total", 1.0)),
    field(
        "lost_samples",
        "",
        "Samples that found no room in the ring buffer.",
        Interval("profile_lost_samples_total", 1.0),
    ),
    field(
        "user_stacks",
        "",
        "User stacks that were unwound; samples of kernel threads have none.",
        Interval("profile_user_stacks_total", 1.0),
    ),
    field(
        "complete_stacks",
        "",
        "Those of them that were unwound up to their outermost function.",
        Interval("profile_complete_stacks_total", 1.0),
    ),
];
