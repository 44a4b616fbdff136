//! The profiles of one host: those of the last minutes in memory, and all that is stored.
//!
//! Sums by minute are stored in chunks of ten minutes. The last of them is replaced each minute, so that a server that is
//! killed loses a minute at most. Hours and days are computed from them once they are over. They expire together with
//! history's tiers of the same resolution.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::builder::{Bounds, Builder, bounded};
use super::flame::{Adding, Filter, Flame, Side};
use super::function::Who;
use super::table::Table;
use crate::history::History;
use crate::history::tier::{Tier, floor};
use crate::store::Result;
use crate::store::chunks::{Batch, Chunk, ChunkStore, Content, ProfileKind, Wanted};

/// µs.
const MINUTE: i64 = 60_000_000;
/// What one chunk of minutes covers at most, µs.
pub const SLOT: i64 = 10 * MINUTE;
/// Nodes of a slot in memory, beyond which the smallest stacks are added up early.
const MAX_OPEN_NODES: usize = 10 << 10;
/// And the least busy processes and threads: compilers come by the hundred.
const MAX_OPEN_WHO: usize = 600;
/// What is kept apart then: more than what is stored, since what is small now may not be so at the end.
const OPEN: Bounds = Bounds { nodes: MAX_OPEN_NODES / 2, who: MAX_OPEN_WHO / 2, pids: true };
/// Slots that wait for the store: three hours of both kinds.
const MAX_WAITING: usize = 36;
/// Chunks read at a time.
const PAGE: i64 = 64;

/// What is kept of each resolution: a day of a busy machine takes some megabytes.
const fn bounds(tier: Tier) -> Bounds {
    match tier {
        Tier::Raw | Tier::Minute | Tier::FiveMinutes => Bounds { nodes: 2500, who: 200, pids: true },
        Tier::Hour => Bounds { nodes: 4000, who: 200, pids: false },
        Tier::Day => Bounds { nodes: 6000, who: 300, pids: false },
    }
}

/// The coarser resolutions, and those that they are computed from.
const ROLLED: [(Tier, Tier); 2] = [(Tier::Hour, Tier::Minute), (Tier::Day, Tier::Hour)];

#[derive(Debug, Clone)]
pub struct Archive(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    chunks: Arc<dyn ChunkStore>,
    host: String,
    memory: Mutex<Memory>,
    /// Of another machine, which is asked for what it has not sent yet.
    history: Option<History>,
}

#[derive(Debug, Default)]
struct Memory {
    /// By kind, the slot that is being filled.
    open: [Option<Slot>; ProfileKind::ALL.len()],
    /// Full ones that are not stored yet, as they will be.
    full: VecDeque<Chunk>,
    /// The last full one, by kind: it is stored here, and may be on its way to the hubs.
    last: [Option<Chunk>; ProfileKind::ALL.len()],
    /// Slots that were given up because the store was away for too long.
    dropped: u64,
}

impl Memory {
    /// If the open slot is over, it waits for the store.
    fn close(&mut self, kind: ProfileKind, now: i64) {
        let open = &mut self.open[kind as usize];
        let over = open.take_if(|slot| floor(slot.start, SLOT) != floor(now, SLOT));
        self.full.extend(over.and_then(|slot| slot.chunk()));
        while self.full.len() > MAX_WAITING {
            self.full.pop_front();
            self.dropped += 1;
        }
    }
}

#[derive(Debug)]
struct Slot {
    kind: ProfileKind,
    /// When its first stack was counted; µs.
    start: i64,
    builder: Builder,
}

impl Slot {
    /// As it is stored, unless there is nothing in it.
    fn chunk(&self) -> Option<Chunk> {
        chunk(self.kind, Tier::Minute, self.start, &bounded(&self.builder.table(), bounds(Tier::Minute)))
    }

    /// Adds up the smallest if there are too many.
    fn fold(&mut self) {
        if self.builder.nodes() > MAX_OPEN_NODES || self.builder.who() > MAX_OPEN_WHO {
            let table = bounded(&self.builder.table(), OPEN);
            self.builder = Builder::default();
            self.builder.merge(&table, Who::clone, |time| time);
        }
    }
}

fn chunk(kind: ProfileKind, tier: Tier, start: i64, table: &Table) -> Option<Chunk> {
    let (first, last) = table.span()?;
    let data = table.encode().into();
    Some(Chunk {
        content: Content::Profiles(kind),
        tier: tier.seconds(),
        start,
        first,
        end: last + tier.width(),
        data,
    })
}

