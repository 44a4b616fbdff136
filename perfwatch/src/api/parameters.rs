//! Query parameters: taken as text, read by hand, every problem reported at once.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use utoipa::IntoParams;

use super::error::{Error, Problem, Result};
use super::moment;
use crate::snapshot::MetricType;

/// The query string as a struct of optional texts.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        // With only optional texts to read, the one thing left to go wrong is a name that comes twice.
        let query = Query::try_from_uri(&parts.uri).map_err(|_| {
            Error::Invalid(vec![Problem::new(&["query"], "Each parameter may be given only once")])
        })?;
        Ok(Self(query.0))
    }
}

/// Of routes that may be about another machine.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OneHost {
    /// ID or name of a machine of the fleet, on a hub; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    pub host: Option<String>,
}

/// The `{id}` of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Id {
    #[param(minimum = 1)]
    pub id: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match Path::<Self>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(id),
            Err(_) => Err(Error::Invalid(vec![Problem::new(&["path", "id"], "Expected a number")])),
        }
    }
}

/// Collects what is wrong with parameters while they are read.
#[derive(Debug, Default)]
pub(super) struct Reader(Vec<Problem>);

impl Reader {
    pub(super) fn problem(&mut self, name: &str, msg: impl Into<String>) {
        self.0.push(Problem::new(&["query", name], msg));
    }

    /// A parameter that must be there.
    pub(super) fn required<'a>(&mut self, name: &str, text: Option<&'a str>) -> Option<&'a str> {
        if text.is_none() {
            self.problem(name, "Field required");
        }
        text
    }

    pub(super) fn moment(&mut self, name: &str, text: Option<&str>) -> Option<OffsetDateTime> {
        let moment = moment::parse(text?);
        if moment.is_none() {
            self.problem(name, "Expected a time: RFC 3339, a date, or seconds since 1970");
        }
        moment
    }

    pub(super) fn required_moment(&mut self, name: &str, text: Option<&str>) -> Option<OffsetDateTime> {
        let text = self.required(name, text);
        self.moment(name, text)
    }

    pub(super) fn limit(&mut self, text: Option<&str>, default: usize, most: usize) -> usize {
        let Some(text) = text else { return default };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => limit,
            _ => {
                self.problem("limit", format!("Expected a number from 1 to {most}"));
                default
            }
        }
    }

    /// All values if nothing was wrong.
    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

pub(super) fn metric_type(name: &str) -> Result<MetricType> {
    MetricType::parse(name).ok_or_else(|| {
        Error::BadRequest(format!("Invalid metric_type. Must be one of: {}", metric_types().join(", ")))
    })
}

/// Every type's name, sorted.
pub(super) fn metric_types() -> Vec<&'static str> {
    let mut names: Vec<_> = MetricType::ALL.into_iter().map(MetricType::as_str).collect();
    names.sort_unstable();
    names
}
