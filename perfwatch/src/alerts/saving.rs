//! Changes on their way to the store: one transaction at a time, beside the evaluation. What the store does not take is tried
//! again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::duty::Charge;
use super::unsaved::merge;
use crate::store::alerts::{AlertBatch, Batches};
use crate::store::{Result, Store};

/// How long the last changes may take to be stored.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Saving {
    store: Arc<dyn Store>,
    unsaved: Batches,
    running: Option<(JoinHandle<Result<bool>>, Batches)>,
    is_failing: bool,
}

impl Saving {
    pub const fn new(store: Arc<dyn Store>) -> Self {
        Self { store, unsaved: Batches::new(), running: None, is_failing: false }
    }

    /// Whether the store does not take what changes.
    pub const fn is_failing(&self) -> bool {
        self.is_failing
    }

    pub fn add(&mut self, host: &str, batch: AlertBatch) {
        if batch.is_empty() {
            return;
        }
        match self.unsaved.get_mut(host) {
            Some(earlier) => merge(earlier, batch),
            None => _ = self.unsaved.insert(host.to_owned(), batch),
        }
    }

    /// Stores what waits, unless something is being stored.
    pub fn start(&mut self, charge: &Charge) {
        if self.unsaved.is_empty() || self.running.is_some() {
            return;
        }
        let batches = std::mem::take(&mut self.unsaved);
        let (store, charge, saved) = (Arc::clone(&self.store), charge.clone(), batches.clone());
        let task = tokio::spawn(async move { store.save_all_alerts(charge.lease(), &saved).await });
        self.running = Some((task, batches));
    }

    /// Takes the result of what was started. `false`: another is on duty, and nothing was stored.
    pub async fn settle(&mut self, wait: bool) -> bool {
        let Some((task, batches)) = self.running.take_if(|(task, _)| wait || task.is_finished()) else {
            return true;
        };
        let error = match tokio::time::timeout(CLOSE_TIMEOUT, task).await {
            Ok(Ok(Ok(is_ours))) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the database takes alerts again");
                }
                return is_ours;
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(error, "the database does not take alerts; they are stored as soon as it does");
        }
        let later = std::mem::replace(&mut self.unsaved, batches);
        later.into_iter().for_each(|(host, batch)| self.add(&host, batch));
        true
    }

    /// Stores the rest, if that is possible soon.
    pub async fn close(mut self, charge: &Charge) {
        if !self.settle(true).await || self.unsaved.is_empty() {
            return;
        }
        let saved = self.store.save_all_alerts(charge.lease(), &self.unsaved);
        match tokio::time::timeout(CLOSE_TIMEOUT, saved).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the last changes of alerts could not be stored"),
            Err(_) => tracing::error!("the last changes of alerts could not be stored in time"),
        }
    }
}
