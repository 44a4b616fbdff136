//! Loading objects into the kernel, and explaining refusals.
#![allow(unsafe_code)] // the bpf(2) calls aya has no method for

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use aya::maps::{Map, MapData};
use aya::{Ebpf, EbpfError, EbpfLoader};
use perfwatch_common::cost::Costs;

use super::rights;
use crate::snapshot::source::ProgramStats;

/// Why a probe is not available, as `/api/sources` reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    pub reason: String,
    pub remedy: Option<String>,
    /// Whether a later attempt may succeed.
    pub may_pass: bool,
}

/// No memory, none for now, in use, and limits that others may leave again.
const PASSING: [libc::c_int; 7] =
    [libc::ENOMEM, libc::EAGAIN, libc::EBUSY, libc::EINTR, libc::EMFILE, libc::ENFILE, libc::ENOSPC];

impl Unavailable {
    pub(super) fn new(reason: String) -> Self {
        Self { reason, remedy: None, may_pass: false }
    }

    /// Turns an error while loading or attaching into reason and remedy.
    pub(super) fn from_error(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut words = error.to_string();
        let mut errno = None;
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                errno = io.raw_os_error();
                // Some of aya's errors print their cause, some do not.
                let io = io.to_string();
                if !words.contains(&io) {
                    words = format!("{words}: {io}");
                }
            }
            cause = error.source();
        }
        let words = without_verifier_log(&words);
        let (reason, remedy) = match errno {
            Some(libc::EPERM | libc::EACCES) => match &*rights::missing() {
                [] => (format!("{what} is not permitted, although the rights are held ({words})"), None),
                missing => (format!("{what} needs {}", missing.join(" and ")), Some(rights::grant_command())),
            },
            Some(libc::ENOSYS) => (
                format!("{what}: this kernel was built without bpf(2)"),
                Some("use a kernel built with CONFIG_BPF_SYSCALL=y".to_owned()),
            ),
            _ => (format!("{what} failed: {words}"), None),
        };
        let may_pass = errno.is_some_and(|errno| PASSING.contains(&errno));
        Self { reason, remedy, may_pass }
    }
}

/// An error's text with the verifier's verdict instead of its whole log, which goes to ours.
fn without_verifier_log(words: &str) -> String {
    let Some((error, log)) = words.split_once("Verifier output:") else { return words.to_owned() };
    tracing::debug!(log, "the verifier rejected a program");
    // Statistics follow the verdict.
    const STATISTICS: [&str; 3] = ["verification time", "stack depth", "processed"];
    let verdict = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    let verdict = log.lines().map(str::trim).rev().find(verdict);
    format!("{} The verifier: {}", error.trim(), verdict.unwrap_or("no log"))
}

/// Loads an object; its programs are not yet loaded.
pub(super) fn load<'a>(
    name: &str,
    object: &[u8],
    configure: impl FnOnce(&mut EbpfLoader<'a>),
) -> Result<Ebpf, Unavailable> {
    let mut loader = EbpfLoader::new();
    configure(&mut loader);
    #[cfg(debug_assertions)]
    let logging = logging::object(name);
    #[cfg(debug_assertions)]
    let object = logging.as_deref().unwrap_or(object);
    #[cfg_attr(not(debug_assertions), allow(unused_mut))]
    let mut ebpf = loader.load(object).map_err(|error: EbpfError| {
        Unavailable::from_error(&format!("loading the {name} object into the kernel"), &error)
    })?;
    #[cfg(debug_assertions)]
    logging::forward(&mut ebpf);
    Ok(ebpf)
}

/// What programs log, in debug builds with objects of `cargo xtask build-ebpf --log`.
#[cfg(debug_assertions)]
mod logging {
    use std::time::Duration;

    use aya::Ebpf;
    use aya_log::EbpfLogger;

