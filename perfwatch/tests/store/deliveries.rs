//! Channels of alerts, and which is still to be told what.

use perfwatch::store::alerts::{AlertBatch, Episode, Event};
use perfwatch::store::deliveries::{StoredChannel, Told, Withheld};

use crate::{Fresh, HOST, on_every_engine};

on_every_engine!(
    events_wait_until_all_channels_have_them,
    whom_an_alert_was_told_is_known_until_its_end,
    what_is_withheld_waits_with_its_episode_until_it_ends,
    channels_come_and_go_with_what_waits_for_them,
);

fn event(episode: &str, kind: &str, at: i64) -> Event {
    Event {
        key: format!("{episode}:{kind}:{at}"),
        episode: episode.into(),
        kind: kind.into(),
        at,
        payload: format!("{{\"{kind}\": {at}}}"),
    }
}

fn episode(id: &str, cleared_at: Option<i64>) -> Episode {
    Episode {
        id: id.into(),
        host: HOST.into(),
        rule: "disk-full".into(),
        series: "{}".into(),
        severity: "warning".into(),
        raised_at: 1,
        cleared_at,
        value: 1.0,
        peak: 1.0,
        flapping: false,
        reason: None,
        acknowledged_by: None,
        acknowledged_at: None,
        note: None,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn events_wait_until_all_channels_have_them(fresh: &Fresh) {
    let store = &fresh.store;
    let events = vec![event("e", "raised", 10), event("e", "cleared", 20), event("f", "raised", 30)];
    store.save_alerts(HOST, &AlertBatch { events, ..AlertBatch::default() }).await.unwrap();
    assert_eq!(store.unrouted_events(Some("another"), 9).await.unwrap(), []);
    assert_eq!(store.unrouted_events(Some(HOST), 2).await.unwrap().len(), 2);
    let queued = store.unrouted_events(Some(HOST), 9).await.unwrap();
    let kinds: Vec<&str> = queued.iter().map(|queued| &*queued.event.kind).collect();
    assert_eq!(kinds, ["raised", "cleared", "raised"]);
    store.route_event(HOST, &queued[0], &names(&["chat", "mail"]), true).await.unwrap();
    store.route_event(HOST, &queued[1], &names(&["mail"]), false).await.unwrap();
    store.route_event(HOST, &queued[2], &[], true).await.unwrap();
    assert_eq!(store.unrouted_events(Some(HOST), 9).await.unwrap(), []);
    assert_eq!(store.due_channels(Some(HOST)).await.unwrap(), ["chat", "mail"]);
    assert_eq!(store.due_channels(Some("another")).await.unwrap(), [""; 0]);
    assert_eq!(store.due_events(Some(HOST), "mail", 9).await.unwrap(), queued[..2]);
    assert_eq!(store.due_events(Some(HOST), "mail", 1).await.unwrap(), queued[..1]);
    store.events_delivered("mail", &[queued[0].id, queued[1].id]).await.unwrap();
    store.events_delivered("mail", &[queued[0].id]).await.unwrap();
    assert_eq!(store.due_channels(Some(HOST)).await.unwrap(), ["chat"]);
    assert_eq!(store.due_events(Some(HOST), "chat", 9).await.unwrap(), queued[..1]);
    store.events_delivered("chat", &[queued[0].id]).await.unwrap();
    assert_eq!(store.due_channels(Some(HOST)).await.unwrap(), [""; 0]);
    // The same event, stored again after its delivery, would be told again; its key would be the same.
    store
        .save_alerts(HOST, &AlertBatch { events: vec![event("e", "raised", 10)], ..AlertBatch::default() })
        .await
        .unwrap();
    assert_eq!(store.unrouted_events(Some(HOST), 9).await.unwrap()[0].event, queued[0].event);
}

async fn whom_an_alert_was_told_is_known_until_its_end(fresh: &Fresh) {
    let store = &fresh.store;
    let of = |cleared_at, events| AlertBatch {
        episodes: vec![episode("e", cleared_at)],
        events,
        ..AlertBatch::default()
    };
    store.save_alerts(HOST, &of(None, vec![event("e", "raised", 1)])).await.unwrap();
    assert_eq!(store.told(HOST, "e").await.unwrap(), [""; 0]);
    let queued = store.unrouted_events(Some(HOST), 9).await.unwrap();
    store.route_event(HOST, &queued[0], &names(&["chat", "mail"]), true).await.unwrap();
    let told = Told {
        episode: "e".into(),
        host: HOST.into(),
        rule: "disk-full".into(),
        channels: names(&["chat", "mail"]),
    };
    assert_eq!(store.open_told(Some(HOST)).await.unwrap(), [told]);
    assert_eq!(store.open_told(Some("another")).await.unwrap(), []);
    // Later changes of the episode keep it.
    store.save_alerts(HOST, &of(Some(9), vec![])).await.unwrap();
    assert_eq!(store.told(HOST, "e").await.unwrap(), ["chat", "mail"]);
    assert_eq!(store.open_told(Some(HOST)).await.unwrap(), []);
    assert_eq!(store.told(HOST, "none").await.unwrap(), [""; 0]);
}

async fn what_is_withheld_waits_with_its_episode_until_it_ends(fresh: &Fresh) {
    let store = &fresh.store;
    let of = |cleared_at, events| AlertBatch {
        episodes: vec![episode("e", cleared_at)],
        events,
        ..AlertBatch::default()
    };
    let withhold = |event: Event| async {
        store.save_alerts(HOST, &of(None, vec![event])).await.unwrap();
        let queued = store.unrouted_events(Some(HOST), 9).await.unwrap();
        store.withhold_event(HOST, &queued[0]).await.unwrap();
        assert_eq!(store.unrouted_events(Some(HOST), 9).await.unwrap(), []);
    };
    let (first, second) = (event("e", "raised", 1), event("e", "severity_changed", 2));
    withhold(first.clone()).await;
    withhold(second.clone()).await;
    let withheld = Withheld { host: HOST.into(), payload: second.payload.clone(), told: Vec::new() };
    assert_eq!(store.withheld_events(Some(HOST)).await.unwrap(), [withheld]);
    assert_eq!(store.withheld_events(Some("another")).await.unwrap(), []);
    let released = event("e", "raised", 5);
    assert!(store.release_event(HOST, &released).await.unwrap());
    assert!(!store.release_event(HOST, &released).await.unwrap(), "once");
    let queued = store.unrouted_events(Some(HOST), 9).await.unwrap();
    assert_eq!((queued.len(), &queued[0].event), (1, &released));
    store.route_event(HOST, &queued[0], &names(&["chat"]), true).await.unwrap();
    // What is told in the usual way, or over, is not withheld any more.
    withhold(event("e", "severity_changed", 6)).await;
    assert_eq!(store.withheld_events(Some(HOST)).await.unwrap()[0].told, ["chat"]);
    store.save_alerts(HOST, &of(None, vec![event("e", "severity_changed", 7)])).await.unwrap();
    let queued = store.unrouted_events(Some(HOST), 9).await.unwrap();
    store.route_event(HOST, &queued[0], &names(&["chat"]), true).await.unwrap();
    assert_eq!(store.withheld_events(Some(HOST)).await.unwrap(), []);
    withhold(event("e", "severity_changed", 8)).await;
    store.save_alerts(HOST, &of(Some(9), vec![])).await.unwrap();
    assert_eq!(store.withheld_events(Some(HOST)).await.unwrap(), []);
    assert!(!store.release_event(HOST, &event("e", "raised", 9)).await.unwrap());
}

async fn channels_come_and_go_with_what_waits_for_them(fresh: &Fresh) {
    let store = &fresh.store;
    let channel = |definition: &str| StoredChannel {
        name: "mail".into(),
        definition: definition.into(),
        secrets: "sealed".into(),
        updated_by: "ann".into(),
        updated_at: 5,
    };
    store.put_alert_channel(&channel("{}")).await.unwrap();
    store.put_alert_channel(&channel("{1}")).await.unwrap();
    assert_eq!(store.alert_channels().await.unwrap(), [channel("{1}")]);
    assert!(!format!("{:?}", channel("{}")).contains("sealed"));
    let events = vec![event("e", "raised", 10), event("f", "raised", 20)];
    store.save_alerts(HOST, &AlertBatch { events, ..AlertBatch::default() }).await.unwrap();
    let queued = store.unrouted_events(Some(HOST), 9).await.unwrap();
    store.route_event(HOST, &queued[0], &names(&["mail"]), true).await.unwrap();
    store.route_event(HOST, &queued[1], &names(&["chat", "mail"]), true).await.unwrap();
    assert!(store.delete_alert_channel("mail").await.unwrap());
    assert!(!store.delete_alert_channel("mail").await.unwrap());
    assert_eq!(store.due_channels(Some(HOST)).await.unwrap(), ["chat"]);
    assert_eq!(store.due_events(Some(HOST), "chat", 9).await.unwrap(), queued[1..]);
    // What is too old goes, and what waited for it.
    store.prune_alerts(HOST, i64::MAX / 2).await.unwrap();
    assert_eq!(store.due_channels(Some(HOST)).await.unwrap(), [""; 0]);
}
