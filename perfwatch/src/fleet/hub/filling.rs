//! Reads from the store what the signs of life did not tell: the hour before a hub started, and until when there is history
//! of each host.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::task::JoinHandle;

use crate::fleet::courses::Courses;
use crate::fleet::measures::{FIELDS, Measures};
use crate::history::questions::points::Points;
use crate::history::questions::{HistoryQuery, Interval};
use crate::history::{History, from_micros};
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use crate::store::{Result, micros};

const EVERY: Duration = Duration::from_secs(60);
const HOUR: i64 = 3600 * 1_000_000;
/// A host that tells its measures does so six times in this time, µs.
const HEARD: i64 = 60 * 1_000_000;
/// The store is left alone for this many times as long as it was used.
const REST: u32 = 4;

#[derive(Debug)]
pub struct Filling(JoinHandle<()>);

impl Filling {
    pub fn spawn(history: History, courses: Courses) -> Self {
        Self(tokio::spawn(async move {
            let mut read = HashMap::new();
            loop {
                // Others tell of a store that fails.
                if let Err(error) = pass(&history, &courses, &mut read).await {
                    tracing::debug!(%error, "the fleet's last hour cannot be read");
                }
                tokio::time::sleep(EVERY).await;
            }
        }))
    }

    /// It only reads.
    pub fn close(self) {
        self.0.abort();
    }
}

/// `read`: until when there was history of each host when it was read.
async fn pass(history: &History, courses: &Courses, read: &mut HashMap<String, i64>) -> Result<()> {
    let stored = history.chunks().newest().await?;
    for (host, end) in &stored {
        // A chunk ends after its last reading.
        courses.note_stored(host, end - 1);
    }
    for (host, end) in stored {
        let now = micros(OffsetDateTime::now_utc());
        let is_heard = courses.now(&host).at.is_some_and(|at| at > now - HEARD);
        let is_wanted = match read.get(&host) {
            None => end > now - HOUR,
            Some(before) => *before != end && !is_heard,
        };
        if !is_wanted {
            continue;
        }
        let started = Instant::now();
        let minutes = last_hour(&history.of_host(&host), now).await?;
        courses.fill(&host, &minutes);
        read.insert(host, end);
        tokio::time::sleep(started.elapsed() * REST).await;
    }
    Ok(())
}

/// The averages of each minute, with its start (µs).
async fn last_hour(history: &History, now: i64) -> Result<Vec<(i64, Measures)>> {
    let mut minutes: HashMap<i64, Measures> = HashMap::new();
    for (metric_type, fields) in FIELDS {
        let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        let query = HistoryQuery {
            interval: Interval::parse("1m").unwrap_or(Interval::WHOLE),
            selection: Selection::of(Layout::of(metric_type), &fields),
            ..HistoryQuery::new(metric_type, from_micros(now - HOUR), from_micros(now))
        };
        let mut points = Points::open(history, query).await?;
        while let Some((at, sums)) = points.next_sum().await? {
            minutes.entry(at).or_default().read(&sums);
        }
    }
    let mut minutes: Vec<_> = minutes.into_iter().filter(|(_, measures)| !measures.is_empty()).collect();
    minutes.sort_unstable_by_key(|(at, _)| *at);
    Ok(minutes)
}
