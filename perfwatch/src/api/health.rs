//! `/health` and `/api/db-status`: answers without a login, and without waiting for anything that hangs.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AppState, VERSION};
use crate::store::StoreError;

/// A database that takes longer than this counts as unreachable.
const TIMEOUT: Duration = Duration::from_millis(1500);
/// Health checks come often and must not queue behind a hung database.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(db_status))
}

#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy`, or `degraded` if the database does not respond or a source failed.
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "perfwatch-backend")]
    service: &'static str,
    version: &'static str,
}

/// Health of the server and its parts
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
async fn health(State(state): State<AppState>) -> Json<Health> {
    let degraded = state.source_status.any_failed() || ping(&state, HEALTH_TIMEOUT).await.is_err();
    let status = if degraded { "degraded" } else { "healthy" };
    Json(Health { status, service: "perfwatch-backend", version: VERSION })
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

/// Whether the database responds
#[utoipa::path(get, path = "/api/db-status", tag = "health", security(()), responses((status = 200, body = DbStatus)))]
async fn db_status(State(state): State<AppState>) -> Json<DbStatus> {
    Json(match ping(&state, TIMEOUT).await {
        Ok(()) => DbStatus::Connected { status: "connected", database: state.store.engine().as_str() },
        // The database's own message may name users, hosts and paths: it goes to the log alone.
        Err(error) => {
            tracing::debug!(%error, "the database does not respond");
            DbStatus::Error {
                status: "error",
                message: match error {
                    StoreError::Unreachable(_) => "The database is unreachable",
                    _ => "The database returned an error",
                },
            }
        }
    })
}

async fn ping(state: &AppState, patience: Duration) -> Result<(), StoreError> {
    tokio::time::timeout(patience, state.store.ping()).await.unwrap_or_else(|_| {
        Err(StoreError::Unreachable(format!("no answer within {} ms", patience.as_millis())))
    })
}
