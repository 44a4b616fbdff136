//! Every error as an answer: `{"detail": …}`, from whatever layer it comes.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::auth::AuthError;
use crate::auth::accounts::AccountError;
use crate::auth::passwords::PasswordError;
use crate::store::StoreError;

/// What a client waits before it asks an unreachable store again.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// What a client waits that asked too much.
const QUESTIONS_RETRY: Duration = Duration::from_secs(2);

pub(super) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(super) enum Error {
    NotAuthenticated,
    InvalidCredentials,
    BadLogin,
    Forbidden(&'static str),
    BadRequest(String),
    Invalid(Vec<Problem>),
    NotFound,
    MethodNotAllowed,
    TimedOut,
    TooLarge,
    NotJson,
    Conflict(String),
    TooManyAttempts(Duration),
    TooManyQuestions,
    TooManyEvents(Duration),
    Busy,
    StoreUnreachable,
    /// Anything a client can do nothing about; the log has the rest.
    Internal(String),
    /// Refused by a layer below us with this status.
    Refused(StatusCode, String),
}

/// One problem with the request; never contains the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The path to the value, beginning with `body`, `query` or `path`.
    pub loc: Vec<String>,
    pub msg: String,
}

impl Problem {
    pub(super) fn new(loc: &[&str], msg: impl Into<String>) -> Self {
        Self { loc: loc.iter().map(|part| (*part).to_owned()).collect(), msg: msg.into() }
    }
}

/// The body of every error but 422.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// One sentence.
    #[schema(example = "Not found")]
    detail: String,
    /// Only with 500: the ID under which the log has the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_id: Option<String>,
}

/// The body of a 422.
#[derive(Serialize, ToSchema)]
pub(super) struct ValidationBody {
    detail: Vec<Problem>,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable(_) | StoreError::Full | StoreError::Changed(_) => Self::StoreUnreachable,
            StoreError::Conflict(what) => Self::Conflict(format!("{what} already exists")),
            StoreError::Refused(_) | StoreError::Database(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused => Self::InvalidCredentials,
            AuthError::TooManyAttempts { retry_after } => Self::TooManyAttempts(retry_after),
            AuthError::Password(PasswordError::Busy) => Self::Busy,
            AuthError::Password(PasswordError::Hash(_)) | AuthError::Signing(_) => {
                Self::Internal(error.to_string())
            }
            AuthError::Password(rule) => {
                Self::Invalid(vec![Problem::new(&["body", "new_password"], rule.to_string())])
            }
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<AccountError> for Error {
    fn from(error: AccountError) -> Self {
        let invalid = |name: &str| Self::Invalid(vec![Problem::new(&["body", name], error.to_string())]);
        match error {
            AccountError::Name => invalid("username"),
            AccountError::Role => invalid("role"),
            AccountError::Hosts(_) | AccountError::AdminSeesAll => invalid("hosts"),
            AccountError::Alike => {
                Self::Conflict("The name could be mistaken for that of another account".into())
            }
            AccountError::Unknown => Self::NotFound,
            AccountError::LastAdmin => Self::Conflict("Cannot remove the last administrator".into()),
            AccountError::Password(PasswordError::Busy) => Self::Busy,
            AccountError::Password(PasswordError::Hash(cause)) => Self::Internal(cause),
            AccountError::Password(_) => invalid("password"),
            AccountError::Store(error) => error.into(),
        }
    }
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotAuthenticated | Self::InvalidCredentials | Self::BadLogin => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooManyAttempts(_) | Self::TooManyQuestions | Self::TooManyEvents(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Busy | Self::StoreUnreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(status, _) => *status,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotAuthenticated => "Not authenticated",
            Self::InvalidCredentials => "Could not validate credentials",
            Self::BadLogin => "Invalid username or password",
            Self::Forbidden(why) => why,
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::TimedOut => "Request timed out",
            Self::TooLarge => "Request body too large",
            Self::NotJson => "The body must be sent as application/json",
            Self::TooManyAttempts(_) => "Too many attempts; try again later",
            Self::TooManyQuestions => "Too many questions at once; try again later",
            Self::TooManyEvents(_) => "Too many events; try again later",
            Self::Busy => "Too many sign-ins at once; try again later",
            Self::StoreUnreachable => "The database is unreachable",
            Self::Internal(_) => "Internal server error",
            Self::BadRequest(why) | Self::Conflict(why) | Self::Refused(_, why) => why,
            Self::Invalid(_) => "Validation error",
        }
        .to_owned()
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyAttempts(wait) | Self::TooManyEvents(wait) => Some(*wait),
            Self::TooManyQuestions => Some(QUESTIONS_RETRY),
            Self::Busy | Self::StoreUnreachable => Some(STORE_RETRY),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match &self {
            Self::Invalid(problems) => {
                (status, Json(ValidationBody { detail: problems.clone() })).into_response()
            }
            Self::Internal(cause) => {
                let id = error_id();
                tracing::error!(error_id = id, cause, "request failed");
                (status, Json(ErrorBody { detail: self.detail(), error_id: Some(id) })).into_response()
            }
            _ => (status, Json(ErrorBody { detail: self.detail(), error_id: None })).into_response(),
        };
        let headers = response.headers_mut();
        if matches!(self, Self::NotAuthenticated | Self::InvalidCredentials) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
        }
        response
    }
}

fn error_id() -> String {
    // Without random numbers the cause is still logged; only the link to it is lost.
    let mut bytes = [0u8; 8];
    let _ = getrandom::fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// What a panicking handler answers.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    Error::Internal(format!("panic: {message}")).into_response()
}

/// Answers any call that needs a login may give.
#[derive(IntoResponses)]
#[allow(dead_code)] // only its description is used
pub(super) enum Guarded {
    /// No token, or an invalid one
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The account's role or the API token's scopes do not allow it
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// The host name in the request is not served here
    #[response(status = 421)]
    Misdirected(ErrorBody),
    /// Internal error; the log has the cause under `error_id`
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The database is unreachable
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// Answers any call that takes longer may give besides.
#[derive(IntoResponses)]
#[allow(dead_code)] // only its description is used
pub(super) enum Queued {
    /// Too many questions at once, of this user or of all; `retry-after` says when to ask again
    #[response(status = 429)]
    TooMany(ErrorBody),
}

/// Answers any call that another machine may answer instead.
#[derive(IntoResponses)]
#[allow(dead_code)] // only its description is used
pub(super) enum OfHost {
    /// No machine of this name, or none that can be asked here
    #[response(status = 400)]
    Unknown(ErrorBody),
    /// The machine's answer cannot be read
    #[response(status = 502)]
    Unreadable(ErrorBody),
    /// The machine has not answered in time
    #[response(status = 504)]
    Late(ErrorBody),
}

/// Answers any call that names one thing by its id may give besides.
#[derive(IntoResponses)]
#[allow(dead_code)] // only its description is used
pub(super) enum WithId {
    /// Not found
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The ID is not a number
    #[response(status = 422)]
    Invalid(ValidationBody),
}

/// Answers any call with a body may give besides.
#[derive(IntoResponses)]
#[allow(dead_code)] // only its description is used
pub(super) enum WithBody {
    /// The request body timed out
    #[response(status = 408)]
    TimedOut(ErrorBody),
    /// The body exceeds 64 KiB
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is not sent as `application/json`
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// The request body is invalid
    #[response(status = 422)]
    Invalid(ValidationBody),
}
