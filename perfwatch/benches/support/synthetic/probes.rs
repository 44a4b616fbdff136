//! The probes' documents on a synthetic machine.

use super::json::Json;
use super::*;

impl Machine {
    pub(super) fn perf_events(&mut self, load: f64, out: &mut Json) {
        out.flag("available", true);
        out.flag("hardware_available", true);
        out.text("cpu_cores", "all");
        out.whole("interval_ms", 1000.0);
        out.rate("sample_time", 5.0);
        self.elapsed(out);
        let values: Vec<f64> = (0..EVENTS.len())
            .map(|i| (load * 1.0e10 / (1 + i * i) as f64 + self.jitter(1000.0).abs()).floor())
            .collect();
        out.object("events", |out| {
            for ((name, unit), value) in EVENTS.iter().zip(&values) {
                out.object(name, |out| {
                    out.whole("value", *value);
                    out.text("unit", unit);
                    out.rate("running_ratio", 1.0);
                    out.null("error");
                });
            }
        });
        for name in ["unsupported_events", "missing_events"] {
            out.put(name, Value::Array(Vec::new()));
        }
        let ratios: Vec<f64> = DERIVED.iter().map(|_| self.jitter(0.3).abs() + load).collect();
        out.object("derived", |out| {
            DERIVED.iter().zip(&ratios).for_each(|(name, ratio)| out.rate(name, *ratio));
        });
        let cycles: Vec<f64> =
            (0..self.cpus).map(|_| (load * 3.0e9 + self.jitter(1.0e8).abs()).floor()).collect();
        out.list("per_cpu", self.cpus, |out, i| {
            out.whole("cpu", i as f64);
            out.rate("ipc", 1.1);
            out.whole("cycles", cycles[i]);
            out.whole("instructions", (cycles[i] * 1.1).floor());
            out.rate("frequency_mhz", 2900.0);
        });
    }

    pub(super) fn scheduler(&mut self, load: f64, out: &mut Json) {
        self.elapsed(out);
        let (switches, migrations) =
            (load * 50_000.0 + self.jitter(900.0).abs(), load * 900.0 + self.jitter(50.0).abs());
        out.whole("context_switches", switches);
        out.whole("migrations", migrations);
        out.rate("context_switches_per_sec", switches.floor() / 5.0);
        out.rate("migrations_per_sec", migrations.floor() / 5.0);
        out.rate("runqueue_wait_ms_per_sec", load * 40.0 + self.jitter(5.0).abs());
        out.whole("runqueue_wait_unknown", 0.0);
        let waits = self.times(load, 90, 3000.0);
        let woken = self.times(load, 88, 2000.0);
        let preempted = self.times(load, 120, 500.0);
        let off_cpu = self.times(load, 250, 2000.0);
        for (name, of) in [
            ("runqueue_wait", waits),
            ("runqueue_wait_woken", woken),
            ("runqueue_wait_preempted", preempted),
            ("off_cpu", off_cpu),
        ] {
            out.put(name, latency(of));
        }
        let cores: Vec<f64> =
            (0..self.cpus).map(|_| (load * 100.0 + self.jitter(15.0)).clamp(0.0, 100.0)).collect();
        out.list("per_cpu", self.cpus, |out, i| {
            out.whole("cpu", i as f64);
            out.rate("context_switches_per_sec", cores[i] * 31.0);
            out.rate("busy_percent", cores[i]);
            out.rate("runqueue_wait_p99_us", cores[i].floor() * 1.5);
            out.rate("runqueue_wait_max_us", cores[i] * 17.0);
        });
    }

    pub(super) fn block_io(&mut self, load: f64, out: &mut Json) {
        self.elapsed(out);
        let total = self.times(load, 183, 600.0);
        out.put("total", latency(total));
        out.object("devices", |out| {
            for device in ["nvme0n1", "nvme1n1"] {
                out.object(device, |out| {
                    out.object("in_flight", |out| {
                        out.whole("read", (load * 4.0).floor());
                        out.whole("write", (load * 7.0).floor());
                    });
                    for (operation, size) in [("read", 300.0), ("write", 500.0), ("flush", 9.0)] {
                        out.object(operation, |out| self.operation(load, size, out));
                    }
                    out.null("discard");
                });
            }
        });
    }

    fn operation(&mut self, load: f64, size: f64, out: &mut Json) {
        let issue = self.times(load, 180, size);
        let (requests, queue, sizes) =
            (issue.count(), self.times(load, 186, size), self.histogram(Unit::Bytes, load, 140, size));
        out.whole("requests", requests as f64);
        out.rate("requests_per_sec", requests as f64 / 5.0);
        out.rate("bytes_per_sec", sizes.sum() as f64 / 5.0);
        out.whole("errors", 0.0);
        out.whole("unseen", 0.0);
        out.all_of(latency(issue));
        out.put("from_queue", latency(queue));
        out.object("size", |out| {
            for statistic in [Statistic::MeanBytes, Statistic::MaxBytes] {
                let value = statistic.of(&sizes).as_f64();
                out.put(statistic.name(), value.map_or(Value::Null, Value::from));
            }
            out.put("histogram", serde_json::to_value(&sizes).unwrap_or_default());
        });
    }

