//! `/api/fleet/series` and `/api/fleet/changes`: one field on many hosts, and on which hosts what changed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::{ChangeDto, RangeDto, change, range};
use super::compare::{Chosen, RangesParameters, choose};
use super::{check_order, interval};
use crate::alerts::fields;
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use crate::api::extract::CurrentUser;
use crate::api::parameters::{Parameters, Reader};
use crate::api::profiles::moved::{MovedFunction, moved};
use crate::auth::Identity;
use crate::config::labels::Selector;
use crate::history::questions::across::{Across, Combine, Course, Wanted, across};
use crate::history::questions::changes::changes;
use crate::history::questions::compare::Range;
use crate::host::Host;
use crate::snapshot::rfc3339;
use crate::store::from_micros;

const DEFAULT_TOP: usize = 10;
const MAX_TOP: usize = 50;
const DEFAULT_QUANTILE: f64 = 0.99;
/// Changes of each host.
const CHANGES: usize = 30;
/// Hosts that one answer compares at most, and for how long it goes on beginning another.
const MAX_COMPARED: usize = 100;
const COMPARING: Duration = Duration::from_secs(3);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(series)).routes(routes!(what_changed_where))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HostsParameters {
    /// Only these hosts: IDs or names, separated by commas; all by default
    #[param(required = false, value_type = String)]
    hosts: Option<String>,
    /// Only hosts with all of these labels: `role=web,site=fra`
    #[param(required = false, value_type = String, example = "role=web")]
    labels: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SeriesParameters {
    /// Metric type and path, without labels
    #[param(required = true, value_type = String, example = "disk.partitions.usage_percent")]
    field: Option<String>,
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// `1s 5s 10s 30s 1m 5m 15m 1h 6h 1d`, or `auto`
    #[param(required = false, value_type = String, pattern = "^(auto|1s|5s|10s|30s|1m|5m|15m|1h|6h|1d)$", default = "auto")]
    interval: Option<String>,
    /// Hosts to show one by one: those with the largest average
    #[param(required = false, value_type = usize, minimum = 1, maximum = 50, default = 10)]
    limit: Option<String>,
    /// Only things with these labels: `mountpoint=/,device=/dev/sda1`
    #[param(required = false, value_type = String, example = "mountpoint=/")]
    only: Option<String>,
    /// How the things of a host become one number: `sum`, `average` or `max`; by default `max` for percentages, otherwise
    /// `sum`. Histograms are merged
    #[param(required = false, value_type = String, pattern = "^(sum|average|max)$")]
    combine: Option<String>,
    /// Of a histogram
    #[param(required = false, value_type = f64, minimum = 0, maximum = 1, default = 0.99)]
    quantile: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct SeriesOfHosts {
    #[schema(example = "disk.partitions.usage_percent")]
    field: String,
    unit: &'static str,
    #[schema(pattern = "^(sum|average|max)$", example = "max")]
    combine: &'static str,
    #[schema(example = "1m")]
    interval: &'static str,
    /// Start of each bucket.
    times: Vec<String>,
    /// The hosts with the largest average, the largest first.
    hosts: Vec<CourseDto>,
    rest: BandDto,
    /// Number of hosts without a value in the range.
    without_data: usize,
}

#[derive(Serialize, ToSchema)]
struct CourseDto {
    id: String,
    name: String,
    average: f64,
    max: f64,
    /// One for each time; `null` without a value.
    values: Vec<Option<f64>>,
}

/// The hosts that are not shown one by one.
#[derive(Serialize, ToSchema)]
struct BandDto {
    /// How many they are.
    hosts: usize,
    /// Least value of any of them, for each time.
    min: Vec<Option<f64>>,
    average: Vec<Option<f64>>,
    max: Vec<Option<f64>>,
}

/// One field on many hosts: the largest one by one, the others as a band
#[utoipa::path(get, path = "/api/fleet/series", tag = "fleet", params(SeriesParameters, HostsParameters), responses(
    (status = 200, body = SeriesOfHosts),
    (status = 400, description = "An unknown field, label or host, or an empty range", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn series(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<SeriesParameters>,
    Parameters(chosen): Parameters<HostsParameters>,
) -> Result<Json<SeriesOfHosts>> {
    let mut reader = Reader::default();
    let field = reader.required("field", sent.field.as_deref()).unwrap_or_default();
    let start = reader.required_moment("start_time", sent.start_time.as_deref());
    let end = reader.required_moment("end_time", sent.end_time.as_deref());
    let top = reader.limit(sent.limit.as_deref(), DEFAULT_TOP, MAX_TOP);
    let combine = sent.combine.as_deref().map(|name| {
        let known = Combine::ALL.into_iter().find(|combine| combine.as_str() == name);
        known.unwrap_or_else(|| {
            reader.problem("combine", "Expected sum, average or max");
            Combine::Max
        })
    });
    let quantile = sent.quantile.as_deref().map_or(DEFAULT_QUANTILE, |text| {
        let quantile = text.parse().ok().filter(|quantile| (0.0..=1.0).contains(quantile));
        quantile.unwrap_or_else(|| {
            reader.problem("quantile", "Expected a number from 0 to 1");
            DEFAULT_QUANTILE
        })
    });
    reader.finish()?;
    let (Some(start), Some(end)) = (start, end) else {
        // What is missing is among the problems above.
        return Err(Error::Invalid(Vec::new()));
    };
    check_order(start, end)?;
    let interval = interval(sent.interval.as_deref(), start, end)?;
    let named = fields::find(field).map_err(Error::BadRequest)?;
    let unit = named.place.field.unit;
    let wanted = Wanted {
        metric_type: named.metric_type,
        place: named.place,
        column: named.column,
        only: only(sent.only.as_deref().unwrap_or_default(), named)?,
        combine: combine.unwrap_or_else(|| Combine::usual(unit)),
        quantile,
    };
    let question = state.ask(&identity)?;
    let hosts = chosen_hosts(&state, &identity, &chosen).await?;
    let histories = hosts.iter().map(|host| state.history.of_host(&host.id)).collect();
    let combine = wanted.combine;
    let found = question
        .work(async move { Ok(across(histories, &wanted, Range { start, end }, interval, top).await?) });
    let Across { at, top, rest, without } = found.await?;
    let names: HashMap<String, String> = hosts.into_iter().map(|host| (host.id, host.name)).collect();
    let of_host = |course: Course| CourseDto {
        name: names.get(&course.host).cloned().unwrap_or_default(),
        id: course.host,
        average: course.average,
        max: course.max,
        values: course.values,
    };
    Ok(Json(SeriesOfHosts {
        field: named.name.clone(),
        unit,
        combine: combine.as_str(),
        interval: interval.as_str(),
        times: at.into_iter().map(|at| rfc3339(from_micros(at))).collect(),
        hosts: top.into_iter().map(of_host).collect(),
        rest: BandDto { hosts: rest.hosts, min: rest.min, average: rest.average, max: rest.max },
        without_data: without,
    }))
}

/// `label=value` pairs, as positions in a key.
fn only(pairs: &str, named: &fields::Named) -> Result<Vec<(usize, String)>> {
    let pairs = pairs.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let read = pairs.map(|pair| {
        let (label, value) = pair
            .split_once('=')
            .ok_or_else(|| Error::BadRequest("only: expected LABEL=VALUE, separated by commas".into()))?;
        let at = named.labels().iter().position(|known| *known == label.trim()).ok_or_else(|| {
            let known = match named.labels() {
                [] => "it has none".to_owned(),
                known => format!("it has {}", known.join(", ")),
            };
            let shown: String = label.chars().take(40).collect();
            Error::BadRequest(format!("only: {} has no label {shown}; {known}", named.name))
        })?;
        Ok((at, value.trim().to_owned()))
    });
    read.collect()
}

/// The hosts that are named, or have the labels; otherwise all that the user may see.
async fn chosen_hosts(state: &AppState, who: &Identity, chosen: &HostsParameters) -> Result<Vec<Host>> {
    let mut hosts = state.visible_hosts(who).await?;
    if let Some(labels) = &chosen.labels {
        let wanted: Selector =
            labels.parse().map_err(|error| Error::BadRequest(format!("labels: {error}")))?;
        hosts.retain(|host| wanted.selects(&host.labels()));
    }
    let named = chosen.hosts.as_deref().unwrap_or_default().split(',').map(str::trim);
    let named: Vec<&str> = named.filter(|name| !name.is_empty()).collect();
    if named.is_empty() {
        return Ok(hosts);
    }
    for name in &named {
        if !hosts.iter().any(|host| host.is_called(name)) {
            let shown: String = name.chars().take(64).collect();
            return Err(Error::BadRequest(format!("No history of this host: {shown}")));
        }
    }
    hosts.retain(|host| named.iter().any(|name| host.is_called(name)));
    Ok(hosts)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ContinueParameters {
    /// Continue after this host: `next` of the answer before
    #[param(required = false, value_type = String, max_length = 64)]
    after: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ChangesOfHosts {
    #[schema(example = "hour")]
    period: String,
    #[schema(example = "yesterday")]
    compare_to: String,
    current: RangeDto,
    comparison: RangeDto,
    /// By field, those first that changed most on most hosts.
    fields: Vec<FieldOfHosts>,
    /// Functions whose share of the CPU time changed.
    functions: Vec<FunctionOfHosts>,
    /// Number of hosts that this answer is about.
    compared: usize,
    /// Of them, those without history in one of the ranges.
    without_data: usize,
    /// Number of all hosts that were asked for.
    hosts: usize,
    /// The value of `after` that continues with the other hosts; `null` at the end.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct FieldOfHosts {
    metric_type: &'static str,
    field: String,
    /// The sum over the hosts.
    score: f64,
    /// The largest change first.
    hosts: Vec<ChangeOfHost>,
}

#[derive(Serialize, ToSchema)]
struct ChangeOfHost {
    id: String,
    name: String,
    change: ChangeDto,
}

#[derive(Serialize, ToSchema)]
struct FunctionOfHosts {
    name: String,
    module: String,
    hosts: Vec<FunctionOfHost>,
}

#[derive(Serialize, ToSchema)]
struct FunctionOfHost {
    id: String,
    name: String,
    function: MovedFunction,
}

/// What changed between two ranges, and on which hosts; a part of the hosts at a time
#[utoipa::path(get, path = "/api/fleet/changes", tag = "fleet", params(RangesParameters, HostsParameters, ContinueParameters), responses(
    (status = 200, body = ChangesOfHosts),
    (status = 400, description = "An unknown host, or ranges that don't fit", body = ErrorBody),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn what_changed_where(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(ranges): Parameters<RangesParameters>,
    Parameters(named): Parameters<HostsParameters>,
    Parameters(sent): Parameters<ContinueParameters>,
) -> Result<Json<ChangesOfHosts>> {
    let mut reader = Reader::default();
    let chosen = choose(&ranges, &mut reader, OffsetDateTime::now_utc());
    reader.finish()?;
    let Chosen { period, compare_to, current, comparison } = chosen?;
    let question = state.ask(&identity)?;
    let mut hosts = chosen_hosts(&state, &identity, &named).await?;
    hosts.sort_by(|a, b| a.id.cmp(&b.id));
    let other = match ranges.other(None) {
        Some(other) => Some(state.history_of(&identity, Some(other)).await?),
        None => None,
    };
    let all = hosts.len();
    hosts.retain(|host| sent.after.as_ref().is_none_or(|after| host.id > *after));
    let (history, profiles) = (state.history.clone(), state.profiles.clone());
    let looked = async move {
        let since = Instant::now();
        let mut found = Found::default();
        let mut left = hosts.into_iter().peekable();
        while found.compared < MAX_COMPARED
            && (found.compared == 0 || since.elapsed() < COMPARING)
            && let Some(host) = left.next()
        {
            let here = history.of_host(&host.id);
            let then = other.as_ref().unwrap_or(&here);
            let [now, before] = [&here, then].map(|of| profiles.of_host(of.host()));
            let functions = moved([(&now, current), (&before, comparison)]).await?;
            let of_host = changes([(&here, current), (then, comparison)], CHANGES).await?;
            found.compared += 1;
            found.current_has_data |= of_host.current_has_data;
            found.comparison_has_data |= of_host.comparison_has_data;
            if !(of_host.current_has_data && of_host.comparison_has_data) {
                found.without_data += 1;
            }
            found.add(&host, of_host.changes.into_iter().map(change), functions);
            found.last = Some(host.id);
        }
        found.next = left.peek().and(found.last.take());
        Ok(found)
    };
    let mut found = question.work(looked).await?;
    let (fields, functions) = (found.fields(), found.functions);
    Ok(Json(ChangesOfHosts {
        period,
        compare_to,
        current: range(current, found.current_has_data),
        comparison: range(comparison, found.comparison_has_data),
        fields,
        functions,
        compared: found.compared,
        without_data: found.without_data,
        hosts: all,
        next: found.next,
    }))
}

/// What was found on the hosts so far.
#[derive(Default)]
struct Found {
    fields: HashMap<(&'static str, String), Vec<ChangeOfHost>>,
    functions: Vec<FunctionOfHosts>,
    compared: usize,
    without_data: usize,
    current_has_data: bool,
    comparison_has_data: bool,
    last: Option<String>,
    next: Option<String>,
}

impl Found {
    fn add(&mut self, host: &Host, changes: impl Iterator<Item = ChangeDto>, functions: Vec<MovedFunction>) {
        let (id, name) = (&host.id, &host.name);
        for change in changes {
            let of_field = self.fields.entry((change.metric_type, change.field.clone())).or_default();
            of_field.push(ChangeOfHost { id: id.clone(), name: name.clone(), change });
        }
        for function in functions {
            let known = self
                .functions
                .iter()
                .position(|known| (&known.name, &known.module) == (&function.name, &function.module));
            let at = known.unwrap_or_else(|| {
                let (name, module) = (function.name.clone(), function.module.clone());
                self.functions.push(FunctionOfHosts { name, module, hosts: Vec::new() });
                self.functions.len() - 1
            });
            let of_host = FunctionOfHost { id: id.clone(), name: name.clone(), function };
            self.functions[at].hosts.push(of_host);
        }
    }

    /// In their order.
    fn fields(&mut self) -> Vec<FieldOfHosts> {
        let fields = std::mem::take(&mut self.fields).into_iter();
        let mut fields: Vec<FieldOfHosts> = fields
            .map(|((metric_type, field), mut hosts)| {
                hosts.sort_by(|a, b| b.change.score.total_cmp(&a.change.score));
                let score = hosts.iter().map(|of| of.change.score).sum();
                FieldOfHosts { metric_type, field, score, hosts }
            })
            .collect();
        fields.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.field.cmp(&b.field)));
        self.functions.sort_by_key(|function| std::cmp::Reverse(function.hosts.len()));
        fields
    }
}
