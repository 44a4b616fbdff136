use std::collections::HashSet;

use super::*;
use crate::alerts::compile::Compiled;
use crate::alerts::event::Payload;
use crate::alerts::period::Period;
use crate::history::testing::{START, reading};
use crate::snapshot::Snapshot;
use crate::store::alerts::Event;
use crate::store::micros;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) struct Live(pub(crate) Snapshot, pub(crate) Option<&'static str>);

impl Tick for Live {
    type Rows = crate::snapshot::Reading;

    fn at(&self) -> i64 {
        micros(self.0.timestamp)
    }

    fn apart(&self) -> i64 {
        5_000_000
    }

    fn rows(&self, of: MetricType) -> Option<&Self::Rows> {
        self.0.reading(of)
    }

    fn absent(&self, _: MetricType) -> Option<Arc<str>> {
        self.1.map(Into::into)
    }
}

fn rules(texts: &[&str]) -> Vec<(Arc<Rule>, Arc<Compiled>)> {
    let compiled = texts.iter().map(|text| {
        let rule: Rule = toml::from_str(text).unwrap();
        let compiled = Compiled::new(&rule, Period::seconds(30 * 86_400)).unwrap();
        (Arc::new(rule), Arc::new(compiled))
    });
    compiled.collect()
}

fn evaluator(texts: &[&str], states: Vec<AlertState>) -> Evaluator {
    let mut evaluator = Evaluator::new("host", states);
    evaluator.set_rules(rules(texts), 0, &mut AlertBatch::default());
    evaluator
}

fn at(seconds: i64, of: MetricType, body: &Value) -> Live {
    let reading = reading(of, seconds, body);
    Live(Snapshot::new(reading.at, vec![reading]), None)
}

fn disk(seconds: i64, used: &[(&str, Option<f64>)]) -> Live {
    let partition = |(mountpoint, used): &(&str, Option<f64>)| {
        json!({"device": "/dev/sda1", "mountpoint": mountpoint, "fstype": "ext4", "total_bytes": 1000,
               "used_bytes": used, "free_bytes": 1, "usage_percent": used})
    };
    at(seconds, MetricType::Disk, &json!({"partitions": used.iter().map(partition).collect::<Vec<_>>()}))
}

fn told(batch: &AlertBatch) -> Vec<String> {
    let one = |event: &Event| {
        let payload: Payload = serde_json::from_str(&event.payload).unwrap();
        format!("{} {}", event.kind, payload.summary)
    };
    batch.events.iter().map(one).collect()
}

const FULL: &str = "name = \"full\"\nsummary = \"{mountpoint} {value}\"\nfield = \"disk.partitions.used_bytes\"\n\
                    of = \"disk.partitions.total_bytes\"\nwarning = { above = 90, clear = 80 }";

fn run(evaluator: &mut Evaluator, tick: &Live) -> AlertBatch {
    let mut batch = AlertBatch::default();
    evaluator.evaluate(tick, &mut batch);
    batch
}

#[test]
fn each_thing_is_compared_with_its_own_whole() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    assert!(run(&mut evaluator, &disk(0, &[("/", Some(100.0)), ("/var", Some(100.0))])).is_empty());
    let batch = run(&mut evaluator, &disk(5, &[("/", Some(100.0)), ("/var", Some(950.0))]));
    assert_eq!(told(&batch), ["raised /var 95.0 %"]);
    assert_eq!((batch.episodes.len(), batch.put.len()), (1, 1));
    // It is unmounted: no longer full.
    let batch = run(&mut evaluator, &disk(10, &[("/", Some(100.0))]));
    assert_eq!(told(&batch), ["cleared /var ?"]);
    assert_eq!(batch.episodes[0].peak, 95.0);
}

