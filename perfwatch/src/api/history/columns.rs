//! `/api/history/columns`: fields of several metric types over a range, as charts draw them.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pieces::streamed_at_once;
use super::{DataPoint, Range, SentRange, names};
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Queued, Result, ValidationBody};
use crate::api::extract::CurrentUser;
use crate::api::parameters::{Parameters, Reader, metric_type};
use crate::history::History;
use crate::history::questions::columns::{Columns, Numbers, columns};
use crate::history::questions::points::Points;
use crate::history::questions::{Interval, Stats};
use crate::snapshot::MetricType;
use crate::snapshot::json::{write_average, write_number, write_string};

/// Types that are read at the same time.
const AT_ONCE: usize = 4;

/// What is told of the whole range.
const WHOLE_STATS: Stats = Stats { min: false, max: true, count: true };

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(of_fields))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ColumnsParameters {
    /// Metric types and paths: `cpu.usage_percent,disk.devices.vda.read_iops`; entries of lists and maps may be left out.
    /// This, `averages` or `whole` is needed
    #[param(required = false, value_type = String, example = "cpu.usage_percent,memory.usage_percent")]
    fields: Option<String>,
    /// Further fields, without what `stats` adds
    #[param(required = false, value_type = String, example = "cpu.per_core")]
    averages: Option<String>,
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; inclusive
    #[param(required = true, value_type = String, min_length = 4, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// `1s 5s 10s 30s 1m 5m 15m 1h 6h 1d`, `auto`, which fits the range, or `range`: the whole range as one point
    #[param(required = false, value_type = String, pattern = "^(auto|range|1s|5s|10s|30s|1m|5m|15m|1h|6h|1d)$", example = "auto", default = "auto")]
    interval: Option<String>,
    /// Maximum number of points
    #[param(required = false, value_type = usize, minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<String>,
    /// Any of `min`, `max` and `count`, in addition to averages
    #[param(required = false, value_type = String, pattern = "^(min|max|count)(,(min|max|count))*$", example = "min,max,count")]
    stats: Option<String>,
    /// Metric types, or fields of them, of which the whole range is added as one point
    #[param(required = false, value_type = String, example = "memory,cpu.usage_percent")]
    whole: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

/// A line of the answer: the columns of one metric type, each with a value for each of the times.
#[derive(Serialize, ToSchema)]
struct ColumnsOfType {
    #[schema(example = "cpu")]
    metric_type: &'static str,
    #[schema(example = "5m")]
    interval: &'static str,
    /// Starts of the points, ms since 1970.
    times: Vec<i64>,
    /// Snapshots in each; with `stats=count`.
    #[schema(required = false, nullable = false)]
    count: Option<Vec<u64>>,
    /// By path, such as `per_core.0`; `null` where a point lacks it.
    average: HashMap<String, Vec<Option<f64>>>,
    /// With `stats=min`, unless every point is one snapshot.
    #[schema(required = false, nullable = false)]
    min: Option<HashMap<String, Vec<Option<f64>>>>,
    /// With `stats=max`, unless every point is one snapshot.
    #[schema(required = false, nullable = false)]
    max: Option<HashMap<String, Vec<Option<f64>>>>,
    /// By path, with four buckets for each power of two: `[n, count, n, count, …]`, where `n` is the buckets `4n` to
    /// `4n + 3` of `log16`; `null` where a point lacks it.
    histograms: HashMap<String, Vec<Option<Vec<u64>>>>,
    /// Whether there were more points than `limit`, or than fit into a million values.
    truncated: bool,
    /// The whole range as one point, if it was asked for and has data.
    #[schema(required = false, nullable = false)]
    whole: Option<DataPoint>,
}

/// Fields of several metric types over a range, a line of JSON for each type
#[utoipa::path(get, path = "/api/history/columns", tag = "history", params(ColumnsParameters), responses(
    (status = 200, body = ColumnsOfType, content_type = "application/x-ndjson"),
    (status = 400, description = "Unknown metric type or interval, or an empty range", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn of_fields(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<ColumnsParameters>,
) -> Result<Response> {
    let mut reader = Reader::default();
    let [fields, averages] = [&sent.fields, &sent.averages].map(Option::as_deref);
    if averages.is_none() && sent.whole.is_none() {
        reader.required("fields", fields);
    }
    let range = SentRange {
        start_time: sent.start_time.as_deref(),
        end_time: sent.end_time.as_deref(),
        interval: sent.interval.as_deref(),
        limit: sent.limit.as_deref(),
        stats: sent.stats.as_deref(),
    };
    let range = range.read(reader)?;
    let wanted = wanted(&names(fields), &names(averages), &names(sent.whole.as_deref()))?;
    let question = state.ask(&identity)?;
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let lines = wanted.into_iter().map(move |of_type| line(history.clone(), range, of_type));
    streamed_at_once(question, lines, AT_ONCE, "application/x-ndjson").await
}

/// What is asked for of one type.
struct OfType {
    metric_type: MetricType,
    /// None if only the whole range is wanted.
    fields: Vec<String>,
    /// Those of them that are wanted with extremes.
    with_extremes: Vec<String>,
    /// Those of which the whole range is wanted as one point; none is all of the type.
    whole: Option<Vec<String>>,
}

/// Types in the order in which they are named first.
fn wanted(fields: &[String], averages: &[String], whole: &[String]) -> Result<Vec<OfType>> {
    let mut wanted: Vec<OfType> = Vec::new();
    let fields = fields.iter().map(|field| (field, "fields"));
    for (field, parameter) in fields.chain(averages.iter().map(|field| (field, "averages"))) {
        let (of, path) = field.split_once('.').unwrap_or((field, ""));
        let metric_type = metric_type(of)?;
        if path.is_empty() {
            let problem =
                format!("{parameter}: expected a path after the metric type, such as {of}.usage_percent");
            return Err(Error::BadRequest(problem));
        }
        let of_type = entry(&mut wanted, metric_type);
        of_type.fields.push(path.to_owned());
        if parameter == "fields" {
            of_type.with_extremes.push(path.to_owned());
        }
    }
    for name in whole {
        let (of, path) = name.split_once('.').unwrap_or((name, ""));
        let whole = &mut entry(&mut wanted, metric_type(of)?).whole;
        match whole {
            _ if path.is_empty() => *whole = Some(Vec::new()),
            None => *whole = Some(vec![path.to_owned()]),
            Some(all) if all.is_empty() => {}
            Some(paths) => paths.push(path.to_owned()),
        }
    }
    Ok(wanted)
}

fn entry(wanted: &mut Vec<OfType>, metric_type: MetricType) -> &mut OfType {
    let known = wanted.iter().position(|known| known.metric_type == metric_type);
    let at = known.unwrap_or(wanted.len());
    if known.is_none() {
        let (fields, with_extremes) = (Vec::new(), Vec::new());
        wanted.push(OfType { metric_type, fields, with_extremes, whole: None });
    }
    &mut wanted[at]
}

/// The columns of one type, and the whole range as one point.
async fn line(history: History, range: Range, of_type: OfType) -> Result<Bytes> {
    let OfType { metric_type, fields, with_extremes, whole } = of_type;
    let found = match &fields[..] {
        [] => Columns::default(),
        _ => columns(&history, range.of(metric_type, &fields), &with_extremes).await?,
    };
    let mut line = Vec::new();
    write(&found, metric_type, range, &mut line);
    if let Some(paths) = whole {
        let whole = Range { interval: Interval::WHOLE, stats: WHOLE_STATS, ..range };
        let point = Points::open(&history, whole.of(metric_type, &paths)).await?.next().await?;
        if let Some(point) = point {
            line.extend_from_slice(br#","whole":"#);
            line.extend_from_slice(&point.json);
        }
    }
    line.extend_from_slice(b"}\n");
    Ok(line.into())
}

/// All but the last brace.
fn write(found: &Columns, of: MetricType, range: Range, out: &mut Vec<u8>) {
    let Columns { times, counts, numbers, histograms, truncated } = found;
    let head =
        format!(r#"{{"metric_type":"{}","interval":"{}","times":"#, of.as_str(), range.interval.as_str());
    out.extend_from_slice(head.as_bytes());
    write_list(times, out, |at, out| write_number((at / 1000) as f64, out));
    if range.stats.count {
        out.extend_from_slice(br#","count":"#);
        write_list(counts, out, |count, out| write_number(*count as f64, out));
    }
    let has_extremes = counts.iter().any(|count| *count > 1);
    let mut write_numbers = |name: &str, part: fn(&Numbers) -> Option<&Vec<f64>>| {
        let columns = numbers.iter().filter_map(|one| Some((&one.name, part(one)?)));
        write_map(name, columns, out, |value, out| {
            if value.is_nan() { out.extend_from_slice(b"null") } else { write_average(short(*value), out) }
        });
    };
    write_numbers("average", |numbers| Some(&numbers.average));
    if range.stats.min && has_extremes {
        write_numbers("min", |numbers| Some(&numbers.extremes.as_ref()?.min));
    }
    if range.stats.max && has_extremes {
        write_numbers("max", |numbers| Some(&numbers.extremes.as_ref()?.max));
    }
    write_map(
        "histograms",
        histograms.iter().map(|one| (&one.name, &one.each)),
        out,
        |value, out| match value {
            Some(histogram) => {
                let counts: Vec<u64> =
                    histogram.quarters().flat_map(|(n, count)| [n.into(), count]).collect();
                write_list(&counts, out, |n, out| write_number(*n as f64, out));
            }
            None => out.extend_from_slice(b"null"),
        },
    );
    out.extend_from_slice(format!(r#","truncated":{truncated}"#).as_bytes());
}

/// A number with the digits that a chart can show: six, or all of its whole part.
fn short(n: f64) -> f64 {
    let power = match n.abs() {
        // Digits after the point are all that it has.
        ..0.1 => return n,
        ..1.0 => 1e6,
        ..1e1 => 1e5,
        ..1e2 => 1e4,
        ..1e3 => 1e3,
        ..1e4 => 1e2,
        ..1e5 => 1e1,
        _ => 1.0,
    };
    (n * power).round() / power
}

fn write_map<'a, T: 'a>(
    name: &str,
    columns: impl Iterator<Item = (&'a String, &'a Vec<T>)>,
    out: &mut Vec<u8>,
    each: impl Fn(&T, &mut Vec<u8>),
) {
    out.extend_from_slice(format!(r#","{name}":{{"#).as_bytes());
    for (n, (name, values)) in columns.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_list(values, out, &each);
    }
    out.push(b'}');
}

fn write_list<T>(values: &[T], out: &mut Vec<u8>, each: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        each(value, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_digits_or_a_whole_part() {
        let written = |n: f64| {
            let mut out = Vec::new();
            write_average(short(n), &mut out);
            String::from_utf8(out).unwrap()
        };
        let numbers = [
            0.0,
            0.000_123_456_7,
            0.987_654_321,
            12.345_678_9,
            -99_999.96,
            1_767_312_000.0,
            15_983_476_736.53,
        ];
        let expected = ["0", "0.0001234567", "0.987654", "12.3457", "-100000", "1767312000", "15983476737"];
        assert_eq!(numbers.map(written), expected);
    }
}
