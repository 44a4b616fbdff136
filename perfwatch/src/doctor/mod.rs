//! `perfwatch doctor`: what works on this machine, what does not, why, and the command that fixes it.

mod causes;
mod machine;
mod rights;
mod store;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use time::OffsetDateTime;

use rights::Rights;
pub use store::{Recording, Sending};
pub use text::text;

use crate::config::Roots;
use crate::probes::target;
pub use crate::snapshot::diagnosis::{Diagnosis, Finding, Problem, Status, Summary};
use crate::snapshot::source::{Method, Report, State};
use crate::snapshot::value::Value;
use crate::snapshot::{MetricType, Reading, Snapshot};
use crate::store::inspect::Inspection;

/// Examines the machine and the store, and the state of each source and event in the newest snapshot.
pub fn diagnose(
    roots: &Roots,
    store: &Inspection,
    recording: Recording,
    reports: &[Report],
    newest: Option<&Snapshot>,
) -> Diagnosis {
    examine(roots, store::findings(store, recording, OffsetDateTime::now_utc()), reports, newest)
}

/// The same of a machine that only sends what it measures; `space` is free in a directory.
pub fn diagnose_sender(
    roots: &Roots,
    sending: Sending,
    space: Option<(&Path, u64)>,
    reports: &[Report],
    newest: Option<&Snapshot>,
) -> Diagnosis {
    examine(roots, store::sending(sending, space), reports, newest)
}

/// The same of a hub, which measures nothing: whether it can store what others send.
pub fn diagnose_hub(roots: &Roots, store: &Inspection) -> Diagnosis {
    let rights = Rights::of_this_process(roots);
    let store = store::findings(store, Recording::Elsewhere, OffsetDateTime::now_utc());
    concluded(&rights, Vec::new(), store, Vec::new(), Vec::new())
}

fn examine(roots: &Roots, store: Vec<Finding>, reports: &[Report], newest: Option<&Snapshot>) -> Diagnosis {
    let rights = Rights::of_this_process(roots);
    let perf_events = newest.and_then(|snapshot| snapshot.reading(MetricType::PerfEvents));
    let mut machine = machine::findings(roots, &rights);
    let mut sources: Vec<Finding> = reports.iter().map(source).collect();
    let mut events = perf_events.map_or_else(Vec::new, |reading| events(reading, counters_remedy(reports)));
    for finding in sources.iter_mut().chain(&mut events) {
        finding.remedy = finding.remedy.take().map(|remedy| rights.whole(remedy));
    }
    share_remedies(&mut machine, &mut sources, reports);
    concluded(&rights, machine, store, sources, events)
}

/// With the problems behind the findings.
fn concluded(
    rights: &Rights,
    machine: Vec<Finding>,
    store: Vec<Finding>,
    sources: Vec<Finding>,
    events: Vec<Finding>,
) -> Diagnosis {
    let problems = causes::problems(machine.iter().chain(&store), sources.iter().chain(&events), rights);
    let mut diagnosis = Diagnosis { summary: Summary::default(), problems, machine, store, sources, events };
    diagnosis.summary = Summary {
        working: diagnosis.count(Status::Ok),
        to_fix: diagnosis.problems.len(),
        not_available: diagnosis.count(Status::Note),
    };
    diagnosis
}

/// Gives each cause a single fix: a source and the part of the machine it reads may each suggest another.
fn share_remedies(machine: &mut [Finding], sources: &mut [Finding], reports: &[Report]) {
    let is_problem = |finding: &Finding| finding.status == Status::Problem;
    let procfs =
        machine.iter().find(|finding| finding.name == "procfs").and_then(|finding| finding.remedy.clone());
    for (source, report) in sources.iter_mut().zip(reports) {
        if procfs.is_some() && is_problem(source) && report.method == Method::Procfs {
            source.remedy.clone_from(&procfs);
        }
        if report.metric_type == MetricType::Pressure
            && is_problem(source)
            && let Some(psi) = machine.iter_mut().find(|finding| finding.name == "psi" && is_problem(finding))
        {
            match &source.remedy {
                Some(remedy) => psi.remedy = Some(remedy.clone()),
                None => source.remedy.clone_from(&psi.remedy),
            }
        }
    }
}

