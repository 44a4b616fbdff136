//! `/api/auth`: login, logout, who am I, new password.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody};
use super::extract::{Body, ClientAddress, CurrentUser, LoggedIn, Text};
use super::message::Message;
use super::users::Account;
use crate::auth::AuthError;
use crate::auth::passwords::MAX_BYTES;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(me))
        .routes(routes!(password))
}

#[derive(Deserialize, ToSchema)]
struct LoginRequest {
    #[schema(value_type = String, min_length = 1, max_length = 50)]
    username: Text,
    #[schema(value_type = String, min_length = 1, format = Password)]
    password: Text,
}

#[derive(Serialize, ToSchema)]
struct LoginResponse {
    access_token: String,
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// Seconds until the token expires.
    expires_in: u64,
}

/// Sign in: exchange a name and password for a token
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", request_body = LoginRequest, security(()), responses(
    (status = 200, body = LoginResponse),
    (status = 429, description = "Too many attempts", body = ErrorBody, headers(("retry-after" = u64, description = "Seconds to wait"))),
    Guarded, WithBody,
))]
async fn login(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(request): Body<LoginRequest>,
) -> Result<Json<LoginResponse>> {
    let mut problems = Vec::new();
    if !(1..=50).contains(&request.username.length) {
        problems.push(Problem::new(&["body", "username"], "Expected 1 to 50 characters"));
    }
    if request.password.length == 0 {
        problems.push(Problem::new(&["body", "password"], "Expected at least 1 character"));
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let (username, password) = (request.username.valid, request.password.valid);
    let login = state.auth.login(username.as_deref(), password.as_deref(), address).await;
    match login {
        Ok(login) => Ok(Json(LoginResponse {
            access_token: login.token,
            token_type: "bearer",
            expires_in: login.lifetime.as_secs(),
        })),
        Err(AuthError::Refused) => Err(Error::BadLogin),
        Err(error) => Err(error.into()),
    }
}

/// Revoke this token
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", responses((status = 200, body = Message), Guarded))]
async fn logout(
    LoggedIn(identity): LoggedIn,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
) -> Result<Json<Message>> {
    state.auth.logout(&identity, address).await?;
    Ok(Json(Message { message: "Logged out successfully" }))
}

/// The account this token belongs to
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", responses((status = 200, body = Account), Guarded))]
async fn me(CurrentUser(identity): CurrentUser) -> Json<Account> {
    Json(identity.user.into())
}

#[derive(Deserialize, ToSchema)]
struct PasswordChange {
    #[schema(format = Password)]
    current_password: String,
    /// At least 8 characters and at most 72 bytes of UTF-8 (the limit of bcrypt).
    #[schema(min_length = 8, max_length = 72, format = Password)]
    new_password: String,
}

/// Change the password and sign out all sessions of the account
#[utoipa::path(put, path = "/api/auth/password", tag = "auth", request_body = PasswordChange, responses(
    (status = 200, body = Message),
    (status = 400, description = "The current password is wrong", body = ErrorBody),
    (status = 429, description = "Too many attempts", body = ErrorBody),
    Guarded, WithBody,
))]
async fn password(
    LoggedIn(identity): LoggedIn,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(request): Body<PasswordChange>,
) -> Result<Json<Message>> {
    let change =
        state.auth.change_password(&identity, &request.current_password, &request.new_password, address);
    match change.await {
        Ok(()) => Ok(Json(Message { message: "Password updated successfully" })),
        Err(AuthError::Refused) => Err(Error::BadRequest("Current password is incorrect".into())),
        Err(error) => Err(error.into()),
    }
}

const _: () = assert!(MAX_BYTES == 72, "the schema above says so");
