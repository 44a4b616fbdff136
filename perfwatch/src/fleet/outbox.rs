//! Packets that the stream has not acknowledged, one file each, so that neither a restart nor an outage loses them.
//!
//! A packet of the same content and start replaces an older one, as the profile of ten minutes does while it grows. The
//! directory is bounded: where it is full, the oldest readings go and their minutes stay; when only minutes are left, the
//! oldest of those. Both are counted.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::protocol::Packet;
use crate::history::tier::{Tier, floor};
use crate::profiles::archive;
use crate::store::chunks::Content;

const EXTENSION: &str = "packet";
/// What arrived within this time is sent before what waits for longer.
const FRESH: Duration = Duration::from_secs(600);
/// After its end, when a slot of profiles has all of its stacks, µs.
const GROWN: i64 = 90_000_000;

/// What a packet is about; ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    start: i64,
    tier: i64,
    content: Content,
}

impl Key {
    fn of(packet: &Packet) -> Self {
        let (tier, start) = packet.key();
        Self { start, tier, content: packet.content }
    }

    fn file(self) -> String {
        format!("{:020}-{}-{}.{EXTENSION}", self.start, self.tier, self.content.as_str())
    }

    fn parse(path: &Path) -> Option<Self> {
        if path.extension()? != EXTENSION {
            return None;
        }
        let mut parts = path.file_stem()?.to_str()?.splitn(3, '-');
        let (start, tier, content) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { start: start.parse().ok()?, tier: tier.parse().ok()?, content: Content::parse(content)? })
    }

    /// When nothing is added to it any more (µs): profiles grow until their slot is over.
    fn grown_at(self) -> i64 {
        match self.content {
            Content::Profiles(_) => floor(self.start, archive::SLOT).saturating_add(archive::SLOT + GROWN),
            Content::Readings(_) => i64::MIN,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u64,
    /// Changes with each replacement, so that only what was sent is removed.
    generation: u64,
    /// `None`: left by an earlier run, which added nothing to it any more.
    arrived: Option<Instant>,
}

/// A packet to send.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    key: Key,
    generation: u64,
    /// It has waited for so long that newer ones go first.
    pub is_backlog: bool,
}

#[derive(Debug, Clone)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
    news: Notify,
    shed: AtomicU64,
    lost: AtomicU64,
    is_full: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<Key, Entry>,
    bytes: u64,
    generation: u64,
}

impl Outbox {
    /// Opens the directory, with what an earlier run left in it.
    pub fn open(dir: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut state = State::default();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Some(key) = Key::parse(&entry.path()) else { continue };
            let bytes = entry.metadata()?.len();
            state.bytes += bytes;
            state.waiting.insert(key, Entry { bytes, generation: 0, arrived: None });
        }
        Ok(Self(Arc::new(Shared {
            dir: dir.to_owned(),
            max_bytes,
            state: Mutex::new(state),
            news: Notify::new(),
            shed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        })))
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Chunks of readings that had to go; their minutes were kept.
    pub fn shed(&self) -> u64 {
        self.0.shed.load(Ordering::Relaxed)
    }

    /// Packets that were lost: there was no room for them, or they could not be read or sent.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    pub fn note_lost(&self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes a packet to disk; blocks.
    pub fn put(&self, packet: &Packet) -> io::Result<()> {
        let encoded = packet.encode();
        let key = Key::of(packet);
        let written = self.write(key, &encoded)?;
        // Whoever looks for what to send does not wait for the disk.
        let mut state = self.state();
        self.add(&mut state, key, &written, encoded.len(), Some(Instant::now()))?;
        self.bound(&mut state);
        drop(state);
        self.0.news.notify_one();
        Ok(())
    }

    /// Waits until something new arrives.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// What to send next at a time (µs): the newest of what is fresh, otherwise the oldest of the backlog, if it has its
    /// turn.
    pub fn next(&self, now: i64, with_backlog: bool) -> Option<Waiting> {
        let state = self.state();
        let is_fresh = |entry: &Entry| entry.arrived.is_some_and(|arrived| arrived.elapsed() < FRESH);
        let is_grown = |key: &Key, entry: &Entry| entry.arrived.is_none() || key.grown_at() <= now;
        let mut ready = state.waiting.iter().filter(|(key, entry)| is_grown(key, entry));
        let newest = ready.clone().rfind(|(_, entry)| is_fresh(entry));
        let found = match newest {
            None if with_backlog => ready.find(|(_, entry)| !is_fresh(entry)),
            newest => newest,
        };
        let (key, entry) = found?;
        Some(Waiting { key: *key, generation: entry.generation, is_backlog: !is_fresh(entry) })
    }

