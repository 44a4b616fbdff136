//! `/api/alerts`: what is raised now and was before, the rules, and acknowledging.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

mod channels;
mod files;
mod maintenance;
mod preview;
mod rules;
mod shown;
mod silences;

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Result, ValidationBody, WithBody};
use super::extract::{Body, ClientAddress, CurrentUser, LoggedIn};
use super::message::Message;
use super::parameters::{Parameters, Reader};
use crate::alerts::answer::silenced;
use crate::alerts::catalogue::{Origin, Over};
use crate::alerts::machine::Status;
use crate::alerts::rule::Severity;
use crate::auth::{Credential, Identity, audit};
use crate::snapshot::rfc3339;
use crate::store;
use crate::store::{from_micros, micros};
use shown::Shown;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
const MAX_NOTE: usize = 500;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(alerts))
        .routes(routes!(past_alerts))
        .routes(routes!(acknowledge))
        .merge(rules::routes())
        .merge(files::routes())
        .merge(silences::routes())
        .merge(maintenance::routes())
        .merge(preview::routes())
        .merge(channels::routes())
}

/// The `{name}` of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct Name {
    #[param(min_length = 1, max_length = 64)]
    name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        from_path(parts, state, "name").await
    }
}

/// The `{episode}` of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct EpisodeId {
    #[param(min_length = 1, max_length = 64)]
    episode: String,
}

impl<S: Send + Sync> FromRequestParts<S> for EpisodeId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        from_path(parts, state, "episode").await
    }
}

async fn from_path<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<T> {
    // PostgreSQL takes no text with a NUL.
    let is_text = !parts.uri.path().contains("%00");
    match Path::<T>::from_request_parts(parts, state).await {
        Ok(Path(found)) if is_text => Ok(found),
        _ => Err(Error::Invalid(vec![Problem::new(&["path", name], "Expected a name")])),
    }
}

/// Which machine of a fleet.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfHost {
    /// Only of this machine, by ID or name; default: of all that this hub evaluates
    #[param(required = false, value_type = String, example = "web1")]
    host: Option<String>,
}

/// What a rule says of one thing.
#[derive(Serialize, ToSchema)]
struct Alert {
    rule: String,
    /// The ID of the machine that it is about, and what people call it.
    host: String,
    host_name: String,
    /// Which thing; empty for the machine as a whole.
    labels: BTreeMap<String, String>,
    #[schema(value_type = AlertStatus)]
    state: Status,
    /// Of the raised alert.
    severity: Option<Severity>,
    summary: String,
    runbook: String,
    /// Of the rule's function; `null` if there is none, or it is infinite.
    value: Option<f64>,
    unit: &'static str,
    /// Since when it has this state.
    #[schema(format = DateTime)]
    since: String,
    /// Why there is no data.
    reason: Option<String>,
    /// The raised alert, also while there is no data.
    episode: Option<Episode>,
    /// It came and went so often that it stays until it has been quiet for half an hour.
    flapping: bool,
    /// The silence that applies to it.
    silenced_by: Option<i64>,
}

/// Names the states of a rule.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code)] // only its description is used
enum AlertStatus {
    Ok,
    Pending,
    Firing,
    NoData,
    NotApplicable,
}

/// From raising to clearing.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertEpisode)]
pub(super) struct Episode {
    id: String,
    /// The ID of the machine that it is about, and what people call it.
    host: String,
    host_name: String,
    rule: String,
    labels: BTreeMap<String, String>,
    /// The worst.
    #[schema(example = "warning")]
    severity: String,
    #[schema(format = DateTime)]
    raised_at: String,
    /// `null` while it is raised.
    #[schema(format = DateTime)]
    cleared_at: Option<String>,
    /// When it was raised.
    value: f64,
    peak: f64,
    flapping: bool,
    /// Why it was cleared, if not by its value.
    reason: Option<String>,
    acknowledged_by: Option<String>,
    #[schema(format = DateTime)]
    acknowledged_at: Option<String>,
    note: Option<String>,
}

