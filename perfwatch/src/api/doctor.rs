//! `/api/doctor`: what `perfwatch doctor` says, for the running server.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Guarded, OfHost, Queued, Result, ValidationBody};
use super::extract::{ClientAddress, CurrentUser};
use super::parameters::{OneHost, Parameters};
use super::questions::json_in_pieces;
use crate::fleet::asking::Ask;
use crate::snapshot::diagnosis::{Diagnosis, Finding, Problem, Status, Summary};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(findings))
}

/// The problems by cause, then all findings.
#[derive(Serialize, ToSchema)]
struct Findings {
    summary: DoctorSummary,
    /// Each cause once, with everything it affects.
    problems: Vec<ProblemDto>,
    /// Kernel and machine: what they are, offer and forbid.
    machine: Vec<FindingDto>,
    /// The database: reachable, writable, with space, and whether snapshots are being stored.
    store: Vec<FindingDto>,
    /// Each collector and probe.
    sources: Vec<FindingDto>,
    /// Performance events, those with the same reason together; empty before the first reading.
    events: Vec<FindingDto>,
}

#[derive(Serialize, ToSchema)]
struct DoctorSummary {
    working: usize,
    /// Causes, not what they affect: the length of `problems`.
    to_fix: usize,
    /// Not available on this machine, whatever its settings.
    not_available: usize,
}

/// One cause of problems.
#[derive(Serialize, ToSchema)]
struct ProblemDto {
    #[schema(example = "Missing rights")]
    title: String,
    #[schema(example = "CAP_BPF and CAP_PERFMON are missing")]
    reason: String,
    /// Names of sources, and numbers of events, that do not measure, or not everything, because of it.
    #[schema(example = json!(["counters", "tcp", "17 events"]))]
    affects: Vec<String>,
    /// The exact command or setting that fixes it.
    #[schema(example = "sudo setcap cap_bpf,cap_perfmon=ep /usr/bin/perfwatch")]
    remedy: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct FindingDto {
    #[schema(example = "perf_event_paranoid")]
    name: String,
    status: StatusDto,
    /// What was found, and why.
    #[schema(example = "2, overridden by CAP_PERFMON")]
    detail: String,
    /// The exact command or setting that fixes or improves it.
    #[schema(example = "sudo sysctl kernel.perf_event_paranoid=2")]
    remedy: Option<String>,
}

/// `ok`: in use. `note`: not available, and no setting of this machine would change that. `problem`: could be used and
/// is not.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StatusDto {
    Ok,
    Note,
    Problem,
}

/// What works on a machine, what does not, why, and how to fix it
///
/// The same as `perfwatch doctor --json`, for the running server: with its rights, its sources and its newest events.
#[utoipa::path(get, path = "/api/doctor", tag = "sources", params(OneHost), responses(
    (status = 200, body = Findings),
    (status = 422, description = "A parameter is given twice", body = ValidationBody),
    Guarded, Queued, OfHost,
))]
async fn findings(
    CurrentUser(identity): CurrentUser,
    ClientAddress(address): ClientAddress,
    State(state): State<AppState>,
    Parameters(sent): Parameters<OneHost>,
) -> Result<Response> {
    let question = state.ask(&identity)?;
    if let Some(remote) = state.remote(&identity, sent.host.as_deref()).await? {
        return Ok(json_in_pieces(remote.answer(&identity, address, Ask::Doctor).await?));
    }
    let store = state.place.inspect().await;
    // A dozen files, and a hypervisor or container may make reading one of them slow.
    let examined = question.block(move || {
        let (reports, newest) = (state.source_status.reports(), state.hub.latest());
        (state.diagnose)(&state.options.roots, &store, state.writer.as_ref(), &reports, newest.as_deref())
    });
    Ok(Json(Findings::from(examined.await?)).into_response())
}

/// The same for whoever asks over the fleet.
pub fn told(diagnosis: Diagnosis) -> Option<Vec<u8>> {
    serde_json::to_vec(&Findings::from(diagnosis)).ok()
}

impl From<Diagnosis> for Findings {
    fn from(diagnosis: Diagnosis) -> Self {
        let listed = |findings: Vec<Finding>| findings.into_iter().map(FindingDto::from).collect();
        let Summary { working, to_fix, not_available } = diagnosis.summary;
        Self {
            summary: DoctorSummary { working, to_fix, not_available },
            problems: diagnosis.problems.into_iter().map(ProblemDto::from).collect(),
            machine: listed(diagnosis.machine),
            store: listed(diagnosis.store),
            sources: listed(diagnosis.sources),
            events: listed(diagnosis.events),
        }
    }
}

impl From<Problem> for ProblemDto {
    fn from(Problem { title, reason, affects, remedy }: Problem) -> Self {
        Self { title, reason, affects, remedy }
    }
}

impl From<Finding> for FindingDto {
    fn from(finding: Finding) -> Self {
        Self {
            name: finding.name,
            status: match finding.status {
                Status::Ok => StatusDto::Ok,
                Status::Note => StatusDto::Note,
                Status::Problem => StatusDto::Problem,
            },
            detail: finding.detail,
            remedy: finding.remedy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_as_the_command_line_tells_it() {
        let problem = Problem {
            title: "No PSI".into(),
            reason: "off".into(),
            affects: vec!["pressure".into()],
            remedy: Some("psi=1".into()),
        };
        let diagnosis = Diagnosis {
            summary: Summary { working: 1, to_fix: 2, not_available: 1 },
            problems: vec![problem],
            store: vec![Finding::ok("database", "SQLite")],
            machine: vec![Finding::ok("btf", "there"), Finding::problem("psi", "off", Some("psi=1".into()))],
            sources: vec![Finding::problem("tcp", "failed", None)],
            events: vec![Finding::note("cycles", "no PMU")],
        };
        let command_line = serde_json::to_string(&diagnosis).unwrap();
        assert_eq!(serde_json::to_string(&Findings::from(diagnosis)).unwrap(), command_line);
    }
}
