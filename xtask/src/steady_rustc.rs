//! rustc with symbol names that do not depend on the repository's location.
//!
//! Cargo hashes a package's path into the names of its symbols when the package lies outside the workspace
//! it is built in, as perfwatch-common does for the eBPF programs. The names end up in the objects, and two
//! people would get different bytes from the same sources. So for our own packages `build-ebpf` has cargo
//! call this in rustc's place (`RUSTC_WRAPPER`), which puts the package's name where the hash was.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set by `build-ebpf` for its build; makes this program act as rustc.
pub const REQUEST: &str = "PERFWATCH_STEADY_RUSTC";

/// Becomes rustc: the arguments are its path and its own arguments. Returns only when it cannot be started.
pub fn become_rustc() -> std::io::Error {
    let mut arguments = std::env::args_os().skip(1);
    let Some(rustc) = arguments.next() else { return std::io::ErrorKind::InvalidInput.into() };
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    Command::new(rustc).args(arguments.map(|argument| steady(argument, &package))).exec()
}

fn steady(argument: OsString, package: &str) -> OsString {
    let is_metadata = argument.to_str().is_some_and(|text| text.starts_with("metadata="));
    if is_metadata && package.starts_with("perfwatch") {
        return format!("metadata={package}").into();
    }
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_metadata_of_our_packages_changes() {
        assert_eq!(steady("metadata=0af3".into(), "perfwatch-common"), "metadata=perfwatch-common");
        assert_eq!(steady("metadata=0af3".into(), "core"), "metadata=0af3");
        assert_eq!(steady("opt-level=3".into(), "perfwatch-ebpf"), "opt-level=3");
    }
}
