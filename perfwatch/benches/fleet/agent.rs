//! What an agent costs the machine that it measures: this one, as it is.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use crate::Figures;
use crate::nats::Nats;
use crate::parts::Part;
use crate::threads;

/// By then the code of what usually runs here is known, and a slot was sent.
const SETTLING: Duration = Duration::from_secs(330);
/// A slot and its sending.
const MEASURED: Duration = Duration::from_secs(300);
const INTERVAL: u64 = 5;

struct Agent {
    process: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that is killed leaves its process for symbols to find out.
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

impl Agent {
    fn start(nats: &Nats, profile_hz: u32) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let process = Command::new(env!("CARGO_BIN_EXE_perfwatch"))
            .arg("agent")
            .env_clear()
            .env("PERFWATCH_DATA_DIR", dir.path())
            .env("PERFWATCH_FLEET_URL", nats.url())
            .env("PERFWATCH_HOST_ID", format!("measured-at-{profile_hz}"))
            .env("PERFWATCH_PROFILE_HZ", profile_hz.to_string())
            .env("SAMPLING_INTERVAL_SECONDS", INTERVAL.to_string())
            .env("PERFWATCH_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start perfwatch agent")?;
        Ok(Self { process, _dir: dir })
    }
}

/// With profiles as they are by default, and without; both run at once, and each sees the other.
pub(crate) async fn measure(nats: &Nats) -> Result<Figures> {
    let agents = [("profiling", Agent::start(nats, 19)?), ("without_profiles", Agent::start(nats, 0)?)];
    tokio::time::sleep(SETTLING).await;
    let since = Instant::now();
    let before: Vec<_> =
        agents.iter().map(|(_, agent)| threads::times(agent.process.id())).collect::<Result<_>>()?;
    tokio::time::sleep(MEASURED).await;
    let ticks = since.elapsed().as_secs_f64() / INTERVAL as f64;
    let mut figures = Figures::new();
    for ((name, mut agent), before) in agents.into_iter().zip(before) {
        ensure!(agent.process.try_wait()?.is_none(), "the agent {name} has ended");
        let mut all = 0.0;
        for (thread, us) in threads::between(&before, threads::times(agent.process.id())?) {
            let ms = us / 1e3 / ticks;
            all += ms;
            figures.insert(format!("{name}.cpu_ms_a_tick.{thread}"), ms);
        }
        figures.insert(format!("{name}.cpu_ms_a_tick"), all);
        let memory = Part::new(agent.process.id()).anonymous_mib();
        figures.insert(format!("{name}.anonymous_mib"), memory);
    }
    Ok(figures)
}
