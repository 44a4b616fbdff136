//! What other monitors cost, measured once on a machine like our development machines, next to PerfWatch now.

use super::document::short;
use super::figures::Report;

struct Peer {
    name: &'static str,
    /// Of one CPU at a snapshot a second: idle, seconds a minute.
    cpu_s: f64,
    memory_mb: f64,
    start_s: f64,
    better: &'static str,
}

const fn peer(name: &'static str, cpu_s: f64, memory_mb: f64, start_s: f64, better: &'static str) -> Peer {
    Peer { name, cpu_s, memory_mb, start_s, better }
}

#[rustfmt::skip] // a table
const PEERS: &[Peer] = &[
    peer("sadc (sysstat)", 0.104, 2.5, 0.02, "cheaper than anything here; on every distribution"),
    peer("Rezolus", 0.30, 77.0, 0.3, "more probes: system calls, softirqs, GPUs"),
    peer("PCP (pmcd, pmlogger)", 0.47, 44.0, 0.4, "many machines; agents for hundreds of systems; archives that replay"),
    peer("btop", 0.48, 6.0, 0.1, "in the terminal, nothing to set up"),
    peer("node_exporter", 0.57, 21.0, 0.07, "the whole Prometheus world: fleets, alerts, exporters (a scrape costs 0.6 s more)"),
    peer("Netdata 1.37", 1.04, 72.0, 5.1, "alerts, hundreds of integrations, many machines"),
    peer("below", 1.7, 10.0, 0.1, "replays the past in the terminal, cgroup by cgroup"),
    peer("Glances", 2.5, 74.0, 1.0, "also on macOS, BSD and Windows; plugins"),
];

/// 5.5 µs without it, 11.4 µs with it.
const REZOLUS_SLOWER: u32 = 107;

/// The table, cheapest first; `None` until PerfWatch itself has been measured.
pub fn table(report: &Report) -> Option<String> {
    let of = |name: &str| report.figure("tick", &format!("server.sqlite.{name}")).map(|figure| figure.median);
    let cpu_s = of("us")? * 60.0 / 1e6;
    let (memory_mb, start_s) = (of("rss_kib")? * 1024.0 / 1e6, of("cold_start_ms")? / 1e3);
    let ours = Peer { name: "**PerfWatch**", cpu_s, memory_mb, start_s, better: "" };
    let mut rows: Vec<&Peer> = PEERS.iter().chain([&ours]).collect();
    rows.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
    let mut text =
        String::from("| | CPU a minute | memory | first data after | does better |\n|---|--:|--:|--:|---|\n");
    for Peer { name, cpu_s, memory_mb, start_s, better } in rows {
        let (cpu, memory, start) = (short(*cpu_s), short(*memory_mb), short(*start_s));
        text.push_str(&format!("| {name} | {cpu} s | {memory} MB | {start} s | {better} |\n"));
    }
    if let Some(slower) = report.figure("ebpf", "all probes.slower_percent") {
        let ours = short(slower.median);
        text.push_str(&format!(
            "\nWhat eBPF costs the workload: one round trip through two pipes took {REZOLUS_SLOWER} % longer with Rezolus's\n\
             default probes, and takes {ours} % longer with all of PerfWatch's.\n",
        ));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ours_stands_where_its_cost_puts_it() {
        let mut report = Report::default();
        assert_eq!(table(&report), None);
        let figures = json!({"us": 10_000, "rss_kib": 30_000, "cold_start_ms": 250});
        report.add("tick", &json!({"server": {"sqlite": figures}}));
        let text = table(&report).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| line.contains("PerfWatch")).unwrap();
        assert_eq!(lines[at], "| **PerfWatch** | 0.600 s | 30.7 MB | 0.250 s |  |");
        report.add("ebpf", &json!({"all probes": {"slower_percent": 7.5}}));
        assert!(table(&report).unwrap().contains("takes 7.50 % longer"));
        assert!(lines[at - 1].contains("node_exporter") && lines[at + 1].contains("Netdata"), "{text}");
    }
}
