//! The noise of the stock rules: 30 days of a machine that compiles, is backed up, and now and then has a real problem.
//! All problems are found; what else is raised is a false alarm.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::alerts::compile::Compiled;
use crate::alerts::evaluator::{Evaluator, Tick};
use crate::alerts::file::At;
use crate::alerts::labels::{Labels, Pasts, name_of};
use crate::alerts::period::Period;
use crate::alerts::rule::Rule;
use crate::alerts::stock;
use crate::history::questions::changes::rank::Series;
use crate::history::testing::START;
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::latency::Latency;
use crate::snapshot::{MetricType, Reading, Snapshot};
use crate::store::alerts::{AlertBatch, Episode};
use crate::store::micros;

const MONTH: Period = Period::seconds(30 * 86_400);
/// Seconds between two snapshots.
const STEP: i64 = 120;
const DAYS: i64 = 30;
const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// What follows from a problem, such as pressure from a swap storm, is no false alarm until then.
const AFTERMATH: i64 = 2 * HOUR;

/// A real problem: the rule that is about it, when it begins (day and hour) and how many minutes it lasts.
type Problem = (&'static str, i64, i64, i64);

const PROBLEMS: [Problem; 26] = [
    ("cpu-pressure", 3, 13, 240),
    ("cpu-pressure", 17, 22, 200),
    ("memory-pressure", 4, 10, 40),
    ("memory-pressure", 20, 3, 60),
    ("io-pressure", 5, 15, 80),
    ("io-pressure", 22, 1, 120),
    ("run-queue-wait", 6, 11, 60),
    ("run-queue-wait", 19, 16, 90),
    ("disk-latency", 9, 12, 180),
    ("disk-latency", 24, 5, 240),
    ("file-system-full", 8, 1, 420),
    ("file-system-full", 27, 9, 420),
    ("inodes-used-up", 10, 14, 60),
    ("inodes-used-up", 25, 2, 30),
    ("file-system-read-only", 11, 4, 30),
    ("file-system-read-only", 26, 18, 90),
    ("oom-kill", 2, 9, 2),
    ("oom-kill", 12, 17, 2),
    ("throttled-service", 13, 10, 90),
    ("throttled-service", 28, 20, 120),
    ("swap-storm", 14, 11, 60),
    ("swap-storm", 23, 21, 45),
    ("perfwatch-failing", 7, 6, 30),
    ("perfwatch-failing", 21, 13, 60),
    ("cpu-pressure", 29, 2, 300),
    ("oom-kill", 29, 20, 2),
];

struct Noise(u64);

impl Noise {
    /// 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }

    fn chance(&mut self, share: f64) -> bool {
        self.next() < share
    }
}

/// What ordinary work does at a time.
struct Work {
    noise: Noise,
    /// Seconds until which something lasts, or pauses.
    build: i64,
    pause: i64,
    deployment: i64,
}

struct Moment {
    is_building: bool,
    /// Seconds of the build that have passed decide what it does.
    is_linking: bool,
    is_backup: bool,
    is_deploying: bool,
}

impl Work {
    fn at(&mut self, seconds: i64) -> Moment {
        let hour = seconds.rem_euclid(DAY) / HOUR;
        let is_workday = seconds.div_euclid(DAY).rem_euclid(7) < 5;
        let at_work = is_workday && (8..19).contains(&hour);
        if at_work && seconds >= self.pause {
            // Builds of three minutes to over half an hour, one after the other, all day.
            self.build = seconds + self.noise.between(180.0, 2100.0) as i64;
            self.pause = self.build + self.noise.between(120.0, 1200.0) as i64;
        }
        if at_work && seconds >= self.deployment && self.noise.chance(0.01) {
            self.deployment = seconds + self.noise.between(120.0, 480.0) as i64;
        }
        let is_building = seconds < self.build;
        Moment {
            is_building,
            is_linking: is_building && self.build - seconds < 240,
            is_backup: hour == 2 && seconds.rem_euclid(HOUR) < 600,
            is_deploying: seconds < self.deployment,
        }
    }
}

fn latencies(p99: f64, noise: &mut Noise) -> Histogram {
    let mut counts = Vec::new();
    let (mut sum, mut max) = (0u64, 0u64);
    for (share, count) in [(0.1, 380.0), (0.3, 12.0), (1.0, 8.0)] {
        let value = (p99 * share * noise.between(0.9, 1.1)) as u64;
        let count = (count * noise.between(0.8, 1.2)) as u64;
        counts.push((perfwatch_common::histogram::index(value), count));
        sum += value * count;
        max = max.max(value);
    }
    Histogram::from_counts(Unit::Nanoseconds, counts, sum, max)
}

fn is_in(problem: &Problem, seconds: i64) -> bool {
    let (_, day, hour, minutes) = *problem;
    let start = day * DAY + hour * HOUR;
    (start..start + minutes * 60).contains(&seconds)
}

/// Seconds since a problem that a rule is about began, if one lasts.
fn problem(rule: &str, seconds: i64) -> Option<i64> {
    let found = PROBLEMS.iter().find(|problem| problem.0 == rule && is_in(problem, seconds))?;
    Some(seconds - found.1 * DAY - found.2 * HOUR)
}

struct Machine {
    work: Work,
    noise: Noise,
    /// Of all disks, at each step.
    latencies: Vec<Histogram>,
}

impl Machine {
    fn tick(&mut self, seconds: i64) -> Live {
        let now = self.work.at(seconds);
        let is = |rule| problem(rule, seconds).is_some();
        let noise = &mut self.noise;
        let build = |noise: &mut Noise, busy: (f64, f64), idle: (f64, f64)| {
            let (low, high) = if now.is_building { busy } else { idle };
            noise.between(low, high)
        };
        let cpu = if is("cpu-pressure") { 99.0 } else { build(noise, (70.0, 99.0), (0.0, 20.0)) };
        let memory = if is("memory-pressure") {
            noise.between(30.0, 60.0)
        } else if now.is_linking {
            noise.between(0.0, 12.0)
        } else {
            noise.between(0.0, 0.5)
        };
        let io = if is("io-pressure") {
            noise.between(88.0, 99.0)
        } else if now.is_backup {
            noise.between(60.0, 95.0)
        } else if now.is_linking {
            noise.between(30.0, 80.0)
        } else {
            build(noise, (2.0, 15.0), (0.0, 3.0))
        };
        let wait = if is("run-queue-wait") { 4e8 } else { build(noise, (1e7, 5e7), (5e5, 5e6)) };
        let disk = if is("disk-latency") {
            noise.between(6e7, 9e7)
        } else if now.is_backup {
            noise.between(8e6, 1.5e7)
        } else {
            build(noise, (2e6, 8e6), (1e6, 4e6))
        };
        let wait = latencies(wait, noise);
        let disk = latencies(disk, noise);
        self.latencies.push(disk.clone());
        let swap = if is("swap-storm") {
            noise.between(4e7, 8e7)
        } else if seconds.rem_euclid(7 * DAY) < STEP {
            // What is idle is swapped out once a week.
            8e7
        } else if now.is_linking {
            noise.between(0.0, 2e6)
        } else {
            0.0
        };
        let throttled = if is("throttled-service") {
            noise.between(800.0, 950.0)
        } else if now.is_deploying {
            noise.between(300.0, 900.0)
        } else {
            noise.between(0.0, 30.0)
        };
        let days = seconds as f64 / DAY as f64;
        // It fills up at three percent an hour.
        let filling = problem("file-system-full", seconds).map(|since| since as f64 / HOUR as f64 * 2.6);
        let partition = |mountpoint: &str, used: f64, inodes: f64, access: &str| {
            json!({"device": format!("/dev{mountpoint}"), "mountpoint": mountpoint, "fstype": "ext4",
                   "usage_percent": used, "inodes_percent": inodes, "access": access})
        };
        let inodes = if is("inodes-used-up") { 96.0 } else { 30.0 + days * 0.5 };
        let access = if is("file-system-read-only") { "forced_ro" } else { "rw" };
        let partitions = [
            partition("/", 40.0 + days * 0.6, 20.0, "rw"),
            // Builds fill it by day, and it is cleaned at night.
            partition("/build", 20.0 + 60.0 * (days.fract()), 40.0, access),
            partition("/log", 81.0 + days * 0.05 + filling.unwrap_or(0.0), inodes, "rw"),
            partition("/boot", 91.0, 5.0, "ro"),
        ];
        // A busy machine misses a deadline now and then.
        let failing = u8::from(is("perfwatch-failing") || now.is_linking && noise.chance(0.1));
        let latency = |histogram| serde_json::to_value(Latency::of(histogram)).unwrap();
        let oom = if is("oom-kill") { 1.0 / STEP as f64 } else { 0.0 };
        let documents: [(MetricType, Value); 7] = [
            (
                MetricType::Pressure,
                json!({"available": true, "cpu": {"some": {"avg60": cpu}}, "memory": {"full": {"avg10": memory}},
                       "io": {"full": {"avg60": io}}}),
            ),
            (MetricType::Scheduler, json!({"runqueue_wait_woken": latency(wait)})),
            (MetricType::BlockIo, json!({"total": latency(disk)})),
            (MetricType::Disk, json!({"partitions": partitions})),
            (
                MetricType::MemoryBandwidth,
                json!({"available": true, "swap_io_bytes_per_sec": swap, "oom_kill_per_sec": oom}),
            ),
            (
                MetricType::Cgroups,
                json!({"groups": [{"cgroup": "/system.slice/api.service", "name": "api",
                                   "throttled_ms": throttled * STEP as f64}]}),
            ),
            (
                MetricType::Agent,
                json!({"parts": [{"part": "database", "failing": 0}, {"part": "source cpu", "failing": failing}]}),
            ),
        ];
        let at = START + time::Duration::seconds(seconds);
        let readings = documents.into_iter().map(|(of, body)| Reading::new(of, at, &body).unwrap()).collect();
        Live(Snapshot::new(at, readings))
    }

    /// The hour that ended a week before a step.
    fn last_week(&self, step: usize) -> Option<Histogram> {
        let week = usize::try_from(7 * DAY / STEP).unwrap();
        let hour = usize::try_from(HOUR / STEP).unwrap();
        let end = step.checked_sub(week)?;
        let mut all = Histogram::empty(Unit::Nanoseconds);
        for one in self.latencies.get(end.checked_sub(hour)?..end)? {
            assert!(all.merge(one));
        }
        Some(all)
    }
}

struct Live(Snapshot);

impl Tick for Live {
    type Rows = Reading;

    fn at(&self) -> i64 {
        micros(self.0.timestamp)
    }

    fn apart(&self) -> i64 {
        STEP * 1_000_000
    }

    fn rows(&self, of: MetricType) -> Option<&Reading> {
        self.0.reading(of)
    }

    fn absent(&self, _: MetricType) -> Option<Arc<str>> {
        None
    }
}

/// Stock rules about what a machine measures.
fn of_machines() -> impl Iterator<Item = At<Rule>> {
    let rules = stock::file(MONTH).rules.into_iter();
    rules.filter(|rule| !rule.what.field.starts_with("presence."))
}

/// What was raised in the month, each until it was cleared, in seconds.
fn raised() -> Vec<(Episode, i64, i64)> {
    let rules = of_machines().map(|rule| {
        let mut compiled = Compiled::new(&rule.what, MONTH).unwrap();
        if compiled.window > 0 {
            // A window holds one snapshot at least.
            compiled.window = compiled.window.max(STEP * 1_000_000);
        }
        (Arc::new(rule.what), Arc::new(compiled))
    });
    let mut evaluator = Evaluator::new("host", Vec::new());
    evaluator.set_rules(rules.collect(), micros(START), &mut AlertBatch::default());
    let work = Work { noise: Noise(0x9e37_79b9_7f4a_7c15), build: 0, pause: 0, deployment: 0 };
    let mut machine = Machine { work, noise: Noise(0x2545_f491_4f6c_dd1d), latencies: Vec::new() };
    let mut episodes: Vec<Episode> = Vec::new();
    for step in 0..usize::try_from(DAYS * DAY / STEP).unwrap() {
        let tick = machine.tick(i64::try_from(step).unwrap() * STEP);
        for wanted in evaluator.wanted(tick.at()) {
            let past = machine.last_week(step).map(Series::Histogram);
            let pasts: Pasts = past.into_iter().map(|past| (name_of(&Labels::new()), past)).collect();
            evaluator.give_past(&wanted.rule, wanted.at, pasts);
        }
        let mut batch = AlertBatch::default();
        evaluator.evaluate(&tick, &mut batch);
        for episode in batch.episodes {
            match episodes.iter_mut().find(|known| known.id == episode.id) {
                Some(known) => *known = episode,
                None => episodes.push(episode),
            }
        }
    }
    let seconds = |at: i64| (at - micros(START)) / 1_000_000;
    let spans = episodes.into_iter().map(|episode| {
        let (from, to) = (seconds(episode.raised_at), episode.cleared_at.map_or(DAYS * DAY, seconds));
        (episode, from, to)
    });
    spans.collect()
}

#[test]
fn every_problem_of_a_month_is_found_and_false_alarms_are_rare() {
    let raised = raised();
    for (rule, day, hour, minutes) in PROBLEMS {
        let start = day * DAY + hour * HOUR;
        let end = start + minutes * 60;
        let found =
            raised.iter().any(|(episode, from, _)| episode.rule == rule && (start..=end).contains(from));
        assert!(found, "{rule} of day {day} at {hour}:00 was not found: {raised:?}");
    }
    let is_false = |from: i64, to: i64| {
        !PROBLEMS.iter().any(|(_, day, hour, minutes)| {
            let start = day * DAY + hour * HOUR;
            from <= start + minutes * 60 + AFTERMATH && to >= start
        })
    };
    let mut alarms = 0;
    for rule in of_machines() {
        let name = &rule.what.name;
        let of_rule: Vec<_> = raised.iter().filter(|(episode, ..)| episode.rule == *name).collect();
        let wrong = of_rule.iter().filter(|(_, from, to)| is_false(*from, *to)).count();
        let problems = PROBLEMS.iter().filter(|problem| problem.0 == name).count();
        println!("{name}: {problems} problems found, {} alerts, {wrong} of them false", of_rule.len());
        assert!(problems > 0, "{name} is not tried");
        alarms += wrong;
    }
    let a_week = alarms as f64 / (DAYS as f64 / 7.0);
    println!("{a_week:.2} false alarms a week");
    assert!(a_week <= 1.0, "{a_week} false alarms a week");
}
