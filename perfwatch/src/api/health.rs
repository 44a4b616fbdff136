//! `/health` and `/api/db-status`: no login, and answered from known state, so that nothing that hangs delays them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AppState, VERSION};
use crate::snapshot::missed::Cause;
use crate::store::StoreError;

/// How long missed ticks are told.
const TOLD: Duration = Duration::from_secs(60);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(db_status))
}

#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy`, or `degraded` when something does not work.
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "perfwatch-backend")]
    service: &'static str,
    version: &'static str,
    /// What does not work, one sentence each; only when `degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["The database does not respond"]))]
    problems: Vec<&'static str>,
}

/// Health of the server and its parts
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
async fn health(State(state): State<AppState>) -> Json<Health> {
    let mut problems: Vec<&str> = store_problem(&state).into_iter().collect();
    if state.writer.as_ref().is_some_and(|writer| writer.stats().log_failing()) {
        problems.push("The spool cannot be written to disk");
    }
    problems.extend(state.fleet.problems());
    if state.alerts.duty().is_nobodys() {
        problems.push("No hub evaluates alerts");
    }
    if state.history.damaged_chunks() > 0 {
        problems.push("A part of the stored history is damaged; `perfwatch db check` tells how much");
    }
    if state.source_status.any_failed() {
        problems.push("A source failed");
    }
    match state.source_status.missed_within(TOLD) {
        Some(Cause::CpuQuota) => problems.push("Ticks are missed: the server is throttled by its CPU quota"),
        Some(Cause::Busy) => problems.push("Ticks are missed: the server gets no CPU time"),
        Some(Cause::Suspended) | None => {}
    }
    let status = if problems.is_empty() { "healthy" } else { "degraded" };
    Json(Health { status, service: "perfwatch-backend", version: VERSION, problems })
}

/// The database's own message may contain users, hosts and paths: it goes to the log only.
fn store_problem(state: &AppState) -> Option<&'static str> {
    match state.store_watch.problem() {
        Some(StoreError::Unreachable(_)) => Some("The database does not respond"),
        Some(StoreError::Full) => Some("The disk of the database is full; nothing is stored"),
        Some(StoreError::Changed(_)) => Some("The database lacks its tables, or the right to use them"),
        Some(_) => Some("The database returned an error"),
        None => {
            let failing = state.writer.as_ref().is_some_and(|writer| writer.stats().failing());
            failing.then_some("History is not being stored")
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum DbStatus {
    Connected {
        #[schema(example = "connected")]
        status: &'static str,
        #[schema(example = "sqlite")]
        database: &'static str,
    },
    Error {
        #[schema(example = "error")]
        status: &'static str,
        message: &'static str,
    },
}

/// Whether the database responds and stores
#[utoipa::path(get, path = "/api/db-status", tag = "health", security(()), responses((status = 200, body = DbStatus)))]
async fn db_status(State(state): State<AppState>) -> Json<DbStatus> {
    Json(match store_problem(&state) {
        None => DbStatus::Connected { status: "connected", database: state.store.engine().as_str() },
        Some(message) => DbStatus::Error { status: "error", message },
    })
}
