//! Space on network and FUSE file systems, queried where a dead one cannot block anything.
//!
//! A short-lived thread walks the mounts. A thread that gets stuck is left behind with its mount, another thread takes
//! over the others, and the mount is queried again only after the stuck thread has returned. So there are never more
//! threads than dead mounts plus one, nor than [`MAX_STUCK`] plus one, and none at all on machines without
//! such mounts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::space::{Place, Space};

/// Space on a server changes slowly, and each query causes it traffic.
const REFRESH: Duration = Duration::from_secs(30);

/// After this a mount counts as dead, and its last answer as stale.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Mounts that may be stuck at once. With more dead ones nothing is queried until one of them returns.
const MAX_STUCK: usize = 16;

/// The threads only call statvfs(2).
const STACK: usize = 64 * 1024;

type Statvfs = dyn Fn(&Place) -> Option<Space> + Send + Sync;

pub(super) struct Remote {
    statvfs: Arc<Statvfs>,
    table: Arc<Mutex<Table>>,
    walked: Option<Instant>,
}

#[derive(Default)]
struct Table {
    mounts: BTreeMap<Place, Answer>,
    /// The number of the current walking thread; earlier ones stop when they see it.
    walker: u64,
    /// Since when that thread has been waiting for one mount.
    waits_since: Option<Instant>,
}

#[derive(Default)]
struct Answer {
    space: Option<Space>,
    /// Since when a thread has been waiting for it.
    asked: Option<Instant>,
}

impl Remote {
    pub(super) fn new(statvfs: impl Fn(&Place) -> Option<Space> + Send + Sync + 'static) -> Self {
        Self { statvfs: Arc::new(statvfs), table: Arc::default(), walked: None }
    }

