//! What happens to the network: a node of a NATS cluster dies, a machine's link is cut.

use std::process::Command;

use super::*;

/// A network namespace with a link to a machine and one to hubs, removed when dropped.
struct Links {
    namespace: String,
    /// Of the links, on this side.
    names: [String; 2],
}

/// For tests of networks; the first is the machine's link.
const SERVER: [&str; 2] = ["198.18.77.2", "198.18.77.6"];
const CLIENT: [&str; 2] = ["198.18.77.1", "198.18.77.5"];

fn ip(arguments: &str) -> Result<(), String> {
    let done =
        Command::new("ip").args(arguments.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    let told = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    done.status.success().then_some(()).ok_or_else(|| format!("ip {arguments}: {told}"))
}

impl Links {
    /// `Err` says why there can be none on this machine.
    fn make() -> Result<Self, String> {
        let id = std::process::id() % 1_000_000;
        let links = Self { namespace: format!("pw{id}"), names: [format!("pw{id}a"), format!("pw{id}b")] };
        ip(&format!("netns add {}", links.namespace))?;
        for (n, name) in links.names.iter().enumerate() {
            let inside = format!("-n {} ", links.namespace);
            ip(&format!("link add {name} type veth peer name peer netns {}", links.namespace))?;
            ip(&format!("addr add {}/30 dev {name}", CLIENT[n]))?;
            ip(&format!("link set {name} up"))?;
            ip(&format!("{inside}link set peer name in{n}"))?;
            ip(&format!("{inside}addr add {}/30 dev in{n}", SERVER[n]))?;
            ip(&format!("{inside}link set in{n} up"))?;
        }
        Ok(links)
    }

    fn cut(&self) {
        ip(&format!("-n {} link set in0 down", self.namespace)).unwrap();
    }

    fn mend(&self) {
        ip(&format!("-n {} link set in0 up", self.namespace)).unwrap();
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // The links go with it.
        let _ = ip(&format!("netns del {}", self.namespace));
    }
}

/// An hour passes by the clock of the snapshots.
#[tokio::test]
async fn a_machine_that_was_cut_off_for_an_hour_sends_all_of_it() {
    const TEST: &str = "a_machine_that_was_cut_off_for_an_hour_sends_all_of_it";
    let Some(links) = or_skipped(TEST, Links::make()) else { return };
    let Some(nats) = or_skipped(TEST, nats::Nats::start_in(&links.namespace).await) else { return };
    let through = |server: &str| config::Fleet { servers: vec![nats.url_of(server)], ..fleet(&nats) };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let hub = hub_of(&through(SERVER[1]), &store).await;
    let machine = Machine::start(dir.path(), HOST);
    let of_machine = through(SERVER[0]);
    let sender = Sender::spawn(&of_machine, Host::new(HOST, "web"), machine.outbox.clone(), Duration::ZERO)
        .await
        .unwrap();
    machine.measure(0..60).await;
    arrived(&store, HOST, 60).await;
    links.cut();
    machine.measure(60..3660).await;
    until("a failed attempt", async || sender.seen().health.failing().then_some(())).await;
    assert_eq!(count(&store, HOST, "1s").await, 60);
    assert!(!hub.stats.unread(), "the hub has another link");
    links.mend();
    arrived(&store, HOST, 3660).await;
    until("an empty outbox", async || machine.outbox.is_empty().then_some(())).await;
    assert_eq!((machine.outbox.lost(), machine.outbox.shed(), hub.stats.set_aside()), (0, 0, 0));
    sender.close().await;
    machine.writer.close().await;
    hub.receiver.close().await;
}

/// The stream has a copy on each of three servers; one that is killed is missed by nobody.
#[tokio::test]
async fn a_node_of_three_is_killed_and_nothing_is_lost() {
    const TEST: &str = "a_node_of_three_is_killed_and_nothing_is_lost";
    let Some(mut nodes) = or_skipped(TEST, nats::Nats::cluster().await) else { return };
    let all = config::Fleet {
        servers: nodes.iter().map(nats::Nats::url).collect(),
        stream_replicas: 3,
        ..fleet(&nodes[0])
    };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let hub = hub_of(&all, &store).await;
    let machine = Machine::start(dir.path(), HOST);
    let sender =
        Sender::spawn(&all, Host::new(HOST, "web"), machine.outbox.clone(), Duration::ZERO).await.unwrap();
    machine.measure(0..60).await;
    arrived(&store, HOST, 60).await;
    let leader = nats::leader(&nodes[0]).await;
    let mut measured = 60;
    // The one that leads the stream, and after it has returned, another.
    for node in [leader, (leader + 1) % nodes.len()] {
        nodes[node].kill();
        machine.measure(measured..measured + 300).await;
        measured += 300;
        arrived(&store, HOST, u64::try_from(measured).unwrap()).await;
        nodes[node].run().await;
    }
    until("an empty outbox", async || machine.outbox.is_empty().then_some(())).await;
    assert_eq!((machine.outbox.lost(), machine.outbox.shed(), hub.stats.set_aside()), (0, 0, 0));
    sender.close().await;
    machine.writer.close().await;
    hub.receiver.close().await;
}
