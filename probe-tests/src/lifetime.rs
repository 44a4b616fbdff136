//! What is left in the kernel when a process with all probes is killed.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use perfwatch::config::Roots;
use perfwatch::snapshot::source::Tick;

use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "lifetime::kill_9_leaves_nothing_behind", run: kill_9 },
    Test { name: "lifetime::kill_9_of_the_server_leaves_nothing_behind", run: kill_9_of_the_server },
];

const TIMEOUT: Duration = Duration::from_secs(60);

/// The first argument of the process that is killed.
pub const FLAG: &str = "--hold-all-probes";

/// Loads every probe, reports that and waits to be killed.
pub fn hold() -> ExitCode {
    let mut probes = perfwatch::probes::all(&Roots::default(), perfwatch::probes::Options::UNLIMITED);
    let tick = Tick::new(SystemTime::now().into(), Duration::from_secs(1));
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

/// The kernel's IDs of what a process holds.
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
    are_gone(&held?)
}

/// Waits until none of this is in the kernel any more.
fn are_gone(held: &Held) -> Result<Verdict> {
    ensure!(!held.programs.is_empty() && !held.maps.is_empty() && held.perf_events > 0, "it held {held:?}");
    // The kernel frees them some milliseconds after their last user is gone, if it finds the time.
    let end = Instant::now() + TIMEOUT;
    loop {
        let left = remaining(held)?;
        if left == Held::default() {
            return Ok(Verdict::Passed(format!(
                "{} programs, {} maps, {} links and {} perf events are gone",
                held.programs.len(),
                held.maps.len(),
                held.links.len(),
                held.perf_events
            )));
        }
        ensure!(Instant::now() < end, "{TIMEOUT:?} after it was killed there are {left:?} of {held:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server with its own store; killed when dropped.
struct Server {
    child: Child,
    data: PathBuf,
}

impl Server {
    /// `None` if there is no such program, as in guests.
    fn start() -> Result<Option<Self>> {
        let named = std::env::var_os("PERFWATCH_BINARY").map(PathBuf::from);
        let binary = named.unwrap_or(std::env::current_exe()?.with_file_name("perfwatch"));
        if !binary.exists() {
            return Ok(None);
        }
        let data = std::env::temp_dir().join(format!("perfwatch-lifetime-{}", std::process::id()));
        std::fs::create_dir_all(&data)?;
        let child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--sampling-interval-seconds", "1"])
            .env("PERFWATCH_DATA_DIR", &data)
            .env("ADMIN_PASSWORD", "a password of this test")
            .env("PERFWATCH_LOG", "warn")
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Some(Self { child, data }))
    }

    /// What it holds once that has been stable for a while: by then every probe has been loaded.
    fn held(&mut self) -> Result<Held> {
        let end = Instant::now() + TIMEOUT;
        let mut before = (Held::default(), Instant::now());
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            // Descriptors may disappear while they are inspected.
            let held = held_by(self.child.id()).unwrap_or_default();
            if held != before.0 {
                before = (held, Instant::now());
            } else if !held.programs.is_empty() && before.1.elapsed() > Duration::from_secs(3) {
                return Ok(held);
            }
            ensure!(Instant::now() < end, "not all loaded within {TIMEOUT:?}: {:?}", before.0);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // SIGKILL
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

fn kill_9_of_the_server() -> Result<Verdict> {
    let Some(mut server) = Server::start()? else {
        return Ok(Verdict::Skipped("there is no perfwatch beside this program (PERFWATCH_BINARY)".into()));
    };
    let held = server.held()?;
    drop(server);
    are_gone(&held)
}
