//! Changes that wait for the store: one batch, however long it does not respond.

use std::collections::HashSet;

use crate::store::alerts::AlertBatch;

/// Events that wait at most; beyond, the oldest alert is forgotten with all of its events.
const MAX_EVENTS: usize = 10_000;

/// Adds later changes to earlier ones.
pub fn merge(earlier: &mut AlertBatch, later: AlertBatch) {
    let changed: HashSet<(String, String)> = later
        .put
        .iter()
        .map(|state| (state.rule.clone(), state.series.clone()))
        .chain(later.forget.iter().cloned())
        .collect();
    earlier.put.retain(|state| !changed.contains(&(state.rule.clone(), state.series.clone())));
    earlier.forget.retain(|key| !changed.contains(key));
    earlier.put.extend(later.put);
    earlier.forget.extend(later.forget);
    for episode in later.episodes {
        match earlier.episodes.iter_mut().rev().find(|known| known.id == episode.id) {
            Some(known) => *known = episode,
            None => earlier.episodes.push(episode),
        }
    }
    earlier.events.extend(later.events);
    while earlier.events.len() > MAX_EVENTS {
        let oldest = earlier.events[0].episode.clone();
        earlier.events.retain(|event| event.episode != oldest);
        tracing::error!("the database takes no alerts for too long; the oldest is not going to be delivered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::alerts::{AlertState, Event};

    fn state(series: &str, state: &str) -> AlertState {
        AlertState { rule: "r".into(), series: series.into(), state: state.into() }
    }

    #[test]
    fn the_newest_of_each_thing_is_kept() {
        let key = |series: &str| ("r".to_owned(), series.to_owned());
        let mut batch = AlertBatch {
            put: vec![state("a", "1"), state("b", "1")],
            forget: vec![key("c")],
            ..AlertBatch::default()
        };
        let later = AlertBatch {
            put: vec![state("a", "2"), state("c", "2")],
            forget: vec![key("b")],
            ..AlertBatch::default()
        };
        merge(&mut batch, later);
        assert_eq!((batch.put, batch.forget), (vec![state("a", "2"), state("c", "2")], vec![key("b")]));
    }

    #[test]
    fn what_waits_is_bounded_and_goes_by_whole_alerts() {
        let event = |n: usize| Event {
            key: n.to_string(),
            episode: (n / 2).to_string(),
            kind: "raised".into(),
            at: 0,
            payload: String::new(),
        };
        let mut batch = AlertBatch::default();
        merge(
            &mut batch,
            AlertBatch { events: (0..=MAX_EVENTS).map(event).collect(), ..AlertBatch::default() },
        );
        assert_eq!((batch.events.len(), batch.events[0].key.as_str()), (MAX_EVENTS - 1, "2"));
    }
}
