//! `/api/sources`: the state and cost of every collector and probe.

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
use crate::snapshot::source::{Method, Report, State as SourceState};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(sources))
}

#[derive(Serialize, ToSchema)]
struct Sources {
    sources: Vec<Source>,
}

#[derive(Serialize, ToSchema)]
struct Source {
    name: &'static str,
    /// The document it produces.
    #[schema(example = "cpu")]
    metric_type: &'static str,
    state: StateDto,
    method: MethodDto,
    /// Why it is not active, or not fully.
    reason: Option<String>,
    /// The exact command or setting that fixes it.
    remedy: Option<String>,
    cost: CostDto,
    programs: Vec<ProgramDto>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StateDto {
    Active,
    Disabled,
    Unavailable,
    Failed,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum MethodDto {
    Procfs,
    Ebpf,
    PerfRead,
    Internal,
}

/// CPU time (user and system) of a source's sample, µs. The first samples are measured, then every eighth.
#[derive(Serialize, ToSchema)]
struct CostDto {
    last_us: f64,
    /// Mean of about the last 60 measured samples, without the first, which sets the source up.
    avg_us: f64,
}

/// Cost of an eBPF program since it was loaded: from the kernel's accounting if `kernel.bpf_stats_enabled` is on,
/// otherwise from its own, which counts every run and times one in 256.
#[derive(Serialize, ToSchema)]
struct ProgramDto {
    name: &'static str,
    run_count: u64,
    run_time_ns: u64,
}

/// Every collector and probe with its state and cost
#[utoipa::path(get, path = "/api/sources", tag = "sources", params(OneHost), responses(
    (status = 200, body = Sources),
    (status = 422, description = "A parameter is given twice", body = ValidationBody),
    Guarded, Queued, OfHost,
))]
async fn sources(
    CurrentUser(identity): CurrentUser,
    ClientAddress(address): ClientAddress,
    State(state): State<AppState>,
    Parameters(sent): Parameters<OneHost>,
) -> Result<Response> {
    if sent.host.is_none() && !state.sees_this(&identity).await? {
        return Ok(Json(Sources::of(Vec::new())).into_response());
    }
    if let Some(remote) = state.remote(&identity, sent.host.as_deref()).await? {
        let _question = state.ask(&identity)?;
        return Ok(json_in_pieces(remote.answer(&identity, address, Ask::Sources).await?));
    }
    Ok(Json(Sources::of(state.source_status.reports())).into_response())
}

/// The same for whoever asks over the fleet.
pub fn told(reports: Vec<Report>) -> Option<Vec<u8>> {
    serde_json::to_vec(&Sources::of(reports)).ok()
}

impl Sources {
    fn of(reports: Vec<Report>) -> Self {
        Self { sources: reports.into_iter().map(Source::from).collect() }
    }
}

impl From<Report> for Source {
    fn from(report: Report) -> Self {
        Self {
            name: report.name,
            metric_type: report.metric_type.as_str(),
            state: match report.state {
                SourceState::Active => StateDto::Active,
                SourceState::Disabled => StateDto::Disabled,
                SourceState::Unavailable => StateDto::Unavailable,
                SourceState::Failed => StateDto::Failed,
            },
            method: match report.method {
                Method::Procfs => MethodDto::Procfs,
                Method::Ebpf => MethodDto::Ebpf,
                Method::PerfRead => MethodDto::PerfRead,
                Method::Internal => MethodDto::Internal,
            },
            reason: report.reason,
            remedy: report.remedy,
            cost: CostDto { last_us: report.cost.last_us, avg_us: report.cost.avg_us },
            programs: report
                .programs
                .into_iter()
                .map(|program| ProgramDto {
                    name: program.name,
                    run_count: program.run_count,
                    run_time_ns: program.run_time_ns,
                })
                .collect(),
        }
    }
}