    pub(super) fn tcp(&mut self, load: f64, out: &mut Json) {
        self.elapsed(out);
        for (name, size) in [
            ("retransmits", 2.0),
            ("resets_sent", 1.0),
            ("resets_received", 1.0),
            ("connects", 40.0),
            ("connect_failures", 0.5),
            ("accepts", 90.0),
        ] {
            let count = (load * size + self.jitter(size / 4.0).abs()).floor();
            out.whole(name, count);
            out.rate(&format!("{name}_per_sec"), count / 5.0);
        }
        out.rate("retransmit_percent", load * 0.05);
        for name in ["segments_received_per_sec", "segments_sent_per_sec"] {
            out.rate(name, load * 4000.0 + self.jitter(200.0).abs());
        }
        let (connect, rtt) = (self.times(load, 200, 40.0), self.times(load, 190, 400.0));
        out.put("connect_latency", latency(connect));
        out.put("smoothed_rtt", latency(rtt));
    }

    pub(super) fn processes(&mut self, load: f64, seconds: i64, out: &mut Json) {
        self.elapsed(out);
        out.whole("active", (60.0 + load * 80.0 + self.jitter(6.0)).floor());
        for name in ["forks_per_sec", "execs_per_sec", "exits_per_sec"] {
            out.rate(name, (load * 30.0 + self.jitter(4.0).abs()).floor() / 5.0);
        }
        out.whole("evicted", 0.0);
        out.rate("counters_running_ratio", 1.0);
        for (name, share) in [("total", load * 400.0), ("other", load * 60.0), ("other_cgroups", 0.0)] {
            out.object(name, |out| {
                if name != "total" {
                    out.whole("count", (load * 90.0).floor());
                }
                self.usage(share, out);
            });
        }
        // The busiest processes differ from tick to tick, and each restarts now and then.
        let mut busiest: Vec<(usize, f64)> = (0..PROCESSES.len())
            .map(|i| (i, (load * 60.0 / (1 + i / 3) as f64 + self.jitter(8.0).abs()).max(0.0)))
            .collect();
        busiest.sort_by(|a, b| b.1.total_cmp(&a.1));
        busiest.truncate(20);
        let pages: Vec<f64> = busiest.iter().map(|_| self.jitter(40.0).abs().floor()).collect();
        out.list("top", busiest.len(), |out, at| {
            let (i, share) = busiest[at];
            let place = i64::try_from(i).unwrap_or_default();
            let started = (seconds + 977 * place).div_euclid(1800 * (1 + place % 40));
            out.whole("pid", (1000 + (hash(started ^ place << 32) % 60_000)) as f64);
            out.text("comm", PROCESSES[i]);
            out.text("user", if i % 3 == 0 { "root" } else { "www-data" });
            out.whole("uid", if i % 3 == 0 { 0.0 } else { 33.0 });
            out.text("cgroup", &format!("/system.slice/{}.service", PROCESSES[i]));
            out.whole("threads", (1 + i % 9) as f64);
            out.flag("exited", false);
            out.whole("rss_bytes", 4096.0 * (1000.0 * (1 + i) as f64 + pages[at]));
            self.usage(share, out);
        });
        out.list("cgroups", 10, |out, i| {
            out.text("cgroup", &format!("/system.slice/{}.service", PROCESSES[i]));
            out.whole("processes", (1 + i % 4) as f64);
            let share = load * 90.0 / (i + 1) as f64 + self.jitter(4.0).abs();
            self.usage(share, out);
        });
        out.put("events", Value::Array(Vec::new()));
    }

    fn usage(&mut self, share: f64, out: &mut Json) {
        out.rate("cpu_percent", share);
        out.rate("runqueue_wait_ms_per_sec", share * 0.3 + self.jitter(0.5).abs());
        out.rate("context_switches_per_sec", (share * 40.0 + self.jitter(20.0).abs()).floor() / 5.0);
        for name in ["read_bytes_per_sec", "write_bytes_per_sec"] {
            let pages = (share - 20.0 + self.jitter(9.0)).max(0.0).floor();
            out.rate(name, pages * 4096.0 / 5.0);
        }
        let cycles = (share * 1.5e8 + self.jitter(1.0e6).abs()).floor();
        let ipc = 1.1 + self.jitter(0.4);
        out.whole("cycles", cycles);
        out.whole("instructions", (cycles * ipc).floor());
        out.rate("ipc", ipc);
        for name in ["llc_mpki", "branch_mpki", "dtlb_mpki"] {
            out.rate(name, 2.0 + self.jitter(1.5));
        }
    }

