//! What explains a range, compared with another: who used more of what, what changed, and which events there were.

use std::sync::Arc;

use super::HistoryQuery;
use super::changes::rank::Direction;
use super::changes::{Changed, changes};
use super::compare::Range;
use super::points::Points;
use super::usage::accounts::{Facts, Whose};
use super::usage::amounts::{Amounts, Use};
use super::usage::ranking::{By, Ranked, Ranking, RankingQuery, ranking};
use crate::history::History;
use crate::history::bucket::{Cell, Sums};
use crate::snapshot::MetricType;
use crate::snapshot::layout::Layout;
use crate::snapshot::processes::CgroupName;
use crate::store::Result;

/// Programs that are compared: the largest of either range.
const PROGRAMS: usize = 500;
/// Changes that are looked at, before they are put together.
const CHANGES: usize = 400;
/// What is less of a resource's whole use is no explanation.
const LEAST_SHARE: f64 = 0.05;
/// Weight of a change for the lower.
const FELL: f64 = 0.7;
/// Bytes of events.
const MAX_EVENTS: usize = 64 << 10;

/// What can be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Cpu,
    Memory,
    Read,
    Write,
    Faults,
}

impl Resource {
    const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Read, Self::Write, Self::Faults];

    /// Named after the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_percent",
            Self::Memory => "rss_bytes",
            Self::Read => "read_bytes_per_sec",
            Self::Write => "write_bytes_per_sec",
            Self::Faults => "major_faults_per_sec",
        }
    }

    pub const fn of(self, used: &Use) -> Option<f64> {
        match self {
            Self::Cpu => used.cpu_percent,
            Self::Memory => used.rss_bytes,
            Self::Read => used.read_bytes_per_sec,
            Self::Write => used.write_bytes_per_sec,
            Self::Faults => used.major_faults_per_sec,
        }
    }

    /// The least difference that anyone would act on.
    pub const fn least(self) -> f64 {
        match self {
            Self::Cpu => 3.0,
            Self::Memory => 67_108_864.0,
            Self::Read | Self::Write => 262_144.0,
            Self::Faults => 20.0,
        }
    }
}

/// How a program's use of one resource differs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    pub resource: Resource,
    pub before: f64,
    pub now: f64,
    /// Part of what the whole machine used, in the range in which that was more.
    pub share: f64,
}

/// A program that used more, or less, than before.
#[derive(Debug)]
pub struct Suspect {
    pub name: Arc<str>,
    pub cgroup: Option<Arc<str>>,
    pub group: Option<CgroupName>,
    pub facts: Facts,
    /// The largest first.
    pub differences: Vec<Difference>,
    /// Time it waited for a CPU per second, in this range.
    pub runqueue_wait_ms_per_sec: Option<f64>,
    /// What it is ranked by, up to 1.
    pub score: f64,
}

/// What changed of one subject, the strongest first.
#[derive(Debug)]
pub struct Cluster {
    pub subject: &'static str,
    pub changes: Vec<Changed>,
}

#[derive(Debug)]
pub struct Explanation {
    pub current_has_data: bool,
    pub comparison_has_data: bool,
    pub who: Vec<Suspect>,
    pub changes: Vec<Cluster>,
    /// The inside of a JSON list, in time order.
    pub events: String,
}

pub async fn explain(
    history: &History,
    current: Range,
    comparison: Range,
    limit: usize,
) -> Result<Explanation> {
    let now = programs(history, current).await?;
    let before = programs(history, comparison).await?;
    // What is done every day is not what makes this time unlike others.
    let day_before = comparison.start.checked_sub(time::Duration::DAY).unwrap_or(comparison.start);
    let usual = programs(history, Range { start: day_before, end: comparison.end }).await?;
    let mut who = suspects(&now, &before, &usual);
    who.truncate(limit);
    let found = changes([(history, current), (history, comparison)], CHANGES).await?;
    Ok(Explanation {
        current_has_data: found.current_has_data || now.seconds > 0.0,
        comparison_has_data: found.comparison_has_data || before.seconds > 0.0,
        who,
        changes: clusters(found.changes, limit),
        events: events(history, with_lead_in(current)).await?,
    })
}

/// With the time just before it, for events: what causes something precedes it.
pub fn with_lead_in(range: Range) -> Range {
    let length = (range.end - range.start).clamp(time::Duration::seconds(10), time::Duration::minutes(5));
    Range { start: range.start.checked_sub(length).unwrap_or(range.start), ..range }
}

async fn programs(history: &History, range: Range) -> Result<Ranking> {
    let query = RankingQuery {
        whose: Whose::default(),
        start: range.start,
        end: range.end,
        by: By::Program,
        order: Amounts::cpu_or_storage,
        limit: PROGRAMS,
    };
    ranking(history, query).await
}

