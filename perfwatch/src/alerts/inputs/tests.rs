use super::*;
use crate::alerts::catalogue::{Catalogue, Over};
use crate::alerts::evaluator::Evaluator;
use crate::alerts::period::Period;
use crate::alerts::rule::Rule;
use crate::history::testing::reading;
use crate::store::alerts::AlertBatch;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn stock() -> Vec<(Arc<Rule>, Arc<Compiled>)> {
    Catalogue::new(Vec::new(), &[], Period::seconds(30 * 86_400), Over::Fleet).running()
}

fn wanted() -> Arc<Wanted> {
    Arc::new(Wanted::of(stock().iter().map(|(_, compiled)| &**compiled)))
}

fn snapshot(second: i64, groups: usize) -> Snapshot {
    let group = |n: usize| {
        json!({"cgroup": format!("/system.slice/service-{n}.service"), "name": format!("service-{n}"),
               "throttled_ms": if n.is_multiple_of(10) { json!(second % 7) } else { Json::Null },
               "memory_bytes": 1_000_000 * n})
    };
    let groups: Vec<Json> = (0..groups).map(group).collect();
    let partition = json!({"device": "/dev/sda1", "mountpoint": "/", "fstype": "ext4", "total_bytes": 1000,
        "used_bytes": 900, "free_bytes": 100, "usage_percent": 90.0 + second as f64 / 100.0,
        "inodes_percent": 12.5, "access": "rw"});
    let readings = vec![
        reading(
            MetricType::Pressure,
            second,
            &json!({"available": true, "cpu": {"some": {"avg60": 12.25}},
            "memory": {"full": {"avg10": 0.0}}, "io": {"full": {"avg60": 1.5}}}),
        ),
        reading(MetricType::Disk, second, &json!({"partitions": [partition]})),
        reading(MetricType::Cgroups, second, &json!({"groups": groups})),
        reading(
            MetricType::Agent,
            second,
            &json!({"failing": 0, "parts": [{"part": "database", "failing": 0}]}),
        ),
        Reading::failed(MetricType::MemoryBandwidth, from_second(second), "no /proc/vmstat"),
    ];
    Snapshot::new(from_second(second), readings)
}

fn from_second(second: i64) -> OffsetDateTime {
    crate::history::testing::START + time::Duration::seconds(second)
}

fn absent(of: MetricType) -> Option<String> {
    (of == MetricType::BlockIo).then(|| "no rights".to_owned())
}

/// What rules find is the same, whether they read a machine's snapshots or its messages.
#[test]
fn a_hub_finds_what_the_machine_would() {
    struct Own<'a>(&'a Snapshot);
    impl Tick for Own<'_> {
        type Rows = Reading;
        fn at(&self) -> i64 {
            micros(self.0.timestamp)
        }
        fn apart(&self) -> i64 {
            5_000_000
        }
        fn rows(&self, of: MetricType) -> Option<&Reading> {
            self.0.reading(of)
        }
        fn absent(&self, of: MetricType) -> Option<Arc<str>> {
            absent(of).map(Into::into)
        }
        fn covers(&self, of: MetricType) -> bool {
            of != MetricType::Presence
        }
    }
    let text =
        "name = \"full\"\nfield = \"disk.partitions.usage_percent\"\nwarning = { above = 91 }\nfor = \"10s\"";
    let rule: Rule = toml::from_str(text).unwrap();
    let compiled = Arc::new(Compiled::new(&rule, Period::seconds(30 * 86_400)).unwrap());
    let mut rules = stock();
    rules.push((Arc::new(rule), compiled));
    let wanted = Arc::new(Wanted::of(rules.iter().map(|(_, compiled)| &**compiled)));
    let told = Wanted::parse(&wanted.text()).unwrap();
    let mut evaluators = [Evaluator::new("h", Vec::new()), Evaluator::new("h", Vec::new())];
    evaluators.iter_mut().for_each(|evaluator| evaluator.show_rules(&rules));
    let mut gatherer = Gatherer::new("h", Arc::new(told));
    let mut batches = [AlertBatch::default(), AlertBatch::default()];
    for second in (0..300).step_by(5) {
        let snapshot = snapshot(second, 20);
        evaluators[0].evaluate(&Own(&snapshot), &mut batches[0]);
        gatherer.add(&snapshot, absent);
        if second % 15 == 10 {
            let message = gatherer.finish().unwrap();
            for mut heard in decode("h", &message, &[Arc::clone(&wanted)]).unwrap() {
                heard.apart = 5_000_000;
                evaluators[1].evaluate(&heard, &mut batches[1]);
            }
        }
    }
    assert_eq!(batches[0].events.len(), 1, "{:?}", batches[0].events);
    assert_eq!(batches[0].events, batches[1].events);
    for (own, heard) in evaluators[0].rules().iter().zip(evaluators[1].rules()) {
        let state = |running: &crate::alerts::evaluator::Running| {
            let things =
                running.things.iter().map(|thing| (thing.name.clone(), thing.memory.clone(), thing.value));
            (running.rule.name.clone(), running.note.clone(), things.collect::<Vec<_>>())
        };
        assert_eq!(state(own), state(heard));
    }
}