fn source(report: &Report) -> Finding {
    let method = match report.method {
        Method::Procfs => "procfs",
        Method::Ebpf => "eBPF",
        Method::PerfRead => "perf events, read in user space",
        Method::Internal => "the server itself",
    };
    let detail = |how: &str| match &report.reason {
        Some(reason) => format!("{how}: {reason}"),
        None => how.to_owned(),
    };
    let problem = |how| Finding::problem(report.name, detail(how), report.remedy.clone());
    match (report.state, report.method) {
        (State::Active, Method::PerfRead) => problem(method),
        (State::Active, _) => {
            Finding { remedy: report.remedy.clone(), ..Finding::ok(report.name, detail(method)) }
        }
        (State::Disabled, _) => problem("disabled"),
        // Missing in this build on every machine; no command can fix it.
        (State::Unavailable, Method::Ebpf) if !target::IN_KERNEL && report.remedy.is_none() => {
            Finding::note(report.name, detail("unavailable"))
        }
        (State::Unavailable, _) => problem("unavailable"),
        (State::Failed, _) => problem("failed"),
    }
}

/// How to enable the events that could not be opened.
fn counters_remedy(reports: &[Report]) -> Option<&str> {
    let counters = reports.iter().find(|report| report.metric_type == MetricType::PerfEvents)?;
    counters.remedy.as_deref()
}

/// One line for all events that share a reason, and one for each event that is counted differently.
fn events(reading: &Reading, remedy: Option<&str>) -> Vec<Finding> {
    let unsupported = match reading.value("unsupported_events") {
        Value::Json(list) => Some(list),
        _ => None,
    };
    let is_unsupported = |name: &str| unsupported.is_some_and(|list| list.contains(&format!("\"{name}\"")));
    let has_pmu = !matches!(reading.value("hardware_available"), Value::Bool(false));
    let mut counting = Vec::new();
    let mut own = Vec::new();
    let mut not_offered = Vec::new();
    let mut failed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in reading.things("events") {
        let of = |field: &str| reading.value_of("events", &name, field);
        if of("value").as_f64().is_some() {
            let stand_in = reading.value_of("counted_as", &name, "").as_str();
            let ratio = of("running_ratio").as_f64().filter(|ratio| *ratio < 1.0);
            let stand_in = stand_in.map(|stand_in| format!("counted as {stand_in}"));
            let ratio =
                ratio.map(|ratio| format!("multiplexed, on the PMU {:.0}% of the time", ratio * 100.0));
            match [stand_in, ratio].into_iter().flatten().collect::<Vec<_>>().join(", ") {
                nothing if nothing.is_empty() => counting.push(name),
                detail => own.push(Finding::ok(name, detail)),
            }
        } else if is_unsupported(&name) {
            not_offered.push(name);
        } else {
            let error = of("error").as_str().unwrap_or("no value").to_owned();
            failed.entry(error).or_default().push(name);
        }
    }
    let count = |names: &[String]| match names.len() {
        1 => "1 event".to_owned(),
        many => format!("{many} events"),
    };
    let mut findings = Vec::new();
    if !counting.is_empty() {
        findings.push(Finding::ok(count(&counting), counting.join(", ")));
    }
    findings.extend(own);
    if !not_offered.is_empty() {
        let why = if has_pmu { "not offered by this CPU or virtual machine" } else { "no hardware PMU" };
        findings.push(Finding::note(count(&not_offered), format!("{why}: {}", not_offered.join(", "))));
    }
    findings.extend(failed.iter().map(|(error, names)| {
        // The names add nothing if all share the reason.
        let names_too = if names.len() < 4 { format!(": {}", names.join(", ")) } else { String::new() };
        Finding::problem(count(names), format!("{error}{names_too}"), remedy.map(str::to_owned))
    }));
    findings
}

