//! `/api/history/processes`: which processes and cgroups used what.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pieces::{Answer, Source, streamed};
use super::{DEFAULT_LIMIT, MAX_LIMIT, check_order, interval};
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use crate::api::extract::CurrentUser;
use crate::api::parameters::{Parameters, Reader};
use crate::api::processes::CgroupDto;
use crate::history::questions::usage::accounts::Whose;
use crate::history::questions::usage::amounts::{Amounts, Use};
use crate::history::questions::usage::over_time::{UsageHistory, UsagePoint, UsageQuery};
use crate::history::questions::usage::ranking::{By, Ranked, Ranking, RankingQuery, ranking};
use crate::snapshot::derive::round;
use crate::snapshot::rfc3339;

/// Rows of a ranking.
const DEFAULT_ROWS: usize = 20;
const MAX_ROWS: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(processes))
}

/// With `pid`, `name` or `cgroup`: those processes over time. Without them, or with `by`: the largest.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProcessParameters {
    /// Process ID; with `name`, only while it had that name
    #[param(required = false, value_type = u32, minimum = 1, example = 1)]
    pid: Option<String>,
    /// The kernel's name of it, up to 15 characters; the sum of all processes of this name
    #[param(required = false, value_type = String, min_length = 1, example = "postgres")]
    name: Option<String>,
    /// Path of a cgroup; the sum of its processes, and of those in the groups below it
    #[param(required = false, value_type = String, min_length = 1, example = "/system.slice/ssh.service")]
    cgroup: Option<String>,
    /// Ranks processes, their names, or cgroups, of those that match
    #[param(required = false, value_type = String, pattern = "^(process|name|cgroup)$", example = "process")]
    by: Option<String>,
    /// Of a ranking: what it ranks by, largest first
    #[param(required = false, value_type = String, pattern = "^(cpu_percent|rss_bytes|runqueue_wait_ms_per_sec|context_switches_per_sec|read_bytes_per_sec|write_bytes_per_sec|minor_faults_per_sec|major_faults_per_sec|processes|exits|instructions)$", default = "cpu_percent", example = "write_bytes_per_sec")]
    order: Option<String>,
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// Of points: `1s 5s 10s 30s 1m 5m 15m 1h 6h 1d`, or `auto`, which fits the range
    #[param(required = false, value_type = String, pattern = "^(auto|1s|5s|10s|30s|1m|5m|15m|1h|6h|1d)$", example = "auto", default = "auto")]
    interval: Option<String>,
    /// Maximum number of points (1000 by default), or of rows (20 by default, at most 1000)
    #[param(required = false, value_type = usize, minimum = 1, maximum = 10000)]
    limit: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

/// The points of some processes, or a ranking.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant)] // only its description is used
enum ProcessAnswer {
    Points(ProcessPoints),
    Ranking(ProcessRanking),
}

#[derive(ToSchema)]
#[allow(dead_code)] // only its description is used: the answer is sent as it is read
struct ProcessPoints {
    pid: Option<u32>,
    name: Option<String>,
    cgroup: Option<String>,
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    end_time: String,
    #[schema(example = "5s")]
    interval: &'static str,
    /// The number of points.
    count: usize,
    /// Whether there were more than `limit`.
    truncated: bool,
    /// Names of the processes found: several if the PID was reused. At most 16.
    names: Vec<String>,
    data_points: Vec<ProcessDataPoint>,
}

/// One bucket with stored snapshots.
#[derive(Serialize, ToSchema)]
struct ProcessDataPoint {
    /// Start of the bucket.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Number of snapshots in the bucket.
    snapshots: u64,
    /// Averages over the bucket; `null` if nothing noticeable was used.
    data: Option<ProcessUse>,
    /// Largest values of a single snapshot; of memory, of a minute.
    max: Option<ProcessUse>,
}

/// `null`: not counted on this machine.
#[derive(Serialize, ToSchema)]
struct ProcessUse {
    /// Number of processes at the same time.
    processes: Option<f64>,
    /// Percent of one CPU: two busy threads use 200.
    cpu_percent: Option<f64>,
    /// Resident memory.
    rss_bytes: Option<f64>,
    /// Time spent runnable, waiting for a CPU.
    runqueue_wait_ms_per_sec: Option<f64>,
    context_switches_per_sec: Option<f64>,
    /// Read from storage.
    read_bytes_per_sec: Option<f64>,
    /// Written to storage, counted when the page cache is dirtied.
    write_bytes_per_sec: Option<f64>,
    /// Page faults that needed no storage.
    minor_faults_per_sec: Option<f64>,
    /// Page faults that waited for storage.
    major_faults_per_sec: Option<f64>,
    /// Instructions per cycle.
    ipc: Option<f64>,
    /// Misses of the last level cache per thousand instructions.
    llc_mpki: Option<f64>,
    /// Mispredicted branches per thousand instructions.
    branch_mpki: Option<f64>,
    /// Misses of the data TLB per thousand instructions.
    dtlb_mpki: Option<f64>,
}

