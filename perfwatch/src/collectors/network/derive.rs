//! From two samples of `/proc/net/dev` to traffic.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::links::Link;
use super::raw::{Counters, Raw};
use crate::collectors::rates::{Rates, per_second};

/// Totals cover the machine's traffic to the outside since its interfaces were created: see [`super::outside`]. `null`
/// where they overflow 64 bits.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Body<'a> {
    bytes_sent_per_sec: Option<f64>,
    bytes_recv_per_sec: Option<f64>,
    total_bytes_sent: Option<u64>,
    total_bytes_recv: Option<u64>,
    packets_sent: Option<u64>,
    packets_recv: Option<u64>,
    errors_in: Option<u64>,
    errors_out: Option<u64>,
    drops_in: Option<u64>,
    drops_out: Option<u64>,
    interfaces: Vec<Interface<'a>>,
    /// TCP sockets in any state, and UDP sockets.
    connection_count: Option<u64>,
    connections: Connections,
    /// Segments.
    tcp_retransmits_per_sec: Option<f64>,
}

#[derive(Debug, Serialize, PartialEq)]
struct Interface<'a> {
    name: &'a str,
    state: Option<&'a str>,
    speed_mbps: Option<i64>,
    bytes_sent: u64,
    bytes_recv: u64,
    packets_sent: u64,
    packets_recv: u64,
    errors_in: u64,
    errors_out: u64,
    drops_in: u64,
    drops_out: u64,
    bytes_sent_per_sec: Option<f64>,
    bytes_recv_per_sec: Option<f64>,
    packets_sent_per_sec: Option<f64>,
    packets_recv_per_sec: Option<f64>,
    errors_in_per_sec: Option<f64>,
    errors_out_per_sec: Option<f64>,
    drops_in_per_sec: Option<f64>,
    drops_out_per_sec: Option<f64>,
}

#[derive(Debug, Serialize, PartialEq)]
struct Connections {
    /// Where `close_wait` is `null`, these are included.
    established: Option<u64>,
    time_wait: Option<u64>,
    close_wait: Option<u64>,
    listen: Option<u64>,
    udp: Option<u64>,
}

pub(super) fn derive<'a>(
    previous: Option<(&Raw, Rates)>,
    current: &'a Raw,
    links: &'a BTreeMap<Arc<str>, Link>,
    counts: &[bool],
) -> Body<'a> {
    // Each interface with its previous counters, if it was there.
    let pairs: Vec<(&Counters, Option<&Counters>, bool)> = current
        .interfaces
        .iter()
        .enumerate()
        .map(|(at, now)| {
            let before = previous.and_then(|(raw, _)| raw.interface(&now.name, at));
            let counts = counts.get(at).copied().unwrap_or(false);
            (&now.counters, before.map(|interface| &interface.counters), counts)
        })
        .collect();
    let counted = || pairs.iter().filter(|(_, _, counts)| *counts);
    let total = |field: fn(&Counters) -> u64| {
        counted().try_fold(0u64, |sum, (now, _, _)| sum.checked_add(field(now)))
    };
    // New interfaces are left out; a counter that restarted makes the sum unknown.
    let total_per_sec = |field: fn(&Counters) -> u64| {
        let (_, rates) = previous?;
        counted().next()?;
        let delta = counted()
            .filter_map(|(now, before, _)| Some(rates.width.delta(field((*before)?), field(now))))
            .try_fold(0u64, |sum, delta| sum.checked_add(delta?))?;
        per_second(delta, rates.elapsed)
    };
    let sockets = &current.sockets;
    Body {
        bytes_sent_per_sec: total_per_sec(|c| c.bytes_sent),
        bytes_recv_per_sec: total_per_sec(|c| c.bytes_recv),
        total_bytes_sent: total(|c| c.bytes_sent),
        total_bytes_recv: total(|c| c.bytes_recv),
        packets_sent: total(|c| c.packets_sent),
        packets_recv: total(|c| c.packets_recv),
        errors_in: total(|c| c.errors_in),
        errors_out: total(|c| c.errors_out),
        drops_in: total(|c| c.drops_in),
        drops_out: total(|c| c.drops_out),
        interfaces: current
            .interfaces
            .iter()
            .zip(&pairs)
            .map(|(named, (now, before, _))| {
                let before = before.zip(previous.map(|(_, rates)| rates));
                interface(&named.name, before, now, links)
            })
            .collect(),
        connection_count: sockets.all,
        connections: Connections {
            established: sockets.established,
            time_wait: sockets.time_wait,
            close_wait: sockets.close_wait,
            listen: sockets.listen,
            udp: sockets.udp,
        },
        tcp_retransmits_per_sec: previous
            .and_then(|(raw, rates)| rates.of_optional(raw.sockets.tcp_retransmits, sockets.tcp_retransmits)),
    }
}

fn interface<'a>(
    name: &'a str,
    before: Option<(&Counters, Rates)>,
    now: &Counters,
    links: &'a BTreeMap<Arc<str>, Link>,
) -> Interface<'a> {
    let link = links.get(name);
    let rate =
        |field: fn(&Counters) -> u64| before.and_then(|(before, rates)| rates.of(field(before), field(now)));
    Interface {
        name,
        state: link.and_then(|link| link.state.as_deref()),
        speed_mbps: link.and_then(|link| link.speed_mbps),
        bytes_sent: now.bytes_sent,
        bytes_recv: now.bytes_recv,
        packets_sent: now.packets_sent,
        packets_recv: now.packets_recv,
        errors_in: now.errors_in,
        errors_out: now.errors_out,
        drops_in: now.drops_in,
        drops_out: now.drops_out,
        bytes_sent_per_sec: rate(|c| c.bytes_sent),
        bytes_recv_per_sec: rate(|c| c.bytes_recv),
        packets_sent_per_sec: rate(|c| c.packets_sent),
        packets_recv_per_sec: rate(|c| c.packets_recv),
        errors_in_per_sec: rate(|c| c.errors_in),
        errors_out_per_sec: rate(|c| c.errors_out),
        drops_in_per_sec: rate(|c| c.drops_in),
        drops_out_per_sec: rate(|c| c.drops_out),
    }
}
