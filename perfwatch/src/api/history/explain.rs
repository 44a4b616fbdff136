//! `/api/history/explain`: who, what and which events made a range unlike another.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::{ChangeDto, RangeDto, change, range};
use super::check_order;
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use crate::api::events::EventDto;
use crate::api::extract::CurrentUser;
use crate::api::parameters::{Parameters, Reader};
use crate::api::processes::CgroupDto;
use crate::api::profiles::moved::{MovedFunction, moved};
use crate::api::questions::json_in_pieces;
use crate::history::questions::compare::Range;
use crate::history::questions::explain::{Cluster, Difference, Suspect, explain, with_lead_in};

/// The time before a range is compared with it, this many times as long.
const BEFORE: i32 = 4;
const DEFAULT_LIMIT: usize = 8;
const MAX_LIMIT: usize = 100;
const MAX_NOTED: i64 = 200;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(what_explains))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExplainParameters {
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:01:00Z")]
    end_time: Option<String>,
    /// `before`: the time just before it, four times as long; or the same time `yesterday` or `last_week`
    #[param(required = false, value_type = String, pattern = "^(before|yesterday|last_week)$", default = "before", example = "before")]
    compare_to: Option<String>,
    /// Maximum number of programs, of subjects, and of changes of each
    #[param(required = false, value_type = usize, minimum = 1, maximum = 100, default = 8)]
    limit: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WhoAndWhat)]
struct Explanation {
    compare_to: String,
    current: RangeDto,
    comparison: RangeDto,
    /// Programs that used more, or less, the most telling first.
    who: Vec<SuspectDto>,
    /// What changed, put together by subject, the strongest first.
    changes: Vec<SubjectDto>,
    /// Functions whose share of the CPU time changed, the largest change first, at most 10.
    functions: Vec<MovedFunction>,
}

/// All of an explanation.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
#[allow(dead_code)] // only its description is used: the events are appended as text
struct WithEvents {
    #[serde(flatten)]
    explanation: Explanation,
    /// Of the range and just before it (its length, at least 10 seconds and at most 5 minutes), as in the documents
    /// `processes` and `cpu`: OOM kills, throttling, starts; and those noted with `/api/events`.
    events: Vec<HappenedDto>,
}

#[derive(Serialize, ToSchema)]
#[allow(dead_code)]
struct HappenedDto {
    #[schema(example = "oom_kill")]
    kind: String,
    #[schema(format = DateTime)]
    timestamp: String,
    comm: Option<String>,
    pid: Option<u32>,
    cgroup: Option<String>,
    throttled_ms: Option<f64>,
    /// Of what was noted, as in `/api/events`; so are the following.
    text: Option<String>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    username: Option<String>,
}

/// All processes of one name in one cgroup.
#[derive(Serialize, ToSchema)]
struct SuspectDto {
    name: String,
    cgroup: Option<String>,
    /// What the cgroup is.
    group: Option<CgroupDto>,
    user: Option<String>,
    /// Of one of them, with secrets masked.
    command: Option<String>,
    /// How telling it is, 0 to 1.
    score: f64,
    /// Time it spent waiting for a CPU.
    runqueue_wait_ms_per_sec: Option<f64>,
    /// The largest first.
    differences: Vec<DifferenceDto>,
}

#[derive(Serialize, ToSchema)]
struct DifferenceDto {
    /// As in `/api/history/processes`.
    #[schema(example = "write_bytes_per_sec")]
    field: &'static str,
    before: f64,
    now: f64,
    /// Part of what the whole machine used, in the range in which that was more.
    share: f64,
}

#[derive(Serialize, ToSchema)]
struct SubjectDto {
    /// `cpu`, `memory`, `storage`, `network`, `limits` (of cgroups) or `counters`
    #[schema(example = "storage")]
    subject: &'static str,
    /// The strongest first.
    changes: Vec<ChangeDto>,
}

