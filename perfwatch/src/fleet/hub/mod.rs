//! A hub: takes what the fleet sends into its store, and looks after every host's history there.
//!
//! Any number of hubs share one consumer and one database. What is computed from several chunks (minutes that two of them
//! share, hours, days) is computed by one hub at a time for each host: whoever has the host's [turn](Turns).

pub mod accept;
pub mod asking;
pub mod filling;
pub mod hearing;
pub mod members;
pub mod receiver;
pub mod upkeep;
pub mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::store::Result;
use crate::store::chunks::{ChunkStore, Turn};

/// What people call a machine.
const MAX_NAME: usize = 255;

/// Gives one task at a time the right to change what a host's history is computed from.
#[derive(Debug, Clone)]
pub struct Turns {
    store: Arc<dyn ChunkStore>,
    /// Within this process: one host after another, as the store takes them anyway.
    here: Arc<Mutex<()>>,
}

/// The right, until it is dropped.
#[derive(Debug)]
pub struct Taken {
    _store: Turn,
    _here: OwnedMutexGuard<()>,
}

impl Turns {
    pub fn new(store: Arc<dyn ChunkStore>) -> Self {
        Self { store, here: Arc::default() }
    }

    pub async fn take(&self, host: &str) -> Result<Taken> {
        let here = Arc::clone(&self.here).lock_owned().await;
        Ok(Taken { _store: self.store.turn(host).await?, _here: here })
    }
}

/// What a hub did since it started.
#[derive(Debug, Clone, Default)]
pub struct Stats(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    stored: AtomicU64,
    duplicates: AtomicU64,
    expired: AtomicU64,
    set_aside: AtomicU64,
    failing: AtomicBool,
    unread: AtomicBool,
}

impl Stats {
    /// Packets stored.
    pub fn stored(&self) -> u64 {
        self.0.stored.load(Ordering::Relaxed)
    }

    /// Packets that were stored already.
    pub fn duplicates(&self) -> u64 {
        self.0.duplicates.load(Ordering::Relaxed)
    }

    /// Packets of a time of which this store no longer keeps minutes.
    pub fn expired(&self) -> u64 {
        self.0.expired.load(Ordering::Relaxed)
    }

    /// Messages that could not be used.
    pub fn set_aside(&self) -> u64 {
        self.0.set_aside.load(Ordering::Relaxed)
    }

    /// True while the store does not take what arrives.
    pub fn failing(&self) -> bool {
        self.0.failing.load(Ordering::Relaxed)
    }

    /// True while the stream can't be read.
    pub fn unread(&self) -> bool {
        self.0.unread.load(Ordering::Relaxed)
    }
}
