//! The running kernel's structs and tracepoints, from its BTF.
//!
//! Members move, are renamed and tracepoints change their arguments between kernels; programs get what they
//! need as constants before they are loaded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, Endianness};

use super::btf::Types;
use super::loader::Unavailable;
use super::target;
use crate::config::Roots;

/// The kernel's BTF: megabytes, so it is read once and dropped when the last probe is loaded.
pub(super) struct Kernel {
    types: Types,
    /// The tracepoints, as aya needs them for attaching.
    btf: Btf,
}

/// A [`Kernel`] that is read when the first probe needs it.
#[derive(Clone)]
pub(super) struct SharedKernel {
    path: PathBuf,
    /// Why this build has no programs for any kernel.
    refused: Option<Unavailable>,
    kernel: Arc<OnceLock<Result<Kernel, Unavailable>>>,
}

impl std::fmt::Debug for SharedKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedKernel").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SharedKernel {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            path: roots.sys("kernel/btf/vmlinux"),
            refused: target::no_programs(roots),
            kernel: Arc::default(),
        }
    }

    pub(super) fn get(&self) -> Result<&Kernel, Unavailable> {
        if let Some(why) = &self.refused {
            return Err(why.clone());
        }
        self.kernel.get_or_init(|| Kernel::read(&self.path)).as_ref().map_err(Clone::clone)
    }

    /// Drops what was read once the last probe is done. If needed again, it is reread.
    pub(super) fn release(&mut self) {
        if self.kernel.get().is_some() {
            self.kernel = Arc::default();
        }
    }
}

/// The fix if the kernel has no type information.
pub const BTF_REMEDY: &str =
    "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of all large distributions are since 2021";

impl Kernel {
    fn read(path: &Path) -> Result<Self, Unavailable> {
        if !path.exists() {
            let reason = format!("this kernel has no type information ({} is missing)", path.display());
            return Err(Unavailable { remedy: Some(BTF_REMEDY.to_owned()), ..Unavailable::new(reason) });
        }
        let what = format!("reading {}", path.display());
        let bytes = std::fs::read(path).map_err(|error| Unavailable::from_error(&what, &error))?;
        let types = Types::new(bytes).ok_or_else(|| Unavailable::new(format!("{what}: it is malformed")))?;
        let btf = Btf::parse(&types.tracepoints(), Endianness::default())
            .map_err(|error| Unavailable::from_error(&what, &error))?;
        Ok(Self { types, btf })
    }

    /// Loads a program and attaches it to a BTF tracepoint (no tracefs needed); it stays until `ebpf` is dropped.
    pub(super) fn attach(&self, ebpf: &mut Ebpf, program: &str, tracepoint: &str) -> Result<(), Unavailable> {
        let hook: &mut BtfTracePoint = ebpf
            .program_mut(program)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| Unavailable::new(format!("the object has no BTF tracepoint program {program}")))?;
        let refused = |doing: &str, error: &ProgramError| {
            Unavailable::from_error(&format!("{doing} the program {program} ({tracepoint})"), error)
        };
        hook.load(tracepoint, &self.btf).map_err(|error| refused("loading", &error))?;
        hook.attach().map_err(|error| refused("attaching", &error))?;
        Ok(())
    }

    /// The byte offset of a member such as `se.cfs_rq`, through anonymous structs and unions; the first of `paths`
    /// that this kernel has.
    pub(super) fn offset(&self, structure: &str, paths: &[&str]) -> Result<u32, Unavailable> {
        let found = paths.iter().find_map(|path| self.types.offset(structure, path));
        found.ok_or_else(|| {
            Unavailable::new(format!("this kernel's struct {structure} has no {}", paths.join(" or ")))
        })
    }

    /// The value of a member of an enumeration.
    pub(super) fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        self.types.enumerator(enumeration, name)
    }

    /// Whether programs may call a helper, named without `bpf_`.
    pub(super) fn has_helper(&self, name: &str) -> bool {
        self.enumerator("bpf_func_id", &format!("BPF_FUNC_{name}")).is_some()
    }

    /// A tracepoint's arguments: the struct that each points to, if any. `None` if there is no such tracepoint.
    pub(super) fn arguments(&self, tracepoint: &str) -> Option<Vec<Option<String>>> {
        self.types.arguments(tracepoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_arguments_are_found() {
        let shared = SharedKernel::new(&Roots::default());
        let kernel = match shared.get() {
            Ok(kernel) => kernel,
            Err(why) => {
                println!("SKIPPED: members_and_arguments_are_found: {}", why.reason);
                return;
            }
        };
        // The second half of a nested path adds to the first.
        let entity = kernel.offset("task_struct", &["se"]).unwrap();
        let runtime = kernel.offset("sched_entity", &["sum_exec_runtime"]).unwrap();
        assert_eq!(kernel.offset("task_struct", &["se.sum_exec_runtime"]).unwrap(), entity + runtime);
        // The first name that exists is taken.
        let pid = kernel.offset("task_struct", &["pid"]).unwrap();
        assert_eq!(kernel.offset("task_struct", &["no_such_member", "pid"]).unwrap(), pid);
        let missing = kernel.offset("task_struct", &["a", "b"]).unwrap_err();
        assert_eq!(missing.reason, "this kernel's struct task_struct has no a or b");

        assert_eq!(kernel.enumerator("pid_type", "PIDTYPE_PID"), Some(0));
        assert_eq!(kernel.enumerator("pid_type", "NO_SUCH_TYPE"), None);

        let arguments = kernel.arguments("sched_switch").unwrap();
        assert_eq!(arguments[1..3], [Some("task_struct".to_owned()), Some("task_struct".to_owned())]);
        assert_eq!(kernel.arguments("no_such_tracepoint"), None);
    }

    #[test]
    fn a_kernel_without_type_information_says_so() {
        let roots = Roots { sysfs: "/nonexistent".into(), ..Roots::default() };
        let shared = SharedKernel::new(&roots);
        let why = shared.get().err().unwrap();
        assert!(why.remedy.unwrap().contains("CONFIG_DEBUG_INFO_BTF"));
    }
}
