//! `WS /api/ws/metrics`: the live stream.
//!
//! A snapshot becomes one WebSocket frame once, and every client's socket is written from those same bytes.
//! tungstenite reads the client's frames and writes the small ones; between them its buffer is flushed and
//! empty, so whole frames may go to the socket directly.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

mod channel;
mod frame;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Problem, Queued, ValidationBody};
use super::extract::{ClientAddress, NO_SCOPE, may_read};
use super::guard::is_own_page;
use super::questions::Question;
use super::remote::no_hub;
use super::serve::{Alive, Slot, stopped};
use crate::auth::{AuthError, Identity};
use crate::snapshot::Snapshot;
use crate::stream::Update;
pub(super) use channel::FramesOfHosts;
use channel::{Channel, Start, told};
use frame::Form;
pub(super) use frame::Frames;

/// What a client may send in one frame or message.
const MAX_MESSAGE: usize = 64 * 1024;
/// Snapshots in a backfill at most.
const BACKFILL_MESSAGES: usize = 720;
/// How often a silent client is asked whether it is there; after two unanswered it is not.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that took longer for an update is to blame for what it skipped.
const SLOW: Duration = Duration::from_millis(200);
/// For the peer's half of the closing handshake.
const GOODBYE: Duration = Duration::from_secs(1);

/// Our own close code: the token expired, or was ended by a logout or a new password.
const TOKEN_ENDED: u16 = 4001;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(upgrade))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// A session or API token; better sent as subprotocols `bearer, <token>`, which are not logged
    #[param(required = false, value_type = String)]
    token: Option<String>,
    /// Number of past snapshots to start with, at most 720
    #[param(required = false, value_type = usize, minimum = 0, default = 0)]
    backfill: Option<String>,
    /// `deflate`: ticks as binary messages, compressed once for all clients; see docs/api.md
    #[param(required = false, value_type = String, pattern = "^deflate$")]
    compression: Option<String>,
    /// ID or name of a machine of the fleet, on a hub; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

/// The live stream, over WebSocket
#[utoipa::path(get, path = "/api/ws/metrics", tag = "stream", security(()), params(Parameters), responses(
    (status = 101, description = "One message per tick: {\"type\":\"metrics\",\"timestamp\",\"interval_ms\",\"data\":{type: document}}"),
    (status = 400, description = "No machine of this name", body = ErrorBody),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    (status = 426, description = "Not a WebSocket handshake", body = ErrorBody),
    Guarded, Queued,
))]
async fn upgrade(
    ClientAddress(address): ClientAddress,
    State(state): State<AppState>,
    mut request: Request,
) -> Result<Response, Error> {
    if !is_own_page(request.headers(), request.uri(), &state.options.cors_origins) {
        return Err(Error::Forbidden("Origin not allowed"));
    }
    let Query(parameters) = Query::<Parameters>::try_from_uri(request.uri())
        .map_err(|_| Error::Invalid(vec![Problem::new(&["query"], "A parameter may be given only once")]))?;
    let protocol_token = token_of_protocol(request.headers());
    let token = parameters.token.as_deref().or(protocol_token.as_deref()).ok_or(Error::NotAuthenticated)?;
    // From before the token is checked: one that dies while the stream starts must end it, too.
    let revocations = state.auth.revocations();
    let identity = state.auth.authenticate(token).await?;
    if !may_read(&identity) {
        return Err(Error::Forbidden(NO_SCOPE));
    }
    let backfill = match parameters.backfill.as_deref() {
        None => 0,
        Some(text) => text.parse::<usize>().map(|n| n.min(BACKFILL_MESSAGES)).map_err(|_| {
            Error::Invalid(vec![Problem::new(&["query", "backfill"], "Expected a number from 0 to 720")])
        })?,
    };
    let is_packed = match parameters.compression.as_deref() {
        None => false,
        Some("deflate") => true,
        Some(_) => {
            return Err(Error::Invalid(vec![Problem::new(&["query", "compression"], "Expected deflate")]));
        }
    };
    let history = state.history_of(&identity, parameters.host.as_deref()).await?;
    let is_own = history.host() == state.history.host();
    if !is_own && state.fleet.watching.is_none() {
        return Err(no_hub());
    }
    // A long backfill is much to write: admit it before the upgrade, while it can be refused.
    let question = (backfill > 0).then(|| state.ask(&identity)).transpose()?;
    // axum's own upgrade would return a socket that only takes messages, each framed again for every client, and
    // that cannot be read past one that is too big.
    let mut response = create_response_with_body(&request, Body::empty).map_err(|_| {
        Error::Refused(StatusCode::UPGRADE_REQUIRED, "Expected a WebSocket handshake (version 13)".into())
    })?;

    let channel = match &state.fleet.watching {
        Some(watching) if !is_own => {
            state.note_asked(&identity, address, history.host(), "live").await;
            let watched = watching.watch(history.host());
            let frames = state.0.frames_of_hosts.of(history.host());
            Channel { history, hub: watched.hub.clone(), frames, watched: Some(watched) }
        }
        _ => Channel { history, hub: state.hub.clone(), frames: Arc::clone(&state.0.frames), watched: None },
    };
    let host = channel.history.host().to_owned();
    let streams = state.streams.clone();
    let upgrading = hyper::upgrade::on(&mut request);
    let slot = request.extensions_mut().remove::<Arc<Slot>>();
    let alive = request.extensions_mut().remove::<Alive>();
    // On their own threads: a tick wakes every stream at once, and no request should queue behind thousands.
    streams.spawn(async move {
        // Both count this stream among the connections until it ends.
        let _held = (slot, alive);
        if let Ok(upgraded) = upgrading.await {
            let ended = ended(&state, identity, host, revocations);
            Stream::open(channel, upgraded, is_packed).await.run(ended, backfill, question).await;
        }
    });

    if protocol_token.is_some() {
        let bearer = HeaderValue::from_static("bearer");
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, bearer);
    }
    Ok(response)
}