#[test]
fn sums_and_chosen_things() {
    let sum = "name = \"sum\"\nfield = \"disk.partitions.used_bytes\"\nsum = true\nlabels = { mountpoint = \"!/boot\" }\n\
               warning = { above = 900 }";
    let mut evaluator = evaluator(&[sum], Vec::new());
    let batch = run(&mut evaluator, &disk(0, &[("/", Some(500.0)), ("/boot", Some(500.0))]));
    assert_eq!(told(&batch), [""; 0]);
    let batch = run(&mut evaluator, &disk(5, &[("/", Some(500.0)), ("/var", Some(500.0))]));
    assert_eq!(told(&batch), ["raised sum"]);
}

#[test]
fn no_data_is_not_absent_hardware() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    run(&mut evaluator, &disk(0, &[("/", Some(950.0))]));
    let failed =
        crate::snapshot::Reading::failed(MetricType::Disk, START + time::Duration::seconds(5), "it hangs");
    let tick = Live(Snapshot::new(failed.at, vec![failed.clone()]), None);
    assert_eq!(told(&run(&mut evaluator, &tick)), [""; 0], "what was raised stays");
    let thing = &evaluator.rules()[0].things[0];
    assert_eq!((thing.memory.status, thing.memory.reason.as_deref()), (Status::NoData, Some("it hangs")));
    let tick =
        Live(Snapshot::new(failed.at + time::Duration::seconds(5), vec![failed]), Some("no such device"));
    assert_eq!(told(&run(&mut evaluator, &tick)), ["cleared / ?"]);
    assert_eq!(evaluator.rules()[0].things[0].memory.status, Status::NotApplicable);

    let run_queue = "name = \"q\"\nfield = \"cpu.temperature\"\nwarning = { above = 90 }";
    evaluator = Evaluator::new("host", Vec::new());
    evaluator.set_rules(rules(&[run_queue]), 0, &mut AlertBatch::default());
    let sensor = |seconds, value: Value| at(seconds, MetricType::Cpu, &json!({"temperature": value}));
    run(&mut evaluator, &sensor(0, Value::Null));
    let status = |evaluator: &Evaluator| evaluator.rules()[0].things[0].memory.status;
    assert_eq!(evaluator.rules()[0].note.as_ref().unwrap().0, Status::NotApplicable, "it never had a value");
    run(&mut evaluator, &sensor(5, json!(50)));
    assert_eq!(status(&evaluator), Status::Ok);
    run(&mut evaluator, &sensor(10, Value::Null));
    assert_eq!(status(&evaluator), Status::NoData, "it had one");
    run(&mut evaluator, &disk(15, &[]));
    assert_eq!(evaluator.rules()[0].note.as_ref().unwrap().0, Status::NoData, "no reading at all");
}

#[test]
fn what_is_missing_says_so() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    run(&mut evaluator, &disk(0, &[]));
    let note = evaluator.rules()[0].note.clone().unwrap();
    assert_eq!(
        (note.0, &*note.1),
        (Status::NotApplicable, "None of the partitions on this machine is meant and has a value")
    );
}

#[test]
fn a_latency_without_requests_is_no_alarm_and_no_gap() {
    let rule = "name = \"p99\"\nfield = \"block_io.devices.read.p99_us\"\nwarning = { above = 1000 }";
    let mut evaluator = evaluator(&[rule], Vec::new());
    let histogram = json!({"unit": "ns", "scheme": "log16", "buckets": [], "count": 0, "sum": 0, "max": 0});
    let body = json!({"devices": {"sda": {"read": {"p99_us": null, "histogram": histogram}}}});
    run(&mut evaluator, &at(0, MetricType::BlockIo, &body));
    assert_eq!(evaluator.rules()[0].things[0].memory.status, Status::Ok);
}

#[test]
fn texts_are_compared_by_name() {
    let rule = "name = \"down\"\nfield = \"network.interfaces.state\"\nis = \"down\"\nlabels = { interface = \"eth*\" }\n\
                warning = { above = 0 }";
    let mut evaluator = evaluator(&[rule], Vec::new());
    let state = |seconds, state: &str| {
        let links = json!([{"name": "eth0", "state": state}, {"name": "lo", "state": "down"}]);
        at(seconds, MetricType::Network, &json!({"interfaces": links}))
    };
    assert_eq!(told(&run(&mut evaluator, &state(0, "up"))), [""; 0]);
    assert_eq!(told(&run(&mut evaluator, &state(5, "down"))), ["raised down"]);
}

