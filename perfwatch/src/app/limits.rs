//! What the server needs of the limits that it runs under. Less would let it die amid its work, or work with gaps whose
//! cause is hard to find; so it says what it needs before it starts.

use anyhow::{Result, bail};
use rustix::process::{Resource, getrlimit};

use crate::kernel_files::own_cgroup;

/// The sources hold about 150 on a small machine; the rest is for clients.
const MIN_FILES: u64 = 256;
/// Code, stacks of threads, arenas of the allocator, and what a long question takes for a moment.
const MIN_ADDRESS_SPACE: u64 = 384 << 20;
/// Loading the probes takes most, since the kernel charges their maps as well, and the unwind tables of what runs. The
/// process that names code is the first to go where memory is short.
const MIN_MEMORY: u64 = 128 << 20;

pub(super) fn check() -> Result<()> {
    let memory = own_cgroup::files("memory", "memory.max")
        .into_iter()
        .chain(own_cgroup::files("memory", "memory.limit_in_bytes"));
    // An unlimited cgroup has a word, or a number that no machine reaches.
    let memory =
        memory.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()).min();
    check_of(getrlimit(Resource::Nofile).maximum, getrlimit(Resource::As).current, memory)
}

fn check_of(files: Option<u64>, address_space: Option<u64>, memory: Option<u64>) -> Result<()> {
    if let Some(files) = files.filter(|files| *files < MIN_FILES) {
        bail!(
            "the limit of open files is {files}, and {MIN_FILES} are needed: raise it (`ulimit -Hn`, LimitNOFILE= of \
             the unit)"
        );
    }
    let mib = |bytes: u64| bytes >> 20;
    if let Some(space) = address_space.filter(|space| *space < MIN_ADDRESS_SPACE) {
        bail!(
            "the limit of address space is {} MiB, and {} are needed: raise it (`ulimit -v`, LimitAS= of the unit), or \
             limit memory with a cgroup instead (MemoryMax=)",
            mib(space),
            mib(MIN_ADDRESS_SPACE)
        );
    }
    if let Some(memory) = memory.filter(|memory| *memory < MIN_MEMORY) {
        bail!(
            "the memory limit of this cgroup is {} MiB, and {} are needed to start: raise it (MemoryMax= of the unit, \
             or that of the container)",
            mib(memory),
            mib(MIN_MEMORY)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_that_is_too_low_is_named_with_what_is_needed() {
        check_of(None, None, None).unwrap();
        check_of(Some(MIN_FILES), Some(MIN_ADDRESS_SPACE), Some(MIN_MEMORY)).unwrap();
        let refused = |files, space, memory| check_of(files, space, memory).unwrap_err().to_string();
        assert!(refused(Some(64), None, None).contains("open files is 64, and 256"));
        assert!(refused(None, Some(200 << 20), None).contains("address space is 200 MiB, and 384"));
        assert!(refused(None, None, Some(96 << 20)).contains("cgroup is 96 MiB, and 128"));
    }
}