/// The token in `Sec-WebSocket-Protocol: bearer, <jwt>`, which unlike a query lands in nobody's log.
fn token_of_protocol(headers: &HeaderMap) -> Option<String> {
    let values =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut offered = values.flat_map(|value| value.split(',')).map(str::trim);
    (offered.next()? == "bearer").then(|| offered.next().map(str::to_owned))?
}

/// Completes when the token has expired or was ended, the user may no longer see the host, or the server stops.
fn ended(
    state: &AppState,
    identity: Identity,
    host: String,
    mut revocations: watch::Receiver<u64>,
) -> impl Future<Output = End> + use<> {
    let state = state.clone();
    let mut shutdown = state.shutdown.clone();
    let lifetime = (identity.expires_at() - OffsetDateTime::now_utc()).max(time::Duration::ZERO);
    let revoked = async move {
        while revocations.changed().await.is_ok() {
            match state.auth.still_valid(&identity.credential).await {
                Err(AuthError::Refused) => return,
                Ok(now) if matches!(state.sees(&now, &host).await, Ok(false)) => return,
                _ => {}
            }
        }
        // Nobody is left who could revoke.
        std::future::pending::<()>().await;
    };
    async move {
        tokio::select! {
            () = revoked => End::Close(TOKEN_ENDED, "token ended"),
            () = tokio::time::sleep(lifetime.unsigned_abs()) => End::Close(TOKEN_ENDED, "token expired"),
            () = stopped(&mut shutdown) => End::Close(CloseCode::Away.into(), "server stopping"),
        }
    }
}

struct Stream {
    channel: Channel,
    socket: Socket,
    /// Whether ticks are compressed.
    is_packed: bool,
    /// The tick that the client got last, if the next one may be compressed with it.
    base: Option<Arc<Snapshot>>,
    /// How long the last update took to write.
    held_up: Duration,
    /// Where the past ended, until the first update: that may be part of it.
    until: Option<OffsetDateTime>,
}

/// Why a stream ends.
enum End {
    Close(u16, &'static str),
    /// A frame over the limit: the rest of it is still arriving.
    TooBig,
    /// The peer is gone or no longer follows the protocol.
    Gone,
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl Stream {
    async fn open(channel: Channel, upgraded: Upgraded, is_packed: bool) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(2048)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_MESSAGE)
            .max_frame_size(Some(MAX_MESSAGE))
            .max_message_size(Some(MAX_MESSAGE));
        let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        Self { channel, socket, is_packed, base: None, held_up: Duration::ZERO, until: None }
    }

    async fn run(mut self, ended: impl Future<Output = End>, backfill: usize, question: Option<Question>) {
        let channel = self.channel.clone();
        let subscribed = match &question {
            Some(question) => question.work(async move { Ok(channel.subscribe(backfill).await) }).await,
            None => Ok(Box::pin(channel.subscribe(0)).await),
        };
        let Ok(start) = subscribed else {
            return self.close(CloseCode::Again.into(), "too many questions at once").await;
        };
        let end = match self.send_history(backfill > 0, &start.past).await {
            Ok(()) => {
                drop(question);
                self.follow(start, backfill, ended).await
            }
            Err(end) => end,
        };
        match end {
            End::Gone => {}
            End::Close(code, reason) => self.close(code, reason).await,
            End::TooBig => self.close_amid_frame(CloseCode::Size.into()).await,
        }
    }

