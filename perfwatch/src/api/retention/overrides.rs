//! `/api/retention/overrides`: hosts of a hub that keep history for another time, by their labels.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::AppState;
use crate::api::error::{Error, Guarded, Problem, Result, WithBody};
use crate::api::extract::{Administrator, Body, ClientAddress, CurrentUser, told};
use crate::auth::audit;
use crate::config::labels::Selector;
use crate::store::overrides::{self as stored, Override};

const MAX_OVERRIDES: usize = 50;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(overrides, change_overrides))
}

#[derive(Serialize, Deserialize, ToSchema)]
struct RetentionOverrides {
    /// The first that is about a host counts for it; a host that none is about keeps what the policy says.
    #[schema(max_items = 50)]
    overrides: Vec<RetentionOverride>,
}

#[derive(Serialize, Deserialize, ToSchema)]
struct RetentionOverride {
    /// Labels, all of which a host must have.
    #[schema(min_length = 3, example = "env=test")]
    hosts: String,
    #[schema(minimum = 1, maximum = 365)]
    retention_days: i64,
    /// At most `retention_days`.
    #[schema(minimum = 0, maximum = 365)]
    downsample_after_days: i64,
}

impl From<Vec<Override>> for RetentionOverrides {
    fn from(overrides: Vec<Override>) -> Self {
        let one = |Override { hosts, retention_days, downsample_after_days }| RetentionOverride {
            hosts,
            retention_days,
            downsample_after_days,
        };
        Self { overrides: overrides.into_iter().map(one).collect() }
    }
}

/// Hosts that keep history for another time than the policy says
#[utoipa::path(get, path = "/api/retention/overrides", tag = "retention", responses(
    (status = 200, body = RetentionOverrides), Guarded,
))]
async fn overrides(_: CurrentUser, State(state): State<AppState>) -> Result<Json<RetentionOverrides>> {
    Ok(Json(stored::load(&*state.store).await?.into()))
}

/// Replace all overrides
#[utoipa::path(put, path = "/api/retention/overrides", tag = "retention", request_body = RetentionOverrides, responses(
    (status = 200, body = RetentionOverrides), Guarded, WithBody,
))]
async fn change_overrides(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(new): Body<RetentionOverrides>,
) -> Result<Json<RetentionOverrides>> {
    if new.overrides.len() > MAX_OVERRIDES {
        let msg = format!("Expected at most {MAX_OVERRIDES} overrides");
        return Err(Error::Invalid(vec![Problem::new(&["body", "overrides"], msg)]));
    }
    let mut problems = Vec::new();
    let mut checked = Vec::new();
    for (n, one) in new.overrides.iter().enumerate() {
        let n = n.to_string();
        let mut problem = |name: &str, msg: String| {
            problems.push(Problem::new(&["body", "overrides", &n, name], msg));
        };
        let hosts = match one.hosts.parse::<Selector>() {
            Ok(hosts) if hosts.selects_all() => {
                problem(
                    "hosts",
                    "Expected labels such as env=test; the policy is for all other hosts".into(),
                );
                continue;
            }
            Ok(hosts) => hosts.to_string(),
            Err(error) => {
                problem("hosts", error.to_string());
                continue;
            }
        };
        if !(1..=365).contains(&one.retention_days) {
            problem("retention_days", "Expected a number from 1 to 365".into());
        } else if !(0..=one.retention_days).contains(&one.downsample_after_days) {
            problem("downsample_after_days", "Expected a number from 0 to retention_days".into());
        }
        let (retention_days, downsample_after_days) = (one.retention_days, one.downsample_after_days);
        checked.push(Override { hosts, retention_days, downsample_after_days });
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let _turn = state.changing().await;
    stored::save(&*state.store, &checked).await?;
    state.auth.audit(&identity.user.username, address, audit::RETENTION_CHANGED, &told(&new)).await;
    Ok(Json(checked.into()))
}
