//! Ticks that were not taken.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A CPU quota of the server's cgroup, or of one above it, was used up.
    CpuQuota,
    /// The machine was suspended.
    Suspended,
    /// The server got no CPU time for another reason: a machine that is too busy, or a process that was stopped.
    Busy,
}

impl Cause {
    pub const ALL: [Self; 3] = [Self::CpuQuota, Self::Suspended, Self::Busy];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CpuQuota => "cpu_quota",
            Self::Suspended => "suspended",
            Self::Busy => "busy",
        }
    }
}

/// Ticks that were missed just before a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    pub ticks: u64,
    pub cause: Cause,
}
