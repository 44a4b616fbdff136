//! `/api/alerts/preview`: when a rule would have been raised.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rules::parse;
use super::shown::Shown;
use super::{AlertStatus, Episode, OfHost};
use crate::alerts::courses;
use crate::alerts::machine::Status;
use crate::alerts::period::Period;
use crate::alerts::preview;
use crate::alerts::rule::Rule;
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Problem, Queued, Result, WithBody};
use crate::api::extract::{Body, CurrentUser};
use crate::api::parameters::Parameters;
use crate::snapshot::rfc3339;
use crate::store::{from_micros, micros};

const DEFAULT_RANGE: Period = Period::seconds(30 * 86_400);
const MIN_RANGE: Period = Period::seconds(60);
const MAX_RANGE: Period = Period::seconds(365 * 86_400);
/// Machines of a fleet that a rule is tried on.
const MAX_HOSTS: usize = 20;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(preview))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = AlertPreviewRequest)]
struct Asked {
    #[schema(value_type = Rule)]
    rule: serde_json::Value,
    /// How far back from now, 1m to 365d; default: 30d.
    #[schema(example = "7d")]
    range: Option<String>,
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
    /// Machines that it was tried on; of a hub, at most 20 of those that were asked for (`is_cut`).
    hosts: usize,
    is_cut: bool,
    /// How long at least one would have been firing; of several machines, all their times together.
    firing_seconds: i64,
    /// The first 500, in time order; the last may not be cleared yet.
    episodes: Vec<Episode>,
    /// What the rule would have seen: of the six things that come nearest to being raised, the worst first.
    courses: Vec<Course>,
    /// Time between two of their values.
    spacing_seconds: i64,
    /// Of the values.
    unit: &'static str,
    /// Things that it is about.
    things: usize,
    /// Whether anything is stored of that time.
    has_data: bool,
    /// The state at the end, and why, if there was nothing to evaluate.
    #[schema(value_type = Option<AlertStatus>)]
    state: Option<Status>,
    reason: Option<String>,
}

/// The values of a rule's function for one thing.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertCourse)]
struct Course {
    /// The ID of the machine, and what people call it.
    host: String,
    host_name: String,
    labels: BTreeMap<String, String>,
    /// From the start on, of each stretch the worst; `null` where there is none, or it is infinite.
    values: Vec<Option<f64>>,
}

impl Course {
    fn of(course: courses::Course, shown: &Shown) -> Self {
        let host_name = shown.name(&course.host).to_owned();
        Self { host: course.host, host_name, labels: course.labels, values: course.values }
    }
}

/// Run a rule over stored history: when it would have been raised, how often, and for how long
#[utoipa::path(post, path = "/api/alerts/preview", tag = "alerts", params(OfHost), request_body = Asked, responses(
    (status = 200, body = Preview),
    (status = 400, description = "There is no such host", body = ErrorBody),
    Guarded, Queued, WithBody,
))]
async fn preview(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<OfHost>,
    Body(asked): Body<Asked>,
) -> Result<Json<Preview>> {
    let range = match asked.range.as_deref().map(str::parse::<Period>) {
        None => DEFAULT_RANGE,
        Some(Ok(range)) if (MIN_RANGE..=MAX_RANGE).contains(&range) => range,
        Some(_) => {
            let msg = format!("Expected a length of time from {MIN_RANGE} to {MAX_RANGE}, such as 7d");
            return Err(Error::Invalid(vec![Problem::new(&["body", "range"], msg)]));
        }
    };
    let (rule, compiled) = parse(&asked.rule, &["rule"], state.alerts.retention().await?)?;
    let question = state.ask(&identity)?;
    let shown = Shown::of(&state, &identity, sent.host.as_deref()).await?;
    let mut hosts = shown.ids();
    if hosts.is_empty() {
        return Err(Error::BadRequest("No history of this host".into()));
    }
    let is_cut = hosts.len() > MAX_HOSTS;
    hosts.truncate(MAX_HOSTS);
    let histories: Vec<_> = hosts.iter().map(|host| state.alerts.history().of_host(host)).collect();
    let to = micros(OffsetDateTime::now_utc());
    let (from, unit) = (to - range.micros(), compiled.unit);
    let work = async move { Ok(preview::run_over(&histories, &rule, &compiled, from, to).await?) };
    let found = question.work(work).await?;
    let (note, reason) = found.note.unzip();
    Ok(Json(Preview {
        start_time: rfc3339(from_micros(from)),
        end_time: rfc3339(from_micros(to)),
        interval: found.interval.as_str(),
        raised: found.raised,
        firing_seconds: found.firing / 1_000_000,
        episodes: found.episodes.into_iter().map(|episode| Episode::of(episode, &shown)).collect(),
        hosts: hosts.len(),
        is_cut,
        courses: found.courses.into_iter().map(|course| Course::of(course, &shown)).collect(),
        spacing_seconds: found.spacing / 1_000_000,
        unit,
        things: found.things,
        has_data: found.has_data,
        state: note,
        reason: reason.as_deref().map(str::to_owned),
    }))
}
