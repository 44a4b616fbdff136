//! The doctor's findings: plain data, produced by `doctor` and shown by the command line and the API.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In use.
    Ok,
    /// Not available, and no setting on this machine would change that.
    Note,
    /// Could be used, but isn't.
    Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub name: String,
    pub status: Status,
    pub detail: String,
    /// The exact command or setting that fixes or improves it.
    pub remedy: Option<String>,
}

/// One cause of problems, with everything it affects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub title: String,
    pub reason: String,
    /// Names of the sources that are missing or incomplete because of it.
    pub affects: Vec<String>,
    /// The exact command or setting that fixes it.
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub working: usize,
    /// Number of causes, not of what they affect.
    pub to_fix: usize,
    pub not_available: usize,
}

/// Everything the doctor found, in the order it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub summary: Summary,
    pub problems: Vec<Problem>,
    pub machine: Vec<Finding>,
    pub store: Vec<Finding>,
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
