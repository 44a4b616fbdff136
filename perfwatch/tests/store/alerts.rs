//! What is kept of alerts.

use std::time::Duration;

use perfwatch::store::alerts::{
    Acknowledgement, AlertBatch, AlertState, Batches, EPISODES_KEPT, EVENTS_KEPT, Episode, Event, Silence,
    StoredRule,
};
use perfwatch::store::leases::Held;
use perfwatch::store::maintenance::StoredWindow;

use crate::{Fresh, HOST, on_every_engine};

on_every_engine!(
    states_and_episodes_are_stored_together_and_twice_is_once,
    an_episode_is_acknowledged_once_and_tells_it,
    old_and_surplus_episodes_go_and_open_ones_stay,
    rules_and_silences_come_and_go,
    a_maintenance_window_becomes_each_silence_once,
    a_lease_is_one_holders_until_it_ends,
    alerts_of_several_hosts_are_told_apart,
);

fn episode(id: &str, raised_at: i64, cleared_at: Option<i64>) -> Episode {
    Episode {
        id: id.into(),
        host: HOST.into(),
        rule: "disk-full".into(),
        series: r#"{"mountpoint":"/"}"#.into(),
        severity: "warning".into(),
        raised_at,
        cleared_at,
        value: 91.5,
        peak: 93.0,
        flapping: false,
        reason: None,
        acknowledged_by: None,
        acknowledged_at: None,
        note: None,
    }
}

fn event(episode: &str, kind: &str, at: i64) -> Event {
    Event {
        key: format!("{episode}:{kind}:{at}"),
        episode: episode.into(),
        kind: kind.into(),
        at,
        payload: "{}".into(),
    }
}

fn state(series: &str, state: &str) -> AlertState {
    AlertState { rule: "disk-full".into(), series: series.into(), state: state.into() }
}

async fn states_and_episodes_are_stored_together_and_twice_is_once(fresh: &Fresh) {
    let store = &fresh.store;
    let batch = AlertBatch {
        put: vec![state("a", "1"), state("b", "1")],
        forget: Vec::new(),
        episodes: vec![episode("e", 10, None)],
        events: vec![event("e", "raised", 10)],
    };
    // The outcome of the first attempt may be unknown.
    store.save_alerts(HOST, &batch).await.unwrap();
    store.save_alerts(HOST, &batch).await.unwrap();
    assert_eq!(store.open_episodes(&[HOST.to_owned()]).await.unwrap(), [episode("e", 10, None)]);
    assert_eq!(store.unrouted_events(Some(HOST), 9).await.unwrap().len(), 1);
    assert_eq!(store.open_episodes(&["another".to_owned()]).await.unwrap(), []);
    let cleared = Episode { peak: 97.0, severity: "critical".into(), ..episode("e", 10, Some(20)) };
    let batch = AlertBatch {
        put: vec![state("a", "2")],
        forget: vec![("disk-full".into(), "b".into())],
        episodes: vec![cleared.clone()],
        events: vec![event("e", "cleared", 20)],
    };
    store.save_alerts(HOST, &batch).await.unwrap();
    assert_eq!(store.alert_states(HOST).await.unwrap(), [state("a", "2")]);
    assert_eq!(store.open_episodes(&[HOST.to_owned()]).await.unwrap(), []);
    assert_eq!(store.episode(&[HOST.to_owned()], "e").await.unwrap(), Some(cleared.clone()));
    assert_eq!(store.episodes(&[HOST.to_owned()], None, 11, 5).await.unwrap(), [cleared]);
    assert_eq!(store.episodes(&[HOST.to_owned()], None, 10, 5).await.unwrap(), []);
    assert_eq!(store.episodes(&[HOST.to_owned()], Some("another"), 11, 5).await.unwrap(), []);
}

