//! Who used what over a range: the largest processes, names or cgroups ([`ranking`]), and one of them over time
//! ([`UsageHistory`]). From the accounts in `usage`, whose rows add up to what the machine used.

mod amounts;

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use time::OffsetDateTime;

use super::Interval;
use crate::history::bucket::{Bucket, Cell, Sums, longest};
use crate::history::reader::{Piece, Pieces, Question};
use crate::history::tier::{Tier, floor};
use crate::history::{History, from_micros, micros};
use crate::snapshot::MetricType;
use crate::snapshot::layout::{Layout, TableLayout};
use crate::snapshot::processes::CgroupName;
use crate::snapshot::selection::Selection;
use crate::snapshot::value::{Label, Value};
use crate::store::Result;

pub use amounts::{Amounts, Use};

const PROCESSES: &str = "processes";
const GROUPS: &str = "groups";
/// Names remembered of the processes found.
const NAMES: usize = 16;
/// Processes, names or cgroups that are told apart; the others are added up.
const MAX_GROUPS: usize = 20_000;
/// Steps of the course of each of the largest, and how long one is at least, µs.
const COURSE: i64 = 48;
const SHORTEST_STEP: i64 = 5_000_000;
/// Beyond this tier, there are only sums by name.
const OF_PROCESSES: Tier = Tier::FiveMinutes;

/// Which processes; those that match all that is given.
#[derive(Debug, Clone, Default)]
pub struct Whose {
    pub pid: Option<u32>,
    /// The kernel's name of the process (`comm`).
    pub name: Option<String>,
    /// A path, with everything below it.
    pub cgroup: Option<String>,
}

#[derive(Debug, Clone)]
pub struct UsageQuery {
    pub whose: Whose,
    pub start: OffsetDateTime,
    /// Inclusive.
    pub end: OffsetDateTime,
    pub interval: Interval,
    /// Maximum number of points.
    pub limit: usize,
}

/// What a ranking has a row for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Process,
    /// All processes of one name in one cgroup.
    Program,
    Name,
    Cgroup,
}

/// What ranks rows, largest first.
pub type Order = fn(&Amounts) -> f64;

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

/// One bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct UsagePoint {
    /// Start of the bucket.
    pub at: OffsetDateTime,
    /// Number of snapshots in it.
    pub snapshots: u64,
    /// `None` if the process used nothing noticeable.
    pub used: Option<Amounts>,
    /// Time that the amounts cover.
    pub seconds: f64,
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

/// What is known of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub user: Option<Arc<str>>,
    pub parent_pid: Option<u32>,
    pub started: Option<Arc<str>>,
    pub executable: Option<Arc<str>>,
    pub command: Option<Arc<str>>,
}

impl Whose {
    fn is(&self, row: &Row<'_, impl Sums>) -> bool {
        let within = |cgroup: &str| {
            let given = row.cgroup();
            given.is_some_and(|given| {
                let below = given.strip_prefix(cgroup);
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cgroup.ends_with('/'))
            })
        };
        self.pid.is_none_or(|pid| row.pid() == Some(pid))
            && self.name.as_deref().is_none_or(|name| row.name() == name)
            && self.cgroup.as_deref().is_none_or(within)
    }
}

/// The accounts of a range, bucket by bucket.
#[derive(Debug)]
struct Accounts {
    pieces: Pieces,
    /// Width of the buckets that readings are added up to, at most a minute, and of their slices, µs.
    width: i64,
    slice: i64,
    next: Option<Piece>,
}

/// What happened in one bucket: from the store, or made of readings.
enum Part {
    Stored(Piece),
    Made(Made),
}

struct Made {
    at: i64,
    /// The sum of its slices.
    bucket: Box<Bucket>,
    slices: Vec<(i64, Bucket)>,
}

impl Made {
    fn new(at: i64) -> Self {
        Self { at, bucket: Box::new(Bucket::new(MetricType::Usage)), slices: Vec::new() }
    }

    fn add(&mut self, piece: &Piece, width: i64) {
        let at = floor(piece.at(), width);
        if self.slices.last().is_none_or(|(last, _)| *last != at) {
            self.slices.push((at, Bucket::new(MetricType::Usage)));
        }
        if let Some((_, slice)) = self.slices.last_mut() {
            piece.add_to(slice);
        }
    }

