//! `/api/retention` and `/api/config/retention`: how long history is kept, and cleanup on demand.

mod overrides;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, Guarded, Problem, Result, WithBody};
use super::extract::{Administrator, Body, ClientAddress, CurrentUser, told};
use crate::auth::audit;
use crate::history::{growth, maintenance};
use crate::snapshot::rfc3339;
use crate::store::policy::{ArchivePolicy, DownsampleInterval, Extent};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(policy, change_policy))
        .routes(routes!(cleanup))
        .routes(routes!(policy_and_size))
        .merge(overrides::routes())
}

#[derive(Serialize, ToSchema)]
struct Policy {
    id: i64,
    retention_days: i64,
    archive_enabled: bool,
    downsample_after_days: i64,
    #[schema(example = "1m")]
    downsample_interval: &'static str,
    #[schema(format = DateTime)]
    last_archive_run: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    cleanup_enabled: bool,
    cleanup_interval_minutes: i64,
}

impl From<ArchivePolicy> for Policy {
    fn from(policy: ArchivePolicy) -> Self {
        Self {
            id: policy.id,
            retention_days: policy.retention_days,
            archive_enabled: policy.archive_enabled,
            downsample_after_days: policy.downsample_after_days,
            downsample_interval: policy.downsample_interval.as_str(),
            last_archive_run: policy.last_archive_run.map(rfc3339),
            created_at: rfc3339(policy.created_at),
            updated_at: rfc3339(policy.updated_at),
            cleanup_enabled: policy.cleanup_enabled,
            cleanup_interval_minutes: policy.cleanup_interval_minutes,
        }
    }
}

/// Any subset; fields that are missing or `null` stay unchanged.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(super) struct PolicyChange {
    #[schema(minimum = 1, maximum = 365)]
    pub retention_days: Option<i64>,
    pub archive_enabled: Option<bool>,
    /// At most `retention_days`.
    #[schema(minimum = 0, maximum = 365)]
    pub downsample_after_days: Option<i64>,
    #[schema(example = "1m", pattern = "^(5s|1m|5m|1h)$")]
    pub downsample_interval: Option<String>,
    pub cleanup_enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 525600)]
    pub cleanup_interval_minutes: Option<i64>,
}

impl PolicyChange {
    /// The policy with the change applied, or everything that is wrong with it.
    pub(super) fn apply(
        &self,
        mut policy: ArchivePolicy,
    ) -> std::result::Result<ArchivePolicy, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut set =
            |name: &str, value: Option<i64>, range: std::ops::RangeInclusive<i64>, target: &mut i64| {
                if let Some(value) = value {
                    if range.contains(&value) {
                        *target = value;
                    } else {
                        let msg = format!("Expected a number from {} to {}", range.start(), range.end());
                        problems.push(Problem::new(&["body", name], msg));
                    }
                }
            };
        set("retention_days", self.retention_days, 1..=365, &mut policy.retention_days);
        set("downsample_after_days", self.downsample_after_days, 0..=365, &mut policy.downsample_after_days);
        // A year in minutes: to have none, switch clean-up off.
        let minutes = 1..=525_600;
        set(
            "cleanup_interval_minutes",
            self.cleanup_interval_minutes,
            minutes,
            &mut policy.cleanup_interval_minutes,
        );
        if policy.downsample_after_days > policy.retention_days && problems.is_empty() {
            let msg = "downsample_after_days must not exceed retention_days";
            problems.push(Problem::new(&["body", "downsample_after_days"], msg));
        }
        match self.downsample_interval.as_deref().map(DownsampleInterval::parse) {
            None => {}
            Some(Some(interval)) => policy.downsample_interval = interval,
            Some(None) => {
                problems.push(Problem::new(&["body", "downsample_interval"], "Expected 5s, 1m, 5m or 1h"));
            }
        }
        policy.archive_enabled = self.archive_enabled.unwrap_or(policy.archive_enabled);
        policy.cleanup_enabled = self.cleanup_enabled.unwrap_or(policy.cleanup_enabled);
        if problems.is_empty() { Ok(policy) } else { Err(problems) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.retention_days.is_none()
            && self.archive_enabled.is_none()
            && self.downsample_after_days.is_none()
            && self.downsample_interval.is_none()
            && self.cleanup_enabled.is_none()
            && self.cleanup_interval_minutes.is_none()
    }
}

