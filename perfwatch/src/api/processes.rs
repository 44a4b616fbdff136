//! `/api/processes`: every process of the machine.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

use std::sync::PoisonError;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, Guarded, Queued, Result, ValidationBody};
use super::extract::CurrentUser;
use super::parameters::{Parameters, Reader};
use super::questions::json_in_pieces;
use crate::snapshot::processes::listing::Listing;
use crate::snapshot::processes::order::Order;
use crate::snapshot::processes::{ProcessRow, Rates};

/// More than any machine's `pid_max` is by default.
const MAX_LIMIT: usize = 100_000;
const DEFAULT_LIMIT: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(all_processes))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParameters {
    /// Processes at most
    #[param(required = false, value_type = usize, minimum = 1, maximum = 100000, default = 10000)]
    limit: Option<String>,
    /// The field by which they are ordered: the greatest first, but `pid`, `comm`, `user` and `cgroup` ascending
    #[param(required = false, value_type = String, pattern = "^(pid|comm|user|cgroup|threads|rss_bytes|cpu_percent|runqueue_wait_ms_per_sec|context_switches_per_sec|read_bytes_per_sec|write_bytes_per_sec|cycles|instructions|ipc|llc_mpki|branch_mpki|dtlb_mpki)$", default = "cpu_percent", example = "rss_bytes")]
    sort: Option<String>,
    /// Only processes whose name, user or cgroup contains this text, whatever its case, or whose number it is
    #[param(required = false, value_type = String, example = "postgres")]
    search: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ProcessList {
    /// The tick whose interval the rates are of.
    #[serde(rename = "_timestamp")]
    #[schema(format = DateTime)]
    timestamp: String,
    /// The interval's length; `null` where tasks are not accounted for, or not yet.
    elapsed_ms: Option<f64>,
    /// Processes that ran at all in the interval.
    active: Option<usize>,
    /// What all processes used.
    total: Option<RatesDto>,
    /// Processes that were found, before `limit`.
    count: usize,
    /// Whether there were more than `limit`.
    truncated: bool,
    processes: Vec<ProcessDto>,
}

/// As in the document `processes`. What did not run in the interval has 0; `null` is what is not measured here.
#[derive(Serialize, ToSchema)]
struct ProcessDto {
    pid: u32,
    /// The kernel's name of it, up to 15 characters.
    comm: String,
    user: Option<String>,
    uid: u32,
    cgroup: Option<String>,
    /// Threads that were active.
    threads: usize,
    /// Whether it ended in the interval.
    exited: bool,
    /// Memory in RAM.
    rss_bytes: Option<u64>,
    #[serde(flatten)]
    rates: RatesDto,
}

#[derive(Serialize, ToSchema)]
struct RatesDto {
    /// Of one CPU: two busy threads have 200.
    cpu_percent: Option<f64>,
    /// Time ready to run and waiting for a CPU.
    runqueue_wait_ms_per_sec: Option<f64>,
    context_switches_per_sec: Option<f64>,
    /// From storage.
    read_bytes_per_sec: Option<f64>,
    /// To storage, when they dirty the page cache.
    write_bytes_per_sec: Option<f64>,
    /// In the interval.
    cycles: Option<u64>,
    /// In the interval.
    instructions: Option<u64>,
    /// Instructions per cycle.
    ipc: Option<f64>,
    /// Misses of the last level cache per thousand instructions.
    llc_mpki: Option<f64>,
    /// Mispredicted branches per thousand instructions.
    branch_mpki: Option<f64>,
    /// Misses of the data TLB per thousand instructions.
    dtlb_mpki: Option<f64>,
}

/// Every process of the machine, those included that did nothing
///
/// The rows of the document `processes`, all of them: rates of the newest tick's interval, memory and names as they are
/// when the list is made. That is done when someone asks, once per tick and at most each 5 s: who asks in between gets
/// the same.
#[utoipa::path(get, path = "/api/processes", tag = "processes", params(ListParameters), responses(
    (status = 200, body = ProcessList),
    (status = 422, description = "A parameter is unreadable", body = ValidationBody),
    Guarded, Queued,
))]
async fn all_processes(
    CurrentUser(identity): CurrentUser,
    State(state): State<AppState>,
    Parameters(sent): Parameters<ListParameters>,
) -> Result<Response> {
    let query = Query::read(sent)?;
    let question = state.ask(&identity)?;
    let (lister, listing) = (state.processes.clone(), state.listing());
    let made = question.block(move || {
        let _one_at_a_time = listing.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_vec(&query.answer(&lister.list()))
    });
    let json = made.await?.map_err(|error| Error::Internal(error.to_string()))?;
    Ok(json_in_pieces(json))
}

struct Query {
    limit: usize,
    order: Order,
    search: Option<String>,
}

impl Query {
    fn read(sent: ListParameters) -> Result<Self> {
        let mut reader = Reader::default();
        let limit = reader.limit(sent.limit.as_deref(), DEFAULT_LIMIT, MAX_LIMIT);
        let order = match sent.sort.as_deref() {
            None => Some(Order::default()),
            Some(field) => Order::by(field),
        };
        if order.is_none() {
            reader.problem("sort", "Expected the name of a field");
        }
        reader.finish()?;
        let search = sent.search.filter(|text| !text.is_empty());
        Ok(Self { limit, order: order.unwrap_or_default(), search })
    }

    fn answer(&self, listing: &Listing) -> ProcessList {
        let mut found = listing.find(self.search.as_deref());
        self.order.sort(&mut found);
        ProcessList {
            timestamp: listing.timestamp.clone(),
            elapsed_ms: listing.elapsed_ms,
            active: listing.active,
            total: listing.total.map(RatesDto::from),
            count: found.len(),
            truncated: found.len() > self.limit,
            processes: found.into_iter().take(self.limit).map(ProcessDto::from).collect(),
        }
    }
}

impl From<&ProcessRow> for ProcessDto {
    fn from(row: &ProcessRow) -> Self {
        Self {
            pid: row.pid,
            comm: row.comm.clone(),
            user: row.user.clone(),
            uid: row.uid,
            cgroup: row.cgroup.clone(),
            threads: row.threads,
            exited: row.exited,
            rss_bytes: row.rss_bytes,
            rates: row.rates.into(),
        }
    }
}

impl From<Rates> for RatesDto {
    fn from(rates: Rates) -> Self {
        Self {
            cpu_percent: rates.cpu_percent,
            runqueue_wait_ms_per_sec: rates.runqueue_wait_ms_per_sec,
            context_switches_per_sec: rates.context_switches_per_sec,
            read_bytes_per_sec: rates.read_bytes_per_sec,
            write_bytes_per_sec: rates.write_bytes_per_sec,
            cycles: rates.cycles,
            instructions: rates.instructions,
            ipc: rates.ipc,
            llc_mpki: rates.llc_mpki,
            branch_mpki: rates.branch_mpki,
            dtlb_mpki: rates.dtlb_mpki,
        }
    }
}
