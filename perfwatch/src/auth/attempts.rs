//! Limits on login attempts that slow down guessing and lock nobody out.
//!
//! Three windows of one minute: per address, per user name, and per pair of both. A pair that logged in
//! recently is counted on its own, so flooding an account or sharing an address with its owner
//! cannot lock the owner out. Past its limit such a pair is slowed down, not refused: its attempts take turns, one a
//! second. The machine itself (loopback) is never subject to the per-user window.
//!
//! Names are kept as digests, because people type passwords into the wrong field and the store keeps
//! these tables across restarts.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::digest;
use crate::store::access::LoginRecord;

pub const WINDOW: Duration = Duration::from_secs(60);
/// How long a user–address pair stays known after a login.
pub const FAMILIAR: Duration = Duration::from_secs(30 * 86_400);
/// Entries per table; no table stops an attacker with more addresses than that.
const MAX_ENTRIES: usize = 10_000;

/// Between two attempts of a known pair past its limit.
const PACE: Duration = Duration::from_secs(1);
/// Maximum number of attempts waiting.
const MAX_PACED: u32 = 20;

pub const DEFAULT_PER_MINUTE: u32 = 10;

#[derive(Debug)]
pub struct Attempts {
    per_minute: usize,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    addresses: HashMap<IpAddr, Window>,
    users: HashMap<String, Window>,
    pairs: HashMap<(String, IpAddr), Window>,
    familiar: HashMap<(String, IpAddr), Instant>,
    /// The next turn of a known pair past its limit.
    turns: HashMap<(String, IpAddr), Instant>,
}

/// Times of the failed and undecided attempts of the last minute, oldest first.
type Window = Vec<Instant>;

/// An attempt in progress. It counts as failed unless [`succeeded`](Self::succeeded) is called, so that
/// parallel attempts cannot slip under the limit.
#[derive(Debug)]
#[must_use]
pub struct Attempt<'a> {
    attempts: &'a Attempts,
    user: String,
    address: IpAddr,
    /// Counted by its pair alone.
    familiar: bool,
    at: Instant,
    /// When it may be decided.
    turn: Instant,
}

