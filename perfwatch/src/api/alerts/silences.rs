//! `/api/alerts/silences`: no notifications of some alerts for some time.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check_text;
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody, WithId};
use crate::api::extract::{Administrator, Body, ClientAddress, CurrentUser, told};
use crate::api::message::Message;
use crate::api::moment;
use crate::api::parameters::Id;
use crate::auth::audit;
use crate::snapshot::rfc3339;
use crate::store;
use crate::store::{from_micros, micros};

const MAX_SILENCES: usize = 200;
const MAX_LABELS: usize = 10;
const MAX_REASON: usize = 500;
const MAX_PATTERN: usize = 200;
const MAX_LENGTH: Duration = Duration::days(366);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(silences, add_silence)).routes(routes!(end_silence))
}

#[derive(Serialize, ToSchema)]
#[schema(as = AlertSilence)]
struct Silence {
    id: i64,
    /// A pattern for names of rules; `null` for all.
    rule: Option<String>,
    /// Patterns by label.
    labels: BTreeMap<String, String>,
    author: String,
    reason: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    ends_at: String,
}

impl From<store::alerts::Silence> for Silence {
    fn from(silence: store::alerts::Silence) -> Self {
        Self {
            id: silence.id,
            rule: silence.rule,
            labels: serde_json::from_str(&silence.labels).unwrap_or_default(),
            author: silence.author,
            reason: silence.reason,
            created_at: rfc3339(from_micros(silence.created_at)),
            ends_at: rfc3339(from_micros(silence.ends_at)),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct AlertSilences {
    silences: Vec<Silence>,
}

/// Silences that have not ended
#[utoipa::path(get, path = "/api/alerts/silences", tag = "alerts", responses((status = 200, body = AlertSilences), Guarded))]
async fn silences(_: CurrentUser, State(state): State<AppState>) -> Result<Json<AlertSilences>> {
    let silences = state.store.silences(micros(OffsetDateTime::now_utc())).await?;
    Ok(Json(AlertSilences { silences: silences.into_iter().map(Silence::from).collect() }))
}

#[derive(Serialize, Deserialize, ToSchema)]
struct NewAlertSilence {
    /// A name or pattern such as `disk-*`; all rules if missing.
    #[schema(max_length = 200)]
    rule: Option<String>,
    /// Patterns by label, as in rules.
    #[serde(default)]
    #[schema(example = json!({"device": "sdb"}))]
    labels: BTreeMap<String, String>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    #[schema(format = DateTime)]
    ends_at: String,
}

fn invalid(name: &str, msg: &str) -> Error {
    Error::Invalid(vec![Problem::new(&["body", name], msg)])
}

/// Which alerts are silenced, and why.
pub(super) fn check_which(rule: Option<&str>, labels: &BTreeMap<String, String>, reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(invalid("reason", "Say why, for those who wonder later"));
    }
    check_text("reason", reason, MAX_REASON)?;
    if let Some(rule) = rule {
        check_text("rule", rule, MAX_PATTERN)?;
    }
    if labels.len() > MAX_LABELS {
        return Err(invalid("labels", "Expected at most 10 labels"));
    }
    for text in labels.iter().flat_map(|(label, pattern)| [label, pattern]) {
        check_text("labels", text, MAX_PATTERN)?;
    }
    Ok(())
}

/// Silence alerts by rule and labels until a time
#[utoipa::path(post, path = "/api/alerts/silences", tag = "alerts", request_body = NewAlertSilence, responses(
    (status = 201, description = "Made", body = Silence),
    (status = 409, description = "There are too many", body = ErrorBody),
    Guarded, WithBody,
))]
async fn add_silence(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(new): Body<NewAlertSilence>,
) -> Result<(StatusCode, Json<Silence>)> {
    let now = OffsetDateTime::now_utc();
    check_which(new.rule.as_deref(), &new.labels, &new.reason)?;
    let ends_at = moment::parse(&new.ends_at).filter(|end| *end > now && *end <= now + MAX_LENGTH);
    let ends_at =
        ends_at.ok_or_else(|| invalid("ends_at", "Expected a time in the future, within a year"))?;
    let _turn = state.changing().await;
    if state.store.silences(micros(now)).await?.len() >= MAX_SILENCES {
        return Err(Error::Conflict(format!("There are {MAX_SILENCES} silences already; end some first")));
    }
    let user = &identity.user.username;
    let silence = store::alerts::Silence {
        id: 0,
        rule: new.rule.clone(),
        labels: serde_json::to_string(&new.labels).unwrap_or_default(),
        author: user.clone(),
        reason: new.reason.trim().to_owned(),
        created_at: micros(now),
        ends_at: micros(ends_at),
    };
    let added = state.store.add_silence(&silence).await?;
    state.auth.audit(user, address, audit::ALERTS_SILENCED, &told(&new)).await;
    Ok((StatusCode::CREATED, Json(added.into())))
}

/// End a silence now
#[utoipa::path(delete, path = "/api/alerts/silences/{id}", tag = "alerts", params(Id), responses(
    (status = 200, body = Message), Guarded, WithId,
))]
async fn end_silence(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    id: Id,
) -> Result<Json<Message>> {
    if !state.store.end_silence(id.id, micros(OffsetDateTime::now_utc())).await? {
        return Err(Error::NotFound);
    }
    state.auth.audit(&identity.user.username, address, audit::SILENCE_ENDED, &id.id.to_string()).await;
    Ok(Json(Message { message: "Silence ended" }))
}
