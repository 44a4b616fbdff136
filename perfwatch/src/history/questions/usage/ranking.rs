//! The largest processes, names or cgroups of a range.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::accounts::{Accounts, Facts, GROUPS, OF_PROCESSES, PROCESSES, Part, Row, Span, Whose, rows};
use super::amounts::{Amounts, Order};
use crate::history::bucket::{Cell, Sums};
use crate::history::questions::Interval;
use crate::history::tier::Tier;
use crate::history::{History, from_micros, micros};
use crate::snapshot::processes::CgroupName;
use crate::store::Result;

/// Processes, names or cgroups that are told apart; the others are added up.
const MAX_GROUPS: usize = 20_000;
/// Steps of the course of each of the largest, and how long one is at least, µs.
const COURSE: i64 = 48;
const SHORTEST_STEP: i64 = 5_000_000;

/// What a ranking has a row for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Process,
    /// All processes of one name in one cgroup.
    Program,
    Name,
    Cgroup,
}

#[derive(Debug, Clone)]
pub struct RankingQuery {
    pub whose: Whose,
    pub start: OffsetDateTime,
    /// Inclusive.
    pub end: OffsetDateTime,
    pub by: By,
    pub order: Order,
    /// Maximum number of rows.
    pub limit: usize,
}

/// The largest.
#[derive(Debug)]
pub struct Ranking {
    pub rows: Vec<Ranked>,
    /// How many there were to choose from.
    pub found: usize,
    /// Everything on the machine that matches.
    pub total: Amounts,
    /// What the rows do not have.
    pub other: Amounts,
    /// Measured time of the range.
    pub seconds: f64,
}

/// One process, name or cgroup.
#[derive(Debug)]
pub struct Ranked {
    /// `None` for several.
    pub pid: Option<u32>,
    /// `None` for a cgroup.
    pub name: Option<Arc<str>>,
    /// `None` if it is not known, or not the same for all.
    pub cgroup: Option<Arc<str>>,
    /// As it was called last.
    pub group: Option<CgroupName>,
    pub facts: Facts,
    pub used: Amounts,
    /// Percent of one CPU over the range, in steps of equal length; `None` where nothing was measured.
    pub course: Vec<Option<f64>>,
    /// When it was seen first and last: start of the bucket, and end of the last.
    pub seen: (OffsetDateTime, OffsetDateTime),
}

/// Whom a row of a ranking is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    cgroup: Option<Arc<str>>,
    name: Option<Arc<str>>,
    pid: Option<u32>,
}

/// What a group has used so far.
#[derive(Debug, Default)]
struct Sum {
    used: Amounts,
    /// CPU time in µs, by step of the course.
    course: Vec<f32>,
    facts: Facts,
    /// µs.
    seen: Option<(i64, i64)>,
    /// It is in several cgroups.
    is_spread: bool,
    cgroup: Option<Arc<str>>,
}

/// The largest processes, names or cgroups of a range.
pub async fn ranking(history: &History, query: RankingQuery) -> Result<Ranking> {
    let (from, to) = (micros(query.start), micros(query.end).saturating_add(1));
    let steps = ((to - from) / SHORTEST_STEP).clamp(1, COURSE);
    let step = ((to - from) / steps).max(1);
    let widest = Interval::auto(query.start, query.end).width().max(Tier::Minute.width());
    let widest = if step < Tier::Minute.width() { step } else { widest };
    let mut accounts = Accounts::open(history, (query.start, query.end), &query.whose, widest, true).await?;
    let mut sums = Summing {
        tells_processes: widest <= OF_PROCESSES.width() || query.whose.pid.is_some(),
        query,
        from,
        step,
        groups: HashMap::new(),
        names: HashMap::new(),
        total: Amounts::default(),
        covered: vec![0.0; usize::try_from(steps).unwrap_or(1)],
    };
    while let Some(part) = accounts.next().await? {
        match part {
            Part::Made(made) => {
                sums.add(made.at, &*made.bucket);
                for (at, slice) in &made.slices {
                    sums.draw(*at, slice);
                }
            }
            Part::Stored(buckets, n) => {
                let (at, bucket) = (buckets.times()[n], buckets.at(n));
                sums.add(at, &bucket);
                sums.draw(at, &bucket);
            }
        }
    }
    Ok(sums.finish())
}

struct Summing {
    query: RankingQuery,
    /// Whether processes of one name can be told apart all over the range.
    tells_processes: bool,
    /// Start of the range, µs.
    from: i64,
    /// Width of a step of the course, µs.
    step: i64,
    groups: HashMap<Group, Sum>,
    /// What cgroups are called, by path.
    names: HashMap<Arc<str>, CgroupName>,
    total: Amounts,
    /// Measured seconds, by step.
    covered: Vec<f64>,
}

