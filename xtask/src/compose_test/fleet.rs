//! What must hold for the fleet of docker-compose.fleet.yml.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::checks::{between, passed, text};
use super::stack::Stack;
use crate::client::Client;

/// At one snapshot a second a slot has a minute.
const ARRIVES_WITHIN: Duration = Duration::from_secs(150);
const AWAY: Duration = Duration::from_secs(20);

fn signed_in(stack: &Stack<'_>) -> Result<Client> {
    let (user, password) = stack.first_login("hub-1")?;
    let mut client = stack.client();
    client.log_in(&user, &password)?;
    Ok(client)
}

/// The machine that sends, once it has history.
fn sender(client: &Client) -> Option<Value> {
    let mut hosts = client.json("/api/hosts").ok()?;
    let hosts = hosts["hosts"].as_array_mut()?;
    hosts.iter_mut().find(|host| host["state"] == "live" && host["newest"].is_string()).map(Value::take)
}

/// The agent's machine is there by itself, under the host's name.
pub fn machine(stack: &Stack<'_>) -> Result<u32> {
    let client = signed_in(stack)?;
    let host = stack.wait("the agent's machine with history", ARRIVES_WITHIN, || sender(&client))?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    ensure!(host["name"] == name.trim(), "{host}");
    passed(
        "the agent's machine is there",
        format_args!("{}, until {}", text(&host["name"]), text(&host["newest"])),
    );
    Ok(1)
}

/// A hub and NATS are killed: the page goes on, and every tick is there once.
pub fn faults(stack: &Stack<'_>) -> Result<u32> {
    let client = signed_in(stack)?;
    let host = sender(&client).context("no machine")?;
    let from = text(&host["newest"]).to_owned();

    stack.ask(&["kill", "--signal=KILL", "hub-1"])?;
    let answered = stack.wait("an answer of the other hub", Duration::from_secs(20), || sender(&client))?;
    passed("the other hub answers, with the same login", text(&answered["state"]));

    stack.ask(&["kill", "--signal=KILL", "nats"])?;
    std::thread::sleep(AWAY);
    stack.ask(&["start", "nats", "hub-1"])?;
    let enough = i64::try_from(AWAY.as_secs()).unwrap_or(0) + 60;
    let to = stack.wait("history from after the outage", ARRIVES_WITHIN * 2, || {
        let host = sender(&client)?;
        let newest = text(&host["newest"]).to_owned();
        (between(&from, &newest) > enough).then_some(newest)
    })?;
    let query = format!(
        "/api/history/metrics?metric_type=cpu&host={}&start_time={from}&end_time={to}&interval=1s&fields=usage_percent",
        text(&host["id"])
    );
    let expected = between(&from, &to) + 1;
    let points = || client.json(&query).ok()?["count"].as_i64();
    let complete = || points().filter(|count| *count == expected);
    let count = stack.wait(&format!("{expected} ticks between {from} and {to}"), ARRIVES_WITHIN, complete);
    let count = count.with_context(|| format!("there are {:?}", points()))?;
    passed("the outage of a hub and of NATS lost nothing and doubled nothing", format_args!("{count} ticks"));
    Ok(2)
}
