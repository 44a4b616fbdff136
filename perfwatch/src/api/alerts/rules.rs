//! `/api/alerts/rules`: stock rules, those of files, and those made here.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::files::{Format, export};
use super::shown::Shown;
use super::{AlertStatus, Name, locked};
use crate::alerts::answer::Overall;
use crate::alerts::catalogue::{Listed, MAX_STORED, Origin};
use crate::alerts::compile::Compiled;
use crate::alerts::machine::Status;
use crate::alerts::period::Period;
use crate::alerts::rule::Rule;
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Problem, Result, ValidationBody, WithBody};
use crate::api::extract::{Administrator, Body, ClientAddress, CurrentUser, told};
use crate::api::message::Message;
use crate::api::parameters::Parameters;
use crate::auth::audit;
use crate::snapshot::rfc3339;
use crate::store::alerts::StoredRule;
use crate::store::{from_micros, micros};

/// How often rules fired is counted over this.
const COUNTED: Duration = Duration::days(30);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(rules)).routes(routes!(put_rule, delete_rule))
}

/// A rule, where it comes from, and its state.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedAlertRule)]
struct RuleDto {
    #[serde(flatten)]
    rule: Rule,
    /// `stock`, `file` (locked here) or `api`.
    #[schema(example = "stock")]
    origin: &'static str,
    /// Of a file: its path and line.
    place: Option<String>,
    /// Of a rule made here.
    updated_by: Option<String>,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
    /// Whether it takes the place of a stock rule, which returns when this one is deleted.
    replaces_stock: bool,
    /// `null` if it is switched off or cannot be used.
    #[schema(value_type = Option<AlertStatus>)]
    state: Option<Status>,
    /// Why it has no data or is not applicable.
    reason: Option<String>,
    /// Unit of its values.
    unit: &'static str,
    /// Things it watches; the rest of them is not watched if `is_cut`.
    things: usize,
    is_cut: bool,
    /// Times that it was raised in the last 30 days, and how many of them somebody acknowledged.
    raised: i64,
    acknowledged: i64,
    /// What is wrong with it.
    problems: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct AlertRules {
    /// By name.
    rules: Vec<RuleDto>,
    /// What is wrong with files of rules, one line each.
    problems: Vec<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RulesParameters {
    /// `json`; `toml` for those made here, as a file of rules; `prometheus` for what can be said as rules of Prometheus
    #[param(required = false, value_type = String, example = "json")]
    format: Option<String>,
    /// States and counts of this machine only, by ID or name; default: of all that this hub evaluates
    #[param(required = false, value_type = String, example = "web1")]
    host: Option<String>,
}

/// All rules, with their states
#[utoipa::path(get, path = "/api/alerts/rules", tag = "alerts", params(RulesParameters), responses(
    (status = 200, content((AlertRules = "application/json"), (String = "application/toml"), (String = "application/yaml"))),
    (status = 400, description = "There is no such host", body = ErrorBody),
    (status = 422, description = "There is no such format", body = ValidationBody),
    Guarded,
))]
async fn rules(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<RulesParameters>,
) -> Result<Response> {
    let catalogue = state.alerts.catalogue();
    match sent.format.as_deref() {
        None | Some("json") => {}
        Some("toml") => return export(&catalogue, Format::Toml),
        Some("prometheus") => return export(&catalogue, Format::Prometheus),
        Some(_) => {
            let msg = "Expected json, toml or prometheus";
            return Err(Error::Invalid(vec![Problem::new(&["query", "format"], msg)]));
        }
    }
    let shown = Shown::of(&state, &identity, sent.host.as_deref()).await?;
    let mut overall = state.alerts.overall(|host| shown.has(host));
    let since = micros(OffsetDateTime::now_utc() - COUNTED);
    let counts = state.store.episode_counts(&shown.ids(), since).await?;
    let rules = catalogue.rules.iter().map(|listed| {
        let count = counts.iter().find(|(rule, ..)| *rule == listed.rule.name);
        let (raised, acknowledged) =
            count.map_or((0, 0), |(_, raised, acknowledged)| (*raised, *acknowledged));
        RuleDto { raised, acknowledged, ..dto(listed, overall.remove(&listed.rule.name)) }
    });
    Ok(Json(AlertRules { rules: rules.collect(), problems: catalogue.problems.clone() }).into_response())
}

