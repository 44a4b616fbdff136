//! The overhead budget, live: programs that cost too much are unloaded, reported, and reloaded after a pause.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use perfwatch::snapshot::source::{Report, State};

use crate::probe::Probe;
use crate::{Test, Verdict, load};

pub const TESTS: &[Test] =
    &[Test { name: "budget::what_is_too_dear_is_shed_and_tried_again", run: shed_and_tried }];

const TIMEOUT: Duration = Duration::from_secs(60);

/// Samples under a load of context switches until the probe is in this state.
fn wait_for(probe: &mut Probe, state: State) -> Result<Report> {
    let end = Instant::now() + TIMEOUT;
    loop {
        load::ping_pong(0, 1_000)?;
        probe.now()?;
        let report = probe.report();
        if report.state == state {
            return Ok(report);
        }
        ensure!(Instant::now() < end, "not {state:?} within {TIMEOUT:?}: {report:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn shed_and_tried() -> Result<Verdict> {
    // A ten-thousandth of a thousandth of a CPU: impossible to stay within.
    let mut probe = Probe::within("runqueue", 1e-7, Duration::from_secs(2))?;
    probe.now()?;
    ensure!(probe.report().state == State::Active, "it does not work: {:?}", probe.report());
    let report = wait_for(&mut probe, State::Disabled)?;
    let reason = report.reason.clone().unwrap_or_default();
    ensure!(reason.contains("overhead budget") && reason.contains("tried again after 2 s"), "{report:?}");
    ensure!(
        report.remedy.is_some_and(|remedy| remedy.contains("PERFWATCH_EBPF_BUDGET_PERCENT")),
        "no remedy"
    );
    ensure!(probe.now()?["context_switches"].is_null(), "it counts although it is switched off");
    wait_for(&mut probe, State::Active)?;
    let document = probe.now()?;
    ensure!(document["context_switches"].is_u64(), "it does not count again: {document}");
    let again = wait_for(&mut probe, State::Disabled)?.reason.unwrap_or_default();
    ensure!(again.contains("tried again after 4 s"), "the second pause is not longer: {again}");
    Ok(Verdict::Passed(format!("{reason}; then after 4 s")))
}
