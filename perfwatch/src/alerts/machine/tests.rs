use super::*;
use crate::alerts::compile::{Direction, Limits};
use proptest::prelude::*;

const S: i64 = 1_000_000;

fn levels(hold: i64, keep: i64) -> Levels {
    Levels {
        direction: Direction::Above,
        warning: Some(Limits { raise: 50.0, clear: 40.0 }),
        critical: Some(Limits { raise: 80.0, clear: 70.0 }),
        hold: hold * S,
        keep: keep * S,
    }
}

/// What happens at one value every ten seconds: a letter for each.
fn run(levels: &Levels, values: &[f64]) -> String {
    let mut memory = Memory::default();
    let mut told = String::new();
    for (n, value) in (0i64..).zip(values) {
        told.push(match memory.step(levels, n * 10 * S, 10 * S, &Finding::Value(*value)) {
            None => match memory.status {
                Status::Ok => '.',
                Status::Pending => 'p',
                _ => 'f',
            },
            Some(Happened::Raised) => 'R',
            Some(Happened::SeverityChanged) => 'S',
            Some(Happened::Cleared(..)) => 'C',
        });
    }
    told
}

#[test]
fn levels_to_raise_and_to_clear_differ() {
    assert_eq!(run(&levels(0, 0), &[45.0, 51.0, 45.0, 41.0, 40.0, 45.0]), ".RffC.");
}

#[test]
fn it_must_last_before_it_is_raised_and_before_it_is_cleared() {
    assert_eq!(run(&levels(20, 0), &[60.0, 60.0, 45.0, 60.0, 60.0, 60.0]), "pp.ppR");
    assert_eq!(run(&levels(0, 20), &[60.0, 1.0, 60.0, 1.0, 1.0, 1.0, 1.0]), "RffffC.");
}

#[test]
fn severities_change_within_one_alert() {
    assert_eq!(run(&levels(0, 0), &[60.0, 90.0, 75.0, 65.0, 39.0]), "RSfSC");
    assert_eq!(run(&levels(0, 0), &[90.0, 39.0]), "RC", "critical at once");
    let only = Levels { warning: None, ..levels(0, 0) };
    assert_eq!(run(&only, &[60.0, 90.0, 75.0, 65.0]), ".RfC");
}

#[test]
fn flapping_is_said_once_and_not_repeated() {
    let values: Vec<f64> = (0..60).map(|n| if n % 2 == 0 { 60.0 } else { 30.0 }).collect();
    let told = run(&levels(0, 0), &values);
    assert_eq!(told, format!("RCRCRCR{}", "f".repeat(53)), "the fourth stays");
    let mut memory = Memory::default();
    for (n, value) in (0i64..).zip(&values[..7]) {
        memory.step(&levels(0, 0), n * 10 * S, 10 * S, &Finding::Value(*value));
    }
    assert!(memory.raised.as_ref().unwrap().flapping);
    let quiet = |memory: &mut Memory, after: i64| {
        memory.step(&levels(0, 0), 60 * S + after, 10 * S, &Finding::Value(0.0))
    };
    let mut at = 10 * S;
    while at < FLAP_QUIET {
        assert_eq!(quiet(&mut memory, at), None);
        at += 60 * S;
    }
    assert!(matches!(quiet(&mut memory, at), Some(Happened::Cleared(..))));
}

#[test]
fn without_data_nothing_is_raised_and_nothing_cleared() {
    let (levels, none) = (levels(0, 0), Finding::NoData("failed".into()));
    let mut memory = Memory::default();
    memory.step(&levels, 0, S, &Finding::Value(60.0));
    assert_eq!(memory.step(&levels, 10 * S, S, &none), None);
    assert_eq!((memory.status, memory.reason.as_deref()), (Status::NoData, Some("failed")));
    assert!(memory.raised.is_some());
    assert_eq!(memory.step(&levels, 20 * S, S, &Finding::Value(60.0)), None);
    assert_eq!((memory.status, memory.since, memory.reason.as_deref()), (Status::Firing, 0, None));
    let away = Finding::NotApplicable("unplugged".into());
    let cleared = memory.step(&levels, 30 * S, S, &away);
    assert!(matches!(cleared, Some(Happened::Cleared(_, Some(why))) if &*why == "unplugged"));
    assert_eq!(memory.status, Status::NotApplicable);
}

#[test]
fn a_gap_is_not_time_that_it_lasted() {
    let levels = levels(60, 0);
    let mut memory = Memory::default();
    assert_eq!(memory.step(&levels, 0, S, &Finding::Value(60.0)), None);
    assert_eq!(memory.step(&levels, 3600 * S, S, &Finding::Value(60.0)), None);
    assert_eq!(memory.step(&levels, 3660 * S, S, &Finding::Value(60.0)), Some(Happened::Raised));
}

#[test]
fn the_peak_is_kept() {
    let levels = levels(0, 0);
    let mut memory = Memory::default();
    for (n, value) in (0i64..).zip([60.0, 95.0, 70.0]) {
        memory.step(&levels, n * S, S, &Finding::Value(value));
    }
    let Some(Happened::Cleared(raised, None)) = memory.step(&levels, 9 * S, S, &Finding::Value(0.0)) else {
        panic!("{memory:?}")
    };
    assert_eq!((raised.value, raised.peak, raised.worst), (60.0, 95.0, Severity::Critical));
}

fn findings() -> impl Strategy<Value = Finding> {
    prop_oneof![
        6 => (0.0f64..100.0).prop_map(Finding::Value),
        1 => Just(Finding::Value(f64::INFINITY)),
        1 => Just(Finding::Harmless),
        1 => Just(Finding::NoData("none".into())),
        1 => Just(Finding::NotApplicable("absent".into())),
    ]
}

proptest! {
    /// Whatever comes, at whatever times, with restarts anywhere: raised and cleared alternate.
    #[test]
    fn never_cleared_without_raised_never_raised_twice(
        steps in proptest::collection::vec((findings(), -20i64..400, any::<bool>()), 1..200),
        hold in 0i64..60, keep in 0i64..60,
    ) {
        let levels = levels(hold, keep);
        let mut memory = Memory::default();
        let (mut at, mut raised) = (0i64, false);
        for (finding, later, restart) in steps {
            at += later * S;
            if restart {
                let stored = serde_json::to_string(&memory).unwrap();
                memory = serde_json::from_str(&stored).unwrap();
            }
            match memory.step(&levels, at, 10 * S, &finding) {
                Some(Happened::Raised) => {
                    prop_assert!(!raised, "raised twice");
                    raised = true;
                }
                Some(Happened::Cleared(..)) => {
                    prop_assert!(raised, "cleared without being raised");
                    raised = false;
                }
                Some(Happened::SeverityChanged) => prop_assert!(raised),
                None => {}
            }
            prop_assert_eq!(memory.raised.is_some(), raised);
            prop_assert!(!(memory.status == Status::Firing) || raised);
        }
    }
}
