//! `/api/history`: stored data of any range, streamed as it is read.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

mod across;
mod changes;
mod columns;
pub(super) mod compare;
mod explain;
mod export;
mod pieces;
mod processes;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::pieces::{Answer, Source, streamed};
use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use super::extract::CurrentUser;
use super::parameters::{Parameters, Reader, metric_type, metric_types};
use crate::history::questions::points::Points;
use crate::history::questions::{HistoryQuery, Interval, Stats};
use crate::snapshot::MetricType;
use crate::snapshot::layout::Layout;
use crate::snapshot::rfc3339;
use crate::snapshot::selection::Selection;

const DEFAULT_LIMIT: usize = 1000;
const MAX_LIMIT: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(metrics))
        .routes(routes!(types))
        .merge(compare::routes())
        .merge(changes::routes())
        .merge(columns::routes())
        .merge(explain::routes())
        .merge(processes::routes())
        .merge(export::routes())
        .merge(across::routes())
}

/// All texts, so that errors in them get our own messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MetricsParameters {
    /// `cpu`, `memory`, … (`/api/history/metrics/types` lists all); `perf` is `perf_events`
    #[param(required = true, value_type = String, example = "cpu")]
    metric_type: Option<String>,
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// `1s 5s 10s 30s 1m 5m 15m 1h 6h 1d`, `auto`, which fits the range, or `range`: the whole range as one point
    #[param(required = false, value_type = String, pattern = "^(auto|range|1s|5s|10s|30s|1m|5m|15m|1h|6h|1d)$", example = "auto", default = "auto")]
    interval: Option<String>,
    /// Maximum number of points
    #[param(required = false, value_type = usize, minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<String>,
    /// Only these fields: `usage_percent,io.read_bytes`
    #[param(required = false, value_type = String)]
    fields: Option<String>,
    /// Any of `min`, `max` and `count`, in addition to averages
    #[param(required = false, value_type = String, pattern = "^(min|max|count)(,(min|max|count))*$", example = "min,max,count")]
    stats: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct History {
    metric_type: &'static str,
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
    data_points: Vec<DataPoint>,
}

/// One bucket; if it has a single snapshot, the original document.
#[derive(Serialize, ToSchema)]
pub(super) struct DataPoint {
    /// Start of the bucket.
    #[schema(format = DateTime)]
    timestamp: String,
    /// The document, averaged over the bucket.
    data: serde_json::Map<String, serde_json::Value>,
    /// Smallest value of each number; with `stats=min`.
    #[schema(required = false, nullable = false)]
    min: Option<serde_json::Map<String, serde_json::Value>>,
    /// Largest value of each number; with `stats=max`.
    #[schema(required = false, nullable = false)]
    max: Option<serde_json::Map<String, serde_json::Value>>,
    /// Snapshots in the bucket; with `stats=count`.
    #[schema(required = false, nullable = false)]
    count: Option<u64>,
}

/// One metric type over a range
#[utoipa::path(get, path = "/api/history/metrics", tag = "history", params(MetricsParameters), responses(
    (status = 200, body = History),
    (status = 400, description = "Unknown metric type or interval, or an empty range", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn metrics(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<MetricsParameters>,
) -> Result<Response> {
    let query = query(&sent)?;
    let question = state.ask(&identity)?;
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let head = format!(
        r#"{{"metric_type":"{}","start_time":"{}","end_time":"{}","interval":"{}","data_points":["#,
        query.metric_type.as_str(),
        rfc3339(query.start),
        rfc3339(query.end),
        query.interval.as_str(),
    );
    let open = async move { Ok(Answer::new(head, Points::open(&history, query).await?)) };
    streamed(question, open, "application/json").await
}

impl Source for Points {
    async fn next_point(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.next().await?.map(|point| point.json))
    }

    fn tail(&self) -> String {
        format!(r#","truncated":{}}}"#, self.truncated())
    }
}

/// Which points of a metric type.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: OffsetDateTime,
    end: OffsetDateTime,
    interval: Interval,
    limit: usize,
    stats: Stats,
}

/// The parameters of a range, as they were sent.
struct SentRange<'a> {
    start_time: Option<&'a str>,
    end_time: Option<&'a str>,
    interval: Option<&'a str>,
    limit: Option<&'a str>,
    stats: Option<&'a str>,
}

impl SentRange<'_> {
    /// `reader` may have found problems already.
    fn read(self, mut reader: Reader) -> Result<Range> {
        let start = reader.required_moment("start_time", self.start_time);
        let end = reader.required_moment("end_time", self.end_time);
        let limit = reader.limit(self.limit, DEFAULT_LIMIT, MAX_LIMIT);
        let stats = match self.stats.map(Stats::parse) {
            None => Stats::default(),
            Some(Some(stats)) => stats,
            Some(None) => {
                reader.problem("stats", "Expected min, max and count, separated by commas");
                Stats::default()
            }
        };
        reader.finish()?;
        let (Some(start), Some(end)) = (start, end) else {
            // Anything missing is among the problems above.
            return Err(Error::Invalid(Vec::new()));
        };
        check_order(start, end)?;
        let interval = match self.interval {
            Some("range") => Interval::WHOLE,
            name => interval(name, start, end)?,
        };
        Ok(Range { start, end, interval, limit, stats })
    }
}

impl Range {
    /// The names of fields select what is shown of a type; none select all.
    fn of(self, metric_type: MetricType, fields: &[String]) -> HistoryQuery {
        let Self { start, end, interval, limit, stats } = self;
        let selection = Selection::of(Layout::of(metric_type), fields);
        HistoryQuery { metric_type, start, end, interval, limit, selection, stats }
    }
}

/// A list separated by commas.
fn names(list: Option<&str>) -> Vec<String> {
    let names = list.unwrap_or_default().split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn query(sent: &MetricsParameters) -> Result<HistoryQuery> {
    let mut reader = Reader::default();
    let name = reader.required("metric_type", sent.metric_type.as_deref()).unwrap_or_default();
    let range = SentRange {
        start_time: sent.start_time.as_deref(),
        end_time: sent.end_time.as_deref(),
        interval: sent.interval.as_deref(),
        limit: sent.limit.as_deref(),
        stats: sent.stats.as_deref(),
    };
    let range = range.read(reader)?;
    Ok(range.of(metric_type(name)?, &names(sent.fields.as_deref())))
}

pub(super) fn check_order(start: OffsetDateTime, end: OffsetDateTime) -> Result<()> {
    if start < end { Ok(()) } else { Err(Error::BadRequest("start_time must be before end_time".into())) }
}

pub(super) fn interval(name: Option<&str>, start: OffsetDateTime, end: OffsetDateTime) -> Result<Interval> {
    match name {
        None | Some("auto") => Ok(Interval::auto(start, end)),
        Some(name) => Interval::parse(name).ok_or_else(|| {
            let known: Vec<_> = Interval::ALL.into_iter().map(Interval::as_str).collect();
            let shown: String = name.chars().take(20).collect();
            Error::BadRequest(format!(
                "Invalid interval: {shown}. Must be one of: auto, {}",
                known.join(", ")
            ))
        }),
    }
}

#[derive(Serialize, ToSchema)]
struct Types {
    metric_types: Vec<&'static str>,
}

/// The available metric types
#[utoipa::path(get, path = "/api/history/metrics/types", tag = "history", responses((status = 200, body = Types), Guarded))]
async fn types(_: CurrentUser) -> Json<Types> {
    Json(Types { metric_types: metric_types() })
}