    /// Sends every update until there is a reason to end.
    async fn follow(&mut self, start: Start, backfill: usize, ended: impl Future<Output = End>) -> End {
        // One future for as long as the stream lasts: what a loop recreates costs every client a little at every tick.
        let mut ended = pin!(ended);
        let Start { past, mut updates, until } = start;
        drop(past);
        self.until = until;
        let mut states = self.channel.states();
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        // After a message that took minutes to write, the client gets time to answer.
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        loop {
            let sent = tokio::select! {
                // What is rare comes first: it starves nothing, and a client that never stops talking starves none of it.
                biased;
                update = updates.next() => {
                    // The previous run was read only after this stream began. Its backfill is sent once more, and the
                    // update is the first of the new subscription again.
                    let past = if backfill > 0 && updates.missed_past() {
                        let again = Box::pin(self.channel.subscribe(backfill)).await;
                        updates = again.updates;
                        Some(again.past)
                    } else {
                        None
                    };
                    tokio::select! {
                        biased;
                        sent = self.send_update(&update, past) => sent,
                        // In the middle of a frame nothing can be sent any more.
                        _ = &mut ended => Err(End::Gone),
                    }
                }
                end = &mut ended => Err(end),
                state = told(&mut states) => self.send(Message::Text(state.into())).await,
                _ = ping.tick() => {
                    unanswered += 1;
                    if unanswered > 2 {
                        return End::Gone;
                    }
                    self.send(Message::Ping(Bytes::new())).await
                }
                frame = self.socket.next() => {
                    unanswered = 0;
                    self.receive(frame).await
                }
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    async fn receive(&mut self, frame: Option<Result<Message, WsError>>) -> Result<(), End> {
        match frame {
            Some(Ok(Message::Text(text))) if is_ping(&text) => {
                self.send(Message::Text(Utf8Bytes::from_static(r#"{"type":"pong"}"#))).await
            }
            Some(Ok(Message::Close(_))) => {
                // tungstenite has the reply ready; reading on sends it.
                let _ = tokio::time::timeout(GOODBYE, self.socket.next()).await;
                Err(End::Gone)
            }
            // Ignore anything else a client sends; a Ping's reply goes out with the next read.
            Some(Ok(_)) => Ok(()),
            Some(Err(WsError::Capacity(_))) => Err(End::TooBig),
            Some(Err(WsError::Utf8(_))) => Err(End::Close(CloseCode::Invalid.into(), "text is not UTF-8")),
            Some(Err(_)) | None => Err(End::Gone),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        self.socket.send(message).await.map_err(|_| End::Gone)
    }

    /// The update, or in its stead a backfill that it comes after.
    async fn send_update(&mut self, update: &Update, past: Option<Vec<Bytes>>) -> Result<(), End> {
        let until = self.until.take();
        if past.is_none() && until.is_some_and(|until| update.snapshot.timestamp <= until) {
            return Ok(());
        }
        let begun = Instant::now();
        self.socket.flush().await.map_err(|_| End::Gone)?;
        let io = self.socket.get_mut();
        if let Some(past) = past {
            frame::write_history(io, &past).await?;
        } else if update.skipped == 0 {
            let form = if self.is_packed { Form::Packed(self.base.as_ref()) } else { Form::Text };
            let frame = self.channel.frames.of(&update.snapshot, form)?;
            self.base = self.is_packed.then(|| Arc::clone(&update.snapshot));
            frame::write_whole(io, &frame).await?;
        } else {
            let by = if self.held_up >= SLOW { "client" } else { "server" };
            let message = frame::with_skipped(&update.snapshot.message(), update.skipped, by);
            let frame = if self.is_packed { frame::packed(&message)? } else { frame::text(&message) };
            self.base = None;
            frame::write_whole(io, &frame).await?;
        }
        self.held_up = begun.elapsed();
        Ok(())
    }

    async fn send_history(&mut self, wanted: bool, past: &[Bytes]) -> Result<(), End> {
        if wanted {
            frame::write_history(self.socket.get_mut(), past).await?;
        }
        Ok(())
    }

    /// The closing handshake: our half, then the peer's or a second.
    async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) };
        let goodbye = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    /// Closes while a frame that we don't want is arriving. What arrives is read and dropped for a while, since
    /// closing a socket with unread bytes would reset it before the peer has seen why.
    async fn close_amid_frame(mut self, code: u16) {
        let io = self.socket.get_mut();
        let goodbye = async {
            frame::write_close(io, code).await?;
            let mut unwanted = vec![0; 16 * 1024];
            while io.read(&mut unwanted).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

/// Whether a client's text is `{"type":"ping"}`, with whatever else in it.
fn is_ping(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    // serde would take an array's first element for the first field.
    text.trim_start().starts_with('{')
        && serde_json::from_str::<Said<'_>>(text).is_ok_and(|said| said.kind == "ping")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_ping_is_a_ping() {
        assert!(is_ping(r#"{"type":"ping"}"#));
        assert!(is_ping(r#" {"x":[1,{}],"type":"p\u0069ng"}"#));
        let nested = "[".repeat(100_000);
        let in_object = format!("{{\"type\":\"ping\",\"x\":{nested}");
        for other in [
            "",
            "{",
            "[]",
            r#"["ping"]"#,
            "7",
            r#""ping""#,
            r#"{"type":"pong"}"#,
            r#"{"type":1}"#,
            &nested,
            &in_object,
        ] {
            assert!(!is_ping(other));
        }
    }

    #[test]
    fn the_token_stands_behind_the_protocols_name() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            token_of_protocol(&headers)
        };
        assert_eq!(with("bearer, a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(with("bearer"), None);
        assert_eq!(with("a.b.c, bearer"), None);
        assert_eq!(with("graphql, a.b.c"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = is_ping(&text);
        }
    }
}