impl Attempts {
    /// Each window allows `per_minute` failed attempts.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: usize::try_from(per_minute).unwrap_or(usize::MAX), tables: Mutex::default() }
    }

    /// Starts an attempt, or returns how long to wait.
    pub fn begin(&self, username: &str, address: IpAddr) -> Result<Attempt<'_>, Duration> {
        self.begin_at(username, address, Instant::now())
    }

    fn begin_at(&self, username: &str, address: IpAddr, at: Instant) -> Result<Attempt<'_>, Duration> {
        let address = network(address);
        let user = digest(username);
        let pair = (user.clone(), address);
        let mut tables = self.tables();
        tables.forget_old(at);
        let familiar =
            tables.familiar.get(&pair).is_some_and(|seen| at.saturating_duration_since(*seen) < FAMILIAR);
        let mut turn = at;
        if familiar {
            if wait(&tables.pairs, &pair, self.per_minute, at).is_some() {
                turn = tables.turns.get(&pair).map_or(at, |turn| (*turn).max(at));
                if turn > at + MAX_PACED * PACE {
                    return Err(PACE);
                }
                tables.turns.insert(pair.clone(), turn + PACE);
            }
        } else {
            let by_address = wait(&tables.addresses, &address, self.per_minute, at);
            let by_user = wait(&tables.users, &user, self.per_minute, at);
            if let Some(longest) = by_address.max(by_user.filter(|_| !address.is_loopback())) {
                return Err(longest);
            }
        }
        tables.count(&pair, familiar, at);
        Ok(Attempt { attempts: self, user, address, familiar, at, turn })
    }

    /// Restores what an earlier run left in the store.
    pub fn restore(&self, failures: &[LoginRecord], familiar: &[LoginRecord]) {
        let (now, clock) = (Instant::now(), OffsetDateTime::now_utc());
        let then = |record: &LoginRecord| {
            // A time in the future means that the clock was set back.
            let age = (clock - record.at).try_into().unwrap_or(Duration::ZERO);
            now.checked_sub(age).unwrap_or(now)
        };
        let pair = |record: &LoginRecord| {
            let address: IpAddr = record.address.parse().ok()?;
            Some((record.user_hash.clone(), address))
        };
        let mut tables = self.tables();
        for record in familiar {
            tables.familiar.extend(pair(record).map(|pair| (pair, then(record))));
        }
        for record in failures {
            if let Some(pair) = pair(record) {
                tables.count(&pair, record.familiar, then(record));
            }
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// What the store keeps of it.
    pub fn record(&self) -> LoginRecord {
        LoginRecord {
            user_hash: self.user.clone(),
            address: self.address.to_string(),
            familiar: self.familiar,
            at: OffsetDateTime::now_utc(),
        }
    }

    /// Waits until it may be decided.
    pub async fn turn(&self) {
        tokio::time::sleep_until(self.turn.into()).await;
    }

    /// Takes the attempt out of the count and remembers that this user comes from this address.
    pub fn succeeded(self) {
        let mut tables = self.attempts.tables();
        let pair = (self.user, self.address);
        tables.take(&pair, self.familiar, self.at);
        tables.familiar.insert(pair, self.at);
    }

    /// Removes it from the count: its outcome is unknown.
    pub fn undecided(self) {
        self.attempts.tables().take(&(self.user, self.address), self.familiar, self.at);
    }
}

impl Tables {
    fn count(&mut self, pair: &(String, IpAddr), familiar: bool, at: Instant) {
        if familiar {
            self.pairs.entry(pair.clone()).or_default().push(at);
        } else {
            self.addresses.entry(pair.1).or_default().push(at);
            self.users.entry(pair.0.clone()).or_default().push(at);
        }
    }

    fn take(&mut self, pair: &(String, IpAddr), familiar: bool, at: Instant) {
        if familiar {
            take(&mut self.pairs, pair, at);
        } else {
            take(&mut self.addresses, &pair.1, at);
            take(&mut self.users, &pair.0, at);
        }
    }

    fn forget_old(&mut self, now: Instant) {
        self.turns.retain(|_, turn| *turn > now);
        forget(&mut self.addresses, now);
        forget(&mut self.users, now);
        forget(&mut self.pairs, now);
        if self.familiar.len() > MAX_ENTRIES {
            self.familiar.retain(|_, at| now.saturating_duration_since(*at) < FAMILIAR);
            evict_oldest(&mut self.familiar, |at| *at);
        }
    }
}

/// How long until `key` has room, if it has none now.
fn wait<K: Hash + Eq>(windows: &HashMap<K, Window>, key: &K, limit: usize, now: Instant) -> Option<Duration> {
    let recent: Vec<Instant> =
        windows.get(key)?.iter().copied().filter(|at| now.saturating_duration_since(*at) < WINDOW).collect();
    let blocking = recent.len().checked_sub(limit)?;
    // Room appears when the attempt `limit` places from the end leaves the window.
    let leaves = recent.get(blocking).map_or(WINDOW, |at| WINDOW - now.saturating_duration_since(*at));
    Some(leaves.max(Duration::from_secs(1)))
}

fn take<K: Hash + Eq>(windows: &mut HashMap<K, Window>, key: &K, at: Instant) {
    if let Some(window) = windows.get_mut(key)
        && let Some(position) = window.iter().position(|entry| *entry == at)
    {
        window.remove(position);
    }
}

fn forget<K: Hash + Eq + Clone>(windows: &mut HashMap<K, Window>, now: Instant) {
    windows.retain(|_, window| {
        window.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        !window.is_empty()
    });
    if windows.len() > MAX_ENTRIES {
        evict_oldest(windows, |window| window.last().copied().unwrap_or(now));
    }
}

fn evict_oldest<K: Hash + Eq + Clone, V>(table: &mut HashMap<K, V>, age: impl Fn(&V) -> Instant) {
    while table.len() > MAX_ENTRIES {
        let Some(oldest) = table.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| key.clone())
        else {
            return;
        };
        table.remove(&oldest);
    }
}

