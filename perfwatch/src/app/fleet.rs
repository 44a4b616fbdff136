//! A machine as part of a fleet: what it sends, `perfwatch agent`, which only sends, and the parts of a hub.

use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::answering::Answering;
use super::own_parts::OwnParts;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::profiling;
use super::{lister, memory, own_directory, sources, systemd, tell_of_other_hosts};
use crate::alerts::duty::Keeping;
use crate::alerts::fleet as judging;
use crate::alerts::service::Alerts;
use crate::config::{self, Config};
use crate::fleet::forward::{Forwarding, SendingOnly};
use crate::fleet::hub::hearing::{self, Hearing, Line};
use crate::fleet::hub::receiver::{self, Receiver};
use crate::fleet::hub::upkeep::{self, Upkeep};
use crate::fleet::hub::{Stats, Turns};
use crate::fleet::outbox::Outbox;
use crate::fleet::presence::Presence;
use crate::fleet::seen::Seen;
use crate::fleet::sender::Sender;
use crate::history::History;
use crate::history::maintenance::DocumentDays;
use crate::history::writer::{LogPlace, Writer};
use crate::host::{self, Host};
use crate::pipeline::{Outputs, Pipeline};
use crate::probes::Feed;
use crate::profiles::archive::Archive;
use crate::snapshot::Reading;
use crate::snapshot::source::SourceStatus;
use crate::store::Store;
use crate::store::chunks::ChunkStore;
use crate::store::watch::Watch;

/// Where a server's history goes.
pub(super) struct Chunks {
    pub chunks: Arc<dyn ChunkStore>,
    /// If it is also sent.
    pub sender: Option<Sender>,
}

/// Into the store, and to the fleet if it records and belongs to one.
pub(super) async fn chunks(
    config: &Config,
    host: &Host,
    store: Arc<dyn Store>,
    records: bool,
) -> Result<Chunks> {
    let Some(fleet) = config.fleet.as_ref().filter(|_| records) else {
        return Ok(Chunks { chunks: store, sender: None });
    };
    let outbox = outbox(config, fleet, host)?;
    let chunks = Arc::new(Forwarding::new(store, &host.id, outbox.clone()));
    Ok(Chunks { chunks, sender: Some(Sender::spawn(fleet, host.clone(), outbox).await?) })
}

/// What the API sees of a machine's sender.
pub(super) fn seen(sender: Option<&Sender>) -> Seen {
    Seen { sending: sender.map(Sender::seen), ..Seen::default() }
}

fn outbox(config: &Config, fleet: &config::Fleet, host: &Host) -> Result<Outbox> {
    // Under another ID it would be set aside as someone else's.
    let dir = config.storage.data_dir.join("outbox").join(&host.id);
    Outbox::open(&dir, fleet.outbox_max_bytes)
        .with_context(|| format!("cannot open the outbox of the fleet, {}", dir.display()))
}

/// What a hub does instead of measuring.
pub(super) struct Hub {
    receiver: Receiver,
    upkeep: Upkeep,
    hearing: Hearing,
    judging: judging::Running,
    duty: Keeping,
    seen: Seen,
}

impl Hub {
    pub async fn start(
        config: &Config,
        store: &Arc<dyn Store>,
        history: &History,
        profiles: &Archive,
        alerts: &Alerts,
    ) -> Result<Self> {
        let fleet = config.fleet.as_ref().context("a hub needs PERFWATCH_FLEET_URL")?;
        let turns = Turns::new(store.clone());
        let (presence, stats) = (Presence::default(), Stats::default());
        let parts = receiver::Parts {
            store: Arc::clone(store),
            turns: turns.clone(),
            presence: presence.clone(),
            stats: stats.clone(),
        };
        let receiver = Receiver::spawn(fleet, parts).await?;
        let upkeep = Upkeep::spawn(upkeep::Parts {
            history: history.clone(),
            profiles: profiles.clone(),
            settings: store.clone(),
            turns,
        });
        let heard = Hearing::spawn(fleet, presence.clone()).await?;
        let ears = Ears { line: heard.line, presence: presence.clone() };
        let duty = alerts.duty().keep();
        let judging = judging::Running::spawn(judging::Parts {
            alerts: alerts.clone(),
            hearing: Arc::new(ears),
            messages: heard.answers,
            wanted: heard.wanted,
            pace: judging::PACE,
        });
        let seen = Seen { presence, stats: Some(stats), sending: None };
        Ok(Self { receiver, upkeep, hearing: heard.hearing, judging, duty, seen })
    }

    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    pub async fn close(self) {
        let judged = async {
            self.judging.close().await;
            // Another hub continues with what was stored.
            self.duty.close().await;
        };
        self.hearing.close();
        tokio::join!(self.receiver.close(), self.upkeep.close(), judged);
    }
}