    /// What every process used: the busy ones at each tick, all of them when a minute begins.
    pub(super) fn accounts(&mut self, load: f64, seconds: i64, out: &mut Json) {
        self.elapsed(out);
        let minute = seconds.div_euclid(60);
        let all = minute != self.minute;
        self.minute = minute;
        let used: Vec<(usize, f64)> = (0..3 * PROCESSES.len())
            .map(|i| (i, (load * 60.0 / (1 + i) as f64 + self.jitter(3.0).abs()).max(0.0)))
            .filter(|(_, percent)| all || *percent >= 0.5 + load)
            .collect();
        let names = PROCESSES.len();
        out.list("groups", PROCESSES.len(), |out, i| {
            out.text("cgroup", &format!("/system.slice/{}.service", PROCESSES[i]));
            out.text("kind", "service");
            out.text("name", &format!("{}.service", PROCESSES[i]));
        });
        // After the processes: those of two names that come and go, and the rest of the machine.
        out.list("processes", used.len() + if all { 3 } else { 1 }, |out, at| {
            let (i, percent) = used.get(at).copied().unwrap_or_else(|| (at - used.len(), load));
            let comm = PROCESSES[i % names];
            let place = i64::try_from(i).unwrap_or_default();
            let started = (seconds + 977 * place).div_euclid(1800 * (1 + place % 40));
            let (of_one, is_rest) = (at < used.len(), at == used.len());
            if is_rest {
                out.null("cgroup");
            } else {
                out.text("cgroup", &format!("/system.slice/{comm}.service"));
            }
            out.text("comm", if is_rest { "" } else { comm });
            let pid = if of_one { 1000 + hash(started ^ place << 32) % 60_000 } else { 0 };
            out.whole("pid", pid as f64);
            let count = if of_one { 1.0 } else { 20.0 };
            out.whole("processes", count);
            out.whole("exits", count - 1.0);
            let cpu_us = (percent * 50_000.0).floor();
            out.whole("cpu_us", cpu_us);
            out.whole("runqueue_wait_us", (cpu_us * 0.3 + self.jitter(2000.0).abs()).floor());
            out.whole("context_switches", (percent * 40.0 + self.jitter(20.0).abs()).floor());
            for name in ["read_bytes", "write_bytes"] {
                out.whole(name, (percent - 20.0 + self.jitter(9.0)).max(0.0).floor() * 4096.0);
            }
            let cycles = (cpu_us * 3000.0 + self.jitter(1.0e6).abs()).floor();
            out.whole("cycles", cycles);
            out.whole("instructions", (cycles * (1.1 + self.jitter(0.4))).floor());
            for name in ["llc_misses", "branch_misses", "dtlb_misses"] {
                out.whole(name, (cycles / 500.0 * (1.0 + self.jitter(0.5))).floor());
            }
            if of_one {
                out.whole("rss_bytes", 4096.0 * (1000.0 * (1 + i) as f64 + self.jitter(40.0).abs().floor()));
                out.text("user", if i % 3 == 0 { "root" } else { "www-data" });
                out.whole("parent_pid", 1.0);
                out.text("executable", &format!("/usr/bin/{comm}"));
                out.text("command", &format!("/usr/bin/{comm} --config /etc/{comm}.conf --instance {i}"));
            }
        });
    }

    /// The actual duration covered by a tick's values, which is never exactly the interval.
    /// The services, a slice of them and the root; half of them do nothing.
    pub(super) fn cgroups(&mut self, load: f64, out: &mut Json) {
        self.elapsed(out);
        out.text("hierarchy", "v2");
        out.null("reason");
        let count = PROCESSES.len() + 2;
        out.whole("count", count as f64);
        out.whole("active", (count as f64 / 2.0).floor());
        out.list("groups", count, |out, at| {
            let name = at.checked_sub(2).map(|at| PROCESSES[at]);
            let (kind, path, name) = match (at, name) {
                (0, _) => ("root", "/".to_owned(), "/".to_owned()),
                (_, None) => ("slice", "/system.slice".to_owned(), "system.slice".to_owned()),
                (_, Some(name)) => {
                    ("service", format!("/system.slice/{name}.service"), format!("{name}.service"))
                }
            };
            let share = match at {
                0 | 1 => load * 400.0,
                at if at % 2 == 0 => 0.0,
                at => (load * 90.0 / at as f64 + self.jitter(4.0)).abs(),
            };
            self.cgroup(share, at, out);
            out.text("cgroup", &path);
            out.text("kind", kind);
            out.text("name", &name);
        });
        out.object("other", |out| {
            out.whole("count", 0.0);
            out.null("cpu_percent");
            out.null("memory_bytes");
        });
    }

