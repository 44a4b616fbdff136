//! The ticks of a machine: those that its history has, and why it lacks the others.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, ensure};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::checks::text;
use super::stack::Stack;
use crate::client::Client;

/// Of a machine that sends a tick every second: its ID, and the container that it runs in.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    pub id: &'a str,
    pub service: &'a str,
}

/// Seconds since 1970 of an RFC 3339 time.
pub fn second(text: &str) -> Result<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).with_context(|| format!("no time: {text:?}"))?;
    Ok(time.unix_timestamp())
}

/// The ticks of some time, one due each second.
#[derive(Debug)]
pub struct Account {
    /// Stored, once each.
    stored: usize,
    /// While the machine was down.
    down: usize,
    /// What it could not take, as it says itself.
    missed: usize,
    /// What nothing accounts for.
    lost: isize,
}

impl Account {
    pub fn is_whole(&self) -> bool {
        self.lost == 0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, down, missed, .. } = self;
        write!(f, "{stored} ticks, once each; {down} while it was down, {missed} it could not take")
    }
}

/// Looks for the ticks in a range, both ends included. A tick that is stored twice is an error. `killed`: the last tick that was
/// seen before the machine was killed, and one that was seen afterwards.
pub fn account(
    stack: &Stack<'_>,
    client: &Client,
    sender: Sender<'_>,
    (from, to): (i64, i64),
    killed: Option<(i64, i64)>,
) -> Result<Account> {
    let answer = client.json(&format!(
        "/api/history/metrics?metric_type=cpu&host={}&start_time={from}&end_time={to}&interval=1s\
         &fields=usage_percent&stats=count&limit=10000",
        sender.id
    ))?;
    let mut absent: BTreeSet<i64> = (from..=to).collect();
    let due = absent.len();
    for point in answer["data_points"].as_array().context("no points")? {
        ensure!(point["count"] == 1, "{} ticks of {} in a second: {point}", point["count"], sender.service);
        absent.remove(&second(text(&point["timestamp"]))?);
    }
    // It was down for one stretch: all that it took before and after is there.
    let down = killed.map_or(0, |(last, back)| {
        let seconds = (last + 1..back).skip_while(|second| !absent.contains(second));
        seconds.take_while(|second| absent.contains(second)).count()
    });
    let missed = missed(stack, sender, from, to)?;
    let lost = absent.len().cast_signed() - (down + missed).cast_signed();
    Ok(Account { stored: due - absent.len(), down, missed, lost })
}

fn missed(stack: &Stack<'_>, sender: Sender<'_>, from: i64, to: i64) -> Result<usize> {
    let log = stack.ask(&["logs", "--no-color", "--no-log-prefix", sender.service])?;
    log.lines().try_fold(0, |sum, line| {
        let Some((start, fields)) = line.split_once("ticks were missed") else { return Ok(sum) };
        // It is told at the next tick that was taken.
        let at = second(start.split_whitespace().next().unwrap_or_default())?;
        let ticks = fields.split_whitespace().find_map(|field| field.strip_prefix("ticks="));
        let ticks: usize = ticks.context("no number of missed ticks")?.parse()?;
        Ok(if (from + 1..=to).contains(&at) { sum + ticks } else { sum })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_fraction_and_offset() {
        assert_eq!(second("1970-01-01T00:01:02.5Z").unwrap(), 62);
        assert_eq!(second("1970-01-01T01:00:01+01:00").unwrap(), 1);
        assert!(second("yesterday").is_err());
    }
}
