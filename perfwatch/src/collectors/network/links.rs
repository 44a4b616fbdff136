//! State and speed of interfaces, from `/sys/class/net`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::raw::Raw;
use crate::config::Roots;
use crate::kernel_files::fields;
use crate::kernel_files::file::Attribute;

/// A link's speed is read when its state changes, and this often: some drivers take a lock that is held while
/// other links are set up, or talk to the hardware.
const SPEED_REFRESH: Duration = Duration::from_secs(60);

/// Machines with many containers have hundreds of interfaces; each tick checks this many in turn.
const LOOKS_PER_TICK: usize = 16;

#[derive(Debug)]
pub(super) struct Link {
    operstate: Attribute,
    speed: Attribute,
    speed_read: Option<Instant>,
    /// `up`, `down`, `unknown`, … (RFC 2863); `None` if `/sys` does not say.
    pub(super) state: Option<String>,
    /// `None` for links without a speed: virtual ones, and those that are down.
    pub(super) speed_mbps: Option<i64>,
}

pub(super) struct Links {
    folder: PathBuf,
    links: BTreeMap<Arc<str>, Link>,
    /// Number of checks so far.
    turn: usize,
}

impl Links {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { folder: roots.sys("class/net"), links: BTreeMap::new(), turn: 0 }
    }

    /// The links of the interfaces in `raw`.
    pub(super) fn read(&mut self, raw: &Raw, now: Instant) -> &BTreeMap<Arc<str>, Link> {
        let count = raw.interfaces.len();
        if self.links.len() > count {
            self.links.retain(|name, _| raw.interface(name, 0).is_some());
        }
        for (at, interface) in raw.interfaces.iter().enumerate() {
            let has_turn = (at + count - self.turn % count) % count < LOOKS_PER_TICK;
            if let Some(link) = self.links.get_mut(&interface.name) {
                if has_turn {
                    link.look(now);
                }
            } else {
                let mut link = Link::new(self.folder.join(&*interface.name));
                link.look(now);
                self.links.insert(Arc::clone(&interface.name), link);
            }
        }
        self.turn = self.turn.wrapping_add(LOOKS_PER_TICK);
        &self.links
    }
}

/// Ten times today's fastest bond.
const MAX_MBPS: i64 = 100_000_000;

/// Drivers use -1 for "unknown", which kernels have printed as an unsigned 16- or 32-bit number.
fn is_speed(mbps: &i64) -> bool {
    (1..=MAX_MBPS).contains(mbps) && *mbps != i64::from(u16::MAX)
}

impl Link {
    fn new(folder: PathBuf) -> Self {
        Self {
            operstate: Attribute::new(folder.join("operstate")),
            speed: Attribute::new(folder.join("speed")),
            speed_read: None,
            state: None,
            speed_mbps: None,
        }
    }

    fn look(&mut self, now: Instant) {
        let mut value = [0; 64];
        let state = self.operstate.read(&mut value);
        let changed = state != self.state.as_deref().map(str::as_bytes);
        if changed {
            self.state = state.map(fields::text);
        }
        let due = self.speed_read.is_none_or(|at| now.saturating_duration_since(at) >= SPEED_REFRESH);
        if changed || due {
            self.speed_read = Some(now);
            self.speed_mbps = self.speed.read_signed().filter(is_speed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_no_speed_in_any_width() {
        for unknown in
            ["-1", "0", "65535", "2147483647", "4294967295", "18446744073709551615", "9223372036854775807"]
        {
            assert!(!fields::signed(unknown.as_bytes()).is_some_and(|mbps| is_speed(&mbps)), "{unknown}");
        }
        assert!([10, 1000, 25_000, 800_000, 6_400_000].iter().all(is_speed));
    }
}
