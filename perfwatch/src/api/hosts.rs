//! `/api/hosts`: the machines whose history is in this store.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Guarded, Result};
use super::extract::CurrentUser;
use crate::host::facts::Facts;
use crate::snapshot::rfc3339;
use crate::store::{from_micros, micros};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(hosts))
}

#[derive(Serialize, ToSchema)]
struct Hosts {
    /// `hub`: this server is for the machines of a fleet; `machine`: for the one that it runs on.
    #[schema(pattern = "^(machine|hub)$", example = "machine")]
    role: &'static str,
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
    /// `live` if it was heard of in the last half minute or has history of the last eleven; otherwise `silent`.
    #[schema(pattern = "^(live|silent)$", example = "live")]
    state: &'static str,
    /// Until when there is history of it.
    #[schema(format = DateTime)]
    newest: Option<String>,
    /// How far its clock is ahead of this server's, in seconds, with the time that a message took; only of machines that
    /// this server hears as a hub.
    clock_skew_seconds: Option<f64>,
    facts: Facts,
}

/// The machines whose history is stored here, what they were last, and when they were last heard of
#[utoipa::path(get, path = "/api/hosts", tag = "history", responses((status = 200, body = Hosts), Guarded))]
async fn hosts(CurrentUser(identity): CurrentUser, State(state): State<AppState>) -> Result<Json<Hosts>> {
    let chunks = state.history.chunks();
    let known = state.visible_hosts(&identity).await?;
    let stored: HashMap<String, i64> = chunks.newest().await?.into_iter().collect();
    let this = state.history.host();
    let in_memory = state.history.head().ends().map(|(_, newest)| micros(newest));
    let now = micros(OffsetDateTime::now_utc());
    let presence = &state.fleet.presence;
    let hosts = known.into_iter().map(|host| {
        let is_this = host.id == this;
        // A chunk ends after its last reading.
        let stored = stored.get(&host.id).map(|end| end - 1);
        let newest = stored.max(in_memory.filter(|_| is_this));
        Known {
            this: is_this,
            state: presence.state(&host.id, newest, now).as_str(),
            newest: newest.map(|at| rfc3339(from_micros(at))),
            clock_skew_seconds: presence.skew(&host.id).map(|skew| skew as f64 / 1e6),
            id: host.id,
            name: host.name,
            facts: host.facts,
        }
    });
    Ok(Json(Hosts { role: if state.fleet.is_hub() { "hub" } else { "machine" }, hosts: hosts.collect() }))
}
