//! Names of places: asked of the symbolizer, and remembered.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::Hash;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::place::{FileId, Image, Place};
use super::recent::Recent;
use super::symbolizer::{Answer, Of, Request};
use super::tables::Functions;
use crate::profiles::function::{Function, GENERATED, KERNEL};

/// Places of a generation. What is forgotten is named again when it is met.
const MAX_PLACES: usize = 6 << 10;
/// Names that are shared, and lists of them: most places are in functions where others are, too. Beyond, what comes next
/// shares nothing with what was there.
const MAX_SHARED: usize = 4 << 10;
/// For one request. Debug information of a large program takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Addresses asked for at once.
const MAX_ADDRESSES: usize = 2000;
/// The symbolizer ends after so long without a question: what it has read takes more memory than another one takes time.
pub const IDLE: Duration = Duration::from_secs(60);
/// Or after so many: what it has read stays in its memory until then.
const MAX_REQUESTS: usize = 64;
/// Requests that one symbolizer may fail before nothing is asked of it any more: only its files can be at fault.
const MAX_FAILURES: u64 = 1000;

/// A file that is kept open, to name what was found in it also after it is deleted.
#[derive(Debug, Clone)]
pub struct NamedFile {
    /// Its path in the process that it was first seen in.
    pub path: String,
    pub file: Arc<File>,
    pub functions: Functions,
}

#[derive(Debug)]
pub struct Symbols {
    program: PathBuf,
    kallsyms: PathBuf,
    running: Option<Running>,
    asked: Instant,
    known: Recent<Place, Arc<[Function]>>,
    shared: Shared,
    /// Files and processes of which the symbolizer could not tell anything in time.
    hopeless: HashSet<Group>,
    pub failures: u64,
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    requests: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Symbols {
    /// `program` is this executable.
    pub fn new(program: PathBuf, kallsyms: PathBuf) -> Self {
        Self {
            program,
            kallsyms,
            running: None,
            asked: Instant::now(),
            known: Recent::new(MAX_PLACES),
            shared: Shared::default(),
            hopeless: HashSet::new(),
            failures: 0,
        }
    }

    /// The functions at a place, the outermost first, if it was among those that [`Self::learn`] was given last.
    pub fn functions(&self, place: Place) -> Option<&Arc<[Function]>> {
        self.known.get(&place)
    }

    /// Names places that have none yet.
    pub fn learn(&mut self, places: impl Iterator<Item = Place>, files: &HashMap<FileId, NamedFile>) {
        // Not while names are learned: whoever asked for them wants them afterwards.
        self.known.age();
        if self.asked.elapsed() > IDLE {
            self.rest();
        }
        let mut wanted: HashMap<Group, Vec<u64>> = HashMap::new();
        for place in places {
            if self.known.meet(&place).is_some() {
                continue;
            }
            match Group::of(place) {
                Some((group, address)) => wanted.entry(group).or_default().push(address),
                None => self.remember(place, &[], files),
            }
        }
        for (group, mut addresses) in wanted {
            addresses.sort_unstable();
            addresses.dedup();
            let of = match group {
                Group::Kernel => Some(Of::Kernel(self.kallsyms.clone())),
                Group::File(id) => files.get(&id).map(|file| {
                    Of::File(format!("/proc/{}/fd/{}", std::process::id(), file.file.as_raw_fd()).into())
                }),
                Group::Process(by) => Some(Of::Process(by.pid)),
            };
            for addresses in addresses.chunks(MAX_ADDRESSES) {
                let answer = of.as_ref().and_then(|of| self.ask(group, of, addresses)).unwrap_or_default();
                for (n, address) in addresses.iter().enumerate() {
                    let names = answer.get(n).map(Vec::as_slice).unwrap_or_default();
                    self.remember(group.place(*address), names, files);
                }
            }
        }
    }

    /// Ends the symbolizer until something is to be named again.
    pub fn rest(&mut self) {
        self.running = None;
    }

    fn remember(&mut self, place: Place, names: &[String], files: &HashMap<FileId, NamedFile>) {
        let module = match place {
            Place::Kernel(_) => KERNEL,
            Place::File(id, _) => {
                let path = files.get(&id).map(|file| file.path.as_str()).unwrap_or_default();
                path.rsplit('/').next().unwrap_or_default()
            }
            Place::Generated { .. } => GENERATED,
            Place::Unknown | Place::Cut | Place::RunQueue => "",
        };
        let without = match (names, place) {
            ([_, ..], _) => None,
            (_, Place::Cut) => Some("[cut]".to_owned()),
            (_, Place::RunQueue) => Some("[waiting for a CPU]".to_owned()),
            (_, Place::File(id, address)) => {
                // Where the function begins, so that all of it has one name.
                let start = files.get(&id).and_then(|file| file.functions.start(address));
                Some(format!("{module}+{:#x}", start.unwrap_or(address)))
            }
            (_, Place::Unknown | Place::Kernel(_) | Place::Generated { .. }) => Some("[unknown]".to_owned()),
        };
        let names = names.iter().chain(&without);
        let functions = self.shared.functions(module, names.map(String::as_str));
        self.known.insert(place, functions);
    }

    fn ask(&mut self, group: Group, of: &Of, addresses: &[u64]) -> Option<Answer> {
        if self.hopeless.contains(&group) || self.failures >= MAX_FAILURES {
            return None;
        }
        // One that ended may have been the kernel's choice when memory was short: a second one tells.
        self.asked = Instant::now();
        for _ in 0..2 {
            let error = match self.exchange(of, addresses) {
                Ok(answer) => return Some(answer),
                Err(error) => error,
            };
            tracing::debug!(%error, ?of, "cannot name code");
            self.running = None;
            self.failures += 1;
            if error.kind() == io::ErrorKind::TimedOut {
                break;
            }
        }
        self.hopeless.insert(group);
        None
    }

    fn exchange(&mut self, of: &Of, addresses: &[u64]) -> io::Result<Answer> {
        self.running.take_if(|running| running.requests >= MAX_REQUESTS);
        if self.running.is_none() {
            self.running = Some(Running::start(&self.program)?);
        }
        let Some(running) = &mut self.running else { return Err(io::ErrorKind::NotConnected.into()) };
        running.requests += 1;
        let request = Request { of: of.clone(), addresses: addresses.to_vec() };
        running.input.write_all((serde_json::to_string(&request)? + "\n").as_bytes())?;
        running.input.flush()?;
        let answered = Timespec { tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(20), tv_nsec: 0 };
        let mut ready = [PollFd::from_borrowed_fd(running.output.get_ref().as_fd(), PollFlags::IN)];
        if poll(&mut ready, Some(&answered))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut line = String::new();
        if running.output.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// Names and lists of them: what is the same is in memory once.
#[derive(Debug, Default)]
struct Shared {
    texts: HashSet<Arc<str>>,
    lists: HashSet<Arc<[Function]>>,
}

impl Shared {
    fn functions<'n>(&mut self, module: &str, names: impl Iterator<Item = &'n str>) -> Arc<[Function]> {
        let module = self.text(module);
        let list: Vec<Function> =
            names.map(|name| Function { name: self.text(name), module: Arc::clone(&module) }).collect();
        one_of(&mut self.lists, list)
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        one_of(&mut self.texts, text)
    }
}

/// The one of these that is the same, or a new one.
fn one_of<T: Eq + Hash + ?Sized>(
    known: &mut HashSet<Arc<T>>,
    thing: impl Borrow<T> + Into<Arc<T>>,
) -> Arc<T> {
    if let Some(known) = known.get(thing.borrow()) {
        return Arc::clone(known);
    }
    if known.len() >= MAX_SHARED {
        known.clear();
    }
    let thing = thing.into();
    known.insert(Arc::clone(&thing));
    thing
}

impl Running {
    fn start(program: &PathBuf) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("symbolize")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Self { child, input, output: BufReader::new(output), requests: 0 })
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// What is asked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    Kernel,
    File(FileId),
    Process(Image),
}

impl Group {
    fn of(place: Place) -> Option<(Self, u64)> {
        match place {
            Place::Kernel(address) => Some((Self::Kernel, address)),
            Place::File(id, address) => Some((Self::File(id), address)),
            Place::Generated { by, address } => Some((Self::Process(by), address)),
            Place::Unknown | Place::Cut | Place::RunQueue => None,
        }
    }

