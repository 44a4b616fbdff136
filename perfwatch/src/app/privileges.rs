//! Least privilege: which of the rights of root, or of its file or service, the server keeps.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, set_capabilities, set_no_new_privs,
};

use crate::config::Config;
use crate::probes::paranoid;

/// What this process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Measuring,
    /// Also looking into the memory maps and the files of all processes, and at the kernel's symbols: on threads of their
    /// own, since the others answer to whoever comes over the network.
    Serving,
    /// The same, on all threads.
    Profiling,
}

/// To name code: the memory maps of other users' processes, their files also after they are deleted, and the kernel's
/// symbols.
const PROFILING: CapabilitySet = CapabilitySet::SYS_PTRACE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::SYSLOG);

type Job = Box<dyn FnOnce() + Send>;

/// The thread that keeps what profiling needs, and starts others that have it too.
static STARTER: OnceLock<Sender<Job>> = OnceLock::new();

/// Drops all capabilities except those needed for the purpose. Threads inherit them from the thread that starts them, so
/// this must run before any other thread starts.
pub(super) fn reduce(config: &Config, purpose: Purpose) {
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        // Kernels before 5.11 count eBPF maps as locked memory; later ones charge them to the cgroup.
        tracing::debug!(%error, limit = ?getrlimit(Resource::Memlock).current, "cannot raise the limit of locked memory");
    }
    let needed = needed(config);
    let here = match purpose {
        Purpose::Measuring => keep_only(needed),
        Purpose::Serving => {
            start_starter(needed);
            keep_only(needed)
        }
        Purpose::Profiling => keep_only(needed | PROFILING).and_then(|()| pass_on(PROFILING)),
    };
    if let Err(error) = here {
        tracing::warn!(%error, "cannot drop unneeded capabilities");
    }
}

fn start_starter(needed: CapabilitySet) {
    let (send, jobs) = channel::<Job>();
    let work = move || {
        if let Err(error) = keep_only(needed | PROFILING).and_then(|()| pass_on(PROFILING)) {
            tracing::warn!(%error, "cannot keep what profiling needs");
        }
        jobs.into_iter().for_each(|job| job());
    };
    match std::thread::Builder::new().name("starter".to_owned()).spawn(work) {
        Ok(_) => drop(STARTER.set(send)),
        Err(error) => tracing::warn!(%error, "cannot start a thread"),
    }
}

/// Starts a thread with the capabilities that profiling needs, if this process has them.
pub(super) fn spawn_profiling(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let start = move || std::thread::Builder::new().name(name.to_owned()).spawn(work);
    let Some(starter) = STARTER.get() else { return start() };
    let (reply, started) = channel();
    let job = Box::new(move || drop(reply.send(start())));
    let gone = |_| std::io::Error::other("the thread that starts others is gone");
    starter.send(job).map_err(|_| std::io::Error::other("the thread that starts others is gone"))?;
    started.recv().map_err(gone)?
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
    // Ambient ones would be passed to child programs.
    clear_ambient_capability_set()?;
    set_capabilities(None, kept)?;
    set_no_new_privs(true)
}

/// Lets programs that this thread starts have these capabilities, as far as it has them itself: root's do anyway.
fn pass_on(passed: CapabilitySet) -> rustix::io::Result<()> {
    let has = capabilities(None)?;
    let passed = has.permitted & passed;
    set_capabilities(None, CapabilitySets { inheritable: passed, ..has })?;
    passed.iter().try_for_each(|capability| configure_capability_in_ambient_set(capability, true))
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
