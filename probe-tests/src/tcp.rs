//! Probe `tcp`: connections that stand, are refused, or lose everything on the way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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

/// An address where nobody listens: one that was free a moment ago.
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

/// `RetransSegs` of the network namespace that this runs in.
fn retransmitted() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/net/snmp")?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = lines.next().zip(lines.next()).context("no TCP in snmp")?;
    let at = names.split_whitespace().position(|name| name == "RetransSegs").context("no RetransSegs")?;
    values.split_whitespace().nth(at).context("too few values")?.parse().context("not a number")
}

/// Has a socket drop every packet that arrives.
fn drop_everything(socket: &TcpStream) -> Result<()> {
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

/// The probe's count lies between the kernel's own counts just inside and just outside its interval.
fn retransmits_match_snmp() -> Result<Verdict> {
    const CONNECTIONS: usize = 8;
    let mut probe = loaded()?;
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
        // More than a segment, as much as the socket takes.
        let _ = client.write(&[0; 100_000])?;
        ends.push((client, server));
    }
    std::thread::sleep(Duration::from_millis(1_300)); // the first time-outs are 200 and 400 ms
    let before_end = retransmitted()?;
    let document = probe.now()?;
    let after_end = retransmitted()?;
    let (least, most) = (before_end - after_start, after_end - before_start);
    let counted = number(&document, "retransmits")?;
    let words = format!("{counted} segments counted, {least} to {most} by snmp");
    ensure!(counted >= CONNECTIONS as u64, "{CONNECTIONS} connections lost everything: {words}");
    ensure!((least..=most).contains(&counted), "{words}");
    let percent = document["retransmit_percent"].as_f64().context("no percentage")?;
    ensure!(percent > 0.0, "{percent}% of the segments were retransmitted");
    Ok(Verdict::Passed(format!("{words}, {percent}% of all")))
}
