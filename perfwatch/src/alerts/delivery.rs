//! Tells queued events to channels, each at its own pace.
//!
//! Who is told is decided once, and stored. A channel that fails is tried again, ever later, and holds no other up; what it
//! has already is stored, so that a restart sends little twice and loses nothing.

mod alertmanager;
mod limit;
mod outgoing;
mod plan;
mod route;
pub mod test;
mod withheld;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::answer::silenced;
use super::channel::Kind as ChannelKind;
use super::channels::Listed;
use super::duty::Charge;
use super::event::{self, Payload};
use super::finding::{self, Finding};
use super::message::{Message, Status};
use super::send::{Conversation, Failure};
use super::service::Alerts;
use crate::store;
use limit::{DEFAULT_PER_HOUR, Limit};
use outgoing::Outgoing;
use plan::{Due, Group, groups};

/// Events that are routed at a time.
const ROUTED: i64 = 500;
/// Events of a channel that are looked at.
const MAX_DUE: i64 = 1000;
/// Events sent at once to what takes them as they are.
const BATCH: usize = 50;
/// Rules whose alerts are explained at a time: more is a storm, which nobody reads so closely.
const EXPLAINED: usize = 3;
/// With nothing left to tell, what only another process can have queued is looked for this often.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);
/// The longest that a receiver can ask us to wait.
const MAX_RETRY: Duration = Duration::from_secs(3600);
/// A message that a receiver does not like is given up after this many attempts.
const ATTEMPTS: u32 = 3;
/// What an alert is explained by, µs: at least this long before it, and at most.
const SHORTEST: i64 = 120_000_000;
const LONGEST: i64 = 3_600_000_000;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Pause between two looks at the queue.
    pub look: Duration,
    /// How long the first of several alerts waits for the others.
    pub group_wait: Duration,
    /// Pause after the first failure; it doubles with each.
    pub first_retry: Duration,
    pub last_retry: Duration,
    /// Pause between two times that Alertmanager is sent what is raised.
    pub resend: Duration,
    /// What limits per hour mean.
    pub hour: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(2),
            group_wait: Duration::from_secs(5),
            first_retry: Duration::from_secs(5),
            last_retry: Duration::from_secs(900),
            resend: Duration::from_secs(60),
            hour: Duration::from_secs(3600),
        }
    }
}

impl Times {
    /// Of a hub: hosts are not heard of at the same moment, and what many have is one message.
    pub fn of_hub() -> Self {
        Self { group_wait: Duration::from_secs(10), ..Self::default() }
    }
}

/// What is known of a channel while the server runs.
#[derive(Debug, Default)]
struct State {
    failures: u32,
    wait_until: Option<Instant>,
    limit: Option<Limit>,
    is_held: bool,
    resent: Option<Instant>,
}

/// By rule and host.
type Findings = HashMap<(String, String), Finding>;

#[derive(Debug)]
pub struct Delivery {
    alerts: Alerts,
    /// Where history is asked: low-priority threads.
    threads: Handle,
    times: Times,
    states: HashMap<String, State>,
    /// What history said of rules and times that are still to be told.
    known: HashMap<(String, i64, i64), Finding>,
    /// When nothing was left to tell, and how often something had been queued by then.
    done: Option<(Instant, u64)>,
}

/// What one channel is to be told.
struct Job<'a> {
    of: &'a Listed,
    state: State,
    due: Vec<Due>,
    is_full: bool,
}

impl Delivery {
    pub fn new(alerts: Alerts, threads: Handle, times: Times) -> Self {
        Self { alerts, threads, times, states: HashMap::new(), known: HashMap::new(), done: None }
    }

