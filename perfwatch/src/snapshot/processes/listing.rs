//! All processes on the machine, including idle ones; the document `processes` has only the busiest.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::{CgroupName, ProcessRow, Rates};

/// Creates [`Listing`]s. Reads several files for each process, so it must not run on an async worker.
pub trait Lister: std::fmt::Debug + Send + Sync {
    fn list(&self) -> Arc<Listing>;
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Timestamp of the tick whose interval the rates cover.
    pub timestamp: String,
    pub elapsed_ms: Option<f64>,
    /// Processes that ran during the interval; `None` if unknown.
    pub active: Option<usize>,
    /// Processes that `/proc` hides from us; `None` if their number is unknown.
    pub hidden: Option<usize>,
    /// Sum of all processes, including those that exited and are not listed.
    pub total: Option<Rates>,
    /// In no particular order.
    pub rows: Vec<ProcessRow>,
    /// What the cgroups of the rows are, by path.
    pub groups: HashMap<String, CgroupName>,
    /// By PID; of those that have ended there may be none.
    pub facts: HashMap<u32, Arc<Facts>>,
    /// Whether command lines may be shown.
    pub command_lines: bool,
}

/// What is known of a process besides what it uses; `None` if it can't be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub user: Option<String>,
    /// When it was first asked for.
    pub parent_pid: Option<u32>,
    pub started: Option<String>,
    pub executable: Option<String>,
    /// With secrets masked.
    pub command: Option<String>,
}

impl Listing {
    /// Processes whose name, command line, user or cgroup contains the text (case-insensitive), or with this PID.
    pub fn find(&self, text: Option<&str>) -> Vec<&ProcessRow> {
        let Some(text) = text else { return self.rows.iter().collect() };
        let (pid, text) = (text.parse::<u32>().ok(), text.to_lowercase());
        let contains = |field: &str| field.to_lowercase().contains(&text);
        let found = |row: &&ProcessRow| {
            Some(row.pid) == pid
                || contains(&row.comm)
                || row.user.as_deref().is_some_and(contains)
                || row.cgroup.as_deref().is_some_and(contains)
                || self.facts.get(&row.pid).and_then(|facts| facts.command.as_deref()).is_some_and(contains)
        };
        self.rows.iter().filter(found).collect()
    }
}
