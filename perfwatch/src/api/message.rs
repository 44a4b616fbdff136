//! The response to a request that only performs an action.

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct Message {
    pub message: &'static str,
}
