//! `/api/audit`: who did what, for administrators.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Guarded, Result, ValidationBody};
use super::extract::Administrator;
use super::parameters::{Parameters, Reader};
use crate::snapshot::rfc3339;
use crate::store::access;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(audit))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditParameters {
    /// Only entries older than the one with this ID
    #[param(required = false, value_type = i64, minimum = 1)]
    before: Option<String>,
    /// Maximum number of entries
    #[param(required = false, value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct AuditLog {
    /// Newest first.
    entries: Vec<AuditEntry>,
}

#[derive(Serialize, ToSchema)]
struct AuditEntry {
    id: i64,
    #[schema(format = DateTime)]
    at: String,
    /// Who did it, or `(unknown)`.
    username: String,
    /// Client address.
    address: String,
    #[schema(example = "login")]
    action: String,
    detail: String,
}

impl From<access::AuditEntry> for AuditEntry {
    fn from(entry: access::AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: rfc3339(entry.at),
            username: entry.username,
            address: entry.address,
            action: entry.action,
            detail: entry.detail,
        }
    }
}

/// Sign-ins and changes: who, from where, what
#[utoipa::path(get, path = "/api/audit", tag = "users", params(AuditParameters), responses(
    (status = 200, body = AuditLog),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    Guarded,
))]
async fn audit(
    _: Administrator,
    State(state): State<AppState>,
    Parameters(sent): Parameters<AuditParameters>,
) -> Result<Json<AuditLog>> {
    let mut reader = Reader::default();
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    let before = match sent.before.as_deref().map(str::parse::<i64>) {
        None => None,
        Some(Ok(before)) if before >= 1 => Some(before),
        Some(_) => {
            reader.problem("before", "Expected the id of an entry");
            None
        }
    };
    reader.finish()?;
    let entries = state.store.audit(before, i64::try_from(limit).unwrap_or(i64::MAX)).await?;
    Ok(Json(AuditLog { entries: entries.into_iter().map(AuditEntry::from).collect() }))
}
