//! What the doctor found: plain data, made by `doctor` and told by the command line and the API.

use serde::Serialize;

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In use.
    Ok,
    /// Not there, and no setting of this machine would bring it.
    Note,
    /// It could be used and is not.
    Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub name: String,
    pub status: Status,
    pub detail: String,
    /// The exact command or setting that would mend it.
    pub remedy: Option<String>,
}

/// Everything the doctor found, in the order it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub machine: Vec<Finding>,
    pub sources: Vec<Finding>,
    pub events: Vec<Finding>,
}

impl Finding {
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, detail: detail.into(), remedy: None }
    }

    pub fn note(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { status: Status::Note, ..Self::ok(name, detail) }
    }

    pub fn problem(name: impl Into<String>, detail: impl Into<String>, remedy: Option<String>) -> Self {
        Self { status: Status::Problem, remedy, ..Self::ok(name, detail) }
    }
}