/// The largest of a range.
#[derive(Serialize, ToSchema)]
struct ProcessRanking {
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    end_time: String,
    by: &'static str,
    order: String,
    /// Measured time of the range.
    seconds: f64,
    /// The number of rows.
    count: usize,
    /// How many there were to choose from.
    found: usize,
    /// All processes that match.
    total: ProcessSum,
    /// Those without a row, including what can't be attributed.
    other: ProcessSum,
    rows: Vec<ProcessRow>,
}

/// What was used over the range.
#[derive(Serialize, ToSchema)]
struct ProcessSum {
    cpu_seconds: Option<f64>,
    runqueue_wait_seconds: Option<f64>,
    read_bytes: Option<f64>,
    write_bytes: Option<f64>,
    /// Processes that ended.
    exits: Option<f64>,
    /// Averages over the range.
    data: ProcessUse,
}

/// A process, all of a name, or a cgroup.
#[derive(Serialize, ToSchema)]
struct ProcessRow {
    /// `null` for several: short-lived processes of a name, or all of it in ranges too old to tell them apart.
    pid: Option<u32>,
    name: Option<String>,
    /// `null` if it is not known, or not the same for all of them.
    cgroup: Option<String>,
    /// What the cgroup is; `null` if `cgroup` is, or if it was not recorded.
    group: Option<CgroupDto>,
    user: Option<String>,
    /// Its parent when it was first seen.
    parent_pid: Option<u32>,
    #[schema(format = DateTime)]
    started: Option<String>,
    executable: Option<String>,
    /// Its command line, with secrets masked; `null` with `PERFWATCH_COMMAND_LINES=false`.
    command: Option<String>,
    /// When it was first and last seen in the range, as exactly as the data allows.
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    #[serde(flatten)]
    sum: ProcessSum,
    /// Largest values of a single snapshot; of memory, of a minute.
    max: ProcessUse,
    /// `cpu_percent` over the range, in up to 48 steps of equal length; `null` where nothing was measured.
    course: Vec<Option<f64>>,
}

