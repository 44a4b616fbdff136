//! HTTP and WebSocket: what the browser page, scripts and Prometheus see.
//!
//! [`app`] makes the router from an [`AppState`]; [`serve`](serve::serve) runs it on a listener. Handlers
//! stand in one file per resource and reach the rest of the program only through the state.

mod account;
mod api_tokens;
mod audit;
mod configuration;
mod docs;
mod doctor;
mod error;
mod extract;
mod guard;
mod health;
mod history;
mod moment;
mod openapi;
mod page;
mod parameters;
mod processes;
mod prometheus;
mod retention;
mod router;
pub mod serve;
mod sources;
mod users;
mod ws;

use std::net::IpAddr;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::auth::Auth;
use crate::config::Roots;
use crate::snapshot::Snapshot;
use crate::snapshot::diagnosis::Diagnosis;
use crate::snapshot::processes::listing::Lister;
use crate::snapshot::source::{Board, Report, Settings};
use crate::store::{Store, writer};
use crate::stream::Hub;

pub use openapi::document as openapi_document;
pub use router::app;

/// The version every answer gives.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything handlers may reach. Clones share it.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: Parts,
    frames: ws::Frames,
    intervals: prometheus::Intervals,
    changing: Mutex<()>,
    listing: Mutex<()>,
}

/// The doctor, asked with the sources' reports and the newest snapshot. It reads /proc and /sys.
pub type Diagnose = fn(&Roots, &[Report], Option<&Snapshot>) -> Diagnosis;

/// What an [`AppState`] is made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub hub: Hub,
    pub board: Board,
    /// Brings snapshots to the store; `None` when none go there.
    pub writer: Option<writer::Handle>,
    pub auth: Arc<Auth>,
    /// Where a changed configuration goes; the pipeline obeys it from the next tick on.
    pub settings: watch::Sender<Settings>,
    pub diagnose: Diagnose,
    pub processes: Arc<dyn Lister>,
    pub options: Options,
    /// Where streams run, apart from requests.
    pub streams: Handle,
    /// Turns true when the server stops: streams say goodbye.
    pub shutdown: watch::Receiver<bool>,
}

/// What the configuration says about the server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names, besides addresses, `localhost` and this machine's own, under which the server may be
    /// called; others are refused, so that no foreign page can point its own name at us (DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://host[:port]`) whose pages may call the API and the stream.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Serve `/metrics` to anyone instead of only with an API token.
    pub public_metrics: bool,
    /// Served over TLS, which browsers shall insist on from then on.
    pub https: bool,
    /// Where the observed system's files are.
    pub roots: Roots,
}

impl AppState {
    pub fn new(mut parts: Parts) -> Self {
        let this_machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        parts.options.allowed_hosts.push(this_machine);
        Self(Arc::new(Shared {
            parts,
            frames: ws::Frames::default(),
            intervals: prometheus::Intervals::default(),
            changing: Mutex::default(),
            listing: Mutex::default(),
        }))
    }

    /// The store, once it has what was measured until `end`.
    async fn stored_until(&self, end: OffsetDateTime) -> &Arc<dyn Store> {
        if let Some(writer) = &self.writer {
            writer.flush(end).await;
        }
        &self.store
    }

    fn intervals(&self) -> &prometheus::Intervals {
        &self.0.intervals
    }

    /// One change of the stored configuration at a time: each reads what it writes back.
    async fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    /// One list of all processes at a time, however many ask: those behind get what the first was made for.
    async fn listing(&self) -> MutexGuard<'_, ()> {
        self.0.listing.lock().await
    }
}

impl std::ops::Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
