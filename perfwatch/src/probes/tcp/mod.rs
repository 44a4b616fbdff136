//! Probe `tcp`, document `tcp`: retransmits, resets, how long connections take to open, and round-trip times.
//!
//! # Hook points
//! tp_btf `tcp_retransmit_skb`, `tcp_retransmit_synack`, `tcp_send_reset`, `tcp_receive_reset`,
//! `inet_sock_set_state`, `tcp_rcv_space_adjust`. They see every network namespace; segments are the host's
//! (`/proc/net/snmp`).
//!
//! # Output
//! An array mapped into our memory: per CPU counts and histograms.
//!
//! Cost: 130 to 550 ns per event (`cargo xtask bench ebpf`); the only hook that follows the traffic runs when an
//! application receives data.

mod derive;

use std::mem::offset_of;
use std::time::Instant;

use aya::Ebpf;
use perfwatch_common::cost::Costs;
use perfwatch_common::tcp::{Offsets, PROGRAMS, Tcp as Cpu};

use self::derive::{Counts, Interval, Segments, derive};
use super::Common;
use super::guarded::{Guarded, Loaded};
use super::kernel::{Kernel, SharedKernel};
use super::loader::{self, Unavailable};
use super::mapped::Mapped;
use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::kernel_files::snmp;
use crate::snapshot::histogram::Unit;
use crate::snapshot::source::{Method, ProgramStats, Report, Source, SourceError, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "tcp";

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../perfwatch-ebpf/prebuilt/tcp.o");

/// Each program is independent: a kernel that lacks one tracepoint still provides the rest.
const HOOKS: [(&str, &str); 6] = [
    ("state", "inet_sock_set_state"),
    ("retransmit", "tcp_retransmit_skb"),
    ("synack", "tcp_retransmit_synack"),
    ("reset_sent", "tcp_send_reset"),
    ("reset_received", "tcp_receive_reset"),
    ("received", "tcp_rcv_space_adjust"),
];

pub(super) struct Tcp {
    roots: Roots,
    kernel: SharedKernel,
    programs: Guarded<Programs>,
}

impl Tcp {
    pub(super) fn new(common: &Common<'_>) -> Self {
        Self {
            roots: common.roots.clone(),
            kernel: common.kernel.clone(),
            programs: Guarded::new(NAME, &common.budget),
        }
    }
}

impl Source for Tcp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Tcp
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let load = || Programs::load(self.kernel.get()?, &self.roots);
        let interval = self.programs.read(load, Programs::read);
        self.kernel.release();
        Ok(Reading::new(MetricType::Tcp, tick.at, &derive(interval.as_ref()))?)
    }

    fn report(&self) -> Report {
        self.programs.report(Report::active(NAME, MetricType::Tcp, Method::Ebpf))
    }
}

struct Programs {
    ebpf: Ebpf,
    cpus: Mapped<Cpu>,
    before: Vec<Cpu>,
    /// The CPUs on which a program ran in the last interval.
    ran: Vec<bool>,
    missing: Vec<Unavailable>,
    snmp: KernelFile,
    /// Segments since boot at the last reading.
    segments: Option<Segments>,
    /// Whether `tcp_send_reset` also reports resets without a socket, which refuse a connection. Kernels
    /// whose tracepoint has no reason (before 6.10) do not; then the host's own count is used.
    refusals_traced: bool,
    read_at: Instant,
}

impl Loaded for Programs {
    fn stats(&self) -> Vec<ProgramStats> {
        let sum = self.before.iter().fold(Costs::default(), |sum, cpu| sum.plus(&cpu.costs));
        loader::stats(&self.ebpf, PROGRAMS, &sum)
    }

    fn missing(&self) -> &[Unavailable] {
        &self.missing
    }
}

impl Programs {
    fn load(kernel: &Kernel, roots: &Roots) -> Result<Self, Unavailable> {
        let possible = loader::possible_cpus()?;
        let offsets = Offsets {
            sock_protocol: kernel.offset("sock", &["sk_protocol"])?,
            tcp_sock_srtt_us: kernel.offset("tcp_sock", &["srtt_us"])?,
            skb_cb: kernel.offset("sk_buff", &["cb"])?,
            cb_gso_segs: kernel.offset("tcp_skb_cb", &["tcp_gso_segs"])?,
        };
        let mut ebpf = loader::load(NAME, OBJECT, |loader| {
            loader.override_global("OFFSETS", &offsets, true).map_max_entries("CPUS", possible);
        })?;
        let cpus = Mapped::<Cpu>::new(&ebpf, "CPUS", possible)?;
        let mut missing = Vec::new();
        for (program, tracepoint) in HOOKS {
            if let Err(why) = kernel.attach(&mut ebpf, program, tracepoint) {
                missing.push(why);
            }
        }
        if missing.len() == HOOKS.len() {
            return Err(missing.swap_remove(0));
        }
        // In a container `/proc/net` is its own network's; that of the host's init is the host's.
        let host = roots.proc("1/net/snmp");
        let snmp = if host.exists() { host } else { roots.proc("net/snmp") };
        let mut snmp = KernelFile::new(snmp);
        let segments = segments(&mut snmp);
        let before: Vec<Cpu> = (0..possible).filter_map(|cpu| cpus.get(cpu)).collect();
        // Programs have been running since they were attached.
        let ran = vec![true; before.len()];
        let refusals_traced = kernel.arguments("tcp_send_reset").is_some_and(|arguments| arguments.len() > 2);
        Ok(Self {
            ebpf,
            cpus,
            before,
            ran,
            missing,
            snmp,
            segments,
            refusals_traced,
            read_at: Instant::now(),
        })
    }

    fn read(&mut self) -> Interval {
        let mut interval = Interval::new(self.read_at.elapsed());
        self.read_at = Instant::now();
        for (number, before) in (0u32..).zip(&mut self.before) {
            let (earlier, ran) = (Counts::of(before), before.costs);
            self.cpus.refresh(number, before, offset_of!(Cpu, connect_latency));
            interval.add(&earlier, &Counts::of(before));
            // A run is counted when it begins, so what it records may arrive after that reading.
            let runs = before.costs != ran;
            let ran_before = std::mem::replace(&mut self.ran[number as usize], runs);
            if runs || ran_before {
                let cpu = |offset, copy| self.cpus.grown(number, offset, Unit::Nanoseconds, copy);
                let connect_latency = cpu(offset_of!(Cpu, connect_latency), &mut before.connect_latency);
                let smoothed_rtt = cpu(offset_of!(Cpu, smoothed_rtt), &mut before.smoothed_rtt);
                interval.add_times(&connect_latency, &smoothed_rtt);
            }
        }
        let segments = segments(&mut self.snmp);
        interval.segments = self.segments.zip(segments).and_then(|(before, now)| {
            Some(Segments {
                received: now.received.checked_sub(before.received)?,
                sent: now.sent.checked_sub(before.sent)?,
                resets_sent: now.resets_sent.checked_sub(before.resets_sent)?,
            })
        });
        if let Some(segments) = interval.segments.filter(|_| !self.refusals_traced) {
            interval.resets_sent = segments.resets_sent;
        }
        self.segments = segments;
        interval
    }
}

fn segments(file: &mut KernelFile) -> Option<Segments> {
    let tcp = snmp::Tcp::parse(file.read_optional()?);
    Some(Segments {
        received: tcp.segments_received?,
        sent: tcp.segments_sent?,
        resets_sent: tcp.resets_sent?,
    })
}
