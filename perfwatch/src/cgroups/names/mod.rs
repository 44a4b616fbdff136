//! What people call a group. The path gives a name at once; what only a runtime knows is looked up by a thread of low
//! priority, which may hang without delaying anyone, and is remembered.

mod found;
mod runtimes;
mod socket;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::found::Found;
use self::runtimes::Runtimes;
use super::identity::{Identity, Kind, Runtime};
use crate::config::Roots;

/// Groups remembered; those that nobody asked about for the longest time are forgotten first.
const MAX_GROUPS: usize = 8192;
/// Look-ups waiting; further ones are asked for again at the next tick.
const MAX_WAITING: usize = 1024;
/// Until something found is looked up again: containers may be renamed.
const FOUND_FOR: Duration = Duration::from_secs(600);
/// The same after a failure, doubled each time: a runtime writes its files a moment after it makes the group.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const NICE: i32 = 10;

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub identity: Identity,
    /// The best name there is.
    pub name: String,
    pub runtime: Option<Runtime>,
    pub image: Option<String>,
    pub pod: Option<String>,
    pub namespace: Option<String>,
    pub project: Option<String>,
    /// Why the name is no better than what the path says.
    pub problem: Option<Arc<str>>,
}

impl Named {
    fn new(identity: &Identity, answer: Option<&Result<Found, Arc<str>>>) -> Self {
        let nothing = Found::default();
        let (found, problem) = match answer {
            Some(Ok(found)) => (found, None),
            Some(Err(why)) => (&nothing, Some(Arc::clone(why))),
            None => (&nothing, None),
        };
        let own = found.name.as_deref();
        let base = match identity.kind {
            Kind::Session => own.map(|user| format!("{user}, {}", identity.name)),
            _ => own.map(str::to_owned),
        };
        let base = base.unwrap_or_else(|| identity.name.clone());
        Self {
            name: identity.inside.as_ref().map_or_else(|| base.clone(), |inside| format!("{base}/{inside}")),
            runtime: identity.runtime.or(found.runtime),
            image: found.image.clone(),
            pod: found.pod.clone(),
            namespace: found.namespace.clone(),
            project: found.project.clone(),
            problem,
            identity: identity.clone(),
        }
    }
}

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Container { id: String, runtime: Option<Runtime>, uid: Option<u32> },
    Pod(String),
    User(u32),
}

impl Subject {
    /// `None` if nobody knows more than the path does.
    fn of(identity: &Identity) -> Option<Self> {
        // Of Podman's pods only its database knows the name.
        const PODMAN_ID: usize = 64;
        match (&identity.id, identity.kind) {
            (Some(_), _) if identity.runtime == Some(Runtime::BuildKit) => None,
            (Some(id), _) => {
                Some(Self::Container { id: id.clone(), runtime: identity.runtime, uid: identity.uid })
            }
            (None, Kind::Pod) => identity.pod.clone().filter(|uid| uid.len() != PODMAN_ID).map(Self::Pod),
            (None, Kind::Session | Kind::User) => identity.uid.map(Self::User),
            (None, _) => None,
        }
    }
}

/// Names by path. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Names(Arc<Owner>);

/// Ends the thread when the last clone is dropped.
#[derive(Debug)]
struct Owner(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cache: Mutex<Cache>,
    asked: Condvar,
}

#[derive(Debug)]
struct Cache {
    groups: HashMap<Arc<str>, Group>,
    subjects: HashMap<Subject, Answer>,
    waiting: VecDeque<Subject>,
    /// For the thread, until it starts with the first question.
    runtimes: Option<Runtimes>,
    stop: bool,
}

#[derive(Debug)]
struct Group {
    named: Arc<Named>,
    subject: Option<Subject>,
    /// Of the answer in `named`.
    version: u32,
    used: Instant,
}

#[derive(Debug)]
struct Answer {
    result: Option<Result<Found, Arc<str>>>,
    version: u32,
    pause: Duration,
    due: Instant,
    is_waiting: bool,
}

impl Names {
    pub fn new(roots: &Roots, sockets: &[PathBuf]) -> Self {
        let cache = Cache {
            groups: HashMap::new(),
            subjects: HashMap::new(),
            waiting: VecDeque::new(),
            runtimes: Some(Runtimes::new(roots, sockets)),
            stop: false,
        };
        Self(Arc::new(Owner(Arc::new(Shared { cache: Mutex::new(cache), asked: Condvar::new() }))))
    }