    /// The object of this name in the directory named by `PERFWATCH_EBPF_OBJECTS`.
    pub(super) fn object(name: &str) -> Option<Vec<u8>> {
        let directory = std::env::var_os("PERFWATCH_EBPF_OBJECTS")?;
        let path = std::path::Path::new(&directory).join(format!("{name}.o"));
        match std::fs::read(&path) {
            Ok(object) => Some(object),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read an object built for logging");
                None
            }
        }
    }

    /// Passes the programs' messages on to `tracing`, for as long as the process lives.
    pub(super) fn forward(ebpf: &mut Ebpf) {
        let Ok(mut logger) = EbpfLogger::init(ebpf) else { return }; // a program that does not log has no such map
        let forwarding = std::thread::Builder::new().name("ebpf-log".into()).spawn(move || {
            loop {
                logger.flush();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        if let Err(error) = forwarding {
            tracing::warn!(%error, "cannot forward the logs of eBPF programs");
        }
    }
}

/// Possible CPUs: the number of entries that per-CPU arrays need.
pub(super) fn possible_cpus() -> Result<u32, Unavailable> {
    let possible = aya::util::nr_cpus().map_err(|(what, error)| Unavailable::from_error(what, &error))?;
    Ok(u32::try_from(possible).unwrap_or(u32::MAX))
}

/// The cost of an object's programs: from the kernel's own accounting if that is on
/// (`kernel.bpf_stats_enabled`), otherwise from the programs' own.
pub(super) fn stats<const N: usize>(
    ebpf: &Ebpf,
    names: [&'static str; N],
    costs: &Costs<N>,
) -> Vec<ProgramStats> {
    let kernels = |name: &str| {
        let info = ebpf.program(name)?.info().ok()?;
        let time = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
        (info.run_count() > 0).then(|| (info.run_count(), time))
    };
    // The first one runs most: if the kernel has not counted it, it counts none.
    let by_kernel = names.first().is_some_and(|name| kernels(name).is_some());
    (0..N)
        .map(|program| {
            let name = names[program];
            let counted = if by_kernel { kernels(name) } else { None };
            let (runs, time) = counted.unwrap_or((costs.runs(program), costs.total_ns(program)));
            ProgramStats { name, run_count: runs, run_time_ns: time }
        })
        .collect()
}

/// A `BPF_MAP_TYPE_PERF_EVENT_ARRAY` that programs read counters through, one descriptor per CPU. aya's own
/// type opens output events only, so descriptors are put in by hand.
#[derive(Debug)]
pub(super) struct Descriptors(MapData);

const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;

/// The members of `union bpf_attr` that map element commands read.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Descriptors {
    pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Option<Self> {
        match ebpf.take_map(name)? {
            Map::PerfEventArray(data) => Some(Self(data)),
            _ => None,
        }
    }

    /// Lets programs on `cpu` read the perf event `descriptor`.
    pub(super) fn set(&self, cpu: u32, descriptor: RawFd) -> io::Result<()> {
        self.call(BPF_MAP_UPDATE_ELEM, cpu, &descriptor)
    }

    /// Drops the map's reference to `cpu`'s event; an empty slot is fine.
    pub(super) fn clear(&self, cpu: u32) {
        // ENOENT means that the slot is empty already, which is what we want.
        let _ = self.call(BPF_MAP_DELETE_ELEM, cpu, &0);
    }

    fn call(&self, command: libc::c_long, cpu: u32, value: &RawFd) -> io::Result<()> {
        let attr = ElementAttr {
            map_fd: self.0.fd().as_fd().as_raw_fd().unsigned_abs(),
            padding: 0,
            key: std::ptr::from_ref(&cpu) as u64,
            value: std::ptr::from_ref(value) as u64,
            flags: 0,
        };
        // SAFETY: `attr` is laid out as the kernel expects, its pointers are to live values of the map's key
        // and value sizes (4 bytes each), and both commands only read them.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of::<ElementAttr>()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_verifiers_log_the_verdict_is_told() {
        let words = "the BPF_PROG_LOAD syscall returned Invalid argument (os error 22). Verifier output: 0: (85) \
                     call bpf_get_smp_processor_id#8\n37: (85) call unknown#158\ninvalid func unknown#158\n\
                     verification time 1293 usec\nstack depth 4+88+0\nprocessed 23 insns (limit 1000000)\n";
        assert_eq!(
            without_verifier_log(words),
            "the BPF_PROG_LOAD syscall returned Invalid argument (os error 22). The verifier: invalid func unknown#158"
        );
        assert_eq!(without_verifier_log("no memory"), "no memory");
        assert_eq!(without_verifier_log("bad. Verifier output:"), "bad. The verifier: no log");
    }
}
