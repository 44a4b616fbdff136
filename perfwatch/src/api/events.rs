//! `/api/events`: what people and scripts have noted of the machine, such as deployments.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

mod rate;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, Guarded, Problem, Result, ValidationBody, WithBody};
use super::extract::{Body, CurrentUser, Noter};
use super::moment;
use super::parameters::{Parameters, Reader};
use crate::snapshot::rfc3339;
use crate::store::marks::Mark;
pub(super) use rate::Rate;

const MAX_TEXT_CHARS: usize = 500;
const MAX_LABELS: usize = 16;
const MAX_LABEL_CHARS: usize = 200;
const DEFAULT_LIMIT: usize = 1000;
const MAX_LIMIT: usize = 10_000;
/// Events kept of a machine.
const MAX_EVENTS: i64 = 10_000;
/// Clocks differ a little.
const FUTURE: Duration = Duration::minutes(5);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(events, note_event))
}

/// An event as charts and explanations show it.
#[derive(Serialize, ToSchema)]
pub(super) struct EventDto {
    pub id: i64,
    #[schema(example = "mark")]
    kind: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    #[schema(example = "Deployed shop 1.42")]
    text: String,
    #[schema(example = json!({"version": "1.42"}))]
    labels: BTreeMap<String, String>,
    /// Whose account or API token noted it.
    username: String,
}

impl From<Mark> for EventDto {
    fn from(mark: Mark) -> Self {
        Self {
            id: mark.id,
            kind: "mark",
            timestamp: rfc3339(mark.at),
            text: mark.text,
            // Only `note_event` writes them.
            labels: serde_json::from_str(&mark.labels).unwrap_or_default(),
            username: mark.username,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Events {
    /// Oldest first.
    events: Vec<EventDto>,
    /// There are more; these are the newest.
    truncated: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventsParameters {
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// Maximum number of events
    #[param(required = false, value_type = usize, minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

/// What was noted in a range
#[utoipa::path(get, path = "/api/events", tag = "events", params(EventsParameters), responses(
    (status = 200, body = Events),
    (status = 400, description = "No history of this host", body = super::error::ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded,
))]
async fn events(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<EventsParameters>,
) -> Result<Json<Events>> {
    let mut reader = Reader::default();
    let start = reader.required_moment("start_time", sent.start_time.as_deref());
    let end = reader.required_moment("end_time", sent.end_time.as_deref());
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    reader.finish()?;
    let (Some(start), Some(end)) = (start, end) else {
        // Anything missing is among the problems above.
        return Err(Error::Invalid(Vec::new()));
    };
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut found = state.store.marks(history.host(), start, end, wanted).await?;
    let truncated = found.len() > limit;
    if truncated {
        found.remove(0);
    }
    Ok(Json(Events { events: found.into_iter().map(EventDto::from).collect(), truncated }))
}

#[derive(Deserialize, ToSchema)]
struct NewEvent {
    #[schema(min_length = 1, max_length = 500, example = "Deployed shop 1.42")]
    text: String,
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; default: now. Not in the future.
    #[schema(example = "2026-01-02T03:00:00Z")]
    time: Option<String>,
    /// Up to 16, each name and value with up to 200 characters.
    #[schema(example = json!({"version": "1.42"}))]
    labels: Option<BTreeMap<String, String>>,
}

impl NewEvent {
    /// The mark, or everything that is wrong.
    fn check(self, username: &str, now: OffsetDateTime) -> std::result::Result<Mark, Vec<Problem>> {
        let mut problems = Vec::new();
        let text = self.text.trim();
        if !(1..=MAX_TEXT_CHARS).contains(&text.chars().count()) || text.contains(char::is_control) {
            problems.push(Problem::new(&["body", "text"], "Expected 1 to 500 characters in one line"));
        }
        let at = match self.time.as_deref() {
            None => Some(now),
            Some(time) => moment::parse(time),
        };
        match at {
            None => {
                let msg = "Expected a time: RFC 3339, a date, or seconds since 1970";
                problems.push(Problem::new(&["body", "time"], msg));
            }
            Some(at) if at - now > FUTURE => {
                problems.push(Problem::new(&["body", "time"], "This time is in the future"));
            }
            Some(_) => {}
        }
        let labels = self.labels.unwrap_or_default();
        let fits = |text: &str| text.chars().count() <= MAX_LABEL_CHARS && !text.contains(char::is_control);
        let are_fit = labels.iter().all(|(name, value)| !name.is_empty() && fits(name) && fits(value));
        if labels.len() > MAX_LABELS || !are_fit {
            let msg =
                "Expected at most 16 labels, each name and value with at most 200 characters in one line";
            problems.push(Problem::new(&["body", "labels"], msg));
        }
        match (at, problems.is_empty()) {
            (Some(at), true) => Ok(Mark {
                id: 0,
                at: at.truncate_to_microsecond(),
                username: username.to_owned(),
                text: text.to_owned(),
                labels: serde_json::to_string(&labels).unwrap_or_else(|_| "{}".to_owned()),
            }),
            _ => Err(problems),
        }
    }
}

/// Note an event, such as a deployment; for administrators and API tokens with the scope `events`
#[utoipa::path(post, path = "/api/events", tag = "events", request_body = NewEvent, responses(
    (status = 201, description = "Noted", body = EventDto),
    (status = 429, description = "Too many events of this account; `retry-after` says when to try again", body = super::error::ErrorBody),
    Guarded, WithBody,
))]
async fn note_event(
    Noter(identity): Noter,
    State(state): State<AppState>,
    Body(new): Body<NewEvent>,
) -> Result<(StatusCode, Json<EventDto>)> {
    let user = &identity.user;
    let mut mark = new.check(&user.username, OffsetDateTime::now_utc()).map_err(Error::Invalid)?;
    state.0.event_rate.admit(user.id).map_err(Error::TooManyEvents)?;
    mark.id = state.store.add_mark(state.history.host(), &mark, MAX_EVENTS).await?;
    Ok((StatusCode::CREATED, Json(mark.into())))
}
