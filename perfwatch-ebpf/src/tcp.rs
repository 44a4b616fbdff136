//! Probe `tcp`: retransmits, resets, how long connections take to open, and the smoothed round-trip time.
//!
//! Hook points: tp_btf `tcp_retransmit_skb`, `tcp_retransmit_synack`, `tcp_send_reset`, `tcp_receive_reset`,
//! `inet_sock_set_state`, `tcp_rcv_space_adjust` (an application received data).
#![no_std]
#![no_main]

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_probe_read_kernel};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::BtfTracePointContext;
use perfwatch_common::tcp::{
    CONNECTING, Offsets, RECEIVED, RESET_RECEIVED, RESET_SENT, RETRANSMIT, STATE, SYNACK, Tcp,
};
use perfwatch_ebpf::{MAPPED, accounted, add, constant, member, record_shared};

perfwatch_ebpf::license!();

const IPPROTO_TCP: u16 = 6;

// `enum` of net/tcp_states.h; part of what user space sees, so it stays.
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;

/// When sockets began to connect, by their address.
#[map]
static CONNECTING_SINCE: HashMap<u64, u64> = HashMap::with_max_entries(CONNECTING, 0);

/// One entry per CPU.
#[map]
static CPUS: Array<Tcp> = Array::with_max_entries(1, MAPPED);

#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets { sock_protocol: 0, tcp_sock_srtt_us: 0, skb_cb: 0, cb_gso_segs: 0 };

#[inline(always)]
fn this_cpu() -> Option<*mut Tcp> {
    CPUS.get_ptr_mut(unsafe { bpf_get_smp_processor_id() } as u32)
}

#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn received(ctx: BtfTracePointContext) -> i32 {
    let Some(tcp) = this_cpu() else { return 0 };
    let sock: u64 = ctx.arg(0);
    accounted!(unsafe { &raw mut (*tcp).costs }, RECEIVED, unsafe { record_rtt(tcp, sock) });
    0
}

/// Zero until the first measurement.
#[inline(always)]
unsafe fn record_rtt(tcp: *mut Tcp, sock: u64) {
    let at = sock + constant!(OFFSETS.tcp_sock_srtt_us) as u64;
    // Past the end of `struct sock`, so it cannot be read directly.
    if let Ok(srtt) = unsafe { bpf_probe_read_kernel(at as *const u32) }
        && srtt != 0
    {
        // The kernel keeps it in eighths of a microsecond.
        unsafe { record_shared(&raw mut (*tcp).smoothed_rtt, srtt as u64 * 125) };
    }
}

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn state(ctx: BtfTracePointContext) -> i32 {
    let Some(tcp) = this_cpu() else { return 0 };
    let sock: *const u8 = ctx.arg(0);
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    accounted!(unsafe { &raw mut (*tcp).costs }, STATE, unsafe { change(tcp, sock, old, new) });
    0
}

#[inline(always)]
unsafe fn change(tcp: *mut Tcp, sock: *const u8, old: i32, new: i32) {
    unsafe {
        // Others share the tracepoint (SCTP, DCCP, MPTCP).
        if member::<u16>(sock, constant!(OFFSETS.sock_protocol)) != IPPROTO_TCP {
            return;
        }
        let key = sock as u64;
        if new == TCP_SYN_SENT {
            let _ = CONNECTING_SINCE.insert(key, bpf_ktime_get_ns(), 0);
            return;
        }
        if old == TCP_SYN_SENT {
            let since = CONNECTING_SINCE.get(key).copied();
            let _ = CONNECTING_SINCE.remove(key);
            if new == TCP_ESTABLISHED {
                add(&raw mut (*tcp).connects, 1);
                if let Some(since) = since {
                    record_shared(&raw mut (*tcp).connect_latency, bpf_ktime_get_ns().saturating_sub(since));
                }
            } else if new != TCP_SYN_RECV {
                add(&raw mut (*tcp).connect_failures, 1);
            }
        } else if old == TCP_SYN_RECV && new == TCP_ESTABLISHED {
            add(&raw mut (*tcp).accepts, 1);
        } else if old == TCP_ESTABLISHED {
            record_rtt(tcp, key);
        }
    }
}

#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmit(ctx: BtfTracePointContext) -> i32 {
    let Some(tcp) = this_cpu() else { return 0 };
    let buffer: *const u8 = ctx.arg(1);
    accounted!(unsafe { &raw mut (*tcp).costs }, RETRANSMIT, unsafe {
        let segments: u16 = member(buffer, constant!(OFFSETS.skb_cb) + constant!(OFFSETS.cb_gso_segs));
        add(&raw mut (*tcp).retransmits, if segments == 0 { 1 } else { segments as u64 });
    });
    0
}

/// A connection that somebody opens to here has no socket yet that `retransmit` would see.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn synack(_ctx: BtfTracePointContext) -> i32 {
    let Some(tcp) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*tcp).costs }, SYNACK, unsafe { add(&raw mut (*tcp).retransmits, 1) });
    0
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub fn reset_sent(_ctx: BtfTracePointContext) -> i32 {
    let Some(tcp) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*tcp).costs }, RESET_SENT, unsafe { add(&raw mut (*tcp).resets_sent, 1) });
    0
}

#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn reset_received(_ctx: BtfTracePointContext) -> i32 {
    let Some(tcp) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*tcp).costs }, RESET_RECEIVED, unsafe {
        add(&raw mut (*tcp).resets_received, 1)
    });
    0
}