impl Summing {
    fn add(&mut self, at: i64, bucket: &impl Sums) {
        let readings = bucket.readings();
        if readings.count == readings.failed {
            return;
        }
        let span = Span::of(bucket);
        let end = at + (span.seconds * 1e6) as i64;
        // What is there at the same time is added up before it is compared with other times.
        let mut now: HashMap<Group, Amounts> = HashMap::new();
        let mut total = Amounts::default();
        for row in rows(bucket, PROCESSES).filter(|row| self.query.whose.is(row)) {
            let used = Amounts::of(&row, span);
            total.along(&used);
            let Some(group) = self.group(&row) else { continue };
            now.entry(group.clone()).or_default().along(&used);
            let may_add = self.groups.len() < MAX_GROUPS;
            let sum = match self.groups.get_mut(&group) {
                Some(sum) => sum,
                None if may_add => self.groups.entry(group).or_default(),
                None => continue,
            };
            if row.pid().is_some() || sum.seen.is_none() {
                let facts = row.facts();
                if facts != Facts::default() {
                    sum.facts = facts;
                }
            }
            match (&sum.seen, row.cgroup()) {
                (None, cgroup) => sum.cgroup = cgroup.cloned(),
                (Some(_), cgroup) => sum.is_spread |= sum.cgroup.as_ref() != cgroup,
            }
            let first = sum.seen.map_or(at, |(first, _)| first.min(at));
            sum.seen = Some((first, end));
        }
        for row in rows(bucket, GROUPS) {
            let (Some(path), Some(kind), Some(name)) = (row.cgroup(), row.text("kind"), row.text("name"))
            else {
                continue;
            };
            let [runtime, image, pod, namespace] =
                ["runtime", "image", "pod", "namespace"].map(|column| row.text(column));
            self.names.insert(Arc::clone(path), CgroupName { kind, name, runtime, image, pod, namespace });
        }
        for (group, used) in now {
            if let Some(sum) = self.groups.get_mut(&group) {
                sum.used.then(&used);
            }
        }
        self.total.then(&total);
    }

    /// Adds a bucket, or a slice of one, to the course of those that it has been added to.
    fn draw(&mut self, at: i64, bucket: &impl Sums) {
        let readings = bucket.readings();
        if readings.count == readings.failed {
            return;
        }
        let last = self.covered.len() - 1;
        let step = usize::try_from((at - self.from).max(0) / self.step).unwrap_or_default().min(last);
        self.covered[step] += Span::of(bucket).seconds;
        for row in rows(bucket, PROCESSES).filter(|row| self.query.whose.is(row)) {
            let Some(mut group) = self.group(&row) else { continue };
            if !self.groups.contains_key(&group) {
                // The minute has no row for it: it is part of its name's.
                group.pid = None;
            }
            let Some(sum) = self.groups.get_mut(&group) else { continue };
            let Some(Cell::Number(cpu_us)) = row.cell("cpu_us") else { continue };
            sum.course.resize(self.covered.len(), 0.0);
            sum.course[step] += cpu_us.sum as f32;
        }
    }

    /// `None` for the rest of a cgroup or of the machine, if these are not what is ranked.
    fn group(&self, row: &Row<'_, impl Sums>) -> Option<Group> {
        let name = || row.name().cloned();
        let group = match self.query.by {
            By::Process => {
                let pid = row.pid().filter(|_| self.tells_processes);
                Group { cgroup: row.cgroup().cloned(), name: Some(name()?), pid }
            }
            By::Program => Group { cgroup: row.cgroup().cloned(), name: Some(name()?), pid: None },
            By::Name => Group { cgroup: None, name: Some(name()?), pid: None },
            By::Cgroup => Group { cgroup: Some(row.cgroup()?.clone()), name: None, pid: None },
        };
        Some(group)
    }

    fn finish(self) -> Ranking {
        let seconds: f64 = self.covered.iter().sum();
        let order = self.query.order;
        let found = self.groups.len();
        let mut groups: Vec<(Group, Sum)> = self.groups.into_iter().collect();
        groups.sort_by(|(a, x), (b, y)| {
            let largest = order(&y.used).total_cmp(&order(&x.used));
            let by_cpu = || y.used.cpu_us().total_cmp(&x.used.cpu_us());
            largest.then_with(by_cpu).then_with(|| a.cmp_names(b))
        });
        groups.truncate(self.query.limit);
        let listed = groups.iter().fold(Amounts::default(), |mut sum, (_, of)| {
            sum.along(&of.used);
            sum
        });
        let course = |sum: &Sum| {
            let step = |(cpu_us, seconds): (&f32, &f64)| {
                (*seconds > 0.0).then(|| f64::from(*cpu_us) / seconds / 1e4)
            };
            sum.course.iter().zip(&self.covered).map(step).collect()
        };
        let names = self.names;
        let rows = groups.into_iter().map(|(group, sum)| {
            let (first, last) = sum.seen.unwrap_or_default();
            let cgroup = sum.cgroup.clone().filter(|_| !sum.is_spread);
            Ranked {
                course: course(&sum),
                pid: group.pid,
                name: group.name,
                group: cgroup.as_ref().and_then(|path| names.get(path).cloned()),
                cgroup,
                facts: if self.query.by == By::Cgroup { Facts::default() } else { sum.facts },
                seen: (from_micros(first), from_micros(last)),
                used: sum.used,
            }
        });
        Ranking {
            rows: rows.collect(),
            found,
            other: self.total.without(&listed),
            total: self.total,
            seconds,
        }
    }
}

impl Group {
    fn cmp_names(&self, other: &Self) -> Ordering {
        (&self.name, &self.cgroup, self.pid).cmp(&(&other.name, &other.cgroup, other.pid))
    }
}
