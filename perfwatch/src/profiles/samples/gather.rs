//! Samples are unwound as they come, and added up by who ran.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_common::profile::{FRAMES, Head};

use super::files::Files;
use super::place::{Ended, FileId, Place};
use super::process::{Cache, Process, Top};
use super::symbols::{NamedFile, Symbols};
use crate::cgroups::Paths;
use crate::config::Roots;
use crate::profiles::builder::Builder;
use crate::profiles::function::{Function, Stacks, Who};
use crate::profiles::table::Count;
use crate::profiles::tree::Tree;

/// Processes whose mappings are kept.
const MAX_PROCESSES: usize = 512;
/// How long without a sample.
const FORGET: Duration = Duration::from_secs(300);
/// Nodes of all trees of one batch; stacks beyond count as one.
const MAX_NODES: usize = 200_000;

/// Whose stack it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whose {
    process: Arc<str>,
    thread: Arc<str>,
    pid: u32,
    cgroup: u64,
}

#[derive(Debug, Default)]
struct Sampled {
    tree: Tree<Place>,
    /// By node, the samples that end there.
    samples: Vec<u64>,
    stacks: Stacks,
}

/// What ran in a while, not yet named.
#[derive(Debug, Default)]
pub struct Batch {
    of: Vec<(Who, Sampled)>,
    /// The files that it refers to.
    files: HashMap<FileId, NamedFile>,
}

impl Batch {
    pub fn samples(&self) -> u64 {
        self.of.iter().flat_map(|(_, sampled)| &sampled.samples).sum()
    }

    /// How all user stacks ended.
    pub fn stacks(&self) -> Stacks {
        let mut all = Stacks::default();
        self.of.iter().for_each(|(_, sampled)| all.add(&sampled.stacks));
        all
    }

    /// Names it, and adds it up: in the bucket that begins at `time`, each sample as `each` ns.
    pub fn add_to(&self, builder: &mut Builder, symbols: &Symbols, time: i64, each: u64) {
        for (who, sampled) in &self.of {
            let mut stacks: Vec<Vec<Arc<[Function]>>> = Vec::new();
            for (node, samples) in sampled.tree.nodes().iter().zip(&sampled.samples) {
                let mut stack =
                    if node.frame.is_some() { stacks[node.parent as usize].clone() } else { Vec::new() };
                stack.extend(node.frame.and_then(|frame| symbols.functions(frame)).cloned());
                if *samples > 0 {
                    let count = Count { samples: *samples, value: samples.saturating_mul(each) };
                    builder.add(time, who, stack.iter().flat_map(|functions| functions.iter()), count);
                }
                stacks.push(stack);
            }
            builder.add_stacks(time, who, &sampled.stacks);
        }
    }

    /// Asks for the names of what is new. What ran may exit: the sooner the better.
    pub fn learn(&self, symbols: &mut Symbols) {
        let frames = self.of.iter().flat_map(|(_, sampled)| sampled.tree.nodes());
        symbols.learn(frames.filter_map(|node| node.frame), &self.files);
    }
}

pub struct Gather {
    proc: PathBuf,
    files: Files,
    paths: Paths,
    processes: HashMap<u32, Result<Known, Ended>>,
    cache: Cache,
    sampled: HashMap<Whose, Sampled>,
    nodes: usize,
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
    pub fn new(roots: &Roots) -> Self {
        Self {
            proc: roots.procfs.clone(),
            files: Files::default(),
            paths: Paths::new(roots),
            processes: HashMap::new(),
            cache: Cache::default(),
            sampled: HashMap::new(),
            nodes: 0,
        }
    }

    /// Adds a sample, with its copy of the user stack.
    pub fn add(&mut self, head: &Head, stack: &[u8]) {
        let (user, ended) = self.user(head, stack);
        let kernel =
            valid(&head.kernel, head.kernel_bytes).iter().rev().map(|address| Place::Kernel(*address));
        let is_cut = ended.is_some_and(|ended| ended != Ended::Complete);
        let thread = name(&head.comm);
        let process = match self.processes.get(&head.pid) {
            Some(Ok(known)) => Arc::clone(&known.name),
            _ => Arc::clone(&thread),
        };
        let whose = Whose { process, thread, pid: head.pid, cgroup: head.cgroup };
        let sampled = self.sampled.entry(whose).or_default();
        if let Some(ended) = ended {
            ended.note(&mut sampled.stacks);
        }
        let before = sampled.tree.nodes().len();
        let cut = is_cut.then_some(Place::Cut);
        let node = if self.nodes < MAX_NODES {
            sampled.tree.node(cut.into_iter().chain(user.into_iter().rev()).chain(kernel))
        } else {
            sampled.tree.node([Place::Cut])
        };
        let nodes = sampled.tree.nodes().len();
        sampled.samples.resize(nodes, 0);
        sampled.samples[node as usize] += 1;
        self.nodes += nodes - before;
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

    /// What was gathered since the last time.
    pub fn take(&mut self) -> Batch {
        self.nodes = 0;
        // Those that were forbidden or gone may be others next time.
        self.processes.retain(|_, known| known.is_ok());
        let mut batch = Batch::default();
        for (whose, sampled) in self.sampled.drain() {
            for node in sampled.tree.nodes() {
                let Some(Place::File(id, _)) = node.frame else { continue };
                if let (Entry::Vacant(entry), Some(file)) = (batch.files.entry(id), self.files.get(id)) {
                    entry.insert(NamedFile { path: file.path.clone(), file: Arc::clone(&file.file) });
                }
            }
            let Whose { process, thread, pid, cgroup } = whose;
            let cgroup = self.paths.path(cgroup, Some(pid)).unwrap_or_default();
            batch.of.push((Who { process, thread, cgroup, pid }, sampled));
        }
        batch
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
