//! The way from a machine to the hub's store while nothing fails.

use perfwatch::history::rollup;
use perfwatch::host::Host;
use perfwatch::store::Engine;
use perfwatch::store::chunks::{Chunk, Content, Wanted};

use super::*;

/// All that is stored of a host.
async fn stored(store: &Arc<dyn Store>, host: &str) -> Vec<Chunk> {
    let mut all = Vec::new();
    for content in Content::all() {
        for tier in [0, 60, 300, 3600] {
            let wanted = Wanted { content, tier, from: i64::MIN, to: i64::MAX };
            all.extend(store.find(host, wanted, 1000).await.unwrap());
        }
    }
    all
}

#[tokio::test]
async fn what_is_sealed_is_on_the_hub_once_and_bit_for_bit() {
    const TEST: &str = "what_is_sealed_is_on_the_hub_once_and_bit_for_bit";
    let Some(nats) = nats(TEST).await else { return };
    let dir = tempfile::tempdir().unwrap();
    // What a server of its own would have stored.
    let local = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let history = History::new(local.clone(), HOST);
    let place = LogPlace { dir: dir.path().join("own"), max_bytes: 64 << 20 };
    let writer = Writer::spawn(history.clone(), place, DocumentDays(0)).unwrap();
    for second in 0..7200 {
        writer.submit_waiting(Arc::new(snapshot(second))).await;
    }
    writer.drained().await;
    writer.close().await;
    rollup::roll(&history, micros(at(10_000))).await.unwrap();

    let machine = Machine::start(dir.path(), HOST);
    machine.measure(0..7200).await;
    let waiting = machine.outbox.len();
    for (store, _dir) in engines(TEST).await {
        // Each engine's own fleet gets all of it from a copy of the outbox.
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(dir.path().join("outbox")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let outbox = Outbox::open(copy.path(), 64 << 20).unwrap();
        let hub = hub(&nats, &store).await;
        let sender = Sender::spawn(&fleet(&nats), Host::new(HOST, "web"), outbox.clone(), Duration::ZERO)
            .await
            .unwrap();
        arrived(&store, HOST, 7200).await;
        until("an empty outbox", async || outbox.is_empty().then_some(())).await;
        // With the host's introduction.
        until("all messages", async || (hub.stats.stored() > waiting as u64).then_some(())).await;
        assert_eq!((hub.stats.duplicates(), hub.stats.set_aside()), (0, 0));
        let here = History::new(store.clone(), HOST);
        rollup::roll(&here, micros(at(10_000))).await.unwrap();
        assert_eq!(stored(&store, HOST).await, stored(&local, HOST).await);
        assert_eq!(store.hosts().await.unwrap(), [Host::new(HOST, "web")]);
        assert_eq!(store.newest().await.unwrap(), [(HOST.to_owned(), micros(at(7199)) + 1)]);
        until("a sign of life", async || hub.presence.skew(HOST)).await;
        sender.close().await;
        hub.receiver.close().await;
        nats.stream().await.delete_stream("PERFWATCH").await.unwrap();
    }
    machine.writer.close().await;
}

/// Hubs take turns: minutes that several chunks share are complete, whichever hub had which.
#[tokio::test]
async fn two_hubs_that_share_a_host_lose_and_double_nothing() {
    const TEST: &str = "two_hubs_that_share_a_host_lose_and_double_nothing";
    let Some(nats) = nats(TEST).await else { return };
    // An SQLite file has one hub.
    let shared = |(store, _): &(Arc<dyn Store>, _)| store.engine() == Engine::Postgresql;
    for (store, _dir) in engines(TEST).await.into_iter().filter(shared) {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(dir.path(), HOST);
        // As after many restarts: each chunk has seven seconds, and each minute is of many chunks.
        for chunk in 0..120 {
            machine.measure(chunk * 7..chunk * 7 + 7).await;
        }
        let sender = machine.sender(HOST, &nats).await;
        let hubs = [hub(&nats, &store).await, hub(&nats, &store).await];
        arrived(&store, HOST, 840).await;
        let stored = || hubs.iter().map(|hub| hub.stats.stored()).sum::<u64>();
        until("all messages", async || (stored() >= 241).then_some(())).await;
        assert_eq!(count(&store, HOST, "1m").await, 840);
        sender.close().await;
        for hub in hubs {
            hub.receiver.close().await;
        }
        machine.writer.close().await;
        nats.stream().await.delete_stream("PERFWATCH").await.unwrap();
    }
}

/// An hour of which part comes late is computed again.
#[tokio::test]
async fn late_minutes_count_in_hours_that_were_computed_without_them() {
    const TEST: &str = "late_minutes_count_in_hours_that_were_computed_without_them";
    let Some(nats) = nats(TEST).await else { return };
    for (store, _dir) in engines(TEST).await {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::start(dir.path(), HOST);
        let hub = hub(&nats, &store).await;
        let sender = machine.sender(HOST, &nats).await;
        let history = History::new(store.clone(), HOST);
        let mut sum = 0;
        for part in [1800..3600, 0..1800] {
            sum += part.end - part.start;
            machine.measure(part).await;
            arrived(&store, HOST, sum.unsigned_abs()).await;
            rollup::roll(&history, micros(at(10_000))).await.unwrap();
            assert_eq!(count(&store, HOST, "1h").await, sum.unsigned_abs());
        }
        sender.close().await;
        hub.receiver.close().await;
        machine.writer.close().await;
        nats.stream().await.delete_stream("PERFWATCH").await.unwrap();
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap()
}
