//! `/api/fleet`: machines join a hub by a token, and are revoked.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody};
use super::extract::{Administrator, Body, ClientAddress};
use super::hosts::HostId;
use super::message::Message;
use crate::auth::audit;
use crate::fleet::hub::members::{Asking, JoinError, Members};
use crate::snapshot::rfc3339;
use crate::store::fleet::Member;
use crate::store::from_micros;

const DEFAULT_MINUTES: u64 = 60;
const MAX_MINUTES: u64 = 30 * 24 * 60;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create_join_token))
        .routes(routes!(join))
        .routes(routes!(machines))
        .routes(routes!(revoke))
}

fn members(state: &AppState) -> Result<&Members> {
    let Some(members) = &state.fleet.members else {
        let why = if state.fleet.is_hub() {
            "Machines cannot join this hub by themselves: it has no keys. Make them with `perfwatch fleet init` and set \
             PERFWATCH_FLEET_KEYS_FILE"
        } else {
            "Machines join a hub, and this server is none"
        };
        return Err(Error::Conflict(why.into()));
    };
    Ok(members)
}

#[derive(Deserialize, ToSchema)]
struct NewJoinToken {
    /// Default: 60.
    #[schema(minimum = 1, maximum = 43200)]
    expires_in_minutes: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct CreatedJoinToken {
    /// Shown only once: the server stores a hash.
    token: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Create a token that lets one machine join the fleet
#[utoipa::path(post, path = "/api/fleet/tokens", tag = "fleet", request_body = NewJoinToken, responses(
    (status = 201, description = "Created", body = CreatedJoinToken),
    (status = 409, description = "Machines cannot join this server", body = ErrorBody),
    Guarded, WithBody,
))]
async fn create_join_token(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(new): Body<NewJoinToken>,
) -> Result<(StatusCode, Json<CreatedJoinToken>)> {
    let minutes = new.expires_in_minutes.unwrap_or(DEFAULT_MINUTES);
    if !(1..=MAX_MINUTES).contains(&minutes) {
        let msg = format!("Expected a number from 1 to {MAX_MINUTES}");
        return Err(Error::Invalid(vec![Problem::new(&["body", "expires_in_minutes"], msg)]));
    }
    let user = &identity.user.username;
    let (token, expires_at) = members(&state)?.invite(user, Duration::from_secs(60 * minutes)).await?;
    let expires_at = rfc3339(expires_at);
    state.auth.audit(user, address, audit::JOIN_TOKEN_CREATED, &format!("until {expires_at}")).await;
    Ok((StatusCode::CREATED, Json(CreatedJoinToken { token, expires_at })))
}

#[derive(Deserialize, ToSchema)]
struct JoinRequest {
    #[schema(max_length = 200)]
    token: String,
    /// Of an nkey of a user, whose seed stays on the machine.
    #[schema(max_length = 100, example = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4")]
    public_key: String,
    /// The machine's ID.
    #[schema(min_length = 1, max_length = 64)]
    host: String,
    #[schema(min_length = 1, max_length = 255)]
    name: String,
}

#[derive(Serialize, ToSchema)]
struct JoinTicket {
    /// By which NATS knows the machine; valid until it is revoked.
    jwt: String,
    /// URLs of NATS servers.
    servers: Vec<String>,
    /// Authorities that NATS's certificate is to be checked with, besides the system's; PEM.
    ca: Option<String>,
}

/// Join the fleet, with a token instead of a login
#[utoipa::path(post, path = "/api/fleet/join", tag = "fleet", request_body = JoinRequest, security(()), responses(
    (status = 200, body = JoinTicket),
    (status = 400, description = "The token is unknown, expired or used", body = ErrorBody),
    (status = 409, description = "Machines cannot join this server, or another has joined with this ID", body = ErrorBody),
    (status = 429, description = "Too many attempts", body = ErrorBody),
    Guarded, WithBody,
))]
async fn join(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(asked): Body<JoinRequest>,
) -> Result<Json<JoinTicket>> {
    let members = members(&state)?;
    // Each address on its own: strangers keep no machine out.
    let attempt = state.auth.attempt(&format!("join from {address}"), address)?;
    let asking = Asking {
        public_key: &asked.public_key,
        host: &asked.host,
        name: &asked.name,
        address: address.to_string(),
    };
    let joined = members.join(&asked.token, asking).await;
    let is_guess = matches!(&joined, Err(JoinError::UnknownToken | JoinError::Invalid(_)));
    if !is_guess {
        attempt.undecided();
    }
    let ticket = joined?;
    let detail = format!("{} ({})", asked.name, asked.host);
    state.auth.audit("(token)", address, audit::HOST_JOINED, &detail).await;
    Ok(Json(JoinTicket { jwt: ticket.jwt, servers: ticket.servers, ca: ticket.ca }))
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::UnknownToken | JoinError::ExpiredToken | JoinError::UsedToken => {
                Self::BadRequest(error.to_string())
            }
            JoinError::HostTaken => Self::Conflict(error.to_string()),
            JoinError::Invalid(what) => Self::Invalid(vec![Problem::new(&["body"], what)]),
            JoinError::Keys(error) => Self::Internal(error.to_string()),
            JoinError::Store(error) => error.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Machines {
    /// Whether this server is a hub.
    hub: bool,
    /// Whether machines can join it by themselves.
    can_join: bool,
    machines: Vec<Machine>,
}

/// A machine that has joined.
#[derive(Serialize, ToSchema)]
struct Machine {
    host: String,
    /// When it joined; what it is called now is in `/api/hosts`.
    name: String,
    /// Where it joined from.
    address: String,
    /// Who made the token that it joined with.
    invited_by: String,
    #[schema(format = DateTime)]
    joined_at: String,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

impl From<Member> for Machine {
    fn from(member: Member) -> Self {
        Self {
            host: member.host,
            name: member.name,
            address: member.address,
            invited_by: member.author,
            joined_at: rfc3339(from_micros(member.joined_at)),
            revoked_at: member.revoked_at.map(|at| rfc3339(from_micros(at))),
        }
    }
}

/// The machines that have joined, the oldest first
#[utoipa::path(get, path = "/api/fleet/machines", tag = "fleet", responses((status = 200, body = Machines), Guarded))]
async fn machines(_: Administrator, State(state): State<AppState>) -> Result<Json<Machines>> {
    let machines = state.store.members().await?;
    Ok(Json(Machines {
        hub: state.fleet.is_hub(),
        can_join: state.fleet.members.is_some(),
        machines: machines.into_iter().map(Machine::from).collect(),
    }))
}

/// Revoke a machine: NATS ends its connection and never lets it in again
#[utoipa::path(delete, path = "/api/fleet/machines/{host}", tag = "fleet", params(HostId), responses(
    (status = 200, body = Message),
    (status = 404, description = "No machine has joined with this ID, or it is revoked already", body = ErrorBody),
    (status = 409, description = "Machines cannot join this server", body = ErrorBody),
    Guarded,
))]
async fn revoke(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    HostId { host }: HostId,
) -> Result<Json<Message>> {
    let told = members(&state)?.revoke(&host).await?.ok_or(Error::NotFound)?;
    state.auth.audit(&identity.user.username, address, audit::HOST_REVOKED, &host).await;
    let message = match told {
        true => "Machine revoked",
        false => "Machine revoked; NATS cannot be reached and will be told as soon as it can",
    };
    Ok(Json(Message { message }))
}