    /// Starts a thread for the mounts when it is time; never waits for it.
    pub(super) fn refresh<'a>(&mut self, mounts: impl Iterator<Item = &'a Place>, now: Instant) {
        let mut mounts = mounts.peekable();
        if mounts.peek().is_none() && self.walked.is_none() {
            return;
        }
        let is_over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        let mut table = lock(&self.table);
        let mut before = std::mem::take(&mut table.mounts);
        let mut any_new = false;
        for place in mounts {
            let (place, answer) = before.remove_entry(place).unwrap_or_else(|| {
                any_new = true;
                (place.clone(), Answer::default())
            });
            table.mounts.insert(place, answer);
        }
        let is_stuck = table.waits_since.is_some_and(|since| is_over(since, TIMEOUT));
        if any_new || is_stuck || self.walked.is_none_or(|at| is_over(at, REFRESH)) {
            self.walked = Some(now);
            table.walker += 1;
            table.waits_since = None;
            // Each thread keeps the table alive, even when its mount has been removed from it.
            let threads = Arc::strong_count(&self.table) - 1;
            if threads > MAX_STUCK {
                return;
            }
            let free = table.mounts.iter().filter(|(_, answer)| answer.asked.is_none());
            let places: Vec<Place> = free.map(|(place, _)| place.clone()).collect();
            if !places.is_empty() {
                self.walk(places, table.walker);
            }
        }
    }

    /// The mount's last answer; `None` if it never answered, refused, or has been silent for too long.
    pub(super) fn space(&self, place: &Place, now: Instant) -> Option<Space> {
        let table = lock(&self.table);
        let answer = table.mounts.get(place)?;
        let is_dead = answer.asked.is_some_and(|at| now.saturating_duration_since(at) >= TIMEOUT);
        answer.space.filter(|_| !is_dead)
    }

    fn walk(&self, places: Vec<Place>, walker: u64) {
        let (statvfs, shared) = (Arc::clone(&self.statvfs), Arc::clone(&self.table));
        let thread = std::thread::Builder::new().name("statvfs".into()).stack_size(STACK).spawn(move || {
            for place in places {
                let asked = Instant::now();
                {
                    let mut table = lock(&shared);
                    if table.walker != walker {
                        return;
                    }
                    match table.mounts.get_mut(&place) {
                        Some(answer) if answer.asked.is_none() => answer.asked = Some(asked),
                        _ => continue, // unmounted in the meantime
                    }
                    table.waits_since = Some(asked);
                }
                let space = statvfs(&place);
                let mut table = lock(&shared);
                // A mount that went and came back in the meantime is a different one.
                if let Some(answer) = table.mounts.get_mut(&place).filter(|a| a.asked == Some(asked)) {
                    *answer = Answer { space, asked: None };
                }
                if table.walker == walker {
                    table.waits_since = None;
                }
            }
        });
        if let Err(error) = thread {
            // Retried at the next refresh; until then these partitions have no numbers.
            tracing::warn!(%error, "cannot start a thread to ask network mounts for their space");
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A server that answers for each path only when the test lets it.
    fn server() -> (Remote, mpsc::Receiver<Place>, mpsc::Sender<()>) {
        let (asked, questions) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let answers = Mutex::new(answers);
        let remote = Remote::new(move |place| {
            asked.send(place.clone()).unwrap();
            if place.path.starts_with("/dead") {
                answers.lock().unwrap().recv().unwrap();
            }
            Some(Space::default())
        });
        (remote, questions, answer)
    }

    fn place(path: &str) -> Place {
        Place { path: path.into(), device: None }
    }

    fn until(mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < deadline, "the thread never answered");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_dead_mount_stalls_neither_the_tick_nor_other_mounts() {
        let (mut remote, questions, release) = server();
        let mounts = [place("/dead"), place("/live")];
        let start = Instant::now();
        remote.refresh(mounts.iter(), start);
        assert_eq!(questions.recv().unwrap(), mounts[0]);

        // Not given up yet: no second thread.
        remote.refresh(mounts.iter(), start);
        assert!(questions.try_recv().is_err());
        assert_eq!(remote.space(&mounts[1], start), None);

        let later = Instant::now() + TIMEOUT;
        remote.refresh(mounts.iter(), later);
        assert_eq!(questions.recv().unwrap(), mounts[1], "another thread asks the others");
        until(|| remote.space(&mounts[1], later).is_some());
        assert_eq!(remote.space(&mounts[0], later), None);

        // The next round skips the dead mount and queries the live one again.
        let next = later + REFRESH;
        remote.refresh(mounts.iter(), next);
        assert_eq!(questions.recv().unwrap(), mounts[1]);
        assert!(questions.try_recv().is_err());

        // It comes back to life.
        release.send(()).unwrap();
        until(|| remote.space(&mounts[0], next).is_some());
    }

    #[test]
    fn mounts_that_are_gone_are_forgotten_and_without_any_there_is_no_thread() {
        let (mut remote, questions, _release) = server();
        let now = Instant::now();
        remote.refresh([].iter(), now);
        assert_eq!(remote.walked, None);

        let mount = place("/live");
        remote.refresh([mount.clone()].iter(), now);
        until(|| remote.space(&mount, now).is_some());
        questions.recv().unwrap();
        remote.refresh([].iter(), now);
        assert_eq!(remote.space(&mount, now), None);
    }

    #[test]
    fn a_server_with_thousands_of_mounts_takes_a_bounded_number_of_threads() {
        let (mut remote, questions, _release) = server();
        let mounts: Vec<Place> = (0..4000).map(|number| place(&format!("/dead/{number}"))).collect();
        let mut now = Instant::now();
        for _ in 0..=MAX_STUCK {
            remote.refresh(mounts.iter(), now);
            questions.recv().unwrap();
            now = Instant::now() + REFRESH;
        }
        remote.refresh(mounts.iter(), now);
        remote.refresh(mounts.iter(), now + REFRESH);
        assert!(questions.try_recv().is_err());
        assert_eq!(Arc::strong_count(&remote.table) - 1, MAX_STUCK + 1, "each thread holds the table");
    }
}
