//! What is left in the kernel when a process with all probes is killed.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use perfwatch::config::Roots;
use perfwatch::snapshot::source::Tick;

use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[Test { name: "lifetime::kill_9_leaves_nothing_behind", run: kill_9 }];

/// The first argument of the process that is killed.
pub const FLAG: &str = "--hold-all-probes";

/// Loads every probe, tells so and waits to be killed.
pub fn hold() -> ExitCode {
    let mut probes = perfwatch::probes::all(&Roots::default(), 100.0);
    let tick = Tick { timestamp: "now".into(), interval: Duration::from_secs(1) };
    for probe in &mut probes {
        if let Err(error) = probe.sample(&tick) {
            println!("{}: {error}", probe.name());
            return ExitCode::FAILURE;
        }
    }
    println!("loaded");
    loop {
        std::thread::park();
    }
}

/// The kernel's numbers of what a process holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    links: BTreeSet<u32>,
    perf_events: usize,
}

fn held_by(pid: u32) -> Result<Held> {
    let mut held = Held::default();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let target = std::fs::read_link(entry.path())?;
        held.perf_events += usize::from(target.as_os_str() == "anon_inode:[perf_event]");
        let path = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
        let info = std::fs::read_to_string(path)?;
        let id = |name: &str| -> Option<u32> {
            info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        // A link names its program too.
        match id("link_id:") {
            Some(link) => drop(held.links.insert(link)),
            None => held.programs.extend(id("prog_id:")),
        }
        held.maps.extend(id("map_id:"));
    }
    Ok(held)
}

/// Which of these are still in the kernel.
fn remaining(of: &Held) -> Result<Held> {
    let mut left = Held::default();
    for program in aya::programs::loaded_programs() {
        left.programs.extend(program.ok().map(|program| program.id()).filter(|id| of.programs.contains(id)));
    }
    for map in aya::maps::loaded_maps() {
        left.maps.extend(map.ok().map(|map| map.id()).filter(|id| of.maps.contains(id)));
    }
    for link in aya::programs::loaded_links() {
        left.links.extend(link.ok().map(|link| link.id()).filter(|id| of.links.contains(id)));
    }
    Ok(left)
}

fn kill_9() -> Result<Verdict> {
    let mut child = Command::new(std::env::current_exe()?).arg(FLAG).stdout(Stdio::piped()).spawn()?;
    let mut word = [0; 6];
    let ready = child.stdout.as_mut().context("its output is a pipe")?.read_exact(&mut word);
    let held = held_by(child.id());
    child.kill()?; // SIGKILL
    child.wait()?;
    ready.context("the probes were not loaded")?;
    ensure!(&word == b"loaded", "the probes were not loaded: {}", String::from_utf8_lossy(&word));
    let held = held?;
    ensure!(!held.programs.is_empty() && !held.maps.is_empty() && held.perf_events > 0, "it held {held:?}");
    // The kernel frees them some milliseconds after their last user has gone.
    let mut left = remaining(&held)?;
    for _ in 0..100 {
        if left == Held::default() {
            return Ok(Verdict::Passed(format!(
                "{} programs, {} maps, {} links and {} perf events are gone",
                held.programs.len(),
                held.maps.len(),
                held.links.len(),
                held.perf_events
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
        left = remaining(&held)?;
    }
    anyhow::bail!("five seconds after it was killed there are {left:?} of {held:?}")
}
