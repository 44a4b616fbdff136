//! From findings to causes: what one fix solves is one problem, whatever it affects.

use super::rights::Rights;
use crate::snapshot::diagnosis::{Finding, Problem, Status};

/// The labels of machine and store problems.
const TITLES: &[(&str, &str)] = &[
    ("btf", "No kernel type information (BTF)"),
    ("procfs", "/proc cannot be read"),
    ("perf_event_paranoid", "Performance events are restricted"),
    ("psi", "No pressure stall information (PSI)"),
    ("processes", "Processes of other users are hidden"),
    ("database", "Database"),
    ("write access", "The store is read-only"),
    ("free space", "Disk almost full"),
    ("recording", "History is not being stored"),
];

/// The problems, in the order found. `about` are findings on machine and store, which are causes themselves;
/// `affected` are sources and events.
pub(super) fn problems<'a>(
    about: impl Iterator<Item = &'a Finding>,
    affected: impl Iterator<Item = &'a Finding>,
    rights: &Rights,
) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    let same =
        |problem: &Problem, finding: &Finding| finding.remedy.is_some() && problem.remedy == finding.remedy;
    let add = |finding: &Finding, affects: Vec<String>| {
        let is_rights = finding.remedy.is_some() && finding.remedy == rights.remedy();
        let title = TITLES.iter().find(|(name, _)| *name == finding.name).map(|(_, title)| *title);
        Problem {
            title: if is_rights { "Missing rights" } else { title.unwrap_or(&finding.name) }.to_owned(),
            reason: if is_rights { rights.reason() } else { finding.detail.clone() },
            affects,
            remedy: finding.remedy.clone(),
        }
    };
    for finding in about.filter(|finding| finding.status == Status::Problem) {
        if !problems.iter().any(|problem| same(problem, finding)) {
            problems.push(add(finding, Vec::new()));
        }
    }
    for finding in affected {
        // A source that works only in part, for the same reason, is affected too.
        match problems.iter_mut().find(|problem| same(problem, finding)) {
            Some(problem) => problem.affects.push(finding.name.clone()),
            None if finding.status == Status::Problem => {
                problems.push(add(finding, vec![finding.name.clone()]));
            }
            None => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_remedy_fixes_is_one_problem() {
        let rights = Rights { missing: vec!["CAP_BPF"], administrator: false, strict: true };
        let grant = rights.remedy();
        let problem = |name: &str, remedy: Option<String>| Finding::problem(name, "why", remedy);
        let about = [
            problem("capabilities", grant.clone()),
            problem("perf_event_paranoid", grant.clone()),
            problem("psi", Some("psi=1".into())),
            Finding::ok("btf", "there"),
        ];
        let partly = Finding { remedy: grant.clone(), ..Finding::ok("processes", "from /proc") };
        let affected = [
            problem("tcp", grant.clone()),
            partly,
            problem("disk", None),
            problem("cpu", None),
            problem("x", grant),
        ];
        let found = problems(about.iter(), affected.iter(), &rights);
        let titles: Vec<_> = found.iter().map(|problem| &*problem.title).collect();
        assert_eq!(titles, ["Missing rights", "No pressure stall information (PSI)", "disk", "cpu"]);
        assert_eq!(found[0].affects, ["tcp", "processes", "x"]);
        assert_eq!(found[0].reason, "this process lacks CAP_BPF, and kernel.perf_event_paranoid is above 2");
    }
}
