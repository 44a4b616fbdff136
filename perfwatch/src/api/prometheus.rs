//! `/metrics`: everything in the newest snapshot, and what PerfWatch itself costs, as Prometheus reads it.

mod documents;
mod exposition;
mod hosts;
mod intervals;
mod own;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::exposition::Exposition;
pub use self::intervals::Intervals;
use super::AppState;
use super::error::{Guarded, Result};
use super::extract::Scraper;

/// The text format that all versions of Prometheus read.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(scrape))
}

/// All metrics, for Prometheus
///
/// Needs an API token with the scope `metrics`, unless `PERFWATCH_METRICS_PUBLIC` is set. The token of a user who may not see
/// this machine gets an empty answer.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "metrics",
    responses((status = 200, content_type = "text/plain", body = String), Guarded)
)]
async fn scrape(scraper: Scraper, State(state): State<AppState>) -> Result<Response> {
    let mut exposition = Exposition::default();
    let kind = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    if let Scraper::User(identity) = scraper
        && !state.sees_this(&identity).await?
    {
        return Ok((kind, exposition.finish()).into_response());
    }
    if let Some(snapshot) = state.hub.latest() {
        documents::write(&snapshot, &mut exposition);
        state.intervals.write(&snapshot, &mut exposition);
    }
    own::write(&state, &mut exposition);
    if state.fleet.is_hub() {
        // What the hub itself is like matters more, and the store may be away.
        match state.history.chunks().hosts().await {
            Ok(known) => hosts::write(&state, &known, &mut exposition),
            Err(error) => tracing::debug!(%error, "the hosts of the fleet are not told to Prometheus"),
        }
    }
    Ok((kind, exposition.finish()).into_response())
}
