//! `/api/history/compare`: one metric type in two ranges.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{DEFAULT_LIMIT, DataPoint, MAX_LIMIT, check_order, interval};
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use crate::api::extract::CurrentUser;
use crate::api::parameters::{Parameters, Reader, metric_type};
use crate::api::questions::json_in_pieces;
use crate::history::questions::compare::{self, Range, Side};
use crate::snapshot::rfc3339;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(compare_ranges))
}

/// Two ranges: relative (`period`, `compare_to`) or custom (the four times, which take precedence if any is given). With
/// another machine the second range may be left out.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct RangesParameters {
    /// `hour`, `day` or `week`, up to now
    #[param(required = false, value_type = String, pattern = "^(hour|day|week)$", example = "hour")]
    period: Option<String>,
    /// `yesterday` or `last_week`
    #[param(required = false, value_type = String, pattern = "^(yesterday|last_week)$", example = "yesterday")]
    compare_to: Option<String>,
    #[param(required = false, value_type = String, min_length = 4)]
    start_time_1: Option<String>,
    #[param(required = false, value_type = String, min_length = 4)]
    end_time_1: Option<String>,
    #[param(required = false, value_type = String, min_length = 4)]
    start_time_2: Option<String>,
    #[param(required = false, value_type = String, min_length = 4)]
    end_time_2: Option<String>,
    /// ID or name of the machine to compare with: in the second range, or in the same one where none is given; the same
    /// machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    compare_host: Option<String>,
}

