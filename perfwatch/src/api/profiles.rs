//! `/api/profiles`: which code ran, or waited, over any range.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

mod compare;
pub(super) mod moved;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use super::extract::CurrentUser;
use super::history::check_order;
use super::parameters::{Parameters, Reader};
use super::questions::json_in_pieces;
use crate::history::questions::compare::Range;
use crate::profiles::archive::Covered;
use crate::profiles::flame::{Filter, Flame, Listed, Side};
use crate::profiles::function::{self, Function};
use crate::profiles::pprof::pprof;
use crate::profiles::table::Count;
use crate::snapshot::rfc3339;
use crate::store::chunks::ProfileKind;
use crate::store::{from_micros, micros};

/// Nodes of an answer; smaller ones are added up.
const MAX_NODES: usize = 20_000;
/// Bytes of a name in a filter.
const MAX_NAME: usize = 4096;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(profile)).merge(compare::routes())
}

/// Which stacks to look at.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StacksParameters {
    /// `cpu`: what ran; `off_cpu`: what waited for something other than a CPU
    #[param(required = false, value_type = String, pattern = "^(cpu|off_cpu)$", example = "cpu", default = "cpu")]
    kind: Option<String>,
    /// Only processes of this name
    #[param(required = false, value_type = String, max_length = 4096)]
    process: Option<String>,
    /// Only this process; known for as long as minutes are kept
    #[param(required = false, value_type = u32, minimum = 1)]
    pid: Option<String>,
    /// Only this cgroup, a path, with those below it
    #[param(required = false, value_type = String, max_length = 4096)]
    cgroup: Option<String>,
    /// Only threads of this name
    #[param(required = false, value_type = String, max_length = 4096)]
    thread: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

impl StacksParameters {
    fn read(self, reader: &mut Reader) -> (ProfileKind, Filter) {
        let kind = self.kind.as_deref().map_or(Some(ProfileKind::Cpu), ProfileKind::parse);
        if kind.is_none() {
            reader.problem("kind", "Expected cpu or off_cpu");
        }
        let Self { process, pid, cgroup, thread, .. } = self;
        for (name, text) in [("process", &process), ("thread", &thread), ("cgroup", &cgroup)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_NAME) {
                reader.problem(name, format!("Expected at most {MAX_NAME} bytes"));
            }
        }
        let number = pid.map(|text| text.parse::<u32>().ok().filter(|pid| *pid > 0));
        if number == Some(None) {
            reader.problem("pid", "Expected the number of a process");
        }
        let filter = Filter { process, thread, cgroup, pid: number.flatten() };
        (kind.unwrap_or(ProfileKind::Cpu), filter)
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProfileParameters {
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; exclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// `json`, `folded` (stacks, a line each, for flame graph tools) or `pprof` (for `go tool pprof` and speedscope)
    #[param(required = false, value_type = String, pattern = "^(json|folded|pprof)$", example = "json", default = "json")]
    format: Option<String>,
}

/// A tree of stacks. The first level below the root has the processes.
#[derive(Serialize, ToSchema)]
struct Profile {
    kind: &'static str,
    /// As it was asked for.
    #[schema(format = DateTime)]
    start_time: String,
    #[schema(format = DateTime)]
    end_time: String,
    /// Start of the first minute, hour or day that anything is known of; `null` without data.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// End of the last.
    #[schema(format = DateTime)]
    to: Option<String>,
    /// The coarsest that was read: 60, 3600 or 86400; 0 without data.
    resolution_seconds: i64,
    /// CPU time, or time of waiting, ns.
    total: u64,
    /// Samples of the CPU, or waits.
    samples: u64,
    /// Samples that were lost, of all processes.
    lost: u64,
    stacks: StacksDto,
    /// Largest first, at most 100.
    processes: Vec<ListedDto>,
    threads: Vec<ListedDto>,
    cgroups: Vec<ListedDto>,
    functions: Vec<FunctionDto>,
    nodes: Nodes,
}

/// How the user stacks of samples ended.
#[derive(Serialize, ToSchema)]
struct StacksDto {
    /// At the outermost function.
    complete: u64,
    /// Deeper than what a sample carries.
    too_long: u64,
    /// At a function without unwind information.
    no_unwind_information: u64,
    /// The kernel gave no user registers.
    no_registers: u64,
    /// The process had exited.
    gone: u64,
    /// The process may not be looked into: `CAP_SYS_PTRACE` is missing.
    forbidden: u64,
}

#[derive(Serialize, ToSchema)]
struct ListedDto {
    name: String,
    /// ns.
    total: u64,
    samples: u64,
    /// User stacks, and how many of them are complete.
    user_stacks: u64,
    complete_stacks: u64,
}

#[derive(Serialize, ToSchema)]
struct FunctionDto {
    #[schema(example = "PQexec")]
    name: String,
    /// The file's name, `[kernel]`, `[generated]` (by a just-in-time compiler), `[process]`, or empty if it is not known.
    #[schema(example = "libpq.so.5")]
    module: String,
}

/// Columns; node 0 is the root, and parents come before their children.
#[derive(Serialize, ToSchema)]
struct Nodes {
    parent: Vec<u32>,
    /// Place in `functions`; -1 for the root.
    function: Vec<i64>,
    /// ns, without what it calls.
    #[serde(rename = "self")]
    own: Vec<u64>,
    samples: Vec<u64>,
}

/// Which code ran, or waited, over a range
#[utoipa::path(get, path = "/api/profiles", tag = "profiles", params(StacksParameters, ProfileParameters), responses(
    (status = 200, content(
        (Profile = "application/json"),
        (String = "text/plain"),
        (Vec<u8> = "application/vnd.google.protobuf"),
    )),
    (status = 400, description = "An empty range", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn profile(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(stacks): Parameters<StacksParameters>,
    Parameters(sent): Parameters<ProfileParameters>,
) -> Result<Response> {
    let mut reader = Reader::default();
    let host = stacks.host.clone();
    let (kind, filter) = stacks.read(&mut reader);
    let start = reader.required_moment("start_time", sent.start_time.as_deref());
    let end = reader.required_moment("end_time", sent.end_time.as_deref());
    let format = sent.format.as_deref().unwrap_or("json").to_owned();
    if !["json", "folded", "pprof"].contains(&&*format) {
        reader.problem("format", "Expected json, folded or pprof");
    }
    reader.finish()?;
    let (Some(start), Some(end)) = (start, end) else { return Err(Error::Internal("times".into())) };
    check_order(start, end)?;
    let question = state.ask(&identity)?;
    let archive = state.profiles.of(&state.history_of(&identity, host.as_deref()).await?);
    let range = span(Range { start, end });
    let read = async move { Ok(archive.flame(kind, range, &filter, MAX_NODES).await?) };
    let (flame, covered) = question.work(read).await?;
    let file = |kind: &'static str, name: &str, body: Vec<u8>| {
        let disposition = format!("attachment; filename=\"{name}\"");
        ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body)
            .into_response()
    };
    Ok(match &*format {
        "folded" => {
            let micros_or_samples = |count: Count| match kind {
                ProfileKind::Cpu => count.samples,
                ProfileKind::OffCpu => count.value / 1000,
            };
            file("text/plain; charset=utf-8", "profile.folded", flame.folded(micros_or_samples).into_bytes())
        }
        "pprof" => file("application/vnd.google.protobuf", "profile.pb", pprof(&flame, kind, range)),
        _ => {
            let profile = described(kind, (rfc3339(start), rfc3339(end)), covered, flame);
            let json = serde_json::to_vec(&profile).map_err(|error| Error::Internal(error.to_string()))?;
            json_in_pieces(json)
        }
    })
}

