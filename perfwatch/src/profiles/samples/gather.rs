//! Samples are unwound as they come, and added up by who ran.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_common::profile::Head;
use perfwatch_common::waits::{Key, Total, Wait};

use super::files::Files;
use super::place::{Ended, FileId, Place};
use super::process::{Process, Top};
use super::symbols::{NamedFile, Symbols};
use super::tables::Cache;
use super::waiting::{self, UserStack, Waiting, shares};
use crate::cgroups::Paths;
use crate::config::Roots;
use crate::profiles::builder::Builder;
use crate::profiles::function::{Stacks, Who};
use crate::profiles::table::Count;
use crate::profiles::tree::Tree;
use crate::store::chunks::ProfileKind;

/// Processes whose mappings are kept.
const MAX_PROCESSES: usize = 512;
/// How long without a sample.
const FORGET: Duration = Duration::from_secs(60);
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
    /// By node, what ends there.
    own: Vec<Count>,
    stacks: Stacks,
}

impl Sampled {
    /// Returns how many nodes there are more.
    fn add(&mut self, stack: impl IntoIterator<Item = Place>, count: Count) -> usize {
        let before = self.tree.nodes().len();
        let node = self.tree.node(stack);
        let nodes = self.tree.nodes().len();
        self.own.resize(nodes, Count::default());
        self.own[node as usize].add(count);
        nodes - before
    }
}

/// What ran or waited in a while, not yet named.
#[derive(Debug, Default)]
pub struct Batch {
    ran: Vec<(Who, Sampled)>,
    waited: Vec<(Who, Sampled)>,
    /// The files that it refers to.
    files: HashMap<FileId, NamedFile>,
}

impl Batch {
    fn of(&self, kind: ProfileKind) -> &[(Who, Sampled)] {
        match kind {
            ProfileKind::Cpu => &self.ran,
            ProfileKind::OffCpu => &self.waited,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ran.is_empty() && self.waited.is_empty()
    }

    /// Samples of the CPU, or waits.
    pub fn samples(&self, kind: ProfileKind) -> u64 {
        self.of(kind).iter().flat_map(|(_, sampled)| &sampled.own).map(|own| own.samples).sum()
    }

    /// How all user stacks ended.
    pub fn stacks(&self) -> Stacks {
        let mut all = Stacks::default();
        self.ran.iter().for_each(|(_, sampled)| all.add(&sampled.stacks));
        all
    }

    /// Names it, and adds it up in the bucket that begins at `time`.
    pub fn add_to(&self, builder: &mut Builder, kind: ProfileKind, symbols: &Symbols, time: i64) {
        for (who, sampled) in self.of(kind) {
            let functions = |place| symbols.functions(place).map(|named| &named[..]).unwrap_or_default();
            builder.add_tree(time, who, &sampled.tree, &sampled.own, functions);
            builder.add_stacks(time, who, &sampled.stacks);
        }
    }

    /// Asks for the names of what is new. What ran may exit: the sooner the better.
    pub fn learn(&self, symbols: &mut Symbols) {
        let all = self.ran.iter().chain(&self.waited);
        let frames = all.flat_map(|(_, sampled)| sampled.tree.nodes());
        symbols.learn(frames.filter_map(|node| node.frame), &self.files);
    }
}

pub struct Gather {
    proc: PathBuf,
    files: Files,
    paths: Paths,
    processes: HashMap<u32, Result<Known, Ended>>,
    cache: Cache,
    ran: HashMap<Whose, Sampled>,
    waited: HashMap<Whose, Sampled>,
    waiting: Waiting,
    /// Names of processes that waited, until the batch is taken.
    names: HashMap<u32, Arc<str>>,
    nodes: usize,
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather").field("processes", &self.processes.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Known {
    process: Process,
    /// When it was found in the place of another, in the time of samples: until then, some may be that one's.
    replaced_ns: u64,
}

impl Known {
    /// Whether a sample was taken before it came, as the thread's name tells.
    fn is_after(&self, head: &Head) -> bool {
        head.at_ns < self.replaced_ns && head.tid == head.pid && *name(&head.comm) != *self.process.name
    }
}

impl Gather {
    pub fn new(roots: &Roots) -> Self {
        Self {
            proc: roots.procfs.clone(),
            files: Files::default(),
            paths: Paths::new(roots),
            processes: HashMap::new(),
            cache: Cache::default(),
            ran: HashMap::new(),
            waited: HashMap::new(),
            waiting: Waiting::default(),
            names: HashMap::new(),
            nodes: 0,
        }
    }

