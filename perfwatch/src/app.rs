//! The composition root: wires sources, pipeline, stream, store, accounts and API together, and shuts them down in an
//! order that loses no data.

pub mod alerts;
mod alert_inputs;
mod answers;
mod ask_health;
mod backfill;
mod data_dir;
pub mod database;
mod first_start;
pub mod fleet;
pub mod import;
pub mod joining;
mod limits;
pub mod measure;
mod memory;
mod own_parts;
pub mod privileges;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub mod profile;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod profiling;
mod threads;
mod systemd;
pub mod users;

pub use ask_health::ask_health;

use std::fs::File;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;

use alert_inputs::AlertInputs;
use answers::Answers;
use first_start::FirstStart;
use own_parts::OwnParts;
use threads::Threads;

use crate::alerts::delivery::{Delivery, Times};
use crate::alerts::duty::{self, Duty};
use crate::alerts::service::{Alerts, Running};
use crate::api::serve::{self, Limits, Tls};
use crate::api::{self, AppState, Intervals, Options, Parts};
use crate::auth::Auth;
use crate::auth::attempts::Attempts;
use crate::auth::passwords::Passwords;
use crate::auth::tokens::{self, Tokens};
use crate::cgroups::Names;
use crate::collectors;
use crate::config::{Config, Roots};
use crate::doctor::{self, Diagnosis, Recording};
use crate::fleet::sender::Sender;
use crate::history::History;
use crate::history::maintenance::{DocumentDays, Maintenance};
use crate::history::writer::{self, LogPlace, Writer};
use crate::host;
use crate::pipeline::{Outputs, Pipeline};
use crate::probes::{self, Feed, ProcessLister};
use crate::profiles::archive::Archive;
use crate::snapshot::source::{Report, Source, SourceStatus};
use crate::snapshot::{MetricType, Snapshot};
use crate::store::inspect::{Inspection, Place};
use crate::store::watch::Watch;
use crate::store::{self, Store};
use crate::stream::Hub;

/// bcrypt's work factor: about 250 ms per password.
const BCRYPT_COST: u32 = 12;
/// Passwords hashed concurrently, on at most half of the CPUs; the rest stay free for the machine's own work.
const PARALLEL_HASHES: usize = 2;

/// How soon open streams notice account changes made on the command line.
const ACCOUNTS_WATCHED: Duration = Duration::from_secs(30);

/// How soon a database that had to be set up again has an account.
const SET_UP_WATCHED: Duration = Duration::from_secs(3);

fn lister(config: &Config) -> Arc<ProcessLister> {
    let names = Names::new(&config.roots, &config.sampling.container_sockets);
    Arc::new(ProcessLister::new(&config.roots, names, config.sampling.command_lines))
}

/// Every source, in the order of the documents in a message; each tick passes its process measurements to the lister.
fn sources(config: &Config, lister: &Arc<ProcessLister>, feed: &Feed) -> Vec<Box<dyn Source>> {
    let mut sources = collectors::all(&config.roots);
    let options = probes::Options {
        budget_percent: config.sampling.ebpf_budget_percent,
        command_lines: config.sampling.command_lines,
    };
    sources.extend(probes::telling(&config.roots, options, lister, feed));
    let order = MetricType::ALL;
    sources.sort_by_key(|source| order.iter().position(|t| *t == source.metric_type()));
    sources
}

/// What a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The machine that it runs on, which it measures.
    Machine,
    /// The machines of a fleet, which send their history.
    Hub,
}

