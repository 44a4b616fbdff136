//! `/api/history/export`: a range as a file.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pieces::{Pieces, streamed};
use super::{MetricsParameters, query};
use crate::api::AppState;
use crate::api::error::{Error, ErrorBody, Guarded, Problem, Queued, Result, ValidationBody};
use crate::api::extract::CurrentUser;
use crate::api::parameters::Parameters;
use crate::history::questions::export::{Export, Format};
use crate::snapshot::MetricType;
use time::OffsetDateTime;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(export))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExportParameters {
    /// `csv`: a column per field; `ndjson`: a point per line, as in `/api/history/metrics`
    #[param(required = true, value_type = String, example = "csv")]
    format: Option<String>,
    #[param(required = true, value_type = String, example = "cpu")]
    metric_type: Option<String>,
    /// RFC 3339 (UTC without an offset), a date, or seconds since 1970; inclusive
    #[param(required = true, value_type = String, example = "2026-01-02T03:00:00Z")]
    start_time: Option<String>,
    /// Likewise; inclusive
    #[param(required = true, value_type = String, example = "2026-01-02T04:00:00Z")]
    end_time: Option<String>,
    /// `1s 5s 10s 30s 1m 5m 15m 1h 6h 1d`, or `auto`; coarser if finer data was removed
    #[param(required = false, value_type = String, default = "5s")]
    interval: Option<String>,
    /// Only these fields: `usage_percent,io.read_bytes`
    #[param(required = false, value_type = String)]
    fields: Option<String>,
    /// Any of `min`, `max` and `count`, in addition to averages
    #[param(required = false, value_type = String, example = "min,max,count")]
    stats: Option<String>,
    /// ID or name of a machine whose history is in this store; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

/// Any range of one metric type as a file
#[utoipa::path(get, path = "/api/history/export", tag = "history", params(ExportParameters), responses(
    (status = 200, body = String, content_type = "text/csv", description = "With `format=csv`; `application/x-ndjson` with `format=ndjson`"),
    (status = 400, description = "Unknown metric type or interval, or an empty range", body = ErrorBody),
    (status = 422, description = "A parameter is missing or invalid", body = ValidationBody),
    Guarded, Queued,
))]
async fn export(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<ExportParameters>,
) -> Result<Response> {
    let format = sent.format.as_deref().and_then(Format::parse);
    let Some(format) = format else {
        return Err(Error::Invalid(vec![Problem::new(&["query", "format"], "Expected csv or ndjson")]));
    };
    let mut query = query(&MetricsParameters {
        metric_type: sent.metric_type,
        start_time: sent.start_time,
        end_time: sent.end_time,
        interval: sent.interval.or_else(|| Some("5s".into())),
        limit: None,
        fields: sent.fields,
        stats: sent.stats,
        host: None,
    })?;
    query.limit = usize::MAX;
    let (content_type, extension) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        Format::Ndjson => ("application/x-ndjson", "ndjson"),
    };
    let name = file_name(query.metric_type, query.start, extension);
    let question = state.ask(&identity)?;
    let history = state.history_of(&identity, sent.host.as_deref()).await?;
    let open = async move { Ok(File(Export::open(&history, query, format).await?)) };
    let mut answer = streamed(question, open, content_type).await?;
    let disposition = format!("attachment; filename=\"{name}\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}

fn file_name(metric_type: MetricType, start: OffsetDateTime, extension: &str) -> String {
    format!("perfwatch-{}-{}.{extension}", metric_type.as_str(), start.date())
}

struct File(Export);

impl Pieces for File {
    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.next_piece().await?.map(Bytes::from))
    }
}
