//! `/api/alerts/preview`: when a rule would have been raised.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rules::parse;
use super::{AlertStatus, Episode};
use crate::alerts::machine::Status;
use crate::alerts::preview;
use crate::alerts::rule::Rule;
use crate::api::AppState;
use crate::api::error::{Error, Guarded, Problem, Queued, Result, WithBody};
use crate::api::extract::{Body, CurrentUser};
use crate::snapshot::rfc3339;
use crate::store::{from_micros, micros};

const DAY: i64 = 86_400_000_000;
const DEFAULT_DAYS: i64 = 30;
const MAX_DAYS: i64 = 365;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(preview))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = AlertPreviewRequest)]
struct Asked {
    #[schema(value_type = Rule)]
    rule: serde_json::Value,
    /// How many days, up to now; default: 30.
    #[schema(minimum = 1, maximum = 365)]
    days: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AlertPreview)]
struct Preview {
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    end_time: String,
    /// Resolution: the steps at which the rule was evaluated.
    #[schema(example = "5m")]
    interval: &'static str,
    /// How often it would have been raised, for all things together.
    raised: usize,
    /// How long at least one would have been firing.
    firing_seconds: i64,
    /// The first 500, in time order; the last may not be cleared yet.
    episodes: Vec<Episode>,
    /// Things that it is about.
    things: usize,
    /// Whether anything is stored of that time.
    has_data: bool,
    /// The state at the end, and why, if there was nothing to evaluate.
    #[schema(value_type = Option<AlertStatus>)]
    state: Option<Status>,
    reason: Option<String>,
}

/// Run a rule over stored history: when it would have been raised, how often, and for how long
#[utoipa::path(post, path = "/api/alerts/preview", tag = "alerts", request_body = Asked, responses(
    (status = 200, body = Preview), Guarded, Queued, WithBody,
))]
async fn preview(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Body(asked): Body<Asked>,
) -> Result<Json<Preview>> {
    let days = asked.days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        let msg = format!("Expected a number from 1 to {MAX_DAYS}");
        return Err(Error::Invalid(vec![Problem::new(&["body", "days"], msg)]));
    }
    let (rule, compiled) = parse(&asked.rule, &["rule"], state.alerts.retention().await?)?;
    let question = state.ask(&identity)?;
    let history = state.history.clone();
    let to = micros(OffsetDateTime::now_utc());
    let from = to - days * DAY;
    let work = async move { Ok(preview::run(&history, &rule, &compiled, from, to).await?) };
    let found = question.work(work).await?;
    let (note, reason) = found.note.unzip();
    Ok(Json(Preview {
        start_time: rfc3339(from_micros(from)),
        end_time: rfc3339(from_micros(to)),
        interval: found.interval.as_str(),
        raised: found.raised,
        firing_seconds: found.firing / 1_000_000,
        episodes: found.episodes.into_iter().map(Episode::from).collect(),
        things: found.things,
        has_data: found.has_data,
        state: note,
        reason: reason.as_deref().map(str::to_owned),
    }))
}