fn suspects(now: &Ranking, before: &Ranking, usual: &Ranking) -> Vec<Suspect> {
    // Without anything to compare with, everything would look new.
    if before.seconds <= 0.0 || now.seconds <= 0.0 {
        return Vec::new();
    }
    let (all_now, all_before) = (now.total.mean(now.seconds), before.total.mean(before.seconds));
    let same = |a: &Ranked, b: &Ranked| a.name == b.name && a.cgroup == b.cgroup;
    let gone = before.rows.iter().filter(|row| !now.rows.iter().any(|other| same(row, other)));
    let pairs = now
        .rows
        .iter()
        .map(|row| (Some(row), before.rows.iter().find(|other| same(row, other))))
        .chain(gone.map(|row| (None, Some(row))));
    let mut suspects: Vec<Suspect> = pairs
        .filter_map(|(row, other)| {
            let used = row.map(|row| row.used.mean(now.seconds)).unwrap_or_default();
            let used_before = other.map(|other| other.used.mean(before.seconds)).unwrap_or_default();
            let known = usual.rows.iter().find(|known| row.or(other).is_some_and(|row| same(row, known)));
            let peak = known.map(|known| known.used.peak()).unwrap_or_default();
            let mut score: f64 = 0.0;
            let mut differences = Vec::new();
            for resource in Resource::ALL {
                let whole = [&all_now, &all_before].map(|all| resource.of(all).unwrap_or(0.0));
                let whole = whole[0].max(whole[1]);
                let (Some(now), Some(before)) = (
                    resource.of(&used).or(resource.of(&used_before).map(|_| 0.0)),
                    resource.of(&used_before).or(resource.of(&used).map(|_| 0.0)),
                ) else {
                    continue;
                };
                let by = now - before;
                let share = if whole > 0.0 { by.abs() / whole } else { 0.0 };
                if by.abs() < resource.least() || share < LEAST_SHARE {
                    continue;
                }
                differences.push(Difference { resource, before, now, share });
                // What it does now and then is less remarkable, and using less is seldom why.
                let is_usual = resource.of(&peak).is_some_and(|peak| now <= peak);
                let weight = match (by < 0.0, is_usual) {
                    (true, _) => 0.1,
                    (false, true) => 0.3,
                    (false, false) => 1.0,
                };
                score = score.max(share.min(1.0) * weight);
            }
            differences.sort_by(|a, b| b.share.total_cmp(&a.share));
            let of = row.or(other)?;
            (!differences.is_empty()).then(|| Suspect {
                name: of.name.clone().unwrap_or_else(|| "".into()),
                cgroup: of.cgroup.clone(),
                group: of.group.clone(),
                facts: of.facts.clone(),
                differences,
                runqueue_wait_ms_per_sec: used.runqueue_wait_ms_per_sec,
                score,
            })
        })
        .collect();
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
    suspects
}

/// The same change has many faces: a busy disk shows in its device, its latencies, the mounts on it and the pressure.
/// Those of one subject are put together.
fn clusters(mut changes: Vec<Changed>, limit: usize) -> Vec<Cluster> {
    // What fell is seldom why.
    let weight = |of: &Changed| match of.change.direction {
        Direction::Down => of.change.score * FELL,
        Direction::Up | Direction::Mixed => of.change.score,
    };
    changes.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let mut clusters: Vec<Cluster> = Vec::new();
    for change in changes {
        let Some(subject) = subject(&change) else { continue };
        match clusters.iter_mut().find(|cluster| cluster.subject == subject) {
            Some(cluster) if cluster.changes.len() < limit => cluster.changes.push(change),
            Some(_) => {}
            None => clusters.push(Cluster { subject, changes: vec![change] }),
        }
    }
    clusters
}

/// `None` for what [`suspects`] tell.
fn subject(change: &Changed) -> Option<&'static str> {
    let field = &*change.field;
    Some(match change.metric_type {
        MetricType::Processes | MetricType::Usage | MetricType::Profile => return None,
        // It says something about PerfWatch, not about the machine.
        MetricType::Agent | MetricType::Presence => return None,
        // What a group used is told by its programs, but not what it was refused.
        MetricType::Cgroups if ["throttled", "_events", "oom_"].iter().any(|part| field.contains(part)) => {
            "limits"
        }
        MetricType::Cgroups => return None,
        MetricType::Cpu | MetricType::Scheduler => "cpu",
        MetricType::Pressure if field.starts_with("cpu") => "cpu",
        MetricType::Pressure if field.starts_with("memory") => "memory",
        MetricType::Pressure | MetricType::Disk | MetricType::BlockIo => "storage",
        MetricType::MemoryBandwidth if field.contains("page_io") || field.starts_with("pgpg") => "storage",
        MetricType::Memory | MetricType::MemoryBandwidth => "memory",
        MetricType::Network | MetricType::Tcp => "network",
        MetricType::PerfEvents => "counters",
    })
}

async fn events(history: &History, range: Range) -> Result<String> {
    let mut all = String::new();
    for metric_type in [MetricType::Processes, MetricType::Cpu] {
        let layout = Layout::of(metric_type);
        let Some(column) = layout.tables[0].column("events") else { continue };
        let mut points =
            Points::open(history, HistoryQuery::new(metric_type, range.start, range.end)).await?;
        while let Some((_, sum)) = points.next_sum().await? {
            if sum.keys(0).is_empty() {
                continue;
            }
            if let Cell::Events(events) = sum.cell(0, 0, column)
                && !events.is_empty()
                && all.len() + events.len() < MAX_EVENTS
            {
                if !all.is_empty() {
                    all.push(',');
                }
                all.push_str(events);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