    fn finished(mut self) -> Part {
        for (_, slice) in &self.slices {
            self.bucket.merge(slice);
        }
        self.bucket.bound(Tier::Minute);
        Part::Made(self)
    }
}

impl Accounts {
    /// Buckets no wider than `widest`, µs; if possible, not those that have only names instead of this process. Those of
    /// less than a minute are slices of one.
    async fn open(
        history: &History,
        (start, end): (OffsetDateTime, OffsetDateTime),
        whose: &Whose,
        widest: i64,
        of_minutes: bool,
    ) -> Result<Self> {
        let widest = if whose.pid.is_some() { widest.min(OF_PROCESSES.width()) } else { widest };
        let (from, to) = (micros(start), micros(end).saturating_add(1));
        let question = Question { metric_type: MetricType::Usage, from, to, interval: widest };
        let pieces = Pieces::open(history, question, Selection::all(MetricType::Usage).clone()).await?;
        let minute = Tier::Minute.width();
        let slice = widest.min(minute);
        Ok(Self { pieces, width: if of_minutes { minute } else { slice }, slice, next: None })
    }

    async fn next(&mut self) -> Result<Option<Part>> {
        let mut made: Option<Made> = None;
        loop {
            let piece = match self.next.take() {
                Some(piece) => Some(piece),
                None => self.pieces.next().await?,
            };
            match (piece, &mut made) {
                (Some(piece @ Piece::Bucket(..)), None) => return Ok(Some(Part::Stored(piece))),
                (Some(piece @ Piece::Reading(..)), None) => {
                    let mut new = Made::new(floor(piece.at(), self.width));
                    new.add(&piece, self.slice);
                    made = Some(new);
                }
                (Some(piece @ Piece::Reading(..)), Some(made))
                    if floor(piece.at(), self.width) == made.at =>
                {
                    made.add(&piece, self.slice);
                }
                (piece, _) => {
                    self.next = piece;
                    return Ok(made.map(Made::finished));
                }
            }
        }
    }
}

/// A row of a bucket.
struct Row<'a, S> {
    sums: &'a S,
    table: usize,
    row: usize,
    key: &'a [Label],
    layout: &'static TableLayout,
}

