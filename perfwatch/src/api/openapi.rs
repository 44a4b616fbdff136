//! The OpenAPI document: what the handlers say of themselves, and the frame around it.

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::router;

#[derive(OpenApi)]
#[openapi(
    info(title = "PerfWatch", description = "One Linux machine's performance, live and over time."),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "health", description = "Whether the server and its parts run; no login needed"),
        (name = "auth", description = "Logging in and out"),
        (name = "history", description = "What was, over any range"),
        (name = "retention", description = "How long history is kept"),
        (name = "config", description = "What is measured and how often"),
        (name = "sources", description = "Collectors and probes"),
    ),
)]
pub(super) struct Frame;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document as it is served at `/openapi.json`.
pub fn document() -> utoipa::openapi::OpenApi {
    router::resources().into_openapi()
}