/// The other of two ranges (µs), without the minute that it shares with this one: otherwise a change at the end of it
/// would be in both.
fn apart(from: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    let first_of_this = floor(from.0, MINUTE);
    let after_this = floor(from.1 + MINUTE - 1, MINUTE);
    if other.1 <= from.0 && other.0 < first_of_this {
        (other.0, other.1.min(first_of_this))
    } else if other.0 >= from.1 && other.1 > after_this {
        (other.0.max(after_this), other.1)
    } else {
        other
    }
}

/// Until when [`Archive::keep`] computes a tier, µs.
pub fn over(tier: Tier, now: i64) -> i64 {
    // Clocks are set back, by seconds mostly.
    floor(now - MINUTE, tier.width())
}

/// What an answer covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Covered {
    /// Start of the first bucket and end of the last that had anything; µs.
    pub span: Option<(i64, i64)>,
    /// The coarsest resolution that was used, seconds.
    pub resolution: i64,
}

impl Covered {
    fn add(&mut self, table: &Table, tier: Tier, (from, to): (i64, i64)) {
        let within = |time: &i64| from <= *time && *time < to;
        let times = || table.rows.iter().map(|row| row.time).filter(within);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
        let end = last + tier.width();
        self.span = Some(self.span.map_or((first, end), |span| (span.0.min(first), span.1.max(end))));
        self.resolution = self.resolution.max(tier.seconds());
    }
}

impl Archive {
    pub fn new(chunks: Arc<dyn ChunkStore>, host: &str) -> Self {
        Self::with(chunks, host, None)
    }

    fn with(chunks: Arc<dyn ChunkStore>, host: &str, history: Option<History>) -> Self {
        Self(Arc::new(Shared { chunks, host: host.to_owned(), memory: Mutex::default(), history }))
    }