/// What explains a range: who used more, what changed, and which events there were
#[utoipa::path(get, path = "/api/history/explain", tag = "history", params(ExplainParameters), responses(
    (status = 200, body = WithEvents),
    (status = 400, description = "An empty range", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn what_explains(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<ExplainParameters>,
) -> Result<Response> {
    let mut reader = Reader::default();
    let start = reader.required_moment("start_time", sent.start_time.as_deref());
    let end = reader.required_moment("end_time", sent.end_time.as_deref());
    let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
    let compare_to = sent.compare_to.as_deref().unwrap_or("before");
    if !["before", "yesterday", "last_week"].contains(&compare_to) {
        reader.problem("compare_to", "Expected before, yesterday or last_week");
    }
    reader.finish()?;
    let (Some(start), Some(end)) = (start, end) else {
        // Anything missing is among the problems above.
        return Err(Error::Invalid(Vec::new()));
    };
    check_order(start, end)?;
    let current = Range { start, end };
    let comparison = comparison(current, compare_to)
        .ok_or_else(|| Error::BadRequest("there is no time before that range".into()))?;
    let compare_to = compare_to.to_owned();
    let question = state.ask(&identity)?;
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let noted = state.store.marks(history.host(), with_lead_in(current).start, end, MAX_NOTED).await?;
    let noted: Vec<EventDto> = noted.into_iter().map(EventDto::from).collect();
    let profiles = state.profiles.of(&history);
    let json = question.work(async move {
        let functions = moved([(&profiles, current), (&profiles, comparison)]).await?;
        let found = explain(&history, current, comparison, limit).await?;
        let subject = |cluster: Cluster| SubjectDto {
            subject: cluster.subject,
            changes: cluster.changes.into_iter().map(change).collect(),
        };
        let answer = Explanation {
            compare_to,
            current: range(current, found.current_has_data),
            comparison: range(comparison, found.comparison_has_data),
            who: found.who.iter().map(SuspectDto::from).collect(),
            changes: found.changes.into_iter().map(subject).collect(),
            functions,
        };
        let mut json = serde_json::to_vec(&answer).map_err(|error| Error::Internal(error.to_string()))?;
        json.truncate(json.len() - 1);
        let noted = noted.iter().filter_map(|event| serde_json::to_string(event).ok());
        let events: Vec<String> =
            Some(found.events).filter(|all| !all.is_empty()).into_iter().chain(noted).collect();
        json.extend_from_slice(format!(r#","events":[{}]}}"#, events.join(",")).as_bytes());
        Ok(json)
    });
    Ok(json_in_pieces(json.await?))
}

/// `None` if that is before year 0.
fn comparison(current: Range, compare_to: &str) -> Option<Range> {
    let back = |by: Duration| {
        Some(Range { start: current.start.checked_sub(by)?, end: current.end.checked_sub(by)? })
    };
    match compare_to {
        "yesterday" => back(Duration::DAY),
        "last_week" => back(Duration::WEEK),
        _ => {
            let length = current.end - current.start;
            let end = current.start.checked_sub(Duration::MICROSECOND)?;
            Some(Range { start: end.checked_sub(length.checked_mul(BEFORE)?)?, end })
        }
    }
}

impl From<&Suspect> for SuspectDto {
    fn from(suspect: &Suspect) -> Self {
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        let difference = |of: &Difference| DifferenceDto {
            field: of.resource.as_str(),
            before: of.before,
            now: of.now,
            share: of.share,
        };
        Self {
            name: suspect.name.to_string(),
            cgroup: text(&suspect.cgroup),
            group: suspect.group.as_ref().map(CgroupDto::of),
            user: text(&suspect.facts.user),
            command: text(&suspect.facts.command),
            score: suspect.score,
            runqueue_wait_ms_per_sec: suspect.runqueue_wait_ms_per_sec,
            differences: suspect.differences.iter().map(difference).collect(),
        }
    }
}
