//! The machine and the server's rights there, as `/api/config` describes them.

use std::fs::read_to_string;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Roots;
use crate::host::{self, facts::Facts};
use crate::store::Engine;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct System {
    hostname: String,
    #[serde(flatten)]
    facts: Facts,
    #[schema(example = "sqlite")]
    database: &'static str,
    /// Capabilities the server holds that sources need.
    #[schema(example = json!(["CAP_PERFMON", "CAP_BPF"]))]
    privileges: Vec<&'static str>,
}

impl System {
    /// For those who may not see this machine.
    pub(super) fn withheld(engine: Engine) -> Self {
        let (hostname, facts) = (String::new(), Facts::default());
        Self { hostname, facts, database: engine.as_str(), privileges: Vec::new() }
    }
}

pub(super) fn describe(roots: &Roots, engine: Engine) -> System {
    System {
        hostname: host::name(roots),
        facts: Facts::read(roots),
        database: engine.as_str(),
        privileges: privileges(),
    }
}

fn privileges() -> Vec<&'static str> {
    /// The capabilities that open a source, by their bit in `CapEff`.
    const USED: [(u32, &str); 5] = [
        (19, "CAP_SYS_PTRACE"),
        (21, "CAP_SYS_ADMIN"),
        (24, "CAP_SYS_RESOURCE"),
        (38, "CAP_PERFMON"),
        (39, "CAP_BPF"),
    ];
    // Our own process, wherever the observed system's /proc is.
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = held.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    USED.into_iter().filter(|(bit, _)| held >> bit & 1 == 1).map(|(_, name)| name).collect()
}
