//! The answer to a request that only does something.

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct Message {
    pub message: &'static str,
}
