//! HTTP and WebSocket: what the browser page, scripts and Prometheus see.
//!
//! [`app`] builds the router from an [`AppState`]; [`serve`](serve::serve) runs it on a listener. Handlers
//! are in one file per resource and reach the rest of the program only through the state.

mod account;
mod alerts;
mod api_tokens;
mod audit;
mod boards;
mod configuration;
mod docs;
pub mod doctor;
mod error;
mod events;
mod extract;
mod fleet;
mod guard;
mod health;
mod history;
mod hosts;
mod joining;
mod message;
mod moment;
mod openapi;
mod page;
mod parameters;
pub mod processes;
mod profiles;
mod prometheus;
mod questions;
mod remote;
mod retention;
mod router;
pub mod serve;
pub mod sources;
mod users;
mod ws;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::alerts::service::Alerts;
use crate::auth::{Auth, Identity};
use crate::config::{ProxyHeader, Roots};
use crate::fleet::seen::Seen;
use crate::history::{History, writer};
use crate::host::Host;
use crate::profiles::archive::Archive;
use crate::snapshot::Snapshot;
use crate::snapshot::diagnosis::Diagnosis;
use crate::snapshot::processes::listing::Lister;
use crate::snapshot::source::{Report, Settings, SourceStatus};
use crate::store::Store;
use crate::store::inspect::{Inspection, Place};
use crate::store::watch::Watch;
use crate::stream::Hub;

pub use prometheus::Intervals;
pub use router::app;

/// The version in responses.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything that handlers can access. Clones share it.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: Parts,
    frames: Arc<ws::Frames>,
    frames_of_hosts: ws::FramesOfHosts,
    noted: remote::Noted,
    questions: questions::Questions,
    event_rate: events::Rate,
    changing: Mutex<()>,
    listing: Arc<std::sync::Mutex<()>>,
}

/// The doctor: examines machine and store, with the writer, the sources' reports and the newest snapshot. It reads /proc
/// and /sys.
pub type Diagnose =
    fn(&Roots, &Inspection, Option<&writer::Handle>, &[Report], Option<&Snapshot>) -> Diagnosis;

/// The parts of an [`AppState`].
#[derive(Debug)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub hub: Hub,
    pub source_status: SourceStatus,
    pub store_watch: Watch,
    /// What is stored, and what is not yet.
    pub history: History,
    /// Which code ran.
    pub profiles: Archive,
    /// Stores snapshots; `None` if history is not recorded.
    pub writer: Option<writer::Handle>,
    /// The other machines, if this is a hub, and what it sends to one.
    pub fleet: Seen,
    pub intervals: Arc<Intervals>,
    pub alerts: Alerts,
    pub auth: Arc<Auth>,
    /// Receives configuration changes; the pipeline applies them at the next tick.
    pub settings: watch::Sender<Settings>,
    pub diagnose: Diagnose,
    /// Where the store is, for the doctor.
    pub place: Place,
    pub processes: Arc<dyn Lister>,
    pub options: Options,
    /// Where streams run, apart from requests.
    pub streams: Handle,
    /// Where questions that take longer are answered: low-priority threads.
    pub questions: Handle,
    /// Turns true when the server stops.
    pub shutdown: watch::Receiver<bool>,
}

/// Options of the server from the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names, besides addresses, `localhost` and this machine's own, under which the server may be
    /// called; others are refused, so that no foreign page can point its own name at us (DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://host[:port]`) whose pages may call the API and the stream.
    pub cors_origins: Vec<String>,
    /// Proxies that are trusted to say who their client is.
    pub trusted_proxies: Vec<IpAddr>,
    /// Where they say it.
    pub proxy_header: ProxyHeader,
    /// Serve `/metrics` to anyone instead of only with an API token.
    pub public_metrics: bool,
    /// Viewers, too, acknowledge alerts.
    pub viewers_acknowledge: bool,
    /// The path under which a proxy serves all of it, such as `/perfwatch`; empty for none.
    pub base_path: String,
    /// Served over TLS; browsers are told to insist on it (HSTS).
    pub https: bool,
    /// Where the observed system's files are.
    pub roots: Roots,
}

impl AppState {
    pub fn new(mut parts: Parts) -> Self {
        let this_machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        parts.options.allowed_hosts.push(this_machine);
        let questions = questions::Questions::new(parts.questions.clone());
        Self(Arc::new(Shared {
            parts,
            questions,
            frames: Arc::default(),
            frames_of_hosts: ws::FramesOfHosts::default(),
            noted: remote::Noted::default(),
            event_rate: events::Rate::default(),
            changing: Mutex::default(),
            listing: Arc::default(),
        }))
    }

    /// The history of a machine by its ID or name, if the user may see it; this machine's where none is named.
    async fn history_of(&self, who: &Identity, host: Option<&str>) -> error::Result<History> {
        let this = self.history.host();
        let wanted = host.unwrap_or(this);
        // A machine that records nothing is not among the hosts.
        if wanted == this && who.sees_all() {
            return Ok(self.history.clone());
        }
        let hosts = self.visible_hosts(who).await?;
        let mut found = hosts.iter().filter(|host| host.is_called(wanted));
        match (found.next(), found.next()) {
            (Some(host), None) if host.id == this => Ok(self.history.clone()),
            (Some(host), None) => Ok(match &self.fleet.asking {
                Some(asking) => self.history.of_host_and(&host.id, Arc::new(asking.clone())),
                None => self.history.of_host(&host.id),
            }),
            (Some(_), Some(_)) => {
                Err(error::Error::BadRequest("Several machines have this name; use an ID".into()))
            }
            (None, _) => Err(error::Error::BadRequest("No history of this host".into())),
        }
    }

    /// The machines whose history is here and that the user may see.
    async fn visible_hosts(&self, who: &Identity) -> error::Result<Vec<Host>> {
        let mut hosts = self.history.chunks().hosts().await?;
        hosts.retain(|host| who.sees(&host.labels()));
        Ok(hosts)
    }

    /// Whether the user may see the machine that answers.
    async fn sees_this(&self, who: &Identity) -> error::Result<bool> {
        self.sees(who, self.history.host()).await
    }

    /// Whether the user may see the machine with this ID.
    async fn sees(&self, who: &Identity, id: &str) -> error::Result<bool> {
        Ok(who.sees_all() || self.visible_hosts(who).await?.iter().any(|host| host.id == id))
    }

    /// One change of the stored configuration at a time: each is a read-modify-write.
    async fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    /// Lists processes once at a time: concurrent requests share the result.
    fn listing(&self) -> Arc<std::sync::Mutex<()>> {
        Arc::clone(&self.0.listing)
    }

    /// Lets in a question that takes longer than a moment.
    fn ask(&self, who: &Identity) -> error::Result<questions::Question> {
        self.0.questions.ask(who.user.id)
    }
}

impl std::ops::Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
