//! The diagnosis for a terminal.

use std::fmt::Write;

use crate::snapshot::diagnosis::{Diagnosis, Finding, Status, Summary};

pub fn text(diagnosis: &Diagnosis) -> String {
    let Summary { working, to_fix, not_available } = diagnosis.summary;
    let mut text =
        format!("{working} working, {to_fix} to fix, {not_available} not available on this machine\n");
    // Writing to a String cannot fail.
    for (number, problem) in (1..).zip(&diagnosis.problems) {
        let _ = writeln!(text, "\n{number}. {}: {}", problem.title, problem.reason);
        if !problem.affects.is_empty() {
            let _ = writeln!(text, "   affects  {}", problem.affects.join(", "));
        }
        if let Some(remedy) = &problem.remedy {
            let _ = writeln!(text, "   fix      {remedy}");
        }
    }
    let lists = [
        ("machine", &diagnosis.machine),
        ("store", &diagnosis.store),
        ("sources", &diagnosis.sources),
        ("events", &diagnosis.events),
    ];
    for (title, findings) in lists.into_iter().filter(|(_, findings)| !findings.is_empty()) {
        let _ = writeln!(text, "\n{title}");
        list(diagnosis, findings, &mut text);
    }
    text
}

fn list(diagnosis: &Diagnosis, findings: &[Finding], text: &mut String) {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for finding in findings {
        let mark = match finding.status {
            Status::Ok => "ok",
            Status::Note => "-",
            Status::Problem => "!",
        };
        let _ = writeln!(text, "  {mark:2}  {:width$}  {}", finding.name, finding.detail);
        let is_told = diagnosis.problems.iter().any(|problem| problem.remedy == finding.remedy);
        if let Some(remedy) = finding.remedy.as_ref().filter(|_| !is_told) {
            let _ = writeln!(text, "      {:width$}  optional: {remedy}", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::diagnosis::Problem;

    #[test]
    fn a_remedy_is_told_once_however_much_it_fixes() {
        let remedy = Some("sudo setcap".to_owned());
        let broken = |name: &str| Finding::problem(name, "needs CAP_BPF", remedy.clone());
        let problem = Problem {
            title: "Missing rights".into(),
            reason: "CAP_BPF is missing".into(),
            affects: vec!["tcp".into(), "runqueue".into()],
            remedy: remedy.clone(),
        };
        let watchdog = Finding { remedy: Some("sudo sysctl".into()), ..Finding::ok("nmi_watchdog", "on") };
        let diagnosis = Diagnosis {
            summary: Summary { working: 1, to_fix: 1, not_available: 0 },
            problems: vec![problem],
            machine: vec![watchdog],
            store: vec![],
            sources: vec![broken("tcp"), broken("runqueue")],
            events: vec![],
        };
        let text = text(&diagnosis);
        assert!(text.starts_with("1 working, 1 to fix, 0 not available"), "{text}");
        assert_eq!(text.matches("sudo setcap").count(), 1, "{text}");
        assert!(text.contains("affects  tcp, runqueue") && text.contains("optional: sudo sysctl"), "{text}");
        assert!(!diagnosis.healthy());
    }
}