impl Episode {
    fn of(episode: store::alerts::Episode, shown: &Shown) -> Self {
        let time = |at: i64| rfc3339(from_micros(at));
        Self {
            id: episode.id,
            host_name: shown.name(&episode.host).to_owned(),
            host: episode.host,
            rule: episode.rule,
            labels: serde_json::from_str(&episode.series).unwrap_or_default(),
            severity: episode.severity,
            raised_at: time(episode.raised_at),
            cleared_at: episode.cleared_at.map(time),
            value: episode.value,
            peak: episode.peak,
            flapping: episode.flapping,
            reason: episode.reason,
            acknowledged_by: episode.acknowledged_by,
            acknowledged_at: episode.acknowledged_at.map(time),
            note: episode.note,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct CurrentAlerts {
    /// Firing or pending, or without data though raised; the worst first.
    alerts: Vec<Alert>,
    /// Whether the caller may acknowledge them.
    may_acknowledge: bool,
    /// They are of the hosts of a fleet.
    is_fleet: bool,
    /// Of a hub: the name of the one that evaluates alerts; `null` if none does.
    #[schema(example = "hub1")]
    evaluated_by: Option<String>,
}

/// What is firing and pending now
#[utoipa::path(get, path = "/api/alerts", tag = "alerts", params(OfHost), responses(
    (status = 200, body = CurrentAlerts),
    (status = 400, description = "There is no such host", body = ErrorBody),
    Guarded,
))]
async fn alerts(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<OfHost>,
) -> Result<Json<CurrentAlerts>> {
    let shown = Shown::of(&state, &identity, sent.host.as_deref()).await?;
    let now = micros(OffsetDateTime::now_utc());
    let silences = state.store.silences(now).await?;
    let open = state.store.open_episodes(&shown.ids()).await?;
    let mut open: HashMap<String, store::alerts::Episode> =
        open.into_iter().map(|episode| (episode.id.clone(), episode)).collect();
    let wanted = |status: Status, is_raised| is_raised || matches!(status, Status::Firing | Status::Pending);
    let mut alerts: Vec<Alert> = Vec::new();
    for current in state.alerts.current(|host| shown.has(host), wanted) {
        // What was raised just now may not be stored yet.
        let episode = current.episode.as_ref().and_then(|id| open.remove(id));
        let mut episode = episode.map(|episode| Episode::of(episode, &shown));
        if let (Some(episode), Some(raised)) = (&mut episode, &current.raised) {
            // The store has the peak only from time to time.
            episode.peak = raised.peak;
        }
        alerts.push(Alert {
            rule: current.rule.name.clone(),
            silenced_by: silenced(&silences, &current.rule.name, &current.labels, current.whose())
                .map(|silence| silence.id),
            host_name: shown.name(&current.host).to_owned(),
            host: current.host,
            labels: current.labels,
            state: current.status,
            severity: current.raised.as_ref().map(|raised| raised.severity),
            summary: current.summary,
            runbook: current.rule.runbook.clone(),
            value: current.value,
            unit: current.unit,
            since: rfc3339(from_micros(current.since)),
            reason: current.reason.as_deref().map(str::to_owned),
            episode,
            flapping: current.raised.is_some_and(|raised| raised.flapping),
        });
    }
    alerts.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.since.cmp(&b.since)));
    Ok(Json(CurrentAlerts {
        alerts,
        may_acknowledge: may_acknowledge(&identity, &state),
        is_fleet: state.alerts.over() == Over::Fleet,
        evaluated_by: state.alerts.duty().holder().map(|(name, _)| name),
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HistoryParameters {
    /// Only of this machine, by ID or name; default: of all that this hub evaluates
    #[param(required = false, value_type = String, example = "web1")]
    host: Option<String>,
    /// Only this rule
    #[param(required = false, value_type = String, max_length = 64)]
    rule: Option<String>,
    /// Only alerts raised before this time; RFC 3339, a date, or seconds since 1970
    #[param(required = false, value_type = String, min_length = 4)]
    before: Option<String>,
    /// Maximum number of alerts
    #[param(required = false, value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct PastAlerts {
    /// The newest first; open ones are among them.
    episodes: Vec<Episode>,
}

/// What was raised, newest first
#[utoipa::path(get, path = "/api/alerts/history", tag = "alerts", params(HistoryParameters), responses(
    (status = 200, body = PastAlerts),
    (status = 400, description = "There is no such host", body = ErrorBody),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    Guarded,
))]
async fn past_alerts(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<HistoryParameters>,
) -> Result<Json<PastAlerts>> {
    let mut reader = Reader::default();
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    let before = reader.moment("before", sent.before.as_deref()).map_or(i64::MAX, micros);
    if sent.rule.as_deref().is_some_and(|rule| rule.chars().count() > 64 || rule.contains('\0')) {
        reader.problem("rule", "Expected the name of a rule");
    }
    reader.finish()?;
    let shown = Shown::of(&state, &identity, sent.host.as_deref()).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let episodes = state.store.episodes(&shown.ids(), sent.rule.as_deref(), before, limit).await?;
    Ok(Json(PastAlerts {
        episodes: episodes.into_iter().map(|episode| Episode::of(episode, &shown)).collect(),
    }))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = AlertAcknowledgement)]
