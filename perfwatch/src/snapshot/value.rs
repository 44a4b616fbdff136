//! A value in a document, and the key that identifies an entry of a list or map.

use std::sync::Arc;

use super::histogram::Histogram;

/// One value of a reading.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// The document does not have this member.
    #[default]
    Absent,
    Null,
    /// For an object, list or map: it is present.
    Present,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Arc<str>),
    Histogram(Arc<Histogram>),
    /// JSON text: events, and whatever the dictionary does not describe.
    Json(Arc<str>),
}

impl Value {
    /// As a number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(n) => Some(*n as f64),
            Self::Signed(n) => Some(*n as f64),
            Self::Float(n) => Some(*n),
            _ => None,
        }
    }

    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(n) => Some(*n),
            Self::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it carries no information.
    pub const fn is_vacant(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }
}

/// One part of a row's key: a CPU's number, an interface's name, a PID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// The label is `null` or missing.
    Unnamed,
    Number(u64),
    Text(Arc<str>),
}

impl Label {
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unnamed => Ok(()),
            Self::Number(n) => n.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Identifies a row within its table; outermost label first.
pub type Key = Box<[Label]>;
