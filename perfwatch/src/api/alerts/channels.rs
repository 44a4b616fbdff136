//! `/api/alerts/channels`: where alerts are told.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Name;
use crate::alerts::channel::check::problems;
use crate::alerts::channel::{Channel, Secrets};
use crate::alerts::channels::{Health, Listed, MAX_STORED, Origin};
use crate::alerts::delivery::test;
use crate::alerts::send::http::host_of;
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Problem, Result, ValidationBody, WithBody};
use crate::api::extract::{Administrator, Body, ClientAddress, told};
use crate::api::message::Message;
use crate::auth::audit;
use crate::snapshot::rfc3339;
use crate::store::{from_micros, micros};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(channels))
        .routes(routes!(put_channel, delete_channel))
        .routes(routes!(test_channel))
}

/// A channel without its secrets, where it comes from, and how it is doing.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedAlertChannel)]
struct ChannelDto {
    #[serde(flatten)]
    channel: Channel,
    /// The secrets that it has: `url`, `token`, `key`, `password`.
    secrets: Vec<&'static str>,
    /// Of the URL, only scheme, host and port; empty for a kind's own.
    #[schema(example = "https://hooks.example.org")]
    destination: String,
    /// `settings`, `file` (both locked here) or `api`.
    #[schema(example = "api")]
    origin: &'static str,
    /// Of a file: its path and line.
    place: Option<String>,
    /// Of a channel made here.
    updated_by: Option<String>,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
    /// Why the last message could not be delivered.
    failing: Option<String>,
    /// When something was delivered last, since the server started.
    #[schema(format = DateTime)]
    delivered_at: Option<String>,
    /// Its limit is reached: what follows is told together.
    is_held: bool,
    /// What is wrong with it.
    problems: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct AlertChannels {
    /// By name.
    channels: Vec<ChannelDto>,
}

/// All channels, without their secrets
#[utoipa::path(get, path = "/api/alerts/channels", tag = "alerts", responses((status = 200, body = AlertChannels), Guarded))]
async fn channels(_: Administrator, State(state): State<AppState>) -> Result<Json<AlertChannels>> {
    let listed = listed(&state).await?;
    let health = state.alerts.channels().health().clone();
    let channels = listed.iter().map(|of| dto(of, health.get(&of.channel.name)));
    Ok(Json(AlertChannels { channels: channels.collect() }))
}

async fn listed(state: &AppState) -> Result<std::sync::Arc<Vec<Listed>>> {
    if state.alerts.channels().listed().is_none() {
        state.alerts.reload_channels().await?;
    }
    Ok(state.alerts.channels().listed().unwrap_or_default())
}

fn dto(of: &Listed, health: Option<&Health>) -> ChannelDto {
    let (origin, place, by) = match &of.origin {
        Origin::Settings => ("settings", None, None),
        Origin::File(path, line) => ("file", Some(format!("{}:{line}", path.display())), None),
        Origin::Stored(by, at) => ("api", None, Some((by.clone(), rfc3339(from_micros(*at))))),
    };
    let (updated_by, updated_at) = by.unzip();
    let health = health.cloned().unwrap_or_default();
    ChannelDto {
        channel: of.channel.clone(),
        secrets: of.secrets.named().map(|(name, _)| name).collect(),
        destination: of.secrets.get("url").map(host_of).unwrap_or_default(),
        origin,
        place,
        updated_by,
        updated_at,
        failing: health.failing,
        delivered_at: health.delivered_at.map(|at| rfc3339(from_micros(at))),
        is_held: health.is_held,
        problems: of.problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect(),
    }
}

/// A channel from a body, with the secrets that it has then.
fn parse(value: &serde_json::Value, known: Option<&Listed>) -> Result<(Channel, Secrets)> {
    let invalid = |key: &str, msg: String| {
        let loc =
            ["body", key].into_iter().filter(|part| !part.is_empty() && *part != ".").map(str::to_owned);
        Problem { loc: loc.collect(), msg }
    };
    // What does not fit is not repeated: it may be a secret.
    let mut channel: Channel = serde_path_to_error::deserialize(value).map_err(|error| {
        let key = error.path().to_string();
        let text = error.inner().to_string();
        let msg = match text.rsplit_once(", expected ") {
            Some((_, expected)) => format!("Expected {expected}"),
            None => text,
        };
        Error::Invalid(vec![invalid(&key, msg)])
    })?;
    if let Some((key, _)) = channel.secret_files().next() {
        let msg = "Only files of channels may name files; give the secret itself".to_owned();
        return Err(Error::Invalid(vec![invalid(&format!("{key}_file"), msg)]));
    }
    let given = channel.take_secrets();
    // With another URL, secrets that were given for this one would go to whoever is there.
    let kept = known.filter(|known| given.url.is_none() && known.channel.kind == channel.kind);
    let secrets = given.or(kept.map(|known| known.secrets.clone()).unwrap_or_default());
    let found = problems(&channel, &secrets);
    if !found.is_empty() {
        return Err(Error::Invalid(
            found.into_iter().map(|problem| invalid(problem.key, problem.message)).collect(),
        ));
    }
    Ok((channel, secrets))
}

fn locked(of: Option<&Listed>) -> Result<()> {
    match of.map(|of| (&of.origin, &of.channel.name)) {
        Some((Origin::File(path, line), name)) => {
            Err(Error::Conflict(format!("{name} is set in {}, line {line}; change it there", path.display())))
        }
        Some((Origin::Settings, name)) => {
            Err(Error::Conflict(format!("{name} is one of the server's settings; change it there")))
        }
        _ => Ok(()),
    }
}

/// Make or replace a channel
///
/// A secret that is not given keeps its value, if `kind` stays the same and no `url` is given either.
#[utoipa::path(put, path = "/api/alerts/channels/{name}", tag = "alerts", params(Name), request_body = Channel, responses(
    (status = 200, description = "Replaced", body = ChannelDto),
    (status = 201, description = "Made", body = ChannelDto),
    (status = 409, description = "A file or setting defines it, or there are too many", body = ErrorBody),
    Guarded, WithBody,
))]
async fn put_channel(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Name { name }: Name,
    Body(given): Body<serde_json::Value>,
) -> Result<(StatusCode, Json<ChannelDto>)> {
    let _turn = state.changing().await;
    let all = listed(&state).await?;
    let known = all.iter().find(|of| of.channel.name == name);
    let (channel, secrets) = parse(&given, known.filter(|of| matches!(of.origin, Origin::Stored(..))))?;
    if channel.name != name {
        return Err(Error::Invalid(vec![Problem::new(&["body", "name"], "Expected the name in the path")]));
    }
    locked(known)?;
    let stored = state.store.alert_channels().await?;
    let is_new = !stored.iter().any(|stored| stored.name == name);
    if is_new && stored.len() >= MAX_STORED {
        return Err(Error::Conflict(format!("There are {MAX_STORED} channels already; delete some first")));
    }
    let user = &identity.user.username;
    let at = micros(OffsetDateTime::now_utc());
    let sealed = state.alerts.channels().sealed(&channel, &secrets, user, at);
    let sealed = sealed.ok_or_else(|| Error::Internal("a channel's secrets cannot be sealed".into()))?;
    state.store.put_alert_channel(&sealed).await?;
    state.alerts.reload_channels().await?;
    state.auth.audit(user, address, audit::ALERT_CHANNEL_CHANGED, &told(&channel)).await;
    let all = listed(&state).await?;
    let of = all.iter().find(|of| of.channel.name == name).ok_or(Error::NotFound)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(dto(of, None))))
}