#[test]
fn a_rule_that_goes_takes_its_alert_with_it() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    let stored = run(&mut evaluator, &disk(0, &[("/", Some(950.0))])).put;
    let mut batch = AlertBatch::default();
    evaluator.set_rules(Vec::new(), 7, &mut batch);
    assert_eq!(told(&batch), ["cleared / 95.0 %"]);
    assert_eq!(batch.forget.len(), 1);
    // The same if it went while the server was down.
    let mut evaluator = Evaluator::new("host", stored);
    let mut batch = AlertBatch::default();
    evaluator.set_rules(Vec::new(), 7, &mut batch);
    assert_eq!((told(&batch), batch.episodes[0].reason.is_some()), (vec!["cleared full".to_owned()], true));
}

#[test]
fn a_changed_rule_keeps_what_is_raised() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    run(&mut evaluator, &disk(0, &[("/", Some(950.0))]));
    let mut batch = AlertBatch::default();
    evaluator.set_rules(rules(&[&FULL.replace("above = 90", "above = 99")]), 7, &mut batch);
    assert!(batch.is_empty());
    assert_eq!(told(&run(&mut evaluator, &disk(5, &[("/", Some(950.0))]))), [""; 0]);
    assert_eq!(told(&run(&mut evaluator, &disk(10, &[("/", Some(700.0))]))), ["cleared / 70.0 %"]);
}

#[test]
fn more_things_than_are_watched_are_told() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    let names: Vec<String> = (0..MAX_THINGS + 5).map(|n| format!("/{n}")).collect();
    let many: Vec<(&str, Option<f64>)> = names.iter().map(|name| (name.as_str(), Some(1.0))).collect();
    run(&mut evaluator, &disk(0, &many));
    assert_eq!((evaluator.rules()[0].things.len(), evaluator.rules()[0].is_cut), (MAX_THINGS, true));
    run(&mut evaluator, &disk(5, &many[..9]));
    assert_eq!((evaluator.rules()[0].things.len(), evaluator.rules()[0].is_cut), (9, false));
}

#[test]
fn a_value_that_is_missing_at_a_restart_clears_nothing() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    let states = run(&mut evaluator, &disk(0, &[("/", Some(950.0))])).put;
    let mut evaluator = Evaluator::new("host", states);
    evaluator.set_rules(rules(&[FULL]), 0, &mut AlertBatch::default());
    assert_eq!(told(&run(&mut evaluator, &disk(5, &[("/", None)]))), [""; 0]);
    assert_eq!(evaluator.rules()[0].things[0].memory.status, Status::NoData);
    assert_eq!(told(&run(&mut evaluator, &disk(10, &[("/", Some(100.0))]))), ["cleared / 10.0 %"]);
}

#[test]
fn what_is_watched_stays_watched_when_others_go_and_come() {
    let mut evaluator = evaluator(&[FULL], Vec::new());
    let names: Vec<String> = (0..2 * MAX_THINGS).map(|n| format!("/{n}")).collect();
    let things = |range: std::ops::Range<usize>, used: f64| -> Vec<(&str, Option<f64>)> {
        names[range].iter().map(|name| (name.as_str(), Some(used))).collect()
    };
    run(&mut evaluator, &disk(0, &things(0..MAX_THINGS, 950.0)));
    // The first few go, and as many others come, which are listed first.
    let left = things(9..MAX_THINGS, 950.0);
    run(&mut evaluator, &disk(5, &left));
    let batch = run(&mut evaluator, &disk(10, &[things(300..400, 1.0), left].concat()));
    assert_eq!(told(&batch), [""; 0], "what is raised is neither cut nor cleared");
    assert_eq!((evaluator.rules()[0].things.len(), evaluator.rules()[0].is_cut), (MAX_THINGS, true));
}

