//! `/proc/net/dev` as it stands, and what is known of sockets.

use std::sync::Arc;

use crate::collectors::fields::{self, Fields, lines};

/// An interface's counters since it was made.
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

impl Interface {
    pub(super) fn is_loopback(&self) -> bool {
        &*self.name == "lo"
    }
}

/// Sockets now, and segments sent again since boot; `None` where the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SocketCounts {
    /// Without `close_wait` where that is known.
    pub(super) established: Option<u64>,
    pub(super) time_wait: Option<u64>,
    pub(super) close_wait: Option<u64>,
    pub(super) listen: Option<u64>,
    pub(super) udp: Option<u64>,
    /// TCP in any state, and UDP.
    pub(super) all: Option<u64>,
    pub(super) tcp_retransmits: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) interfaces: Vec<Interface>,
    pub(super) sockets: SocketCounts,
}

impl Raw {
    /// Takes `text` over into `self`, sharing names with the sample before; `None` when it is no such table.
    pub(super) fn parse(&mut self, text: &[u8], before: Option<&Self>) -> Option<()> {
        self.interfaces.clear();
        let mut lines = lines(text);
        // Two lines of headings.
        let is_table = lines.next()?.starts_with(b"Inter-|") && lines.next()?.starts_with(b" face |");
        for line in is_table.then_some(lines)? {
            let colon = line.iter().position(|b| *b == b':')?;
            let name = line[..colon].trim_ascii_start();
            let known = before
                .and_then(|raw| raw.interfaces.get(self.interfaces.len()))
                .filter(|interface| interface.name.as_bytes() == name);
            let name = known.map_or_else(|| fields::text(name).into(), |known| Arc::clone(&known.name));
            self.interfaces.push(Interface { name, counters: counters(&line[colon + 1..])? });
        }
        Some(())
    }

    /// The interface of that name, most likely `at` the same place as in another sample.
    pub(super) fn interface(&self, name: &str, at: usize) -> Option<&Interface> {
        let guess = self.interfaces.get(at).filter(|interface| *interface.name == *name);
        guess.or_else(|| self.interfaces.iter().find(|interface| *interface.name == *name))
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
