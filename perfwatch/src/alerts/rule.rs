//! What a rule says, in files (TOML) and over the API (JSON) alike.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, OneOf, Schema, Type};

use super::period::Period;

/// An alert rule. Fields and functions: docs/alerts.md.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertRule)]
pub struct Rule {
    /// Unique: lower-case letters, digits and dashes.
    #[schema(example = "cpu-pressure", pattern = "^[a-z0-9-]{1,64}$")]
    pub name: String,
    /// Switched off: neither evaluated nor told.
    #[serde(default, skip_serializing_if = "is_false")]
    pub off: bool,
    /// One line for people; `{device}` is replaced by that label, `{value}` by the value.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub summary: String,
    /// What to do about it, or a link to that.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub runbook: String,
    /// A field of the dictionary, after its metric type: `pressure.cpu.some.avg60`.
    #[schema(example = "pressure.cpu.some.avg60", max_length = 200)]
    pub field: String,
    /// Which things: a pattern for each label, with `*` and `?`, alternatives after `|`, and `!` before all of it for any others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"device": "sd*|nvme*"}))]
    pub labels: BTreeMap<String, String>,
    /// All of these things together instead of each.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sum: bool,
    /// Another field of the same thing: the value is the field as a percentage of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub of: Option<String>,
    /// For a text or a switch: 1 while it is this, otherwise 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub is: Option<String>,
    #[serde(default, skip_serializing_if = "Function::is_last")]
    pub function: Function,
    /// The time that the function covers.
    #[serde(default, skip_serializing_if = "Period::is_zero")]
    #[schema(value_type = String, example = "5m")]
    pub window: Period,
    /// For `quantile`: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quantile: Option<f64>,
    /// For `share_above`: the level to be above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub level: Option<f64>,
    /// For `forecast`: the value to be reached; 100 with `of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<f64>,
    /// Compare the window with the same time earlier: the value is the distance of the two distributions, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub against: Option<Past>,
    /// With `against`: smaller differences of the function's values, in the field's unit, are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub least: Option<f64>,
    /// While the field itself is not above this, all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub only_above: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub warning: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub critical: Option<Level>,
    /// How long a level must be exceeded before it is raised.
    #[serde(default, rename = "for", skip_serializing_if = "Period::is_zero")]
    #[schema(value_type = String, example = "2m")]
    pub hold: Period,
    /// How long it must be clear again before it is cleared.
    #[serde(default, skip_serializing_if = "Period::is_zero")]
    #[schema(value_type = String, example = "5m")]
    pub keep_firing_for: Period,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(value: &bool) -> bool {
    !*value
}

/// How a window becomes one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AlertFunction)]
pub enum Function {
    /// The newest value; no window.
    #[default]
    Last,
    Average,
    Min,
    Max,
    /// Growth per second.
    Rate,
    /// Percentage of the window above `level`.
    ShareAbove,
    /// Of merged histograms, or of the window's values.
    Quantile,
    /// Seconds until `line` is reached.
    Forecast,
}

impl Function {
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AlertPast)]
pub enum Past {
    Yesterday,
    LastWeek,
}

impl Past {
    pub const fn micros(self) -> i64 {
        const DAY: i64 = 86_400_000_000;
        match self {
            Self::Yesterday => DAY,
            Self::LastWeek => 7 * DAY,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yesterday => "yesterday",
            Self::LastWeek => "last week",
        }
    }
}

/// When a severity is raised and when it is cleared: `above` or `below`, not both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertLevel)]
pub struct Level {
    /// A number, or a length of time such as `24h`, which stands for its seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = threshold)]
    pub above: Option<Threshold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = threshold)]
    pub below: Option<Threshold>,
    /// Cleared on this side; the level itself if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = threshold)]
    pub clear: Option<Threshold>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold(pub f64);

fn threshold() -> RefOr<Schema> {
    let either = OneOf::builder()
        .item(Object::builder().schema_type(Type::Number))
        .item(Object::builder().schema_type(Type::String).examples(["24h"]));
    RefOr::T(Schema::OneOf(either.build()))
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Threshold;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a length of time such as \"24h\"")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Threshold, E> {
                Ok(Threshold(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Threshold, E> {
                Ok(Threshold(value as f64))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Threshold, E> {
                Ok(Threshold(value as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Threshold, E> {
                let period: Period = text.parse().map_err(E::custom)?;
                Ok(Threshold(period.as_seconds() as f64))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AlertSeverity)]
pub enum Severity {
    Warning,
    Critical,
}

impl Severity {
    /// The worse first.
    pub const ALL: [Self; 2] = [Self::Critical, Self::Warning];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }
}
