//! The composition root: wires sources, pipeline, stream, store, accounts and API together, and takes them
//! down in the order that loses nothing.

mod ask_health;
mod backfill;
mod data_dir;
mod first_start;
pub mod host;
pub mod import;
mod memory;
mod privileges;
mod threads;
mod systemd;
pub mod users;

pub use ask_health::ask_health;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use first_start::FirstStart;
use threads::Threads;

use crate::api::serve::{self, Limits, Tls};
use crate::api::{self, AppState, Intervals, Options, Parts};
use crate::auth::Auth;
use crate::auth::attempts::Attempts;
use crate::auth::passwords::Passwords;
use crate::auth::tokens::{self, Tokens};
use crate::collectors;
use crate::config::Config;
use crate::doctor::{self, Diagnosis};
use crate::history::History;
use crate::history::maintenance::{DocumentDays, Maintenance};
use crate::history::writer::{LogPlace, Writer};
use crate::pipeline::{Outputs, Pipeline};
use crate::probes::{self, Census};
use crate::snapshot::source::{Board, Settings, Source, State};
use crate::snapshot::{MetricType, Snapshot};
use crate::store::{self, Store};
use crate::stream::Hub;

/// bcrypt's work factor: about 250 ms a password.
const BCRYPT_COST: u32 = 12;
/// Passwords hashed at the same time, and never on more than half of the CPUs; the others stay with the machine's own
/// work.
const PARALLEL_HASHES: usize = 2;

/// How soon open streams notice what the command line did to their accounts.
const ACCOUNTS_WATCHED: Duration = Duration::from_secs(30);

/// Every source, in the order of the documents in a message; the census is told what each tick measured of processes.
fn sources(config: &Config, census: &Arc<Census>) -> Vec<Box<dyn Source>> {
    let mut sources = collectors::all(&config.roots);
    sources.extend(probes::telling(&config.roots, config.sampling.ebpf_budget_percent, census));
    let order = MetricType::ALL;
    sources.sort_by_key(|source| order.iter().position(|t| *t == source.metric_type()));
    sources
}

/// Serves until `stop` completes; then the last batch is stored before this returns.
///
/// `announce` gets each line that the person who started the server should read.
pub async fn serve(config: Config, stop: impl Future<Output = ()>, announce: impl Fn(&str)) -> Result<()> {
    let data_dir = &config.storage.data_dir;
    data_dir::prepare(data_dir)
        .with_context(|| format!("cannot use the data directory {}", data_dir.display()))?;
    // The address is taken first: a second server must find out before it touches the first one's store.
    let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
        format!(
            "cannot listen on {} (is another server running there? PERFWATCH_LISTEN chooses another address)",
            config.server.listen
        )
    })?;

    // With port 0 the kernel chose one.
    let address = listener.local_addr()?;
    let tls = config.server.tls.as_ref().map(|files| Tls::load(&files.cert, &files.key));
    let tls = tls.transpose().context("cannot serve over TLS")?;

    let url = config.storage.database_url.clone().unwrap_or_else(|| store::sqlite_url(data_dir));
    data_dir::check_database(&url).context("cannot use the database")?;
    let mut stop = pin!(stop);
    // A file that someone else has locked is waited for.
    let store = tokio::select! {
        opened = store::open(&url) => opened.context("cannot open the store")?,
        () = &mut stop => return Ok(()),
    };
    let auth = Arc::new(accounts(&config, &store)?);
    let watching = tokio::spawn({
        let auth = Arc::clone(&auth);
        async move { auth.watch_accounts(ACCOUNTS_WATCHED).await }
    });

    let hub = Hub::default();
    let board = Board::default();
    let census = Arc::new(Census::new(&config.roots));
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
    // A store that is away must not keep the live view away too.
    let started = first_start.attempt().await?;
    let host = host::this(&config)?;
    let history = History::new(store.clone(), &host.id);
    let documents = DocumentDays(config.storage.jsonb_days);
    let place = LogPlace { dir: data_dir.join("spool"), max_bytes: config.storage.spool_max_bytes };
    let writer =
        config.storage.background_collection.then(|| Writer::spawn(history.clone(), place, documents));
    let writer = writer.transpose().context("cannot start the thread that stores")?;
    let writing = writer.as_ref().map(Writer::handle);
    let maintenance = Maintenance::spawn(history.clone(), store.clone(), &host.name, documents);
    let intervals = Arc::new(Intervals::default());

    let storing = writing.clone();
    let outputs = Outputs {
        live: Box::new({
            let (hub, intervals) = (hub.clone(), Arc::clone(&intervals));
            move |snapshot| {
                hub.publish(snapshot);
                intervals.add(snapshot);
            }
        }),
        store: Box::new(move |snapshot| {
            if let Some(writer) = &storing {
                writer.submit(snapshot);
            }
        }),
    };
    let sources = sources(&config, &census);
    let pipeline = Pipeline::new(sources, board.clone(), settings_receiver, outputs);
    let sampling = tokio::spawn(pipeline.context("cannot sample")?.run(stopping.clone()));

    let restoring = tokio::spawn(backfill::restore(history.clone(), hub.clone(), writing.clone()));
    let releasing = tokio::spawn(memory::keep_releasing());

    let streams = Threads::for_streams().context("cannot start the threads of the streams")?;
    let questions = Threads::for_questions().context("cannot start the threads of questions")?;
    let state = AppState::new(Parts {
        store: Arc::clone(&store),
        hub,
        board,
        history,
        intervals,
        writer: writing,
        auth,
        settings,
        diagnose: doctor::diagnose,
        processes: census,
        options: Options {
            allowed_hosts: config.server.allowed_hosts.clone(),
            cors_origins: config.server.cors_origins.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            proxy_header: config.server.proxy_header,
            base_path: config.server.base_path.clone(),
            public_metrics: config.server.metrics_public,
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
                error = format!("{error:#}"),
                "the store answers, but not with what a start needs"
            );
        }
        std::future::pending::<()>().await;
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
    // The last batch is stored while the last answers are sent.
    let stored = async {
        if let Some(writer) = writer {
            writer.close().await;
        }
    };
    watching.abort();
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    restoring.abort();
    releasing.abort();
    let (served, (), ()) = tokio::join!(serving, stored, maintenance.close());
    store.close().await;
    served.context("the serving task panicked")
}

