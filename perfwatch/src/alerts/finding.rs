//! Who did it, and what changed: what history says of the time of an alert, in a few words for its message.

use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;

use super::event::shown;
use crate::history::History;
use crate::history::questions::compare::Range;
use crate::history::questions::explain::{Resource, explain};
use crate::history::questions::usage::accounts::Whose;
use crate::history::questions::usage::amounts::Amounts;
use crate::history::questions::usage::ranking::{By, Ranked, RankingQuery, ranking};
use crate::store::{Result, from_micros};

/// Programs that are named.
const NAMED: usize = 3;
/// How long a message waits for each of the two.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The time before is this many times as long.
const BEFORE: i64 = 4;

/// A program, and what it used of what the alert is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Culprit {
    pub name: String,
    pub cgroup: Option<String>,
    /// In the field's unit: percent of one CPU, bytes, bytes per second.
    pub used: f64,
    pub field: &'static str,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Finding {
    /// The largest first.
    pub who: Vec<Culprit>,
    /// What changed most, against the time just before.
    pub changed: Option<String>,
}

impl Finding {
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if !self.who.is_empty() {
            let who: Vec<String> = self.who.iter().map(Culprit::told).collect();
            sentences.push(format!("Who: {}", who.join("; ")));
        }
        if let Some(changed) = &self.changed {
            sentences.push(format!("What changed: {changed}"));
        }
        sentences
    }
}

impl Culprit {
    fn told(&self) -> String {
        let used = match self.field {
            "cpu_percent" => format!("{:.0} % of a CPU", self.used),
            "rss_bytes" => format!("{} of memory", shown(self.used, "bytes")),
            "read_bytes_per_sec" => format!("read {}", shown(self.used, "bytes/s")),
            _ => format!("wrote {}", shown(self.used, "bytes/s")),
        };
        match &self.cgroup {
            Some(cgroup) => format!("{} in {cgroup}: {used}", self.name),
            None => format!("{}: {used}", self.name),
        }
    }
}

/// What a field is about.
fn resource(field: &str) -> Resource {
    let is = |parts: &[&str]| parts.iter().any(|part| field.starts_with(part));
    if is(&["memory.", "pressure.memory", "memory_bandwidth.swap"])
        || field.contains("oom")
        || field.contains("memory_")
    {
        Resource::Memory
    } else if is(&["disk.", "block_io.", "pressure.io"]) || field.contains("write") {
        Resource::Write
    } else if field.contains("read") {
        Resource::Read
    } else {
        Resource::Cpu
    }
}

/// What history says of a field's alert that covers these times, µs. On the threads of questions; whatever takes too
/// long is left out.
pub async fn find(history: &History, threads: &Handle, field: &str, from: i64, to: i64) -> Finding {
    let resource = resource(field);
    let now = Range { start: from_micros(from), end: from_micros(to) };
    let before = Range { start: from_micros(from - BEFORE * (to - from)), end: from_micros(from - 1) };
    let who = {
        let history = history.clone();
        bounded(threads, async move { who(&history, now, resource).await }).await.unwrap_or_default()
    };
    let changed = {
        let history = history.clone();
        bounded(threads, async move { changed(&history, now, before).await }).await.flatten()
    };
    Finding { who, changed }
}

async fn bounded<T: Send + 'static>(
    threads: &Handle,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Option<T> {
    let mut working = threads.spawn(work);
    match tokio::time::timeout(TIMEOUT, &mut working).await {
        Ok(Ok(Ok(found))) => Some(found),
        Ok(Ok(Err(error))) => {
            tracing::debug!(%error, "a message of an alert lacks what history has");
            None
        }
        Ok(Err(_)) => None,
        Err(_) => {
            working.abort();
            None
        }
    }
}

async fn who(history: &History, range: Range, resource: Resource) -> Result<Vec<Culprit>> {
    let field = resource.as_str();
    let query = RankingQuery {
        whose: Whose::default(),
        start: range.start,
        end: range.end,
        by: By::Program,
        order: Amounts::order(field).unwrap_or(Amounts::cpu_us),
        limit: NAMED,
    };
    let ranking = ranking(history, query).await?;
    let culprit = |row: &Ranked| {
        let mean = row.used.mean(ranking.seconds);
        let used = resource.of(&mean)?;
        let group = row.group.as_ref().map(|group| group.name.to_string());
        Some(Culprit {
            name: row.name.as_deref()?.to_owned(),
            cgroup: group.or_else(|| row.cgroup.as_deref().map(str::to_owned)).filter(|path| path != "/"),
            used,
            field,
        })
    };
    Ok(ranking
        .rows
        .iter()
        .filter_map(culprit)
        .filter(|culprit| culprit.used >= resource.least() / 10.0)
        .collect())
}