/// What alerts know of the fleet.
#[derive(Debug)]
pub struct Ears {
    pub line: Line,
    pub presence: Presence,
}

impl judging::Hearing for Ears {
    fn deaf(&self) -> Option<&'static str> {
        self.line.listening().is_none().then_some("This hub does not hear NATS")
    }

    fn presence(&self, host: &str, newest: Option<i64>, at: OffsetDateTime) -> Reading {
        hearing::reading(&self.presence, self.line.listening().unwrap_or_default(), host, newest, at)
    }
}

/// Measures and sends until `stop` completes.
pub async fn agent(config: Config, stop: impl Future<Output = ()>, announce: impl Fn(&str)) -> Result<()> {
    let fleet = config.fleet.as_ref().context("an agent needs PERFWATCH_FLEET_URL")?;
    let _only_one = own_directory(&config)?;
    let host = host::this(&config)?;
    tell_of_other_hosts(&config.storage.data_dir, &host.id);
    let outbox = outbox(&config, fleet, &host)?;
    let chunks: Arc<dyn ChunkStore> = Arc::new(SendingOnly::new(outbox.clone()));
    let history = History::new(Arc::clone(&chunks), &host.id);
    let log = LogPlace {
        dir: config.storage.data_dir.join("spool").join(&host.id),
        max_bytes: config.storage.spool_max_bytes,
    };
    let writer = Writer::spawn(history, log, DocumentDays(0)).context("cannot start the writer thread")?;
    let sender = Sender::spawn(fleet, host.clone(), outbox).await?;
    let storing = writer.handle();
    let source_status = SourceStatus::default();
    let answering = Answering::start(sender.inputs(), &host.id, source_status.clone());
    let outputs = Outputs {
        live: Box::new(|_| {}),
        store: Box::new({
            let storing = storing.clone();
            move |snapshot| {
                storing.submit(snapshot);
                answering.submit(snapshot);
            }
        }),
    };
    let (stop_sender, stopping) = watch::channel(false);
    let (_settings, settings) = watch::channel(config.sampling.settings.clone());
    let feed = Feed::default();
    let mut sources = sources(&config, &lister(&config), &feed);
    let own = OwnParts::new(source_status.clone(), Watch::default(), Some(storing), Some(sender.seen()));
    sources.push(Box::new(own));
    let pipeline = Pipeline::new(sources, source_status, settings, outputs);
    let sampling = tokio::spawn(pipeline.context("cannot start sampling")?.run(stopping));
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let profiling = profiling::Profiling::start(&config.roots, feed, Archive::new(chunks, &host.id))?;
    let releasing = tokio::spawn(memory::keep_releasing());
    announce(&format!("PerfWatch sends the history of {} ({})", host.name, host.id));
    let systemd = systemd::Manager::of_this_process();
    systemd.ready();
    let mut stop = pin!(stop);
    tokio::select! {
        () = &mut stop => {}
        never = systemd.keep_telling(|| !sampling.is_finished()) => match never {},
    }
    systemd.stopping();
    tracing::info!("stopping");
    stop_sender.send_replace(true);
    sampling.await.context("the pipeline panicked")?;
    writer.close().await;
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    profiling.close().await;
    releasing.abort();
    sender.close().await;
    Ok(())
}
