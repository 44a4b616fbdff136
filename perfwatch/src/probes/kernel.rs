//! What the running kernel's structs and tracepoints look like, from its BTF.
//!
//! Members move, are renamed and tracepoints change their arguments between kernels; programs get what they
//! need as constants before they are loaded.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use aya::{Btf, Ebpf, Endianness};
use btf_rs::{BtfType, Type};

use super::loader::{self, Unavailable};
use crate::config::Roots;

/// The kernel's BTF: megabytes, so it is parsed once and dropped when the last probe is loaded.
pub(super) struct Kernel {
    types: btf_rs::Btf,
    /// The same, as aya wants it for attaching.
    btf: Btf,
}

/// A [`Kernel`] that is read when the first probe needs it.
#[derive(Clone)]
pub(super) struct SharedKernel {
    path: PathBuf,
    kernel: Arc<OnceLock<Result<Kernel, Unavailable>>>,
}

impl std::fmt::Debug for SharedKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedKernel").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SharedKernel {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { path: roots.sys("kernel/btf/vmlinux"), kernel: Arc::default() }
    }

    pub(super) fn get(&self) -> Result<&Kernel, Unavailable> {
        self.kernel.get_or_init(|| Kernel::read(&self.path)).as_ref().map_err(Clone::clone)
    }

    /// Lets go of what was read: it goes when the last probe does. Should it be needed again, it is read again.
    pub(super) fn release(&mut self) {
        if self.kernel.get().is_some() {
            self.kernel = Arc::default();
        }
    }
}

impl Kernel {
    fn read(path: &std::path::Path) -> Result<Self, Unavailable> {
        if !path.exists() {
            return Err(Unavailable {
                reason: format!("this kernel has no type information ({} is missing)", path.display()),
                remedy: Some("use a kernel built with CONFIG_DEBUG_INFO_BTF=y".to_owned()),
            });
        }
        let what = format!("reading {}", path.display());
        Ok(Self {
            types: btf_rs::Btf::from_file(path).map_err(|error| Unavailable::from_error(&what, &error))?,
            btf: Btf::parse_file(path, Endianness::default())
                .map_err(|error| Unavailable::from_error(&what, &error))?,
        })
    }

    /// Loads `program` and attaches it to `tracepoint`.
    pub(super) fn attach(&self, ebpf: &mut Ebpf, program: &str, tracepoint: &str) -> Result<(), Unavailable> {
        loader::attach_btf_tracepoint(ebpf, program, tracepoint, &self.btf)
    }

    /// The byte offset of a member such as `se.cfs_rq`; the first of `paths` that this kernel has.
    pub(super) fn offset(&self, structure: &str, paths: &[&str]) -> Result<u32, Unavailable> {
        let candidates = self.types.resolve_types_by_name(structure).unwrap_or_default();
        paths
            .iter()
            .find_map(|path| candidates.iter().find_map(|candidate| self.walk(candidate, path)))
            .map(|bits| bits / 8)
            .ok_or_else(|| Unavailable {
                reason: format!("this kernel's struct {structure} has no {}", paths.join(" or ")),
                remedy: None,
            })
    }

    fn walk(&self, structure: &Type, path: &str) -> Option<u32> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let (bits, member) = self.member(structure, first)?;
        match rest {
            None => Some(bits),
            Some(rest) => Some(bits + self.walk(&member, rest)?),
        }
    }

    /// A member's offset in bits and its type, looked for in anonymous structs and unions too.
    fn member(&self, structure: &Type, name: &str) -> Option<(u32, Type)> {
        let (Type::Struct(structure) | Type::Union(structure)) = structure else { return None };
        structure.members.iter().find_map(|member| {
            let found = self.types.resolve_name(member).unwrap_or_default();
            let of = self.bare(self.types.resolve_chained_type(member).ok()?)?;
            if found == name {
                Some((member.bit_offset(), of))
            } else if found.is_empty() {
                let (bits, of) = self.member(&of, name)?;
                Some((member.bit_offset() + bits, of))
            } else {
                None
            }
        })
    }

    /// The value of a member of an enumeration.
    pub(super) fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        self.types.resolve_types_by_name(enumeration).ok()?.iter().find_map(|of| {
            let Type::Enum(of) = of else { return None };
            let named =
                |member: &&btf_rs::EnumMember| self.types.resolve_name(*member).is_ok_and(|n| n == name);
            of.members.iter().find(named).map(btf_rs::EnumMember::val)
        })
    }

    /// The type behind typedefs and qualifiers.
    fn bare(&self, mut of: Type) -> Option<Type> {
        loop {
            let outer: &dyn BtfType = match &of {
                Type::Typedef(outer) => outer,
                Type::Const(outer) | Type::Volatile(outer) | Type::Restrict(outer) => outer,
                Type::TypeTag(outer) => outer,
                _ => return Some(of),
            };
            of = self.types.resolve_chained_type(outer).ok()?;
        }
    }

    /// A tracepoint's arguments: the struct that each points to, if it does. `None` if there is no such tracepoint.
    pub(super) fn arguments(&self, tracepoint: &str) -> Option<Vec<Option<String>>> {
        let name = format!("btf_trace_{tracepoint}");
        let prototype = self.types.resolve_types_by_name(&name).ok()?.into_iter().find_map(|of| {
            let Type::Ptr(pointer) = self.bare(of)? else { return None };
            match self.types.resolve_chained_type(&pointer).ok()? {
                Type::FuncProto(prototype) => Some(prototype),
                _ => None,
            }
        })?;
        // The first parameter is the kernel's own; programs do not see it.
        Some(prototype.parameters.iter().skip(1).map(|parameter| self.pointee(parameter)).collect())
    }

    fn pointee(&self, parameter: &btf_rs::Parameter) -> Option<String> {
        let Type::Ptr(pointer) = self.bare(self.types.resolve_chained_type(parameter).ok()?)? else {
            return None;
        };
        match self.bare(self.types.resolve_chained_type(&pointer).ok()?)? {
            Type::Struct(structure) => self.types.resolve_name(&structure).ok(),
            _ => None,
        }
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
