//! From paths to handlers, and the layers around them.

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use bytes::Bytes;
use tower::Layer;
use tower::util::MapRequestLayer;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use utoipa_axum::router::OpenApiRouter;

use super::error::Error;
use super::extract::MAX_BODY;
use super::{
    AppState, account, alerts, api_tokens, audit, boards, configuration, docs, doctor, error, events, fleet,
    guard, health, history, hosts, joining, openapi, page, processes, profiles, prometheus, retention,
    sources, users, ws,
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
        .merge(profiles::routes())
        .merge(hosts::routes())
        .merge(fleet::routes())
        .merge(joining::routes())
        .merge(events::routes())
        .merge(retention::routes())
        .merge(alerts::routes())
        .merge(configuration::routes())
        .merge(prometheus::routes())
        .merge(users::routes())
        .merge(api_tokens::routes())
        .merge(audit::routes())
        .merge(boards::routes())
        .merge(ws::routes())
}

/// The whole service.
pub fn app(state: AppState) -> Router {
    let (api, described) = resources().split_for_parts();
    let base_path = state.options.base_path.clone();
    let document = openapi::document(described, &base_path);
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
    let app = api
        .route("/openapi.json", get(move || std::future::ready((kind, document.clone()))))
        // Of gzip: a third of the time that six takes, for 4 % more.
        .layer(CompressionLayer::new().quality(CompressionLevel::Precise(4)).compress_when(worth_it))
        .merge(docs::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(page::serve)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state);
    if base_path.is_empty() {
        return app;
    }
    // Before anything is routed.
    let below = MapRequestLayer::new(move |mut request: Request| {
        strip(&mut request, &base_path);
        request
    });
    Router::new().fallback_service(below.layer(app))
}

/// Strips the base path. Paths without it stay as they are: some proxies strip it themselves, and health checks do not
/// come through one.
fn strip(request: &mut Request, base_path: &str) {
    let uri = request.uri();
    let Some(rest) = uri.path().strip_prefix(base_path) else { return };
    let path = match rest {
        "" => "/",
        rest if rest.starts_with('/') => rest,
        _ => return,
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    // What is left of a valid URI is valid.
    parts.path_and_query = format!("{path}{query}").parse().ok();
    if let Ok(stripped) = Uri::from_parts(parts) {
        *request.uri_mut() = stripped;
    }
}

async fn method_not_allowed() -> Response {
    Error::MethodNotAllowed.into_response()
}
