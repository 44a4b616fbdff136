//! Runs the router on a listener, with limits on what connections may use.
//!
//! A connection costs only its socket until a whole request has arrived; slow senders time out, and when too many
//! wait, the one that has waited longest is closed first. So a crowd of half-open or dribbling connections never
//! keeps a quick one out.

mod arriving;
mod connections;
mod framing;
mod stall;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use arriving::Arriving;
use connections::Connections;
pub(super) use connections::Slot;
pub(super) use framing::Ambiguous;
use framing::Framing;
use stall::Stall;
pub use tls::{Tls, TlsError};

/// Bytes that the kernel holds back for a slow client. With more, its progress would be seen too rarely to tell it from
/// one that has stopped reading, and what it gets would be long outdated.
const MAX_UNSENT: u32 = 128 * 1024;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections, streams included.
    pub total: usize,
    /// Per address; loopback is exempt.
    pub per_address: usize,
    /// Connections without a request being answered.
    pub idle: usize,
    /// For a TLS handshake, for a request's head to arrive, and for keeping an idle connection.
    pub header_timeout: Duration,
    /// Without progress while we write.
    pub write_timeout: Duration,
    /// For responses in progress when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: 8192,
            per_address: 2048,
            idle: 1024,
            header_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            grace: Duration::from_millis(1200),
        }
    }
}

/// Serves until `shutdown` turns true; then requests in progress get [`Limits::grace`] to end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    app: Router,
    limits: Limits,
    mut shutdown: watch::Receiver<bool>,
) {
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let connections = Arc::new(Connections::new(&limits));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut shutdown) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(slot) = connections.admit(peer.ip()) else { continue };
                // Small messages at each tick: latency matters, not the number of packets.
                let _ = stream.set_nodelay(true);
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
                let stream = Stall::new(stream, limits.write_timeout);
                let connection = Connection {
                    peer,
                    app: app.clone(),
                    header_timeout: limits.header_timeout,
                    slot,
                    shutdown: shutdown.clone(),
                    alive: Alive(alive.clone()),
                };
                match tls.clone() {
                    Some(tls) => drop(tokio::spawn(connection.run_encrypted(tls, stream))),
                    None => drop(tokio::spawn(connection.run(stream))),
                }
            }
            Err(error) => {
                // Out of descriptors, or a peer that left at once: in either case the next may work.
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop((listener, alive));
    if tokio::time::timeout(limits.grace, all_gone.recv()).await.is_err() {
        tracing::debug!("stopped with connections still open");
    }
}

struct Connection {
    peer: SocketAddr,
    app: Router,
    header_timeout: Duration,
    slot: Arc<Slot>,
    shutdown: watch::Receiver<bool>,
    alive: Alive,
}

impl Connection {
    async fn run_encrypted(mut self, tls: Tls, stream: Stall<TcpStream>) {
        let evicted = self.slot.evicted();
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(self.header_timeout, tls.accept(stream)) => handshake,
            () = evicted.notified() => return,
            () = stopped(&mut self.shutdown) => return,
        };
        // Errors are the peer's: bytes that are not TLS, a certificate it does not trust, a timeout.
        if let Ok(Ok(stream)) = handshake {
            self.run(stream).await;
        }
    }

    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { peer, app, header_timeout, slot, mut shutdown, alive } = self;
        let evicted = slot.evicted();
        let (stream, verdict) = Framing::new(stream);
        let requests = AtomicUsize::new(0);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (app, slot, alive) = (app.clone(), Arc::clone(&slot), alive.clone());
            let ambiguous = verdict.is_on(requests.fetch_add(1, Ordering::Relaxed));
            async move {
                let mut request = request.map(|body| Body::new(Arriving::new(body, Arc::clone(&slot))));
                request.extensions_mut().insert(ConnectInfo(peer));
                request.extensions_mut().insert(Arc::clone(&slot));
                request.extensions_mut().insert(alive);
                if ambiguous {
                    request.extensions_mut().insert(Ambiguous);
                }
                let response = app.oneshot(request).await;
                // An upgraded connection belongs to its stream from now on.
                if !response.as_ref().is_ok_and(|r| r.status() == StatusCode::SWITCHING_PROTOCOLS) {
                    slot.idle();
                }
                response
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            // Errors are the peer's: a reset, a timeout, bytes that are not HTTP (answered by hyper with 400).
            _ = &mut connection => {}
            () = evicted.notified() => {}
            () = stopped(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

/// Waits for the signal to stop; a dropped sender counts as one too.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Held by every connection and stream: shutdown waits until all are dropped.
#[derive(Debug, Clone)]
pub(super) struct Alive(#[allow(dead_code)] mpsc::Sender<()>);
