//! Which functions ran more, or less, of the time in one range than in another.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{FunctionDto, MAX_NODES, StacksParameters, named, span};
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use crate::api::extract::CurrentUser;
use crate::api::history::compare::{Chosen, RangesParameters, choose};
use crate::api::parameters::{Parameters, Reader};
use crate::api::questions::json_in_pieces;
use crate::history::questions::compare::Range;
use crate::profiles::archive::{Archive, Covered};
use crate::profiles::compare::{Change, compare};
use crate::profiles::flame::{Flame, Side};
use crate::snapshot::rfc3339;
use crate::store::from_micros;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(compare_profiles))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ComparisonParameters {
    /// Maximum number of changes
    #[param(required = false, value_type = usize, minimum = 1, maximum = 10000, default = 100)]
    limit: Option<String>,
}

/// Both ranges in one tree. A share is of all that was sampled in its range, so that ranges of unequal load compare.
#[derive(Serialize, ToSchema)]
struct ProfileComparison {
    kind: &'static str,
    current: SideDto,
    comparison: SideDto,
    functions: Vec<FunctionDto>,
    nodes: ComparedNodes,
    /// Those that chance does not explain first; each group by how much its own share moved.
    changes: Vec<FunctionChange>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ProfileRange)]
struct SideDto {
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    end_time: String,
    /// Start of the first minute, hour or day that anything is known of; `null` without data.
    #[schema(format = DateTime)]
    from: Option<String>,
    #[schema(format = DateTime)]
    to: Option<String>,
    /// The coarsest that was read: 60, 3600 or 86400; 0 without data.
    resolution_seconds: i64,
    /// ns.
    total: u64,
    samples: u64,
}

/// Columns; node 0 is the root, and parents come before their children.
#[derive(Serialize, ToSchema)]
struct ComparedNodes {
    parent: Vec<u32>,
    /// Place in `functions`; -1 for the root.
    function: Vec<i64>,
    /// ns in the current range, without what it calls.
    #[serde(rename = "self")]
    own: Vec<u64>,
    /// ns in the other.
    comparison_self: Vec<u64>,
}

/// A function's shares, from 0 to 1.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct FunctionChange {
    /// Place in `functions`.
    function: u32,
    /// Without what it calls.
    self_share: f64,
    comparison_self_share: f64,
    /// With what it calls.
    total_share: f64,
    comparison_total_share: f64,
    /// How far the shares are apart, in standard errors of what so many samples can tell; negative for less than before.
    significance: f64,
    /// Whether chance does not explain it, and it is at least half a percent of all.
    is_significant: bool,
}

/// Which functions ran, or waited, more or less of the time than before
#[utoipa::path(get, path = "/api/profiles/compare", tag = "profiles", params(StacksParameters, RangesParameters, ComparisonParameters), responses(
    (status = 200, body = ProfileComparison),
    (status = 400, description = "Ranges that don't fit", body = ErrorBody),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn compare_profiles(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(stacks): Parameters<StacksParameters>,
    Parameters(ranges): Parameters<RangesParameters>,
    Parameters(sent): Parameters<ComparisonParameters>,
) -> Result<Response> {
    let mut reader = Reader::default();
    let host = stacks.host.clone();
    let (kind, filter) = stacks.read(&mut reader);
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    let chosen = choose(&ranges, &mut reader, OffsetDateTime::now_utc());
    reader.finish()?;
    let Chosen { current, comparison, .. } = chosen?;
    let question = state.ask(&identity)?;
    let archive = state.profiles.of(&state.history_of(&identity, host.as_deref()).await?);
    let other = state.history_of(&identity, ranges.other(host.as_deref())).await?;
    let other = state.profiles.of(&other);
    let read = async move {
        let sides = [(&archive, span(current)), (&other, span(comparison))];
        let (flame, covered) = Archive::flame_of_both(sides, kind, &filter, MAX_NODES).await?;
        let changes = compare(&flame);
        Ok((covered, flame, changes))
    };
    let (covered, flame, mut changes) = question.work(read).await?;
    changes.truncate(limit);
    let side = |side: Side, range: Range| described(&flame, side, range, covered[side as usize]);
    let own = |side: Side| flame.own.iter().map(|own| own[side as usize].value).collect();
    let answer = ProfileComparison {
        kind: kind.as_str(),
        current: side(Side::Current, current),
        comparison: side(Side::Comparison, comparison),
        functions: flame.functions.iter().map(named).collect(),
        nodes: ComparedNodes {
            parent: flame.nodes.iter().map(|node| node.parent).collect(),
            function: flame.nodes.iter().map(|node| node.frame.map_or(-1, i64::from)).collect(),
            own: own(Side::Current),
            comparison_self: own(Side::Comparison),
        },
        changes: changes.into_iter().map(change).collect(),
    };
    let json = serde_json::to_vec(&answer).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(json_in_pieces(json))
}

fn described(flame: &Flame, side: Side, range: Range, covered: Covered) -> SideDto {
    let total = flame.total(side);
    SideDto {
        start_time: rfc3339(range.start),
        end_time: rfc3339(range.end),
        from: covered.span.map(|(from, _)| rfc3339(from_micros(from))),
        to: covered.span.map(|(_, to)| rfc3339(from_micros(to))),
        resolution_seconds: covered.resolution,
        total: total.value,
        samples: total.samples,
    }
}

fn change(change: Change) -> FunctionChange {
    let round = |share: f64| (share * 1e6).round() / 1e6;
    FunctionChange {
        function: change.function,
        self_share: round(change.own[0]),
        comparison_self_share: round(change.own[1]),
        total_share: round(change.total[0]),
        comparison_total_share: round(change.total[1]),
        significance: (change.significance * 10.0).round() / 10.0,
        is_significant: change.is_significant,
    }
}