    /// The stored profiles of another host in the same store.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Self {
        if host == self.0.host { self.clone() } else { Self::new(Arc::clone(&self.0.chunks), host) }
    }

    /// The profiles of a history's host, and what its machine has not sent yet, if that can be asked.
    #[must_use]
    pub fn of(&self, history: &History) -> Self {
        let host = history.host();
        if host == self.0.host {
            return self.clone();
        }
        Self::with(Arc::clone(&self.0.chunks), host, Some(history.clone()))
    }

    /// Slots of which hubs may not have everything from a time on (µs).
    pub fn since(&self, kind: ProfileKind, from: i64) -> Vec<Chunk> {
        let memory = self.memory();
        let full = memory.full.iter().filter(|chunk| chunk.content == kind.into()).cloned();
        let open = memory.open[kind as usize].as_ref().and_then(Slot::chunk);
        let all = memory.last[kind as usize].iter().cloned().chain(full).chain(open);
        all.filter(|chunk| chunk.end > from).collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds stacks that were taken just before `now` (µs): `count` adds them in the bucket that it is given.
    pub fn add(&self, kind: ProfileKind, now: i64, count: impl FnOnce(&mut Builder, i64)) {
        let mut memory = self.memory();
        memory.close(kind, now);
        let fresh = || Slot { kind, start: now, builder: Builder::default() };
        let slot = memory.open[kind as usize].get_or_insert_with(fresh);
        count(&mut slot.builder, floor(now, MINUTE));
        slot.fold();
    }

    /// Slots that could not be stored in time since the start.
    pub fn dropped(&self) -> u64 {
        self.memory().dropped
    }

    /// Stores what is new, and computes hours and days that are over. Called every minute, and at the end.
    pub async fn keep(&self, now: i64) -> Result<()> {
        // A slot may be over without anything that came after it.
        ProfileKind::ALL.into_iter().for_each(|kind| self.memory().close(kind, now));
        loop {
            let Some(chunk) = self.memory().full.front().cloned() else { break };
            self.put(chunk.clone()).await?;
            let mut memory = self.memory();
            // By the time it is stored another may be the first.
            memory.full.retain(|other| (other.content, other.start) != (chunk.content, chunk.start));
            if let Content::Profiles(kind) = chunk.content {
                memory.last[kind as usize] = Some(chunk);
            }
        }
        for kind in ProfileKind::ALL {
            let open = self.memory().open[kind as usize].as_ref().and_then(Slot::chunk);
            if let Some(chunk) = open {
                self.put(chunk).await?;
            }
            for (tier, finer) in ROLLED {
                self.roll(kind, tier, finer, now).await?;
            }
        }
        Ok(())
    }

    async fn put(&self, chunk: Chunk) -> Result<()> {
        self.0.chunks.commit(&self.0.host, &Batch { put: vec![chunk], ..Batch::default() }).await
    }

    /// Computes what is over and not there yet. Nothing is added to a finer tier after that: what was counted in a period
    /// is stored before it is looked at.
    async fn roll(&self, kind: ProfileKind, tier: Tier, finer: Tier, now: i64) -> Result<()> {
        let (content, width) = (kind.into(), tier.width());
        let host = &self.0.host;
        let Some((first, _)) = self.0.chunks.span(host, content, finer.seconds()).await? else {
            return Ok(());
        };
        let done = self.0.chunks.span(host, content, tier.seconds()).await?.map_or(i64::MIN, |(_, end)| end);
        let mut start = floor(first, width).max(done);
        let over = over(tier, now);
        while start < over {
            let wanted = |from, to| Wanted { content, tier: finer.seconds(), from, to };
            let next = self.0.chunks.find(host, wanted(start, over), 1).await?;
            let Some(next) = next.first() else { break };
            start = floor(next.first.max(start), width);
            self.compute(kind, tier, finer, start).await?;
            start += width;
        }
        Ok(())
    }

    /// Computes an hour or a day.
    async fn compute(&self, kind: ProfileKind, tier: Tier, finer: Tier, start: i64) -> Result<()> {
        let wanted =
            Wanted { content: kind.into(), tier: finer.seconds(), from: start, to: start + tier.width() };
        let mut builder = Builder::default();
        for chunk in &self.0.chunks.find(&self.0.host, wanted, i64::MAX).await? {
            if let Some(table) = self.decode(chunk) {
                builder.merge(&table, |who| Who { pid: 0, ..who.clone() }, |_| start);
            }
        }
        match chunk(kind, tier, start, &bounded(&builder.table(), bounds(tier))) {
            Some(chunk) => self.put(chunk).await,
            None => Ok(()),
        }
    }

    /// Stores minutes that come from elsewhere, at any time: hours and days that were computed without them are computed
    /// again, as long as all of their minutes and hours are there.
    pub async fn add_late(&self, chunk: Chunk) -> Result<()> {
        let Content::Profiles(kind) = chunk.content else { return Ok(()) };
        let (content, first, end) = (chunk.content, chunk.first, chunk.end);
        self.put(chunk).await?;
        let (chunks, host) = (&self.0.chunks, &self.0.host);
        let removed = chunks.tiers(host).await?.removed;
        for (tier, finer) in ROLLED {
            let gone = removed.iter().find(|(of, _)| *of == finer.seconds());
            let gone = gone.map_or(i64::MIN, |(_, before)| *before);
            let done = chunks.span(host, content, tier.seconds()).await?.map_or(i64::MIN, |(_, end)| end);
            let mut start = floor(first, tier.width());
            while start < end.min(done) {
                if start >= gone {
                    self.compute(kind, tier, finer, start).await?;
                }
                start += tier.width();
            }
        }
        Ok(())
    }

    fn decode(&self, chunk: &Chunk) -> Option<Table> {
        match Table::decode(&chunk.data) {
            Ok(table) => Some(table),
            Err(error) => {
                tracing::error!(%error, content = chunk.content.as_str(), start = chunk.start, "a profile is corrupt and leaves a gap");
                None
            }
        }
    }

    /// All that ran or waited in a range (µs); the `most` largest nodes stay apart.
    pub async fn flame(
        &self,
        kind: ProfileKind,
        range: (i64, i64),
        filter: &Filter,
        most: usize,
    ) -> Result<(Flame, Covered)> {
        let mut adding = Adding::default();
        let covered = self.read_into(&mut adding, Side::Current, kind, range, filter).await?;
        Ok((adding.finish(most), covered))
    }

    /// The same of two ranges, of one machine or of two, in one tree; with what the answer covers of each.
    pub async fn flame_of_both(
        [(archive, current), (other, comparison)]: [(&Self, (i64, i64)); 2],
        kind: ProfileKind,
        filter: &Filter,
        most: usize,
    ) -> Result<(Flame, [Covered; 2])> {
        let mut adding = Adding::default();
        // What two machines have in a minute is not the same samples.
        let comparison = if archive.0.host == other.0.host { apart(current, comparison) } else { comparison };
        let covered = [
            archive.read_into(&mut adding, Side::Current, kind, current, filter).await?,
            other.read_into(&mut adding, Side::Comparison, kind, comparison, filter).await?,
        ];
        Ok((adding.finish(most), covered))
    }

    async fn read_into(
        &self,
        adding: &mut Adding,
        side: Side,
        kind: ProfileKind,
        range: (i64, i64),
        filter: &Filter,
    ) -> Result<Covered> {
        // Only minutes know single processes.
        let finest = filter.pid.is_some();
        self.read(kind, range, finest, |table, span| adding.add(side, table, filter, span)).await
    }

    /// Reads what there is of `from..to` (µs), each part in the coarsest resolution that fits, or in the only one that
    /// is left. `finest` asks for minutes only.
    async fn read(
        &self,
        kind: ProfileKind,
        (from, to): (i64, i64),
        finest: bool,
        mut each: impl FnMut(&Table, (i64, i64)),
    ) -> Result<Covered> {
        let mut covered = Covered::default();
        // Before the store: what is stored meanwhile is known to be here as well.
        let mut in_memory: Vec<(i64, Table)> = {
            let memory = self.memory();
            let is_wanted = |start: i64| start < to && start + SLOT > from;
            let full =
                memory.full.iter().filter(|chunk| chunk.content == kind.into() && is_wanted(chunk.start));
            let open = memory.open[kind as usize].iter().filter(|slot| is_wanted(slot.start));
            let full = full.filter_map(|chunk| Some((chunk.start, self.decode(chunk)?)));
            full.chain(open.map(|slot| (slot.start, slot.builder.table()))).collect()
        };
        if let Some(history) = &self.0.history {
            let elsewhere = history.elsewhere(kind.into(), to).await?;
            in_memory.extend(elsewhere.iter().filter_map(|chunk| Some((chunk.start, self.decode(chunk)?))));
        }
        let removed = self.0.chunks.tiers(&self.0.host).await?.removed;
        let gone = |tier: Tier| {
            removed.iter().find(|(of, _)| *of == tier.seconds()).map_or(i64::MIN, |(_, before)| *before)
        };
        let from = floor(from, MINUTE);
        let mut rest = vec![(from, to)];
        if !finest {
            for tier in [Tier::Day, Tier::Hour] {
                let finer = if tier == Tier::Day { Tier::Hour } else { Tier::Minute };
                rest = self.take(kind, tier, gone(finer), rest, &mut covered, &mut each).await?;
            }
        }
        for part in rest {
            let stored = self.find(kind, Tier::Minute, part).await?;
            let is_in_memory = |chunk: &Chunk| in_memory.iter().any(|(start, _)| *start == chunk.start);
            let stored =
                stored.iter().filter(|chunk| !is_in_memory(chunk)).filter_map(|chunk| self.decode(chunk));
            for table in stored.map(Cow::Owned).chain(in_memory.iter().map(|(_, table)| Cow::Borrowed(table)))
            {
                covered.add(&table, Tier::Minute, part);
                each(&table, part);
            }
        }
        Ok(covered)
    }

    /// Reads what a tier has of the whole buckets in `parts`; returns what is left for finer ones. Where those are gone
    /// (before `gone`), buckets that begin in a part or end in it are taken whole.
    async fn take(
        &self,
        kind: ProfileKind,
        tier: Tier,
        gone: i64,
        parts: Vec<(i64, i64)>,
        covered: &mut Covered,
        each: &mut impl FnMut(&Table, (i64, i64)),
    ) -> Result<Vec<(i64, i64)>> {
        let width = tier.width();
        let mut rest = Vec::new();
        for (from, to) in parts {
            let first = if from < gone { floor(from, width) } else { floor(from + width - 1, width) };
            let last = if to < gone { floor(to + width - 1, width) } else { floor(to, width) };
            if first >= last {
                rest.push((from, to));
                continue;
            }
            let mut at = from;
            for chunk in self.find(kind, tier, (first, last)).await? {
                let span = (chunk.start, chunk.start + width);
                let Some(table) = self.decode(&chunk).filter(|_| span.0 >= first && span.1 <= last) else {
                    continue;
                };
                covered.add(&table, tier, span);
                each(&table, span);
                if at < span.0 {
                    rest.push((at, span.0));
                }
                at = at.max(span.1);
            }
            if at < to {
                rest.push((at, to));
            }
        }
        Ok(rest)
    }

    async fn find(&self, kind: ProfileKind, tier: Tier, (from, to): (i64, i64)) -> Result<Vec<Chunk>> {
        let content = Content::Profiles(kind);
        let mut all: Vec<Chunk> = Vec::new();
        let mut after = from;
        loop {
            let wanted = Wanted { content, tier: tier.seconds(), from: after, to };
            let page = self.0.chunks.find(&self.0.host, wanted, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            let known = all.len();
            all.extend(
                page.into_iter()
                    .filter(|chunk| known == 0 || chunk.start > all[known - 1].start)
                    .collect::<Vec<_>>(),
            );
            match all.last() {
                Some(last) if !is_last && all.len() > known => after = last.end - 1,
                _ => return Ok(all),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::elsewhere::Elsewhere;
    use crate::profiles::testing::{count, functions, who};
    use crate::store::{self, Store, micros};

    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    /// A day's beginning.
    const START: i64 = 20_000 * DAY;

    async fn archive(dir: &std::path::Path) -> (Arc<dyn Store>, Archive) {
        let store = store::open(&store::sqlite_url(dir)).await.unwrap();
        let archive = Archive::new(store.clone(), "here");
        (store, archive)
    }

    fn add(archive: &Archive, at: i64, stack: &str, samples: u64) {
        archive.add(ProfileKind::Cpu, at, |builder, minute| {
            builder.add(minute, &who("p", 7), &functions(stack), count(samples));
        });
    }

    async fn folded(archive: &Archive, from: i64, to: i64, pid: Option<u32>) -> (String, Covered) {
        let filter = Filter { pid, ..Filter::default() };
        let (flame, covered) = archive.flame(ProfileKind::Cpu, (from, to), &filter, 1000).await.unwrap();
        (flame.folded(|count| count.samples), covered)
    }

    #[tokio::test]
    async fn each_minute_counts_once_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (store, archive) = archive(dir.path()).await;
        let mut now = START;
        // Two and a half hours, a sample a minute; every minute it is stored.
        for _ in 0..150 {
            add(&archive, now + MINUTE / 2, "ab", 1);
            now += MINUTE;
            archive.keep(now + 5_000_000).await.unwrap();
        }
        let (all, covered) = folded(&archive, START, now, None).await;
        assert_eq!((all.as_str(), covered.span), ("p;a;b 150\n", Some((START, now))));
        assert_eq!(covered.resolution, 3600);
        assert_eq!(folded(&archive, START + 10 * MINUTE, START + 70 * MINUTE, None).await.0, "p;a;b 60\n");
        let (one, covered) = folded(&archive, START, now, Some(7)).await;
        assert_eq!((one.as_str(), covered.resolution), ("p;a;b 150\n", 60), "hours know no single process");
        // What another server finds: the last minutes are stored too.
        let other = Archive::new(store.clone(), "here");
        assert_eq!(folded(&other, START, now, None).await.0, "p;a;b 150\n");
        assert_eq!(folded(&other.of_host("elsewhere"), START, now, None).await.0, "");
        // A restart in the middle of a slot loses and doubles nothing.
        add(&other, now, "ab", 5);
        other.keep(now + 5_000_000).await.unwrap();
        assert_eq!(folded(&Archive::new(store, "here"), START, now + MINUTE, None).await.0, "p;a;b 155\n");
    }

    #[tokio::test]
    async fn days_outlive_hours_and_hours_outlive_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let (store, archive) = archive(dir.path()).await;
        for hour in 0..50 {
            add(&archive, START + hour * HOUR + MINUTE, "ab", 1);
            archive.keep(START + (hour + 1) * HOUR + 2 * MINUTE).await.unwrap();
        }
        let all = (START, START + 50 * HOUR);
        let (text, covered) = folded(&archive, all.0, all.1, None).await;
        assert_eq!((text.as_str(), covered.resolution), ("p;a;b 50\n", 86400));
        store.remove_before("here", 60, START + 49 * HOUR).await.unwrap();
        assert_eq!(folded(&archive, all.0, all.1, None).await.0, "p;a;b 50\n");
        let part = folded(&archive, START + 30 * MINUTE, START + 90 * MINUTE, None).await;
        assert_eq!(
            (part.0.as_str(), part.1.span),
            ("p;a;b 2\n", Some((START, START + 2 * HOUR))),
            "widened to hours"
        );
        store.remove_before("here", 3600, START + 48 * HOUR).await.unwrap();
        assert_eq!(folded(&archive, all.0, all.1, None).await.0, "p;a;b 50\n");
        store.remove_before("here", 86400, START + DAY).await.unwrap();
        assert_eq!(folded(&archive, all.0, all.1, None).await.0, "p;a;b 26\n");
    }

    #[tokio::test]
    async fn an_open_slot_stays_within_its_bound_and_its_sums_are_exact() {
        let dir = tempfile::tempdir().unwrap();
        let (_store, archive) = archive(dir.path()).await;
        let letter = |n: u32| char::from_u32(0x4e00 + n).unwrap();
        let size = || {
            let memory = archive.memory();
            let builder = &memory.open[ProfileKind::Cpu as usize].as_ref().unwrap().builder;
            (builder.nodes(), builder.who())
        };
        let (mut added, mut most) = (0, (0, 0));
        // Each second a hundred stacks that come once, and one that always comes.
        for second in 0..600 {
            archive.add(ProfileKind::Cpu, START + second * 1_000_000, |builder, minute| {
                for n in 0..100 {
                    let stack = [letter(second as u32), letter(n), 'x'].iter().collect::<String>();
                    builder.add(minute, &who("p", 8 + second as u32), &functions(&stack), count(1));
                }
                builder.add(minute, &who("p", 7), &functions("abc"), count(5));
                added += 105;
            });
            most = (most.0.max(size().0), most.1.max(size().1));
        }
        assert!(most.0 <= MAX_OPEN_NODES && most.1 <= MAX_OPEN_WHO, "{most:?}");
        assert!(size().0 >= OPEN.nodes, "no more is given up than has to be");
        let (all, _) = folded(&archive, START, START + SLOT, None).await;
        let counts = all.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
        assert_eq!(counts.sum::<u64>(), added);
        assert!(all.contains("p;a;b;c 3000\n"));
    }

    #[tokio::test]
    async fn what_the_store_does_not_take_waits() {
        let dir = tempfile::tempdir().unwrap();
        let (store, archive) = archive(dir.path()).await;
        for slot in 0..60 {
            add(&archive, START + slot * SLOT, "a", 1);
        }
        assert_eq!(archive.dropped(), 60 - 1 - MAX_WAITING as u64);
        store.close().await;
        assert!(archive.keep(START + 60 * SLOT).await.is_err());
        assert_eq!(archive.memory().full.len(), MAX_WAITING, "nothing more is lost");
    }

    /// A machine without the way to it.
    #[derive(Debug)]
    struct Machine(Archive);

    #[async_trait::async_trait]
    impl Elsewhere for Machine {
        async fn newest(&self, _: &str, of: Content, from: i64) -> Vec<Chunk> {
            let Content::Profiles(kind) = of else { return Vec::new() };
            self.0.since(kind, from)
        }
    }

    #[tokio::test]
    async fn what_a_machine_has_not_sent_yet_counts_once() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (store, machine) = archive(dirs[0].path()).await;
        let at_hub = store::open(&store::sqlite_url(dirs[1].path())).await.unwrap();
        let hub = Archive::new(at_hub.clone(), "hub");
        let history = History::new(at_hub, "hub").of_host_and("here", Arc::new(Machine(machine.clone())));
        let start = floor(micros(time::OffsetDateTime::now_utc()), SLOT) - 2 * SLOT;
        // The third slot is open.
        for minute in 0..25 {
            add(&machine, start + minute * MINUTE, "ab", 1);
            machine.keep(start + minute * MINUTE + 5_000_000).await.unwrap();
        }
        let wanted = Wanted { content: ProfileKind::Cpu.into(), tier: 60, from: start, to: start + 3 * SLOT };
        let slots = store.find("here", wanted, 10).await.unwrap();
        assert_eq!(slots.len(), 3);
        // The first has arrived, then the second as well.
        for arrived in &slots[..2] {
            hub.of(&history).add_late(arrived.clone()).await.unwrap();
            let (all, covered) = folded(&hub.of(&history), start, start + 3 * SLOT, None).await;
            assert_eq!((all.as_str(), covered.span), ("p;a;b 25\n", Some((start, start + 25 * MINUTE))));
        }
        assert_eq!(folded(&hub.of_host("here"), start, start + 3 * SLOT, None).await.0, "p;a;b 20\n");
    }
}
