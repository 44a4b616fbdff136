//! Rules as files: exported as TOML and for Prometheus, and imported.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::locked;
use crate::alerts::catalogue::{Catalogue, Listed, MAX_STORED, Origin};
use crate::alerts::file::File;
use crate::alerts::prometheus;
use crate::alerts::rule::Rule;
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Problem, Result, WithBody};
use crate::api::extract::{Administrator, Body, ClientAddress};
use crate::auth::audit;
use crate::store::alerts::StoredRule;
use crate::store::micros;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(import))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Those made over the API, as a file of rules.
    Toml,
    /// All that are switched on.
    Prometheus,
}

#[derive(Serialize)]
struct Document<'a> {
    rule: Vec<&'a Rule>,
}

pub(super) fn export(catalogue: &Catalogue, format: Format) -> Result<Response> {
    let (kind, text) = match format {
        Format::Toml => {
            let made = |listed: &&Listed| matches!(listed.origin, Origin::Stored(..));
            let rule: Vec<&Rule> = catalogue.rules.iter().filter(made).map(|listed| &*listed.rule).collect();
            let text = if rule.is_empty() {
                "# No rules were made over the API.\n".to_owned()
            } else {
                toml::to_string(&Document { rule }).map_err(|error| Error::Internal(error.to_string()))?
            };
            ("application/toml", text)
        }
        Format::Prometheus => {
            let on = catalogue.rules.iter().filter(|listed| !listed.off && listed.compiled.is_ok());
            ("application/yaml", prometheus::file(on.map(|listed| &*listed.rule)))
        }
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

#[derive(Deserialize, ToSchema)]
#[schema(as = AlertRuleFile)]
struct Given {
    /// A file of rules, as in `/etc/perfwatch/alerts.d`; tests in it are left out.
    #[schema(max_length = 65536)]
    toml: String,
}

#[derive(Serialize, ToSchema)]
struct ImportedAlertRules {
    /// Names of the rules, in the order of the file.
    rules: Vec<String>,
}

/// Make or replace the rules of a file: all of them, or none
#[utoipa::path(post, path = "/api/alerts/rules/import", tag = "alerts", request_body = Given, responses(
    (status = 200, body = ImportedAlertRules),
    (status = 409, description = "A file on the server defines one of them, or there are too many", body = ErrorBody),
    Guarded, WithBody,
))]
async fn import(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Body(given): Body<Given>,
) -> Result<Json<ImportedAlertRules>> {
    let invalid = |msg: String| Problem::new(&["body", "toml"], msg);
    let _turn = state.changing().await;
    let file = File::parse(Path::new("line"), &given.toml, state.alerts.retention().await?);
    let mut problems: Vec<Problem> = file.problems.iter().cloned().map(invalid).collect();
    if let Some(off) = file.off.first() {
        problems.push(invalid(format!("line:{}: off is for files on the server; leave it out", off.line)));
    }
    if problems.is_empty() && file.rules.is_empty() {
        problems.push(invalid("there are no rules in it".to_owned()));
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let stored = state.store.alert_rules().await?;
    let is_new = |name: &str| !stored.iter().any(|stored| stored.name == name);
    let added = file.rules.iter().filter(|rule| is_new(&rule.what.name)).count();
    if stored.len() + added > MAX_STORED {
        return Err(Error::Conflict(format!(
            "There would be more than {MAX_STORED} rules; delete some first"
        )));
    }
    for rule in &file.rules {
        locked(&state, &rule.what.name)?;
    }
    let user = &identity.user.username;
    let now = micros(OffsetDateTime::now_utc());
    let mut made = Vec::with_capacity(file.rules.len());
    for rule in &file.rules {
        let definition =
            serde_json::to_string(&rule.what).map_err(|error| Error::Internal(error.to_string()))?;
        made.push(StoredRule {
            name: rule.what.name.clone(),
            definition,
            updated_by: user.clone(),
            updated_at: now,
        });
    }
    state.store.put_alert_rules(&made).await?;
    state.alerts.reload().await?;
    let rules: Vec<String> = made.into_iter().map(|rule| rule.name).collect();
    state.auth.audit(user, address, audit::ALERT_RULES_IMPORTED, &rules.join(" ")).await;
    Ok(Json(ImportedAlertRules { rules }))
}
