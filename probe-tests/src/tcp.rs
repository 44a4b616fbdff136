//! Probe `tcp`: connections that are established, are refused, or lose everything on the way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use perfwatch::snapshot::source::State;
use serde_json::Value;

use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "tcp::connections_are_counted_at_both_ends", run: connections_are_counted },
    Test { name: "tcp::refused_connections_are_failures_and_resets", run: refused_connections },
    Test { name: "tcp::retransmits_match_snmp", run: retransmits_match_snmp },
];

fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("tcp")?;
    probe.next()?;
    let report = probe.report();
    ensure!(report.state == State::Active && report.reason.is_none(), "not all of it works: {report:?}");
    probe.next()?;
    Ok(probe)
}

fn number(row: &Value, field: &str) -> Result<u64> {
    row[field].as_u64().with_context(|| format!("no {field} in {row}"))
}

fn connections_are_counted() -> Result<Verdict> {
    const CONNECTIONS: u64 = 20;
    let mut probe = loaded()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        let mut buffer = [0; 1000];
        client.write_all(&buffer)?;
        server.read_exact(&mut buffer)?;
        server.write_all(&buffer)?;
        client.read_exact(&mut buffer)?;
    }
    let document = probe.next()?;
    let (connects, accepts) = (number(&document, "connects")?, number(&document, "accepts")?);
    ensure!(connects >= CONNECTIONS && accepts >= CONNECTIONS, "{connects} connects, {accepts} accepts");
    let latency = &document["connect_latency"];
    let count = number(&latency["histogram"], "count")?;
    ensure!(count >= CONNECTIONS && count <= connects, "{count} latencies of {connects} connects");
    let median = latency["p50_us"].as_f64().context("no median")?;
    ensure!(median > 0.5 && median < 1e6, "opening a connection to this machine took {median} µs");
    let rtt = number(&document["smoothed_rtt"]["histogram"], "count")?;
    ensure!(rtt >= 2 * CONNECTIONS, "{rtt} round-trip times of {CONNECTIONS} connections");
    Ok(Verdict::Passed(format!("{connects} connects, {accepts} accepts, median {median} µs, {rtt} RTTs")))
}

/// An address without a listener: one that was free a moment ago.
fn closed_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn refused_connections() -> Result<Verdict> {
    const ATTEMPTS: u64 = 10;
    let mut probe = loaded()?;
    let address = closed_address()?;
    for _ in 0..ATTEMPTS {
        ensure!(TcpStream::connect(address).is_err(), "somebody listens at {address}");
    }
    let document = probe.next()?;
    let mut words = Vec::new();
    for field in ["connect_failures", "resets_sent", "resets_received"] {
        let counted = number(&document, field)?;
        ensure!(counted >= ATTEMPTS, "{ATTEMPTS} refused connections, {field} is {counted}");
        words.push(format!("{field} {counted}"));
    }
    Ok(Verdict::Passed(words.join(", ")))
}

/// A count of this network namespace.
fn standing(file: &str, group: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/net/{file}"))?;
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = lines.next().zip(lines.next()).with_context(|| format!("no {group} in {file}"))?;
    let at = names.split_whitespace().position(|found| found == name);
    let at = at.with_context(|| format!("no {name} in {file}"))?;
    values.split_whitespace().nth(at).context("too few values")?.parse().context("not a number")
}

/// All retransmitted segments.
fn retransmitted() -> Result<u64> {
    standing("snmp", "Tcp:", "RetransSegs")
}

/// Those of them that open connections: SYN of one side, SYN-ACK of the other.
fn opening_retransmitted() -> Result<u64> {
    standing("netstat", "TcpExt:", "TCPSynRetrans")
}

/// Makes a socket drop every packet that arrives.
fn drop_everything(socket: &impl AsRawFd) -> Result<()> {
    let mut refuse = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut refuse };
    // SAFETY: the option's value is a sock_fprog of one instruction, which the kernel copies.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    ensure!(result == 0, "SO_ATTACH_FILTER: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Begins to connect without waiting for it, and receives no reply.
fn connect_deafly(address: SocketAddr) -> Result<OwnedFd> {
    let SocketAddr::V4(address) = address else { bail!("{address} is not of IPv4") };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: a new descriptor, owned from here on.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        ensure!(socket >= 0, "socket: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(socket)
    };
    drop_everything(&socket)?;
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the address is of that family and length, and outlives the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    let error = std::io::Error::last_os_error();
    ensure!(result == 0 || error.raw_os_error() == Some(libc::EINPROGRESS), "connect: {error}");
    Ok(socket)
}

/// Data of established connections, and the first packets of both sides of those that never will.
fn retransmits_match_snmp() -> Result<Verdict> {
    const CONNECTIONS: u64 = 8;
    const DEAF: u64 = 4;
    // Of these, SYN and SYN-ACK are retransmitted, of the others data.
    const OPENING: u64 = 2 * DEAF;
    let mut probe = loaded()?;
    let opening_before = opening_retransmitted()?;
    let before_start = retransmitted()?;
    probe.now()?;
    let after_start = retransmitted()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        drop_everything(&server)?;
        client.set_nonblocking(true)?;
        // More than a segment, as much as the socket accepts.
        let _ = client.write(&[0; 100_000])?;
        ends.push((client, server));
    }
    let deaf = (0..DEAF).map(|_| connect_deafly(listener.local_addr()?)).collect::<Result<Vec<_>>>()?;
    // The first time-outs are 200 ms of data and a second of SYN and SYN-ACK.
    let patience = Instant::now() + Duration::from_secs(30);
    while opening_retransmitted()? < opening_before + OPENING && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(100));
    }
    let before_end = retransmitted()?;
    let document = probe.now()?;
    let after_end = retransmitted()?;
    drop(deaf);
    let (least, most) = (before_end - after_start, after_end - before_start);
    let counted = number(&document, "retransmits")?;
    let words = format!("{counted} segments counted, {least} to {most} by snmp");
    ensure!(
        least >= CONNECTIONS + OPENING,
        "{CONNECTIONS} connections lost everything and {DEAF} heard nothing: {words}"
    );
    // A CPU may be between the two counts of one buffer.
    ensure!((least - 2..=most + 2).contains(&counted), "{words}");
    let percent = document["retransmit_percent"].as_f64().context("no percentage")?;
    ensure!(percent > 0.0, "{percent}% of the segments were retransmitted");
    Ok(Verdict::Passed(format!("{words}, {percent}% of all")))
}
