//! From paths to handlers, and the layers around them.

use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use bytes::Bytes;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use utoipa_axum::router::OpenApiRouter;

use super::error::Error;
use super::extract::MAX_BODY;
use super::{
    AppState, account, api_tokens, audit, configuration, docs, doctor, error, guard, health, history,
    openapi, page, processes, prometheus, retention, sources, users, ws,
};

/// Every documented resource.
pub(super) fn resources() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(account::routes())
        .merge(sources::routes())
        .merge(doctor::routes())
        .merge(processes::routes())
        .merge(history::routes())
        .merge(retention::routes())
        .merge(configuration::routes())
        .merge(prometheus::routes())
        .merge(users::routes())
        .merge(api_tokens::routes())
        .merge(audit::routes())
        .merge(ws::routes())
}

/// The whole service.
pub fn app(state: AppState) -> Router {
    let (api, described) = resources().split_for_parts();
    let document = openapi::document(described);
    let worth_it = SizeAbove::new(1024).and(
        |status: axum::http::StatusCode, _, headers: &axum::http::HeaderMap, _: &_| {
            // The page compresses its own files once; a stream's upgrade has no body.
            status != axum::http::StatusCode::SWITCHING_PROTOCOLS
                && !headers.contains_key(axum::http::header::ETAG)
        },
    );
    let document =
        Bytes::from(document.to_json().unwrap_or_else(|error| unreachable!("it is plain data: {error}")));
    let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
    api.route("/openapi.json", get(move || std::future::ready((kind, document.clone()))))
        .layer(CompressionLayer::new().compress_when(worth_it))
        .merge(docs::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(page::serve)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

async fn method_not_allowed() -> Response {
    Error::MethodNotAllowed.into_response()
}
