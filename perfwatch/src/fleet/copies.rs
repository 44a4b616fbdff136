//! Machines that send under one ID, because one is a copy of the other, with its machine-id or data directory.
//!
//! Each process has an instance of its own. After a restart the earlier instance is never heard again; the signs of life of
//! two machines interleave: A, B, A, B.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::protocol::Origin;

/// How often earlier instances must be back: a sign of life that was under way may pass the first of a restart.
const RETURNS: usize = 3;
/// Returns count this long; after it without any, the copies are gone.
const WINDOW: Duration = Duration::from_secs(90);
/// Instances remembered of a host.
const MAX_INSTANCES: usize = 8;
/// More hosts than a fleet has; further ones are not noted.
const MAX_HOSTS: usize = 20_000;
/// Of what a machine says about itself.
const MAX_TEXT: usize = 255;

#[derive(Debug, Default)]
struct Host {
    /// The one heard last is at the end.
    instances: Vec<(Origin, Instant)>,
    /// When an earlier instance was heard again.
    returns: Vec<Instant>,
    is_told: bool,
}

impl Host {
    fn is_copied(&self, now: Instant) -> bool {
        self.returns.iter().filter(|at| now.saturating_duration_since(**at) < WINDOW).count() >= RETURNS
    }

    /// Those heard lately.
    fn living(&self, now: Instant) -> Vec<Origin> {
        let lately = self.instances.iter().filter(|(_, at)| now.saturating_duration_since(*at) < WINDOW);
        lately.map(|(origin, _)| origin.clone()).collect()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Copies(Arc<Mutex<HashMap<String, Host>>>);

impl Copies {
    /// Notes who gave a sign of life.
    pub(super) fn note(&self, host: &str, origin: &Origin, now: Instant) {
        let mut hosts = self.hosts();
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
            return;
        }
        let known = hosts.entry(host.to_owned()).or_default();
        known.returns.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        let place = known.instances.iter().position(|(other, _)| other.instance == origin.instance);
        if let Some(place) = place {
            if place + 1 < known.instances.len() {
                known.returns.push(now);
            }
            known.instances.remove(place);
        } else if known.instances.len() == MAX_INSTANCES {
            known.instances.remove(0);
        }
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
        let (name, address) = (cut(&origin.name), cut(&origin.address));
        known.instances.push((Origin { instance: cut(&origin.instance), name, address }, now));
        let is_copied = known.is_copied(now);
        if is_copied && !known.is_told {
            let machines: Vec<String> =
                known.living(now).iter().map(|one| format!("{} at {}", one.name, one.address)).collect();
            tracing::error!(
                id = host,
                machines = machines.join(", "),
                "several machines send under one ID, as copies of an image do: on all but one set PERFWATCH_HOST_ID, and \
                 let it join anew"
            );
        }
        known.is_told = is_copied;
    }

    /// The machines that send under this ID, if there are several.
    pub fn of(&self, host: &str) -> Vec<Origin> {
        let now = Instant::now();
        let hosts = self.hosts();
        hosts.get(host).filter(|known| known.is_copied(now)).map_or_else(Vec::new, |known| known.living(now))
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        let now = Instant::now();
        self.hosts().values().any(|known| known.is_copied(now))
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(order: &str) -> Vec<String> {
        let copies = Copies::default();
        for instance in order.chars() {
            let origin =
                Origin { instance: instance.into(), name: format!("web-{instance}"), address: "::1".into() };
            copies.note("web", &origin, Instant::now());
        }
        let mut names: Vec<String> = copies.of("web").into_iter().map(|origin| origin.name).collect();
        names.sort();
        names
    }

    #[test]
    fn signs_of_copies_interleave_and_those_of_restarts_do_not() {
        assert_eq!(heard("aaaa"), [""; 0]);
        assert_eq!(heard("aabbccdd"), [""; 0], "restarts");
        assert_eq!(heard("abab"), [""; 0], "one was late");
        assert_eq!(heard("ababa"), ["web-a", "web-b"]);
        assert_eq!(heard("aabbabaab"), ["web-a", "web-b"]);
    }

    #[test]
    fn copies_that_are_gone_are_forgotten() {
        let copies = Copies::default();
        let origin =
            |instance: &str| Origin { instance: instance.into(), name: "x".into(), address: String::new() };
        let Some(long_ago) = Instant::now().checked_sub(WINDOW) else { return };
        for instance in ["a", "b", "a", "b", "a"] {
            copies.note("web", &origin(instance), long_ago);
        }
        assert!(copies.of("web").is_empty() && !copies.any());
    }
}