/// What one household or host can vary at will counts as one address: an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let mut segments = v6.segments();
            segments[4..].fill(0);
            IpAddr::from(segments)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    fn fail(attempts: &Attempts, user: &str, from: &str, now: Instant) -> bool {
        attempts.begin_at(user, at(from), now).is_ok()
    }

    #[test]
    fn an_address_has_its_limit_whatever_names_it_tries() {
        let attempts = Attempts::new(3);
        let now = Instant::now();
        for name in ["a", "b", "c"] {
            assert!(fail(&attempts, name, "192.0.2.1", now));
        }
        let retry = attempts.begin_at("d", at("192.0.2.1"), now + Duration::from_secs(20)).unwrap_err();
        assert_eq!(retry, Duration::from_secs(40));
        assert!(fail(&attempts, "d", "192.0.2.2", now));
        assert!(fail(&attempts, "d", "192.0.2.1", now + WINDOW));
    }

    #[test]
    fn a_user_has_its_limit_from_whatever_addresses() {
        let attempts = Attempts::new(3);
        let now = Instant::now();
        for i in 1..=3 {
            assert!(fail(&attempts, "admin", &format!("192.0.2.{i}"), now));
        }
        assert!(!fail(&attempts, "admin", "192.0.2.9", now));
        assert!(fail(&attempts, "other", "192.0.2.9", now));
    }

    #[test]
    fn a_flood_keeps_out_neither_the_familiar_nor_the_machine_itself() {
        let attempts = Attempts::new(3);
        let now = Instant::now();
        attempts.begin_at("admin", at("192.0.2.1"), now).unwrap().succeeded();
        for i in 1..=200 {
            fail(&attempts, "admin", &format!("198.51.100.{i}"), now);
            fail(&attempts, &format!("name {i}"), "192.0.2.1", now);
        }
        attempts.begin_at("admin", at("192.0.2.1"), now).unwrap().succeeded();
        attempts.begin_at("admin", at("127.0.0.1"), now).unwrap().succeeded();
        assert!(!fail(&attempts, "admin", "192.0.2.7", now), "the control: the account is under attack");
    }

    #[test]
    fn success_costs_nothing_and_undecided_attempts_count() {
        let attempts = Attempts::new(3);
        let now = Instant::now();
        for _ in 0..50 {
            attempts.begin_at("admin", at("192.0.2.1"), now).unwrap().succeeded();
        }
        let under_way: Vec<_> = (0..4).map(|_| attempts.begin_at("new", at("192.0.2.5"), now)).collect();
        assert_eq!(under_way.iter().filter(|attempt| attempt.is_ok()).count(), 3);
    }

    #[test]
    fn a_familiar_pair_past_its_limit_waits_for_its_turn_and_no_longer() {
        let attempts = Attempts::new(3);
        let now = Instant::now();
        attempts.begin_at("admin", at("192.0.2.1"), now).unwrap().succeeded();
        for _ in 0..3 {
            assert!(fail(&attempts, "admin", "192.0.2.1", now));
        }
        let turns: Vec<Duration> = std::iter::from_fn(|| {
            let attempt = attempts.begin_at("admin", at("192.0.2.1"), now).ok()?;
            Some(attempt.turn - now)
        })
        .collect();
        let paced: Vec<Duration> = (0..=MAX_PACED).map(|n| n * PACE).collect();
        assert_eq!(turns, paced, "one a second, and only so many wait");
        let later = attempts.begin_at("admin", at("192.0.2.1"), now + WINDOW + MAX_PACED * PACE).unwrap();
        assert_eq!(later.turn, later.at, "past the window");
    }

    #[test]
    fn what_nobody_decided_is_no_failure() {
        let attempts = Attempts::new(2);
        let now = Instant::now();
        for _ in 0..10 {
            attempts.begin_at("admin", at("192.0.2.1"), now).unwrap().undecided();
        }
        attempts.begin_at("admin", at("192.0.2.1"), now).unwrap().succeeded();
        for _ in 0..10 {
            attempts.begin_at("admin", at("192.0.2.1"), now).unwrap().undecided();
        }
        assert!(attempts.tables().pairs.values().all(Vec::is_empty));
    }

    #[test]
    fn a_restart_forgets_neither_failures_nor_familiar_addresses() {
        let before = Attempts::new(2);
        let owner = before.begin("admin", at("192.0.2.1")).unwrap();
        let familiar = [owner.record()];
        owner.succeeded();
        let failures: Vec<_> =
            (0..2).map(|_| before.begin("admin", at("198.51.100.1")).unwrap().record()).collect();
        assert!(!failures[0].user_hash.contains("admin"));

        let after = Attempts::new(2);
        after.restore(&failures, &familiar);
        assert!(after.begin("admin", at("198.51.100.1")).is_err(), "the guesser");
        assert!(after.begin("admin", at("203.0.113.1")).is_err(), "another of the guesser's addresses");
        assert!(after.begin("admin", at("192.0.2.1")).is_ok(), "the owner");
        let old: Vec<_> =
            failures.into_iter().map(|f| LoginRecord { at: f.at - time::Duration::MINUTE, ..f }).collect();
        let later = Attempts::new(2);
        later.restore(&old, &[]);
        assert!(later.begin("admin", at("198.51.100.1")).is_ok(), "past the window");
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_address_are_one() {
        let attempts = Attempts::new(1);
        let now = Instant::now();
        assert!(fail(&attempts, "a", "2001:db8:1:2::1", now));
        assert!(!fail(&attempts, "b", "2001:db8:1:2:ffff::9", now));
        assert!(fail(&attempts, "b", "2001:db8:1:3::1", now));
        assert!(fail(&attempts, "c", "::ffff:192.0.2.1", now));
        assert!(!fail(&attempts, "d", "192.0.2.1", now));
    }

    #[test]
    fn tables_stay_bounded() {
        let attempts = Attempts::new(3);
        let now = Instant::now();
        for i in 0..u32::try_from(MAX_ENTRIES).unwrap() + 50 {
            fail(&attempts, &i.to_string(), &std::net::Ipv4Addr::from(i).to_string(), now);
        }
        let tables = attempts.tables();
        assert!(tables.addresses.len() <= MAX_ENTRIES + 1);
        assert!(tables.users.len() <= MAX_ENTRIES + 1);
    }
}
