//! Profiles, always on: samples are unwound on one thread and named on another, so that a file whose names take long
//! to read makes no sample wait; what they add up to is stored every minute.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use time::OffsetDateTime;

use super::{memory, privileges};
use crate::config::Roots;
use crate::probes::{Feed, Unwound, WaitStack};
use crate::profiles::archive::Archive;
use crate::profiles::samples::gather::{Batch, Gather};
use crate::profiles::samples::symbols::{IDLE, Symbols};
use crate::store::chunks::ProfileKind;
use crate::store::micros;

/// Samples are taken out of the ring buffer so often.
const PAUSE: Duration = Duration::from_millis(200);
/// Whether there are any again is looked at so often.
const PAUSE_WHILE_OFF: Duration = Duration::from_secs(1);
/// What ran is named while it is still there.
const NAME_EVERY: Duration = Duration::from_secs(3);
/// Batches that wait to be named; more are lost.
const MAX_BATCHES: usize = 20;
/// After a minute begins, so that it has all of its stacks.
const AFTER_MINUTE: Duration = Duration::from_secs(5);

/// Runs until it is closed.
pub struct Profiling {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    keeping: tokio::task::JoinHandle<()>,
    archive: Archive,
}

struct Taken {
    batch: Batch,
    /// When it was taken, µs.
    at: i64,
    lost: u64,
}

impl Profiling {
    pub fn start(roots: &Roots, feed: Feed, archive: Archive) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (send, batches) = sync_channel(MAX_BATCHES);
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let kallsyms = roots.proc("kallsyms");
        let unwinding = {
            let (stop, roots) = (Arc::clone(&stop), roots.clone());
            thread("profile", move || unwind(&roots, &feed, &send, &stop))?
        };
        let naming = {
            let archive = archive.clone();
            thread("profile-names", move || name(program, kallsyms, &batches, &archive))?
        };
        let keeping = tokio::spawn(keep(archive.clone()));
        Ok(Self { stop, threads: vec![unwinding, naming], keeping, archive })
    }

    /// Stores what there is.
    pub async fn close(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.keeping.abort();
        let threads = self.threads;
        threads.iter().for_each(|thread| thread.thread().unpark());
        let ended = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        // A file whose names are being read may take longer than anybody waits for a server to stop.
        let _ = tokio::time::timeout(Duration::from_secs(2), ended).await;
        if let Err(error) = self.archive.keep(micros(OffsetDateTime::now_utc())).await {
            tracing::warn!(%error, "the last minute of profiles is not stored");
        }
    }
}

fn thread(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let lowered = move || {
        // Only the machine's idle time is worth it.
        let _ = rustix::process::setpriority_process(None, 10);
        work();
    };
    privileges::spawn_profiling(name, lowered).context("cannot start a thread for profiles")
}

fn unwind(roots: &Roots, feed: &Feed, send: &SyncSender<Taken>, stop: &AtomicBool) {
    let mut gather = Gather::new(roots);
    let mut passed_on = Instant::now();
    let mut lost = 0;
    loop {
        let is_over = stop.load(Ordering::Relaxed);
        feed.samples(|head, stack, each| gather.add(head, stack, each));
        feed.wait_stacks(|stack| match stack {
            WaitStack::Begins(head, stack) => gather.begin_wait(head, stack),
            WaitStack::Ended(ended) => gather.end_wait(&ended),
        });
        if is_over || passed_on.elapsed() >= NAME_EVERY {
            passed_on = Instant::now();
            feed.waits(|key, wait| gather.add_waits(key, wait));
            let batch = gather.take();
            let stacks = batch.stacks();
            let unwound =
                Unwound { stacks: stacks.total(), complete: stacks.complete, forbidden: stacks.forbidden };
            feed.note(unwound);
            lost += feed.take_lost();
            if !batch.is_empty() || lost > 0 {
                match send.try_send(Taken { batch, at: micros(OffsetDateTime::now_utc()), lost }) {
                    Ok(()) => lost = 0,
                    Err(TrySendError::Full(taken)) => {
                        lost = taken.lost + taken.batch.samples(ProfileKind::Cpu);
                    }
                    Err(TrySendError::Disconnected(_)) => return,
                }
            }
        }
        if is_over {
            return;
        }
        std::thread::park_timeout(if feed.is_open() { PAUSE } else { PAUSE_WHILE_OFF });
    }
}

fn name(program: PathBuf, kallsyms: PathBuf, batches: &Receiver<Taken>, archive: &Archive) {
    let mut symbols = Symbols::new(program, kallsyms);
    loop {
        let Taken { batch, at, lost } = match batches.recv_timeout(IDLE) {
            Ok(taken) => taken,
            Err(RecvTimeoutError::Timeout) => {
                symbols.rest();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        batch.learn(&mut symbols);
        for kind in ProfileKind::ALL {
            let lost = if kind == ProfileKind::Cpu { lost } else { 0 };
            if batch.samples(kind) > 0 || lost > 0 {
                archive.add(kind, at, |builder, minute| {
                    batch.add_to(builder, kind, &symbols, minute);
                    builder.add_lost(minute, lost);
                });
            }
        }
    }
}

async fn keep(archive: Archive) {
    let mut is_failing = false;
    loop {
        let now = OffsetDateTime::now_utc();
        let into = Duration::new(u64::from(now.second()), now.nanosecond());
        tokio::time::sleep(Duration::from_secs(60) + AFTER_MINUTE - into).await;
        let kept = archive.keep(micros(OffsetDateTime::now_utc())).await;
        // What is stored is made of many times its size.
        memory::release();
        if let Err(error) = &kept
            && !is_failing
        {
            tracing::warn!(%error, "profiles cannot be stored; those of three hours are kept in memory");
        }
        is_failing = kept.is_err();
    }
}
