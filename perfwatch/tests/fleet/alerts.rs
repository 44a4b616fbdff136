//! Alerts of a fleet: one hub tells them, another continues, and what many hosts have at once is one message.

use perfwatch::alerts::channel::{Channel, Kind, Secret};
use perfwatch::alerts::channels::Options;
use perfwatch::alerts::delivery::{Delivery, Times};
use perfwatch::alerts::duty::Duty;
use perfwatch::alerts::fleet::{Parts as Judging, Running};
use perfwatch::alerts::inputs::{Gatherer, Wanted};
use perfwatch::alerts::message::Place;
use perfwatch::alerts::service::Alerts;
use perfwatch::app::fleet::Ears;
use perfwatch::fleet::hub::hearing::Hearing;
use perfwatch::store::alerts::Episode;
use serde_json::Value;

use super::processes::{HubProcess, start};
use super::receiver::Receiver;
use super::*;

const LASTS: Duration = Duration::from_secs(2);

const RULES: &str = r#"
[[rule]]
name = "busy"
summary = "CPU at {value}"
field = "cpu.usage_percent"
warning = { above = 90, clear = 50 }
for = "30s"
keep_firing_for = "10s"

[[rule]]
name = "host-silent"
summary = "Nothing was heard of it for {value}"
field = "presence.silent_seconds"
critical = { above = 2, clear = 1 }
keep_firing_for = "1s"
"#;

fn times(group_wait: Duration) -> Times {
    let pause = Duration::from_millis(50);
    Times { look: pause, group_wait, first_retry: pause, ..Times::default() }
}

fn channel(kind: Kind, url: &str) -> Channel {
    Channel { name: "all".into(), kind, url: Some(Secret::new(url.to_owned())), ..Channel::default() }
}

/// What a hub does about alerts, with rules in `dir`.
struct Watching {
    alerts: Alerts,
    judging: Running,
    hearing: Hearing,
    duty: perfwatch::alerts::duty::Keeping,
}

async fn watch(
    name: &str,
    fleet: &config::Fleet,
    (store, presence): (&Arc<dyn Store>, &Presence),
    (dir, channel): (&Path, Channel),
) -> Watching {
    std::fs::write(dir.join("rules.toml"), RULES).unwrap();
    let place = Place { host_name: name.into(), is_fleet: true, ..Place::default() };
    let options = Options { given: vec![channel], place, ..Options::default() };
    let duty = Duty::of_hub(store.clone(), name, LASTS);
    let history = History::new(store.clone(), name);
    let alerts = Alerts::of_hub(store.clone(), history, dir.to_owned(), options, duty);
    let heard = Hearing::spawn(fleet, presence.clone()).await.unwrap();
    let duty = alerts.duty().keep();
    let judging = Running::spawn(Judging {
        alerts: alerts.clone(),
        hearing: Arc::new(Ears { line: heard.line, presence: presence.clone() }),
        messages: heard.answers,
        wanted: heard.wanted,
        pace: Duration::from_millis(200),
    });
    Watching { alerts, judging, hearing: heard.hearing, duty }
}

impl Watching {
    fn deliver(&self, group_wait: Duration) -> tokio::task::JoinHandle<()> {
        let threads = tokio::runtime::Handle::current();
        Delivery::new(self.alerts.clone(), threads, times(group_wait)).spawn()
    }

    async fn on_duty(&self) {
        until("the duty", async || self.alerts.duty().charge()).await;
    }

    async fn close(self) {
        self.judging.close().await;
        self.duty.close().await;
        self.hearing.close();
    }
}

/// Answers what hubs ask, with these seconds of one use of the CPUs.
async fn answer(sender: &Sender, seconds: std::ops::Range<i64>, usage: f64) {
    let text = until("a question", async || sender.inputs().wanted()).await;
    let mut gatherer = Gatherer::new(HOST, Arc::new(Wanted::parse(&text).unwrap()));
    for second in seconds.step_by(5) {
        let cpu = readings::reading(MetricType::Cpu, at(second), &json!({"usage_percent": usage}));
        gatherer.add(&Snapshot::new(at(second), vec![cpu]), |_| None);
    }
    sender.inputs().answer(gatherer.finish().unwrap()).await;
}

async fn open(store: &Arc<dyn Store>) -> Vec<Episode> {
    let open = store.open_episodes(&[HOST.to_owned()]).await.unwrap();
    open.into_iter().filter(|episode| episode.rule == "busy").collect()
}

/// The events of a rule that a webhook got, as kind, host and key.
fn told(receiver: &Receiver, rule: &str) -> Vec<[String; 3]> {
    let events = receiver.requests().into_iter().flat_map(|(_, body)| body["events"].as_array().cloned());
    let of_rule = events.flatten().filter(|event| event["rule"] == rule);
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    of_rule.map(|event| ["event", "host_name", "key"].map(|key| text(&event, key))).collect()
}

