//! `cargo xtask compose-test`: the compose files built and started for real, checked through their front ends, and parts
//! of them killed.

mod checks;
mod engine;
mod fleet;
mod images;
mod stack;
mod ticks;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::prerequisites::{self, Purpose};
use engine::Engine;
use stack::{FLEET, SECOND, SERVER, Stack};

/// Start the compose files for real, kill parts of them and check that nothing is lost
///
/// Builds the images, starts the services, logs in through nginx, looks for the host's numbers and the containers' names, and
/// kills the database: every tick must be in it afterwards. Backs up and restores as docs/deployment.md says. Then again with
/// docker-compose.least-privilege.yml. Then the fleet of docker-compose.fleet.yml: a second machine joins by the command that
/// the page prints; a hub, NATS, the database and an agent are killed, and every tick that either machine took must be there
/// once; the second machine is revoked. Uses the Docker that runs here. Where none does, root on Debian gets one of its own for
/// the time of the test: Debian's docker.io unpacked in the cache directory ($XDG_CACHE_HOME/perfwatch), with base images made
/// from Debian's packages and this machine's compilers in place of the ones that would be pulled.
#[derive(clap::Args)]
pub struct Options {
    /// How long the database is down, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    outage: u64,
    /// Use the images of the last run
    #[arg(long)]
    no_build: bool,
    /// Only the fleet
    #[arg(long)]
    only_fleet: bool,
}

pub fn compose_test(options: &Options) -> Result<()> {
    if !Engine::runs_here() {
        prerequisites::ensure(Purpose::Compose)?;
    }
    let started = Instant::now();
    let engine = Engine::find_or_start()?;
    if engine.is_private() {
        images::make_stand_ins(&engine)?;
    }
    if !options.no_build {
        Stack::build(&engine)?;
    }
    let mut passed = 0;
    if !options.only_fleet {
        passed += one_machine(&engine, options)?;
    }
    {
        let stack = Stack::start(&engine, &[FLEET, SECOND])?;
        passed += fleet::machine(&stack)?;
        passed += fleet::second_machine(&stack)?;
        passed += fleet::faults(&stack)?;
        passed += fleet::revocation(&stack)?;
    }
    if engine.is_private() {
        images::prune(&engine)?;
    }
    println!("compose-test: {passed} passed, 0 failed, 0 skipped ({:.0?})", started.elapsed());
    Ok(())
}

fn one_machine(engine: &Engine, options: &Options) -> Result<u32> {
    let mut passed = 0;
    {
        let stack = Stack::start(engine, &[SERVER])?;
        passed += checks::images(&stack)?;
        passed += checks::front_end(&stack)?;
        passed += checks::containers(&stack)?;
        passed += checks::outage(&stack, Duration::from_secs(options.outage))?;
        passed += checks::backup(&stack)?;
    }
    {
        let stack = Stack::start(engine, &[SERVER, "docker-compose.least-privilege.yml"])?;
        passed += checks::least_privilege(&stack)?;
    }
    passed += checks::timescaledb(engine)?;
    Ok(passed)
}
