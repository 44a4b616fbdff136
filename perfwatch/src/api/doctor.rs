//! `/api/doctor`: what `perfwatch doctor` would say of the running server.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Guarded, Queued, Result};
use super::extract::CurrentUser;
use crate::snapshot::diagnosis::{Diagnosis, Finding, Status};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(findings))
}

/// In each list, in the order the doctor looks.
#[derive(Serialize, ToSchema)]
struct Findings {
    /// Kernel and machine: what they are, offer and forbid.
    machine: Vec<FindingDto>,
    /// Each collector and probe.
    sources: Vec<FindingDto>,
    /// Each performance event; empty before the first were read.
    events: Vec<FindingDto>,
}

#[derive(Serialize, ToSchema)]
struct FindingDto {
    #[schema(example = "perf_event_paranoid")]
    name: String,
    status: StatusDto,
    /// What was found, and why it stands so.
    #[schema(example = "2: counting the whole machine needs CAP_PERFMON or a level of 0")]
    detail: String,
    /// The exact command or setting that would mend it.
    #[schema(example = "sudo sysctl kernel.perf_event_paranoid=0")]
    remedy: Option<String>,
}

/// `ok`: in use. `note`: not there, and no setting of this machine would bring it. `problem`: it could be used
/// and is not.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StatusDto {
    Ok,
    Note,
    Problem,
}

/// What works on this machine, what does not, why, and how to fix it
///
/// The same as `perfwatch doctor --json`, for the running server: with its rights, its sources and its newest events.
#[utoipa::path(get, path = "/api/doctor", tag = "sources", responses((status = 200, body = Findings), Guarded, Queued))]
async fn findings(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
) -> Result<Json<Findings>> {
    // Some dozen files, of which a hypervisor or a container may make a slow one.
    let question = state.ask(&identity)?;
    let looked = question.block(move || {
        (state.diagnose)(&state.options.roots, &state.board.reports(), state.hub.latest().as_deref())
    });
    Ok(Json(looked.await?.into()))
}

impl From<Diagnosis> for Findings {
    fn from(diagnosis: Diagnosis) -> Self {
        let listed = |findings: Vec<Finding>| findings.into_iter().map(FindingDto::from).collect();
        Self {
            machine: listed(diagnosis.machine),
            sources: listed(diagnosis.sources),
            events: listed(diagnosis.events),
        }
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
        let diagnosis = Diagnosis {
            machine: vec![Finding::ok("btf", "there"), Finding::problem("psi", "off", Some("psi=1".into()))],
            sources: vec![Finding::problem("tcp", "failed", None)],
            events: vec![Finding::note("cycles", "no PMU")],
        };
        let command_line = serde_json::to_string(&diagnosis).unwrap();
        assert_eq!(serde_json::to_string(&Findings::from(diagnosis)).unwrap(), command_line);
    }
}
