//! The process that names code: `perfwatch symbolize`, started by the server, asked over a pipe.
//!
//! It reads and maps files that others may have written: executables, debug information and maps of just-in-time
//! compilers. Whatever these do to it, the server starts another one.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use blazesym::Pid;
use blazesym::symbolize::source::{Elf, Process, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use serde::{Deserialize, Serialize};

use super::kernel_symbols::KernelSymbols;

/// Bytes of a name; templates grow without end.
const MAX_NAME: usize = 512;
/// Functions that are inlined into one another at one address.
const MAX_INLINED: usize = 32;
/// Memory of its own.
const MAX_DATA: u64 = 512 << 20;
/// Of the names that a just-in-time compiler has written; those of a large Java program have 30 MB.
const MAX_MAP: u64 = 256 << 20;

/// What is to be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Addresses of the running kernel, with its symbols.
    Kernel(PathBuf),
    /// Addresses of a file's own symbol table.
    File(PathBuf),
    /// Addresses of a process: code that it made.
    Process(u32),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub of: Of,
    pub addresses: Vec<u64>,
}

/// For each address the functions there, the outermost first; none if it has no name.
pub type Answer = Vec<Vec<String>>;

/// Answers requests, a line each, until there are no more.
pub fn run() -> io::Result<()> {
    confine()?;
    let mut known = Known::new();
    let (input, mut output) = (io::stdin().lock(), io::stdout().lock());
    for line in input.lines() {
        let request: Request = serde_json::from_str(&line?)?;
        serde_json::to_writer(&mut output, &known.answer(&request))?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// What was read.
struct Known {
    symbolizer: Symbolizer,
    kernel: Option<KernelSymbols>,
}

/// Last in turn for everything, and first to go when there is too little memory.
fn confine() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, Signal, setpriority_process, setrlimit};
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    setpriority_process(None, 19)?;
    setrlimit(Resource::Data, Rlimit { current: Some(MAX_DATA), maximum: Some(MAX_DATA) })?;
    // Not everybody may.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

impl Known {
    fn new() -> Self {
        // What a path leads to changes: descriptors are used again, and maps grow.
        // Without lines there are no inlined functions.
        let symbolizer =
            Symbolizer::builder().enable_code_info(true).enable_inlined_fns(true).enable_auto_reload(true);
        Self { symbolizer: symbolizer.build(), kernel: None }
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let (source, input) = match &request.of {
            Of::Kernel(symbols) => return self.of_kernel(symbols, &request.addresses),
            Of::File(path) => (Source::from(Elf::new(path)), Input::VirtOffset(request.addresses.as_slice())),
            Of::Process(pid) => {
                let process = Process { perf_map: has_map(*pid), ..Process::new(Pid::from(*pid)) };
                (Source::from(process), Input::AbsAddr(request.addresses.as_slice()))
            }
        };
        match self.symbolizer.symbolize(&source, input) {
            Ok(found) => found.iter().map(functions).collect(),
            Err(_) => vec![Vec::new(); request.addresses.len()],
        }
    }

    fn of_kernel(&mut self, symbols: &Path, addresses: &[u64]) -> Answer {
        let kernel = self.kernel.get_or_insert_with(|| KernelSymbols::read(symbols).unwrap_or_default());
        // Some of it is written in Rust.
        let named = |name: &str| printable(&format!("{:#}", rustc_demangle::demangle(name)));
        addresses.iter().map(|address| kernel.name(*address).map(named).into_iter().collect()).collect()
    }
}

/// Whether a just-in-time compiler has written names: where there should be a file there may be a pipe, on which reading
/// would wait, or one that is endless.
fn has_map(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let inner = status.lines().find_map(|line| line.strip_prefix("NStgid:")?.split_whitespace().next_back());
    let inner = inner.map_or_else(|| pid.to_string(), str::to_owned);
    std::fs::metadata(format!("/proc/{pid}/root/tmp/perf-{inner}.map"))
        .is_ok_and(|map| map.is_file() && map.len() <= MAX_MAP)
}

fn functions(found: &Symbolized<'_>) -> Vec<String> {
    let Some(symbol) = found.as_sym() else { return Vec::new() };
    let inlined = symbol.inlined.iter().take(MAX_INLINED).map(|function| &*function.name);
    std::iter::once(&*symbol.name).chain(inlined).map(printable).collect()
}

/// A name without what terminals and pages would obey, and not longer than it has to be.
fn printable(name: &str) -> String {
    let mut name: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.len() > MAX_NAME {
        name.truncate(name.floor_char_boundary(MAX_NAME));
        name.push('…');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(printable("core::fmt::write\u{1b}[31m"), "core::fmt::write\u{fffd}[31m");
        assert_eq!(printable(&"ü".repeat(400)).chars().count(), MAX_NAME / 2 + 1);
    }

    #[test]
    fn functions_of_the_kernel_are_named_as_their_language_does() {
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), "a000 T schedule\nb000 t _RNvCskwGfYPst2Cb_3foo16example_function\n")
            .unwrap();
        let request = Request { of: Of::Kernel(list.path().into()), addresses: vec![0xa010, 1, 0xb010] };
        let names = Known::new().answer(&request);
        assert_eq!(names, [vec!["schedule"], vec![], vec!["foo::example_function"]]);
    }

    #[test]
    fn what_is_no_file_has_no_names() {
        let request = Request { of: Of::File("/nonexistent".into()), addresses: vec![1, 2] };
        assert_eq!(Known::new().answer(&request), [Vec::<String>::new(), Vec::new()]);
    }
}