/// Delete a channel made here; what it was still to be told is forgotten
#[utoipa::path(delete, path = "/api/alerts/channels/{name}", tag = "alerts", params(Name), responses(
    (status = 200, body = Message),
    (status = 404, description = "There is no such channel", body = ErrorBody),
    (status = 409, description = "A file or setting defines it", body = ErrorBody),
    (status = 422, description = "It is no name", body = ValidationBody),
    Guarded,
))]
async fn delete_channel(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Name { name }: Name,
) -> Result<Json<Message>> {
    let _turn = state.changing().await;
    let all = listed(&state).await?;
    locked(all.iter().find(|of| of.channel.name == name))?;
    if !state.store.delete_alert_channel(&name).await? {
        return Err(Error::NotFound);
    }
    state.alerts.reload_channels().await?;
    state.auth.audit(&identity.user.username, address, audit::ALERT_CHANNEL_DELETED, &name).await;
    Ok(Json(Message { message: "Channel deleted" }))
}

/// How a test went.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertChannelTest)]
struct Tested {
    delivered: bool,
    /// What was said: `>` by us, `<` by the receiver, `!` what went wrong; secrets are masked.
    conversation: Vec<String>,
}

/// Send a test message, and tell the whole conversation
#[utoipa::path(post, path = "/api/alerts/channels/{name}/test", tag = "alerts", params(Name), responses(
    (status = 200, body = Tested),
    (status = 404, description = "There is no such channel", body = ErrorBody),
    (status = 409, description = "It cannot be used, or another test is running", body = ErrorBody),
    (status = 422, description = "It is no name", body = ValidationBody),
    Guarded,
))]
async fn test_channel(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Name { name }: Name,
) -> Result<Json<Tested>> {
    // One at a time: a test may wait for its receiver.
    let Some(_testing) = state.alerts.channels().testing() else {
        return Err(Error::Conflict("Another test is running; wait for it to end".into()));
    };
    let all = listed(&state).await?;
    let of = all.iter().find(|of| of.channel.name == name).ok_or(Error::NotFound)?;
    if let Some(problem) = of.problems.first() {
        return Err(Error::Conflict(format!("{name} cannot be used: {}: {}", problem.key, problem.message)));
    }
    let tested = test::run(&state.alerts, of).await;
    let detail = format!("{name}: {}", if tested.is_delivered { "delivered" } else { "not delivered" });
    state.auth.audit(&identity.user.username, address, audit::ALERT_CHANNEL_TESTED, &detail).await;
    Ok(Json(Tested { delivered: tested.is_delivered, conversation: tested.conversation }))
}
