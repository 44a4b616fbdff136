//! Whose duty it is to evaluate and deliver: on a single machine always its own; of several hubs, that of the one that holds
//! the lease. It is renewed often; whoever does not renew it, killed or cut off from the database, is taken over.
//!
//! A hub that was frozen notices: what it saves is bound to its lease in the same transaction, and before each message it
//! asks the database whether the lease is still its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::store::leases::{Held, Lease};
use crate::store::{Result, Store};

const NAME: &str = "alerts";
/// How long a lease lasts after it was renewed.
pub const LASTS: Duration = Duration::from_secs(15);
/// A lease is renewed so many times while it lasts.
const RENEWALS: u32 = 4;
/// How long stopping waits for the database.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Clones share it.
#[derive(Debug, Clone)]
pub struct Duty(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    name: String,
    /// Its name, and what tells it from others of this name.
    holder: String,
    lasts: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The lease, and when it was renewed.
    ours: Option<(Lease, Instant)>,
    /// Who else has it.
    by: Option<String>,
}

/// Being on duty, and by what right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Charge(Option<Lease>);

impl Charge {
    /// `None` where nobody else could be on duty.
    pub const fn lease(&self) -> Option<&Lease> {
        self.0.as_ref()
    }
}

impl Duty {
    /// Of a machine that is alone.
    pub const fn always() -> Self {
        Self(None)
    }

    /// Of one of several hubs, by its name.
    pub fn of_hub(store: Arc<dyn Store>, name: &str, lasts: Duration) -> Self {
        let mut random = [0; 6];
        // Without random numbers, the process and the time tell it from others.
        if getrandom::fill(&mut random).is_err() {
            random[..4].copy_from_slice(&std::process::id().to_le_bytes());
        }
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (name, holder) = (name.to_owned(), format!("{name}#{random}"));
        Self(Some(Arc::new(Shared { store, name, holder, lasts, state: Mutex::default() })))
    }

    /// `None` if it is another's, or nobody's.
    pub fn charge(&self) -> Option<Charge> {
        let Some(shared) = &self.0 else { return Some(Charge(None)) };
        let state = shared.state();
        let (lease, renewed) = state.ours.as_ref()?;
        (renewed.elapsed() < shared.lasts).then(|| Charge(Some(lease.clone())))
    }

    /// Asks the database whether the charge still holds.
    pub async fn confirm(&self, charge: &Charge) -> Result<bool> {
        match (&self.0, charge.lease()) {
            (Some(shared), Some(lease)) => shared.store.has_lease(lease).await,
            _ => Ok(true),
        }
    }

    /// The name of whoever is on duty, and whether it is this process; `None` on a single machine, and if nobody is known.
    pub fn holder(&self) -> Option<(String, bool)> {
        let shared = self.0.as_ref()?;
        if self.charge().is_some() {
            return Some((shared.name.clone(), true));
        }
        let by = shared.state().by.clone()?;
        Some((by.rsplit_once('#').map_or(by.as_str(), |(name, _)| name).to_owned(), false))
    }

    /// Whether another hub has it.
    pub fn is_anothers(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.state().by.is_some())
    }

    /// Whether nobody evaluates, as far as is known.
    pub fn is_nobodys(&self) -> bool {
        self.0.is_some() && self.holder().is_none()
    }

    /// Takes and renews it whenever possible.
    pub fn keep(&self) -> Keeping {
        let (stop, mut stopped) = watch::channel(false);
        let duty = self.clone();
        let task = tokio::spawn(async move {
            let Some(shared) = &duty.0 else { return };
            loop {
                shared.renew().await;
                tokio::select! {
                    _ = async { stopped.wait_for(|stop| *stop).await.map(drop) } => break,
                    () = tokio::time::sleep(shared.lasts / RENEWALS) => {}
                }
            }
            let ours = shared.state().ours.take();
            if let Some((lease, _)) = ours {
                let _ = tokio::time::timeout(END_TIMEOUT, shared.store.end_lease(&lease)).await;
            }
        });
        Keeping { stop, task }
    }
}

/// Keeps the duty until it is closed.
#[derive(Debug)]
pub struct Keeping {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Others may have it at once.
    pub async fn close(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self) {
        let asked = Instant::now();
        let taken = tokio::time::timeout(self.lasts, self.store.take_lease(NAME, &self.holder, self.lasts));
        let had = self.state().ours.is_some();
        match taken.await {
            Ok(Ok(Held::Ours(lease))) => {
                if !had {
                    tracing::info!("this hub evaluates alerts");
                }
                *self.state() = State { ours: Some((lease, asked)), by: None };
            }
            Ok(Ok(Held::By(holder))) => {
                if had {
                    tracing::warn!(holder, "another hub evaluates alerts now");
                }
                *self.state() = State { ours: None, by: Some(holder) };
            }
            Ok(Err(error)) => tracing::debug!(%error, "whose duty alerts are cannot be read now"),
            Err(_) => tracing::debug!("the database does not say whose duty alerts are"),
        }
    }
}