    fn cgroup(&mut self, share: f64, at: usize, out: &mut Json) {
        for name in [
            "id",
            "runtime",
            "image",
            "pod",
            "namespace",
            "project",
            "name_problem",
            "memory_high_bytes",
            "swap_limit_bytes",
        ] {
            out.null(name);
        }
        if share == 0.0 {
            for name in ["cpu_percent", "runqueue_wait_ms_per_sec", "context_switches_per_sec"] {
                out.whole(name, 0.0);
            }
            for name in ["cycles", "instructions"] {
                out.whole(name, 0.0);
            }
            for name in ["ipc", "llc_mpki", "branch_mpki", "dtlb_mpki"] {
                out.null(name);
            }
        } else {
            self.usage(share, out);
        }
        out.rate("user_percent", share * 0.7);
        out.rate("system_percent", share * 0.3);
        if at % 5 == 3 {
            out.rate("cpu_limit", 2.0);
            out.whole("memory_limit_bytes", 2.0e9);
        } else {
            out.null("cpu_limit");
            out.null("memory_limit_bytes");
        }
        for name in [
            "throttled_periods",
            "throttled_ms",
            "cpu_full_percent",
            "memory_high_events",
            "memory_max_events",
            "oom_events",
            "oom_kills",
            "memory_some_percent",
            "memory_full_percent",
            "swap_bytes",
        ] {
            out.whole(name, 0.0);
        }
        let pages = if share == 0.0 { 0.0 } else { self.jitter(40.0).abs().floor() };
        let memory = 4096.0 * (9000.0 * (1 + at) as f64 + pages);
        out.whole("memory_bytes", memory);
        for (name, part) in
            [("anon_bytes", 0.5), ("file_bytes", 0.375), ("kernel_bytes", 0.125), ("slab_bytes", 0.0625)]
        {
            out.whole(name, (memory / 4096.0 * part).floor() * 4096.0);
        }
        out.rate("cpu_some_percent", share * 0.05);
        let written = if share > 20.0 { (share - 20.0).floor() * 819.2 } else { 0.0 };
        for (name, value) in
            [("read_bytes_per_sec", 0.0), ("write_bytes_per_sec", written), ("reads_per_sec", 0.0)]
        {
            out.rate(name, value);
        }
        out.rate("writes_per_sec", written / 16_384.0);
        for (name, centre, samples) in [
            ("runqueue_wait", 188, share * 20.0),
            ("off_cpu", 260, share * 15.0),
            ("block_latency", 330, written / 16_384.0),
        ] {
            let times = if samples > 0.0 {
                self.coarse(share / 100.0, centre, samples)
            } else {
                latency(Histogram::empty(Unit::Nanoseconds))
            };
            out.object(name, |out| {
                out.all_of(times);
                out.remove(&["p90_us", "p999_us"]);
            });
        }
        out.rate("io_some_percent", share * 0.01);
        out.rate("io_full_percent", share * 0.01);
        out.object("io", |out| {
            out.object("nvme0n1", |out| {
                out.rate("read_bytes_per_sec", 0.0);
                out.rate("write_bytes_per_sec", written);
                out.rate("reads_per_sec", 0.0);
                out.rate("writes_per_sec", written / 16_384.0);
            });
        });
        out.whole("processes", (1 + at % 4) as f64);
        out.whole("tasks", (1 + at % 9) as f64);
        out.whole("tasks_limit", 18_000.0);
    }

    /// In four buckets to each power of two, as programs count for cgroups.
    fn coarse(&mut self, load: f64, centre: u16, samples: f64) -> Value {
        let fine = self.times(load.min(1.0), centre, samples);
        let counts = fine.buckets().iter().map(|(index, count)| (index | 3, *count));
        latency(Histogram::from_counts(Unit::Nanoseconds, counts, fine.sum(), fine.max()))
    }

    fn elapsed(&mut self, out: &mut Json) {
        out.rate("elapsed_ms", 5000.0 + self.jitter(0.6));
    }

    pub(super) fn pressure(&mut self, load: f64, out: &mut Json) {
        out.flag("available", true);
        out.null("reason");
        for resource in ["cpu", "memory", "io"] {
            let value = (load * 20.0 + self.jitter(2.0)).max(0.0);
            out.object(resource, |out| {
                for kind in ["some", "full"] {
                    out.object(kind, |out| {
                        for name in ["avg10", "avg60", "avg300", "stalled_us_per_sec"] {
                            out.rate(name, value);
                        }
                    });
                }
            });
        }
    }
}
