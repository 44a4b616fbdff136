//! `/api/tokens`: tokens for scripts and Prometheus, shown once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody, WithId};
use super::extract::{Body, ClientAddress, LoggedIn};
use super::message::Message;
use super::parameters::Id;
use crate::auth::api_tokens::{MAX_TOKENS, Scopes};
use crate::auth::{audit, names};
use crate::snapshot::rfc3339;
use crate::store::access;

const DEFAULT_DAYS: i64 = 90;
const MAX_DAYS: i64 = 365;
const MAX_NAME_CHARS: usize = 100;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(tokens, create_token)).routes(routes!(revoke_token))
}

/// Names what [`Scopes`] parses.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)] // only its description is used
enum ScopeName {
    Read,
    Metrics,
    Events,
}

#[derive(Serialize, ToSchema)]
struct ApiToken {
    id: i64,
    name: String,
    /// The account it belongs to.
    username: String,
    /// `read` (read access, including the live stream), `metrics` (`/metrics` only) and `events` (noting events).
    #[schema(value_type = Vec<ScopeName>, example = json!(["metrics"]))]
    scopes: Vec<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// To the minute.
    #[schema(format = DateTime)]
    last_used: Option<String>,
}

impl From<access::ApiToken> for ApiToken {
    fn from(token: access::ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            username: token.username,
            scopes: token.scopes.split(',').map(str::to_owned).collect(),
            created_at: rfc3339(token.created_at),
            expires_at: rfc3339(token.expires_at),
            last_used: token.last_used.map(rfc3339),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct ApiTokens {
    tokens: Vec<ApiToken>,
}

/// Your own API tokens; for administrators, everyone's
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", responses((status = 200, body = ApiTokens), Guarded))]
async fn tokens(LoggedIn(identity): LoggedIn, State(state): State<AppState>) -> Result<Json<ApiTokens>> {
    let of = (!identity.is_admin()).then_some(identity.user.id);
    let tokens = state.store.api_tokens(of).await?;
    Ok(Json(ApiTokens { tokens: tokens.into_iter().map(ApiToken::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
struct NewApiToken {
    #[schema(min_length = 1, max_length = 100, example = "prometheus")]
    name: String,
    /// At least one. `events` is for administrators.
    #[schema(value_type = Vec<ScopeName>, min_items = 1, max_items = 3, example = json!(["metrics"]))]
    scopes: Vec<String>,
    /// Default: 90.
    #[schema(minimum = 1, maximum = 365)]
    expires_in_days: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct CreatedApiToken {
    /// Shown only once: the server stores a hash.
    token: String,
    #[serde(flatten)]
    about: ApiToken,
}

/// Create an API token
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", request_body = NewApiToken, responses(
    (status = 201, description = "Created", body = CreatedApiToken),
    (status = 409, description = "The account has too many tokens", body = ErrorBody),
    Guarded, WithBody,
))]
async fn create_token(
    LoggedIn(identity): LoggedIn,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(new): Body<NewApiToken>,
) -> Result<(StatusCode, Json<CreatedApiToken>)> {
    let mut problems = Vec::new();
    let length = new.name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&length) || !names::is_plain(&new.name) {
        let msg = "Expected 1 to 100 visible characters, each word in one script";
        problems.push(Problem::new(&["body", "name"], msg));
    }
    let scopes = new.scopes.join(",").parse::<Scopes>();
    if scopes.is_err() || new.scopes.len() > 3 {
        problems.push(Problem::new(&["body", "scopes"], "Expected some of read, metrics and events"));
    }
    let days = new.expires_in_days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        problems.push(Problem::new(&["body", "expires_in_days"], "Expected a number from 1 to 365"));
    }
    let (true, Ok(scopes)) = (problems.is_empty(), scopes) else { return Err(Error::Invalid(problems)) };
    let user = &identity.user;
    if scopes.events && !identity.is_admin() {
        return Err(Error::Forbidden("Only administrators may note events"));
    }
    let _turn = state.changing().await;
    if state.store.api_tokens(Some(user.id)).await?.len() >= MAX_TOKENS {
        return Err(Error::Conflict(format!(
            "An account can have at most {MAX_TOKENS} API tokens; revoke some first"
        )));
    }
    let expires_at = OffsetDateTime::now_utc() + Duration::days(days);
    let (token, about) = state.auth.create_api_token(user.id, &new.name, scopes, expires_at).await?;
    let detail = format!("{} ({scopes})", about.name);
    state.auth.audit(&user.username, address, audit::TOKEN_CREATED, &detail).await;
    Ok((StatusCode::CREATED, Json(CreatedApiToken { token, about: about.into() })))
}

/// Revoke an API token; administrators can revoke anyone's
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", params(Id), responses(
    (status = 200, body = Message), Guarded, WithId,
))]
async fn revoke_token(
    LoggedIn(identity): LoggedIn,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    id: Id,
) -> Result<Json<Message>> {
    let of = (!identity.is_admin()).then_some(identity.user.id);
    let token = state.store.api_tokens(of).await?.into_iter().find(|token| token.id == id.id);
    // Don't reveal that another user's token exists.
    let token = token.ok_or(Error::NotFound)?;
    if !state.auth.revoke_api_token(token.id).await? {
        return Err(Error::NotFound);
    }
    let detail = format!("{} of {}", token.name, token.username);
    state.auth.audit(&identity.user.username, address, audit::TOKEN_REVOKED, &detail).await;
    Ok(Json(Message { message: "Token revoked" }))
}