impl RangesParameters {
    /// The machine to compare with, where `host` is the one that is compared.
    pub(in crate::api) fn other<'a>(&'a self, host: Option<&'a str>) -> Option<&'a str> {
        self.compare_host.as_deref().or(host)
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CompareParameters {
    #[param(required = true, value_type = String, example = "cpu")]
    metric_type: Option<String>,
    /// Maximum number of points in each range
    #[param(required = false, value_type = usize, minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<String>,
    /// `1s 5s 10s 30s 1m 5m 15m 1h 6h 1d`, or `auto`
    #[param(required = false, value_type = String, pattern = "^(auto|1s|5s|10s|30s|1m|5m|15m|1h|6h|1d)$", default = "auto")]
    interval: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Comparison {
    metric_type: &'static str,
    #[schema(example = "hour")]
    period: String,
    #[schema(example = "yesterday")]
    compare_to: String,
    interval: &'static str,
    current: SideDto,
    comparison: SideDto,
    summary: Summary,
}

#[derive(Serialize, ToSchema)]
struct SideDto {
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    end_time: String,
    data_points: Vec<DataPoint>,
    /// Whether there were more than `limit`.
    truncated: bool,
}

/// The type's primary value: usage for cpu and memory, bytes per second for network, disk and memory_bandwidth.
#[derive(Serialize, ToSchema)]
struct Summary {
    current_avg: Option<f64>,
    comparison_avg: Option<f64>,
    /// `null` if the comparison's average is 0 or missing.
    change_percent: Option<f64>,
}

/// One metric type in two ranges
#[utoipa::path(get, path = "/api/history/compare", tag = "history", params(RangesParameters, CompareParameters), responses(
    (status = 200, body = Comparison),
    (status = 400, description = "Unknown metric type or interval, or ranges that don't fit", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn compare_ranges(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(ranges): Parameters<RangesParameters>,
    Parameters(sent): Parameters<CompareParameters>,
) -> Result<Response> {
    let mut reader = Reader::default();
    let name = reader.required("metric_type", sent.metric_type.as_deref());
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    let chosen = choose(&ranges, &mut reader, OffsetDateTime::now_utc());
    reader.finish()?;
    let metric_type = metric_type(name.unwrap_or_default())?;
    let Chosen { period, compare_to, current, comparison } = chosen?;
    let interval = interval(sent.interval.as_deref(), current.start, current.end)?;
    let question = state.ask(&identity)?;
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let other = state.history_of(&identity, ranges.other(sent.host.as_deref())).await?;
    let json = question.work(async move {
        let sides = [(&history, current), (&other, comparison)];
        let compared = compare::compare(sides, metric_type, interval, limit).await?;
        let summary = Summary {
            current_avg: compared.current.average,
            comparison_avg: compared.comparison.average,
            change_percent: compared.change_percent,
        };
        // The points are JSON already.
        let mut out = format!(
            r#"{{"metric_type":"{}","period":{},"compare_to":{},"interval":"{}","current":"#,
            metric_type.as_str(),
            text(&period)?,
            text(&compare_to)?,
            interval.as_str(),
        )
        .into_bytes();
        write_side(&compared.current, &mut out);
        out.extend_from_slice(br#","comparison":"#);
        write_side(&compared.comparison, &mut out);
        out.extend_from_slice(format!(r#","summary":{}}}"#, text(&summary)?).as_bytes());
        Ok(out)
    });
    Ok(json_in_pieces(json.await?))
}

fn write_side(side: &Side, out: &mut Vec<u8>) {
    let (start, end) = (rfc3339(side.range.start), rfc3339(side.range.end));
    out.extend_from_slice(
        format!(r#"{{"start_time":"{start}","end_time":"{end}","data_points":["#).as_bytes(),
    );
    for (n, point) in side.points.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&point.json);
    }
    out.extend_from_slice(format!(r#"],"truncated":{}}}"#, side.truncated).as_bytes());
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))
}

pub(in crate::api) struct Chosen {
    pub(in crate::api) period: String,
    pub(in crate::api) compare_to: String,
    pub(in crate::api) current: Range,
    pub(in crate::api) comparison: Range,
}

pub(in crate::api) fn choose(
    sent: &RangesParameters,
    reader: &mut Reader,
    now: OffsetDateTime,
) -> Result<Chosen> {
    let texts = [
        ("start_time_1", &sent.start_time_1),
        ("end_time_1", &sent.end_time_1),
        ("start_time_2", &sent.start_time_2),
        ("end_time_2", &sent.end_time_2),
    ];
    if texts.iter().any(|(_, text)| text.is_some()) {
        let [start_1, end_1, mut start_2, mut end_2] =
            texts.map(|(name, text)| reader.moment(name, text.as_deref()));
        if sent.compare_host.is_some() && sent.start_time_2.is_none() && sent.end_time_2.is_none() {
            (start_2, end_2) = (start_1, end_1);
        }
        let (Some(start_1), Some(end_1), Some(start_2), Some(end_2)) = (start_1, end_1, start_2, end_2)
        else {
            return Err(Error::BadRequest(
                "start_time_1, end_time_1, start_time_2, end_time_2 are required for custom comparison"
                    .into(),
            ));
        };
        check_order(start_1, end_1)?;
        check_order(start_2, end_2)?;
        if end_1 - start_1 != end_2 - start_2 {
            return Err(Error::BadRequest("Custom comparison periods must have the same duration".into()));
        }
        return Ok(Chosen {
            period: "custom".into(),
            compare_to: "custom".into(),
            current: Range { start: start_1, end: end_1 },
            comparison: Range { start: start_2, end: end_2 },
        });
    }
    if let (Some(period), None, Some(_)) = (&sent.period, &sent.compare_to, &sent.compare_host) {
        // The other machine at the same time.
        let Some((current, _)) = compare::relative(period, "yesterday", now) else {
            reader.problem("period", "Expected hour, day or week");
            return Err(Error::BadRequest("period is unknown".into()));
        };
        return Ok(Chosen {
            period: period.clone(),
            compare_to: "host".into(),
            current,
            comparison: current,
        });
    }
    let (Some(period), Some(compare_to)) = (&sent.period, &sent.compare_to) else {
        return Err(Error::BadRequest("period and compare_to are required for relative comparison".into()));
    };
    let Some((current, comparison)) = compare::relative(period, compare_to, now) else {
        if compare::relative(period, "yesterday", now).is_none() {
            reader.problem("period", "Expected hour, day or week");
        }
        if compare::relative("hour", compare_to, now).is_none() {
            reader.problem("compare_to", "Expected yesterday or last_week");
        }
        // The problems are answered before this.
        return Err(Error::BadRequest("period or compare_to is unknown".into()));
    };
    Ok(Chosen { period: period.clone(), compare_to: compare_to.clone(), current, comparison })
}