    /// Adds a sample, with its copy of the user stack, which stands for so many ns.
    pub fn add(&mut self, head: &Head, stack: &[u8], each: u64) {
        let (user, ended) = self.user(head, stack);
        let kernel =
            valid(&head.kernel, head.kernel_bytes.into()).iter().rev().map(|address| Place::Kernel(*address));
        let is_cut = ended.is_some_and(|ended| ended != Ended::Complete);
        let thread = name(&head.comm);
        let process = match self.processes.get(&head.pid) {
            Some(Ok(known)) if !known.is_after(head) => Arc::clone(&known.process.name),
            _ => Arc::clone(&thread),
        };
        let whose = Whose { process, thread, pid: head.pid, cgroup: head.cgroup };
        let sampled = self.ran.entry(whose).or_default();
        if let Some(ended) = ended {
            ended.note(&mut sampled.stacks);
        }
        let cut = is_cut.then_some(Place::Cut);
        let count = Count { samples: 1, value: each };
        self.nodes += if self.nodes < MAX_NODES {
            sampled.add(cut.into_iter().chain(user.into_iter().rev()).chain(kernel), count)
        } else {
            sampled.add([Place::Cut], count)
        };
    }

    /// Adds waits of one task in one place.
    pub fn add_waits(&mut self, key: &Key, wait: &Wait) {
        let process = self.name_of(key.tgid, &key.comm);
        let kernel: Vec<Place> =
            valid(&wait.stack, wait.bytes).iter().rev().copied().map(Place::Kernel).collect();
        let Total { count, off_cpu_ns, runnable_ns } = wait.total;
        let thread = name(&key.comm);
        let place = waiting::Place { tgid: key.tgid, thread: Arc::clone(&thread), hash: key.hash };
        let known = self.waiting.stacks(&place);
        let times: Vec<u64> = known.iter().map(|(_, seen)| seen.ns).collect();
        let waits: Vec<u64> = known.iter().map(|(_, seen)| seen.waits).collect();
        let blocked = shares(off_cpu_ns.saturating_sub(runnable_ns), &times);
        let (counts, runnable) = (shares(count, &waits), shares(runnable_ns, &times));
        let whose = Whose { process, thread, pid: key.tgid, cgroup: key.cgroup };
        let sampled = self.waited.entry(whose).or_default();
        for n in 0..blocked.len() {
            let user = known.get(n).map(|(stack, _)| stack);
            if let Some(user) = user {
                user.ended.note(&mut sampled.stacks);
            }
            if self.nodes >= MAX_NODES {
                let value = blocked[n] + runnable[n];
                self.nodes += sampled.add([Place::Cut], Count { samples: counts[n], value });
                continue;
            }
            let stack = || {
                let user = user.into_iter().flat_map(|user| user.frames.iter());
                user.chain(&kernel).copied()
            };
            self.nodes += sampled.add(stack(), Count { samples: counts[n], value: blocked[n] });
            if runnable[n] > 0 {
                let count = Count { samples: 0, value: runnable[n] };
                self.nodes += sampled.add(stack().chain([Place::RunQueue]), count);
            }
        }
    }

    /// A task begins to wait: its user stack.
    pub fn begin_wait(&mut self, head: &Head, stack: &[u8]) {
        let (user, ended) = self.user(head, stack);
        if let Some(ended) = ended {
            let cut = (ended != Ended::Complete).then_some(Place::Cut);
            let frames = cut.into_iter().chain(user.into_iter().rev()).collect();
            self.waiting.begin(head.tid, name(&head.comm), UserStack { frames, ended });
        }
    }

    /// A wait that began so was long, and has ended.
    pub fn end_wait(&mut self, ended: &perfwatch_common::waits::Ended) {
        self.waiting.end(ended);
    }

    fn name_of(&mut self, pid: u32, comm: &[u8]) -> Arc<str> {
        if let Some(Ok(known)) = self.processes.get(&pid) {
            return Arc::clone(&known.process.name);
        }
        let read = || {
            let file = std::fs::read(self.proc.join(format!("{pid}/comm")));
            file.map_or_else(|_| name(comm), |comm| name(comm.trim_ascii_end()))
        };
        Arc::clone(self.names.entry(pid).or_insert_with(read))
    }

    /// The user frames, the innermost first.
    fn user(&mut self, head: &Head, stack: &[u8]) -> (Vec<Place>, Option<Ended>) {
        let chain = valid(&head.user, head.user_bytes.into());
        if chain.is_empty() {
            return (Vec::new(), None);
        }
        self.meet(head);
        let (files, proc) = (&mut self.files, &self.proc);
        let known = match self.processes.get_mut(&head.pid) {
            Some(Ok(known)) if known.is_after(head) => return (vec![Place::Unknown], Some(Ended::Gone)),
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
            sp => match known.process.unwind(&head.registers, Top::new(sp, stack), files, &mut self.cache) {
                // The kernel, which may follow frame pointers past the end of the copy, can have come further.
                (mut addresses, ended) if ended != Ended::Complete => {
                    let last = addresses.last().copied();
                    let further = by_pointers().skip_while(|at| Some(*at) != last).skip(1);
                    addresses.extend(further);
                    (addresses, ended)
                }
                unwound => unwound,
            },
        };
        let place = |address: &u64| {
            let place = known.process.place(*address, files);
            if let Place::File(id, at) = place {
                files.meet(id, at);
            }
            place
        };
        (addresses.iter().map(place).collect(), Some(ended))
    }

