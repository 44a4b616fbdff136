//! Counts sockets without ever listing them as text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::raw::SocketCounts;
use super::sock_diag::{Count, SockDiag};
use crate::collectors::has_own_procfs;
use crate::config::Roots;
use crate::kernel_files::fields::{Fields, lines};
use crate::kernel_files::file::KernelFile;
use crate::kernel_files::snmp;

/// For the two states that only sock_diag distinguishes, the kernel walks its whole connection table, which costs
/// more than the rest of a tick; both change slowly.
const DUMP_REFRESH: Duration = Duration::from_mins(1);

pub(super) struct Sockets {
    sockstat: KernelFile,
    sockstat6: KernelFile,
    snmp: KernelFile,
    /// Of init in the `/proc` that is shown; `None` if that is our own.
    namespace: Option<PathBuf>,
    diag: Option<SockDiag>,
    dumped: Option<Instant>,
    dump: Result<Count, String>,
}

impl Sockets {
    pub(super) fn new(roots: &Roots, net: &Path) -> Self {
        Self {
            sockstat: KernelFile::new(net.join("sockstat")),
            sockstat6: KernelFile::new(net.join("sockstat6")),
            snmp: KernelFile::new(net.join("snmp")),
            namespace: (!has_own_procfs(roots)).then(|| roots.proc("1/ns/net")),
            diag: None,
            dumped: None,
            dump: Err("not counted yet".into()),
        }
    }

    pub(super) fn read(&mut self, now: Instant) -> SocketCounts {
        if self.dumped.is_none_or(|at| now.saturating_duration_since(at) >= DUMP_REFRESH) {
            self.dumped = Some(now);
            self.dump = self.count().map_err(|error| {
                self.diag = None; // half an answer may be left in it
                format!("listening and close-wait sockets cannot be counted: sock_diag: {error}")
            });
        }
        let v4 = self.sockstat.read_optional().map(Sockstat::parse);
        let v6 = self.sockstat6.read_optional().map(Sockstat::parse).unwrap_or_default();
        let tcp_counts = self.snmp.read_optional().map(snmp::Tcp::parse).unwrap_or_default();
        let dump = self.dump.as_ref().ok();
        let close_wait = dump.map(|count| count.close_wait);
        let sum = |a: Option<u64>, b: Option<u64>| a.map(|a| a.saturating_add(b.unwrap_or(0)));
        let udp = v4.and_then(|v4| sum(v4.udp, v6.udp));
        let tcp = v4.and_then(|v4| sum(sum(v4.tcp, v6.tcp), v4.time_wait));
        SocketCounts {
            // The kernel counts both states under this name.
            established: tcp_counts.established.map(|count| count.saturating_sub(close_wait.unwrap_or(0))),
            time_wait: v4.and_then(|v4| v4.time_wait),
            close_wait,
            listen: dump.map(|count| count.listen),
            udp,
            all: tcp.zip(udp).map(|(tcp, udp)| tcp.saturating_add(udp)),
            tcp_retransmits: tcp_counts.segments_retransmitted,
        }
    }

    /// Why some counts are missing.
    pub(super) fn reason(&self) -> Option<String> {
        self.dump.as_ref().err().filter(|_| self.dumped.is_some()).cloned()
    }

    fn count(&mut self) -> io::Result<Count> {
        let diag = match self.diag.take() {
            Some(diag) => self.diag.insert(diag),
            None => self.diag.insert(match &self.namespace {
                None => SockDiag::open()?,
                Some(namespace) => open_in(namespace)?,
            }),
        };
        diag.count()
    }
}

/// A socket in another network namespace. It stays there; only a short-lived thread has to enter.
fn open_in(namespace: &Path) -> io::Result<SockDiag> {
    let theirs = fs::metadata(namespace)?;
    let ours = fs::metadata("/proc/self/ns/net")?;
    use std::os::unix::fs::MetadataExt;
    if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
        return SockDiag::open();
    }
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd;
    let namespace = fs::File::open(namespace)?;
    let entered = std::thread::Builder::new().name("setns".into()).spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        SockDiag::open()
    })?;
    entered.join().unwrap_or_else(|_| Err(io::Error::other("the thread that opens the socket panicked")))
}

/// A line of `/proc/net/sockstat` is `TCP: inuse 1 orphan 0 tw 0 …`; in sockstat6 the names end in 6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sockstat {
    /// In every state but time-wait.
    tcp: Option<u64>,
    /// Of both address families; only in sockstat.
    time_wait: Option<u64>,
    udp: Option<u64>,
}

impl Sockstat {
    fn parse(text: &[u8]) -> Self {
        let mut found = Self::default();
        for line in lines(text) {
            let mut words = Fields::new(line);
            let protocol = words.word();
            let value = |wanted: &[u8]| {
                let mut words = words.clone();
                while let Some(name) = words.word() {
                    if name == wanted {
                        // Kernels have reported negative counts: treat as unknown.
                        return words.number().filter(|count| *count <= i32::MAX as u64);
                    }
                }
                None
            };
            match protocol {
                Some(b"TCP:") => (found.tcp, found.time_wait) = (value(b"inuse"), value(b"tw")),
                Some(b"TCP6:") => found.tcp = value(b"inuse"),
                Some(b"UDP:" | b"UDP6:") => found.udp = value(b"inuse"),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sockstat() {
        let text = b"sockets: used 20\nTCP: inuse 3 orphan 0 tw 7 alloc 1 mem 298\nUDP: inuse 2 mem 0\nRAW: inuse 0\n";
        assert_eq!(Sockstat::parse(text), Sockstat { tcp: Some(3), time_wait: Some(7), udp: Some(2) });
        let text = b"TCP6: inuse 4\nUDP6: inuse 1\nUDPLITE6: inuse 9\n";
        assert_eq!(Sockstat::parse(text), Sockstat { tcp: Some(4), time_wait: None, udp: Some(1) });
        for unknown in ["TCP: inuse\n", "TCP: inuse -1\n", "TCP: inuse 18446744073709551615\n", "\n\0\n"] {
            assert_eq!(Sockstat::parse(unknown.as_bytes()), Sockstat::default(), "{unknown}");
        }
    }
}
