//! What can't be used is set aside, bounded and told, and nothing of it is stored.

use bytes::Bytes;
use futures_util::StreamExt;
use perfwatch::fleet::hub::watching::Watching;
use perfwatch::fleet::live::{Live, Ticks};
use perfwatch::fleet::protocol::{HEADER_REASON, HEADER_SUBJECT, chunk_subject};

use super::*;

#[tokio::test]
async fn garbage_other_versions_and_claims_of_another_s_id_are_set_aside() {
    const TEST: &str = "garbage_other_versions_and_claims_of_another_s_id_are_set_aside";
    let Some(nats) = nats(TEST).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let hub = hub(&nats, &store).await;
    let machine = Machine::start(dir.path(), HOST);
    machine.measure(0..60).await;
    let waiting = machine.outbox.next(i64::MAX, true).unwrap();
    let (packet, sound) = machine.outbox.read(&waiting).unwrap();
    machine.outbox.done(&waiting);
    let subject = chunk_subject(HOST, packet.content);
    let mut other_version = sound.to_vec();
    other_version[3] = 9;
    let mut damaged = sound.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    // A right checksum around content that is no chunk.
    let mut nonsense = packet.clone();
    nonsense.chunks[0].data = Bytes::from_static(b"nonsense");
    let mut wrong_time = packet.clone();
    wrong_time.chunks[0].start += 1;
    wrong_time.chunks[0].first += 1;
    let bad: [(String, Bytes, &str); 8] = [
        (subject.clone(), Bytes::from_static(b"hello"), "no packet"),
        (subject.clone(), Bytes::new(), "too early"),
        (subject.clone(), other_version.into(), "version 9"),
        (subject.clone(), damaged.into(), "checksum"),
        (subject.clone(), nonsense.encode().into(), ""),
        (subject.clone(), wrong_time.encode().into(), "the time that it claims"),
        (chunk_subject("victim", packet.content), sound.clone(), "but was sent as one of \"victim\""),
        ("perfwatch.v1.host.victim".to_owned(), br#"{"host":"web.1","name":"x","facts":{}}"#[..].into(), ""),
    ];
    let stream = nats.stream().await;
    until("the stream", async || stream.get_stream("PERFWATCH").await.ok().map(drop)).await;
    for (subject, payload, _) in &bad {
        stream.publish(subject.clone(), payload.clone()).await.unwrap().await.unwrap();
    }
    until("all set aside", async || (hub.stats.set_aside() == 8).then_some(())).await;
    assert_eq!(hub.stats.stored(), 0);
    assert!(store.hosts().await.unwrap().is_empty(), "nobody is known by what was refused");
    // What is sound still arrives afterwards.
    stream.publish(subject, sound).await.unwrap().await.unwrap();
    until("the sound one", async || (hub.stats.stored() == 1).then_some(())).await;
    let aside = stream.get_stream("PERFWATCH_ASIDE").await.unwrap();
    let kept: async_nats::jetstream::consumer::PullConsumer =
        aside.create_consumer(async_nats::jetstream::consumer::pull::Config::default()).await.unwrap();
    let mut kept = kept.fetch().max_messages(20).messages().await.unwrap();
    let mut told = Vec::new();
    while let Some(message) = kept.next().await {
        let message = message.unwrap();
        let header = |name| message.headers.as_ref().unwrap().get(name).unwrap().as_str().to_owned();
        told.push((header(HEADER_SUBJECT), message.payload.clone(), header(HEADER_REASON)));
    }
    assert_eq!(told.len(), 8);
    for (subject, payload, why) in bad {
        let found = told.iter().any(|told| told.0 == subject && told.1 == payload && told.2.contains(why));
        assert!(found, "{subject}: {why}: {told:?}");
    }
    assert_eq!(stream.get_stream("PERFWATCH").await.unwrap().cached_info().state.messages, 0);
    hub.receiver.close().await;
    machine.writer.close().await;
}

/// The rights of docs/fleet.md.
const RIGHTS: &str = r#"authorization { users: [
    { user: hub, password: h }
    { user: web1, password: w, permissions: {
        publish: ["perfwatch.v1.chunk.web~1.*", "perfwatch.v1.host.web~1", "perfwatch.v1.alive.web~1", "perfwatch.v1.live.web~1"]
        subscribe: ["_INBOX.>", "perfwatch.v1.watch.web~1", "perfwatch.v1.ask.web~1"]
        allow_responses: { max: 64, expires: "30s" }
    } }
] }"#;

#[tokio::test]
async fn a_machine_needs_no_rights_but_on_its_own_subjects() {
    const TEST: &str = "a_machine_needs_no_rights_but_on_its_own_subjects";
    let started = nats::Nats::start_with(RIGHTS, "hub:h@").await;
    let Some(nats) = or_skipped(TEST, started) else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let hub = hub(&nats, &store).await;
    let own = config::Fleet { servers: vec![nats.url_as("web1:w@")], ..fleet(&nats) };
    let machine = Machine::start(dir.path(), HOST);
    machine.measure(0..60).await;
    let sender =
        Sender::spawn(&own, Host::new(HOST, "web"), machine.outbox.clone(), Duration::ZERO).await.unwrap();
    arrived(&store, HOST, 60).await;
    until("a sign of life", async || hub.presence.skew(HOST)).await;
    // It is watched, and answers in several messages.
    let ticks = Ticks::default();
    ticks.publish(&Arc::new(snapshot(60)));
    let live = Live::spawn(sender.client(), HOST, &ticks);
    let watching = Watching::new(hub.receiver.client(), hub.presence.clone());
    let watched = watching.watch(HOST);
    until("a tick", async || watched.hub.latest()).await;
    drop(live);
    let mut asked = sender.client().subscribe("perfwatch.v1.ask.web~1").await.unwrap();
    sender.client().flush().await.unwrap();
    let asking = hub.receiver.client();
    let inbox = asking.new_inbox();
    let mut answers = asking.subscribe(inbox.clone()).await.unwrap();
    let reply = until("a question", async || {
        asking.publish_with_reply("perfwatch.v1.ask.web~1", inbox.clone(), "?".into()).await.unwrap();
        let asked = tokio::time::timeout(Duration::from_millis(500), asked.next()).await;
        asked.ok().flatten()?.reply
    })
    .await;
    for _ in 0..3 {
        sender.client().publish(reply.clone(), "!".into()).await.unwrap();
    }
    let mut answered = 0;
    until("all of an answer", async || {
        // Before it listened, there were no responders.
        answered += usize::from(&answers.next().await.unwrap().payload[..] == b"!");
        (answered == 3).then_some(())
    })
    .await;
    sender.close().await;
    // As another machine, it can send nothing.
    let other = Machine::start(&dir.path().join("other"), "victim");
    other.measure(0..60).await;
    let sender =
        Sender::spawn(&own, Host::new("victim", "web"), other.outbox.clone(), Duration::ZERO).await.unwrap();
    until("a failed attempt", async || sender.seen().health.failing().then_some(())).await;
    assert_eq!(other.outbox.len(), 2);
    assert_eq!(store.hosts().await.unwrap(), [Host::new(HOST, "web")]);
    sender.close().await;
    hub.receiver.close().await;
    machine.writer.close().await;
    other.writer.close().await;
}