fn dto(listed: &Listed, overall: Option<Overall>) -> RuleDto {
    let (origin, place, by) = match &listed.origin {
        Origin::Stock => ("stock", None, None),
        Origin::File(path, line) => ("file", Some(format!("{}:{line}", path.display())), None),
        Origin::Stored(by, at) => ("api", None, Some((by.clone(), rfc3339(from_micros(*at))))),
    };
    let (updated_by, updated_at) = by.unzip();
    let problems = listed.compiled.as_ref().err().into_iter().flatten();
    RuleDto {
        rule: Rule { off: listed.off, ..(*listed.rule).clone() },
        origin,
        place,
        updated_by,
        updated_at,
        replaces_stock: listed.is_of_stock && listed.origin != Origin::Stock,
        state: overall.as_ref().map(|overall| overall.status),
        reason: overall.as_ref().and_then(|overall| overall.reason.as_deref().map(str::to_owned)),
        unit: listed.compiled.as_ref().map_or("", |compiled| compiled.unit),
        things: overall.as_ref().map_or(0, |overall| overall.things),
        is_cut: overall.is_some_and(|overall| overall.is_cut),
        raised: 0,
        acknowledged: 0,
        problems: problems.map(|problem| format!("{}: {}", problem.key, problem.message)).collect(),
    }
}

/// A rule from a body; `within` is where it is in that.
pub(super) fn parse(
    value: &serde_json::Value,
    within: &[&str],
    retention: Period,
) -> Result<(Rule, Compiled)> {
    let at = |key: &str| {
        let mut loc = vec!["body"];
        loc.extend(within);
        loc.extend((!key.is_empty() && key != ".").then_some(key));
        loc.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let rule: Rule = serde_path_to_error::deserialize(value).map_err(|error| {
        let msg = error.inner().to_string();
        Error::Invalid(vec![Problem { loc: at(&error.path().to_string()), msg }])
    })?;
    let compiled = Compiled::new(&rule, retention).map_err(|problems| {
        let problem =
            |problem: crate::alerts::compile::Problem| Problem { loc: at(problem.key), msg: problem.message };
        Error::Invalid(problems.into_iter().map(problem).collect())
    })?;
    Ok((rule, compiled))
}

/// Make or replace a rule; one with the name of a stock rule takes its place
#[utoipa::path(put, path = "/api/alerts/rules/{name}", tag = "alerts", params(Name), request_body = Rule, responses(
    (status = 200, description = "Replaced", body = RuleDto),
    (status = 201, description = "Made", body = RuleDto),
    (status = 409, description = "A file defines it, or there are too many", body = ErrorBody),
    Guarded, WithBody,
))]
async fn put_rule(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Name { name }: Name,
    Body(given): Body<serde_json::Value>,
) -> Result<(StatusCode, Json<RuleDto>)> {
    let _turn = state.changing().await;
    let (rule, _) = parse(&given, &[], state.alerts.retention().await?)?;
    if rule.name != name {
        return Err(Error::Invalid(vec![Problem::new(&["body", "name"], "Expected the name in the path")]));
    }
    locked(&state, &name)?;
    let stored = state.store.alert_rules().await?;
    let is_new = !stored.iter().any(|stored| stored.name == name);
    if is_new && stored.len() >= MAX_STORED {
        return Err(Error::Conflict(format!("There are {MAX_STORED} rules already; delete some first")));
    }
    let user = &identity.user.username;
    let stored = StoredRule {
        name: name.clone(),
        definition: serde_json::to_string(&rule).map_err(|error| Error::Internal(error.to_string()))?,
        updated_by: user.clone(),
        updated_at: micros(OffsetDateTime::now_utc()),
    };
    state.store.put_alert_rules(std::slice::from_ref(&stored)).await?;
    state.alerts.reload().await?;
    state.auth.audit(user, address, audit::ALERT_RULE_CHANGED, &told(&rule)).await;
    let catalogue = state.alerts.catalogue();
    let listed = catalogue.find(&name).ok_or(Error::NotFound)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(dto(listed, None))))
}

/// Delete a rule made here; what it raised is cleared
#[utoipa::path(delete, path = "/api/alerts/rules/{name}", tag = "alerts", params(Name), responses(
    (status = 200, body = Message),
    (status = 404, description = "There is no such rule", body = ErrorBody),
    (status = 409, description = "It is a stock rule or defined in a file", body = ErrorBody),
    (status = 422, description = "It is no name", body = ValidationBody),
    Guarded,
))]
async fn delete_rule(
    Administrator(identity): Administrator,
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Name { name }: Name,
) -> Result<Json<Message>> {
    let _turn = state.changing().await;
    locked(&state, &name)?;
    if !state.store.delete_alert_rule(&name).await? {
        return Err(match state.alerts.catalogue().find(&name) {
            Some(_) => Error::Conflict("Stock rules cannot be deleted; switch it off with off = true".into()),
            None => Error::NotFound,
        });
    }
    state.alerts.reload().await?;
    state.auth.audit(&identity.user.username, address, audit::ALERT_RULE_DELETED, &name).await;
    Ok(Json(Message { message: "Rule deleted" }))
}
