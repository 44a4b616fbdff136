//! `/api/boards`: the boards of the page's History that a user saved.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Result, ValidationBody, WithBody};
use super::extract::{Body, LoggedIn};
use super::message::Message;
use crate::auth::names;
use crate::snapshot::{MetricType, rfc3339};
use crate::store::boards;

/// Of a user.
const MAX_BOARDS: i64 = 50;
const MAX_NAME_CHARS: usize = 64;
const MAX_PANELS: usize = 24;
const MAX_FIELDS: usize = 8;
const MAX_FIELD_CHARS: usize = 512;
/// A board as JSON. A user's are sent all at once.
const MAX_BOARD_BYTES: usize = 16 * 1024;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(boards)).routes(routes!(save_board, delete_board))
}

/// Fields of one metric type, shown together.
#[derive(Serialize, Deserialize, ToSchema)]
struct BoardPanel {
    #[schema(example = "cpu")]
    metric_type: String,
    /// As in `fields` of `/api/history/metrics`.
    #[schema(min_items = 1, max_items = 8, example = json!(["usage_percent", "per_core.3"]))]
    fields: Vec<String>,
}

/// What is stored of a board.
#[derive(Serialize, Deserialize, ToSchema)]
struct BoardContent {
    #[schema(min_items = 1, max_items = 24)]
    panels: Vec<BoardPanel>,
}

impl BoardContent {
    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(1..=MAX_PANELS).contains(&self.panels.len()) {
            let msg = format!("Expected 1 to {MAX_PANELS} panels");
            problems.push(Problem::new(&["body", "panels"], msg));
        }
        for (place, panel) in self.panels.iter().take(MAX_PANELS).enumerate() {
            let place = place.to_string();
            let mut problem =
                |part, msg: String| problems.push(Problem::new(&["body", "panels", &place, part], msg));
            if MetricType::parse(&panel.metric_type).is_none() {
                problem("metric_type", "Not a metric type; see /api/history/metrics/types".into());
            }
            let is_field = |field: &String| {
                (1..=MAX_FIELD_CHARS).contains(&field.chars().count())
                    && !field.contains(|c: char| c == ',' || c.is_control())
            };
            if !(1..=MAX_FIELDS).contains(&panel.fields.len()) || !panel.fields.iter().all(is_field) {
                let msg = format!(
                    "Expected 1 to {MAX_FIELDS} paths of up to {MAX_FIELD_CHARS} characters, without commas"
                );
                problem("fields", msg);
            }
        }
        problems
    }
}

#[derive(Serialize, ToSchema)]
struct Board {
    name: String,
    #[serde(flatten)]
    content: BoardContent,
    #[schema(format = DateTime)]
    updated_at: String,
}

#[derive(Serialize, ToSchema)]
struct Boards {
    boards: Vec<Board>,
}

/// The `{name}` of a path.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
struct Name {
    /// Visible characters, each word in one script, and no leading or trailing spaces.
    #[param(min_length = 1, max_length = 64, example = "Disk latency")]
    name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // What is no UTF-8 is no name either.
        let name = Path::<Self>::from_request_parts(parts, state).await.map(|Path(name)| name);
        let is_valid = |Self { name }: &Self| {
            (1..=MAX_NAME_CHARS).contains(&name.chars().count())
                && name.trim() == name
                && names::is_plain(name)
        };
        name.ok().filter(is_valid).ok_or_else(|| {
            let msg =
                "Expected 1 to 64 visible characters, each word in one script, without spaces around them";
            Error::Invalid(vec![Problem::new(&["path", "name"], msg)])
        })
    }
}

/// Your saved boards, by name
#[utoipa::path(get, path = "/api/boards", tag = "boards", responses((status = 200, body = Boards), Guarded))]
async fn boards(LoggedIn(identity): LoggedIn, State(state): State<AppState>) -> Result<Json<Boards>> {
    let stored = state.store.boards(identity.user.id).await?;
    let read = |board: boards::Board| match serde_json::from_str(&board.content) {
        Ok(content) => Some(Board { name: board.name, content, updated_at: rfc3339(board.updated_at) }),
        Err(error) => {
            tracing::warn!(board = ?board.name, %error, "a saved board cannot be read");
            None
        }
    };
    Ok(Json(Boards { boards: stored.into_iter().filter_map(read).collect() }))
}

/// Save a board, or replace the one of this name
#[utoipa::path(put, path = "/api/boards/{name}", tag = "boards", params(Name), request_body = BoardContent, responses(
    (status = 200, body = Message),
    (status = 409, description = "The account has too many boards", body = ErrorBody),
    Guarded, WithBody,
))]
async fn save_board(
    LoggedIn(identity): LoggedIn,
    State(state): State<AppState>,
    Name { name }: Name,
    Body(content): Body<BoardContent>,
) -> Result<Json<Message>> {
    let mut problems = content.check();
    let text = serde_json::to_string(&content).map_err(|error| Error::Internal(error.to_string()))?;
    if text.len() > MAX_BOARD_BYTES {
        let msg = format!("Expected at most {} KiB; remove some panels", MAX_BOARD_BYTES / 1024);
        problems.push(Problem::new(&["body", "panels"], msg));
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    // Requests at the same moment would not see each other's boards.
    let _turn = state.changing().await;
    if !state.store.save_board(identity.user.id, &name, &text, MAX_BOARDS).await? {
        return Err(Error::Conflict(format!(
            "An account can have at most {MAX_BOARDS} boards; delete some first"
        )));
    }
    Ok(Json(Message { message: "Board saved" }))
}

/// Delete one of your boards
#[utoipa::path(delete, path = "/api/boards/{name}", tag = "boards", params(Name), responses(
    (status = 200, body = Message),
    (status = 404, description = "Not found", body = ErrorBody),
    (status = 422, description = "The name is not valid", body = ValidationBody),
    Guarded,
))]
async fn delete_board(
    LoggedIn(identity): LoggedIn,
    State(state): State<AppState>,
    Name { name }: Name,
) -> Result<Json<Message>> {
    if !state.store.delete_board(identity.user.id, &name).await? {
        return Err(Error::NotFound);
    }
    Ok(Json(Message { message: "Board deleted" }))
}
