//! `/api/users`: the accounts, for administrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody, WithId};
use super::extract::{Administrator, Body, ClientAddress};
use super::message::Message;
use super::parameters::Id;
use crate::auth::audit;
use crate::snapshot::rfc3339;
use crate::store::User;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(users, add_user)).routes(routes!(change_user, delete_user))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Account {
    id: i64,
    username: String,
    /// `admin`, or `viewer` (read-only).
    #[schema(example = "viewer")]
    role: String,
    /// Labels of the hosts that a viewer sees; empty for all.
    #[schema(example = "role=web,site=fra")]
    hosts: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_login: Option<String>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            role: user.role,
            hosts: user.hosts,
            created_at: rfc3339(user.created_at),
            last_login: user.last_login.map(rfc3339),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Users {
    users: Vec<Account>,
}

/// All accounts
#[utoipa::path(get, path = "/api/users", tag = "users", responses((status = 200, body = Users), Guarded))]
async fn users(_: Administrator, State(state): State<AppState>) -> Result<Json<Users>> {
    let users = state.store.users().await?;
    Ok(Json(Users { users: users.into_iter().map(Account::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
struct NewUser {
    /// Visible characters, each word in one script, and no leading or trailing spaces.
    #[schema(min_length = 1, max_length = 50)]
    username: String,
    /// At least 8 characters and at most 72 bytes of UTF-8.
    #[schema(min_length = 8, max_length = 72, format = Password)]
    password: String,
    #[schema(pattern = "^(admin|viewer)$", example = "viewer")]
    role: String,
    /// Labels of the hosts that a viewer sees, all of which a host must have; empty for all hosts.
    #[schema(example = "role=web,site=fra")]
    #[serde(default)]
    hosts: String,
}

/// Add an account
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = NewUser, responses(
    (status = 201, description = "Created", body = Account),
    (status = 409, description = "An account of this name, or one that looks like it, already exists", body = ErrorBody),
    Guarded, WithBody,
))]
async fn add_user(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<Account>)> {
    let user = state.auth.add_user(&new.username, &new.password, &new.role, &new.hosts).await?;
    let hosts = if user.hosts.is_empty() { String::new() } else { format!(", hosts {}", user.hosts) };
    let detail = format!("{} as {}{hosts}", user.username, user.role);
    state.auth.audit(&identity.user.username, address, audit::USER_ADDED, &detail).await;
    Ok((StatusCode::CREATED, Json(user.into())))
}

#[derive(Deserialize, ToSchema)]
struct UserChange {
    /// At least 8 characters and at most 72 bytes of UTF-8.
    #[schema(min_length = 8, max_length = 72, format = Password)]
    password: Option<String>,
    #[schema(pattern = "^(admin|viewer)$")]
    role: Option<String>,
    /// Labels of the hosts that a viewer sees; empty for all.
    #[schema(example = "role=web,site=fra")]
    hosts: Option<String>,
}

/// Change an account's role, hosts or password and sign out its sessions
#[utoipa::path(put, path = "/api/users/{id}", tag = "users", params(Id), request_body = UserChange, responses(
    (status = 200, body = Account),
    (status = 409, description = "Would remove the last administrator", body = ErrorBody),
    Guarded, WithId, WithBody,
))]
async fn change_user(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    id: Id,
    Body(change): Body<UserChange>,
) -> Result<Json<Account>> {
    if change.password.is_none() && change.role.is_none() && change.hosts.is_none() {
        return Err(Error::Invalid(vec![Problem::new(&["body"], "Expected a role, hosts or a password")]));
    }
    let user = state.store.user_by_id(id.id).await?.ok_or(Error::NotFound)?;
    state
        .auth
        .change_user(&user, change.password.as_deref(), change.role.as_deref(), change.hosts.as_deref())
        .await?;
    let parts = [
        change.role.as_deref().map(|role| format!("role {role}")),
        change.hosts.as_deref().map(|hosts| format!("hosts {hosts}")),
        change.password.map(|_| "password".into()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let detail = format!("{}: {}", user.username, parts.join(", "));
    state.auth.audit(&identity.user.username, address, audit::USER_CHANGED, &detail).await;
    let user = state.store.user_by_id(id.id).await?.ok_or(Error::NotFound)?;
    Ok(Json(user.into()))
}

/// Delete an account with its sessions and API tokens
#[utoipa::path(delete, path = "/api/users/{id}", tag = "users", params(Id), responses(
    (status = 200, body = Message),
    (status = 409, description = "Would remove the last administrator", body = ErrorBody),
    Guarded, WithId,
))]
async fn delete_user(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    id: Id,
) -> Result<Json<Message>> {
    let user = state.store.user_by_id(id.id).await?.ok_or(Error::NotFound)?;
    state.auth.delete_user(user.id).await?;
    state.auth.audit(&identity.user.username, address, audit::USER_DELETED, &user.username).await;
    Ok(Json(Message { message: "User deleted" }))
}
