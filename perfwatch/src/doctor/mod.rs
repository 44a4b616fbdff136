//! `perfwatch doctor`: what works on this machine, what does not, why, and the command that would mend it.

mod machine;

use std::fmt::Write;

use crate::config::Roots;
use crate::probes::target;
pub use crate::snapshot::diagnosis::{Diagnosis, Finding, Status};
use crate::snapshot::source::{Method, Report, State};
use crate::snapshot::value::Value;
use crate::snapshot::{MetricType, Reading, Snapshot};

/// Looks at the machine, and at how each source and each event stood when the newest snapshot was taken.
pub fn diagnose(roots: &Roots, reports: &[Report], newest: Option<&Snapshot>) -> Diagnosis {
    let perf_events = newest.and_then(|snapshot| snapshot.reading(MetricType::PerfEvents));
    Diagnosis {
        machine: machine::findings(roots),
        sources: reports.iter().map(source).collect(),
        events: perf_events.map_or_else(Vec::new, |reading| events(reading, counters_remedy(reports))),
    }
}

fn source(report: &Report) -> Finding {
    let method = match report.method {
        Method::Procfs => "procfs",
        Method::Ebpf => "eBPF",
        Method::PerfRead => "perf_event reads in user space",
    };
    let reason = report.reason.as_deref();
    let detail = |how: &str| match reason {
        Some(reason) => format!("{how}: {reason}"),
        None => how.to_owned(),
    };
    match (report.state, report.method) {
        (State::Active, Method::PerfRead) => {
            Finding::problem(report.name, detail(method), report.remedy.clone())
        }
        (State::Active, _) => {
            Finding { remedy: report.remedy.clone(), ..Finding::ok(report.name, detail(method)) }
        }
        (State::Disabled, _) => Finding::problem(report.name, detail("disabled"), report.remedy.clone()),
        // What this build lacks on every machine, and no command mends.
        (State::Unavailable, Method::Ebpf) if !target::IN_KERNEL && report.remedy.is_none() => {
            Finding::note(report.name, detail("unavailable"))
        }
        (State::Unavailable, _) => {
            Finding::problem(report.name, detail("unavailable"), report.remedy.clone())
        }
        (State::Failed, _) => Finding::problem(report.name, detail("failed"), report.remedy.clone()),
    }
}

/// What would let the events count that could not be opened.
fn counters_remedy(reports: &[Report]) -> Option<&str> {
    let counters = reports.iter().find(|report| report.metric_type == MetricType::PerfEvents)?;
    counters.remedy.as_deref()
}

fn events(reading: &Reading, remedy: Option<&str>) -> Vec<Finding> {
    let unsupported = match reading.value("unsupported_events") {
        Value::Json(list) => Some(list),
        _ => None,
    };
    let is_unsupported = |name: &str| unsupported.is_some_and(|list| list.contains(&format!("\"{name}\"")));
    let finding = |name: String| {
        let of = |field: &str| reading.value_of("events", &name, field);
        let error = of("error").as_str();
        match of("value").as_f64() {
            Some(_) => {
                let stand_in = reading.value_of("counted_as", &name, "").as_str();
                let stand_in = stand_in.map_or_else(String::new, |stand_in| format!(" as {stand_in}"));
                match of("running_ratio").as_f64() {
                    Some(ratio) if ratio < 1.0 => {
                        let percent = ratio * 100.0;
                        Finding::ok(&name, format!("counts{stand_in}, on the PMU {percent:.0}% of the time"))
                    }
                    _ => Finding::ok(&name, format!("counts{stand_in}")),
                }
            }
            None if is_unsupported(&name) => Finding::note(&name, error.unwrap_or("not offered")),
            None => Finding::problem(&name, error.unwrap_or("no value"), remedy.map(str::to_owned)),
        }
    };
    reading.things("events").map(finding).collect()
}

impl Diagnosis {
    fn all(&self) -> impl Iterator<Item = &Finding> {
        self.machine.iter().chain(&self.sources).chain(&self.events)
    }

    /// How each finding stands, without its words.
    pub fn statuses(&self) -> Vec<Status> {
        self.all().map(|finding| finding.status).collect()
    }

    /// True when everything that this machine offers is in use.
    pub fn healthy(&self) -> bool {
        self.all().all(|finding| finding.status != Status::Problem)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (title, findings) in
            [("machine", &self.machine), ("sources", &self.sources), ("events", &self.events)]
        {
            let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{title}");
            for finding in findings {
                let mark = match finding.status {
                    Status::Ok => "ok  ",
                    Status::Note => "-   ",
                    Status::Problem => "FIX ",
                };
                let _ = writeln!(text, "  {mark}{:width$}  {}", finding.name, finding.detail);
                if let Some(remedy) = &finding.remedy {
                    let _ = writeln!(text, "      {:width$}  → {remedy}", "");
                }
            }
        }
        let problems = self.all().filter(|finding| finding.status == Status::Problem).count();
        let _ = match problems {
            0 => writeln!(text, "everything that this machine offers is in use"),
            1 => writeln!(text, "1 finding to fix"),
            many => writeln!(text, "{many} findings to fix"),
        };
        text
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

    #[test]
    fn an_event_the_hardware_lacks_is_a_note_and_one_that_failed_a_problem() {
        let document = json!({
            "events": {
                "cycles": {"value": null, "error": "no PMU"},
                "cpu-clock": {"value": 1.0, "running_ratio": 1.0, "error": null},
                "branches": {"value": null, "error": "EMFILE"},
                "LLC-loads": {"value": 7.0, "running_ratio": 0.5, "error": null},
            },
            "unsupported_events": ["cycles"],
            "counted_as": {"LLC-loads": "cache-references"},
        });
        let at = time::OffsetDateTime::UNIX_EPOCH;
        let reading = Reading::new(MetricType::PerfEvents, at, &document).unwrap();
        let found = events(&reading, Some("sudo sysctl"));
        let status = |name: &str| found.iter().find(|finding| finding.name == name).unwrap().status;
        assert_eq!(status("cycles"), Status::Note);
        assert_eq!(status("cpu-clock"), Status::Ok);
        assert_eq!(status("branches"), Status::Problem);
        let find = |name: &str| found.iter().find(|finding| finding.name == name).unwrap();
        assert_eq!(find("branches").remedy.as_deref(), Some("sudo sysctl"));
        assert_eq!(find("LLC-loads").detail, "counts as cache-references, on the PMU 50% of the time");
    }

    #[test]
    fn the_last_line_counts_what_is_to_fix() {
        let finding = Finding::problem("psi", "off", Some("boot with psi=1".into()));
        let diagnosis = Diagnosis { machine: vec![finding], sources: vec![], events: vec![] };
        assert!(!diagnosis.healthy());
        let text = diagnosis.text();
        assert!(text.contains("→ boot with psi=1") && text.ends_with("1 finding to fix\n"), "{text}");
    }
}
