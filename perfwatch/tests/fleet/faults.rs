//! NATS away, hubs that die between the commit and the acknowledgement, copies.

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy};
use futures_util::StreamExt;
use perfwatch::fleet::hub::accept::{Verdict, check, store as store_packet};
use perfwatch::store::chunks::ChunkStore;

use super::*;

#[tokio::test]
async fn while_nats_is_away_history_waits_on_disk_and_then_arrives() {
    const TEST: &str = "while_nats_is_away_history_waits_on_disk_and_then_arrives";
    let Some(mut nats) = nats(TEST).await else { return };
    for (store, _dir) in engines(TEST).await {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(dir.path(), HOST);
        let hub = hub(&nats, &store).await;
        let sender = machine.sender(HOST, &nats).await;
        machine.measure(0..120).await;
        arrived(&store, HOST, 120).await;
        nats.kill();
        machine.measure(120..240).await;
        assert!(machine.outbox.len() >= 4, "{}", machine.outbox.len());
        until("both to tell", async || (hub.stats.unread() && sender.seen().health.failing()).then_some(()))
            .await;
        assert_eq!(count(&store, HOST, "1s").await, 120);
        // The machine restarts while NATS is away.
        sender.close().await;
        machine.writer.close().await;
        let machine = Machine::start(dir.path(), HOST);
        assert!(machine.outbox.len() >= 4);
        let sender = machine.sender(HOST, &nats).await;
        machine.measure(240..300).await;
        nats.run().await;
        arrived(&store, HOST, 300).await;
        until("an empty outbox", async || machine.outbox.is_empty().then_some(())).await;
        assert_eq!((machine.outbox.lost(), machine.outbox.shed(), hub.stats.set_aside()), (0, 0, 0));
        assert!(!hub.stats.unread());
        sender.close().await;
        machine.writer.close().await;
        hub.receiver.close().await;
        nats.stream().await.delete_stream("PERFWATCH").await.unwrap();
    }
}

/// Before any hub ever ran there is no stream; nothing is lost meanwhile.
#[tokio::test]
async fn a_machine_that_is_there_before_the_first_hub_keeps_what_it_has() {
    const TEST: &str = "a_machine_that_is_there_before_the_first_hub_keeps_what_it_has";
    let Some(nats) = nats(TEST).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let machine = Machine::start(dir.path(), HOST);
    let sender = machine.sender(HOST, &nats).await;
    machine.measure(0..120).await;
    until("a failed attempt", async || sender.seen().health.failing().then_some(())).await;
    assert_eq!(machine.outbox.len(), 4);
    let hub = hub(&nats, &store).await;
    arrived(&store, HOST, 120).await;
    until("a success", async || (!sender.seen().health.failing()).then_some(())).await;
    sender.close().await;
    machine.writer.close().await;
    hub.receiver.close().await;
}

#[tokio::test]
async fn what_a_hub_stored_before_it_died_is_delivered_again_and_counts_once() {
    const TEST: &str = "what_a_hub_stored_before_it_died_is_delivered_again_and_counts_once";
    let Some(nats) = nats(TEST).await else { return };
    for (store, _dir) in engines(TEST).await {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(dir.path(), HOST);
        // The first hub makes the stream, and goes.
        let first = hub(&nats, &store).await;
        let sender = machine.sender(HOST, &nats).await;
        until("the introduction", async || (first.stats.stored() > 0).then_some(())).await;
        first.receiver.close().await;
        machine.measure(0..120).await;
        until("an empty outbox", async || machine.outbox.is_empty().then_some(())).await;
        // The next commits each packet, and dies before it acknowledges any.
        let consumer: PullConsumer =
            nats.stream().await.get_consumer_from_stream("hub", "PERFWATCH").await.unwrap();
        let chunks: Arc<dyn ChunkStore> = store.clone();
        let mut dead = consumer.fetch().max_messages(4).messages().await.unwrap();
        let mut unacknowledged = Vec::new();
        while let Some(message) = dead.next().await {
            let message = message.unwrap();
            let content = message.subject.rsplit('.').next().unwrap().to_owned();
            let packet = check(HOST, &content, &message.payload).unwrap();
            assert_eq!(store_packet(&chunks, HOST, &[packet]).await.unwrap(), [Verdict::Stored]);
            unacknowledged.push(message);
        }
        assert_eq!(unacknowledged.len(), 4);
        // NATS would wait for half a minute before it gives them to another.
        for message in unacknowledged {
            message.ack_with(AckKind::Nak(None)).await.unwrap();
        }
        let second = hub(&nats, &store).await;
        until("the duplicates", async || (second.stats.duplicates() == 4).then_some(())).await;
        arrived(&store, HOST, 120).await;
        assert_eq!(second.stats.stored(), 0);
        sender.close().await;
        machine.writer.close().await;
        second.receiver.close().await;
        nats.stream().await.delete_stream("PERFWATCH").await.unwrap();
    }
}

