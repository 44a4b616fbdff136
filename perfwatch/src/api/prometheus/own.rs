//! PerfWatch's own state and cost.

use super::exposition::{Exposition, Kind, Label};
use crate::alerts::answer::Current;
use crate::alerts::catalogue::Over;
use crate::alerts::machine::Status;
use crate::alerts::rule::Severity;
use crate::api::{AppState, VERSION};
use crate::fleet::sender::Sending;
use crate::history::writer;
use crate::snapshot::source::{Report, State};

/// States of rules that are told; a fleet may have more.
const MAX_ALERT_STATES: usize = 10_000;

pub(super) fn write(state: &AppState, exposition: &mut Exposition) {
    let mut add =
        |name, kind, help, labels: &[Label], value: f64| exposition.add(name, kind, help, labels, value);
    add("build_info", Kind::Gauge, "Version of the running server.", &[("version", VERSION.to_owned())], 1.0);
    let clients = state.hub.subscribers() as f64;
    add("stream_clients", Kind::Gauge, "Connected clients of the live stream.", &[], clients);
    if let Some(writer) = state.writer.as_ref().map(writer::Handle::stats) {
        let stored = writer.written() as f64;
        add("snapshots_stored_total", Kind::Counter, "Snapshots stored since the start.", &[], stored);
        let lost = writer.dropped() as f64;
        add("snapshots_lost_total", Kind::Counter, "Snapshots lost since the start.", &[], lost);
        let refused = writer.refused() as f64;
        add(
            "snapshots_refused_total",
            Kind::Counter,
            "Snapshots skipped because one with the same time is stored.",
            &[],
            refused,
        );
        let waiting = writer.waiting() as f64;
        add("snapshots_waiting", Kind::Gauge, "Snapshots not stored yet.", &[], waiting);
        let spool = writer.log_bytes() as f64;
        add(
            "spool_bytes",
            Kind::Gauge,
            "Disk space used by snapshots that wait for the database.",
            &[],
            spool,
        );
        let failing = writer.failing() || state.store_watch.problem().is_some();
        let failing = f64::from(u8::from(failing));
        add("store_failing", Kind::Gauge, "1 while the database does not accept snapshots.", &[], failing);
        let failing = f64::from(u8::from(writer.log_failing()));
        add(
            "spool_failing",
            Kind::Gauge,
            "1 while snapshots that wait for the database cannot be written to disk.",
            &[],
            failing,
        );
    }
    if let Some(stats) = &state.fleet.stats {
        for (outcome, count) in [
            ("stored", stats.stored()),
            ("duplicate", stats.duplicates()),
            ("expired", stats.expired()),
            ("set_aside", stats.set_aside()),
        ] {
            let help = "Messages of the fleet since the start, by what became of them.";
            let outcome = [("outcome", outcome.to_owned())];
            add("fleet_messages_total", Kind::Counter, help, &outcome, count as f64);
        }
        let failing = f64::from(u8::from(stats.failing()));
        let help = "1 while the database does not take the history of the fleet.";
        add("fleet_store_failing", Kind::Gauge, help, &[], failing);
    }
    if let Some(Sending { health, outbox }) = &state.fleet.sending {
        let help = "History that NATS has not acknowledged, in packets.";
        add("fleet_outbox_packets", Kind::Gauge, help, &[], outbox.len() as f64);
        let help = "Disk space used by history that NATS has not acknowledged.";
        add("fleet_outbox_bytes", Kind::Gauge, help, &[], outbox.bytes() as f64);
        let help = "Packets that were lost before NATS took them.";
        add("fleet_outbox_lost_total", Kind::Counter, help, &[], outbox.lost() as f64);
        let failing = f64::from(u8::from(health.failing()));
        add("fleet_sender_failing", Kind::Gauge, "1 while NATS takes no history.", &[], failing);
    }
    // A fleet has too many states that are fine.
    let is_fleet = state.alerts.over() == Over::Fleet;
    let is_told = |status, is_raised| !is_fleet || is_raised || status != Status::Ok;
    for current in state.alerts.current(|_| true, is_told).into_iter().take(MAX_ALERT_STATES) {
        let mut labels = vec![("rule", current.rule.name.clone())];
        if is_fleet {
            labels.push(("host", current.host.clone()));
        }
        let things =
            current.label_names.iter().filter_map(|name| Some((*name, current.labels.get(*name)?.clone())));
        labels.extend(things.filter(|(name, _)| *name != "rule" && !(is_fleet && *name == "host")));
        let help = "State of an alert rule for a thing: 0 ok, 1 pending, 2 warning, 3 critical, -1 no data, -2 not applicable.";
        add("alert_state", Kind::Gauge, help, &labels, alert_state(&current));
    }
    let damaged = state.history.damaged_chunks() as f64;
    add("damaged_chunks_total", Kind::Counter, "Chunks of history that could not be read.", &[], damaged);
    for (cause, ticks) in state.source_status.missed_ticks() {
        let cause = [("cause", cause.as_str().to_owned())];
        add("ticks_missed_total", Kind::Counter, "Ticks that were not taken.", &cause, ticks as f64);
    }
    let reports = state.source_status.reports();
    let tick: f64 = reports.iter().map(|report| report.cost.last_us / 1e6).sum();
    add(
        "tick_cpu_seconds",
        Kind::Gauge,
        "CPU time of all sources in the last measured tick (every eighth).",
        &[],
        tick,
    );
    for report in &reports {
        source(report, &mut add);
    }
    if let Some(process) = Process::read() {
        let Process { cpu_seconds, resident_bytes, anonymous_bytes, open_files } = process;
        add("process_cpu_seconds_total", Kind::Counter, "CPU time of the server.", &[], cpu_seconds);
        add(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory of the server.",
            &[],
            resident_bytes,
        );
        if let Some(bytes) = anonymous_bytes {
            add(
                "process_anonymous_memory_bytes",
                Kind::Gauge,
                "Anonymous memory of the server, without files and shared memory.",
                &[],
                bytes,
            );
        }
        add("process_open_fds", Kind::Gauge, "Open file descriptors of the server.", &[], open_files);
    }
}