/// Measures for one interval and returns the snapshot as the stream would send it.
pub async fn snapshot(config: &Config) -> Result<String> {
    let settings = config.sampling.settings.clone();
    let snapshot = measure(config, settings, |_, _| true).await?;
    Ok(String::from_utf8_lossy(&snapshot.message()).into_owned())
}

/// Measures for a second and tells how every source stands; for some seconds more while a busy machine is late with
/// answers, or with the first readings of what it has.
pub async fn diagnose(config: Config) -> Result<Diagnosis> {
    const MOST_TICKS: usize = 5;
    let settings = Settings { interval: Duration::from_secs(1), ..config.sampling.settings.clone() };
    let mut ticks = 0;
    let mut before = None;
    let mut newest = None;
    measure(&config, settings, |snapshot, board| {
        let reports = board.reports();
        let now = doctor::diagnose(&config.roots, &reports, Some(snapshot));
        ticks += 1;
        let answered = reports.iter().all(|report| report.state != State::Failed);
        let settled = answered && before.replace(now.statuses()) == Some(now.statuses());
        let enough = now.healthy() || settled || ticks == MOST_TICKS;
        newest = Some(now);
        enough
    })
    .await?;
    newest.context("sampling ended without a snapshot")
}

/// The first snapshot primes the rates; of those at the next ticks, which have them, the one that is `enough` is returned.
async fn measure(
    config: &Config,
    settings: Settings,
    mut enough: impl FnMut(&Snapshot, &Board) -> bool,
) -> Result<Arc<Snapshot>> {
    let (_settings, settings) = watch::channel(settings);
    let (stop, stopping) = watch::channel(false);
    let board = Board::default();
    let (send, mut snapshots) = mpsc::unbounded_channel();
    let outputs = Outputs {
        live: Box::new(|_| {}),
        store: Box::new(move |snapshot| {
            // Whoever measures may have enough.
            let _ = send.send(Arc::clone(snapshot));
        }),
    };
    let sources = sources(config, &Arc::new(Census::new(&config.roots)));
    let pipeline = Pipeline::new(sources, board.clone(), settings, outputs).context("cannot sample")?;
    let until_enough = async {
        loop {
            let snapshot = snapshots.recv().await.context("sampling ended without a snapshot")?;
            if enough(&snapshot, &board) {
                stop.send_replace(true);
                return Ok(snapshot);
            }
        }
    };
    tokio::join!(until_enough, pipeline.run(stopping)).0
}

/// What a process that measures needs before any thread starts, and what it gives away.
pub fn prepare_process(config: &Config) {
    // Counters take a descriptor per CPU and event; the soft limit of 1024 is too low for 64 CPUs.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    memory::keep_small();
    privileges::reduce(config);
}

/// Everything that checks passwords and tokens.
fn accounts(config: &Config, store: &Arc<dyn Store>) -> Result<Auth> {
    let data_dir = config.storage.data_dir.clone();
    let accounts = &config.accounts;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let passwords = Passwords::new(BCRYPT_COST, PARALLEL_HASHES.min(cpus / 2).max(1));
    let secret = match &accounts.jwt_secret {
        Some(secret) => secret.clone().into_bytes(),
        None => tokens::load_or_create_secret(&data_dir).context("cannot keep the key for login tokens")?,
    };
    let tokens = Tokens::new(&secret, accounts.login_lifetime);
    let attempts = Attempts::new(accounts.attempts_per_minute);
    Ok(Auth::new(store.clone(), passwords, tokens, attempts, data_dir))
}