    /// What is known of the group at `path`. Never waits for a look-up.
    pub fn of(&self, path: &Arc<str>) -> Arc<Named> {
        let shared = &self.0.0;
        let mut cache = shared.lock();
        let now = Instant::now();
        let named = cache.named(path, now);
        if !cache.waiting.is_empty() {
            if let Some(runtimes) = cache.runtimes.take() {
                shared.start(runtimes);
            }
            shared.asked.notify_one();
        }
        named
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().stop = true;
        self.0.asked.notify_all();
    }
}

impl Cache {
    fn named(&mut self, path: &Arc<str>, now: Instant) -> Arc<Named> {
        if !self.groups.contains_key(path) {
            self.make_room();
            let identity = Identity::of(path);
            let subject = Subject::of(&identity);
            let named = Arc::new(Named::new(&identity, None));
            self.groups.insert(Arc::clone(path), Group { named, subject, version: 0, used: now });
        }
        let Some(group) = self.groups.get_mut(path) else {
            return Arc::new(Named::new(&Identity::of(path), None));
        };
        group.used = now;
        let Some(subject) = &group.subject else { return Arc::clone(&group.named) };
        let answer = match self.subjects.get_mut(subject) {
            Some(answer) => answer,
            None => self.subjects.entry(subject.clone()).or_insert_with(|| Answer::none(now)),
        };
        if answer.version != group.version {
            group.version = answer.version;
            group.named = Arc::new(Named::new(&group.named.identity, answer.result.as_ref()));
        }
        if answer.due <= now && !answer.is_waiting && self.waiting.len() < MAX_WAITING {
            answer.is_waiting = true;
            self.waiting.push_back(subject.clone());
        }
        Arc::clone(&group.named)
    }

    fn make_room(&mut self) {
        if self.groups.len() < MAX_GROUPS {
            return;
        }
        let mut used: Vec<Instant> = self.groups.values().map(|group| group.used).collect();
        let (_, middle, _) = used.select_nth_unstable(MAX_GROUPS / 2);
        let middle = *middle;
        self.groups.retain(|_, group| group.used > middle);
        let wanted: HashSet<_> = self.groups.values().filter_map(|group| group.subject.as_ref()).collect();
        self.subjects.retain(|subject, answer| answer.is_waiting || wanted.contains(subject));
    }

    fn answered(&mut self, subject: &Subject, result: Result<Found, String>, now: Instant) {
        let Some(answer) = self.subjects.get_mut(subject) else { return };
        answer.is_waiting = false;
        match &result {
            Ok(_) => (answer.pause, answer.due) = (FIRST_PAUSE, now + FOUND_FOR),
            Err(_) => {
                answer.due = now + answer.pause;
                answer.pause = (answer.pause * 2).min(FOUND_FOR);
            }
        }
        // A container that has ended keeps the name that it had.
        if result.is_err() && matches!(answer.result, Some(Ok(_))) {
            return;
        }
        let result = result.map_err(Arc::from);
        if answer.result.as_ref() != Some(&result) {
            answer.result = Some(result);
            answer.version += 1;
        }
    }
}

impl Answer {
    fn none(now: Instant) -> Self {
        Self { result: None, version: 0, pause: FIRST_PAUSE, due: now, is_waiting: false }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, runtimes: Runtimes) {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("cgroup-names".into()).spawn(move || {
            // On Linux this affects only the calling thread.
            let nice = rustix::process::getpriority_process(None).map_or(NICE, |nice| nice.max(NICE));
            if let Err(error) = rustix::process::setpriority_process(None, nice) {
                tracing::warn!(%error, "looking up containers cannot be given a low priority");
            }
            shared.answer(runtimes);
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "containers have no names: no thread to look them up");
        }
    }

    fn answer(&self, mut runtimes: Runtimes) {
        let mut cache = self.lock();
        while !cache.stop {
            let Some(subject) = cache.waiting.pop_front() else {
                cache = self.asked.wait(cache).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(cache);
            let result = runtimes.look_up(&subject);
            cache = self.lock();
            cache.answered(&subject, result, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