    fn place(self, address: u64) -> Place {
        match self {
            Self::Kernel => Place::Kernel(address),
            Self::File(id) => Place::File(id, address),
            Self::Process(by) => Place::Generated { by, address },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a symbolizer: nothing has a name.
    fn symbols() -> Symbols {
        Symbols::new("/nonexistent".into(), "/nonexistent".into())
    }

    #[test]
    fn addresses_of_one_function_share_their_names() {
        let mut symbols = symbols();
        let names = ["outer".to_owned(), "inlined".to_owned()];
        let mut places = (0..1000).map(|address| Place::File(FileId(1), address));
        places.clone().for_each(|place| symbols.remember(place, &names, &HashMap::new()));
        let other = Place::File(FileId(1), 1000);
        symbols.remember(other, &names[..1], &HashMap::new());
        let first = symbols.functions(Place::File(FileId(1), 0)).unwrap();
        assert_eq!(first.iter().map(|function| &*function.name).collect::<Vec<_>>(), names);
        assert!(places.all(|place| Arc::ptr_eq(symbols.functions(place).unwrap(), first)));
        let other = symbols.functions(other).unwrap();
        assert!(Arc::ptr_eq(&other[0].name, &first[0].name), "and so do those that have a part of them");
        assert_eq!(Arc::strong_count(first), 1001, "of each place, and to find it by");
    }

    #[test]
    fn all_of_a_batch_have_names_and_what_is_not_met_again_is_forgotten() {
        let mut symbols = symbols();
        let stays = Place::Kernel(1);
        let batch = |n: u64| (0..1000).map(move |at| Place::Kernel(1000 * n + at)).chain([stays]);
        let has_name = |symbols: &Symbols, place| symbols.functions(place).is_some();
        for n in 1..100 {
            symbols.learn(batch(n), &HashMap::new());
            assert!(batch(n).all(|place| has_name(&symbols, place)), "{n}");
            let remembered = (1..=n).flat_map(batch).filter(|place| has_name(&symbols, *place)).count();
            assert!(remembered <= 2 * (MAX_PLACES + 1000) + n as usize, "{remembered}");
        }
        assert!(batch(1).filter(|place| *place != stays).all(|place| !has_name(&symbols, place)));
        // A batch that is larger than all that is remembered.
        let large = || (0..5 * MAX_PLACES as u64).map(Place::Kernel);
        symbols.learn(large(), &HashMap::new());
        assert!(large().all(|place| has_name(&symbols, place)));
        symbols.learn([stays].into_iter(), &HashMap::new());
        symbols.learn(batch(1), &HashMap::new());
        assert!(batch(1).all(|place| has_name(&symbols, place)));
    }
}