async fn an_episode_is_acknowledged_once_and_tells_it(fresh: &Fresh) {
    let store = &fresh.store;
    let batch = AlertBatch { episodes: vec![episode("e", 10, None)], ..AlertBatch::default() };
    store.save_alerts(HOST, &batch).await.unwrap();
    let told = event("e", "acknowledged", 15);
    let given = |by, event| Acknowledgement { episode: "e", by, at: 15, note: Some("on it"), event };
    assert!(store.acknowledge(HOST, &given("ann", &told)).await.unwrap());
    assert!(!store.acknowledge(HOST, &given("bob", &told)).await.unwrap(), "ann was faster");
    // What the server knows of the episode does not undo it.
    store.save_alerts(HOST, &batch).await.unwrap();
    let episode = store.episode(&[HOST.to_owned()], "e").await.unwrap().unwrap();
    assert_eq!((episode.acknowledged_by.as_deref(), episode.acknowledged_at), (Some("ann"), Some(15)));
    assert_eq!(store.episode_counts(&[HOST.to_owned()], 0).await.unwrap(), [("disk-full".to_owned(), 1, 1)]);
    assert_eq!(store.unrouted_events(Some(HOST), 9).await.unwrap().len(), 1);
    let nobody = Acknowledgement { episode: "x", ..given("ann", &told) };
    assert!(!store.acknowledge(HOST, &nobody).await.unwrap());
}

async fn old_and_surplus_episodes_go_and_open_ones_stay(fresh: &Fresh) {
    let store = &fresh.store;
    let episodes = vec![episode("open", 1, None), episode("old", 2, Some(3)), episode("young", 4, Some(50))];
    let events = vec![event("old", "raised", 2), event("young", "raised", EPISODES_KEPT)];
    store.save_alerts(HOST, &AlertBatch { episodes, events, ..AlertBatch::default() }).await.unwrap();
    store.prune_alerts(HOST, EPISODES_KEPT + 40).await.unwrap();
    let left = store.episodes(&[HOST.to_owned()], None, i64::MAX, 9).await.unwrap();
    let left: Vec<&str> = left.iter().map(|episode| episode.id.as_str()).collect();
    assert_eq!(left, ["young", "open"]);
    let due = async || store.unrouted_events(Some(HOST), 9).await.unwrap().len();
    assert_eq!(due().await, 1, "an event is not news for long");
    store.prune_alerts(HOST, EPISODES_KEPT + EVENTS_KEPT + 1).await.unwrap();
    assert_eq!(due().await, 0);
}

async fn rules_and_silences_come_and_go(fresh: &Fresh) {
    let store = &fresh.store;
    let rule = |definition: &str| StoredRule {
        name: "r".into(),
        definition: definition.into(),
        updated_by: "ann".into(),
        updated_at: 5,
    };
    store.put_alert_rules(&[rule("{}")]).await.unwrap();
    store.put_alert_rules(&[rule("{1}")]).await.unwrap();
    assert_eq!(store.alert_rules().await.unwrap(), [rule("{1}")]);
    assert!(store.delete_alert_rule("r").await.unwrap());
    assert!(!store.delete_alert_rule("r").await.unwrap());
    let silence = Silence {
        id: 0,
        rule: None,
        labels: "{}".into(),
        author: "ann".into(),
        reason: "new disk".into(),
        created_at: 5,
        ends_at: 50,
    };
    let added = store.add_silence(&silence).await.unwrap();
    assert_eq!(added, Silence { id: added.id, ..silence });
    assert_eq!(store.silences(49).await.unwrap(), std::slice::from_ref(&added));
    assert!(store.end_silence(added.id, 20).await.unwrap());
    assert!(!store.end_silence(added.id, 20).await.unwrap());
    assert_eq!(store.silences(20).await.unwrap(), []);
}

async fn a_maintenance_window_becomes_each_silence_once(fresh: &Fresh) {
    let store = &fresh.store;
    let mut window = StoredWindow {
        id: 0,
        definition: "{}".into(),
        author: "ann".into(),
        created_at: 5,
        silenced_until: 0,
    };
    window.id = store.add_alert_window(&window).await.unwrap();
    assert_eq!(store.alert_windows().await.unwrap(), std::slice::from_ref(&window));
    let silence = |ends_at| Silence {
        id: 0,
        rule: Some("disk-*".into()),
        labels: "{}".into(),
        author: "ann".into(),
        reason: "Maintenance: updates".into(),
        created_at: 10,
        ends_at,
    };
    for ends_at in [50, 50, 90, 50] {
        store.begin_alert_window(window.id, &silence(ends_at)).await.unwrap();
    }
    let ends: Vec<i64> = store.silences(10).await.unwrap().iter().map(|silence| silence.ends_at).collect();
    assert_eq!(ends, [50, 90]);
    assert_eq!(store.alert_windows().await.unwrap()[0].silenced_until, 90);
    assert!(store.delete_alert_window(window.id).await.unwrap());
    assert!(!store.delete_alert_window(window.id).await.unwrap());
    store.begin_alert_window(window.id, &silence(200)).await.unwrap();
    assert_eq!(store.silences(100).await.unwrap(), []);
}

