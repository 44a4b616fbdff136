//! `/api/history/processes`: what one process used.

use axum::extract::State;
use axum::response::Response;
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
use crate::history::questions::process::{ProcessHistory, ProcessPoint, ProcessQuery, Use, Whose};
use crate::snapshot::rfc3339;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(processes))
}

/// `pid`, `name` or both say whose history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProcessParameters {
    /// Process ID; with `name`, only while it had that name
    #[param(required = false, value_type = u32, minimum = 1, example = 1)]
    pid: Option<String>,
    /// The kernel's name of it, up to 15 characters; without `pid`, the sum of all processes of this name
    #[param(required = false, value_type = String, min_length = 1, example = "postgres")]
    name: Option<String>,
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// `1s 5s 10s 30s 1m 5m 15m 1h 6h 1d`, or `auto`, which fits the range
    #[param(required = false, value_type = String, pattern = "^(auto|1s|5s|10s|30s|1m|5m|15m|1h|6h|1d)$", example = "auto", default = "auto")]
    interval: Option<String>,
    /// Maximum number of points
    #[param(required = false, value_type = usize, minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

#[derive(ToSchema)]
#[allow(dead_code)] // only its description is used: the answer is sent as it is read
struct ProcessAnswer {
    pid: Option<u32>,
    name: Option<String>,
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
    /// Samples of the busiest processes in the bucket: every snapshot, or for long ranges the first of each minute,
    /// five minutes, hour or day.
    snapshots: u64,
    /// Samples that list the process. In the others it used less than the 25 busiest.
    listed: u64,
    /// Averages over the samples that list it; `null` if none does.
    data: Option<ProcessUse>,
    /// Maximum of any one sample.
    max: Option<ProcessUse>,
}

/// `null`: not counted on this machine, or not read in time.
#[derive(Serialize, ToSchema)]
struct ProcessUse {
    /// Number of processes added up.
    processes: Option<f64>,
    /// Active threads.
    threads: Option<f64>,
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
    /// Instructions per cycle.
    ipc: Option<f64>,
    /// Misses of the last level cache per thousand instructions.
    llc_mpki: Option<f64>,
    /// Mispredicted branches per thousand instructions.
    branch_mpki: Option<f64>,
    /// Misses of the data TLB per thousand instructions.
    dtlb_mpki: Option<f64>,
}

/// What one process, or all of one name, used over a range
///
/// Based on the lists of the busiest processes in the stored snapshots.
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
    let history = state.history_of(sent.host.as_deref()).await?;
    let query = query(sent)?;
    let question = state.ask(&identity)?;
    let text = |value: serde_json::Value| value.to_string();
    let head = format!(
        r#"{{"pid":{},"name":{},"start_time":"{}","end_time":"{}","interval":"{}","data_points":["#,
        text(query.whose.pid.into()),
        text(query.whose.name.clone().into()),
        rfc3339(query.start),
        rfc3339(query.end),
        query.interval.as_str(),
    );
    let open = async move { Ok(Answer::new(head, ProcessHistory::open(&history, query).await?)) };
    streamed(question, open, "application/json").await
}

fn query(sent: ProcessParameters) -> Result<ProcessQuery> {
    let mut reader = Reader::default();
    let pid = sent.pid.as_deref().map(|pid| pid.parse().ok().filter(|pid| *pid > 0));
    match pid {
        Some(None) => reader.problem("pid", "Expected a process number"),
        None if sent.name.is_none() => reader.problem("pid", "Expected a pid, a name, or both"),
        _ => {}
    }
    if sent.name.as_deref() == Some("") {
        reader.problem("name", "Expected a process name");
    }
    let start = reader.required_moment("start_time", sent.start_time.as_deref());
    let end = reader.required_moment("end_time", sent.end_time.as_deref());
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    reader.finish()?;
    let (Some(start), Some(end)) = (start, end) else {
        // Anything missing is among the problems above.
        return Err(Error::Invalid(Vec::new()));
    };
    check_order(start, end)?;
    let interval = interval(sent.interval.as_deref(), start, end)?;
    let whose = Whose { pid: pid.flatten(), name: sent.name };
    Ok(ProcessQuery { whose, start, end, interval, limit })
}

impl Source for ProcessHistory {
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

impl From<&ProcessPoint> for ProcessDataPoint {
    fn from(point: &ProcessPoint) -> Self {
        let listed = |used: Use| (point.listed > 0).then(|| ProcessUse::from(used));
        Self {
            timestamp: rfc3339(point.at),
            snapshots: point.snapshots,
            listed: point.listed,
            data: listed(point.average),
            max: listed(point.max),
        }
    }
}

impl From<Use> for ProcessUse {
    fn from(used: Use) -> Self {
        Self {
            processes: used.processes,
            threads: used.threads,
            cpu_percent: used.cpu_percent,
            rss_bytes: used.rss_bytes,
            runqueue_wait_ms_per_sec: used.runqueue_wait_ms_per_sec,
            context_switches_per_sec: used.context_switches_per_sec,
            read_bytes_per_sec: used.read_bytes_per_sec,
            write_bytes_per_sec: used.write_bytes_per_sec,
            ipc: used.ipc,
            llc_mpki: used.llc_mpki,
            branch_mpki: used.branch_mpki,
            dtlb_mpki: used.dtlb_mpki,
        }
    }
}