/// The retention policy
#[utoipa::path(get, path = "/api/retention", tag = "retention", responses((status = 200, body = Policy), Guarded))]
async fn policy(_: CurrentUser, State(state): State<AppState>) -> Result<Json<Policy>> {
    Ok(Json(state.store.archive_policy().await?.into()))
}

/// Change any part of the retention policy
#[utoipa::path(put, path = "/api/retention", tag = "retention", request_body = PolicyChange, responses(
    (status = 200, body = Policy),
    Guarded, WithBody,
))]
async fn change_policy(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(change): Body<PolicyChange>,
) -> Result<Json<Policy>> {
    let _turn = state.changing().await;
    let policy = change.apply(state.store.archive_policy().await?).map_err(Error::Invalid)?;
    state.store.set_archive_policy(&policy).await?;
    state.auth.audit(&identity.user.username, address, audit::RETENTION_CHANGED, &told(&change)).await;
    Ok(Json(state.store.archive_policy().await?.into()))
}

#[derive(Serialize, ToSchema)]
struct CleanupResult {
    /// Rows deleted because they were past the retention.
    deleted_count: u64,
    /// Raw rows replaced by rollups.
    downsampled_count: u64,
    #[schema(format = DateTime)]
    last_archive_run: String,
}

/// Apply the retention policy now
#[utoipa::path(post, path = "/api/retention/cleanup", tag = "retention", responses(
    (status = 200, body = CleanupResult),
    Guarded,
))]
async fn cleanup(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
) -> Result<Json<CleanupResult>> {
    let _turn = state.changing().await;
    // As exactly as it will be remembered.
    let now = OffsetDateTime::now_utc().truncate_to_microsecond();
    let done = maintenance::clean(&state.history, state.store.as_ref(), now, maintenance::Reach::All).await?;
    let detail = format!("deleted {}, downsampled {}", done.deleted_count, done.downsampled_count);
    state.auth.audit(&identity.user.username, address, audit::CLEANUP, &detail).await;
    Ok(Json(CleanupResult {
        deleted_count: done.deleted_count,
        downsampled_count: done.downsampled_count,
        last_archive_run: rfc3339(done.last_archive_run),
    }))
}

#[derive(Serialize, ToSchema)]
struct PolicyAndSize {
    #[serde(flatten)]
    policy: Policy,
    /// Size on disk, including indexes and rollups; 1 MB is 1,000,000 bytes.
    current_data_size_mb: f64,
    #[schema(format = DateTime)]
    oldest_record: Option<String>,
    #[schema(format = DateTime)]
    newest_record: Option<String>,
    /// What each resolution takes; those of which there is not enough yet are left out.
    growth: Vec<GrowthDto>,
}

#[derive(Serialize, ToSchema)]
struct GrowthDto {
    /// Seconds per point; 0 for the snapshots themselves.
    #[schema(example = 60)]
    interval_seconds: i64,
    /// As it was written lately, without what the database needs besides.
    bytes_per_day: u64,
}

/// The retention policy and what is stored
#[utoipa::path(get, path = "/api/config/retention", tag = "config", responses((status = 200, body = PolicyAndSize), Guarded))]
async fn policy_and_size(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
) -> Result<Json<PolicyAndSize>> {
    let (extent, growth) = match state.sees_this(&identity).await? {
        true => {
            let growth = growth::growth(&state.history, OffsetDateTime::now_utc()).await?;
            (state.history.extent().await?, growth)
        }
        false => (Extent::default(), Vec::new()),
    };
    let told = |of: &growth::Growth| GrowthDto {
        interval_seconds: of.tier.seconds(),
        bytes_per_day: of.bytes_per_day as u64,
    };
    Ok(Json(PolicyAndSize {
        policy: state.store.archive_policy().await?.into(),
        current_data_size_mb: crate::snapshot::derive::round(extent.bytes as f64 / 1e6, 3),
        oldest_record: extent.oldest.map(rfc3339),
        newest_record: extent.newest.map(rfc3339),
        growth: growth.iter().map(told).collect(),
    }))
}
