//! `/docs`: Swagger UI from the binary, on `/openapi.json`. Its scripts are files, as our policy requires.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use super::AppState;
use super::error::Error;
use super::page::accepts;

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // Requests tried out go to this server alone, and a token stays in the tab's memory.
    // Relative to /docs/, wherever a proxy serves that.
    Arc::new(Config::from("../openapi.json").try_it_out_enabled(true).display_request_duration(true))
});

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        // The page's own links are relative, and so is this.
        .route("/docs", get(|| std::future::ready(Redirect::permanent("docs/"))))
        .route("/docs/", get(|headers: HeaderMap| std::future::ready(file("index.html", &headers))))
        .route(
            "/docs/{*path}",
            get(|Path(path): Path<String>, headers: HeaderMap| std::future::ready(file(&path, &headers))),
        )
}

fn file(path: &str, request: &HeaderMap) -> Response {
    let file = match utoipa_swagger_ui::serve(path, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => file,
        Ok(None) => return Error::NotFound.into_response(),
        Err(error) => return Error::Internal(format!("documentation: {error}")).into_response(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if !file.gzpipped {
        return (headers, file.bytes.into_owned()).into_response();
    }
    if accepts(request, header::ACCEPT_ENCODING, "gzip") {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return (headers, file.bytes.into_owned()).into_response();
    }
    let mut plain = Vec::new();
    match flate2::read::GzDecoder::new(file.bytes.as_ref()).read_to_end(&mut plain) {
        Ok(_) => (headers, plain).into_response(),
        Err(error) => Error::Internal(format!("documentation: {error}")).into_response(),
    }
}
