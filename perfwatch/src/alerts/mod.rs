//! Alerts: rules over everything that is measured, evaluated at each tick on the values of its readings.
//!
//! A [rule](rule::Rule) names a field of the dictionary; [`compile`] resolves it to positions in the layout once. For
//! each thing it is about there is a [`window`] and a state [`machine`]; the [`evaluator`] drives all of them and returns
//! what changed, which is stored in one transaction with the events that tell it. [`delivery`] tells these to
//! [`channels`], each at its own pace.
//!
//! A single machine evaluates its own snapshots ([`service`]). A hub evaluates what all hosts of its fleet send it for that
//! ([`fleet`], [`inputs`]), if it is the one of several hubs whose [`duty`] that is.

pub mod answer;
pub mod catalogue;
mod changes;
pub mod channel;
pub mod channels;
pub mod compile;
pub mod courses;
pub mod delivery;
pub mod duty;
pub mod evaluator;
pub mod event;
pub mod fields;
pub mod file;
mod finding;
pub mod fleet;
pub mod heartbeat;
pub mod inputs;
pub mod judges;
mod labels;
pub mod machine;
pub mod maintenance;
pub mod message;
mod pace;
pub mod past;
mod pattern;
pub mod preview;
pub mod period;
pub mod prometheus;
pub mod rows;
pub mod rule;
mod saving;
pub mod send;
pub mod service;
pub mod stock;
mod template;
mod thing;
pub mod trial;
mod unsaved;
mod vault;
mod warming;
mod watched;
mod window;
