//! The collectors on recorded machines: what they report for another machine's `/proc` and `/sys`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod absences;
mod broken_lines;
mod documents;
mod machine;
mod impossible;
mod machines;
mod properties;
mod reported;
mod scale;
mod sensors;
mod stacked;
