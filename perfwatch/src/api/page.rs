//! The page, from the binary: history-mode fallback, caching, compression. Also the root's JSON.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde_json::json;

use super::error::Error;
use super::{AppState, VERSION};

/// Debug builds read the files at run time, release builds embed them.
#[derive(RustEmbed)]
#[folder = "../frontend/dist"]
#[allow_missing = true]
struct Dist;

const INDEX: &str = "index.html";
const ICON: &str = "favicon.svg";
const NOT_BUILT: &str = "<!doctype html><head><base href=\"/\"><meta charset=utf-8><title>PerfWatch</title></head>\
    <h1>PerfWatch</h1><p>This server was built without its page. <code>cargo xtask build</code> builds both. \
    The API is at work: see <a href=docs/>docs</a>.</p>";

/// Everything but the API: a file of the page, or the page itself for its own routes.
pub(super) async fn serve(
    State(state): State<AppState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let base_path = &state.options.base_path;
    let path = uri.path();
    // No page below these: a client that requests `/metrics/` wants numbers.
    if ["api", "docs", "health", "metrics", "openapi.json"]
        .contains(&path.split('/').nth(1).unwrap_or_default())
    {
        return Error::NotFound.into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return Error::MethodNotAllowed.into_response();
    }
    if path == "/" && accepts(&headers, header::ACCEPT, "application/json") {
        let about = json!({
            "name": "PerfWatch",
            "version": VERSION,
            "docs": format!("{base_path}/docs"),
            "health": format!("{base_path}/health"),
        });
        return ([(header::VARY, "accept")], Json(about)).into_response();
    }
    let name = path.trim_start_matches('/');
    let is_asset = name.starts_with("assets/");
    match Dist::get(name) {
        Some(file) if name != INDEX => answer(name, &file, &headers, is_asset),
        // A missing file is a 404; a path of the page's own router gets the page: `/who/cgroup/system.slice/ssh.service`.
        None if is_asset || (name.contains('.') && !name.contains('/')) => Error::NotFound.into_response(),
        _ => match Dist::get(INDEX) {
            Some(file) if base_path.is_empty() && !state.fleet.is_hub() => {
                answer(INDEX, &file, &headers, false)
            }
            Some(file) => {
                let html = below(base_path, &String::from_utf8_lossy(&file.data));
                Html(if state.fleet.is_hub() { of_hub(&html) } else { html }).into_response()
            }
            None => Html(below(base_path, NOT_BUILT)).into_response(),
        },
    }
}

/// The page with the base path added to everything it loads and links.
fn below(base_path: &str, html: &str) -> String {
    html.replacen("<base href=\"/\"", &format!("<base href=\"{base_path}/\""), 1)
}

/// The page with a mark that it is a hub's, so that it need not ask before it shows anything.
fn of_hub(html: &str) -> String {
    html.replacen("<html ", "<html data-role=\"hub\" ", 1)
}

fn answer(name: &str, file: &EmbeddedFile, request: &HeaderMap, is_asset: bool) -> Response {
    let hash = file.metadata.sha256_hash();
    let (encoding, body) = match represent(name, file, request) {
        Ok(representation) => representation,
        Err(error) => return Error::Internal(format!("compressing {name}: {error}")).into_response(),
    };
    // One tag per representation, as strong tags require.
    let tag = format!("\"{}-{}\"", hex(&hash[..12]), encoding.unwrap_or("id"));
    let cache = match name {
        _ if is_asset => "public, max-age=31536000, immutable",
        // Browsers may fetch it whenever the address changes, as it does with every step in time.
        ICON => "public, max-age=86400",
        _ => "no-cache",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Ok(etag) = HeaderValue::from_str(&tag) else {
        return Error::Internal(format!("{tag:?} is not a header value")).into_response();
    };
    headers.insert(header::ETAG, etag);
    let known = request.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|known| {
        known.split(',').any(|k| k.trim().trim_start_matches("W/") == tag || k.trim() == "*")
    }) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let mime = file.metadata.mimetype();
    let mime = if mime.starts_with("text/") { format!("{mime}; charset=utf-8") } else { mime.to_owned() };
    if let Ok(mime) = HeaderValue::from_str(&mime) {
        headers.insert(header::CONTENT_TYPE, mime);
    }
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    (headers, body).into_response()
}

fn plain(file: &EmbeddedFile) -> Bytes {
    match &file.data {
        std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
        std::borrow::Cow::Owned(data) => Bytes::copy_from_slice(data),
    }
}

/// The best representation the client accepts: the build's `.br` or `.gz` beside the file, or gzipped by us.
fn represent(
    name: &str,
    file: &EmbeddedFile,
    request: &HeaderMap,
) -> std::io::Result<(Option<&'static str>, Bytes)> {
    if is_compressible(file.metadata.mimetype()) && file.data.len() >= 512 {
        for (encoding, suffix) in [("br", "br"), ("gzip", "gz")] {
            if accepts(request, header::ACCEPT_ENCODING, encoding) {
                if let Some(ready) = Dist::get(&format!("{name}.{suffix}")) {
                    return Ok((Some(encoding), plain(&ready)));
                }
                if encoding == "gzip" {
                    return Ok((Some(encoding), gzipped(file.metadata.sha256_hash(), file)?));
                }
            }
        }
    }
    Ok((None, plain(file)))
}

fn is_compressible(mime: &str) -> bool {
    mime.starts_with("text/")
        || ["javascript", "json", "svg", "xml", "wasm"].iter().any(|kind| mime.contains(kind))
}

/// Files without a compressed sibling, compressed once. Bounded by the number of embedded files.
static GZIPPED: LazyLock<Mutex<HashMap<[u8; 32], Bytes>>> = LazyLock::new(Mutex::default);

fn gzipped(hash: [u8; 32], file: &EmbeddedFile) -> std::io::Result<Bytes> {
    let mut cache = GZIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(done) = cache.get(&hash) {
        return Ok(done.clone());
    }
    let mut writer =
        flate2::write::GzEncoder::new(Vec::with_capacity(file.data.len() / 3), Default::default());
    writer.write_all(&file.data)?;
    let done = Bytes::from(writer.finish()?);
    cache.insert(hash, done.clone());
    Ok(done)
}

/// Whether a list header names `wanted`, not counting `;q=0`.
pub(super) fn accepts(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let is_wanted = parts.next().is_some_and(|item| item.eq_ignore_ascii_case(wanted));
            let refused =
                parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0)));
            is_wanted && !refused
        })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_headers_are_read_with_their_weights() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, "gzip;q=0.5, BR ; q=0, identity".parse().unwrap());
        assert!(accepts(&headers, header::ACCEPT_ENCODING, "gzip"));
        assert!(!accepts(&headers, header::ACCEPT_ENCODING, "br"));
        assert!(!accepts(&headers, header::ACCEPT_ENCODING, "zip"));
    }
}