/// Killed between raising and sending: whoever takes over tells it, once, and its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hubs_one_tells_and_the_other_continues_when_it_is_killed() {
    const TEST: &str = "of_two_hubs_one_tells_and_the_other_continues_when_it_is_killed";
    let Some(nats) = nats(TEST).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut urls = vec![store::sqlite_url(dir.path())];
    match cluster().await {
        Ok(cluster) => urls.push(cluster.database().await),
        Err(reason) => println!("SKIPPED: {TEST}: {reason}"),
    }
    for url in urls {
        let store = store::open(&url).await.unwrap();
        let webhook = Receiver::start(&[]).await;
        let taking = hub(&nats, &store).await;
        let machine = Machine::start(&dir.path().join(url.len().to_string()), HOST);
        let sender = machine.sender(HOST, &nats).await;
        until("the host", async || store.hosts().await.unwrap().pop()).await;

        let (fleet, rules) = (fleet(&nats), tempfile::tempdir().unwrap());
        let of_channel = || channel(Kind::Webhook, &webhook.url);
        let (started, first) = tokio::sync::oneshot::channel();
        let (kill, killed) = tokio::sync::oneshot::channel::<()>();
        let (url, fleet_of_first, dir_of_first) = (url.clone(), fleet.clone(), rules.path().to_owned());
        let channel_of_first = of_channel();
        // In a runtime of its own, which ends at a moment's notice.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                let (store, presence) = (store::open(&url).await.unwrap(), Presence::default());
                let place = (dir_of_first.as_path(), channel_of_first);
                let watching = watch("first", &fleet_of_first, (&store, &presence), place).await;
                watching.on_duty().await;
                let _ = started.send(());
                let _ = killed.await;
                // Nothing is closed.
                std::mem::forget(watching);
            });
            runtime.shutdown_background();
        });
        first.await.unwrap();
        let second = watch("second", &fleet, (&store, &taking.presence), (rules.path(), of_channel())).await;
        let delivering = second.deliver(Duration::ZERO);
        let raised = until("an alert that is stored", async || {
            answer(&sender, 0..60, 95.0).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            open(&store).await.pop()
        })
        .await;
        // By the clock of the readings.
        assert_eq!(raised.raised_at, at(30).unix_timestamp() * 1_000_000);
        assert_eq!(second.alerts.duty().holder(), Some(("first".to_owned(), false)));
        // Both hubs show it.
        until("what the other found", async || {
            second.alerts.refresh().await.unwrap();
            let seen = second.alerts.current(|host| host == HOST, |_, is_raised| is_raised);
            (seen.len() == 1 && seen[0].rule.name == "busy").then_some(())
        })
        .await;
        assert_eq!(told(&webhook, "busy"), [[""; 3]; 0], "whoever is not on duty tells nothing");

        drop(kill);
        thread.join().unwrap();
        second.on_duty().await;
        until("the message", async || (!told(&webhook, "busy").is_empty()).then_some(())).await;
        until("the end", async || {
            answer(&sender, 65..120, 10.0).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            (told(&webhook, "busy").len() > 1).then_some(())
        })
        .await;
        let events = told(&webhook, "busy");
        let kinds: Vec<[&str; 2]> =
            events.iter().map(|[kind, host, _]| [kind.as_str(), host.as_str()]).collect();
        assert_eq!(kinds, [["raised", "web"], ["cleared", "web"]]);
        assert_eq!(open(&store).await, []);

        delivering.abort();
        second.close().await;
        // A clean stop leaves the duty to others at once.
        let third = watch("third", &fleet, (&store, &taking.presence), (rules.path(), of_channel())).await;
        let since = Instant::now();
        third.on_duty().await;
        assert!(since.elapsed() < LASTS, "{:?}", since.elapsed());
        third.close().await;
        sender.close().await;
        let has_said_goodbye = async || taking.presence.heard(HOST).filter(|(_, is_leaving)| *is_leaving);
        until("a machine that stops and says so", has_said_goodbye).await;
        machine.writer.close().await;
        taking.receiver.close().await;
        nats.stream().await.delete_stream("PERFWATCH").await.unwrap();
    }
}

