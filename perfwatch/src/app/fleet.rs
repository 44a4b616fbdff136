//! A machine as part of a fleet: what it sends, `perfwatch agent`, which only sends, and the parts of a hub.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::alert_inputs::AlertInputs;
use super::answers::Answers;
use super::joining;
use super::own_parts::OwnParts;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::profiling;
use super::{lister, memory, own_directory, sources, systemd, tell_of_other_hosts};
use crate::alerts::duty::Keeping;
use crate::alerts::fleet as judging;
use crate::alerts::service::Alerts;
use crate::config::{self, Config};
use crate::doctor::{self, Diagnosis, Sending};
use crate::fleet::answering;
use crate::fleet::courses::Courses;
use crate::fleet::forward::{Forwarding, SendingOnly};
use crate::fleet::hub::asking::Asking;
use crate::fleet::hub::filling::Filling;
use crate::fleet::hub::hearing::{self, Hearing, Line};
use crate::fleet::hub::members::Members;
use crate::fleet::hub::receiver::{self, Receiver};
use crate::fleet::hub::upkeep::{self, Upkeep};
use crate::fleet::hub::watching::Watching;
use crate::fleet::hub::{Stats, Turns};
use crate::fleet::live::Live;
use crate::fleet::outbox::Outbox;
use crate::fleet::presence::Presence;
use crate::fleet::seen::Seen;
use crate::fleet::sender::Sender;
use crate::history::History;
use crate::history::head::Head;
use crate::history::maintenance::DocumentDays;
use crate::history::writer::{LogPlace, Writer};
use crate::host::{self, Host};
use crate::pipeline::{Outputs, Pipeline};
use crate::probes::Feed;
use crate::profiles::archive::Archive;
use crate::snapshot::source::{Report, SourceStatus};
use crate::snapshot::{Reading, Snapshot};
use crate::store::Store;
use crate::store::chunks::ChunkStore;
use crate::store::watch::Watch;

/// An agent keeps what it has sent only until hubs have stored it.
const KEPT_BYTES: usize = 1 << 20;

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
    let fleet = if records { joining::fleet(config, host, false).await? } else { None };
    let Some(fleet) = fleet else {
        return Ok(Chunks { chunks: store, sender: None });
    };
    let outbox = outbox(config, &fleet, host)?;
    let chunks = Arc::new(Forwarding::new(store, &host.id, outbox.clone()));
    let interval = config.sampling.settings.interval;
    Ok(Chunks { chunks, sender: Some(Sender::spawn(&fleet, host.clone(), outbox, interval).await?) })
}

/// What the API sees of a machine's sender.
pub(super) fn seen(sender: Option<&Sender>) -> Seen {
    Seen { sending: sender.map(Sender::seen), ..Seen::default() }
}

/// What a machine tells hubs at once, until it is dropped: its ticks, and answers.
pub(super) struct Answering {
    _live: Live,
    _answering: answering::Answering,
}

