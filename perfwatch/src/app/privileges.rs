//! Least privilege: which of the rights of root, or of its file or service, the server keeps.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

use crate::config::Config;
use crate::probes::paranoid;

/// What this process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Measuring,
    /// Also looking into the memory maps and the files of all processes, and at the kernel's symbols.
    Profiling,
}

impl Purpose {
    fn needs(self) -> CapabilitySet {
        match self {
            Self::Measuring => CapabilitySet::empty(),
            Self::Profiling => {
                CapabilitySet::SYS_PTRACE
                    | CapabilitySet::DAC_READ_SEARCH
                    | CapabilitySet::CHECKPOINT_RESTORE
                    | CapabilitySet::SYSLOG
            }
        }
    }
}

/// Drops all capabilities except those needed to measure and serve. Threads inherit them from the thread that starts
/// them, so this must run before any other thread starts.
pub(super) fn reduce(config: &Config, purpose: Purpose) {
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        // Kernels before 5.11 count eBPF maps as locked memory; later ones charge them to the cgroup.
        tracing::debug!(%error, limit = ?getrlimit(Resource::Memlock).current, "cannot raise the limit of locked memory");
    }
    if let Err(error) = keep_only(needed(config) | purpose.needs()) {
        tracing::warn!(%error, "cannot drop unneeded capabilities");
    }
}

/// The capabilities to keep, if held.
fn needed(config: &Config) -> CapabilitySet {
    let mut kept = CapabilitySet::BPF | CapabilitySet::PERFMON;
    if !knows_bpf_capability(&config.roots.proc("sys/kernel/cap_last_cap")) {
        // Before Linux 5.8 this capability covered what those two allow now.
        kept |= CapabilitySet::SYS_ADMIN;
    }
    if paranoid::is_stricter(&config.roots) {
        // Some distributions let only this capability count events, and counters would be lost without it; the doctor
        // says how to avoid it.
        kept |= CapabilitySet::SYS_ADMIN;
    }
    if config.server.listen.port() < 1024 {
        kept |= CapabilitySet::NET_BIND_SERVICE;
    }
    if belongs_to_another(&config.storage.data_dir) {
        // Root runs on the store of a service's user: it writes the files and keeps their owner.
        kept |= CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN;
    }
    if config.sampling.container_sockets.iter().any(|socket| belongs_to_another(socket)) {
        // Of a rootless runtime: only its user may connect, and enter the directory.
        kept |= CapabilitySet::DAC_OVERRIDE;
    }
    if !geteuid().is_root() {
        // Granted on purpose, for the files of container runtimes; root owns those that matter.
        kept |= CapabilitySet::DAC_READ_SEARCH;
    }
    kept
}

fn knows_bpf_capability(last_capability: &Path) -> bool {
    let last = std::fs::read_to_string(last_capability).ok().and_then(|text| text.trim().parse().ok());
    last.is_none_or(|last: u32| last >= CapabilitySet::BPF.bits().trailing_zeros())
}

/// A missing directory is created in its nearest existing ancestor.
fn belongs_to_another(directory: &Path) -> bool {
    let there = directory.ancestors().find_map(|directory| std::fs::metadata(directory).ok());
    there.is_some_and(|directory| directory.uid() != geteuid().as_raw())
}

/// Drops this thread's other capabilities, and any way to regain them, also for programs it starts.
fn keep_only(kept: CapabilitySet) -> rustix::io::Result<()> {
    let has = capabilities(None)?;
    let kept = CapabilitySets {
        effective: has.effective & kept,
        permitted: has.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    // Ambient ones would be passed to child programs, of which there are none.
    clear_ambient_capability_set()?;
    set_capabilities(None, kept)?;
    set_no_new_privs(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A config with this data directory, which also serves as `/proc` and contains only the level.
    fn config(directory: &Path, paranoid: &str, listen: &str, sockets: &str) -> Config {
        let file = directory.join("perfwatch.toml");
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir_all(directory.join("sys/kernel")).unwrap();
        std::fs::write(directory.join("sys/kernel/perf_event_paranoid"), paranoid).unwrap();
        let here = directory.to_str().unwrap();
        let env = [
            ("PERFWATCH_PROCFS", here),
            ("PERFWATCH_DATA_DIR", here),
            ("PERFWATCH_LISTEN", listen),
            ("PERFWATCH_CONTAINER_SOCKETS", sockets),
        ];
        let find =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::load(|_| None, find, Some(&file)).unwrap()
    }

    #[test]
    fn two_capabilities_are_needed_and_others_only_for_what_is_configured() {
        let directory = tempfile::tempdir().unwrap();
        let kept = |paranoid, listen| needed(&config(directory.path(), paranoid, listen, ""));
        let mut two = CapabilitySet::BPF | CapabilitySet::PERFMON;
        if !geteuid().is_root() {
            two |= CapabilitySet::DAC_READ_SEARCH;
        }
        assert_eq!(kept("2", "127.0.0.1:8000"), two);
        assert_eq!(kept("2", "127.0.0.1:443"), two | CapabilitySet::NET_BIND_SERVICE);
        assert_eq!(kept("3", "127.0.0.1:8000"), two | CapabilitySet::SYS_ADMIN);
        let not_there = directory.path().join("not/there/yet");
        assert!(!belongs_to_another(&not_there));
        if geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(12_345), None).unwrap();
            let others = CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN;
            assert_eq!(kept("2", "127.0.0.1:8000"), two | others);
            assert!(belongs_to_another(&not_there));
            std::os::unix::fs::chown(directory.path(), Some(0), None).unwrap();
            let users = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(users.path(), Some(12_345), None).unwrap();
            let with = |socket: &Path| {
                needed(&config(directory.path(), "2", "127.0.0.1:8000", socket.to_str().unwrap()))
            };
            assert_eq!(with(&users.path().join("podman.sock")), two | CapabilitySet::DAC_OVERRIDE);
            assert_eq!(with(&directory.path().join("docker.sock")), two);
        }
    }

    #[test]
    fn kernels_before_5_8_have_no_capability_for_bpf() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cap_last_cap");
        for (last, knows) in [("37\n", false), ("39\n", true), ("40\n", true)] {
            std::fs::write(&file, last).unwrap();
            assert_eq!(knows_bpf_capability(&file), knows, "{last}");
        }
        assert!(knows_bpf_capability(&directory.path().join("none")));
    }

    #[test]
    fn what_is_dropped_is_gone_for_good() {
        // Capabilities are per thread: they end with this one.
        let thread = std::thread::spawn(|| {
            let before = capabilities(None).unwrap();
            let kept = CapabilitySet::BPF | CapabilitySet::PERFMON;
            keep_only(kept).unwrap();
            let after = capabilities(None).unwrap();
            assert_eq!(after.permitted, before.permitted & kept);
            assert_eq!(after.effective, before.effective & kept);
            assert!(after.inheritable.is_empty());
            assert!(rustix::thread::no_new_privs().unwrap());
            if before.permitted != after.permitted {
                assert!(set_capabilities(None, before).is_err(), "a dropped capability came back");
            }
        });
        thread.join().unwrap();
    }
}