fn alert_state(current: &Current) -> f64 {
    match (current.status, current.raised.as_ref().map(|raised| raised.severity)) {
        (Status::NoData, _) => -1.0,
        (Status::NotApplicable, _) => -2.0,
        (_, Some(Severity::Critical)) => 3.0,
        (_, Some(Severity::Warning)) => 2.0,
        (Status::Pending, None) => 1.0,
        (Status::Ok | Status::Firing, None) => 0.0,
    }
}

fn source(report: &Report, add: &mut impl FnMut(&'static str, Kind, &'static str, &[Label], f64)) {
    let name = [("source", report.name.to_owned())];
    let active = f64::from(u8::from(report.state == State::Active));
    add("source_active", Kind::Gauge, "1 if a source is active.", &name, active);
    let cost = report.cost.last_us / 1e6;
    add("source_cpu_seconds", Kind::Gauge, "CPU time of a source in the last measured tick.", &name, cost);
    for program in &report.programs {
        let labels = [name[0].clone(), ("program", program.name.to_owned())];
        let (runs, seconds) = (program.run_count as f64, program.run_time_ns as f64 / 1e9);
        add("bpf_program_runs_total", Kind::Counter, "Runs of an eBPF program.", &labels, runs);
        add("bpf_program_run_seconds_total", Kind::Counter, "Run time of an eBPF program.", &labels, seconds);
    }
}

/// This process, from our own `/proc` rather than the observed machine's.
#[derive(Debug)]
struct Process {
    cpu_seconds: f64,
    resident_bytes: f64,
    /// `RssAnon`.
    anonymous_bytes: Option<f64>,
    open_files: f64,
}

impl Process {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name in parentheses may contain blanks; user and system time are fields 14 and 15.
        let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || times.next()?.parse::<f64>().ok();
        let cpu_seconds = (ticks()? + ticks()?) / rustix::param::clock_ticks_per_second() as f64;
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let anonymous = anonymous.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self {
            cpu_seconds,
            resident_bytes: pages * rustix::param::page_size() as f64,
            anonymous_bytes: anonymous.map(|kib| kib * 1024.0),
            // The directory itself is open while being read.
            open_files: std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64,
        })
    }
}
