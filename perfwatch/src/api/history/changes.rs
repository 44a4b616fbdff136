//! `/api/history/changes`: what differs between two ranges, across everything that is measured.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::compare::{Chosen, RangesParameters, choose};
use crate::api::AppState;
use crate::api::error::{ErrorBody, Guarded, Queued, Result, ValidationBody};
use crate::api::extract::CurrentUser;
use crate::api::parameters::{Parameters, Reader};
use crate::api::profiles::moved::{MovedFunction, moved};
use crate::history::questions::changes::rank::Summary;
use crate::history::questions::changes::{Changed, changes};
use crate::history::questions::compare::Range;
use crate::snapshot::rfc3339;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(what_changed))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ChangesParameters {
    /// Maximum number of changes
    #[param(required = false, value_type = usize, minimum = 1, maximum = 1000, default = 50)]
    limit: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Changes {
    #[schema(example = "hour")]
    period: String,
    #[schema(example = "yesterday")]
    compare_to: String,
    /// Resolution: the width of the points that were compared.
    interval: &'static str,
    current: RangeDto,
    comparison: RangeDto,
    /// Largest first.
    changes: Vec<ChangeDto>,
    /// Functions whose share of the CPU time changed, the largest change first, at most 10.
    functions: Vec<MovedFunction>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RangeDto {
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    end_time: String,
    /// Whether anything is stored of it.
    has_data: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ChangeDto {
    pub(super) metric_type: &'static str,
    /// As `fields` of `/api/history/metrics` names it.
    #[schema(example = "io.read_bytes_per_sec")]
    pub(super) field: String,
    /// `number`; `rate`: a counter, compared by its growth per second; `histogram`.
    #[schema(example = "number")]
    kind: &'static str,
    /// How far the distribution moved, 0 to 1; 0.5 is as far as its values usually vary.
    pub(super) score: f64,
    /// `up`, `down`, or `mixed` if it became wider or narrower.
    #[schema(example = "up")]
    direction: &'static str,
    current: SummaryDto,
    comparison: SummaryDto,
    /// Change of the median; `null` if the comparison's is 0.
    change_percent: Option<f64>,
}

#[derive(Serialize, ToSchema)]
struct SummaryDto {
    median: f64,
    p99: f64,
}

/// What changed: everything measured in both ranges, ranked by how much its distribution moved
#[utoipa::path(get, path = "/api/history/changes", tag = "history", params(RangesParameters, ChangesParameters), responses(
    (status = 200, body = Changes),
    (status = 400, description = "Ranges that don't fit", body = ErrorBody),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn what_changed(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(ranges): Parameters<RangesParameters>,
    Parameters(sent): Parameters<ChangesParameters>,
) -> Result<Json<Changes>> {
    let mut reader = Reader::default();
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    let chosen = choose(&ranges, &mut reader, OffsetDateTime::now_utc());
    reader.finish()?;
    let Chosen { period, compare_to, current, comparison } = chosen?;
    let question = state.ask(&identity)?;
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let other = state.history_of(&identity, ranges.other(sent.host.as_deref())).await?;
    let profiles = [&history, &other].map(|of| state.profiles.of(of));
    let looked = async move {
        let functions = moved([(&profiles[0], current), (&profiles[1], comparison)]).await?;
        Ok((changes([(&history, current), (&other, comparison)], limit).await?, functions))
    };
    let (found, functions) = question.work(looked).await?;
    Ok(Json(Changes {
        period,
        compare_to,
        interval: found.interval.as_str(),
        current: range(current, found.current_has_data),
        comparison: range(comparison, found.comparison_has_data),
        changes: found.changes.into_iter().map(change).collect(),
        functions,
    }))
}

pub(super) fn range(range: Range, has_data: bool) -> RangeDto {
    RangeDto { start_time: rfc3339(range.start), end_time: rfc3339(range.end), has_data }
}

pub(super) fn change(changed: Changed) -> ChangeDto {
    let change = changed.change;
    let summary = |s: Summary| SummaryDto { median: s.median, p99: s.p99 };
    let (now, base) = (change.current.median, change.comparison.median);
    ChangeDto {
        metric_type: changed.metric_type.as_str(),
        field: changed.field,
        kind: change.kind.as_str(),
        score: change.score,
        direction: change.direction.as_str(),
        current: summary(change.current),
        comparison: summary(change.comparison),
        change_percent: (base != 0.0).then(|| (now - base) / base.abs() * 100.0),
    }
}
