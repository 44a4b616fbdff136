//! What handlers extract from a request: the caller, the client address, and the body.

mod forwarded;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::AppState;
use super::error::{Error, Problem};
use crate::auth::{Credential, Identity};

pub(super) const MAX_BODY: usize = 64 * 1024;
/// 64 KiB arrive within this on any usable connection.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Anyone with read access: a login, or an API token with the scope. First in a handler's arguments, so that it is
/// checked before anything else.
#[derive(Debug)]
pub(super) struct CurrentUser(pub Identity);

impl FromRequestParts<AppState> for CurrentUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let identity = identify(parts, state).await?;
        if may_read(&identity) { Ok(Self(identity)) } else { Err(Error::Forbidden(NO_SCOPE)) }
    }
}

pub(super) const NO_SCOPE: &str = "The API token's scopes do not allow this";

pub(super) fn may_read(identity: &Identity) -> bool {
    match identity.credential {
        Credential::Login(_) => true,
        Credential::ApiToken { scopes, .. } => scopes.read,
    }
}

/// A user who logged in with a password: managing one's own account is not for API tokens.
#[derive(Debug)]
pub(super) struct LoggedIn(pub Identity);

impl FromRequestParts<AppState> for LoggedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let identity = identify(parts, state).await?;
        match identity.credential {
            Credential::Login(_) => Ok(Self(identity)),
            Credential::ApiToken { .. } => Err(Error::Forbidden(NO_SCOPE)),
        }
    }
}

/// A logged-in user who may change things.
#[derive(Debug)]
pub(super) struct Administrator(pub Identity);

impl FromRequestParts<AppState> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let LoggedIn(identity) = LoggedIn::from_request_parts(parts, state).await?;
        if identity.is_admin() {
            Ok(Self(identity))
        } else {
            Err(Error::Forbidden("Administrator rights required"))
        }
    }
}

/// Who may note events: administrators, and their API tokens with the scope.
#[derive(Debug)]
pub(super) struct Noter(pub Identity);

impl FromRequestParts<AppState> for Noter {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let identity = identify(parts, state).await?;
        match identity.credential {
            Credential::ApiToken { scopes, .. } if !scopes.events => Err(Error::Forbidden(NO_SCOPE)),
            _ if !identity.is_admin() => Err(Error::Forbidden("Administrator rights required")),
            _ => Ok(Self(identity)),
        }
    }
}

/// Whoever may read `/metrics`: everyone if so configured, otherwise logins and API tokens with a scope for reading.
#[derive(Debug)]
pub(super) enum Scraper {
    Anyone,
    User(Identity),
}

impl FromRequestParts<AppState> for Scraper {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        if state.options.public_metrics {
            return Ok(Self::Anyone);
        }
        let identity = identify(parts, state).await?;
        match identity.credential {
            Credential::ApiToken { scopes, .. } if !scopes.read && !scopes.metrics => {
                Err(Error::Forbidden(NO_SCOPE))
            }
            _ => Ok(Self::User(identity)),
        }
    }
}

async fn identify(parts: &Parts, state: &AppState) -> Result<Identity, Error> {
    let token = bearer(&parts.headers)?.ok_or(Error::NotAuthenticated)?;
    Ok(state.auth.authenticate(token).await?)
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| Error::InvalidCredentials)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        // Another scheme, or no credentials after it: treat as absent.
        _ => Ok(None),
    }
}

/// The client address of a request: the peer's, or what a trusted proxy reports for its peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientAddress(pub IpAddr);

impl FromRequestParts<AppState> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(
            // Not loopback, which is trusted more.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            |info| info.0.ip().to_canonical(),
        );
        Ok(Self(forwarded::client_address(
            peer,
            &parts.headers,
            &state.options.trusted_proxies,
            state.options.proxy_header,
        )))
    }
}

/// A JSON body. Errors describe invalid ones without repeating what was sent.
#[derive(Debug)]
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Error> {
        // Pages of any other origin may send anything else without a preflight.
        if !is_json(request.headers()) {
            return Err(Error::NotJson);
        }
        let arriving = Bytes::from_request(request, state);
        let bytes = tokio::time::timeout(BODY_TIMEOUT, arriving)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
                status => Error::Refused(status, "The request body could not be read".into()),
            })?;
        parse_body(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = kinds.next().and_then(|kind| kind.to_str().ok()).filter(|_| kinds.next().is_none());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let mut loc = vec!["body".to_owned()];
        loc.extend(error.path().iter().filter_map(|segment| match segment {
            serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
            serde_path_to_error::Segment::Map { key } => Some(key.clone()),
            _ => None,
        }));
        let inner = error.inner();
        if !inner.is_data() {
            return Error::Invalid(vec![Problem::new(&["body"], "The body is not valid JSON")]);
        }
        let text = inner.to_string();
        let msg = match text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
            Some((field, _)) => {
                loc.push(field.to_owned());
                "Field required".to_owned()
            }
            None => describe(&text),
        };
        Error::Invalid(vec![Problem { loc, msg }])
    })?;
    json.end().map_err(|_| Error::Invalid(vec![Problem::new(&["body"], "The body is not valid JSON")]))?;
    Ok(value)
}

/// A change in the audit log: JSON of what was given.
pub(super) fn told(change: &impl Serialize) -> String {
    let mut value = serde_json::to_value(change).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    value.to_string()
}

/// What was expected, from serde's message, which also repeats what was found.
fn describe(text: &str) -> String {
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => {
            let expected = expected.rsplit_once(" at line ").map_or(expected, |(what, _)| what);
            format!("Expected {expected}")
        }
        None => "Not a valid value".to_owned(),
    }
}

/// Text that may contain what JSON can spell and Unicode cannot: a lone surrogate. Then it is `None`.
#[derive(Debug)]
pub(super) struct Text {
    pub valid: Option<String>,
    /// In characters, or in bytes if it is not Unicode.
    pub length: usize,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(match std::str::from_utf8(bytes) {
                    Ok(text) => Text { length: text.chars().count(), valid: Some(text.to_owned()) },
                    Err(_) => Text { length: bytes.len(), valid: None },
                })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                self.visit_bytes(text.as_bytes())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests;