    /// Delivers until it is aborted.
    pub fn spawn(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                if let Err(error) = self.step().await {
                    tracing::debug!(%error, "queued events of alerts cannot be read or marked now");
                }
                tokio::time::sleep(self.times.look).await;
            }
        })
    }

    /// Sends what is queued, once.
    async fn step(&mut self) -> store::Result<()> {
        let Some(listed) = self.alerts.channels().listed() else { return Ok(()) };
        // Of several hubs one delivers.
        let Some(charge) = self.alerts.duty().charge() else {
            self.states.clear();
            return Ok(());
        };
        if !self.alerts.duty().confirm(&charge).await? {
            return Ok(());
        }
        let (now, alerts) = (store::micros(OffsetDateTime::now_utc()), self.alerts.clone());
        let host = alerts.only_host();
        let queued = alerts.store().times_queued();
        // What hubs tell, others have queued as well.
        let is_done =
            host.is_some() && self.done.is_some_and(|(at, by)| by == queued && at.elapsed() < LOOK_ANYWAY);
        let mut waiting = Vec::new();
        if !is_done {
            let has_routed = self.route(&listed, now).await?;
            let has_withheld = withheld::release(&self.alerts, now).await?;
            waiting = alerts.store().due_channels(host).await?;
            let is_idle = !has_routed && !has_withheld && waiting.is_empty();
            self.done = is_idle.then(|| (Instant::now(), queued));
        }
        let mut jobs = Vec::new();
        for of in listed.iter().filter(|of| of.is_usable()) {
            let name = &of.channel.name;
            let is_due = waiting.contains(name);
            let state = self.states.entry(name.clone()).or_default();
            let is_to_resend = of.channel.kind == ChannelKind::Alertmanager
                && state.resent.is_none_or(|at| at.elapsed() >= self.times.resend);
            if state.wait_until.is_some_and(|until| Instant::now() < until) || !(is_due || is_to_resend) {
                continue;
            }
            let due_events = alerts.store().due_events(host, name, MAX_DUE);
            let queued = if is_due { due_events.await? } else { Vec::new() };
            let is_full = i64::try_from(queued.len()).is_ok_and(|count| count == MAX_DUE);
            let mut due = Vec::new();
            let mut bad = Vec::new();
            for queued in queued {
                let id = queued.id;
                match Due::of(queued) {
                    Some(known) => due.push(known),
                    None => {
                        tracing::error!(id, "a queued event of an alert cannot be read");
                        bad.push(id);
                    }
                }
            }
            if !bad.is_empty() {
                self.alerts.store().events_delivered(name, &bad).await?;
            }
            jobs.push(Job { of, state: State::default(), due, is_full });
        }
        for job in &mut jobs {
            job.state = self.states.remove(&job.of.channel.name).unwrap_or_default();
        }
        let findings = self.explain(&jobs, now).await;
        let telling = jobs.into_iter().map(|job| {
            let told = Telling {
                alerts: &self.alerts,
                times: self.times,
                now,
                findings: &findings,
                charge: &charge,
            };
            async move {
                let mut job = job;
                let result = told.tell(&mut job).await;
                (job.of.channel.name.clone(), job.state, result)
            }
        });
        let told = join_all(telling).await;
        let mut result = Ok(());
        for (name, state, of) in told {
            self.states.insert(name, state);
            result = result.and(of);
        }
        result
    }

    /// Decides who is told of new events; `false` if there are none.
    async fn route(&self, listed: &[Listed], now: i64) -> store::Result<bool> {
        let queued = self.alerts.store().unrouted_events(self.alerts.only_host(), ROUTED).await?;
        if queued.is_empty() {
            return Ok(false);
        }
        let silences = self.alerts.store().silences(now).await?;
        for queued in queued {
            let host = queued.host.as_str();
            let Ok(payload) = serde_json::from_str::<Payload>(&queued.event.payload) else {
                self.alerts.store().route_event(host, &queued, &[], false).await?;
                continue;
            };
            if route::is_news(&payload)
                && silenced(&silences, &payload.rule, &payload.labels, payload.whose()).is_some()
            {
                self.alerts.store().withhold_event(host, &queued).await?;
                continue;
            }
            let told = self.alerts.store().told(host, &payload.episode).await?;
            let (channels, is_kept) = route::route(listed, &payload, &told);
            self.alerts.store().route_event(host, &queued, &channels, is_kept).await?;
        }
        Ok(true)
    }

    /// Asks history about what is raised, by rule.
    async fn explain(&mut self, jobs: &[Job<'_>], now: i64) -> Findings {
        let mut times: BTreeMap<(String, String), (String, i64, i64)> = BTreeMap::new();
        let wait = micros(self.times.group_wait);
        // A summary explains nothing.
        let telling =
            jobs.iter().filter(|job| !job.state.is_held).flat_map(|job| groups(&job.due, now, wait));
        for group in telling.filter(|group| group.status == Status::Firing) {
            // What happened on many machines at once is not explained by one.
            let Some(host) = group.host() else { continue };
            let Some(first) = group.events.first().filter(|event| !event.field.is_empty()) else { continue };
            let moment = |rfc3339: &str| event::moment(rfc3339).map(store::micros);
            let moments =
                group.events.iter().filter_map(|event| Some((moment(&event.raised_at)?, moment(&event.at)?)));
            for (raised, at) in moments {
                let key = (group.rule.clone(), host.to_owned());
                let of = times.entry(key).or_insert_with(|| (first.field.clone(), raised, at));
                (of.1, of.2) = (of.1.min(raised), of.2.max(at));
            }
        }
        let catalogue = self.alerts.catalogue();
        let mut findings = Findings::new();
        let mut known = std::mem::take(&mut self.known);
        for ((rule, host), (field, raised, at)) in times.into_iter().take(EXPLAINED) {
            let compiled = catalogue.find(&rule).and_then(|listed| listed.compiled.as_ref().ok());
            let before = compiled.map_or(SHORTEST, |compiled| compiled.window + compiled.levels.hold);
            let from = raised.max(at - LONGEST) - before.clamp(SHORTEST, LONGEST);
            let key = (format!("{host} {rule}"), from, at);
            let history = self.alerts.history().of_host(&host);
            let found = match known.remove(&key) {
                Some(found) => found,
                None => finding::find(&history, &self.threads, &field, from, at.max(from + 1)).await,
            };
            self.known.insert(key, found.clone());
            findings.insert((rule, host), found);
        }
        findings
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Tells one channel what is queued for it.
struct Telling<'a> {
    alerts: &'a Alerts,
    times: Times,
    now: i64,
    findings: &'a Findings,
    charge: &'a Charge,
}

impl Telling<'_> {
    async fn tell(&self, job: &mut Job<'_>) -> store::Result<()> {
        if outgoing::takes_events(job.of) {
            return self.tell_events(job).await;
        }
        let incidents = outgoing::is_for_incidents(job.of);
        let ready = groups(&job.due, self.now, micros(self.times.group_wait));
        if ready.is_empty() {
            return Ok(());
        }
        if incidents {
            let ready = ready.into_iter().flat_map(Group::by_host).collect();
            return self.tell_groups(job, ready, true).await;
        }
        let per_hour = job.of.channel.max_per_hour.unwrap_or(DEFAULT_PER_HOUR);
        let limit = job.state.limit.take().filter(|limit| limit.is_for(per_hour));
        let mut limit = limit.unwrap_or_else(|| Limit::new(per_hour, self.times.hour));
        let left = limit.left(Instant::now());
        job.state.limit = Some(limit);
        if left == 0 {
            if !std::mem::replace(&mut job.state.is_held, true) {
                tracing::warn!(
                    channel = job.of.channel.name,
                    "a channel has reached its limit; what follows is told together"
                );
            }
            self.note(job, |health| health.is_held = true);
            return Ok(());
        }
        if !job.state.is_held && !job.is_full && ready.len() <= left {
            return self.tell_groups(job, ready, false).await;
        }
        let events: Vec<&Payload> = job.due.iter().map(|due| &due.payload).collect();
        let ids: Vec<i64> = job.due.iter().map(|due| due.id).collect();
        let key = job.due.first().map_or_else(String::new, |first| format!("{}:{}", first.key, ids.len()));
        if ready.len() == 1
            && let [group] = &ready[..]
            && group.ids.len() == ids.len()
        {
            job.state.is_held = false;
            return self.tell_groups(job, ready, false).await;
        }
        let Some(message) = Message::summary(&key, &events, self.alerts.channels().place()) else {
            return Ok(());
        };
        if self.send(job, outgoing::message(job.of, message), &ids).await? {
            job.state.is_held = false;
            self.note(job, |health| health.is_held = false);
            if let Some(limit) = &mut job.state.limit {
                limit.take();
            }
        }
        Ok(())
    }

    async fn tell_groups(&self, job: &mut Job<'_>, groups: Vec<Group>, incidents: bool) -> store::Result<()> {
        for group in groups {
            if incidents
                && group.status == Status::Resolved
                && self.is_still_raised(job.of, &group.rule, group.host()).await?
            {
                self.alerts.store().events_delivered(&job.of.channel.name, &group.ids).await?;
                continue;
            }
            let events: Vec<&Payload> = group.events.iter().collect();
            let of = group.host().map(|host| (group.rule.clone(), host.to_owned()));
            let finding = of.and_then(|of| self.findings.get(&of));
            let message = Message::of_rule(&group.key, &events, finding, self.alerts.channels().place());
            let Some(message) = message else { continue };
            if !self.send(job, outgoing::message(job.of, message), &group.ids).await? {
                break;
            }
            if let Some(limit) = &mut job.state.limit {
                limit.take();
            }
            if incidents
                && group.status == Status::Resolved
                && self.alerts.only_host().is_none()
                && !self.is_still_raised(job.of, &group.rule, None).await?
            {
                // So many may have begun at once that they are one incident.
                let all = Message::of_rule(&group.key, &events, None, self.alerts.channels().place());
                let Some(all) = all.map(Message::for_fleet) else { continue };
                self.send(job, outgoing::message(job.of, all), &[]).await?;
            }
        }
        Ok(())
    }

    /// Whether any alert of a rule is, on a host or on any, that the channel knows of.
    async fn is_still_raised(&self, of: &Listed, rule: &str, host: Option<&str>) -> store::Result<bool> {
        let told = self.alerts.store().open_told(host.or(self.alerts.only_host())).await?;
        Ok(told.iter().any(|told| told.rule == rule && told.channels.contains(&of.channel.name)))
    }

    async fn tell_events(&self, job: &mut Job<'_>) -> store::Result<()> {
        let batch: Vec<Due> = job.due.iter().take(BATCH).cloned().collect();
        let ids: Vec<i64> = batch.iter().map(|due| due.id).collect();
        let outgoing = if job.of.channel.kind == ChannelKind::Alertmanager {
            let mut alerts = alertmanager::of_events(batch.iter().map(|due| &due.payload), self.now);
            if job.state.resent.is_none_or(|at| at.elapsed() >= self.times.resend) {
                let told = self.alerts.store().open_told(self.alerts.only_host()).await?;
                let knows = |episode: &str| {
                    told.iter()
                        .any(|told| told.episode == episode && told.channels.contains(&job.of.channel.name))
                };
                let current = self.alerts.current(|_| true, |_, is_raised| is_raised);
                let known = current.iter().filter(|current| current.episode.as_deref().is_some_and(knows));
                // What is queued is newer.
                let others = known.filter(|current| {
                    !batch.iter().any(|due| Some(&due.payload.episode) == current.episode.as_ref())
                });
                alerts.extend(others.filter_map(|current| alertmanager::of_current(current, self.now)));
                job.state.resent = Some(Instant::now());
            }
            outgoing::alerts(job.of, &alerts)
        } else {
            let finding =
                |payload: &Payload| self.findings.get(&(payload.rule.clone(), payload.host.clone()));
            (!batch.is_empty())
                .then(|| outgoing::events(job.of, self.alerts.channels().place(), &batch, finding))
        };
        match outgoing {
            Some(outgoing) => self.send(job, Ok(outgoing), &ids).await.map(drop),
            None => self.alerts.store().events_delivered(&job.of.channel.name, &ids).await,
        }
    }

    /// `true` if the channel has it, or never will.
    async fn send(
        &self,
        job: &mut Job<'_>,
        outgoing: Result<Outgoing, Failure>,
        ids: &[i64],
    ) -> store::Result<bool> {
        // This process may have been frozen since it read what is due.
        if !self.alerts.duty().confirm(self.charge).await? {
            return Ok(false);
        }
        let mut conversation = Conversation::new(&job.of.secrets);
        let sent = match outgoing {
            Ok(outgoing) => outgoing.send(self.alerts.channels().sender(), job.of, &mut conversation).await,
            Err(failure) => Err(failure),
        };
        match sent {
            Ok(()) => {
                if job.state.failures > 0 {
                    tracing::info!(channel = job.of.channel.name, "a channel of alerts is reached again");
                }
                (job.state.failures, job.state.wait_until) = (0, None);
                let now = self.now;
                self.note(job, |health| (health.failing, health.delivered_at) = (None, Some(now)));
            }
            Err(failure) => {
                self.failed(job, &failure);
                if !failure.is_refused || job.state.failures < ATTEMPTS {
                    return Ok(false);
                }
                tracing::error!(
                    channel = job.of.channel.name,
                    error = failure.why,
                    "a channel does not take a message; it is given up"
                );
                job.state.failures = 0;
            }
        }
        self.alerts.store().events_delivered(&job.of.channel.name, ids).await?;
        Ok(true)
    }

    fn failed(&self, job: &mut Job<'_>, failure: &Failure) {
        let state = &mut job.state;
        if state.failures == 0 {
            tracing::error!(
                channel = job.of.channel.name,
                error = failure.why,
                "a channel of alerts cannot be reached; it is tried again"
            );
        }
        let wait = pause(failure, state.failures, self.times);
        state.failures += 1;
        state.wait_until = Some(Instant::now() + wait);
        let why = failure.why.clone();
        self.note(job, |health| health.failing = Some(why));
    }

    fn note(&self, job: &Job<'_>, change: impl FnOnce(&mut super::channels::Health)) {
        change(self.alerts.channels().health().entry(job.of.channel.name.clone()).or_default());
    }
}

/// How long to wait after a failure that follows so many others.
fn pause(failure: &Failure, failures: u32, times: Times) -> Duration {
    let doubled = times.first_retry.saturating_mul(1 << failures.min(16)).min(times.last_retry);
    failure.retry_after.unwrap_or(doubled).min(MAX_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_ever_longer_or_as_long_as_asked() {
        let wait = |failures, retry_after: Option<u64>| {
            let retry_after = retry_after.map(Duration::from_secs);
            let failure = Failure { why: String::new(), retry_after, is_refused: false };
            pause(&failure, failures, Times::default()).as_secs()
        };
        assert_eq!([wait(0, None), wait(1, None), wait(2, None), wait(100, None)], [5, 10, 20, 900]);
        assert_eq!([wait(3, Some(60)), wait(3, Some(u64::MAX))], [60, 3600]);
    }
}
