//! `/api/hosts`: the machines whose history is in this store.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Guarded, Result};
use super::extract::CurrentUser;
use crate::host::facts::Facts;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(hosts))
}

#[derive(Serialize, ToSchema)]
struct Hosts {
    hosts: Vec<Known>,
}

#[derive(Serialize, ToSchema)]
struct Known {
    /// For the parameter `host` of history.
    id: String,
    /// The name it had last.
    name: String,
    /// Whether it is the machine that answers.
    this: bool,
    facts: Facts,
}

/// The machines whose history is stored here, and what they were last
#[utoipa::path(get, path = "/api/hosts", tag = "history", responses((status = 200, body = Hosts), Guarded))]
async fn hosts(_: CurrentUser, State(state): State<AppState>) -> Result<Json<Hosts>> {
    let known = state.history.chunks().hosts().await?;
    let this = state.history.host();
    let hosts = known.into_iter().map(|host| Known {
        this: host.id == this,
        id: host.id,
        name: host.name,
        facts: host.facts,
    });
    Ok(Json(Hosts { hosts: hosts.collect() }))
}
