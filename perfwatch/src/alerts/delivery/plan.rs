//! Which events are told together: those of one rule that say the same.

use std::collections::HashMap;

use crate::alerts::event::{Kind, Payload};
use crate::alerts::message::Status;
use crate::store::deliveries::Queued;

/// An event that waits for a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub id: i64,
    pub key: String,
    /// µs.
    pub at: i64,
    pub payload: Payload,
}

impl Due {
    /// `None` for what cannot be read, which nobody can be told.
    pub fn of(queued: Queued) -> Option<Self> {
        let payload = serde_json::from_str(&queued.event.payload).ok()?;
        Some(Self { id: queued.id, key: queued.event.key, at: queued.event.at, payload })
    }
}

/// Events that are one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub key: String,
    pub status: Status,
    pub rule: String,
    /// One of each alert, in order.
    pub events: Vec<Payload>,
    /// All that are told with it, also what the end of an alert makes needless.
    pub ids: Vec<i64>,
    /// Whose each of these is.
    hosts: Vec<String>,
}

/// A group of which something came lately waits so many times as long at most.
const LONGEST: i64 = 4;
/// With more hosts at once, an incident is that of all of them.
const STORM: usize = 10;

/// Events of one rule as messages, in order. While more come, at most `wait` µs apart, a message is left for later.
pub fn groups(due: &[Due], now: i64, wait: i64) -> Vec<Group> {
    let ended: HashMap<&str, i64> = due
        .iter()
        .filter(|due| due.payload.event == Kind::Cleared)
        .map(|due| (due.payload.episode.as_str(), due.id))
        .collect();
    let mut groups: Vec<(Group, [i64; 2])> = Vec::new();
    for due in due {
        let Payload { event, rule, episode, .. } = &due.payload;
        // What is over is only told to be over.
        let end = ended.get(episode.as_str()).filter(|end| **end > due.id);
        let status = if end.is_some() { Status::Resolved } else { Status::of(*event) };
        let (group, [_, newest]) =
            match groups.iter_mut().position(|(group, _)| group.rule == *rule && group.status == status) {
                Some(at) => &mut groups[at],
                None => {
                    let new = Group {
                        key: due.key.clone(),
                        status,
                        rule: rule.clone(),
                        events: Vec::new(),
                        ids: Vec::new(),
                        hosts: Vec::new(),
                    };
                    groups.push((new, [due.at; 2]));
                    let last = groups.len() - 1;
                    &mut groups[last]
                }
            };
        *newest = due.at.max(*newest);
        group.ids.push(due.id);
        group.hosts.push(due.payload.host.clone());
        if end.is_some() {
            continue;
        }
        match group.events.iter_mut().find(|known| known.episode == *episode) {
            Some(known) => *known = due.payload.clone(),
            None => group.events.push(due.payload.clone()),
        }
    }
    // In the future, if a clock was set back.
    let is_younger = |at: i64, than: i64| (0..than).contains(&(now - at));
    let is_ready = |(_, [first, newest]): &(Group, [i64; 2])| {
        !is_younger(*newest, wait) || !is_younger(*first, LONGEST * wait)
    };
    let ready = groups.into_iter().filter(is_ready);
    ready
        .map(|(mut group, _)| {
            // With more events it is another message.
            group.key = format!("{}:{}", group.key, group.ids.len());
            group
        })
        .collect()
}

impl Group {
    /// The one host that it is about, if it is one.
    pub fn host(&self) -> Option<&str> {
        let (first, others) = self.hosts.split_first()?;
        others.iter().all(|host| host == first).then_some(first.as_str())
    }

