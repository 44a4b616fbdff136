//! `/api/config`: what is measured and how often, and the system it is measured on.

mod system;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{Error, Guarded, Problem, Result, WithBody};
use super::extract::{Administrator, Body, ClientAddress, CurrentUser, told};
use super::retention::PolicyChange;
use super::{AppState, VERSION};
use crate::auth::audit;
use crate::config::MAX_PROFILE_HZ;
use crate::host::facts::online_cpus;
use crate::snapshot::cpulist::CpuList;
use crate::snapshot::source::Settings;
use crate::store::settings::{self, ALL_CPUS};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(configuration, change_configuration))
}

#[derive(Serialize, ToSchema)]
struct Configuration {
    sampling_interval_seconds: u64,
    perf_events_enabled: bool,
    /// `all`, or a list such as `0-3,6`.
    #[schema(example = "all")]
    perf_events_cpu_cores: String,
    perf_events_interval_ms: u64,
    /// Samples of stacks, per second of each busy CPU; 0 for none.
    profile_hz: u32,
    retention_days: i64,
    archive_enabled: bool,
    downsample_after_days: i64,
    #[schema(example = "1m")]
    downsample_interval: &'static str,
    app_version: &'static str,
    system: system::System,
}

async fn current(state: &AppState) -> Result<Configuration> {
    let policy = state.store.archive_policy().await?;
    let settings = state.settings.borrow().clone();
    let cpus = settings.sources.perf_events_cpu_cores;
    Ok(Configuration {
        sampling_interval_seconds: settings.interval.as_secs(),
        perf_events_enabled: settings.sources.perf_events_enabled,
        perf_events_cpu_cores: cpus.map_or_else(|| ALL_CPUS.to_owned(), |cpus| cpus.to_string()),
        perf_events_interval_ms: u64::try_from(settings.sources.perf_events_interval.as_millis())
            .unwrap_or(u64::MAX),
        profile_hz: settings.sources.profile_hz,
        retention_days: policy.retention_days,
        archive_enabled: policy.archive_enabled,
        downsample_after_days: policy.downsample_after_days,
        downsample_interval: policy.downsample_interval.as_str(),
        app_version: VERSION,
        system: system::describe(&state.options.roots, state.store.engine()),
    })
}

/// The current configuration, and this system
#[utoipa::path(get, path = "/api/config", tag = "config", responses((status = 200, body = Configuration), Guarded))]
async fn configuration(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
) -> Result<Json<Configuration>> {
    let mut configuration = current(&state).await?;
    if !state.sees_this(&identity).await? {
        configuration.system = system::System::withheld(state.store.engine());
    }
    Ok(Json(configuration))
}

/// Any subset; fields that are missing or `null` stay unchanged, and read-only fields are ignored.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ConfigurationChange {
    #[schema(minimum = 1, maximum = 3600)]
    sampling_interval_seconds: Option<i64>,
    perf_events_enabled: Option<bool>,
    /// `all`, or a list of online CPUs such as `0-3,6`.
    #[schema(example = "0-3,6", pattern = "^(all|[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*)$")]
    perf_events_cpu_cores: Option<String>,
    #[schema(minimum = 100, maximum = 3600000)]
    perf_events_interval_ms: Option<i64>,
    #[schema(minimum = 0, maximum = 199)]
    profile_hz: Option<i64>,
    #[schema(minimum = 1, maximum = 365)]
    retention_days: Option<i64>,
    archive_enabled: Option<bool>,
    /// At most `retention_days`.
    #[schema(minimum = 0, maximum = 365)]
    downsample_after_days: Option<i64>,
    #[schema(example = "1m", pattern = "^(5s|1m|5m|1h)$")]
    downsample_interval: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Updated {
    #[schema(example = "Configuration updated")]
    message: &'static str,
    config: Configuration,
}

/// Change any part of the configuration; takes effect at the next tick
#[utoipa::path(put, path = "/api/config", tag = "config", request_body = ConfigurationChange, responses(
    (status = 200, body = Updated),
    Guarded, WithBody,
))]
async fn change_configuration(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(change): Body<ConfigurationChange>,
) -> Result<Json<Updated>> {
    let _turn = state.changing().await;
    let mut problems = Vec::new();
    let old = state.settings.borrow().clone();
    let online = online_cpus(&state.options.roots);
    let new = apply(&change, old.clone(), online.as_ref(), &mut problems);
    let policy_change = PolicyChange {
        retention_days: change.retention_days,
        archive_enabled: change.archive_enabled,
        downsample_after_days: change.downsample_after_days,
        downsample_interval: change.downsample_interval.clone(),
        ..PolicyChange::default()
    };
    let policy = policy_change.apply(state.store.archive_policy().await?);
    problems.extend(policy.as_ref().err().into_iter().flatten().cloned());
    let (true, Ok(policy)) = (problems.is_empty(), policy) else { return Err(Error::Invalid(problems)) };

    settings::save(&*state.store, &new).await?;
    if !policy_change.is_empty() {
        state.store.set_archive_policy(&policy).await?;
    }
    if new != old {
        state.settings.send_replace(new);
    }
    state.auth.audit(&identity.user.username, address, audit::CONFIG_CHANGED, &told(&change)).await;
    Ok(Json(Updated { message: "Configuration updated", config: current(&state).await? }))
}

/// `settings` with the change applied; without knowing the online CPUs any list is accepted.
fn apply(
    change: &ConfigurationChange,
    mut settings: Settings,
    online: Option<&CpuList>,
    problems: &mut Vec<Problem>,
) -> Settings {
    let mut number = |name: &str, value: Option<i64>, range: std::ops::RangeInclusive<u64>| {
        let value = value?;
        let valid = u64::try_from(value).ok().filter(|value| range.contains(value));
        if valid.is_none() {
            let msg = format!("Expected a number from {} to {}", range.start(), range.end());
            problems.push(Problem::new(&["body", name], msg));
        }
        valid
    };
    if let Some(seconds) = number("sampling_interval_seconds", change.sampling_interval_seconds, 1..=3600) {
        settings.interval = Duration::from_secs(seconds);
    }
    let sources = &mut settings.sources;
    if let Some(millis) = number("perf_events_interval_ms", change.perf_events_interval_ms, 100..=3_600_000) {
        sources.perf_events_interval = Duration::from_millis(millis);
    }
    if let Some(hz) = number("profile_hz", change.profile_hz, 0..=u64::from(MAX_PROFILE_HZ)) {
        sources.profile_hz = u32::try_from(hz).unwrap_or(MAX_PROFILE_HZ);
    }
    sources.perf_events_enabled = change.perf_events_enabled.unwrap_or(sources.perf_events_enabled);
    match change.perf_events_cpu_cores.as_deref().map(str::trim) {
        None => {}
        Some(all) if all.eq_ignore_ascii_case(ALL_CPUS) => sources.perf_events_cpu_cores = None,
        Some(list) => match list.parse::<CpuList>() {
            Ok(cpus) if online.is_none_or(|online| cpus.is_subset(online)) => {
                sources.perf_events_cpu_cores = Some(cpus);
            }
            Ok(_) => {
                let online = online.map(ToString::to_string).unwrap_or_default();
                let msg = format!("Expected online CPUs only: {online}");
                problems.push(Problem::new(&["body", "perf_events_cpu_cores"], msg));
            }
            Err(_) => {
                let msg = "Expected all, or a list of CPUs such as 0-3,6";
                problems.push(Problem::new(&["body", "perf_events_cpu_cores"], msg));
            }
        },
    }
    settings
}
