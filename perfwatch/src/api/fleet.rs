//! `/api/fleet/overview`: every machine of the fleet and how it is, from memory.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Guarded, Result, ValidationBody};
use super::extract::CurrentUser;
use super::parameters::{Parameters, Reader};
use crate::fleet::courses::{Course, hour_start};
use crate::fleet::measures::{COUNT, Measures};
use crate::fleet::seen::Seen;
use crate::snapshot::rfc3339;
use crate::store::{from_micros, micros};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(overview))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OverviewParameters {
    /// `true` adds the last hour of each measure, by the minute
    #[param(required = false, value_type = bool, default = false)]
    courses: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct FleetOverview {
    /// When the first of the 60 minutes of each course begins; absent without courses.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    courses_from: Option<String>,
    hosts: Vec<FleetHost>,
}

#[derive(Serialize, ToSchema)]
struct FleetHost {
    id: String,
    name: String,
    /// As in `/api/hosts`.
    #[schema(example = "live")]
    state: &'static str,
    /// How far its clock is ahead of this server's, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_skew_seconds: Option<f64>,
    /// Until when there is history of it; what another hub has stored is known within a minute.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    /// When `measures` were measured.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<String>,
    /// The newest; what is not measured is absent.
    measures: Measures,
    #[serde(skip_serializing_if = "Option::is_none")]
    courses: Option<FleetCourses>,
}

/// The averages of the last 60 minutes in whole numbers, oldest first; `null` where nothing is known.
#[derive(Serialize, ToSchema)]
struct FleetCourses {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<Vec<Option<u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_percent: Option<Vec<Option<u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure_percent: Option<Vec<Option<u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_percent: Option<Vec<Option<u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem_percent: Option<Vec<Option<u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_bytes_per_sec: Option<Vec<Option<u32>>>,
}

/// How the machines of the fleet are: their states and headline measures
#[utoipa::path(get, path = "/api/fleet/overview", tag = "fleet", params(OverviewParameters), responses(
    (status = 200, body = FleetOverview),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    Guarded,
))]
async fn overview(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<OverviewParameters>,
) -> Result<Json<FleetOverview>> {
    let mut reader = Reader::default();
    let with_courses = match sent.courses.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            reader.problem("courses", "Expected true or false");
            false
        }
    };
    reader.finish()?;
    let known = state.visible_hosts(&identity).await?;
    let Seen { presence, courses, .. } = &state.fleet;
    let now = micros(OffsetDateTime::now_utc());
    let time = |at: i64| rfc3339(from_micros(at));
    let hosts = known.into_iter().map(|host| {
        let seen = courses.now(&host.id);
        FleetHost {
            state: presence.state(&host.id, seen.stored, now).as_str(),
            clock_skew_seconds: presence.skew(&host.id).map(|skew| skew as f64 / 1e6),
            newest: seen.stored.map(time),
            measured: seen.at.map(time),
            measures: seen.measures,
            courses: with_courses.then(|| course(courses.hour(&host.id, now))),
            id: host.id,
            name: host.name,
        }
    });
    Ok(Json(FleetOverview {
        hosts: hosts.collect(),
        courses_from: with_courses.then(|| time(hour_start(now))),
    }))
}

fn course(hour: [Option<Course>; COUNT]) -> FleetCourses {
    // A fraction would not be seen.
    let whole = |value: Option<f32>| value.map(|value| value.round() as u32);
    let [cpu, memory, pressure, disk, filesystem, network] =
        hour.map(|course| course.map(|course| course.into_iter().map(whole).collect()));
    FleetCourses {
        cpu_percent: cpu,
        memory_percent: memory,
        pressure_percent: pressure,
        disk_percent: disk,
        filesystem_percent: filesystem,
        network_bytes_per_sec: network,
    }
}