/// Serves until `stop` completes, then stores the last batch before returning.
///
/// `announce` is called with each line that the user who started the server should read.
pub async fn serve(
    config: Config,
    role: Role,
    stop: impl Future<Output = ()>,
    announce: impl Fn(&str),
) -> Result<()> {
    let is_hub = role == Role::Hub;
    let records = config.storage.background_collection && !is_hub;
    let data_dir = &config.storage.data_dir;
    let _only_server = own_directory(&config)?;
    // Bind first: a second server must fail before it touches the first one's store.
    let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
        format!(
            "cannot listen on {} (is another server using it? PERFWATCH_LISTEN sets another address)",
            config.server.listen
        )
    })?;

    // Port 0 lets the kernel choose one.
    let address = listener.local_addr()?;
    let tls = config.server.tls.as_ref().map(|files| Tls::load(&files.cert, &files.key));
    let tls = tls.transpose().context("PERFWATCH_TLS_CERT, PERFWATCH_TLS_KEY")?;

    let place = place(&config);
    data_dir::check_database(&place.url).context("cannot use the database")?;
    let mut stop = pin!(stop);
    // Waits if another process has locked the file.
    let store = tokio::select! {
        opened = store::open(&place.url) => opened.context("cannot open the database")?,
        () = &mut stop => return Ok(()),
    };
    let secret = secret(&config)?;
    let auth = Arc::new(accounts(&config, &store, &secret));
    let watching = tokio::spawn({
        let auth = Arc::clone(&auth);
        async move { auth.watch_accounts(ACCOUNTS_WATCHED).await }
    });

    let hub = Hub::default();
    let source_status = SourceStatus::default();
    let lister = lister(&config);
    let (stop_sender, stopping) = watch::channel(false);
    let (settings, settings_receiver) = watch::channel(config.sampling.settings.clone());
    let first_start = FirstStart {
        config: &config,
        store: &store,
        auth: Arc::clone(&auth),
        passwords: Passwords::new(BCRYPT_COST, 1),
        announce: &announce,
        settings: settings.clone(),
    };
    let store_watch = Watch::start(Arc::clone(&store)).await;
    // The live view must work even if the store is unreachable.
    let started = first_start.attempt().await?;
    let host = host::this(&config)?;
    let fleet::Chunks { chunks, sender } = fleet::chunks(&config, &host, store.clone(), records).await?;
    let history = History::new(Arc::clone(&chunks), &host.id);
    let profiles = Archive::new(chunks, &host.id);
    let documents = DocumentDays(config.storage.jsonb_days);
    let spool = data_dir.join("spool");
    tell_of_other_hosts(data_dir, &host.id);
    let log = LogPlace { dir: spool.join(&host.id), max_bytes: config.storage.spool_max_bytes };
    let writer = records.then(|| Writer::spawn(history.clone(), log, documents));
    let writer = writer.transpose().context("cannot start the writer thread")?;
    let writing = writer.as_ref().map(Writer::handle);
    let channels = alerts::channels(&config, secret, &host.name, is_hub);
    let dir = config.alerts.dir.clone();
    let alerts = if is_hub {
        let duty = Duty::of_hub(store.clone(), &host.name, duty::LASTS);
        Alerts::of_hub(store.clone(), history.clone(), dir, channels, duty)
    } else {
        Alerts::new(store.clone(), history.clone(), dir, channels)
    };
    let alerting = (!is_hub).then(|| alerts.spawn(source_status.clone()));
    let alert_inputs =
        sender.as_ref().map(|sender| AlertInputs::start(sender.inputs(), &host.id, source_status.clone()));
    let maintenance = (!is_hub).then(|| Maintenance::spawn(history.clone(), store.clone(), host, documents));
    let fleet = if is_hub {
        Some(fleet::Hub::start(&config, &store, &history, &profiles, &alerts).await?)
    } else {
        None
    };
    let intervals = Arc::new(Intervals::default());

    let (storing, judging) = (writing.clone(), alerting.as_ref().map(Running::submitter));
    let outputs = Outputs {
        live: Box::new({
            let (hub, intervals) = (hub.clone(), Arc::clone(&intervals));
            let ticks = sender.as_ref().map(Sender::ticks);
            move |snapshot| {
                if let Some(ticks) = &ticks {
                    ticks.publish(snapshot);
                }
                hub.publish(snapshot);
                intervals.add(snapshot);
            }
        }),
        store: Box::new(move |snapshot| {
            if let Some(writer) = &storing {
                writer.submit(snapshot);
            }
            if let Some(judging) = &judging {
                judging.submit(snapshot);
            }
            if let Some(alert_inputs) = &alert_inputs {
                alert_inputs.submit(snapshot);
            }
        }),
    };
    let place_here = place.clone();
    let answering = sender.as_ref().map(|sender| {
        let (runtime, roots, writing) = (Handle::current(), config.roots.clone(), writing.clone());
        let answers = Answers {
            lister: Arc::clone(&lister),
            source_status: source_status.clone(),
            history: history.clone(),
            profiles: profiles.clone(),
            ticks: sender.ticks(),
            diagnose: Box::new(move |reports, newest| {
                let store = runtime.block_on(place_here.inspect());
                diagnose(&roots, &store, writing.as_ref(), reports, newest)
            }),
            listing: std::sync::Mutex::default(),
        };
        fleet::Answering::spawn(sender, history.host(), answers)
    });
    let feed = Feed::default();
    let sampling = if is_hub {
        let mut stopping = stopping.clone();
        tokio::spawn(async move { drop(stopping.wait_for(|stop| *stop).await) })
    } else {
        let mut sources = sources(&config, &lister, &feed);
        let sending = sender.as_ref().map(Sender::seen);
        let own = OwnParts::new(source_status.clone(), store_watch.clone(), writing.clone(), sending);
        sources.push(Box::new(own));
        let pipeline = Pipeline::new(sources, source_status.clone(), settings_receiver, outputs);
        tokio::spawn(pipeline.context("cannot start sampling")?.run(stopping.clone()))
    };

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let profiling =
        records.then(|| profiling::Profiling::start(&config.roots, feed, profiles.clone())).transpose()?;
    let restoring = tokio::spawn(backfill::restore(history.clone(), hub.clone(), writing.clone()));
    let releasing = tokio::spawn(memory::keep_releasing());

    let streams = Threads::for_streams().context("cannot start the stream threads")?;
    let questions = Threads::for_questions().context("cannot start the threads that answer questions")?;
    let times = if is_hub { Times::of_hub() } else { Times::default() };
    let delivering = Delivery::new(alerts.clone(), questions.handle(), times).spawn();
    let beating =
        alerts::heartbeat(&config, settings.subscribe()).map(|heartbeat| heartbeat.spawn(alerts.clone()));
    let state = AppState::new(Parts {
        store: Arc::clone(&store),
        hub,
        source_status,
        store_watch,
        history,
        profiles,
        intervals,
        alerts,
        writer: writing,
        fleet: fleet.as_ref().map_or_else(|| fleet::seen(sender.as_ref()), fleet::Hub::seen),
        auth,
        settings,
        diagnose: if is_hub { diagnose_hub } else { diagnose },
        place,
        processes: lister,
        options: Options {
            allowed_hosts: config.server.allowed_hosts.clone(),
            cors_origins: config.server.cors_origins.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            proxy_header: config.server.proxy_header,
            base_path: config.server.base_path.clone(),
            public_metrics: config.server.metrics_public,
            viewers_acknowledge: config.alerts.viewers_acknowledge,
            https: tls.is_some(),
            roots: config.roots.clone(),
        },
        streams: streams.handle(),
        questions: questions.handle(),
        shutdown: stopping.clone(),
    });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let renewing = tls.clone().map(|tls| tokio::spawn(async move { tls.watch().await }));
    let serving = tokio::spawn(serve::serve(listener, tls, api::app(state), Limits::default(), stopping));
    announce(&format!("PerfWatch is at {scheme}://{address}"));

    let systemd = systemd::Manager::of_this_process();
    systemd.ready();
    let rest = async {
        if !started && let Err(error) = first_start.complete().await {
            tracing::error!(
                error = sentence(&error),
                "the database is reachable, but the server cannot finish starting"
            );
        }
        // A database that was emptied, or replaced by an empty one, lacks the account as well.
        let mut set_up = store.times_set_up();
        loop {
            tokio::time::sleep(SET_UP_WATCHED).await;
            let now = store.times_set_up();
            if now != set_up {
                match first_start.attempt().await {
                    Ok(true) => set_up = now,
                    Ok(false) => {}
                    Err(error) => {
                        set_up = now;
                        tracing::error!(
                            error = sentence(&error),
                            "the database was set up anew, but without an account"
                        );
                    }
                }
            }
        }
    };
    tokio::select! {
        () = &mut stop => {}
        () = rest => {}
        never = systemd.keep_telling(|| !sampling.is_finished()) => match never {},
    }
    systemd.stopping();
    tracing::info!("stopping");
    stop_sender.send_replace(true);
    sampling.await.context("the pipeline panicked")?;
    // Store the last batch while the last responses are sent.
    let stored = async {
        if let Some(writer) = writer {
            writer.close().await;
        }
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(profiling) = profiling {
            profiling.close().await;
        }
        drop(answering);
        if let Some(sender) = sender {
            sender.close().await;
        }
    };
    let kept = async {
        if let Some(alerting) = alerting {
            alerting.close().await;
        }
        if let Some(maintenance) = maintenance {
            maintenance.close().await;
        }
        if let Some(fleet) = fleet {
            fleet.close().await;
        }
    };
    watching.abort();
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    restoring.abort();
    delivering.abort();
    if let Some(beating) = beating {
        beating.abort();
    }
    releasing.abort();
    let (served, (), ()) = tokio::join!(serving, stored, kept);
    store.close().await;
    served.context("the serving task panicked")
}