impl Answering {
    pub fn spawn(sender: &Sender, host: &str, answers: Answers) -> Self {
        Self {
            _live: Live::spawn(sender.client(), host, &answers.ticks),
            _answering: answering::Answering::spawn(sender.client(), host, Arc::new(answers)),
        }
    }
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
    filling: Filling,
    /// Tells NATS who is revoked.
    revoking: Option<JoinHandle<()>>,
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
        let (presence, courses, stats) = (Presence::default(), Courses::default(), Stats::default());
        let parts = receiver::Parts {
            store: Arc::clone(store),
            turns: turns.clone(),
            presence: presence.clone(),
            courses: courses.clone(),
            stats: stats.clone(),
        };
        let members = Members::start(fleet, Arc::clone(store)).await?;
        let revoking = members.as_ref().map(Members::keep);
        let receiver = Receiver::spawn(fleet, parts).await?;
        let filling = Filling::spawn(history.clone(), courses.clone());
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
        let seen = Seen {
            asking: Some(Asking::new(receiver.client())),
            watching: Some(Watching::new(receiver.client(), presence.clone())),
            presence,
            courses,
            stats: Some(stats),
            members,
            sending: None,
        };
        Ok(Self { receiver, upkeep, filling, revoking, hearing: heard.hearing, judging, duty, seen })
    }

    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    pub async fn close(self) {
        self.filling.close();
        if let Some(revoking) = self.revoking {
            revoking.abort();
        }
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
    let _only_one = own_directory(&config)?;
    let host = host::this(&config)?;
    let mut stop = pin!(stop);
    let fleet = tokio::select! {
        fleet = joining::fleet(&config, &host, true) => fleet?,
        () = &mut stop => return Ok(()),
    };
    let fleet = fleet.context(
        "an agent sends to a fleet, but this machine belongs to none: join one with `perfwatch join`, as a hub's settings \
         show it, or set PERFWATCH_FLEET_URL",
    )?;
    tell_of_other_hosts(&config.storage.data_dir, &host.id);
    let outbox = outbox(&config, &fleet, &host)?;
    let chunks: Arc<dyn ChunkStore> = Arc::new(SendingOnly::new(outbox.clone()));
    let history = History::with_head(Arc::clone(&chunks), &host.id, Head::keeping(KEPT_BYTES));
    let log = LogPlace {
        dir: config.storage.data_dir.join("spool").join(&host.id),
        max_bytes: config.storage.spool_max_bytes,
    };
    let writer =
        Writer::spawn(history.clone(), log, DocumentDays(0)).context("cannot start the writer thread")?;
    let sender = Sender::spawn(&fleet, host.clone(), outbox, config.sampling.settings.interval).await?;
    let storing = writer.handle();
    let source_status = SourceStatus::default();
    let alert_inputs = AlertInputs::start(sender.inputs(), &host.id, source_status.clone());
    let outputs = Outputs {
        live: Box::new({
            let ticks = sender.ticks();
            move |snapshot| ticks.publish(snapshot)
        }),
        store: Box::new({
            let storing = storing.clone();
            move |snapshot| {
                storing.submit(snapshot);
                alert_inputs.submit(snapshot);
            }
        }),
    };
    let (stop_sender, stopping) = watch::channel(false);
    let (_settings, settings) = watch::channel(config.sampling.settings.clone());
    let feed = Feed::default();
    let lister = lister(&config);
    let mut sources = sources(&config, &lister, &feed);
    let own = OwnParts::new(source_status.clone(), Watch::default(), Some(storing), Some(sender.seen()));
    sources.push(Box::new(own));
    let profiles = Archive::new(chunks, &host.id);
    let answers = Answers {
        lister,
        source_status: source_status.clone(),
        history,
        profiles: profiles.clone(),
        ticks: sender.ticks(),
        diagnose: Box::new(diagnose(&config, sender.seen())),
        listing: Mutex::default(),
    };
    let answering = Answering::spawn(&sender, &host.id, answers);
    let pipeline = Pipeline::new(sources, source_status, settings, outputs);
    let sampling = tokio::spawn(pipeline.context("cannot start sampling")?.run(stopping));
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let profiling = profiling::Profiling::start(&config.roots, feed, profiles)?;
    let releasing = tokio::spawn(memory::keep_releasing());
    announce(&format!("PerfWatch sends the history of {} ({})", host.name, host.id));
    let systemd = systemd::Manager::of_this_process();
    systemd.ready();
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
    drop(answering);
    sender.close().await;
    Ok(())
}

/// The agent's answer to `GET /api/doctor` of a hub.
fn diagnose(
    config: &Config,
    seen: crate::fleet::sender::Sending,
) -> impl Fn(&[Report], Option<&Snapshot>) -> Diagnosis + Send + Sync + use<> {
    let (roots, data_dir) = (config.roots.clone(), config.storage.data_dir.clone());
    move |reports, newest| {
        let sending = Sending {
            waiting: seen.outbox.len(),
            failing: seen.health.failing(),
            lost: seen.outbox.lost() + seen.outbox.shed(),
        };
        let free = rustix::fs::statvfs(&data_dir).ok().map(|of| of.f_bavail.saturating_mul(of.f_frsize));
        let space = free.map(|free| (data_dir.as_path(), free));
        doctor::diagnose_sender(&roots, sending, space, reports, newest)
    }
}
