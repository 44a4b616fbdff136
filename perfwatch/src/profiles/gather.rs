//! Samples become profiles: unwound as they come, added up by who ran, named at the end.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_common::profile::{FRAMES, Head};

use super::files::Files;
use super::place::{Ended, Place};
use super::process::{Cache, Process, Top};
use super::symbols::{Function, Symbols};
use super::tree::Tree;

/// Processes whose mappings are kept.
const MAX_PROCESSES: usize = 512;
/// How long without a sample.
const FORGET: Duration = Duration::from_secs(300);
/// Nodes of all trees of one profile; stacks beyond count as one.
const MAX_NODES: usize = 200_000;

/// Whose code ran.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// The process's name.
    pub process: Arc<str>,
    /// The thread's.
    pub thread: Arc<str>,
    pub pid: u32,
    pub cgroup: u64,
}

/// What ran in a while.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    pub of: Vec<(Who, Tree<Arc<Function>>)>,
    /// How many user stacks ended how.
    pub ended: HashMap<Ended, u64>,
}

pub struct Gather {
    proc: PathBuf,
    files: Files,
    symbols: Symbols,
    processes: HashMap<u32, Result<Known, Ended>>,
    cache: Cache,
    trees: HashMap<Who, Tree<Place>>,
    nodes: usize,
    ended: HashMap<Ended, u64>,
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather").field("processes", &self.processes.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    process: Process,
}

impl Gather {
    pub fn new(proc: PathBuf, symbols: Symbols) -> Self {
        Self {
            proc,
            files: Files::default(),
            symbols,
            processes: HashMap::new(),
            cache: Cache::default(),
            trees: HashMap::new(),
            nodes: 0,
            ended: HashMap::new(),
        }
    }

    /// Adds a sample, with its copy of the user stack.
    pub fn add(&mut self, head: &Head, stack: &[u8]) {
        let (user, ended) = self.user(head, stack);
        if let Some(ended) = ended {
            *self.ended.entry(ended).or_default() += 1;
        }
        let kernel =
            valid(&head.kernel, head.kernel_bytes).iter().rev().map(|address| Place::Kernel(*address));
        let is_cut = ended.is_some_and(|ended| ended != Ended::Complete);
        let thread = name(&head.comm);
        let process = match self.processes.get(&head.pid) {
            Some(Ok(known)) => Arc::clone(&known.name),
            _ => Arc::clone(&thread),
        };
        let who = Who { process, thread, pid: head.pid, cgroup: head.cgroup };
        let tree = self.trees.entry(who).or_default();
        let before = tree.nodes().len();
        let cut = is_cut.then_some(Place::Cut);
        if self.nodes < MAX_NODES {
            tree.add(cut.into_iter().chain(user.into_iter().rev()).chain(kernel), 1);
        } else {
            tree.add([Place::Cut], 1);
        }
        self.nodes += tree.nodes().len() - before;
    }

    /// The user frames, the innermost first.
    fn user(&mut self, head: &Head, stack: &[u8]) -> (Vec<Place>, Option<Ended>) {
        let chain = valid(&head.user, head.user_bytes);
        if chain.is_empty() {
            return (Vec::new(), None);
        }
        self.meet(head.pid);
        let (files, proc) = (&mut self.files, &self.proc);
        let known = match self.processes.get_mut(&head.pid) {
            Some(Ok(known)) => known,
            Some(Err(ended)) => return (vec![Place::Unknown], Some(*ended)),
            None => return (vec![Place::Unknown], Some(Ended::Gone)),
        };
        known.process.used = Instant::now();
        let first = if head.registers.ip == 0 { chain[0] } else { head.registers.ip };
        known.process.follow(proc, first, files);
        let by_pointers =
            || chain.iter().enumerate().map(|(n, at)| if n == 0 { *at } else { at.wrapping_sub(1) });
        let (addresses, ended) = match head.registers.sp {
            0 => (by_pointers().collect(), Ended::NoRegisters),
            sp => match known.process.unwind(&head.registers, Top::new(sp, stack), &mut self.cache) {
                // The kernel, which may follow frame pointers past the end of the copy, can have come further.
                (addresses, ended) if ended != Ended::Complete && addresses.len() < chain.len() => {
                    (by_pointers().collect(), ended)
                }
                unwound => unwound,
            },
        };
        (addresses.iter().map(|address| known.process.place(*address, &self.files)).collect(), Some(ended))
    }

    /// Makes a process known, or why that is impossible.
    fn meet(&mut self, pid: u32) {
        if self.processes.contains_key(&pid) {
            return;
        }
        if self.processes.len() >= MAX_PROCESSES {
            self.forget();
        }
        let read = Process::read(&self.proc, pid, &mut self.files).map(|process| {
            let comm = std::fs::read(self.proc.join(format!("{pid}/comm"))).unwrap_or_default();
            Known { name: name(comm.trim_ascii_end()), process }
        });
        let read = read.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Ended::Forbidden,
            _ => Ended::Gone,
        });
        self.processes.insert(pid, read);
    }

    fn forget(&mut self) {
        self.processes
            .retain(|_, known| known.as_ref().is_ok_and(|known| known.process.used.elapsed() < FORGET));
        if self.processes.len() >= MAX_PROCESSES {
            self.processes.clear();
        }
    }

    /// Names what is new. What ran may exit: the sooner the better.
    pub fn name(&mut self) {
        let frames = self.trees.values().flat_map(|tree| tree.nodes()).filter_map(|node| node.frame);
        self.symbols.learn(frames, &self.files);
    }

    /// What was gathered since the last time.
    pub fn take(&mut self) -> Profile {
        self.name();
        let trees = std::mem::take(&mut self.trees);
        self.nodes = 0;
        // Those that were forbidden or gone may be others next time.
        self.processes.retain(|_, known| known.is_ok());
        let mut functions: HashMap<Function, Arc<Function>> = HashMap::new();
        let mut shared = |function: &Function| {
            Arc::clone(functions.entry(function.clone()).or_insert_with(|| Arc::new(function.clone())))
        };
        let of = trees.into_iter().map(|(who, tree)| {
            let mut named = Tree::default();
            let mut here = Vec::with_capacity(tree.nodes().len());
            for node in tree.nodes() {
                let mut place = here.get(node.parent as usize).copied().unwrap_or(super::tree::ROOT);
                for function in node
                    .frame
                    .and_then(|frame| self.symbols.functions(frame))
                    .into_iter()
                    .flat_map(|f| f.iter())
                {
                    place = named.child(place, shared(function));
                }
                here.push(place);
                named.count(place, node.count);
            }
            (who, named)
        });
        Profile { of: of.collect(), ended: std::mem::take(&mut self.ended) }
    }
}

/// The addresses that the kernel has filled in.
fn valid(addresses: &[u64; FRAMES], bytes: i32) -> &[u64] {
    let words = usize::try_from(bytes).unwrap_or(0) / 8;
    &addresses[..words.min(FRAMES)]
}

/// A name as the kernel has it: up to a zero.
fn name(comm: &[u8]) -> Arc<str> {
    let comm = comm.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(comm).into()
}