/// Prepares the data directory, and keeps others out of it as long as the file is open.
fn own_directory(config: &Config) -> Result<File> {
    limits::check()?;
    for path in &config.exposed_files {
        tracing::warn!(path = %path.display(), "every user can read the secrets in it; chmod o= it");
    }
    data_dir::prepare(&config.storage.data_dir)?;
    data_dir::lock(&config.storage.data_dir)
}

/// Where the configured store is.
fn place(config: &Config) -> Place {
    let data_dir = config.storage.data_dir.clone();
    let url = config.storage.database_url.clone().unwrap_or_else(|| store::sqlite_url(&data_dir));
    Place { url, data_dir }
}

/// The running server's answer to `GET /api/doctor`.
fn diagnose(
    roots: &Roots,
    store: &Inspection,
    writer: Option<&writer::Handle>,
    reports: &[Report],
    newest: Option<&Snapshot>,
) -> Diagnosis {
    let recording = writer.map_or(Recording::Off, |writer| {
        let stats = writer.stats();
        Recording::Here {
            stored: stats.written(),
            waiting: stats.waiting(),
            lost: stats.dropped(),
            failing: stats.failing(),
        }
    });
    doctor::diagnose(roots, store, recording, reports, newest)
}

/// The same of a hub, which stores what others measure.
fn diagnose_hub(
    roots: &Roots,
    store: &Inspection,
    _: Option<&writer::Handle>,
    _: &[Report],
    _: Option<&Snapshot>,
) -> Diagnosis {
    doctor::diagnose_hub(roots, store)
}

