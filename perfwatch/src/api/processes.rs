//! `/api/processes`: every process of the machine.
#![allow(unused_qualifications)] // written by the macro that describes the parameters

use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::{Error, Guarded, OfHost, Queued, Result, ValidationBody};
use super::extract::{ClientAddress, CurrentUser};
use super::parameters::{Parameters, Reader};
use super::questions::json_in_pieces;
use crate::fleet::asking::Ask;
use crate::snapshot::processes::listing::{Lister, Listing};
use crate::snapshot::processes::order::Order;
use crate::snapshot::processes::{CgroupName, ProcessRow, Rates};

/// More than any machine's `pid_max` is by default.
const MAX_LIMIT: usize = 100_000;
const DEFAULT_LIMIT: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(all_processes))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParameters {
    /// Maximum number of processes
    #[param(required = false, value_type = usize, minimum = 1, maximum = 100000, default = 10000)]
    limit: Option<String>,
    /// Field to sort by: largest first, but `pid`, `comm`, `user` and `cgroup` ascending
    #[param(required = false, value_type = String, pattern = "^(pid|comm|user|cgroup|threads|rss_bytes|cpu_percent|runqueue_wait_ms_per_sec|context_switches_per_sec|read_bytes_per_sec|write_bytes_per_sec|cycles|instructions|ipc|llc_mpki|branch_mpki|dtlb_mpki)$", default = "cpu_percent", example = "rss_bytes")]
    sort: Option<String>,
    /// Only processes whose name, command line, user or cgroup contains this text (case-insensitive), or with this PID
    #[param(required = false, value_type = String, example = "postgres")]
    search: Option<String>,
    /// ID or name of a machine of the fleet, on a hub; this machine by default
    #[param(required = false, value_type = String, max_length = 64)]
    host: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ProcessList {
    /// Time of the tick that the rates cover.
    #[serde(rename = "_timestamp")]
    #[schema(format = DateTime)]
    timestamp: String,
    /// Length of the interval; `null` without task accounting, or before the first interval.
    elapsed_ms: Option<f64>,
    /// Processes that ran in the interval.
    active: Option<usize>,
    /// Usage of all processes.
    total: Option<RatesDto>,
    /// Processes that `/proc` does not show (its mount option `hidepid`); `null` if it is not known how many.
    hidden: Option<usize>,
    /// Processes found, before `limit`.
    count: usize,
    /// Whether there were more than `limit`.
    truncated: bool,
    /// Whether command lines are shown (`PERFWATCH_COMMAND_LINES`).
    command_lines: bool,
    processes: Vec<ProcessDto>,
}

/// As in the document `processes`. 0: did not run in the interval; `null`: not measured on this machine.
#[derive(Serialize, ToSchema)]
struct ProcessDto {
    pid: u32,
    /// The kernel's name of it, up to 15 characters.
    comm: String,
    user: Option<String>,
    uid: u32,
    cgroup: Option<String>,
    /// What the cgroup is.
    group: Option<CgroupDto>,
    /// Its parent when it was first listed.
    parent_pid: Option<u32>,
    #[schema(format = DateTime)]
    started: Option<String>,
    /// Path of its program; `null` if it may not be read, and of kernel threads.
    executable: Option<String>,
    /// Its command line, with secrets masked; `null` of kernel threads, and with `PERFWATCH_COMMAND_LINES=false`.
    command: Option<String>,
    /// Active threads.
    threads: usize,
    /// Whether it exited in the interval.
    exited: bool,
    /// Resident memory.
    rss_bytes: Option<u64>,
    #[serde(flatten)]
    rates: RatesDto,
}

/// What people call a cgroup.
#[derive(Serialize, ToSchema)]
pub(super) struct CgroupDto {
    /// `root`, `slice`, `service`, `scope`, `unit`, `session`, `user`, `container`, `pod`, `vm` or `group`
    #[schema(example = "service")]
    kind: String,
    name: String,
    /// Who runs the container that it is, or is in.
    runtime: Option<String>,
    image: Option<String>,
    pod: Option<String>,
    namespace: Option<String>,
}

impl CgroupDto {
    pub(super) fn of(group: &CgroupName) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            kind: group.kind.to_string(),
            name: group.name.to_string(),
            runtime: text(&group.runtime),
            image: text(&group.image),
            pod: text(&group.pod),
            namespace: text(&group.namespace),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct RatesDto {
    /// Percent of one CPU: two busy threads use 200.
    cpu_percent: Option<f64>,
    /// Time spent runnable, waiting for a CPU.
    runqueue_wait_ms_per_sec: Option<f64>,
    context_switches_per_sec: Option<f64>,
    /// Read from storage.
    read_bytes_per_sec: Option<f64>,
    /// Written to storage, counted when the page cache is dirtied.
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

/// All processes of the machine, including idle ones
///
/// The rows of the document `processes`, without its limit: rates of the newest tick's interval, memory and names as of
/// the request. The list is cached for a tick, at most 5 s.
#[utoipa::path(get, path = "/api/processes", tag = "processes", params(ListParameters), responses(
    (status = 200, body = ProcessList),
    (status = 422, description = "A parameter is invalid", body = ValidationBody),
    Guarded, Queued, OfHost,
))]
async fn all_processes(
    CurrentUser(identity): CurrentUser,
    ClientAddress(address): ClientAddress,
    State(state): State<AppState>,
    Parameters(sent): Parameters<ListParameters>,
) -> Result<Response> {
    let (sort, host) = (sent.sort.clone(), sent.host.clone());
    let query = Query::read(sent)?;
    let question = state.ask(&identity)?;
    if let Some(remote) = state.remote(&identity, host.as_deref()).await? {
        let ask = Ask::Processes { limit: query.limit, sort, search: query.search };
        return Ok(json_in_pieces(remote.answer(&identity, address, ask).await?));
    }
    let (lister, listing) = (state.processes.clone(), state.listing());
    let made = question.block(move || {
        let _one_at_a_time = listing.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_vec(&query.answer(&lister.list()))
    });
    let json = made.await?.map_err(|error| Error::Internal(error.to_string()))?;
    Ok(json_in_pieces(json))
}