    /// For receivers that keep incidents, of which each host has its own: one for each, unless many begin at once.
    pub fn by_host(self) -> Vec<Self> {
        let mut hosts: Vec<String> = Vec::new();
        for host in &self.hosts {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        if hosts.len() < 2 || (self.status == Status::Firing && hosts.len() > STORM) {
            return vec![self];
        }
        let of = |host: String| {
            let ids: Vec<i64> =
                self.ids.iter().zip(&self.hosts).filter(|(_, of)| **of == host).map(|(id, _)| *id).collect();
            Self {
                key: format!("{}:{host}", self.key),
                status: self.status,
                rule: self.rule.clone(),
                events: self.events.iter().filter(|event| event.host == host).cloned().collect(),
                hosts: vec![host; ids.len()],
                ids,
            }
        };
        hosts.into_iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn due(id: i64, kind: &str, rule: &str, episode: &str) -> Due {
        let payload = json!({
            "event": kind, "episode": episode, "host": "h", "rule": rule, "labels": {}, "severity": "warning",
            "summary": "", "runbook": "", "at": id.to_string(), "raised_at": "", "value": null, "peak": 1.0,
            "flapping": false, "reason": null,
        });
        Due {
            id,
            key: format!("{episode}:{kind}"),
            at: id,
            payload: serde_json::from_value(payload).unwrap(),
        }
    }

    fn told(due: &[Due]) -> Vec<(Status, String, Vec<String>, Vec<i64>)> {
        groups(due, 1000, 0)
            .into_iter()
            .map(|group| {
                let episodes = group.events.into_iter().map(|event| event.episode).collect();
                (group.status, group.rule, episodes, group.ids)
            })
            .collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn forty_of_one_rule_are_one_message() {
        let due: Vec<Due> = (0..40).map(|n| due(n, "raised", "disk", &format!("e{n}"))).collect();
        let groups = groups(&due, 1000, 0);
        assert_eq!((groups.len(), groups[0].events.len(), groups[0].ids.len()), (1, 40, 40));
        assert_eq!(groups[0].key, "e0:raised:40");
    }

    #[test]
    fn what_is_over_is_told_once_and_the_newest_of_each_counts() {
        let due = [
            due(1, "raised", "disk", "a"),
            due(2, "raised", "disk", "b"),
            due(3, "raised", "cpu", "c"),
            due(4, "severity_changed", "disk", "a"),
            due(5, "cleared", "disk", "b"),
        ];
        assert_eq!(
            told(&due),
            [
                (Status::Firing, "disk".to_owned(), names(&["a"]), vec![1, 4]),
                (Status::Resolved, "disk".to_owned(), names(&["b"]), vec![2, 5]),
                (Status::Firing, "cpu".to_owned(), names(&["c"]), vec![3]),
            ]
        );
        assert_eq!(groups(&due, 1000, 0)[0].events[0].at, "4");
    }

    #[test]
    fn a_young_group_waits_for_more() {
        let due = [due(90, "raised", "disk", "a"), due(99, "raised", "cpu", "b")];
        let rules = |now| groups(&due, now, 5).into_iter().map(|group| group.rule).collect::<Vec<_>>();
        assert_eq!((rules(100), rules(104)), (names(&["disk"]), names(&["disk", "cpu"])));
        // The clock was set back.
        assert_eq!(rules(10), names(&["disk", "cpu"]));
    }

    fn of_host(n: i64, host: &str) -> Due {
        let mut due = due(n, "raised", "host-silent", &format!("e{n}"));
        host.clone_into(&mut due.payload.host);
        due
    }

    #[test]
    fn hosts_are_told_together_and_have_incidents_of_their_own_unless_they_are_many() {
        let of = |hosts: i64| -> Vec<Due> { (0..hosts).map(|n| of_host(n, &format!("h{n}"))).collect() };
        let few = groups(&of(3), 1000, 0).pop().unwrap();
        assert_eq!((few.host(), few.events.len()), (None, 3));
        let each: Vec<_> =
            few.by_host().iter().map(|one| (one.host().map(str::to_owned), one.ids.clone())).collect();
        let expected = (0..3).map(|n| (Some(format!("h{n}")), vec![n])).collect::<Vec<_>>();
        assert_eq!(each, expected);
        let many = groups(&of(300), 1000, 0).pop().unwrap().by_host();
        assert_eq!((many.len(), many[0].events.len(), many[0].ids.len()), (1, 300, 300));
    }

    #[test]
    fn a_storm_that_goes_on_is_told_after_a_while() {
        // Of a host every four units, which is told together while each is younger than five.
        let due: Vec<Due> = (0..20).map(|n| of_host(4 * n, "h")).collect();
        let told = |now: i64| groups(&due[..usize::try_from(now / 4 + 1).unwrap()], now, 5).len();
        assert_eq!([told(0), told(8), told(19), told(20)], [0, 0, 0, 1]);
    }

    proptest! {
        /// Every event is told exactly once, and the last of an episode is what is said of it.
        #[test]
        fn nothing_is_lost_or_doubled(events in proptest::collection::vec((0..4usize, 0..3usize, 0..5usize), 0..60)) {
            let kinds = ["raised", "severity_changed", "acknowledged", "cleared"];
            let due: Vec<Due> = (0..).zip(&events).map(|(id, (kind, rule, episode))| {
                due(id, kinds[*kind], &format!("r{rule}"), &format!("r{rule}e{episode}"))
            }).collect();
            let groups = groups(&due, 1_000_000, 0);
            let mut ids: Vec<i64> = groups.iter().flat_map(|group| group.ids.clone()).collect();
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..i64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
            prop_assert!(groups.iter().all(|group| !group.events.is_empty()));
        }
    }
}