/// Sets limits and drops privileges; must run before any thread starts.
pub fn prepare_process(config: &Config, purpose: privileges::Purpose) {
    // Counters need a descriptor per CPU and event; the soft limit of 1024 is too low for 64 CPUs.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    memory::keep_small();
    privileges::reduce(config, purpose);
}

/// An error with its causes. A cause already included in an error's own text is not repeated.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// What this machine measured under another ID, and was killed before it was stored or sent: it must not become
/// another's.
fn tell_of_other_hosts(data_dir: &Path, host: &str) {
    let waiting = ["spool", "outbox"].map(|name| data_dir.join(name));
    let entries = waiting.iter().flat_map(std::fs::read_dir).flatten().flatten();
    for other in entries.filter(|entry| entry.file_name() != host) {
        let holds_something = std::fs::read_dir(other.path()).is_ok_and(|mut files| files.next().is_some());
        if holds_something {
            let id = other.file_name().display().to_string();
            tracing::warn!(
                id,
                path = %other.path().display(),
                "there is history of this machine under another ID; to store or send it, start once with \
                 PERFWATCH_HOST_ID set to that ID"
            );
        }
    }
}

/// What signs login tokens, and seals the secrets of channels.
fn secret(config: &Config) -> Result<Vec<u8>> {
    match &config.accounts.jwt_secret {
        Some(secret) => Ok(secret.clone().into_bytes()),
        None => tokens::load_or_create_secret(&config.storage.data_dir)
            .context("cannot store the key that signs login tokens"),
    }
}

/// Everything that checks passwords and tokens.
fn accounts(config: &Config, store: &Arc<dyn Store>, secret: &[u8]) -> Auth {
    let data_dir = config.storage.data_dir.clone();
    let accounts = &config.accounts;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let passwords = Passwords::new(BCRYPT_COST, PARALLEL_HASHES.min(cpus / 2).max(1));
    let tokens = Tokens::new(secret, accounts.login_lifetime);
    let attempts = Attempts::new(accounts.attempts_per_minute);
    Auth::new(store.clone(), passwords, tokens, attempts, data_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x: {0}")]
        struct Unreadable(#[source] std::io::Error);
        let gone = || std::io::Error::other("gone");
        let error = anyhow::Error::new(Unreadable(gone())).context("TLS");
        assert_eq!(format!("{error:#}"), "TLS: cannot read x: gone: gone");
        assert_eq!(sentence(&error), "TLS: cannot read x: gone");
        assert_eq!(sentence(&anyhow::Error::new(gone()).context("cannot start")), "cannot start: gone");
    }
}