#[tokio::test]
async fn copies_die_in_the_stream_and_at_the_store() {
    const TEST: &str = "copies_die_in_the_stream_and_at_the_store";
    let Some(nats) = nats(TEST).await else { return };
    for (store, _dir) in engines(TEST).await {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(dir.path(), HOST);
        machine.measure(0..120).await;
        let copy = tempfile::tempdir().unwrap();
        let files = || std::fs::read_dir(dir.path().join("outbox")).unwrap().map(Result::unwrap);
        for file in files() {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let hub = hub(&nats, &store).await;
        let sender = machine.sender(HOST, &nats).await;
        arrived(&store, HOST, 120).await;
        until("an empty outbox", async || machine.outbox.is_empty().then_some(())).await;
        sender.close().await;
        // The disk was put back to what it was before: the stream knows the IDs of all.
        let again = Outbox::open(copy.path(), 64 << 20).unwrap();
        let sender = Sender::spawn(&fleet(&nats), Host::new(HOST, "web"), again.clone(), Duration::ZERO)
            .await
            .unwrap();
        until("an empty outbox", async || again.is_empty().then_some(())).await;
        sender.close().await;
        until("two introductions and four packets", async || (hub.stats.stored() == 6).then_some(())).await;
        assert_eq!(hub.stats.duplicates(), 0, "none came through");
        // Copies that the stream doesn't know any more.
        let machine = Machine::start(&dir.path().join("again"), HOST);
        machine.measure(0..120).await;
        let stream = nats.stream().await;
        while let Some(waiting) = machine.outbox.next(i64::MAX, true) {
            let (packet, bytes) = machine.outbox.read(&waiting).unwrap();
            let subject = perfwatch::fleet::protocol::chunk_subject(HOST, packet.content);
            stream.publish(subject, bytes).await.unwrap().await.unwrap();
            machine.outbox.done(&waiting);
        }
        until("the duplicates", async || (hub.stats.duplicates() == 4).then_some(())).await;
        arrived(&store, HOST, 120).await;
        hub.receiver.close().await;
        machine.writer.close().await;
        stream.delete_stream("PERFWATCH").await.unwrap();
    }
}

/// A copy that arrives after retention replaced its readings by their minutes must not count again in those.
#[tokio::test]
async fn a_copy_that_comes_after_retention_counts_once() {
    const TEST: &str = "a_copy_that_comes_after_retention_counts_once";
    for (store, _dir) in engines(TEST).await {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(dir.path(), HOST);
        machine.measure(0..3600).await;
        let chunks: Arc<dyn ChunkStore> = store.clone();
        let mut packets = Vec::new();
        while let Some(waiting) = machine.outbox.next(i64::MAX, true) {
            packets.push(machine.outbox.read(&waiting).unwrap().0);
            machine.outbox.done(&waiting);
        }
        for packet in &packets {
            assert_eq!(
                store_packet(&chunks, HOST, std::slice::from_ref(packet)).await.unwrap(),
                [Verdict::Stored]
            );
        }
        let end = i64::try_from(at(3600).unix_timestamp_nanos() / 1000).unwrap();
        let readings = |packet: &&perfwatch::fleet::protocol::Packet| packet.chunks[0].tier == 0;
        for (tier, verdict) in [(0, Verdict::Duplicate), (60, Verdict::Expired)] {
            store.remove_before(HOST, tier, end).await.unwrap();
            for packet in packets.iter().filter(readings) {
                assert_eq!(
                    store_packet(&chunks, HOST, std::slice::from_ref(packet)).await.unwrap(),
                    std::slice::from_ref(&verdict),
                    "tier {tier}"
                );
            }
        }
        machine.writer.close().await;
    }
}

/// A full stream refuses; what it refuses waits where it was measured.
#[tokio::test]
async fn a_stream_that_is_full_is_filled_again_once_there_is_room() {
    const TEST: &str = "a_stream_that_is_full_is_filled_again_once_there_is_room";
    let Some(nats) = nats(TEST).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    // The administrator's own stream, which hubs leave as it is: there is room for an introduction, but no packet.
    let stream = |max_bytes| stream::Config {
        name: "PERFWATCH".to_owned(),
        subjects: vec!["perfwatch.v1.chunk.>".to_owned(), "perfwatch.v1.host.>".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes,
        ..stream::Config::default()
    };
    let context = nats.stream().await;
    context.create_stream(stream(500)).await.unwrap();
    let hub = hub(&nats, &store).await;
    let machine = Machine::start(dir.path(), HOST);
    let sender = machine.sender(HOST, &nats).await;
    until("the introduction", async || (hub.stats.stored() == 1).then_some(())).await;
    machine.measure(0..60).await;
    until("a failed attempt", async || sender.seen().health.failing().then_some(())).await;
    assert_eq!((machine.outbox.len(), machine.outbox.lost()), (2, 0));
    context.update_stream(stream(1 << 30)).await.unwrap();
    arrived(&store, HOST, 60).await;
    sender.close().await;
    machine.writer.close().await;
    hub.receiver.close().await;
}

/// What one message cannot carry travels in several.
#[tokio::test]
async fn a_slot_that_exceeds_what_nats_takes_arrives_whole() {
    const TEST: &str = "a_slot_that_exceeds_what_nats_takes_arrives_whole";
    let started = nats::Nats::start_with("max_payload: 8192", "").await;
    let Some(nats) = or_skipped(TEST, started) else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let hub = hub(&nats, &store).await;
    let machine = Machine::start(dir.path(), HOST);
    for second in 0..60 {
        // A kilobyte and a half that can't be compressed.
        machine.writer.submit_waiting(Arc::new(live::large(second, 200))).await;
    }
    machine.writer.drained().await;
    let sender = machine.sender(HOST, &nats).await;
    arrived(&store, HOST, 60).await;
    until("an empty outbox", async || machine.outbox.is_empty().then_some(())).await;
    assert_eq!((machine.outbox.lost(), machine.outbox.shed(), hub.stats.set_aside()), (0, 0, 0));
    assert!(hub.stats.stored() > 5, "{}", hub.stats.stored());
    sender.close().await;
    machine.writer.close().await;
    hub.receiver.close().await;
}

#[tokio::test]
async fn while_the_database_is_away_history_waits_in_the_stream() {
    const TEST: &str = "while_the_database_is_away_history_waits_in_the_stream";
    let Some(nats) = nats(TEST).await else { return };
    let mut cluster = match postgres::Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => return println!("SKIPPED: {TEST}: {reason}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&cluster.database().await).await.unwrap();
    let hub = hub(&nats, &store).await;
    let machine = Machine::start(dir.path(), HOST);
    let sender = machine.sender(HOST, &nats).await;
    machine.measure(0..60).await;
    arrived(&store, HOST, 60).await;
    cluster.kill();
    machine.measure(60..180).await;
    until("a failure", async || hub.stats.failing().then_some(())).await;
    until("an empty outbox", async || machine.outbox.is_empty().then_some(())).await;
    cluster.run().await;
    until("a success", async || (!hub.stats.failing()).then_some(())).await;
    arrived(&store, HOST, 180).await;
    assert_eq!(hub.stats.set_aside(), 0);
    sender.close().await;
    machine.writer.close().await;
    hub.receiver.close().await;
    store.close().await;
}
