//! The figures with goals: what the table shows, and what it compares them with.

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// At most this many times its floor.
    TimesFloor(f64),
    /// For information only.
    None,
}

#[derive(Debug)]
pub struct Row {
    pub bench: &'static str,
    pub path: &'static str,
    pub what: &'static str,
    pub goal: Goal,
    /// The floor's path, if it is not the figure's own name with `floor_` before it.
    pub floor: Option<&'static str>,
}

const fn row(bench: &'static str, path: &'static str, what: &'static str, goal: Goal) -> Row {
    Row { bench, path, what, goal, floor: None }
}

const fn beside(row: Row, floor: &'static str) -> Row {
    Row { floor: Some(floor), ..row }
}

use Goal::{AtLeast, AtMost, TimesFloor};

/// The original's bytes per day for its six types.
const ORIGINAL_MB: f64 = 102.6;

/// 700 kB.
const OPENING_KIB: f64 = 683.6;

#[rustfmt::skip] // a table
pub const ROWS: &[Row] = &[
    row("tick", "cold.all.us", "collectors, CPU a tick (floor: preads of the same files)", TimesFloor(2.0)),
    row("tick", "server.sqlite.us", "server on SQLite with 200 processes and a client, CPU a tick", AtMost(1350.0)),
    row("tick", "server.sqlite.sampler.us", "its sampler (floor: preads of its files and of every process's stat)", TimesFloor(2.0)),
    row("tick", "server.sqlite.sampler_and_its_files.us", "the same (floor: preads of its files alone)", Goal::None),
    row("tick", "server.sqlite_idle.us", "server on SQLite without those processes: the machine as it is", AtMost(1350.0)),
    row("tick", "server.sqlite_containers.us", "server on SQLite with 100 containers, a process in each of which runs every tick", AtMost(1350.0)),
    row("tick", "server.sqlite_containers.sources_us.cgroups", "its document of cgroups", AtMost(1000.0)),
    row("tick", "server.postgresql.us", "server on PostgreSQL", AtMost(1350.0)),
    row("tick", "server.postgresql.sampler.us", "its sampler", TimesFloor(2.0)),
    row("tick", "server.sqlite.anonymous_kib", "memory of its own (RssAnon) on SQLite", AtMost(14.0 * 1024.0)),
    row("tick", "server.sqlite.rss_kib", "resident memory, with files and shared pages", Goal::None),
    row("tick", "server.postgresql.anonymous_kib", "memory of its own (RssAnon) on PostgreSQL", AtMost(14.0 * 1024.0)),
    row("tick", "server.sqlite.cold_start_ms", "start to first snapshot, SQLite", AtMost(1000.0)),
    row("tick", "server.postgresql.cold_start_ms", "start to first snapshot, PostgreSQL", AtMost(1000.0)),
    row("fleet", "1000.hub_cpu_ms_per_host_minute", "hub of 1,000 hosts, CPU a host and minute, ms", AtMost(6.0)),
    row("fleet", "100.hub_cpu_ms_per_host_minute", "of 100", Goal::None),
    row("fleet", "10.hub_cpu_ms_per_host_minute", "of 10", Goal::None),
    row("fleet", "1000.postgresql_cpu_ms_per_host_minute", "its PostgreSQL", Goal::None),
    row("fleet", "1000.nats_cpu_ms_per_host_minute", "its NATS", Goal::None),
    row("fleet", "1000.hub_anonymous_mib", "memory of its own (RssAnon) of the hub of 1,000 hosts, MiB", Goal::None),
    row("fleet", "1000.disk_mb_per_host_day", "on disk, MB a host and day", Goal::None),
    row("fleet", "1000.disk_mb_per_host_day.without_accounts_and_cgroups", "of it without the documents of each process and cgroup", AtMost(45.0)),
    row("fleet", "1000.wire_mb_per_host_day", "on the wire", Goal::None),
    row("fleet", "1000.visible_after_p99_s", "end of a slot until 99 % of all can be seen, s", Goal::None),
    row("fleet", "1000.overview_p99_ms", "overview of 1,000 hosts, p99, ms", AtMost(200.0)),
    row("fleet", "1000.one_host_hour_p99_ms", "an hour of one of them, p99, ms", AtMost(20.0)),
    row("fleet", "1000.field_over_hosts_p50_ms", "an hour of one field on all of them, ms", Goal::None),
    row("fleet", "agent.profiling.anonymous_mib", "memory of its own (RssAnon) of an agent, MiB", AtMost(15.0)),
    row("fleet", "agent.without_profiles.anonymous_mib", "without profiles", AtMost(15.0)),
    row("fleet", "agent.profiling.cpu_ms_a_tick", "CPU of an agent, ms a tick", Goal::None),
    row("fleet", "agent.without_profiles.cpu_ms_a_tick", "without profiles", AtMost(0.7)),
    row("groups", "figures.100_busy.us", "document of 100 cgroups, a process in each of which runs every tick", AtMost(1000.0)),
    row("groups", "figures.100_idle.us", "the same, all asleep", AtMost(1000.0)),
    row("groups", "figures.1000_busy.us", "of 1,000", AtMost(5000.0)),
    row("groups", "figures.1000_idle.us", "the same, all asleep", AtMost(5000.0)),
    row("profile", "cpu.19_hz.percent", "profiling at 19 Hz while every CPU is busy, percent of all CPUs", AtMost(0.2)),
    row("profile", "cpu.99_hz.percent", "the same at 99 Hz", AtMost(1.0)),
    row("profile", "cpu.19_hz.ns_a_sample", "its eBPF program, ns a sample", Goal::None),
    row("profile", "cpu.floor.empty_sample_ns", "a program that does nothing", Goal::None),
    row("profile", "cpu.floor.copy_stack_ns", "one that only copies the stack", Goal::None),
    row("profile", "cpu.19_hz.anonymous_kib", "memory of its own at 19 Hz, all of the server and of the process that reads symbols (RssAnon)", AtMost(40.0 * 1024.0)),
    row("profile", "kept.mb_a_day", "profiles of two busy CPUs, MB a day", AtMost(5.0)),
    row("profile", "kept.1_h.p99_ms", "flame graph of 1 h, p99, ms", AtMost(100.0)),
    row("profile", "kept.24_h.p99_ms", "of 24 h", AtMost(100.0)),
    row("profile", "kept.30_d.p99_ms", "of 30 d", AtMost(100.0)),
    beside(row("ebpf", "all probes.slower_percent", "all probes: a pipe round trip becomes slower by", AtMost(15.0)),
        "empty sched_switch + sched_wakeup.slower_percent"),
    row("ebpf", "idle.of_one_cpu_percent", "all probes on a machine that does nothing else, of one CPU", AtMost(1.0)),
    row("ebpf", "table.active.tick_us", "table of tasks, 10,000 active processes, CPU a tick (floor: a pread of each one's stat)", TimesFloor(1.0)),
    row("ebpf", "table.active.system_calls", "the same, system calls", AtMost(100.0)),
    row("ebpf", "programs.all_probes_of_one_cpu_percent", "all probes under that load, of one CPU", Goal::None),
    row("ebpf", "programs.switch.event_ns", "program switch, an event (floor: no more than its helpers)", TimesFloor(2.0)),
    row("ebpf", "programs.migrate.event_ns", "migrate", TimesFloor(2.0)),
    row("ebpf", "programs.fork.event_ns", "fork", TimesFloor(2.0)),
    row("ebpf", "programs.exec.event_ns", "exec", TimesFloor(2.0)),
    row("ebpf", "programs.exit.event_ns", "exit", TimesFloor(2.0)),
    row("ebpf", "programs.read_counters.event_ns", "read_counters", TimesFloor(2.0)),
    row("ebpf", "programs.issue.event_ns", "issue", TimesFloor(2.0)),
    row("ebpf", "programs.complete.event_ns", "complete", TimesFloor(2.0)),
    row("ebpf", "programs.received.event_ns", "received", TimesFloor(2.0)),
    row("ebpf", "programs.state.event_ns", "state", TimesFloor(2.0)),
    row("ebpf", "programs.reset_sent.event_ns", "reset_sent", TimesFloor(2.0)),
    row("ebpf", "programs.reset_received.event_ns", "reset_received", TimesFloor(2.0)),
    row("stream", "fan_out.cpu_per_client_us", "CPU per client and tick (floor: writing the bytes)", AtMost(25.0)),
    row("stream", "fan_out.behind_the_first_p99_ms", "1,000 clients: p99 behind the first one", AtMost(20.0)),
    row("stream", "crowd.health_p99_ms", "/health p99 with 5,000 clients and 200 logins", AtMost(50.0)),
    row("history", "sqlite.questions.1 h.p99_ms", "1 h on SQLite, p99", AtMost(20.0)),
    row("history", "sqlite.questions.24 h.p99_ms", "24 h", AtMost(20.0)),
    row("history", "sqlite.questions.24 h of cgroups.p99_ms", "24 h of every field of all cgroups", Goal::None),
    row("history", "sqlite.questions.7 d.p99_ms", "7 d", AtMost(20.0)),
    row("history", "sqlite.questions.30 d.p99_ms", "30 d", AtMost(20.0)),
    row("history", "sqlite.questions.compare week.p99_ms", "week against week", AtMost(20.0)),
    row("history", "sqlite.questions.changes 30 d.p99_ms", "what changed in 30 d", AtMost(300.0)),
    row("history", "sqlite.questions.who 24 h.p99_ms", "who used most in 24 h", AtMost(100.0)),
    row("history", "sqlite.questions.who 30 d.p99_ms", "who used most in 30 d", AtMost(100.0)),
    row("history", "sqlite.questions.field 30 d raw.p99_ms", "one field of 30 d, every reading", AtMost(300.0)),
    row("history", "postgresql.questions.1 h.p99_ms", "1 h on PostgreSQL, p99", AtMost(20.0)),
    row("history", "postgresql.questions.24 h.p99_ms", "24 h", AtMost(20.0)),
    row("history", "postgresql.questions.24 h of cgroups.p99_ms", "24 h of every field of all cgroups", Goal::None),
    row("history", "postgresql.questions.7 d.p99_ms", "7 d", AtMost(20.0)),
    row("history", "postgresql.questions.30 d.p99_ms", "30 d", AtMost(20.0)),
    row("history", "postgresql.questions.compare week.p99_ms", "week against week", AtMost(20.0)),
    row("history", "postgresql.questions.changes 30 d.p99_ms", "what changed in 30 d", AtMost(300.0)),
    row("history", "postgresql.questions.who 24 h.p99_ms", "who used most in 24 h", AtMost(100.0)),
    row("history", "postgresql.questions.who 30 d.p99_ms", "who used most in 30 d", AtMost(100.0)),
    row("history", "postgresql.questions.field 30 d raw.p99_ms", "one field of 30 d, every reading", AtMost(300.0)),
    row("history", "sqlite.documents_a_day.eleven_at_1_s.all.a_number_with_histograms_bytes", "bytes per number, raw, of the machine and its programs, eleven documents at 1 s on SQLite", AtMost(1.5)),
    row("history", "sqlite.documents_a_day.eleven_at_1_s.all.a_number_bytes", "the same, counting no number inside a histogram", Goal::None),
    row("history", "sqlite.documents_a_day.eleven_at_1_s.all.minute_of_a_number_bytes", "bytes per rolled-up minute of a number, with min and max", AtMost(6.0)),
    row("history", "sqlite.documents_a_day.eleven_at_1_s.all.on_disk_a_day_mb", "a day of them at 1 s, on disk", AtMost(250.0)),
    row("history", "sqlite.documents_a_day.all_at_1_s.all.on_disk_a_day_mb", "of all documents, with each process and cgroup", Goal::None),
    row("history", "sqlite.documents_a_day.the_originals_six.raw_mb", "the original's six types a day on SQLite, raw", AtMost(ORIGINAL_MB)),
    row("history", "sqlite.documents_a_day.the_originals_six.downsampled_mb", "the same, downsampled", AtMost(ORIGINAL_MB / 3.0)),
    row("history", "postgresql.documents_a_day.eleven_at_1_s.all.a_number_with_histograms_bytes", "bytes per number, raw, of the machine and its programs, eleven documents at 1 s on PostgreSQL", AtMost(1.5)),
    row("history", "postgresql.documents_a_day.eleven_at_1_s.all.a_number_bytes", "the same, counting no number inside a histogram", Goal::None),
    row("history", "postgresql.documents_a_day.eleven_at_1_s.all.minute_of_a_number_bytes", "bytes per rolled-up minute of a number, with min and max", AtMost(6.0)),
    row("history", "postgresql.documents_a_day.eleven_at_1_s.all.on_disk_a_day_mb", "a day of them at 1 s, on disk", AtMost(250.0)),
    row("history", "postgresql.documents_a_day.all_at_1_s.all.on_disk_a_day_mb", "of all documents, with each process and cgroup", Goal::None),
    row("history", "postgresql.documents_a_day.the_originals_six.raw_mb", "the original's six types a day on PostgreSQL, raw", AtMost(ORIGINAL_MB)),
    row("history", "postgresql.documents_a_day.the_originals_six.downsampled_mb", "the same, downsampled", AtMost(ORIGINAL_MB / 3.0)),
    row("history", "sqlite.documents_a_day.eleven_at_1_s.all.writing_per_s", "snapshots of the eleven written on SQLite", AtLeast(3000.0)),
    row("history", "sqlite.writing_per_s", "of all", Goal::None),
    row("history", "postgresql.documents_a_day.eleven_at_1_s.all.writing_per_s", "snapshots of the eleven written on PostgreSQL", AtLeast(3000.0)),
    row("history", "postgresql.writing_per_s", "of all", Goal::None),
    row("history", "postgresql.with_documents_per_s", "with documents for SQL and rollups beside it", Goal::None),
    row("faults", "kills.sqlite.lost", "ticks lost in 50 kills at random moments, SQLite", AtMost(0.0)),
    row("faults", "kills.sqlite.twice", "ticks stored twice", AtMost(0.0)),
    row("faults", "kills.postgresql.lost", "ticks lost in 50 kills, PostgreSQL", AtMost(0.0)),
    row("faults", "kills.postgresql.twice", "ticks stored twice", AtMost(0.0)),
    row("faults", "full.freed.lost", "ticks lost while the disk was full", AtMost(0.0)),
    row("faults", "full.killed.lost", "ticks lost of those before it was full, killed then", AtMost(0.0)),
    row("faults", "frozen.longest_answer_ms", "longest response while PostgreSQL is frozen", AtMost(5000.0)),
    row("faults", "frozen.longest_pause_of_the_stream_ms", "longest pause of the live stream meanwhile, at a tick a second", Goal::None),
    row("faults", "viewers.health_p99_ms", "/health p99 while 64 viewers compare 30 days", AtMost(50.0)),
    row("faults", "viewers.login_p99_ms", "a sign-in meanwhile, p99", AtMost(1000.0)),
    row("faults", "viewers.peak_rss_kib", "peak resident memory meanwhile", Goal::None),
    row("page", "busy_percent", "main thread busy at 1 s ticks (floor: parsing the messages)", AtMost(6.0)),
    row("page", "heap_slope_kib_per_hour", "heap, change over an hour of ticks", Goal::None),
    row("page", "interactive_ms", "open to interactive", AtMost(1000.0)),
    row("page", "first_load_gzip_kib", "script before charts, compressed", AtMost(110.0)),
    row("page", "at_1_6_mbit_first_number_ms", "first number at 1.6 Mbit/s", AtMost(2000.0)),
    row("page", "at_1_6_mbit_complete_ms", "all that is in view", Goal::None),
    row("page", "at_1_6_mbit_sent_kib", "sent for it, with 5 minutes of history at 1 s", AtMost(OPENING_KIB)),
    row("page", "at_1_6_mbit_stream_bytes_per_s", "the stream at 1 s", AtMost(8000.0)),
    row("page", "at_10_mbit_first_number_ms", "first number at 10 Mbit/s", AtMost(2000.0)),
    row("page", "at_10_mbit_complete_ms", "all that is in view", Goal::None),
    row("page", "zoom_step_p95_ms", "a step from 30 d to a minute, p95", AtMost(150.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_is_told_twice() {
        let mut paths: Vec<_> = ROWS.iter().map(|row| (row.bench, row.path)).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), ROWS.len());
    }
}