/// Signs of life of some hosts, until it is aborted.
fn living(nats: &nats::Nats, hosts: usize) -> tokio::task::JoinHandle<()> {
    let url = nats.url();
    tokio::spawn(async move {
        let client = async_nats::connect(url).await.unwrap();
        loop {
            for n in 0..hosts {
                let sent = OffsetDateTime::now_utc().unix_timestamp() * 1_000_000;
                let sign = json!({"host": format!("host-{n}"), "sent": sent}).to_string();
                let _ = client.publish(format!("perfwatch.v1.alive.host-{n}"), sign.into()).await;
            }
            let _ = client.flush().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
}

#[tokio::test]
async fn thirty_silent_hosts_are_one_message_and_silence_of_nats_is_none() {
    const TEST: &str = "thirty_silent_hosts_are_one_message_and_silence_of_nats_is_none";
    const HOSTS: usize = 30;
    let Some(mut nats) = nats(TEST).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    for n in 0..HOSTS {
        store.introduce(&Host::new(&format!("host-{n}"), &format!("web{n}"))).await.unwrap();
    }
    let chat = Receiver::start(&[]).await;
    let taking = hub(&nats, &store).await;
    let signs = living(&nats, HOSTS);
    let of_channel = channel(Kind::Slack, &chat.url);
    let watching = watch("hub", &fleet(&nats), (&store, &taking.presence), (dir.path(), of_channel)).await;
    let delivering = watching.deliver(Duration::from_millis(1500));
    let raised = || watching.alerts.current(|_| true, |_, is_raised| is_raised).len();
    let known = || watching.alerts.current(|_| true, |status, _| status.as_str() == "ok").len();
    until("all hosts", async || (known() == HOSTS).then_some(())).await;
    assert_eq!((raised(), chat.requests().len()), (0, 0));

    signs.abort();
    let texts = || chat.requests().into_iter().map(|(_, body)| body.to_string()).collect::<Vec<_>>();
    until("a message", async || (!texts().is_empty()).then_some(())).await;
    assert_eq!(raised(), HOSTS);
    assert!(texts()[0].contains("[critical] host-silent on 30 hosts: 30 alerts"), "{:?}", texts());
    let signs = living(&nats, HOSTS);
    until("its end", async || (texts().len() > 1).then_some(())).await;
    assert!(texts()[1].contains("[resolved] host-silent on 30 hosts: 30 alerts"), "{:?}", texts());

    nats.kill();
    let unknown = || watching.alerts.current(|_| true, |status, _| status.as_str() == "no_data").len();
    until("no data", async || (unknown() == HOSTS).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    nats.run().await;
    until("all hosts again", async || (known() == HOSTS).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((raised(), texts().len()), (0, 2), "{:?}", texts());
    signs.abort();
    delivering.abort();
    watching.close().await;
    taking.receiver.close().await;
}

/// The program itself: an agent's own readings raise an alert at a hub within seconds, and one webhook gets it.
#[tokio::test]
async fn what_an_agent_measures_is_told_by_its_hub() {
    const TEST: &str = "what_an_agent_measures_is_told_by_its_hub";
    /// More than whatever else this machine does meanwhile.
    const MORE: usize = 500;
    let Some(nats) = nats(TEST).await else { return };
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let sockets = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let udp = sockets.lines().find_map(|line| line.strip_prefix("UDP: inuse ")).unwrap();
    let usual: usize = udp.split(' ').next().unwrap().parse().unwrap();
    let rule = format!(
        "[[rule]]\nname = \"sockets\"\nsummary = \"{{value}} sockets\"\nfield = \"network.connections.udp\"\n\
         warning = {{ above = {} }}\nfor = \"2s\"\nkeep_firing_for = \"1s\"\n",
        usual + MORE / 2
    );
    std::fs::write(dirs[2].path().join("rules.toml"), rule).unwrap();
    let webhook = Receiver::start(&[]).await;
    let rules = dirs[2].path().display().to_string();
    let settings = [("PERFWATCH_ALERTS_DIR", rules.as_str()), ("PERFWATCH_ALERT_WEBHOOK_URL", &webhook.url)];
    let hub = HubProcess::start_with(dirs[0].path(), &nats, &settings).await;
    let (agent, _) = start("agent", dirs[1].path(), &nats, &[("PERFWATCH_HOST_ID", "web.1")]);
    let rule = async || {
        let answer = hub.get("/api/alerts/rules?host=web.1").await;
        let rules = answer["rules"].as_array().cloned().unwrap_or_default();
        rules.into_iter().find(|rule| rule["name"] == "sockets")
    };
    until("a rule that is evaluated", async || rule().await.filter(|rule| rule["state"] == "ok")).await;
    let open: Vec<std::net::UdpSocket> =
        (0..MORE).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let since = Instant::now();
    let alert = until("an alert", async || {
        let answer = hub.get("/api/alerts").await;
        assert!(answer["is_fleet"] == true && answer["evaluated_by"].is_string(), "{answer}");
        answer["alerts"].as_array().unwrap().iter().find(|alert| alert["state"] == "firing").cloned()
    })
    .await;
    println!("raised after {:?}", since.elapsed());
    assert_eq!((&alert["rule"], &alert["host"]), (&json!("sockets"), &json!("web.1")));
    drop(open);
    webhook.until("one message and its end", |_| told(&webhook, "sockets").len() >= 2).await;
    let events = told(&webhook, "sockets");
    let kinds: Vec<&str> = events.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert_eq!(kinds, ["raised", "cleared"]);
    assert_eq!(hub.get("/api/alerts/history?rule=sockets").await["episodes"][0]["host"], "web.1");
    drop(agent);
}
