//! The capabilities that the probes need, and the command that grants them.

use rustix::thread::{CapabilitySet, capabilities};

/// Name and set of each.
const NEEDED: [(&str, CapabilitySet); 2] =
    [("CAP_BPF", CapabilitySet::BPF), ("CAP_PERFMON", CapabilitySet::PERFMON)];

/// Those that this thread lacks. `CAP_SYS_ADMIN` includes both.
pub fn missing() -> Vec<&'static str> {
    missing_in(effective())
}

/// Whether this thread has `CAP_SYS_ADMIN`.
pub fn is_administrator() -> bool {
    effective().contains(CapabilitySet::SYS_ADMIN)
}

/// The command that grants an ordinary user's binary what the probes need.
pub fn grant_command() -> String {
    let binary = std::env::current_exe().unwrap_or_else(|_| "perfwatch".into());
    format!("sudo setcap cap_bpf,cap_perfmon=ep {}", binary.display())
}

/// The same, and what names the code of other users' processes in profiles.
pub fn grant_for_profiles() -> String {
    let more = "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,cap_checkpoint_restore,cap_syslog=ep";
    grant_command().replace("cap_bpf,cap_perfmon=ep", more)
}

fn effective() -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

fn missing_in(held: CapabilitySet) -> Vec<&'static str> {
    let lacks = |set: CapabilitySet| !held.contains(set) && !held.contains(CapabilitySet::SYS_ADMIN);
    NEEDED.into_iter().filter(|(_, set)| lacks(*set)).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_or_the_old_one_that_included_them_suffice() {
        let two = CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert_eq!(missing_in(CapabilitySet::empty()), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing_in(CapabilitySet::PERFMON), ["CAP_BPF"]);
        assert_eq!(missing_in(two), [""; 0]);
        assert_eq!(missing_in(CapabilitySet::SYS_ADMIN), [""; 0]);
    }
}