/// The same for whoever asks over the fleet; `None` if there is no such field to sort by.
pub fn listed(
    lister: &dyn Lister,
    limit: usize,
    sort: Option<&str>,
    search: Option<String>,
) -> Option<Vec<u8>> {
    let order = sort.map_or(Some(Order::default()), Order::by)?;
    let query = Query { limit: limit.min(MAX_LIMIT), order, search };
    serde_json::to_vec(&query.answer(&lister.list())).ok()
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
            hidden: listing.hidden,
            total: listing.total.map(RatesDto::from),
            count: found.len(),
            truncated: found.len() > self.limit,
            command_lines: listing.command_lines,
            processes: found.into_iter().take(self.limit).map(|row| ProcessDto::of(row, listing)).collect(),
        }
    }
}

impl ProcessDto {
    fn of(row: &ProcessRow, listing: &Listing) -> Self {
        let facts = listing.facts.get(&row.pid).cloned().unwrap_or_default();
        Self {
            pid: row.pid,
            comm: row.comm.clone(),
            user: row.user.clone(),
            uid: row.uid,
            cgroup: row.cgroup.clone(),
            group: row.cgroup.as_ref().and_then(|path| listing.groups.get(path)).map(CgroupDto::of),
            parent_pid: facts.parent_pid,
            started: facts.started.clone(),
            executable: facts.executable.clone(),
            command: facts.command.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_are_hidden_is_told_and_unknown_is_not_none() {
        let query = Query { limit: 1, order: Order::default(), search: None };
        let told = |hidden| {
            let timestamp = "2026-01-02T03:04:05Z".to_owned();
            let listing = Listing { timestamp, hidden, ..Listing::default() };
            serde_json::to_value(query.answer(&listing)).unwrap()["hidden"].clone()
        };
        assert_eq!((told(Some(7)), told(Some(0)), told(None)), (7.into(), 0.into(), serde_json::Value::Null));
    }
}
