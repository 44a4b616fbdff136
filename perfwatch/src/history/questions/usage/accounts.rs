//! The accounts of a range, bucket by bucket, and their rows.

use std::sync::{Arc, LazyLock};

use time::OffsetDateTime;

use crate::history::bucket::{Bucket, Cell, Sums, longest};
use crate::history::chunk::Buckets;
use crate::history::reader::{Piece, Pieces, Question};
use crate::history::tier::{Tier, floor};
use crate::history::{History, micros};
use crate::snapshot::MetricType;
use crate::snapshot::layout::{Layout, TableLayout};
use crate::snapshot::selection::Selection;
use crate::snapshot::value::{Label, Value};
use crate::store::Result;

pub(super) const PROCESSES: &str = "processes";
pub(super) const GROUPS: &str = "groups";
/// Beyond this tier, there are only sums by name.
pub(super) const OF_PROCESSES: Tier = Tier::FiveMinutes;

/// Which processes; those that match all that is given.
#[derive(Debug, Clone, Default)]
pub struct Whose {
    pub pid: Option<u32>,
    /// The kernel's name of the process (`comm`).
    pub name: Option<String>,
    /// A path, with everything below it.
    pub cgroup: Option<String>,
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
    pub(super) fn is(&self, row: &Row<'_, impl Sums>) -> bool {
        let within = |cgroup: &str| {
            let given = row.cgroup();
            given.is_some_and(|given| {
                let below = given.strip_prefix(cgroup);
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cgroup.ends_with('/'))
            })
        };
        self.pid.is_none_or(|pid| row.pid() == Some(pid))
            && self.name.as_deref().is_none_or(|name| row.name().is_some_and(|given| **given == *name))
            && self.cgroup.as_deref().is_none_or(within)
    }
}

/// The accounts of a range, bucket by bucket.
#[derive(Debug)]
pub(super) struct Accounts {
    pieces: Pieces,
    /// Width of the buckets that readings are added up to, at most a minute, and of their slices, µs.
    width: i64,
    slice: i64,
    next: Option<Piece>,
}

/// What happened in one bucket: from the store, or made of readings.
pub(super) enum Part {
    Stored(Arc<Buckets>, usize),
    Made(Made),
}

pub(super) struct Made {
    pub(super) at: i64,
    /// The sum of its slices.
    pub(super) bucket: Box<Bucket>,
    pub(super) slices: Vec<(i64, Bucket)>,
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
    pub(super) async fn open(
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

    pub(super) async fn next(&mut self) -> Result<Option<Part>> {
        let mut made: Option<Made> = None;
        loop {
            let piece = match self.next.take() {
                Some(piece) => Some(piece),
                None => self.pieces.next().await?,
            };
            match (piece, &mut made) {
                (Some(Piece::Bucket(buckets, n)), None) => return Ok(Some(Part::Stored(buckets, n))),
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
pub(super) struct Row<'a, S> {
    sums: &'a S,
    table: usize,
    row: usize,
    key: &'a [Label],
    layout: &'static TableLayout,
}

impl<S: Sums> Row<'_, S> {
    pub(super) fn cgroup(&self) -> Option<&Arc<str>> {
        match self.key.first() {
            Some(Label::Text(path)) => Some(path),
            _ => None,
        }
    }

    /// `None` for the rest of a cgroup, or of the machine.
    pub(super) fn name(&self) -> Option<&Arc<str>> {
        match self.key.get(1) {
            Some(Label::Text(comm)) if !comm.is_empty() => Some(comm),
            _ => None,
        }
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match self.key.get(2) {
            Some(Label::Number(pid)) if *pid > 0 => u32::try_from(*pid).ok(),
            _ => None,
        }
    }

    pub(super) fn cell(&self, name: &str) -> Option<&Cell> {
        self.cell_at(self.layout.column(name))
    }

    /// The cell in a column of the table that was looked up before.
    pub(super) fn cell_at(&self, column: Option<usize>) -> Option<&Cell> {
        Some(self.sums.cell(self.table, self.row, column?))
    }

    pub(super) fn text(&self, name: &str) -> Option<Arc<str>> {
        text(self.cell(name)?)
    }

    pub(super) fn facts(&self) -> Facts {
        static AT: LazyLock<[Option<usize>; 5]> = LazyLock::new(|| {
            columns_of_processes(["user", "parent_pid", "started", "executable", "command"])
        });
        let [user, parent_pid, started, executable, command] = AT.map(|column| self.cell_at(column));
        Facts {
            user: user.and_then(text),
            parent_pid: parent_pid.and_then(state).and_then(|pid| u32::try_from(pid.as_u64()?).ok()),
            started: started.and_then(text),
            executable: executable.and_then(text),
            command: command.and_then(text),
        }
    }
}

/// The value that it had for the longest time.
fn state(cell: &Cell) -> Option<&Value> {
    match cell {
        Cell::States(states) => longest(states),
        _ => None,
    }
}

fn text(cell: &Cell) -> Option<Arc<str>> {
    match state(cell)? {
        Value::Text(text) => Some(Arc::clone(text)),
        _ => None,
    }
}

/// Where columns of the processes are: a long range has many rows.
pub(super) fn columns_of_processes<const N: usize>(names: [&str; N]) -> [Option<usize>; N] {
    let layout = Layout::of(MetricType::Usage);
    let table = layout.tables.iter().find(|table| table.path == PROCESSES);
    names.map(|name| table?.column(name))
}

pub(super) fn rows<'s, S: Sums>(sums: &'s S, table: &str) -> impl Iterator<Item = Row<'s, S>> {
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
pub(super) struct Span {
    pub(super) seconds: f64,
    /// Of one of its readings, and of one of its minutes.
    pub(super) reading: f64,
    pub(super) minute: f64,
}

impl Span {
    pub(super) fn of(sums: &impl Sums) -> Self {
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