/// Of two hubs one has the duty, and what the other found while it was away is not stored.
async fn a_lease_is_one_holders_until_it_ends(fresh: &Fresh) {
    let store = &fresh.store;
    let lasts = Duration::from_millis(1500);
    let take = async |holder: &str| store.take_lease("alerts", holder, lasts).await.unwrap();
    let ours = |held: Held| match held {
        Held::Ours(lease) => lease,
        Held::By(other) => panic!("it is held by {other}"),
    };
    let first = ours(take("a").await);
    assert_eq!(take("b").await, Held::By("a".into()));
    assert_eq!(ours(take("a").await), first, "renewed");
    let found = |id: &str| {
        let batch = AlertBatch { episodes: vec![episode(id, 10, None)], ..AlertBatch::default() };
        Batches::from([(HOST.to_owned(), batch)])
    };
    assert!(store.save_all_alerts(Some(&first), &found("one")).await.unwrap());
    // Frozen for longer than it lasts.
    tokio::time::sleep(lasts + Duration::from_millis(50)).await;
    assert!(!store.has_lease(&first).await.unwrap());
    let second = ours(take("b").await);
    assert!(!store.save_all_alerts(Some(&first), &found("two")).await.unwrap());
    assert!(store.save_all_alerts(Some(&second), &found("three")).await.unwrap());
    let open = store.open_episodes(&[HOST.to_owned()]).await.unwrap();
    assert_eq!(open.iter().map(|episode| &*episode.id).collect::<Vec<_>>(), ["one", "three"]);
    // A clean stop lets others have it at once, but only what one has.
    store.end_lease(&first).await.unwrap();
    assert!(store.has_lease(&second).await.unwrap());
    store.end_lease(&second).await.unwrap();
    let third = ours(take("a").await);
    assert!(third.term > second.term && second.term > first.term);
    assert!(!store.save_all_alerts(Some(&first), &found("four")).await.unwrap(), "of an earlier term");
}

async fn alerts_of_several_hosts_are_told_apart(fresh: &Fresh) {
    let store = &fresh.store;
    let ids = |episodes: Vec<Episode>| episodes.into_iter().map(|one| (one.host, one.id)).collect::<Vec<_>>();
    let mut batches = Batches::new();
    for (n, host) in (1..).zip(["a", "b", "c"]) {
        let episode = Episode { host: host.to_owned(), ..episode(&format!("e{n}"), n, None) };
        let state = AlertState { rule: "r".into(), series: "{}".into(), state: "{}".into() };
        let event = Event {
            key: n.to_string(),
            episode: episode.id.clone(),
            kind: "raised".into(),
            at: n,
            payload: "{}".into(),
        };
        let batch = AlertBatch {
            put: vec![state],
            episodes: vec![episode],
            events: vec![event],
            ..AlertBatch::default()
        };
        batches.insert(host.to_owned(), batch);
    }
    assert!(store.save_all_alerts(None, &batches).await.unwrap());
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
    let pair = |host: &str, id: &str| (host.to_owned(), id.to_owned());
    assert_eq!(
        ids(store.open_episodes(&hosts(&["a", "c"])).await.unwrap()),
        [pair("a", "e1"), pair("c", "e3")]
    );
    assert_eq!(ids(store.open_episodes(&[]).await.unwrap()), []);
    let newest = store.episodes(&hosts(&["a", "b"]), Some("disk-full"), i64::MAX, 1).await.unwrap();
    assert_eq!(ids(newest), [pair("b", "e2")]);
    assert_eq!(store.episode(&hosts(&["a", "b"]), "e3").await.unwrap(), None);
    assert_eq!(store.episode_counts(&hosts(&["b", "c"]), 0).await.unwrap(), [("disk-full".to_owned(), 2, 0)]);
    let mut stored: Vec<String> =
        store.all_alert_states().await.unwrap().into_iter().map(|(host, _)| host).collect();
    stored.sort();
    assert_eq!(stored, ["a", "b", "c"]);
    let queued = async |host| {
        store
            .unrouted_events(host, 9)
            .await
            .unwrap()
            .into_iter()
            .map(|queued| queued.host)
            .collect::<Vec<_>>()
    };
    assert_eq!((queued(None).await, queued(Some("b")).await), (hosts(&["a", "b", "c"]), hosts(&["b"])));
}