    /// Makes a process known, or why that is impossible.
    fn meet(&mut self, head: &Head) {
        let pid = head.pid;
        let mut replaced_ns = 0;
        if let Some(known) = self.processes.get_mut(&pid) {
            let leader = (head.tid == pid).then(|| name(&head.comm));
            let Ok(known) = known else { return };
            if known.is_after(head) || known.process.is_same(&self.proc, leader.as_deref()) {
                return;
            }
            replaced_ns = monotonic_ns();
        }
        if self.processes.len() >= MAX_PROCESSES {
            self.forget();
        }
        if self.processes.len() >= MAX_PROCESSES {
            self.processes.clear();
        }
        let read = Process::read(&self.proc, pid, &mut self.files);
        let read = read.map(|process| Known { process, replaced_ns }).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Ended::Forbidden,
            _ => Ended::Gone,
        });
        self.processes.insert(pid, read);
    }

    fn forget(&mut self) {
        self.processes
            .retain(|_, known| known.as_ref().is_ok_and(|known| known.process.used.elapsed() < FORGET));
    }

    /// What was gathered since the last time.
    pub fn take(&mut self) -> Batch {
        self.nodes = 0;
        // Those that were forbidden or gone may be others next time.
        self.forget();
        self.names.clear();
        let mut batch = Batch::default();
        let (ran, waited) = (std::mem::take(&mut self.ran), std::mem::take(&mut self.waited));
        for (all, into) in [(ran, &mut batch.ran), (waited, &mut batch.waited)] {
            for (whose, sampled) in all {
                for node in sampled.tree.nodes() {
                    let Some(Place::File(id, _)) = node.frame else { continue };
                    if let (Entry::Vacant(entry), Some(file)) = (batch.files.entry(id), self.files.get(id)) {
                        entry.insert(NamedFile {
                            path: file.path.clone(),
                            file: Arc::clone(&file.file),
                            functions: file.functions(),
                        });
                    }
                }
                let Whose { process, thread, pid, cgroup } = whose;
                let cgroup = self.paths.path(cgroup, Some(pid)).unwrap_or_default();
                into.push((Who { process, thread, cgroup, pid }, sampled));
            }
        }
        self.files.age();
        batch
    }
}

/// The clock of samples.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The addresses that the kernel has filled in.
fn valid(addresses: &[u64], bytes: i64) -> &[u64] {
    let words = usize::try_from(bytes).unwrap_or(0) / 8;
    &addresses[..words.min(addresses.len())]
}

/// A name as the kernel has it: up to a zero.
fn name(comm: &[u8]) -> Arc<str> {
    let comm = comm.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(comm).into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A `/proc` in which a process has made code itself.
    fn write(proc: &std::path::Path, name: &str, started: u64) {
        let folder = proc.join("7");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("maps"), "10000-20000 rwxp 00000000 00:00 0\n").unwrap();
        let zeros = "0 ".repeat(18);
        fs::write(folder.join("stat"), format!("7 ({name}) R {zeros}{started} 0 0 0 4096 8192 9000 0 0\n"))
            .unwrap();
    }

    fn sample(name: &str) -> Head {
        let mut head = Head {
            at_ns: monotonic_ns(),
            pid: 7,
            tid: 7,
            cgroup: 0,
            comm: [0; 16],
            registers: perfwatch_common::profile::Registers::default(),
            kernel_bytes: 0,
            user_bytes: 8,
            pages: 0,
            cpu: 0,
            kernel: [0; perfwatch_common::profile::FRAMES],
            user: [0; perfwatch_common::profile::FRAMES],
        };
        head.comm[..name.len()].copy_from_slice(name.as_bytes());
        head.user[0] = 0x10010;
        head
    }

    fn frames(gather: &Gather) -> Vec<(String, Vec<Place>)> {
        let frames = |sampled: &Sampled| sampled.tree.nodes().iter().filter_map(|node| node.frame).collect();
        let mut all: Vec<_> =
            gather.ran.iter().map(|(whose, sampled)| (whose.process.to_string(), frames(sampled))).collect();
        all.sort();
        all
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut gather = Gather::new(&Roots { procfs: dir.path().into(), ..Roots::default() });
        write(dir.path(), "first", 1);
        gather.add(&sample("first"), &[], 1);
        let late = sample("first");
        write(dir.path(), "second", 2);
        gather.add(&sample("second"), &[], 1);
        let [(first, before), (second, after)] = &frames(&gather)[..] else { panic!() };
        assert_eq!((&first[..], &second[..]), ("first", "second"));
        assert!(before != after, "the names of one are not those of the other: {after:?}");
        // The first one's, taken out of the buffer when it was gone.
        gather.add(&late, &[], 1);
        assert!(frames(&gather)[0].1.contains(&Place::Unknown));
        assert_eq!(&frames(&gather)[1].1, after);
    }

    #[test]
    fn a_process_that_is_renamed_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut gather = Gather::new(&Roots { procfs: dir.path().into(), ..Roots::default() });
        write(dir.path(), "first", 1);
        gather.add(&sample("first"), &[], 1);
        write(dir.path(), "second", 1);
        gather.add(&sample("second"), &[], 1);
        let [(_, before), (second, after)] = &frames(&gather)[..] else { panic!() };
        assert_eq!((&second[..], before), ("second", after));
    }
}