    /// Reads a packet; blocks. One that can't be read is lost.
    pub fn read(&self, waiting: &Waiting) -> Option<(Packet, Bytes)> {
        let path = self.0.dir.join(waiting.key.file());
        let why = match fs::read(&path).map(Bytes::from) {
            Ok(bytes) => match Packet::decode(&bytes) {
                Ok(packet) => return Some((packet, bytes)),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        // Replaced by its minutes a moment ago.
        if self.state().waiting.get(&waiting.key).is_some_and(|entry| entry.generation == waiting.generation)
        {
            tracing::error!(path = %path.display(), why, "a packet in the outbox cannot be read and is lost");
            self.note_lost();
            self.done(waiting);
        }
        None
    }

    /// Removes what was sent, unless it was replaced meanwhile.
    pub fn done(&self, waiting: &Waiting) {
        let mut state = self.state();
        if state.waiting.get(&waiting.key).is_some_and(|entry| entry.generation == waiting.generation) {
            self.remove(&mut state, waiting.key);
        }
    }

    /// Puts the halves of a packet in its place; false if it can't be halved. Blocks.
    pub fn halve(&self, packet: &Packet) -> io::Result<bool> {
        let Some([first, second]) = packet.halves() else { return Ok(false) };
        // The first has the packet's key, and replaces it once the other is there.
        self.put(&second)?;
        self.put(&first)?;
        Ok(true)
    }

    /// Replaces a packet by its minutes; false if it has nothing else.
    pub fn keep_minutes(&self, waiting: &Waiting) -> bool {
        let mut state = self.state();
        match state.waiting.get(&waiting.key) {
            Some(entry) if entry.generation == waiting.generation => self.shed_one(&mut state, waiting.key),
            _ => true,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a file that is not here yet.
    fn write(&self, key: Key, encoded: &[u8]) -> io::Result<PathBuf> {
        let unfinished = self.0.dir.join(key.file()).with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(encoded)?;
        // The log lets go of it once it is here.
        file.sync_data()?;
        Ok(unfinished)
    }

    fn add(
        &self,
        state: &mut State,
        key: Key,
        written: &Path,
        bytes: usize,
        arrived: Option<Instant>,
    ) -> io::Result<()> {
        fs::rename(written, self.0.dir.join(key.file()))?;
        state.generation += 1;
        let bytes = bytes as u64;
        let replaced = state.waiting.insert(key, Entry { bytes, generation: state.generation, arrived });
        state.bytes = state.bytes + bytes - replaced.map_or(0, |entry| entry.bytes);
        Ok(())
    }

    fn remove(&self, state: &mut State, key: Key) {
        if let Some(entry) = state.waiting.remove(&key) {
            state.bytes -= entry.bytes;
        }
        if let Err(error) = fs::remove_file(self.0.dir.join(key.file()))
            && error.kind() != ErrorKind::NotFound
        {
            // It is sent once more after a restart, without effect.
            tracing::warn!(%error, "cannot remove a packet from the outbox");
        }
    }

    fn bound(&self, state: &mut State) {
        if state.bytes <= self.0.max_bytes {
            self.0.is_full.store(false, Ordering::Relaxed);
            return;
        }
        if !self.0.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                max_bytes = self.0.max_bytes,
                "the outbox of the fleet is full: the oldest readings in it go, their minutes stay as long as they fit"
            );
        }
        while state.bytes > self.0.max_bytes {
            let raw = state.waiting.keys().find(|key| key.tier == Tier::Raw.seconds()).copied();
            if raw.is_some_and(|key| self.shed_one(state, key)) {
                continue;
            }
            let Some(oldest) = raw.or_else(|| state.waiting.keys().next().copied()) else { return };
            self.note_lost();
            self.remove(state, oldest);
        }
    }

    fn shed_one(&self, state: &mut State, key: Key) -> bool {
        let kept = fs::read(self.0.dir.join(key.file())).ok().and_then(|bytes| {
            let mut packet = Packet::decode(&bytes.into()).ok()?;
            packet.chunks.retain(|chunk| chunk.tier != Tier::Raw.seconds());
            (key.tier == Tier::Raw.seconds() && !packet.chunks.is_empty()).then_some(packet)
        });
        let Some(packet) = kept else { return false };
        let arrived = state.waiting.get(&key).and_then(|entry| entry.arrived);
        let (minutes, encoded) = (Key::of(&packet), packet.encode());
        let added = self
            .write(minutes, &encoded)
            .and_then(|written| self.add(state, minutes, &written, encoded.len(), arrived));
        if added.is_err() {
            return false;
        }
        self.remove(state, key);
        self.0.shed.fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::MetricType;
    use crate::store::chunks::{Chunk, ProfileKind};

    const SECOND: i64 = 1_000_000;

    fn chunk(content: Content, tier: i64, start: i64, bytes: usize) -> Chunk {
        Chunk { content, tier, start, first: start, end: start + 1, data: vec![7; bytes].into() }
    }

    fn readings(start: i64) -> Packet {
        let content = Content::Readings(MetricType::Cpu);
        let chunks = vec![chunk(content, 0, start, 1000), chunk(content, 60, start, 100)];
        Packet { host: "here".to_owned(), content, chunks }
    }

    fn starts(outbox: &Outbox) -> Vec<(i64, i64)> {
        outbox.state().waiting.keys().map(|key| (key.start, key.tier)).collect()
    }

    #[test]
    fn what_is_not_acknowledged_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path(), 1 << 20).unwrap();
        (1..=3).for_each(|start| outbox.put(&readings(start)).unwrap());
        let newest = outbox.next(0, true).unwrap();
        assert_eq!((outbox.read(&newest).unwrap().0, newest.is_backlog), (readings(3), false));
        outbox.done(&newest);
        let again = Outbox::open(dir.path(), 1 << 20).unwrap();
        assert_eq!((again.len(), again.bytes()), (2, outbox.bytes()));
        let oldest = again.next(0, true).unwrap();
        assert_eq!((again.read(&oldest).unwrap().0, oldest.is_backlog), (readings(1), true));
        assert!(again.next(0, false).is_none(), "the backlog has no turn");
    }

    #[test]
    fn the_newest_goes_before_a_backlog() {
        let dir = tempfile::tempdir().unwrap();
        let old = Outbox::open(dir.path(), 1 << 20).unwrap();
        (1..=2).for_each(|start| old.put(&readings(start)).unwrap());
        let outbox = Outbox::open(dir.path(), 1 << 20).unwrap();
        outbox.put(&readings(9)).unwrap();
        let order: Vec<i64> = std::iter::from_fn(|| {
            let next = outbox.next(0, true)?;
            outbox.done(&next);
            Some(next.key.start)
        })
        .collect();
        assert_eq!(order, [9, 1, 2]);
    }

    #[test]
    fn a_packet_that_was_replaced_while_it_was_sent_stays() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path(), 1 << 20).unwrap();
        outbox.put(&readings(1)).unwrap();
        let sent = outbox.next(0, true).unwrap();
        outbox.put(&readings(1)).unwrap();
        outbox.done(&sent);
        assert_eq!(outbox.len(), 1);
    }

    #[test]
    fn a_profile_waits_until_its_ten_minutes_are_over() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path(), 1 << 20).unwrap();
        let content = Content::Profiles(ProfileKind::Cpu);
        let packet =
            Packet { host: "here".to_owned(), content, chunks: vec![chunk(content, 60, 300 * SECOND, 10)] };
        outbox.put(&packet).unwrap();
        assert!(outbox.next(600 * SECOND, true).is_none());
        assert!(outbox.next(700 * SECOND, true).is_some());
        // Nothing is added to what an earlier run left.
        assert!(Outbox::open(dir.path(), 1 << 20).unwrap().next(0, true).is_some());
    }

    #[test]
    fn where_it_is_full_the_oldest_readings_go_first_and_then_the_oldest_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path(), 3000).unwrap();
        (1..=3).for_each(|start| outbox.put(&readings(start)).unwrap());
        assert_eq!(starts(&outbox), [(1, 60), (2, 0), (3, 0)]);
        (4..=30).for_each(|start| outbox.put(&readings(start)).unwrap());
        assert!(outbox.bytes() <= 3000);
        let kept = starts(&outbox);
        assert!(kept.last() == Some(&(30, 0)) || kept.last() == Some(&(30, 60)), "{kept:?}");
        assert!(kept[0].0 > 1, "the oldest minutes are lost: {kept:?}");
        let sum = outbox.lost() + kept.len() as u64;
        assert_eq!(sum, 30, "each is here or counted");
        assert_eq!(outbox.shed(), 30 - kept.iter().filter(|(_, tier)| *tier == 0).count() as u64);
    }

    #[test]
    fn a_damaged_file_is_lost_and_counted_and_not_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path(), 1 << 20).unwrap();
        outbox.put(&readings(1)).unwrap();
        let file = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        fs::write(&file, b"PWF").unwrap();
        let next = outbox.next(0, true).unwrap();
        assert!(outbox.read(&next).is_none());
        assert_eq!((outbox.lost(), outbox.len(), file.exists()), (1, 0, false));
    }
}