impl<S: Sums> Row<'_, S> {
    fn cgroup(&self) -> Option<&Arc<str>> {
        match self.key.first() {
            Some(Label::Text(path)) => Some(path),
            _ => None,
        }
    }

    fn name(&self) -> &str {
        match self.key.get(1) {
            Some(Label::Text(comm)) => comm,
            _ => "",
        }
    }

    fn pid(&self) -> Option<u32> {
        match self.key.get(2) {
            Some(Label::Number(pid)) if *pid > 0 => u32::try_from(*pid).ok(),
            _ => None,
        }
    }

    fn cell(&self, name: &str) -> Option<&Cell> {
        Some(self.sums.cell(self.table, self.row, self.layout.column(name)?))
    }

    /// The value that it had for the longest time.
    fn state(&self, name: &str) -> Option<Value> {
        match self.cell(name)? {
            Cell::States(states) => longest(states).cloned(),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<Arc<str>> {
        match self.state(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn facts(&self) -> Facts {
        let text = |name| self.text(name);
        Facts {
            user: text("user"),
            parent_pid: self.state("parent_pid").and_then(|pid| u32::try_from(pid.as_u64()?).ok()),
            started: text("started"),
            executable: text("executable"),
            command: text("command"),
        }
    }
}

fn rows<'s, S: Sums>(sums: &'s S, table: &str) -> impl Iterator<Item = Row<'s, S>> {
    let layout = Layout::of(MetricType::Usage);
    let table = layout.tables.iter().position(|of| of.path == table).unwrap_or_default();
    let keys = if table == 0 { &[] } else { sums.keys(table) };
    keys.iter().enumerate().map(move |(row, key)| Row {
        sums,
        table,
        row,
        key,
        layout: &layout.tables[table],
    })
}

/// Time that a bucket covers.
#[derive(Debug, Clone, Copy)]
struct Span {
    seconds: f64,
    /// Of one of its readings, and of one of its minutes.
    reading: f64,
    minute: f64,
}

impl Span {
    fn of(sums: &impl Sums) -> Self {
        let column = Layout::of(MetricType::Usage).tables[0].column("elapsed_ms");
        let elapsed = match column.filter(|_| !sums.keys(0).is_empty()).map(|column| sums.cell(0, 0, column))
        {
            Some(Cell::Number(stat)) => Some(*stat),
            _ => None,
        };
        let seconds = elapsed.map_or(0.0, |elapsed| elapsed.sum / 1e3);
        Self {
            seconds,
            reading: elapsed.map_or(0.0, |elapsed| elapsed.average() / 1e3),
            // A tick that is a moment late does not begin another minute.
            minute: seconds / (seconds / 60.0 - 0.1).ceil().max(1.0),
        }
    }
}

/// The processes that match, over time.
#[derive(Debug)]
pub struct UsageHistory {
    query: UsageQuery,
    accounts: Accounts,
    filling: Option<UsagePoint>,
    names: BTreeSet<String>,
    given: usize,
    truncated: bool,
}

impl UsageHistory {
    pub async fn open(history: &History, query: UsageQuery) -> Result<Self> {
        let range = (query.start, query.end);
        let accounts = Accounts::open(history, range, &query.whose, query.interval.width(), false).await?;
        Ok(Self { query, accounts, filling: None, names: BTreeSet::new(), given: 0, truncated: false })
    }

    /// True once there are more points than the limit.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Names of the processes found so far: more than one if a pid was reused, or in a cgroup.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The next point, or `None` after the last or the limit.
    pub async fn next(&mut self) -> Result<Option<UsagePoint>> {
        if self.given == self.query.limit {
            self.truncated = self.truncated || self.next_point().await?.is_some();
            return Ok(None);
        }
        let point = self.next_point().await?;
        self.given += usize::from(point.is_some());
        Ok(point)
    }

    async fn next_point(&mut self) -> Result<Option<UsagePoint>> {
        loop {
            let full = match self.accounts.next().await? {
                None => return Ok(self.filling.take()),
                Some(Part::Made(made)) => self.add(made.at, &*made.bucket),
                Some(Part::Stored(piece)) => match &piece {
                    Piece::Bucket(buckets, n) => self.add(piece.at(), &buckets.at(*n)),
                    Piece::Reading(..) => None,
                },
            };
            if full.is_some() {
                return Ok(full);
            }
        }
    }

    /// Adds a bucket; returns the point before it once that is complete.
    fn add(&mut self, at: i64, sums: &impl Sums) -> Option<UsagePoint> {
        let readings = sums.readings();
        // A source that failed has no rows.
        if readings.count == readings.failed {
            return None;
        }
        let at = from_micros(floor(at, self.query.interval.width()));
        let full = match &self.filling {
            Some(point) if point.at == at => None,
            _ => self.filling.replace(UsagePoint { at, snapshots: 0, used: None, seconds: 0.0 }),
        };
        let span = Span::of(sums);
        let mut used: Option<Amounts> = None;
        for row in rows(sums, PROCESSES).filter(|row| self.query.whose.is(row)) {
            used.get_or_insert_default().add_row(|name| row.cell(name), span);
            if self.names.len() < NAMES && !row.name().is_empty() && !self.names.contains(row.name()) {
                self.names.insert(row.name().to_owned());
            }
        }
        if let Some(point) = &mut self.filling {
            point.snapshots += readings.count - readings.failed;
            point.seconds += span.seconds;
            if let Some(used) = used {
                point.used.get_or_insert_default().then(&used);
            }
        }
        full
    }
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
            Part::Stored(piece) => {
                if let Piece::Bucket(buckets, n) = &piece {
                    let bucket = buckets.at(*n);
                    sums.add(piece.at(), &bucket);
                    sums.draw(piece.at(), &bucket);
                }
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
            total.add_row(|name| row.cell(name), span);
            let Some(group) = self.group(&row) else { continue };
            now.entry(group.clone()).or_default().add_row(|name| row.cell(name), span);
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
        let name = || Some(Arc::from(row.name())).filter(|name: &Arc<str>| !name.is_empty());
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

#[cfg(test)]
mod tests;
