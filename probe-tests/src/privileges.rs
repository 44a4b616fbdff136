//! Least privilege: what each probe does with few rights. Capabilities are per thread, so each test drops
//! them in a thread of its own, where all of the probe's system calls are made.

use anyhow::{Result, anyhow, ensure};
use perfwatch::probes;
use perfwatch::snapshot::source::{Method, Report, State};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

use crate::probe::Probe;
use crate::{Test, Verdict, load};

pub const TESTS: &[Test] = &[
    Test { name: "privileges::bpf_and_perfmon_suffice", run: bpf_and_perfmon_suffice },
    Test { name: "privileges::without_bpf_counters_are_read_in_user_space", run: without_bpf },
    Test { name: "privileges::a_stricter_distribution_is_named", run: a_stricter_distribution_is_named },
    Test { name: "privileges::without_any_each_probe_says_what_it_lacks", run: without_any },
    Test { name: "privileges::without_any_processes_are_read_from_proc", run: processes_without_any },
];

/// Runs `work` with only these capabilities, and without a way to regain others.
fn with_only<T: Send + 'static>(
    kept: CapabilitySet,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let limited = std::thread::spawn(move || {
        let has = capabilities(None)?.permitted;
        ensure!(has.contains(kept), "this process lacks {:?} itself", kept.difference(has));
        set_capabilities(
            None,
            CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
        )?;
        set_no_new_privs(true)?;
        work()
    });
    limited.join().map_err(|_| anyhow!("panicked (see above)"))?
}

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Sets the level for the duration of a test; only on test machines.
#[derive(Debug)]
struct Level(Option<String>);

impl Level {
    /// `None`: the level is a distribution's that requires `CAP_SYS_ADMIN`, and it has to stay.
    fn where_perfmon_suffices() -> Result<Option<Self>> {
        let level = std::fs::read_to_string(PARANOID)?;
        if level.trim().parse::<i32>()? < 3 {
            return Ok(Some(Self(None)));
        }
        if load::in_guest() { Self::set("2").map(Some) } else { Ok(None) }
    }

    fn set(level: &str) -> Result<Self> {
        let before = std::fs::read_to_string(PARANOID)?;
        std::fs::write(PARANOID, level)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            std::fs::write(PARANOID, before).expect("it could be written before");
        }
    }
}

fn refuses_perfmon() -> Result<Verdict> {
    Ok(Verdict::Skipped("perf_event_paranoid is 3 or more: only CAP_SYS_ADMIN may count here".into()))
}

/// The state of every probe after its first samples.
fn reports() -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for (name, _) in probes::REGISTRY {
        let mut probe = Probe::new(name)?;
        probe.next()?;
        reports.push(probe.report());
    }
    Ok(reports)
}

fn bpf_and_perfmon_suffice() -> Result<Verdict> {
    let Some(_level) = Level::where_perfmon_suffices()? else { return refuses_perfmon() };
    // What the server does before it drops the right to; kernels before 5.11 count maps as locked memory.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    let with_all = reports()?;
    let with_two = with_only(CapabilitySet::BPF | CapabilitySet::PERFMON, reports)?;
    for (all, two) in with_all.iter().zip(&with_two) {
        let standing = |report: &Report| (report.state, report.method, report.reason.clone());
        ensure!(standing(all) == standing(two), "with all rights {all:?}; with the two {two:?}");
    }
    Ok(Verdict::Passed(format!("{} probes stand as with all rights", with_two.len())))
}

fn without_bpf() -> Result<Verdict> {
    let Some(_level) = Level::where_perfmon_suffices()? else { return refuses_perfmon() };
    let (report, document) = with_only(CapabilitySet::PERFMON, || {
        let mut probe = Probe::new("counters")?;
        probe.next()?;
        let document = probe.next()?;
        Ok((probe.report(), document))
    })?;
    ensure!(
        report.state == State::Active && report.method == Method::PerfRead,
        "not read in user space: {report:?}"
    );
    ensure!(report.remedy.as_deref().is_some_and(|remedy| remedy.contains("cap_bpf")), "{report:?}");
    let clock = document["events"]["cpu-clock"]["value"].as_f64();
    ensure!(clock.is_some_and(|clock| clock > 0.0), "nothing counted: {document}");
    Ok(Verdict::Passed(report.reason.unwrap_or_default()))
}

fn a_stricter_distribution_is_named() -> Result<Verdict> {
    if !load::in_guest() {
        return Ok(Verdict::Skipped("it would change this machine's perf_event_paranoid".into()));
    }
    let _level = Level::set("3")?;
    let report = with_only(CapabilitySet::BPF | CapabilitySet::PERFMON, || {
        let mut probe = Probe::new("counters")?;
        probe.next()?;
        Ok(probe.report())
    })?;
    if report.state == State::Active {
        return Ok(Verdict::Passed("this kernel has no stricter level than 2".into()));
    }
    let remedy = report.remedy.clone().unwrap_or_default();
    ensure!(remedy.contains("kernel.perf_event_paranoid=2"), "{report:?}");
    Ok(Verdict::Passed(format!("refused at level 3, with the remedy: {remedy}")))
}

fn without_any() -> Result<Verdict> {
    let reports = with_only(CapabilitySet::empty(), reports)?;
    let paranoid = std::fs::read_to_string(PARANOID)?;
    let all_may_count = paranoid.trim().parse::<i32>()? < 1;
    for report in &reports {
        if report.name == "counters" && all_may_count {
            ensure!(report.method == Method::PerfRead, "{report:?}");
            continue;
        }
        // What processes and cgroups use is in files, too.
        let stands_in = (report.state, report.method) == (State::Active, Method::Procfs)
            && ["processes", "usage", "cgroups"].contains(&report.name);
        ensure!(report.state == State::Unavailable || stands_in, "{report:?}");
        ensure!(
            report.reason.is_some() && report.remedy.is_some(),
            "it does not say what it lacks: {report:?}"
        );
    }
    Ok(Verdict::Passed(format!("{} probes, each with reason and remedy", reports.len())))
}

fn processes_without_any() -> Result<Verdict> {
    let document = with_only(CapabilitySet::empty(), || {
        let mut probe = Probe::new("processes")?;
        probe.next()?;
        probe.next()
    })?;
    let own = u64::from(std::process::id());
    let top = document["top"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(!top.is_empty(), "no process is listed: {document}");
    for row in top {
        let is_known = row["cpu_percent"].is_number() && row["rss_bytes"].is_number();
        ensure!(is_known && row["runqueue_wait_ms_per_sec"].is_null(), "{row}");
        // Everybody may read their own storage traffic.
        ensure!(row["pid"] != own || row["read_bytes_per_sec"].is_number(), "{row}");
    }
    Ok(Verdict::Passed(format!("{} processes with CPU time and memory", top.len())))
}
