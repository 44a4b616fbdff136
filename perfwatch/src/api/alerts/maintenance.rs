//! `/api/alerts/maintenance`: weekly times in which alerts are silenced.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check_text;
use super::silences::check_which;
use crate::alerts::maintenance::{Day, Window};
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody, WithId};
use crate::api::extract::{Administrator, Body, ClientAddress, CurrentUser, told};
use crate::api::message::Message;
use crate::api::parameters::Id;
use crate::auth::audit;
use crate::snapshot::rfc3339;
use crate::store::maintenance::StoredWindow;
use crate::store::{from_micros, micros};

const MAX_WINDOWS: usize = 100;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(windows, add_window)).routes(routes!(delete_window))
}

#[derive(Serialize, ToSchema)]
#[schema(as = AlertWindow)]
struct WindowDto {
    id: i64,
    days: Vec<Day>,
    start: String,
    end: String,
    zone: String,
    rule: Option<String>,
    labels: BTreeMap<String, String>,
    reason: String,
    author: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Of the one that lasts, or else the next.
    #[schema(format = DateTime)]
    next_start: Option<String>,
    #[schema(format = DateTime)]
    next_end: Option<String>,
}

fn dto(stored: &StoredWindow, now: i64) -> Option<WindowDto> {
    let window: Window = serde_json::from_str(&stored.definition).ok()?;
    let next = window.schedule().ok().and_then(|schedule| schedule.next(now));
    let time = |at: i64| rfc3339(from_micros(at));
    let (next_start, next_end) = next.map(|(from, to)| (time(from), time(to))).unzip();
    let Window { days, start, end, zone, rule, labels, reason } = window;
    Some(WindowDto {
        id: stored.id,
        days,
        start,
        end,
        zone,
        rule,
        labels,
        reason,
        author: stored.author.clone(),
        created_at: time(stored.created_at),
        next_start,
        next_end,
    })
}

#[derive(Serialize, ToSchema)]
struct AlertWindows {
    windows: Vec<WindowDto>,
}

/// Maintenance windows
#[utoipa::path(get, path = "/api/alerts/maintenance", tag = "alerts", responses((status = 200, body = AlertWindows), Guarded))]
async fn windows(_: CurrentUser, State(state): State<AppState>) -> Result<Json<AlertWindows>> {
    let now = micros(OffsetDateTime::now_utc());
    let stored = state.store.alert_windows().await?;
    Ok(Json(AlertWindows { windows: stored.iter().filter_map(|stored| dto(stored, now)).collect() }))
}

/// Silence alerts every week on the clock of a time zone
#[utoipa::path(post, path = "/api/alerts/maintenance", tag = "alerts", request_body = Window, responses(
    (status = 201, description = "Made", body = WindowDto),
    (status = 409, description = "There are too many", body = ErrorBody),
    Guarded, WithBody,
))]
async fn add_window(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(new): Body<Window>,
) -> Result<(StatusCode, Json<WindowDto>)> {
    check_which(new.rule.as_deref(), &new.labels, &new.reason)?;
    check_text("zone", &new.zone, 64)?;
    if let Err((key, msg)) = new.schedule() {
        return Err(Error::Invalid(vec![Problem::new(&["body", key], msg)]));
    }
    let _turn = state.changing().await;
    if state.store.alert_windows().await?.len() >= MAX_WINDOWS {
        return Err(Error::Conflict(format!(
            "There are {MAX_WINDOWS} maintenance windows already; remove some"
        )));
    }
    let user = &identity.user.username;
    let now = micros(OffsetDateTime::now_utc());
    let definition = serde_json::to_string(&new).map_err(|error| Error::Internal(error.to_string()))?;
    let mut stored =
        StoredWindow { id: 0, definition, author: user.clone(), created_at: now, silenced_until: 0 };
    stored.id = state.store.add_alert_window(&stored).await?;
    state.alerts.keep_windows(now).await?;
    state.auth.audit(user, address, audit::MAINTENANCE_ADDED, &told(&new)).await;
    let made = dto(&stored, now).ok_or_else(|| Error::Internal("it cannot be read back".into()))?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Remove a maintenance window; the silence that it has become stays until its end, or can be ended
#[utoipa::path(delete, path = "/api/alerts/maintenance/{id}", tag = "alerts", params(Id), responses(
    (status = 200, body = Message), Guarded, WithId,
))]
async fn delete_window(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    id: Id,
) -> Result<Json<Message>> {
    if !state.store.delete_alert_window(id.id).await? {
        return Err(Error::NotFound);
    }
    let user = &identity.user.username;
    state.auth.audit(user, address, audit::MAINTENANCE_REMOVED, &id.id.to_string()).await;
    Ok(Json(Message { message: "Maintenance window removed" }))
}
