//! bcrypt off the async workers, a few at a time, in the same time for every wrong answer.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

/// bcrypt's cost for every stored hash.
pub const COST: u32 = 12;
/// bcrypt ignores anything beyond; longer passwords are refused rather than truncated.
pub const MAX_BYTES: usize = 72;
pub const MIN_CHARS: usize = 8;
/// Maximum number of waiting callers; one turn takes about a quarter of a second.
const MAX_WAITING: usize = 256;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    #[error("the password must have at least {MIN_CHARS} characters")]
    TooShort,
    #[error("the password must not exceed {MAX_BYTES} bytes")]
    TooLong,
    #[error("the password must not contain a NUL character")]
    Nul,
    #[error("too many passwords are being checked")]
    Busy,
    #[error("cannot hash the password: {0}")]
    Hash(String),
}

/// The rules for a new password.
pub fn check_new(password: &str) -> Result<(), PasswordError> {
    match password {
        p if p.chars().count() < MIN_CHARS => Err(PasswordError::TooShort),
        p if p.len() > MAX_BYTES => Err(PasswordError::TooLong),
        p if p.contains('\0') => Err(PasswordError::Nul),
        _ => Ok(()),
    }
}

#[derive(Debug)]
pub struct Passwords {
    cost: u32,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Verified if there is no account, so that this takes as long as a wrong password.
    dummy: Arc<OnceLock<String>>,
}

impl Default for Passwords {
    /// The production cost, on at most half of the cores, so that logins never starve the rest.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(COST, (cores / 2).max(1))
    }
}

impl Passwords {
    /// `parallel` is the number of concurrent hashes. A cost below [`COST`] is for tests.
    pub fn new(cost: u32, parallel: usize) -> Self {
        Self {
            cost,
            turns: Arc::new(Semaphore::new(parallel)),
            waiting: AtomicUsize::new(0),
            dummy: Arc::default(),
        }
    }

    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        check_new(password)?;
        let (password, cost) = (password.to_owned(), self.cost);
        // Not the crate's own `non_truncating_hash`: it counts a terminator and stops at 71 bytes.
        self.take_turn(move || bcrypt::hash(password, cost).map_err(failed)).await?
    }

    /// Whether `password` belongs to `hash`. Without a hash, and for passwords that no hash can belong to
    /// (over-long, with a NUL, or `None`: not Unicode), the answer is no after the same work.
    pub async fn verify(&self, password: Option<&str>, hash: Option<String>) -> Result<bool, PasswordError> {
        let possible = password.filter(|p| p.len() <= MAX_BYTES && !p.contains('\0')).map(str::to_owned);
        let hopeless = possible.is_none() || hash.is_none();
        let password = possible.unwrap_or_default();
        let (dummy, cost) = (Arc::clone(&self.dummy), self.cost);
        let matches = self
            .take_turn(move || {
                let hash = match hash {
                    Some(hash) => hash,
                    None => {
                        // The first call computes one hash more.
                        let made = dummy.get().cloned().map_or_else(|| bcrypt::hash("dummy", cost), Ok);
                        dummy.get_or_init(|| made.unwrap_or_default()).clone()
                    }
                };
                // A malformed stored hash matches nothing.
                bcrypt::verify(password, &hash).unwrap_or(false)
            })
            .await?;
        Ok(matches && !hopeless)
    }

    /// Prepares the dummy hash, so that timing gives away not even the first unknown user.
    pub async fn warm_up(&self) -> Result<(), PasswordError> {
        self.verify(None, None).await.map(|_| ())
    }

    #[cfg(test)]
    pub fn is_warm(&self) -> bool {
        self.dummy.get().is_some()
    }

    async fn take_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let waiting = Waiting::enter(&self.waiting)?;
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed: nothing calls close on it");
        drop(waiting);
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work itself: a caller that goes away must not make room for another.
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| PasswordError::Hash(error.to_string()))
    }
}

/// Counts a waiting caller while it exists, even if the caller is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self, PasswordError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            Ok(waiting)
        } else {
            Err(PasswordError::Busy)
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn failed(error: bcrypt::BcryptError) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Passwords {
        Passwords::new(4, 2)
    }

    #[tokio::test]
    async fn accepts_its_own_and_nothing_else() {
        let passwords = quick();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(passwords.verify(Some("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(Some("correct horsf"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(Some("dummy"), None).await.unwrap(), "the dummy's password opens nothing");
        assert!(!passwords.verify(None, Some(hash)).await.unwrap());
        assert!(!passwords.verify(Some("correct horse"), Some("not a hash".into())).await.unwrap());
    }

    #[tokio::test]
    async fn what_bcrypt_would_cut_is_refused() {
        let passwords = quick();
        let longest = "é".repeat(36);
        let hash = passwords.hash(&longest).await.unwrap();
        assert!(passwords.verify(Some(&longest), Some(hash.clone())).await.unwrap());
        let longer = format!("{longest}x");
        assert!(!passwords.verify(Some(&longer), Some(hash)).await.unwrap());
        assert_eq!(passwords.hash(&longer).await, Err(PasswordError::TooLong));
        assert_eq!(check_new("1234567"), Err(PasswordError::TooShort));
        assert_eq!(check_new("1234567\0"), Err(PasswordError::Nul));
        assert_eq!(check_new("éééééééé"), Ok(()), "characters count, not bytes");
    }

    #[tokio::test]
    async fn hashes_carry_the_production_cost() {
        let hash = Passwords::default().hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$2b$12$"), "{hash}");
    }

    #[tokio::test]
    async fn the_first_unknown_name_takes_one_hash() {
        let passwords = quick();
        passwords.warm_up().await.unwrap();
        let made = passwords.dummy.get().cloned();
        assert!(passwords.is_warm(), "before anyone asks");
        assert!(!passwords.verify(Some("x"), None).await.unwrap());
        assert_eq!(passwords.dummy.get().cloned(), made);
    }

    #[tokio::test]
    async fn an_empty_dummy_hash_is_never_accepted() {
        // bcrypt refuses cost 99, so the dummy hash cannot be computed.
        let broken = Passwords::new(99, 1);
        assert!(!broken.verify(Some(""), None).await.unwrap());
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let passwords = quick();
        passwords.waiting.store(MAX_WAITING, Ordering::Relaxed);
        assert_eq!(passwords.verify(Some("x"), None).await, Err(PasswordError::Busy));
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), MAX_WAITING, "the refused one has left");
    }
}