#[test]
fn a_level_is_compared_with_the_past() {
    let rule = "name = \"slow\"\nfield = \"cpu.usage_percent\"\nfunction = \"average\"\nwindow = \"5m\"\n\
                against = \"yesterday\"\nleast = 10\nwarning = { above = 0.5 }";
    let mut evaluator = evaluator(&[rule], Vec::new());
    let tick = |n: i64, value: f64| at(n * 10, MetricType::Cpu, &json!({"usage_percent": value}));
    for n in 0..31 {
        run(&mut evaluator, &tick(n, 60.0 + (n % 5) as f64));
    }
    let status = |evaluator: &Evaluator| evaluator.rules()[0].things[0].memory.status;
    assert_eq!(status(&evaluator), Status::NoData, "its past is not known yet");
    let wanted = evaluator.wanted(micros(START) + 310_000_000);
    assert_eq!((wanted.len(), wanted[0].at), (1, micros(START) + 300_000_000));
    let past = |value: f64| {
        use crate::history::questions::changes::rank::Series;
        let values = (0..30).map(|n| (n, value + (n % 5) as f64)).collect();
        Pasts::from([(Arc::from("{}"), Series::Numbers(values))])
    };
    evaluator.give_past("slow", wanted[0].at, past(55.0));
    run(&mut evaluator, &tick(31, 60.0));
    assert_eq!(status(&evaluator), Status::Ok, "less than the least that matters");
    evaluator.give_past("slow", wanted[0].at + 1, past(20.0));
    run(&mut evaluator, &tick(32, 60.0));
    assert_eq!(status(&evaluator), Status::Firing);
    evaluator.give_past("slow", wanted[0].at + 2, Pasts::new());
    run(&mut evaluator, &tick(33, 60.0));
    assert_eq!(status(&evaluator), Status::NotApplicable, "there was none");
}

proptest! {
    /// Whatever is measured, and wherever the server stops, with or without its last changes stored: what the store
    /// is told alternates for each thing, and open episodes are those that are raised.
    #[test]
    fn raised_and_cleared_alternate_over_any_restart(
        steps in proptest::collection::vec(
            (proptest::collection::vec(proptest::option::of(0.0f64..1000.0), 0..3), 1i64..400, 0u8..8), 1..80),
    ) {
        let rules = [FULL.replace("warning", "for = \"10s\"\nkeep_firing_for = \"10s\"\nwarning")];
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let mut states: HashMap<(String, String), AlertState> = HashMap::new();
        let mut open: HashMap<String, String> = HashMap::new();
        let mut keys = HashSet::new();
        let mut running = evaluator(&rules, Vec::new());
        let mut seconds = 0;
        for (values, later, fate) in steps {
            seconds += later;
            let names = ["/", "/var", "/srv"];
            let used: Vec<(&str, Option<f64>)> = names.into_iter().zip(values).collect();
            let batch = run(&mut running, &disk(seconds, &used));
            // Killed before this was stored: neither the state nor the event is.
            if fate != 0 {
                for (rule, series) in &batch.forget {
                    states.remove(&(rule.clone(), series.clone()));
                }
                for state in &batch.put {
                    states.insert((state.rule.clone(), state.series.clone()), state.clone());
                }
                for (event, episode) in batch.events.iter().zip(&batch.episodes) {
                    prop_assert!(keys.insert(event.key.clone()), "{} twice", event.key);
                    let before = match event.kind.as_str() {
                        "raised" => open.insert(episode.series.clone(), episode.id.clone()),
                        "cleared" => {
                            prop_assert_eq!(open.remove(&episode.series), Some(episode.id.clone()));
                            None
                        }
                        _ => None,
                    };
                    prop_assert_eq!(before, None, "raised twice");
                }
            }
            if fate < 2 {
                running = evaluator(&rules, states.values().cloned().collect());
            } else if fate == 2 {
                // Another hub takes over, and shows what it finds before it hears anything.
                running = Evaluator::new("host", states.values().cloned().collect());
                running.show_rules(&self::rules(&rules));
                let mut batch = AlertBatch::default();
                running.set_rules(self::rules(&rules), seconds, &mut batch);
                prop_assert_eq!(batch, AlertBatch::default());
            }
        }
    }
}
