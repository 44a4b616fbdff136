//! Runs the router on a listener, with limits on what connections may hold.
//!
//! A connection costs nothing but its socket until a whole request has arrived; slow senders are cut off by
//! time, and when too many wait, the one that has waited longest goes first. So a crowd of half-open or
//! dribbling connections never keeps a quick one out.

mod connections;
mod stall;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use connections::Connections;
pub(super) use connections::Slot;
use stall::Stall;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections, streams included.
    pub total: usize,
    /// Of one address; loopback is exempt.
    pub per_address: usize,
    /// Connections on which no request is being answered.
    pub idle: usize,
    /// For a request's head to arrive, and for an idle connection to be kept.
    pub header_timeout: Duration,
    /// Without progress while we write.
    pub write_timeout: Duration,
    /// For answers under way when the server stops.
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

/// Serves until `shutdown` turns true; then what is under way gets [`Limits::grace`] to end.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, mut shutdown: watch::Receiver<bool>) {
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
                // Small messages at each tick: latency counts, not the number of packets.
                let _ = stream.set_nodelay(true);
                let connection =
                    run(stream, peer, app.clone(), limits.clone(), slot, shutdown.clone(), alive.clone());
                tokio::spawn(connection);
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
        tracing::debug!("closed with connections still open");
    }
}

async fn run(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    limits: Limits,
    slot: Arc<Slot>,
    mut shutdown: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let evicted = slot.evicted();
    let alive = Alive(alive);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (app, slot, alive) = (app.clone(), Arc::clone(&slot), alive.clone());
        async move {
            let mut request = request.map(Body::new);
            slot.busy();
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(Arc::clone(&slot));
            request.extensions_mut().insert(alive);
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
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(Stall::new(stream, limits.write_timeout)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Errors are the peer's: a reset, a timeout, bytes that are no HTTP (answered by hyper with 400).
        _ = &mut connection => {}
        () = evicted.notified() => {}
        () = stopped(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Waits for the signal to stop; whoever could give it being gone is one too.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Held by every connection and stream: shutdown waits until all are dropped.
#[derive(Debug, Clone)]
pub(super) struct Alive(#[allow(dead_code)] mpsc::Sender<()>);
