//! `/api/hosts`: the machines whose history is in this store, and their labels.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody};
use super::extract::{Administrator, Body, ClientAddress, CurrentUser};
use super::message::Message;
use crate::auth::audit;
use crate::config::labels::Labels;
use crate::fleet::presence::State as Presence;
use crate::host::Host;
use crate::host::facts::Facts;
use crate::snapshot::rfc3339;
use crate::store::{from_micros, micros};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(hosts)).routes(routes!(set_labels))
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
    /// `live` if it was heard of in the last half minute or has history of the last eleven; otherwise `silent`. `joining`
    /// until it is first heard of, `copied` while several machines send under its ID, `revoked` if it may send no more.
    #[schema(pattern = "^(live|silent|joining|copied|revoked)$", example = "live")]
    state: &'static str,
    /// Until when there is history of it.
    #[schema(format = DateTime)]
    newest: Option<String>,
    /// How far its clock is ahead of this server's, in seconds, with the time that a message took; only of machines that
    /// this server hears as a hub.
    clock_skew_seconds: Option<f64>,
    /// What is said of it, by itself and by administrators, who win.
    #[schema(example = json!({"role": "web", "site": "fra"}))]
    labels: BTreeMap<String, String>,
    /// What administrators say of it.
    given_labels: BTreeMap<String, String>,
    /// The machines that send under this ID, if there are several.
    copies: Vec<Copy>,
    facts: Facts,
}

/// One of several machines with the same ID.
#[derive(Serialize, ToSchema)]
#[schema(as = CopiedMachine)]
struct Copy {
    name: String,
    /// As NATS sees it.
    address: String,
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
    let membership = Membership::read(&state).await?;
    let hosts = known.into_iter().map(|host| {
        let is_this = host.id == this;
        // A chunk ends after its last reading.
        let stored = stored.get(&host.id).map(|end| end - 1);
        let newest = stored.max(in_memory.filter(|_| is_this));
        Known {
            this: is_this,
            state: membership.state(&host, newest, presence.state(&host.id, newest, now)),
            newest: newest.map(|at| rfc3339(from_micros(at))),
            clock_skew_seconds: presence.skew(&host.id).map(|skew| skew as f64 / 1e6),
            labels: host.labels().as_map().clone(),
            given_labels: host.given_labels.as_map().clone(),
            copies: presence
                .copies()
                .of(&host.id)
                .into_iter()
                .map(|copy| Copy { name: copy.name, address: copy.address })
                .collect(),
            id: host.id,
            name: host.name,
            facts: host.facts,
        }
    });
    Ok(Json(Hosts { role: if state.fleet.is_hub() { "hub" } else { "machine" }, hosts: hosts.collect() }))
}

/// Which hosts have joined, and which are revoked.
struct Membership {
    joined: HashSet<String>,
    revoked: HashSet<String>,
}

impl Membership {
    async fn read(state: &AppState) -> Result<Self> {
        let (mut joined, mut revoked) = (HashSet::new(), HashSet::new());
        for member in state.store.members().await? {
            let hosts = if member.revoked_at.is_none() { &mut joined } else { &mut revoked };
            hosts.insert(member.host);
        }
        // One that joined anew.
        revoked.retain(|host| !joined.contains(host));
        Ok(Self { joined, revoked })
    }

    fn state(&self, host: &Host, newest: Option<i64>, heard: Presence) -> &'static str {
        let is_unheard = newest.is_none() && host.facts == Facts::default() && heard == Presence::Silent;
        if self.revoked.contains(&host.id) {
            "revoked"
        } else if is_unheard && self.joined.contains(&host.id) {
            "joining"
        } else {
            heard.as_str()
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct HostId {
    /// The host's ID
    #[param(min_length = 1, max_length = 64)]
    pub host: String,
}

impl<S: Send + Sync> FromRequestParts<S> for HostId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match Path::<Self>::from_request_parts(parts, state).await {
            // PostgreSQL takes no text with a NUL.
            Ok(Path(found)) if !found.host.contains('\0') => Ok(found),
            _ => Err(Error::NotFound),
        }
    }
}

#[derive(Deserialize, ToSchema)]
struct GivenLabels {
    /// Replaces what administrators said of the host before; what it says of itself stays.
    #[schema(example = json!({"role": "web", "site": "fra"}))]
    labels: BTreeMap<String, String>,
}

/// Say what a host is; this wins over what it says of itself
#[utoipa::path(put, path = "/api/hosts/{host}/labels", tag = "fleet", params(HostId), request_body = GivenLabels, responses(
    (status = 200, body = Message),
    (status = 404, description = "There is no such host", body = ErrorBody),
    Guarded, WithBody,
))]
async fn set_labels(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    HostId { host }: HostId,
    Body(given): Body<GivenLabels>,
) -> Result<Json<Message>> {
    let labels = Labels::new(given.labels)
        .map_err(|error| Error::Invalid(vec![Problem::new(&["body", "labels"], error.to_string())]))?;
    if !state.store.set_host_labels(&host, &labels).await? {
        return Err(Error::NotFound);
    }
    let detail = format!("{host}: {labels}");
    state.auth.audit(&identity.user.username, address, audit::HOST_LABELS_CHANGED, &detail).await;
    // What users may see has changed.
    state.auth.rights_changed();
    Ok(Json(Message { message: "Labels saved" }))
}
