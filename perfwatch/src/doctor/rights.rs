//! What this process may do, and the one command that grants what is missing.

use crate::config::Roots;
use crate::probes::{paranoid, rights};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rights {
    /// Capabilities that the probes need and this process lacks.
    pub missing: Vec<&'static str>,
    /// Has `CAP_SYS_ADMIN`.
    pub administrator: bool,
    /// `perf_event_paranoid` is so strict that `CAP_PERFMON` is not enough.
    pub strict: bool,
}

impl Rights {
    pub(super) fn of_this_process(roots: &Roots) -> Self {
        Self {
            missing: rights::missing(),
            administrator: rights::is_administrator(),
            strict: paranoid::is_stricter(roots),
        }
    }

    /// Grants everything that is missing; `None` if nothing is.
    pub(super) fn remedy(&self) -> Option<String> {
        let grant = rights::grant_command();
        match (&*self.missing, self.strict) {
            ([], _) => None,
            (_, false) => Some(grant),
            (_, true) => Some(format!("{grant} && {}", paranoid::REMEDY)),
        }
    }

    /// Replaces a fix that grants only part of what is missing.
    pub(super) fn whole(&self, remedy: String) -> String {
        let part = remedy == rights::grant_command() || remedy == paranoid::REMEDY;
        self.remedy().filter(|_| part).unwrap_or(remedy)
    }

    pub(super) fn reason(&self) -> String {
        let level = if self.strict { ", and kernel.perf_event_paranoid is above 2" } else { "" };
        format!("this process lacks {}{level}", self.missing.join(" and "))
    }
}