impl Diagnosis {
    fn all(&self) -> impl Iterator<Item = &Finding> {
        self.machine.iter().chain(&self.store).chain(&self.sources).chain(&self.events)
    }

    fn count(&self, status: Status) -> usize {
        self.all().filter(|finding| finding.status == status).count()
    }

    /// The status of each finding.
    pub fn statuses(&self) -> Vec<Status> {
        self.all().map(|finding| finding.status).collect()
    }

    /// True if there is nothing to fix.
    pub fn healthy(&self) -> bool {
        self.problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(state: State, method: Method) -> Report {
        let reason = Some("because".to_owned());
        Report { state, reason, ..Report::active("counters", MetricType::PerfEvents, method) }
    }

    #[test]
    fn what_could_be_used_and_is_not_is_a_problem() {
        assert_eq!(source(&report(State::Active, Method::Ebpf)).status, Status::Ok);
        for (state, method) in [
            (State::Active, Method::PerfRead),
            (State::Unavailable, Method::Ebpf),
            (State::Disabled, Method::Ebpf),
            (State::Failed, Method::Procfs),
        ] {
            assert_eq!(source(&report(state, method)).status, Status::Problem);
        }
    }

    fn read(document: &serde_json::Value) -> Vec<Finding> {
        let at = OffsetDateTime::UNIX_EPOCH;
        events(&Reading::new(MetricType::PerfEvents, at, document).unwrap(), Some("sudo sysctl"))
    }

    #[test]
    fn events_with_one_reason_are_one_line() {
        let found = read(&json!({
            "hardware_available": false,
            "events": {
                "cycles": {"value": null, "error": "cycles is not offered"},
                "branches": {"value": null, "error": "branches is not offered"},
                "cpu-clock": {"value": 1.0, "running_ratio": 1.0, "error": null},
                "page-faults": {"value": 1.0, "running_ratio": 1.0, "error": null},
            },
            "unsupported_events": ["cycles", "branches"],
        }));
        assert_eq!(
            found,
            [
                Finding::ok("2 events", "cpu-clock, page-faults"),
                Finding::note("2 events", "no hardware PMU: branches, cycles"),
            ]
        );
    }

    #[test]
    fn an_event_that_failed_is_a_problem_and_a_multiplexed_one_says_so() {
        let found = read(&json!({
            "hardware_available": true,
            "events": {
                "branches": {"value": null, "error": "EMFILE"},
                "LLC-loads": {"value": 7.0, "running_ratio": 0.5, "error": null},
                "cycles": {"value": null, "error": "no"},
            },
            "unsupported_events": ["cycles"],
            "counted_as": {"LLC-loads": "cache-references"},
        }));
        assert_eq!(
            found,
            [
                Finding::ok(
                    "LLC-loads",
                    "counted as cache-references, multiplexed, on the PMU 50% of the time"
                ),
                Finding::note("1 event", "not offered by this CPU or virtual machine: cycles"),
                Finding::problem("1 event", "EMFILE: branches", Some("sudo sysctl".into())),
            ]
        );
    }

    #[test]
    fn stalls_have_one_remedy_whoever_noticed() {
        let mut machine = [Finding::problem("psi", "no file", Some("boot with psi=1".into()))];
        let pressure = Report {
            state: State::Unavailable,
            remedy: Some("boot a kernel built with CONFIG_PSI=y".into()),
            ..Report::active("pressure", MetricType::Pressure, Method::Procfs)
        };
        let mut sources = [source(&pressure)];
        share_remedies(&mut machine, &mut sources, &[pressure]);
        assert_eq!(machine[0].remedy, sources[0].remedy);
    }
}
