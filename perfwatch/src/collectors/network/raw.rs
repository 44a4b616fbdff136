//! `/proc/net/dev` as is, and what is known of sockets.

use std::sync::Arc;

use crate::collectors::positions::Positions;
use crate::kernel_files::fields::{self, Fields, lines};

/// An interface's counters since it was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) bytes_recv: u64,
    pub(super) packets_recv: u64,
    pub(super) errors_in: u64,
    pub(super) drops_in: u64,
    pub(super) bytes_sent: u64,
    pub(super) packets_sent: u64,
    pub(super) errors_out: u64,
    pub(super) drops_out: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: Arc<str>,
    pub(super) counters: Counters,
}

/// Sockets now, and segments retransmitted since boot; `None` if the kernel does not report it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SocketCounts {
    /// Without `close_wait` if that is known.
    pub(super) established: Option<u64>,
    pub(super) time_wait: Option<u64>,
    pub(super) close_wait: Option<u64>,
    pub(super) listen: Option<u64>,
    pub(super) udp: Option<u64>,
    /// TCP in any state, and UDP.
    pub(super) all: Option<u64>,
    pub(super) tcp_retransmits: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Raw {
    pub(super) interfaces: Vec<Interface>,
    pub(super) positions: Positions,
    pub(super) sockets: SocketCounts,
}

impl Raw {
    /// Parses `text` into `self`, sharing names with the previous sample; `None` if it is not such a table.
    pub(super) fn parse(&mut self, text: &[u8], before: Option<&Self>) -> Option<()> {
        self.interfaces.clear();
        self.positions.clear();
        for line in lines(text) {
            // A name may contain a colon, as alias names once did; numbers never do.
            let Some(colon) = line.iter().rposition(|b| *b == b':') else { continue };
            let name = line[..colon].trim_ascii_start();
            let Some(counters) = counters(&line[colon + 1..]).filter(|_| !name.is_empty()) else { continue };
            let known = before
                .and_then(|raw| raw.interfaces.get(self.interfaces.len()))
                .filter(|interface| interface.name.as_bytes() == name);
            let name = known.map_or_else(|| fields::text(name).into(), |known| Arc::clone(&known.name));
            self.interfaces.push(Interface { name, counters });
        }
        // Two header lines; without any interface they identify the table.
        let is_table = !self.interfaces.is_empty() || text.starts_with(b"Inter-|");
        is_table.then_some(())
    }

    /// The interface of that name, most likely `at` the same position as in another sample.
    pub(super) fn interface(&self, name: &str, at: usize) -> Option<&Interface> {
        let place = self.positions.find(&self.interfaces, |interface| &interface.name, name, at)?;
        self.interfaces.get(place)
    }
}

fn counters(numbers: &[u8]) -> Option<Counters> {
    let mut fields = Fields::new(numbers);
    let mut four = || Some((fields.number()?, fields.number()?, fields.number()?, fields.number()?));
    let (bytes_recv, packets_recv, errors_in, drops_in) = four()?;
    four()?; // fifo, frame, compressed, multicast
    let (bytes_sent, packets_sent, errors_out, drops_out) = four()?;
    Some(Counters {
        bytes_recv,
        packets_recv,
        errors_in,
        drops_in,
        bytes_sent,
        packets_sent,
        errors_out,
        drops_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_cost_no_other_interface() {
        let numbers = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
        let mut text = b"Inter-|   Receive\n face |bytes\n".to_vec();
        for line in ["  eth0:", "\0\0\0\n wlan0:", "\n:", " cut: 1 2 3\n eth1:"] {
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(numbers.as_bytes());
        }
        text.extend_from_slice(b" \xff\xfe:");
        text.extend_from_slice(numbers.as_bytes());
        text.extend_from_slice(b" eth0:1:");
        text.extend_from_slice(numbers.as_bytes());
        let mut raw = Raw::default();
        raw.parse(&text, None).unwrap();
        let names: Vec<&str> = raw.interfaces.iter().map(|interface| &*interface.name).collect();
        assert_eq!(names, ["eth0", "wlan0", "eth1", "\u{fffd}\u{fffd}", "eth0:1"]);
        assert!(raw.interfaces.iter().all(|i| i.counters.bytes_recv == 1 && i.counters.bytes_sent == 9));
    }

    #[test]
    fn a_table_may_be_empty_but_must_be_one() {
        let mut raw = Raw::default();
        assert_eq!(raw.parse(b"Inter-|   Receive\n face |bytes\n", None), Some(()));
        assert_eq!(raw.parse(b"# removed\n", None), None);
    }
}