/// µs.
fn span(range: Range) -> (i64, i64) {
    (micros(range.start), micros(range.end))
}

fn described(
    kind: ProfileKind,
    (start_time, end_time): (String, String),
    covered: Covered,
    flame: Flame,
) -> Profile {
    let total = flame.total(Side::Current);
    let function::Stacks { complete, too_long, no_unwind_information, no_registers, gone, forbidden } =
        flame.stacks;
    let own =
        |value: fn(&Count) -> u64| flame.own.iter().map(|own| value(&own[Side::Current as usize])).collect();
    Profile {
        kind: kind.as_str(),
        start_time,
        end_time,
        from: covered.span.map(|(from, _)| rfc3339(from_micros(from))),
        to: covered.span.map(|(_, to)| rfc3339(from_micros(to))),
        resolution_seconds: covered.resolution,
        total: total.value,
        samples: total.samples,
        lost: flame.lost,
        stacks: StacksDto { complete, too_long, no_unwind_information, no_registers, gone, forbidden },
        nodes: Nodes {
            parent: flame.nodes.iter().map(|node| node.parent).collect(),
            function: flame.nodes.iter().map(|node| node.frame.map_or(-1, i64::from)).collect(),
            own: own(|count| count.value),
            samples: own(|count| count.samples),
        },
        processes: flame.processes.into_iter().map(listed).collect(),
        threads: flame.threads.into_iter().map(listed).collect(),
        cgroups: flame.cgroups.into_iter().map(listed).collect(),
        functions: flame.functions.iter().map(named).collect(),
    }
}

fn listed(listed: Listed) -> ListedDto {
    ListedDto {
        name: listed.name.to_string(),
        total: listed.count.value,
        samples: listed.count.samples,
        user_stacks: listed.stacks.total(),
        complete_stacks: listed.stacks.complete,
    }
}

fn named(function: &Function) -> FunctionDto {
    FunctionDto { name: function.name.to_string(), module: function.module.to_string() }
}