#[test]
fn what_a_machine_of_another_version_does_not_have_is_missing() {
    let text = "PerfWatch wants 1\nfuture\tthings\tvalue\ncpu\t\tusage_percent\tfuture_percent\n";
    let wanted = Arc::new(Wanted::parse(&Bytes::from_static(text.as_bytes())).unwrap());
    let mut gatherer = Gatherer::new("h", Arc::clone(&wanted));
    let cpu = reading(MetricType::Cpu, 1, &json!({"usage_percent": 12.5}));
    gatherer.add(&Snapshot::new(from_second(1), vec![cpu]), absent);
    let heard = decode("h", &gatherer.finish().unwrap(), &[wanted]).unwrap();
    let column = Layout::of(MetricType::Cpu).tables[0].column("usage_percent").unwrap();
    let Input::Number(stat) = heard[0].rows(MetricType::Cpu).unwrap().input(0, 0, column, None) else {
        panic!()
    };
    assert_eq!((heard.len(), stat.average()), (1, 12.5));
    assert!(heard[0].rows(MetricType::Disk).is_none());
    assert!(gatherer.finish().is_none(), "nothing was added");
}

#[test]
fn only_what_was_asked_and_is_of_this_host_is_read() {
    let wanted = wanted();
    let mut gatherer = Gatherer::new("h", Arc::clone(&wanted));
    gatherer.add(&snapshot(1, 3), absent);
    let message = gatherer.finish().unwrap();
    assert_eq!(decode("h", &message, &[Arc::clone(&wanted)]).unwrap().len(), 1);
    assert!(decode("other", &message, &[wanted]).is_err());
    let other =
        Arc::new(Wanted::parse(&Bytes::from_static(b"PerfWatch wants 1\ncpu\t\tusage_percent\n")).unwrap());
    assert!(decode("h", &message, &[other]).is_err());
    assert!(Wanted::parse(&Bytes::from_static(b"PerfWatch wants 2\n")).is_none());
}

/// What the stock rules need of a machine with 120 cgroups; prints what it costs.
#[test]
fn an_answer_is_small() {
    let wanted = wanted();
    let mut gatherer = Gatherer::new("0123456789abcdef0123456789abcdef", Arc::clone(&wanted));
    let snapshots: Vec<Snapshot> = (0..60).map(|n| snapshot(n * 5, 120)).collect();
    let began = std::time::Instant::now();
    let messages: Vec<Bytes> = snapshots
        .iter()
        .map(|snapshot| {
            gatherer.add(snapshot, absent);
            gatherer.finish().unwrap()
        })
        .collect();
    let made = began.elapsed();
    let began = std::time::Instant::now();
    let mut evaluator = Evaluator::new("h", Vec::new());
    evaluator.show_rules(&stock());
    for message in &messages {
        for heard in decode("0123456789abcdef0123456789abcdef", message, &[Arc::clone(&wanted)]).unwrap() {
            evaluator.evaluate(&heard, &mut AlertBatch::default());
        }
    }
    let bytes = messages.iter().map(Bytes::len).sum::<usize>() / messages.len();
    println!("{bytes} bytes, {:?} to make, {:?} to evaluate", made / 60, began.elapsed() / 60);
    assert!(bytes < 2000, "{bytes}");
}

proptest! {
    #[test]
    fn no_mutated_message_panics(mutations in crate::mutation::mutations()) {
        let wanted = wanted();
        let mut gatherer = Gatherer::new("h", Arc::clone(&wanted));
        (0..3).for_each(|n| gatherer.add(&snapshot(n, 4), absent));
        let mut bytes = gatherer.finish().unwrap().to_vec();
        crate::mutation::mutate(&mut bytes, &mutations);
        if bytes.len() >= HEAD {
            let checksum = crc32fast::hash(&bytes[HEAD..]);
            bytes[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
        }
        let _ = decode("h", &bytes, &[wanted]);
    }
}

/// Prints what a host costs a hub; run alone: `cargo test -p perfwatch --lib a_host_costs -- --nocapture`.
#[test]
fn a_host_costs_a_hub_little() {
    let resident = || -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // CPU time of this thread: others run as well.
    let spent = || -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    const HOSTS: usize = 20;
    let wanted = wanted();
    let mut gatherer = Gatherer::new("h", Arc::clone(&wanted));
    let messages: Vec<Bytes> = (0..24)
        .map(|n| {
            gatherer.add(&snapshot(n * 5, 120), absent);
            gatherer.finish().unwrap()
        })
        .collect();
    let rules = stock();
    let (before, began) = (resident(), spent());
    let mut evaluators: Vec<Evaluator> = (0..HOSTS).map(|_| Evaluator::new("h", Vec::new())).collect();
    for evaluator in &mut evaluators {
        evaluator.show_rules(&rules);
        for message in &messages {
            for heard in decode("h", message, &[Arc::clone(&wanted)]).unwrap() {
                evaluator.evaluate(&heard, &mut AlertBatch::default());
            }
        }
    }
    // Two minutes of each.
    let minute = (spent() - began) / (2 * HOSTS as u64);
    println!("{} kB and {minute} ns a minute for each host", resident().saturating_sub(before) / HOSTS);
    // Even without optimisation, of 3 ms that it may cost.
    assert!(minute < 6_000_000, "{minute}");
    assert!(evaluators.iter().all(|evaluator| evaluator.rules().len() == rules.len()));
}
