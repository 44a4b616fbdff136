//! Applies to every request and response: the host list, size limits, CORS, security headers.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::error::Error;
use super::extract::MAX_BODY;
use super::serve::Ambiguous;

/// No inline script, nothing from elsewhere. Styles may be inline: charts set them on elements they create.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; \
     form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Our outermost layer: rejects what must not reach a handler and adds headers to every response.
pub(super) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let cross_origin = origin.filter(|origin| is_listed(origin, &state.options.cors_origins));
    let is_api = request.uri().path().starts_with("/api/");
    let is_ambiguous = request.extensions().get::<Ambiguous>().is_some();
    let mut response = match refuse(&request, &state) {
        Some(error) => error.into_response(),
        None if cross_origin.is_some() && is_preflight(&request) => StatusCode::NO_CONTENT.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    if is_ambiguous {
        // Nobody knows where the next request begins.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if state.options.https {
        let month = HeaderValue::from_static("max-age=2592000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, month);
    }
    if is_api {
        // Responses are personal and short-lived.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if !state.options.cors_origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = cross_origin {
        allow_origin(headers, origin);
    }
    response
}

fn refuse(request: &Request, state: &AppState) -> Option<Error> {
    let headers = request.headers();
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        // A proxy in front may have used the other one.
        return Some(Error::BadRequest("The request names more than one host".into()));
    }
    if request.extensions().get::<Ambiguous>().is_some() {
        return Some(Error::BadRequest("The request has both Content-Length and Transfer-Encoding".into()));
    }
    if is_simple_health_check(request) {
        return None;
    }
    let host = host(request.headers(), request.uri());
    if !host.is_some_and(|host| is_our_host(host, &state.options.allowed_hosts)) {
        let detail = "The host name of this request is not served here; see PERFWATCH_ALLOWED_HOSTS";
        return Some(Error::Refused(StatusCode::MISDIRECTED_REQUEST, detail.into()));
    }
    // Browsers prevent reading across origins; preventing changes, including password guessing, is up to us.
    if !request.method().is_safe() && !is_own_page(headers, request.uri(), &state.options.cors_origins) {
        return Some(Error::Forbidden("Origin not allowed"));
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let length =
        announced.and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        return Some(Error::TooLarge);
    }
    None
}

/// Load balancers use HTTP/1.0, which has no `Host`. A browser cannot, and nothing here is secret.
fn is_simple_health_check(request: &Request) -> bool {
    request.version() == Version::HTTP_10
        && request.uri().path() == "/health"
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && host(request.headers(), request.uri()).is_none()
}

/// The authority a request is addressed to.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    uri.authority()
        .map(axum::http::uri::Authority::as_str)
        .or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()))
}

/// Rebinding works with names, not with addresses, so only known names pass.
fn is_our_host(authority: &str, allowed: &[String]) -> bool {
    let name = without_port(authority);
    let unbracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    if name.parse::<IpAddr>().is_ok() || unbracketed.is_some_and(|name| name.parse::<Ipv6Addr>().is_ok()) {
        return true;
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || allowed.iter().any(|host| host.eq_ignore_ascii_case(&name))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => authority,
    }
}

fn is_listed(origin: &HeaderValue, listed: &[String]) -> bool {
    listed.iter().any(|entry| entry.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Bearer tokens are no credentials in terms of CORS, so none are allowed.
fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type"),
    );
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

/// Whether a request comes from our own page or a listed origin's. No header means no page of another origin: browsers
/// send it with every stream and with everything that is not safe.
pub(super) fn is_own_page(headers: &HeaderMap, uri: &Uri, listed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    if origins.next().is_some() {
        return false;
    }
    if is_listed(origin, listed) {
        return true;
    }
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (authority, host(headers, uri)) {
        (Some((scheme, authority)), Some(host)) => {
            let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
            let bare = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
            bare(authority) == bare(host)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_and_known_names_pass_and_others_do_not() {
        let allowed = ["box.example.org".to_owned()];
        for ours in [
            "127.0.0.1",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:8000",
            "192.0.2.1:80",
            "localhost",
            "LOCALHOST:8000",
            "app.localhost",
            "Box.Example.org:8000",
            "localhost.:8000",
        ] {
            assert!(is_our_host(ours, &allowed), "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8000",
            "xbox.example.org",
            "notlocalhost",
            "box.example.org.evil",
            "[evil]",
            "localhost:8000:evil",
        ] {
            assert!(!is_our_host(foreign, &allowed), "{foreign}");
        }
    }

    #[test]
    fn streams_open_for_our_own_and_listed_origins_only() {
        let uri = Uri::from_static("/api/ws/metrics");
        let listed = ["https://dash.example".to_owned()];
        let may = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            is_own_page(&headers, &uri, &listed)
        };
        assert!(may(None, "127.0.0.1:8000"));
        assert!(may(Some("http://127.0.0.1:8000"), "127.0.0.1:8000"));
        assert!(may(Some("https://box"), "BOX:443"));
        assert!(may(Some("https://dash.example"), "box"));
        for foreign in ["null", "http://127.0.0.1:9000", "http://evil", "https://dash.example.evil", ""] {
            assert!(!may(Some(foreign), "127.0.0.1:8000"), "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn no_host_panics(host in ".{0,60}") {
            let _ = is_our_host(&host, &[]);
        }
    }
}