async fn changed(history: &History, now: Range, before: Range) -> Result<Option<String>> {
    let explanation = explain(history, now, before, NAMED).await?;
    if !explanation.comparison_has_data {
        return Ok(None);
    }
    Ok(explanation.changes.first().map(|cluster| {
        let fields: Vec<String> = cluster
            .changes
            .iter()
            .map(|changed| format!("{}.{}", changed.metric_type.as_str(), changed.field))
            .collect();
        format!("{} ({})", cluster.subject, fields.join(", "))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::rollup;
    use crate::history::testing::{START, history, reading};
    use crate::snapshot::{MetricType, Reading};
    use crate::store::micros;
    use serde_json::json;

    #[test]
    fn fields_are_about_resources() {
        for (field, about) in [
            ("pressure.cpu.some.avg60", Resource::Cpu),
            ("scheduler.run_queue.histogram", Resource::Cpu),
            ("pressure.memory.full.avg60", Resource::Memory),
            ("cgroups.groups.memory_bytes", Resource::Memory),
            ("disk.partitions.used_bytes", Resource::Write),
            ("block_io.devices.read.histogram", Resource::Write),
            ("pressure.io.full.avg60", Resource::Write),
        ] {
            assert_eq!(resource(field), about, "{field}");
        }
    }

    /// Ten seconds of a machine on which a hog wakes up after ten minutes.
    fn of_ten_seconds(n: i64) -> Reading {
        let row = |cgroup: &str, comm: &str, pid: u32, cpu_us: u64| {
            json!({"cgroup": cgroup, "comm": comm, "pid": pid, "processes": 1, "exits": 0, "cpu_us": cpu_us,
                "read_bytes": 0, "write_bytes": 0, "rss_bytes": 1000})
        };
        let hog = if n >= 60 { 9_000_000 } else { 20_000 };
        let rows = [row("/a.service", "hog", 50, hog), row("/b.service", "usual", 30, 1_000_000)];
        let usage = json!({"elapsed_ms": 10_000, "processes": rows});
        reading(MetricType::Usage, n * 10, &usage)
    }

    #[tokio::test]
    async fn the_hog_of_that_time_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (_store, history) = history(dir.path()).await;
        let readings: Vec<Reading> = (1..=120).map(of_ten_seconds).collect();
        rollup::store_readings(&history, &readings, Vec::new()).await.unwrap();
        let of = async |from: i64, to: i64| {
            let at = |seconds| micros(START + time::Duration::seconds(seconds));
            find(&history, &Handle::current(), "pressure.cpu.some.avg60", at(from), at(to)).await.who
        };
        let during = of(780, 1080).await;
        assert_eq!((during[0].name.as_str(), during[0].field), ("hog", "cpu_percent"));
        assert_eq!(during[0].cgroup.as_deref(), Some("/a.service"));
        assert!((80.0..=95.0).contains(&during[0].used), "{during:?}");
        let before = of(120, 420).await;
        assert_eq!(before[0].name, "usual");
        assert!(of(-900, -600).await.is_empty(), "nothing was measured then");
    }

    #[test]
    fn it_is_told_in_words() {
        let culprit = |name: &str, cgroup: Option<&str>, used, field| Culprit {
            name: name.into(),
            cgroup: cgroup.map(str::to_owned),
            used,
            field,
        };
        let finding = Finding {
            who: vec![
                culprit("cc1plus", Some("build.service"), 312.4, "cpu_percent"),
                culprit("java", None, 2.5e9, "rss_bytes"),
            ],
            changed: Some("storage (disk.devices.x)".into()),
        };
        assert_eq!(
            finding.sentences(),
            [
                "Who: cc1plus in build.service: 312 % of a CPU; java: 2.5 GB of memory",
                "What changed: storage (disk.devices.x)",
            ]
        );
        assert!(Finding::default().sentences().is_empty());
    }
}