struct Given {
    #[schema(max_length = 500)]
    note: Option<String>,
}

fn may_acknowledge(identity: &Identity, state: &AppState) -> bool {
    let is_login = matches!(identity.credential, Credential::Login(_));
    is_login && (identity.is_admin() || state.options.viewers_acknowledge)
}

/// Acknowledge a raised alert
///
/// Administrators may, and viewers if `PERFWATCH_ALERT_VIEWERS_ACKNOWLEDGE` is set.
#[utoipa::path(post, path = "/api/alerts/{episode}/acknowledge", tag = "alerts", params(EpisodeId), request_body = Given,
    responses(
        (status = 200, body = Message),
        (status = 404, description = "There is no such alert", body = ErrorBody),
        (status = 409, description = "It is over, or acknowledged already", body = ErrorBody),
        Guarded, WithBody,
    )
)]
async fn acknowledge(
    LoggedIn(identity): LoggedIn,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    EpisodeId { episode: id }: EpisodeId,
    Body(given): Body<Given>,
) -> Result<Json<Message>> {
    if !may_acknowledge(&identity, &state) {
        return Err(Error::Forbidden("Administrator rights required"));
    }
    let note = given.note.as_deref().map(str::trim).filter(|note| !note.is_empty());
    if let Some(note) = note {
        check_text("note", note, MAX_NOTE)?;
    }
    let user = &identity.user.username;
    let now = micros(OffsetDateTime::now_utc());
    let shown = Shown::of(&state, &identity, None).await?;
    let episode = state.store.episode(&shown.ids(), &id).await?.ok_or(Error::NotFound)?;
    if !state.alerts.acknowledge(&episode, shown.name(&episode.host), user, note, now).await? {
        return Err(Error::Conflict("It is over, or somebody has acknowledged it already".into()));
    }
    let detail = format!("{} {} {}", episode.rule, episode.series, note.unwrap_or_default());
    state.auth.audit(user, address, audit::ALERT_ACKNOWLEDGED, detail.trim_end()).await;
    Ok(Json(Message { message: "Alert acknowledged" }))
}

/// One line for people.
fn check_text(name: &str, text: &str, most: usize) -> Result<()> {
    if text.chars().count() <= most && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let msg = format!("Expected one line of at most {most} characters");
    Err(Error::Invalid(vec![Problem::new(&["body", name], msg)]))
}

/// Rules of files change there only.
fn locked(state: &AppState, name: &str) -> Result<()> {
    let catalogue = state.alerts.catalogue();
    match catalogue.find(name).map(|listed| &listed.origin) {
        Some(Origin::File(path, line)) => {
            Err(Error::Conflict(format!("{name} is set in {}, line {line}; change it there", path.display())))
        }
        _ => Ok(()),
    }
}