/// Which processes and cgroups used what
///
/// The accounts of all processes: rows, `other` and `total` add up at any age. Processes that used little in a minute, and
/// all of them in buckets of an hour or more, are added up by name.
#[utoipa::path(get, path = "/api/history/processes", tag = "history", params(ProcessParameters), responses(
    (status = 200, body = ProcessAnswer),
    (status = 400, description = "Unknown interval, or an empty range", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn processes(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<ProcessParameters>,
) -> Result<Response> {
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let asked = asked(sent)?;
    let question = state.ask(&identity)?;
    match asked {
        Asked::Points(query) => {
            let head = head(&query);
            let open = async move { Ok(Answer::new(head, UsageHistory::open(&history, query).await?)) };
            streamed(question, open, "application/json").await
        }
        Asked::Ranking { query, order, by } => {
            let (start, end) = (rfc3339(query.start), rfc3339(query.end));
            let work = async move { Ok(ranking(&history, query).await?) };
            let ranking = question.work(work).await?;
            Ok(Json(ProcessRanking::of(&ranking, (start, end), by, order)).into_response())
        }
    }
}

fn head(query: &UsageQuery) -> String {
    let text = |value: serde_json::Value| value.to_string();
    format!(
        r#"{{"pid":{},"name":{},"cgroup":{},"start_time":"{}","end_time":"{}","interval":"{}","data_points":["#,
        text(query.whose.pid.into()),
        text(query.whose.name.clone().into()),
        text(query.whose.cgroup.clone().into()),
        rfc3339(query.start),
        rfc3339(query.end),
        query.interval.as_str(),
    )
}

enum Asked {
    Points(UsageQuery),
    Ranking { query: RankingQuery, order: String, by: &'static str },
}

fn asked(sent: ProcessParameters) -> Result<Asked> {
    let mut reader = Reader::default();
    let pid = sent.pid.as_deref().map(|pid| pid.parse().ok().filter(|pid| *pid > 0));
    if pid == Some(None) {
        reader.problem("pid", "Expected a process number");
    }
    if sent.name.as_deref() == Some("") {
        reader.problem("name", "Expected a process name");
    }
    if sent.cgroup.as_deref().is_some_and(|path| !path.starts_with('/')) {
        reader.problem("cgroup", "Expected a path that begins with /");
    }
    let whose = Whose { pid: pid.flatten(), name: sent.name, cgroup: sent.cgroup };
    let all = whose.pid.is_none() && whose.name.is_none() && whose.cgroup.is_none();
    let by = match sent.by.as_deref() {
        None => all.then_some((By::Process, "process")),
        Some("process") => Some((By::Process, "process")),
        Some("name") => Some((By::Name, "name")),
        Some("cgroup") => Some((By::Cgroup, "cgroup")),
        Some(_) => {
            reader.problem("by", "Expected process, name or cgroup");
            None
        }
    };
    let order_name = sent.order.unwrap_or_else(|| "cpu_percent".to_owned());
    let order = Amounts::order(&order_name);
    if order.is_none() {
        reader.problem("order", "Expected the name of a field, such as cpu_percent or rss_bytes");
    }
    let start = reader.required_moment("start_time", sent.start_time.as_deref());
    let end = reader.required_moment("end_time", sent.end_time.as_deref());
    let (usual, most) = if by.is_some() { (DEFAULT_ROWS, MAX_ROWS) } else { (DEFAULT_LIMIT, MAX_LIMIT) };
    let limit = reader.limit(sent.limit.as_deref(), usual, most);
    reader.finish()?;
    let (Some(start), Some(end), Some(order)) = (start, end, order) else {
        // Anything missing is among the problems above.
        return Err(Error::Invalid(Vec::new()));
    };
    check_order(start, end)?;
    let interval = interval(sent.interval.as_deref(), start, end)?;
    Ok(match by {
        Some((by, by_name)) => Asked::Ranking {
            query: RankingQuery { whose, start, end, by, order, limit },
            order: order_name,
            by: by_name,
        },
        None => Asked::Points(UsageQuery { whose, start, end, interval, limit }),
    })
}

impl Source for UsageHistory {
    async fn next_point(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(point) = self.next().await? else { return Ok(None) };
        let json = serde_json::to_vec(&ProcessDataPoint::from(&point));
        json.map(Some).map_err(|error| Error::Internal(error.to_string()))
    }

    fn tail(&self) -> String {
        let names: serde_json::Value = self.names().collect();
        format!(r#","truncated":{},"names":{names}}}"#, self.truncated())
    }
}

impl From<&UsagePoint> for ProcessDataPoint {
    fn from(point: &UsagePoint) -> Self {
        Self {
            timestamp: rfc3339(point.at),
            snapshots: point.snapshots,
            data: point.used.map(|used| used.mean(point.seconds).into()),
            max: point.used.map(|used| used.peak().into()),
        }
    }
}

impl ProcessRanking {
    fn of(
        ranking: &Ranking,
        (start_time, end_time): (String, String),
        by: &'static str,
        order: String,
    ) -> Self {
        Self {
            start_time,
            end_time,
            by,
            order,
            seconds: ranking.seconds,
            count: ranking.rows.len(),
            found: ranking.found,
            total: ProcessSum::of(&ranking.total, ranking.seconds),
            other: ProcessSum::of(&ranking.other, ranking.seconds),
            rows: ranking.rows.iter().map(|row| ProcessRow::of(row, ranking.seconds)).collect(),
        }
    }
}

impl ProcessSum {
    fn of(used: &Amounts, seconds: f64) -> Self {
        let micros = |column| used.total(column).map(|us| us / 1e6);
        Self {
            cpu_seconds: micros("cpu_us"),
            runqueue_wait_seconds: micros("runqueue_wait_us"),
            read_bytes: used.total("read_bytes"),
            write_bytes: used.total("write_bytes"),
            exits: used.total("exits"),
            data: used.mean(seconds).into(),
        }
    }
}

impl ProcessRow {
    fn of(row: &Ranked, seconds: f64) -> Self {
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            pid: row.pid,
            name: text(&row.name),
            cgroup: text(&row.cgroup),
            group: row.group.as_ref().map(CgroupDto::of),
            user: text(&row.facts.user),
            parent_pid: row.facts.parent_pid,
            started: text(&row.facts.started),
            executable: text(&row.facts.executable),
            command: text(&row.facts.command),
            first_seen: rfc3339(row.seen.0),
            last_seen: rfc3339(row.seen.1),
            sum: ProcessSum::of(&row.used, seconds),
            max: row.used.peak().into(),
            course: row.course.iter().map(|percent| percent.map(|percent| round(percent, 2))).collect(),
        }
    }
}

impl From<Use> for ProcessUse {
    fn from(used: Use) -> Self {
        let some = |value: Option<f64>| value.map(|value| round(value, 3));
        Self {
            processes: some(used.processes),
            cpu_percent: some(used.cpu_percent),
            rss_bytes: used.rss_bytes.map(f64::round),
            runqueue_wait_ms_per_sec: some(used.runqueue_wait_ms_per_sec),
            context_switches_per_sec: some(used.context_switches_per_sec),
            read_bytes_per_sec: some(used.read_bytes_per_sec),
            write_bytes_per_sec: some(used.write_bytes_per_sec),
            minor_faults_per_sec: some(used.minor_faults_per_sec),
            major_faults_per_sec: some(used.major_faults_per_sec),
            ipc: some(used.ipc),
            llc_mpki: some(used.llc_mpki),
            branch_mpki: some(used.branch_mpki),
            dtlb_mpki: some(used.dtlb_mpki),
        }
    }
}
